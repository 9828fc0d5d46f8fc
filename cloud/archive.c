/* Archiving; see archive.h. */
#include "cloud/archive.h"

#include "base/clock.h"
#include "cloud/credential_impl.h"
#include "cloud/granted.h"
#include "cloud/link.h"
#include "cloud/people_impl.h"
#include "cloud/session.h"
#include "cloud/token.h"

/* A damaged one tells no time, and takes no punch. */
static int end_card(const struct scope *s, const struct credential *c, int64_t now)
{
    struct credential ended;
    if (c->damaged || c->until <= now)
        return 0;
    return credential_unassign(s->c, s->db, s->tenant, c->id, c->from > now ? c->from : now, &ended, NULL);
}

static int end_cards(const struct scope *s, const uint8_t person[ID_LEN], int64_t now)
{
    struct credential_list l = {0};
    int r = credential_list(s->c, s->db, s->tenant, person, &l);
    for (size_t i = 0; r == 0 && i < l.n; i++)
        r = end_card(s, &l.items[i], now);
    credential_list_done(&l);
    return r;
}

int archive_account(const struct scope *s, struct account *a)
{
    int r = granted_may_go(s, a->id, NULL, clock_real());
    if (r == CLOUD_CONFLICT)
        return ARCHIVE_OWNER;
    if (r == 0)
        r = session_end_all(s, a->id, NULL);
    if (r == 0)
        r = link_end_all(s, a->id);
    if (r == 0)
        r = token_end_account(s, a->id);
    a->state = ACCOUNT_ARCHIVED;
    return r == 0 ? account_put(s, a) : r;
}

/* A damaged one lets nobody in. */
static int end_account(const struct scope *s, const struct person *p)
{
    struct account CLEANUP(account_wipe) a = {0};
    int r = account_by_key(s, p->key, &a);
    if (r == CLOUD_ABSENT || r == CLOUD_DAMAGED || (r == 0 && a.state == ACCOUNT_ARCHIVED))
        return 0;
    return r != 0 ? r : archive_account(s, &a);
}

static int archive(const struct scope *s, const uint8_t id[ID_LEN], bool archived, struct person *p)
{
    int r = people_find(s, id, p);
    if (r != 0 || archived == (p->archived != 0))
        return r;
    p->archived = archived ? clock_real() : 0;
    r = people_put(s, p);
    if (r == 0 && archived)
        r = end_cards(s, id, p->archived);
    return r == 0 && archived ? end_account(s, p) : r;
}

int archive_may_end(const struct scope *s, const struct person *p)
{
    struct account CLEANUP(account_wipe) a = {0};
    int r = account_by_key(s, p->key, &a);
    if (r == 0 || r == CLOUD_DAMAGED)
        r = granted_may_go(s, a.id, NULL, clock_real());
    return r == CLOUD_CONFLICT ? ARCHIVE_OWNER : r == CLOUD_ABSENT ? 0 : r;
}

static int end_with(const struct scope *s, const struct credential *c, int64_t was, int64_t until)
{
    struct credential ended;
    if (c->damaged)
        return 0;
    if (c->until > until)
        return credential_unassign(s->c, s->db, s->tenant, c->id, c->from > until ? c->from : until, &ended, NULL);
    int r = c->until == was && c->from < was ? credential_prolong(s, c->id, until) : 0;
    return r == CLOUD_CONFLICT ? 0 : r; /* somebody else has got it since */
}

int archive_ends(const struct scope *s, const struct person *p, int64_t was)
{
    struct credential_list l = {0};
    int r = p->archived != 0 || p->until == was ? 0 : credential_list(s->c, s->db, s->tenant, p->id, &l);
    for (size_t i = 0; r == 0 && i < l.n; i++)
        r = end_with(s, &l.items[i], was, p->until);
    credential_list_done(&l);
    return r;
}

int archive_person(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], bool archived,
                   struct person *ret_person)
{
    struct scope s;
    struct person p;
    int r = scope_begin(c, db, tenant, &s);
    if (r != 0)
        return r;
    r = cloud_end(c, db, archive(&s, id, archived, &p));
    if (r == 0)
        *ret_person = p;
    return r;
}
