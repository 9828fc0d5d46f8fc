/* From sights to entries: which sighting is a punch, which is the same presentation again (dedup, and the marks of
 * readers that are acknowledged), and what is said to whom. Keeps keyed hashes, never a credential.
 *
 * A mark is the last punch of an acknowledged reader whose acknowledgement is not known to have reached the device.
 * It is written in the punch's own transaction and removed when the device confirmed (SIGHT_ACKED) or turns out to
 * hold no read (SIGHT_IDLE). When a credential is seen under a mark that is still set:
 *
 *   after a restart, hash key kept, same credential,  the same presentation: answered STORED, no new punch
 *   same boot, within `hold`
 *   after a restart, hash key gone (power cut)        a punch with `repeat` = the mark's gseq, whatever the credential;
 *                                                     the cloud folds it if reader and credential match
 *   later, same credential, beyond `hold`, or with    a punch with `repeat`, too: nobody looked at the device in
 *   its age unknown (another boot)                    between, nobody can tell, and the cloud keeps both times */
#pragma once

#include "daemon/dedup.h"
#include "daemon/journal.h"
#include "readers/registry.h"

struct intake;
enum intake_verdict {
    INTAKE_PUNCH,   /* *ret is to be journalled, then intake_result() */
    INTAKE_REPEAT,  /* stored already, or in this batch: answer STORED when that is committed */
    INTAKE_INVALID, /* not a credential that can be recorded: a driver's mistake; answer STORED to be rid of it */
};

struct intake_options {
    const struct conf_list *readers; /* outlives it */
    const uint8_t *hash_key;         /* CRYPTO_KEY bytes, copied */
    bool key_fresh;                  /* the hash key did not survive */
    const uint8_t *boot;             /* BOOT_LEN bytes, looked at by intake_new() only */
    struct spool *spool;
};
/* Reads the marks of the readers. */
int intake_new(const struct intake_options *o, struct intake **ret);
void intake_free(struct intake *in); /* wipes the key */

/* A SIGHT_CARD. `acked`: its device is acknowledged. */
int intake_card(struct intake *in, const struct sight *s, bool acked, struct entry *ret, enum intake_verdict *ret_v);
/* A SIGHT_LEFT: `hold` of its card counts from then on. */
int intake_left(struct intake *in, const struct sight *s);
/* What became of an INTAKE_PUNCH. */
void intake_result(struct intake *in, const struct entry *e, bool stored);
/* SIGHT_ACKED or SIGHT_IDLE: stages the removal of the mark, if one is set. */
int intake_settled(struct intake *in, const struct sight *s);
/* After the spool was re-opened: what was staged is lost, and a mark whose removal was among it would one day pass a
 * new presentation for an old one. Stages those removals again. */
void intake_resync(struct intake *in);
