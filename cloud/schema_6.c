/* See schema_6.h. What is personal here is sealed under the person's key or is a keyed hash; ids are random. */
#include "cloud/schema_6.h"

#include <stddef.h>

/* Accounts, sessions, links, delays. What is sealed is under the person's key. */
static const char *const access_6 =
    /* lidx: of the login; state: enum account_state */
    "CREATE TABLE account(tenant_id TEXT NOT NULL, id BLOB NOT NULL, key_id BLOB NOT NULL, lidx BLOB NOT NULL,"
    " state INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX account_login ON account(tenant_id, lidx);"
    "CREATE UNIQUE INDEX account_person ON account(tenant_id, key_id);"

    /* hash: of the cookie; day: after it the row is of no use */
    "CREATE TABLE session(tenant_id TEXT NOT NULL, id BLOB NOT NULL, hash BLOB NOT NULL, account BLOB NOT NULL,"
    " day INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX session_hash ON session(hash);"
    "CREATE INDEX session_account ON session(tenant_id, account);"
    "CREATE INDEX session_day ON session(day);"

    /* kind: enum link_kind */
    "CREATE TABLE link(tenant_id TEXT NOT NULL, hash BLOB NOT NULL, account BLOB NOT NULL, kind INTEGER NOT NULL,"
    " expires INTEGER NOT NULL, PRIMARY KEY(tenant_id, hash)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX link_hash ON link(hash);"
    "CREATE INDEX link_account ON link(tenant_id, account);"

    /* failed logins: id is a keyed hash of a login, an address or a browser; last, until: us */
    "CREATE TABLE throttle(tenant_id TEXT NOT NULL, id BLOB NOT NULL, failures INTEGER NOT NULL, last INTEGER NOT NULL,"
    " until INTEGER NOT NULL, PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;";

/* Roles, grants, tokens, approvals, settings. */
static const char *const rights_6 =
    "CREATE TABLE role(tenant_id TEXT NOT NULL, id BLOB NOT NULL, kind INTEGER NOT NULL, name TEXT NOT NULL,"
    " perms INTEGER NOT NULL, created INTEGER NOT NULL, archived INTEGER NOT NULL,"
    " PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"

    /* by_id: an account, unless by_account is 0; sealed: the reason */
    "CREATE TABLE granted(tenant_id TEXT NOT NULL, id BLOB NOT NULL, account BLOB NOT NULL,"
    " role BLOB NOT NULL, reach INTEGER NOT NULL, reach_id BLOB NOT NULL, starts INTEGER NOT NULL,"
    " ends INTEGER NOT NULL, created INTEGER NOT NULL, revoked INTEGER NOT NULL, by_account INTEGER NOT NULL,"
    " by_id BLOB NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"
    "CREATE INDEX granted_account ON granted(tenant_id, account);"

    /* account NULL: the operator's or a bootstrap token; used: the UTC day of the last request */
    "ALTER TABLE token ADD COLUMN account BLOB;"
    "ALTER TABLE token ADD COLUMN perms INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE token ADD COLUMN ranges TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE token ADD COLUMN used INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX token_account ON token(tenant_id, account);"

    /* what somebody else has to approve; day: of the asking; units: how much is kept, by 64 KiB; key_id: whose key what
     * is sealed is under, zero for the tenant's; sealed: the request, and once it is decided what became of it */
    "CREATE TABLE approval(tenant_id TEXT NOT NULL, id BLOB NOT NULL, perm INTEGER NOT NULL, home TEXT NOT NULL,"
    " account BLOB NOT NULL, day INTEGER NOT NULL, state INTEGER NOT NULL, decider BLOB NOT NULL,"
    " status INTEGER NOT NULL, units INTEGER NOT NULL, key_id BLOB NOT NULL, sealed BLOB NOT NULL,"
    " PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"
    /* the body of such a request, while it waits */
    "CREATE TABLE approval_part(tenant_id TEXT NOT NULL, id BLOB NOT NULL, n INTEGER NOT NULL, sealed BLOB NOT NULL,"
    " PRIMARY KEY(tenant_id, id, n)) WITHOUT ROWID;"

    /* when its people were shut out; 0: they are not */
    "ALTER TABLE tenant ADD COLUMN archived INTEGER NOT NULL DEFAULT 0;"

    /* sealed: the contact of the data-protection officer */
    "CREATE TABLE tenant_setting(tenant_id TEXT NOT NULL PRIMARY KEY, time_zone TEXT NOT NULL,"
    " week_start INTEGER NOT NULL, retention_days INTEGER NOT NULL, second_factor INTEGER NOT NULL,"
    " four_eyes INTEGER NOT NULL, presence INTEGER NOT NULL, language TEXT NOT NULL, session_idle INTEGER NOT NULL,"
    " session_life INTEGER NOT NULL, sealed BLOB NOT NULL) WITHOUT ROWID;";

static const char *const audit_6 =
    /* details: what is sealed under the keys of those it is about */
    "CREATE TABLE audit(tenant_id TEXT NOT NULL, seq INTEGER NOT NULL, leaf BLOB NOT NULL, sealed BLOB NOT NULL,"
    " details BLOB NOT NULL, PRIMARY KEY(tenant_id, seq)) WITHOUT ROWID;"
    "CREATE TABLE audit_head(tenant_id TEXT NOT NULL PRIMARY KEY, seq INTEGER NOT NULL, head BLOB NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE audit_checkpoint(tenant_id TEXT NOT NULL, seq INTEGER NOT NULL, message BLOB NOT NULL,"
    " PRIMARY KEY(tenant_id, seq)) WITHOUT ROWID;";

static const char *const outbox_6 =
    /* key_id: whose key seals it; empty: the tenant's. state 0 waiting, 1 failed; what was sent has no row */
    "CREATE TABLE mail(tenant_id TEXT NOT NULL, id BLOB NOT NULL, key_id BLOB NOT NULL, state INTEGER NOT NULL,"
    " due INTEGER NOT NULL, tries INTEGER NOT NULL, created INTEGER NOT NULL, sealed BLOB NOT NULL,"
    " PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"
    "CREATE INDEX mail_due ON mail(tenant_id, state, due);"
    "CREATE INDEX mail_key ON mail(tenant_id, key_id);"

    /* position: how far it was told of the changes feed, when (noted); last: the time in its newest delivery's id */
    "CREATE TABLE webhook(tenant_id TEXT NOT NULL, id BLOB NOT NULL, created INTEGER NOT NULL, wants INTEGER NOT NULL,"
    " failures INTEGER NOT NULL, due INTEGER NOT NULL, position INTEGER NOT NULL, noted INTEGER NOT NULL,"
    " last INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"

    /* feed 1: it tells of the changes feed. state 0 waiting, 1 delivered, 2 failed */
    "CREATE TABLE delivery(tenant_id TEXT NOT NULL, webhook BLOB NOT NULL, id BLOB NOT NULL, feed INTEGER NOT NULL,"
    " state INTEGER NOT NULL, queued INTEGER NOT NULL, tried INTEGER NOT NULL, tries INTEGER NOT NULL,"
    " status INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY(tenant_id, webhook, id)) WITHOUT ROWID;"
    "CREATE INDEX delivery_state ON delivery(tenant_id, webhook, state);";

static const char *const people_6 =
    "ALTER TABLE person ADD COLUMN pnidx BLOB;"
    "CREATE UNIQUE INDEX person_pnidx ON person(tenant_id, pnidx);"
    "CREATE TABLE unit(tenant_id TEXT NOT NULL, id BLOB NOT NULL, name TEXT NOT NULL, site_id BLOB,"
    " created INTEGER NOT NULL, archived INTEGER NOT NULL, PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX unit_name ON unit(tenant_id, name);"
    "CREATE TABLE correction(tenant_id TEXT NOT NULL, id BLOB NOT NULL, key_id BLOB NOT NULL, pidx BLOB,"
    " sealed BLOB NOT NULL, PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"
    "CREATE INDEX correction_key ON correction(tenant_id, key_id);"
    "CREATE INDEX correction_pidx ON correction(tenant_id, pidx);"
    "CREATE TABLE correction_decision(tenant_id TEXT NOT NULL, id BLOB NOT NULL, key_id BLOB NOT NULL,"
    " sealed BLOB NOT NULL, PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"
    "CREATE INDEX correction_decision_key ON correction_decision(tenant_id, key_id);"
    /* what data subjects ask for */
    "CREATE TABLE dsr(tenant_id TEXT NOT NULL, id BLOB NOT NULL, key_id BLOB NOT NULL, sealed BLOB NOT NULL,"
    " PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"
    "CREATE INDEX dsr_key ON dsr(tenant_id, key_id);"
    "CREATE TABLE import_run(tenant_id TEXT NOT NULL, id BLOB NOT NULL, preview INTEGER NOT NULL,"
    " state INTEGER NOT NULL, total INTEGER NOT NULL, done INTEGER NOT NULL, made INTEGER NOT NULL,"
    " changed INTEGER NOT NULL, unchanged INTEGER NOT NULL, bad INTEGER NOT NULL, started INTEGER NOT NULL,"
    " ended INTEGER NOT NULL, PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"
    "CREATE TABLE import_error(tenant_id TEXT NOT NULL, id BLOB NOT NULL, line INTEGER NOT NULL, field TEXT NOT NULL,"
    " reason TEXT NOT NULL, PRIMARY KEY(tenant_id, id, line)) WITHOUT ROWID;";

/* All about machines. archived, revoked, used 0: not; expires of a certificate 0: not known. */
static const char *const places_6 =
    "ALTER TABLE site ADD COLUMN archived INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE reader ADD COLUMN direction INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE reader ADD COLUMN mode INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE gateway ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;"
    /* version_gseq: of the event that said so; an older one may come later */
    "ALTER TABLE gateway ADD COLUMN version TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE gateway ADD COLUMN version_gseq INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE gateway_status ADD COLUMN real INTEGER;"
    "ALTER TABLE gateway_status ADD COLUMN ck INTEGER;"
    /* the code is found by its hash alone: who brings it has no other name */
    "CREATE TABLE invitation(tenant_id TEXT NOT NULL, id BLOB NOT NULL, hash BLOB NOT NULL, site_id BLOB NOT NULL,"
    " created INTEGER NOT NULL, expires INTEGER NOT NULL, used INTEGER NOT NULL, revoked INTEGER NOT NULL, gw BLOB,"
    " PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX invitation_hash ON invitation(hash);";

/* account, second_id, reviewer: of the vendor's tenant; zero: none. What is written in it is in `sealed`. */
static const char *const support_6 =
    "CREATE TABLE support(tenant_id TEXT NOT NULL, id BLOB NOT NULL, kind INTEGER NOT NULL, state INTEGER NOT NULL,"
    " ending INTEGER NOT NULL, category INTEGER NOT NULL, account BLOB NOT NULL, second_id BLOB NOT NULL,"
    " reviewer BLOB NOT NULL, decider BLOB NOT NULL, asked INTEGER NOT NULL, perms INTEGER NOT NULL,"
    " reach INTEGER NOT NULL, reach_id BLOB NOT NULL, span INTEGER NOT NULL, created INTEGER NOT NULL,"
    " starts INTEGER NOT NULL, ends INTEGER NOT NULL, ended INTEGER NOT NULL, reviewed INTEGER NOT NULL,"
    " told INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY(tenant_id, id)) WITHOUT ROWID;"
    "CREATE INDEX support_account ON support(tenant_id, account, state);"
    /* the vendor's people name one without its customer */
    "CREATE UNIQUE INDEX support_id ON support(id);"
    "CREATE TABLE confidentiality(tenant_id TEXT NOT NULL, account BLOB NOT NULL, version INTEGER NOT NULL,"
    " signed INTEGER NOT NULL, PRIMARY KEY(tenant_id, account, version)) WITHOUT ROWID;";

/* state: enum security_state */
static const char *const door_6 =
    "CREATE TABLE security_report(tenant_id TEXT NOT NULL, id BLOB NOT NULL, state INTEGER NOT NULL,"
    " created INTEGER NOT NULL, changed INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY(tenant_id, id))"
    " WITHOUT ROWID;";

const char *const schema_6[] = {access_6, rights_6, audit_6, outbox_6, people_6, places_6, support_6, door_6, NULL};
