/* Counting refusals; see audit_refused.h. */
#include "cloud/audit_refused.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define SOURCES 256
#define MINUTE_MS 60000

struct source {
    bool used;
    char tenant[TENANT_MAX + 1];
    const char *kind, *method, *route; /* all of them constants of ours */
    enum audit_outcome outcome;
    struct who who; /* without rights */
    int64_t since;  /* ms */
    uint64_t again;
};
struct audit_refusals {
    pthread_mutex_t lock;
    uint64_t count;
    struct source sources[SOURCES];
    struct source others; /* of whom there is no room for; never `used` */
};

int audit_refusals_new(struct audit_refusals **ret_refusals)
{
    struct audit_refusals *r = calloc(1, sizeof *r);
    if (r == NULL)
        return -ENOMEM;
    pthread_mutex_init(&r->lock, NULL);
    r->others.kind = "refusals";
    r->others.outcome = AUDIT_REFUSED;
    r->others.who.is = WHO_SYSTEM;
    *ret_refusals = r;
    return 0;
}

void audit_refusals_free(struct audit_refusals *r)
{
    if (r == NULL)
        return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static bool is_of(const struct source *s, const char *tenant, const struct audit_event *e)
{
    const struct who *a = &s->who, *b = e->who;
    return s->used && strcmp(s->tenant, tenant) == 0 && s->kind == e->kind && s->outcome == e->outcome &&
           s->method == e->method && s->route == e->route && a->is == b->is &&
           memcmp(a->account, b->account, ID_LEN) == 0 && memcmp(a->token, b->token, TOKEN_ID_LEN) == 0 &&
           strcmp(a->address, b->address) == 0;
}

/* Under the lock; NULL: there is none, and *ret_free is a place for it, or NULL. */
static struct source *find(struct audit_refusals *r, const char *tenant, const struct audit_event *e,
                           struct source **ret_free)
{
    *ret_free = NULL;
    for (size_t i = 0; i < SOURCES; i++) {
        if (is_of(&r->sources[i], tenant, e))
            return &r->sources[i];
        if (!r->sources[i].used)
            *ret_free = &r->sources[i];
    }
    return NULL;
}

static void remember(struct source *s, const char *tenant, const struct audit_event *e, int64_t now_ms)
{
    *s = (struct source){.used = true,
                         .kind = e->kind,
                         .outcome = e->outcome,
                         .method = e->method,
                         .route = e->route,
                         .who = *e->who,
                         .since = now_ms};
    s->who.rights.n = 0;
    str_copy(s->tenant, sizeof s->tenant, tenant);
}

bool audit_refusals_first(struct audit_refusals *r, const char *tenant, const struct audit_event *e, int64_t now_ms)
{
    struct source *room;
    tenant = tenant != NULL ? tenant : "";
    pthread_mutex_lock(&r->lock);
    r->count++;
    struct source *s = find(r, tenant, e, &room);
    if (s != NULL)
        s->again++;
    else if (room == NULL)
        r->others.again++;
    else
        remember(room, tenant, e, now_ms);
    pthread_mutex_unlock(&r->lock);
    return s == NULL && room != NULL;
}

void audit_refusals_again(struct audit_refusals *r, const char *tenant, const struct audit_event *e)
{
    struct source *room;
    pthread_mutex_lock(&r->lock);
    struct source *s = find(r, tenant != NULL ? tenant : "", e, &room);
    (s != NULL ? s : &r->others)->again++;
    pthread_mutex_unlock(&r->lock);
}

/* Its count is taken out under the lock and told outside of it; untold it is put back. */
static void tell(struct audit_refusals *r, struct source *s, bool over, audit_refusal_fn *fn, void *arg)
{
    if (!over)
        return;
    pthread_mutex_lock(&r->lock);
    const struct source copy = *s;
    s->used = false;
    s->again = 0;
    pthread_mutex_unlock(&r->lock);
    const struct audit_event e = {.kind = copy.kind,
                                  .outcome = copy.outcome,
                                  .who = &copy.who,
                                  .method = copy.method,
                                  .route = copy.route,
                                  .count = copy.again};
    if (copy.again == 0 || fn(arg, copy.tenant, &e) == 0)
        return;
    pthread_mutex_lock(&r->lock);
    r->others.again += copy.again;
    pthread_mutex_unlock(&r->lock);
}

void audit_refusals_flush(struct audit_refusals *r, int64_t now_ms, bool all, audit_refusal_fn *fn, void *arg)
{
    for (size_t i = 0; i < SOURCES; i++) {
        struct source *s = &r->sources[i];
        pthread_mutex_lock(&r->lock);
        bool over = s->used && (all || now_ms - s->since >= MINUTE_MS);
        pthread_mutex_unlock(&r->lock);
        tell(r, s, over, fn, arg);
    }
    pthread_mutex_lock(&r->lock);
    bool over = r->others.again > 0 && (all || now_ms - r->others.since >= MINUTE_MS);
    if (over)
        r->others.since = now_ms;
    pthread_mutex_unlock(&r->lock);
    tell(r, &r->others, over, fn, arg);
}

uint64_t audit_refusals_count(struct audit_refusals *r)
{
    pthread_mutex_lock(&r->lock);
    uint64_t n = r->count;
    pthread_mutex_unlock(&r->lock);
    return n;
}
