/* Between erasure.c (records, order of work) and erasure_rows.c (what goes). */
#pragma once

#include "cloud/erasure.h"
#include "cloud/holder.h"
#include "cloud/people_impl.h"

/* All that is under a person's key, or goes with it. Made by reading only. */
struct erasure_plan {
    struct person person;
    struct tomb_counts counts;
    size_t n_cards;
    struct erasure_card {
        struct cred cred;
        uint8_t cidx[CIDX_LEN];
        int64_t until; /* the last one, of all times this person held it */
        bool others;   /* somebody else holds or held it, too */
    } * cards;         /* each once */
    size_t n_holds, cap_holds;
    struct tomb_card *holds; /* each assignment that is not empty */
    size_t n_keys, cap_keys;
    uint8_t (*keys)[KEY_ID_LEN];
    size_t n_oddities, cap_oddities;
    struct erasure_oddity {
        uint8_t segid[SEGID_LEN];
        int64_t index;
    } * oddities;
};
int erasure_plan_make(const struct scope *s, const uint8_t person[ID_LEN], struct erasure_plan *ret); /* CLOUD_ABSENT */
void erasure_plan_done(struct erasure_plan *p);
/* In the caller's write transaction, with the tombstone staged: it is what drops the waiting punches of the person's
 * times. */
int erasure_plan_act(const struct scope *s, const struct erasure_plan *p);
/* People, credentials and waiting cards whose key is no more: those of a store from before their erasure. */
int erasure_orphans(const struct scope *s);
