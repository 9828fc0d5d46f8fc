/* What one person asked for and another has to approve (four eyes): a request as it came, kept sealed for a week at
 * most, and what became of it, for a season. A request that is about a person is under that person's key and dies with
 * it. Its body may be a table of many megabytes, so it lies in parts of its own. */
#pragma once

#include "base/buf.h"
#include "cloud/who.h"

struct scope;

#define APPROVAL_US (INT64_C(7) * 24 * 3600 * 1000000) /* it waits; and what only its answer said is kept */
#define APPROVAL_KEPT_DAYS 92                          /* from the asking; the audit trail knows of it for ever */
#define APPROVAL_HEAD_MAX 3500                         /* bytes of all but the body together */
#define APPROVAL_LOCATION_MAX 96
#define APPROVAL_ANSWER_MAX 1024
#define APPROVAL_QUERY_MAX 16
/* What is kept of somebody counts by the begun 64 KiB, so that nobody fills the store, nor everybody's mailbox: 16 MiB
 * of an account, 64 MiB of a tenant. */
#define APPROVAL_UNIT 65536u
#define APPROVAL_EACH 256
#define APPROVAL_ALL 1024

enum approval_state { APPROVAL_WAITING = 1, APPROVAL_APPROVED, APPROVAL_DENIED, APPROVAL_LAPSED };
const char *approval_state_name(enum approval_state s); /* "waiting", ... */

struct approval {
    uint8_t id[ID_LEN];
    enum perm perm;
    char home[TENANT_MAX + 1]; /* of the account that asked; another tenant for the vendor's people */
    uint8_t account[ID_LEN];
    int64_t requested, decided;
    enum approval_state state; /* as of the `now` it was read at */
    uint8_t decider[ID_LEN];   /* an account of the tenant; zero: not decided */
    unsigned status;           /* of the answer to the request when it was done; 0: it was not */
    char location[APPROVAL_LOCATION_MAX];
    bool has_answer;     /* approval_answer() has something */
    uint8_t key[ID_LEN]; /* while it waits: of the person it is about; zero: of none */
    bool damaged;        /* its row does not open: only what stands in the clear is known, and the day of `requested` */
};
struct approval_list {
    struct approval *items;
    size_t n;
    bool more;
};

/* What was asked for. */
struct approval_asked {
    const char *method, *path;
    const char *type, *if_match, *if_none_match; /* NULL: none */
    struct approval_pair {
        const char *name, *value;
    } query[APPROVAL_QUERY_MAX];
    size_t n_query;
    bool has_token; /* by a token, which may less than the account, and may end */
    uint8_t token[TOKEN_ID_LEN];
    struct bytes body;
};
/* The same with memory of its own, from which `asked` borrows; the body, of body_n bytes, is left out. */
struct approval_request {
    struct approval_asked asked;
    size_t body_n;
    char text[4096];
};

/* Inserts one that waits; inside the caller's transaction, as everything that writes. CLOUD_INVALID: more than
 * APPROVAL_HEAD_MAX. APPROVAL_FULL: as much of the account's, or of the tenant's, is kept as may be. */
enum { APPROVAL_FULL = 16 };
int approval_ask(const struct scope *s, const struct approval *a, const struct approval_asked *asked);
/* CLOUD_ABSENT. A damaged one is found all the same. */
int approval_get(const struct scope *s, const uint8_t id[ID_LEN], int64_t now, struct approval *ret);
/* CLOUD_ABSENT: it waits no more, or the person it was about is erased. CLOUD_DAMAGED. */
int approval_request(const struct scope *s, const struct approval *a, struct approval_request *ret);
/* Appends the body from its `part`-th part on, at most APPROVAL_PARTS of them. The same, and CLOUD_ABSENT behind the
 * last one. */
#define APPROVAL_PARTS 256
int approval_body(const struct scope *s, const struct approval *a, uint64_t part, struct buf *ret);
/* By id, beginning after `after`, at most limit. */
int approval_list(const struct scope *s, const uint8_t *after, size_t limit, int64_t now, struct approval_list *ret);
void approval_list_done(struct approval_list *l);
/* *a, as it was read, from waiting to approved or denied; the request is forgotten. CLOUD_CONFLICT: it waits no more.
 */
int approval_decide(const struct scope *s, struct approval *a, bool approve, const uint8_t decider[ID_LEN],
                    int64_t now);
/* What became of *a, which is approved. answer: what only the request's answer says, for who asked, once; NULL:
 * nothing. */
int approval_done(const struct scope *s, struct approval *a, unsigned status, const char *location, const char *answer);
/* Appends that answer and forgets it. CLOUD_ABSENT: there was none, or it was handed out. */
int approval_answer(const struct scope *s, struct approval *a, struct buf *ret);
/* Forgets requests and answers that waited for too long, and those of last season. Own transactions, none when there is
 * nothing to do. */
int approval_sweep(struct cloud *c, struct db *db, int64_t now);
