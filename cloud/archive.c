/* Archiving; see archive.h. */
#include "cloud/archive.h"

#include "base/clock.h"
#include "cloud/credential.h"
#include "cloud/people_impl.h"

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

static int archive(const struct scope *s, const uint8_t id[ID_LEN], bool archived, struct person *p)
{
    int r = people_find(s, id, p);
    if (r != 0 || archived == (p->archived != 0))
        return r;
    p->archived = archived ? clock_real() : 0;
    r = people_put(s, p);
    return r == 0 && archived ? end_cards(s, id, p->archived) : r;
}

int archive_person(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], bool archived,
                   struct person *ret_person)
{
    struct scope s;
    struct person p;
    int r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = archive(&s, id, archived, &p);
    if (r == 0)
        r = cloud_commit(c, db);
    else
        cloud_rollback(c, db);
    if (r == 0)
        *ret_person = p;
    return r;
}
