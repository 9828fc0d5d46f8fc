/* Which columns hold what; see schema.h. Pending punches stand before the others in the export, so that of a person
 * with one of each /punches/0 is the pending one. */
#include "cloud/schema.h"

#include <stddef.h>

const struct schema_columns schema_columns[] = {
    {"meta", "name value", COLUMN_MACHINE, NULL},
    {"tenant", "tenant_id created changes key_gen archived", COLUMN_MACHINE, NULL},
    {"tenant", "overflow", COLUMN_KEYED, NULL},
    {"recipient", "tenant_id rkid key_id point created", COLUMN_MACHINE, NULL},
    {"gateway", "tenant_id gw gen site_id sign_point serial added revoked last_upload expires version version_gseq",
     COLUMN_MACHINE, NULL},
    {"gateway_status", "tenant_id gw gen conn boot mono online rkids counts received real ck", COLUMN_MACHINE, NULL},
    {"site", "tenant_id id name time_zone created archived", COLUMN_MACHINE, NULL},
    {"reader", "tenant_id id gw first_day last_day direction mode sealed", COLUMN_MACHINE, NULL},
    {"invitation", "tenant_id id site_id created expires used revoked gw", COLUMN_MACHINE, NULL},
    {"invitation", "hash", COLUMN_KEYED, NULL},
    {"token", "id tenant_id label created expires revoked perms ranges used", COLUMN_MACHINE, NULL},
    {"token", "hash account", COLUMN_KEYED, NULL},
    {"role", "tenant_id id kind name perms created archived", COLUMN_MACHINE, NULL},
    {"granted", "tenant_id id role reach starts ends created revoked by_account", COLUMN_MACHINE, NULL},
    {"granted", "account reach_id by_id", COLUMN_KEYED, NULL},
    {"granted", "sealed", COLUMN_MACHINE, NULL}, /* why the customer let somebody do something */
    {"approval", "tenant_id id perm home day state status units", COLUMN_MACHINE, NULL},
    {"approval", "account decider key_id", COLUMN_KEYED, NULL},
    {"approval", "sealed", COLUMN_UNOWNED, NULL}, /* a request that waits for a second pair of eyes, a week at most */
    {"approval_part", "tenant_id id n", COLUMN_MACHINE, NULL},
    {"approval_part", "sealed", COLUMN_UNOWNED, NULL},
    {"tenant_setting", "tenant_id time_zone week_start retention_days second_factor four_eyes", COLUMN_MACHINE, NULL},
    {"tenant_setting", "presence language session_idle session_life sealed", COLUMN_MACHINE, NULL},

    {"account", "tenant_id state", COLUMN_MACHINE, NULL},
    {"account", "id", COLUMN_PERSONAL, "/account/id"},
    {"account", "key_id lidx", COLUMN_KEYED, NULL},
    {"account", "sealed", COLUMN_PERSONAL, "/account/login /account/mail /account/language /account/created"},
    {"session", "tenant_id day", COLUMN_MACHINE, NULL},
    {"session", "id", COLUMN_PERSONAL, "/account/sessions/0/id"},
    {"session", "hash account", COLUMN_KEYED, NULL},
    {"session", "sealed", COLUMN_PERSONAL,
     "/account/sessions/0/created /account/sessions/0/seen /account/sessions/0/address /account/sessions/0/agent"},
    {"link", "tenant_id kind expires", COLUMN_MACHINE, NULL},
    {"link", "hash account", COLUMN_KEYED, NULL},
    {"throttle", "tenant_id failures last until", COLUMN_MACHINE, NULL},
    {"throttle", "id", COLUMN_KEYED, NULL}, /* forgotten a day after the last failure */

    {"person", "tenant_id", COLUMN_MACHINE, NULL},
    {"person", "id", COLUMN_PERSONAL, "/person/id"},
    {"person", "key_id pnidx", COLUMN_KEYED, NULL},
    {"person", "sealed", COLUMN_PERSONAL,
     "/person/name /person/personnel_number /person/given_name /person/family_name /person/email /person/phone"
     " /person/unit /person/valid_from /person/valid_until /person/archived /person/created"},
    {"correction", "tenant_id", COLUMN_MACHINE, NULL},
    {"correction", "id", COLUMN_PERSONAL, "/corrections/0/id"},
    {"correction", "key_id pidx", COLUMN_KEYED, NULL},
    {"correction", "sealed", COLUMN_PERSONAL,
     "/corrections/0/kind /corrections/0/punch /corrections/0/original/time /corrections/0/original/direction"
     " /corrections/0/time /corrections/0/direction /corrections/0/reason /corrections/0/requested_by"
     " /corrections/0/requested /corrections/0/site"},
    {"correction_decision", "tenant_id", COLUMN_MACHINE, NULL},
    {"correction_decision", "id", COLUMN_PERSONAL, "/corrections/0/id"},
    {"correction_decision", "key_id", COLUMN_KEYED, NULL},
    {"correction_decision", "sealed", COLUMN_PERSONAL,
     "/corrections/0/state /corrections/0/decided_by /corrections/0/decided /corrections/0/decision_reason"},
    {"dsr", "tenant_id", COLUMN_MACHINE, NULL},
    {"dsr", "id", COLUMN_PERSONAL, "/requests/0/id"},
    {"dsr", "key_id", COLUMN_KEYED, NULL},
    {"dsr", "sealed", COLUMN_PERSONAL,
     "/requests/0/kind /requests/0/state /requests/0/requested /requests/0/text /requests/0/decided_by"
     " /requests/0/decided /requests/0/answer"},
    {"import_run", "tenant_id id preview state total done made changed unchanged bad started ended", COLUMN_MACHINE,
     NULL},
    {"import_error", "tenant_id id line field reason", COLUMN_MACHINE, NULL}, /* of a line it says no value */
    {"unit", "tenant_id id name site_id created archived", COLUMN_MACHINE, NULL},

    {"credential", "tenant_id", COLUMN_MACHINE, NULL},
    {"credential", "id", COLUMN_PERSONAL, "/credentials/0/id"},
    {"credential", "cidx key_id", COLUMN_KEYED, NULL},
    {"credential", "sealed", COLUMN_PERSONAL,
     "/credentials/0/person /credentials/0/tech /credentials/0/bits /credentials/0/data /credentials/0/number"
     " /credentials/0/numbers/hex10 /credentials/0/rendering /credentials/0/from /credentials/0/until"
     " /credentials/0/created"},

    /* cards that nobody holds; a claim moves their punches to a person */
    {"waiting", "tenant_id", COLUMN_MACHINE, NULL},
    {"waiting", "cidx key_id", COLUMN_KEYED, NULL},
    {"waiting", "sealed", COLUMN_UNOWNED, NULL},

    {"punch", "tenant_id", COLUMN_MACHINE, NULL},
    {"punch", "day ref pid", COLUMN_KEYED, NULL},
    {"punch", "sealed", COLUMN_PERSONAL,
     "/punches/1/id /punches/1/gateway /punches/1/generation /punches/1/gseq /punches/1/reader /punches/1/direction"
     " /punches/1/function /punches/1/credential/tech /punches/1/credential/bits /punches/1/credential/data"
     " /punches/1/credential/rendering /punches/1/time /punches/1/uncertainty_us /punches/1/estimated"
     " /punches/1/received /punches/1/original/real_us /punches/1/original/mono_us /punches/1/original/clock"
     " /punches/1/original/uncertainty_us /punches/1/repeat/gseq /punches/1/repeat/real_us /punches/1/repeat/mono_us"
     " /punches/1/repeat/clock /punches/1/repeat/received /punches/1/repeat/others/0/gseq"},

    {"pending", "tenant_id gw gen boot why", COLUMN_MACHINE, NULL},
    {"pending", "ref pid day", COLUMN_KEYED, NULL},
    {"pending", "sealed", COLUMN_PERSONAL,
     "/punches/0/id /punches/0/gateway /punches/0/gseq /punches/0/reader /punches/0/direction"
     " /punches/0/credential/data /punches/0/impossible /punches/0/received /punches/0/original/real_us"
     " /punches/0/original/mono_us"},

    {"segment", "tenant_id segid gw gen segno prev prevlen boot next fork received", COLUMN_MACHINE, NULL},
    {"segment", "ack", COLUMN_KEYED, NULL},
    {"clock", "tenant_id gw gen boot mono real uncertainty src", COLUMN_MACHINE, NULL},
    {"unfolded", "tenant_id gw gen gseq", COLUMN_MACHINE, NULL},
    {"event", "tenant_id gw gen gseq segid idx sealed", COLUMN_MACHINE, NULL},
    {"oddity", "tenant_id segid idx why", COLUMN_MACHINE, NULL},
    {"oddity", "sealed", COLUMN_UNOWNED, NULL}, /* a record that only a later version understands, or none */
    {"void", "tenant_id segid idx gw gen", COLUMN_MACHINE, NULL},

    {"idempotency", "tenant_id status created", COLUMN_MACHINE, NULL},
    {"idempotency", "key fingerprint location", COLUMN_KEYED, NULL}, /* a path with a random id */
    {"change", "tenant_id seq", COLUMN_MACHINE, NULL},
    {"change", "mark sealed", COLUMN_KEYED, NULL}, /* where to look, never what is there */
    {"erasure", "tenant_id generation requested done", COLUMN_MACHINE, NULL},
    {"erasure", "punches pending waiting credentials oddities keys", COLUMN_MACHINE, NULL},
    {"erasure", "id person", COLUMN_KEYED, NULL}, /* random, and nobody's any more */
    {"retired", "tenant_id", COLUMN_MACHINE, NULL},
    {"retired", "cidx key_id", COLUMN_KEYED, NULL},

    {"mail", "tenant_id id state due tries created", COLUMN_MACHINE, NULL},
    {"mail", "key_id", COLUMN_KEYED, NULL},
    {"mail", "sealed", COLUMN_PERSONAL, "/mail/0/to /mail/0/template"},

    {"security_report", "tenant_id id state created changed", COLUMN_MACHINE, NULL},
    {"security_report", "sealed", COLUMN_UNOWNED, NULL}, /* anybody's, about anybody; gone a year after it is closed */
    {"support", "tenant_id id kind state ending category asked perms reach span", COLUMN_MACHINE, NULL},
    {"support", "created starts ends ended reviewed told", COLUMN_MACHINE, NULL},
    {"support", "account second_id reviewer decider reach_id", COLUMN_KEYED, NULL},
    {"support", "sealed", COLUMN_MACHINE, NULL}, /* why the vendor was let in, and what came of it */
    {"confidentiality", "tenant_id version signed", COLUMN_MACHINE, NULL},
    {"confidentiality", "account", COLUMN_KEYED, NULL},
    {"audit", "tenant_id seq leaf", COLUMN_MACHINE, NULL},
    {"audit", "sealed details", COLUMN_KEYED, NULL}, /* tags that only a keyring can tell; see docs/AUDIT.md */
    {"audit_head", "tenant_id seq head", COLUMN_MACHINE, NULL},
    {"audit_checkpoint", "tenant_id seq message", COLUMN_MACHINE, NULL},
    {"webhook", "tenant_id id created wants failures due position noted last sealed", COLUMN_MACHINE, NULL},
    {"delivery", "tenant_id webhook id feed state queued tried tries status sealed", COLUMN_MACHINE, NULL},
    {NULL, NULL, COLUMN_MACHINE, NULL},
};
