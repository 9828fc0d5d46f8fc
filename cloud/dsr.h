/* What a data subject asks of the controller (GDPR, Articles 16, 17, 18): kept sealed under the person's key until, and
 * after, somebody has answered. Whoever grants an erasure or a change makes it by its own route; this says that it was
 * asked for, when, and what became of it. */
#pragma once

#include "cloud/people.h"
#include "cloud/scope.h"

#define DSR_TEXT_MAX_LEN 500

enum dsr_kind { DSR_ERASURE = 1, DSR_RESTRICTION, DSR_RECTIFICATION };
enum dsr_state { DSR_OPEN = 1, DSR_GRANTED, DSR_REFUSED };
const char *dsr_kind_name(enum dsr_kind k);   /* "erasure", "restriction", "rectification" */
const char *dsr_state_name(enum dsr_state s); /* "open", "granted", "refused" */
bool dsr_state_parse(const char *name, enum dsr_state *ret_state);

struct dsr {
    uint8_t id[ID_LEN];
    uint8_t key[ID_LEN]; /* the person's */
    enum dsr_kind kind;
    enum dsr_state state;
    int64_t requested;               /* us */
    char text[DSR_TEXT_MAX_LEN + 1]; /* the person's; "" = none */
    uint8_t decider[ID_LEN];         /* account; zeros: none */
    int64_t decided;                 /* us; 0 = not yet */
    char answer[DSR_TEXT_MAX_LEN + 1];
    bool damaged; /* nothing is known but id and key */
};
struct dsr_list {
    struct dsr *items;
    size_t n;
    bool more;
};
/* text NULL: none. CLOUD_ABSENT: no such person. CLOUD_INVALID: the text. CLOUD_CONFLICT: one of that kind is open. Own
 * transaction. */
int dsr_make(struct cloud *c, struct db *db, const char *tenant, const uint8_t person[ID_LEN], enum dsr_kind kind,
             const char *text, struct dsr *ret_dsr);
/* CLOUD_ABSENT. CLOUD_CONFLICT: it is decided. CLOUD_INVALID: the answer is empty or too long. Own transaction. */
int dsr_decide(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], bool granted,
               const uint8_t account[ID_LEN], const char *answer, struct dsr *ret_dsr);
int dsr_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
            struct dsr *ret_dsr); /* CLOUD_ABSENT, CLOUD_DAMAGED */
typedef bool dsr_fits(void *arg, const struct dsr *d);
/* In the order of their (random) ids behind `after`, at most limit (0: all); key NULL: everybody's; fits NULL: all. */
int dsr_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t *key, const uint8_t *after, size_t limit,
             dsr_fits *fits, void *arg, struct dsr_list *ret_list);
void dsr_list_done(struct dsr_list *l);
