/* What one person asked for and another has to approve (four eyes): a request as it came, kept sealed for a week at
 * most, and what became of it. A request that is about a person is under that person's key and dies with it. */
#pragma once

#include "base/buf.h"
#include "cloud/who.h"

struct scope;

#define APPROVAL_US (INT64_C(7) * 24 * 3600 * 1000000)
#define APPROVAL_REQUEST_MAX 3500 /* bytes of path, query and body together */
#define APPROVAL_LOCATION_MAX 96

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
    uint8_t key[ID_LEN]; /* of the person it is about; zero: of none */
};
struct approval_list {
    struct approval *items;
    size_t n;
    bool more;
};

/* What was asked for: a write whose body is JSON, or that has none. */
struct approval_asked {
    const char *method, *path;
    const char *if_match; /* NULL: none */
    struct bytes body;
};
/* The same with memory of its own, from which `asked` borrows. */
struct approval_request {
    struct approval_asked asked;
    char text[APPROVAL_REQUEST_MAX + 256];
};

/* Inserts one that waits; inside the caller's transaction, as everything that writes. CLOUD_INVALID: too large. */
int approval_ask(const struct scope *s, const struct approval *a, const struct approval_asked *asked);
int approval_get(const struct scope *s, const uint8_t id[ID_LEN], int64_t now, struct approval *ret); /* CLOUD_ABSENT */
/* CLOUD_ABSENT: it waits no more, or the person it was about is erased. CLOUD_DAMAGED. */
int approval_request(const struct scope *s, const struct approval *a, struct approval_request *ret);
/* By id, beginning after `after`, at most limit. */
int approval_list(const struct scope *s, const uint8_t *after, size_t limit, int64_t now, struct approval_list *ret);
void approval_list_done(struct approval_list *l);
/* From waiting to approved or denied; the request is forgotten. CLOUD_CONFLICT: it waits no more. */
int approval_decide(const struct scope *s, const uint8_t id[ID_LEN], bool approve, const uint8_t decider[ID_LEN],
                    int64_t now);
/* What became of one that is approved. */
int approval_done(const struct scope *s, const uint8_t id[ID_LEN], unsigned status, const char *location);
/* Forgets requests that waited for too long. Own transaction, none when there is nothing to do. */
int approval_sweep(struct cloud *c, struct db *db, int64_t now);
