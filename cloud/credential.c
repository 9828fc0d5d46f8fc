/* Assigning, unassigning, and the re-filing that follows; see credential.h. */
#include "cloud/credential.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/str.h"
#include "cloud/changes.h"
#include "cloud/credential_impl.h"
#include "cloud/people_impl.h"

/* ---- re-filing ---- */

struct pick {
    const struct cred *cred;
    int64_t from, until; /* [from, until) by filed_when() */
    struct filed_list list;
};

static int pick_row(void *arg, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, struct filed *f)
{
    struct pick *p = arg;
    int64_t when = filed_when(f);
    if (when < p->from || when >= p->until || !cred_equal(&f->rec.punch.cred, p->cred))
        return 0;
    return filed_list_add(&p->list, key_id, kind, f);
}

/* What is filed nowhere any more was told of before. */
static int move_one(const struct scope *s, const struct filed_item *it, bool drop)
{
    struct row_keys keys;
    enum key_kind kind;
    int r = keyring_rows(s->ring, it->key_id, &kind, &keys);
    if (r == 0)
        r = filed_delete(s, &keys, &it->f);
    crypto_wipe(&keys, sizeof keys);
    if (r != 0)
        return r > 0 ? -EBADMSG : r;
    r = drop ? HOLDER_ERASED : holder_file(s, &it->f);
    return r == HOLDER_ERASED ? changes_removed(s, it->key_id, it->f.segid, it->f.index) : r > 0 ? -EBADMSG : r;
}

static int move_picked(const struct scope *s, struct pick *p, bool drop, uint64_t *moved)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < p->list.n; i++) {
        r = move_one(s, &p->list.items[i], drop);
        (*moved)++;
    }
    filed_list_done(&p->list);
    return r;
}

int credential_refile(const struct scope *s, const uint8_t key_id[KEY_ID_LEN], const struct cred *cred, int64_t from,
                      int64_t until, int64_t first_day, int64_t last_day, bool drop, uint64_t *moved)
{
    struct pick p = {.cred = cred, .from = from, .until = until};
    int r = 0;
    for (int64_t day = first_day; r == 0 && day <= last_day; day++) {
        r = filed_each_day(s, day, key_id, pick_row, &p);
        if (r == 0)
            r = move_picked(s, &p, drop, moved);
    }
    if (r == 0)
        r = filed_each_pending(s, key_id, pick_row, &p);
    if (r == 0)
        r = move_picked(s, &p, drop, moved);
    filed_list_done(&p.list);
    return r > 0 ? -EBADMSG : r;
}

/* ---- assign ---- */

static int overlaps(void *arg, const struct assignment *a)
{
    const struct credential *c = arg;
    int64_t from = a->cred.from > c->from ? a->cred.from : c->from;
    int64_t until = a->cred.until < c->until ? a->cred.until : c->until;
    return from < until ? CLOUD_CONFLICT : 0;
}

/* Punches that waited: those inside go to the person, the rest under a fresh waiting key; the old one is used no more.
 */
static int claim(const struct scope *s, const uint8_t cidx[CIDX_LEN], const struct credential *c, uint64_t *claimed)
{
    struct waiting_row row;
    uint64_t moved = 0, rest = 0;
    int r = waiting_get(s, cidx, &row);
    if (r != 0)
        return r == CLOUD_ABSENT ? 0 : r;
    int64_t first = day_of(row.w.first), last = day_of(row.w.last);
    r = waiting_delete(s, cidx);
    if (r == 0)
        r = credential_refile(s, row.key_id, &c->cred, c->from, c->until, first, last, false, &moved);
    /* The shared key stays the waiting key of what is left; the row that counts it is made anew all the same. */
    if (r == 0)
        r = credential_refile(s, row.key_id, &c->cred, TIME_MIN, c->from, first, last, false, &rest);
    if (r == 0)
        r = credential_refile(s, row.key_id, &c->cred, c->until, TIME_MAX, first, last, false, &rest);
    *claimed = moved;
    return r;
}

static int assign(const struct scope *s, struct credential *c, uint64_t *claimed)
{
    struct person p;
    struct assignment a;
    uint8_t cidx[CIDX_LEN];
    int r = people_find(s, c->person, &p);
    if (r == 0 && c->until > p.until) /* a card ends with who holds it */
        c->until = p.until;
    if (r == 0 && (p.archived != 0 || c->from >= c->until))
        return CLOUD_INVALID;
    if (r == 0)
        r = holder_cidx(s, &c->cred, cidx);
    if (r == 0)
        r = assignment_each(s, cidx, overlaps, c);
    if (r == 0)
        r = crypto_random(c->id, ID_LEN);
    if (r == 0) {
        c->created = holder_created(s, cidx, c->created);
        a.cred = *c;
        memcpy(a.key_id, p.key, KEY_ID_LEN);
        r = assignment_put(s, &a);
    }
    return r != 0 ? r : claim(s, cidx, c, claimed);
}

int credential_assign(struct cloud *c, struct db *db, const char *tenant, const uint8_t person[ID_LEN],
                      const struct cred *cred, uint8_t rendering, int64_t from, int64_t until,
                      struct credential *ret_credential, uint64_t *ret_refiled)
{
    struct scope s;
    uint64_t claimed = 0;
    struct credential n = {
        .cred = *cred, .rendering = rendering, .from = from, .until = until, .created = clock_real()};
    memcpy(n.person, person, ID_LEN);
    if (!cred_valid(cred) || from >= until || rendering_name(rendering) == NULL)
        return CLOUD_INVALID;
    int r = scope_begin(c, db, tenant, &s);
    if (r != 0)
        return r;
    r = cloud_end(c, db, assign(&s, &n, &claimed));
    if (r == 0) {
        *ret_credential = n;
        if (ret_refiled != NULL)
            *ret_refiled = claimed;
    }
    return r;
}

/* ---- unassign ---- */

static int unassign(const struct scope *s, const uint8_t id[ID_LEN], int64_t until, struct credential *ret,
                    uint64_t *moved)
{
    struct assignment a;
    int r = assignment_get(s, id, &a);
    if (r != 0)
        return r;
    int64_t was = a.cred.until;
    if (until < a.cred.from || until > was)
        return CLOUD_INVALID;
    a.cred.until = until;
    r = assignment_put(s, &a);
    /* From the end it now has to the end of what may be filed: a day beyond now. Nothing is older than the tenant. */
    int64_t first = day_of(until > s->created ? until : s->created) - 1, last = day_of(clock_real()) + 2;
    if (r == 0)
        r = credential_refile(s, a.key_id, &a.cred.cred, until, was, first, last, false, moved);
    if (r == 0)
        *ret = a.cred;
    return r;
}

int credential_unassign(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN], int64_t until,
                        struct credential *ret_credential, uint64_t *ret_refiled)
{
    struct scope s;
    struct credential done;
    uint64_t moved = 0;
    int r = scope_begin(c, db, tenant, &s);
    if (r != 0)
        return r;
    r = cloud_end(c, db, unassign(&s, id, until, &done, &moved));
    if (r == 0) {
        *ret_credential = done;
        if (ret_refiled != NULL)
            *ret_refiled = moved;
    }
    return r;
}

int credential_prolong(const struct scope *s, const uint8_t id[ID_LEN], int64_t until)
{
    struct assignment a;
    uint64_t claimed = 0;
    int r = assignment_get(s, id, &a);
    if (r != 0 || until <= a.cred.until)
        return r;
    struct credential more = a.cred;
    more.from = a.cred.until;
    more.until = until;
    r = assignment_each(s, a.cidx, overlaps, &more);
    a.cred.until = until;
    if (r == 0)
        r = assignment_put(s, &a);
    return r != 0 ? r : claim(s, a.cidx, &a.cred, &claimed);
}

/* ---- reading ---- */

int credential_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                   struct credential *ret_credential)
{
    struct scope s;
    struct assignment a;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = assignment_get(&s, id, &a);
    if (r == 0)
        *ret_credential = a.cred;
    return r;
}

static int collect(void *arg, const struct assignment *a)
{
    struct credential_list *l = arg;
    struct credential *p = realloc(l->items, (l->n + 1) * sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    l->items = p;
    l->items[l->n++] = a->cred;
    return 0;
}

static int by_from(const void *x, const void *y)
{
    const struct credential *a = x, *b = y;
    if (a->from != b->from)
        return a->from < b->from ? -1 : 1;
    return memcmp(a->id, b->id, ID_LEN);
}

int credential_list(struct cloud *c, struct db *db, const char *tenant, const uint8_t person[ID_LEN],
                    struct credential_list *ret_list)
{
    struct scope s;
    struct person p;
    struct credential_list l = {0};
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = people_find(&s, person, &p);
    if (r == 0 || r == CLOUD_DAMAGED)
        r = assignment_each_of_key(&s, p.key, collect, &l);
    if (r != 0) {
        credential_list_done(&l);
        return r;
    }
    if (l.n > 1)
        qsort(l.items, l.n, sizeof *l.items, by_from);
    *ret_list = l;
    return 0;
}

void credential_list_done(struct credential_list *l)
{
    free(l->items);
    *l = (struct credential_list){0};
}

/* ---- the inbox ---- */

static int compare_waiting(int64_t last, const uint8_t id[ID_LEN], const struct waiting *b)
{
    return last != b->last ? (last > b->last ? -1 : 1) : memcmp(id, b->id, ID_LEN);
}

static int by_last(const void *x, const void *y)
{
    const struct waiting *a = x;
    return compare_waiting(a->last, a->id, y);
}

struct inbox {
    struct waiting_list list;
    const struct waiting_pos *after;
    size_t limit;
};

static void keep_latest(struct inbox *in)
{
    struct waiting_list *l = &in->list;
    if (l->n > 1)
        qsort(l->items, l->n, sizeof *l->items, by_last);
    if (l->n > in->limit) {
        l->n = in->limit;
        l->more = true;
    }
}

/* Room for twice the limit, cut back whenever it is full: memory does not grow with the cards that wait. */
static int collect_waiting(void *arg, const uint8_t cidx[CIDX_LEN], const struct waiting_row *row)
{
    struct inbox *in = arg;
    struct waiting w = row->w;
    memcpy(w.id, cidx, ID_LEN);
    if (in->after != NULL && compare_waiting(in->after->last, in->after->id, &w) >= 0)
        return 0;
    if (in->list.n == 2 * in->limit)
        keep_latest(in);
    in->list.items[in->list.n++] = w;
    return 0;
}

int credential_waiting(struct cloud *c, struct db *db, const char *tenant, const struct waiting_pos *after,
                       size_t limit, struct waiting_list *ret_list)
{
    struct scope s;
    struct inbox in = {.after = after, .limit = limit};
    if (limit == 0 || limit > WAITING_LIMIT_MAX)
        return CLOUD_INVALID;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0) {
        in.list.items = calloc(2 * limit, sizeof *in.list.items);
        r = in.list.items == NULL ? -ENOMEM : waiting_each(&s, collect_waiting, &in);
    }
    if (r != 0) {
        waiting_list_done(&in.list);
        return r;
    }
    keep_latest(&in);
    *ret_list = in.list;
    return 0;
}

int credential_waiting_get(struct cloud *c, struct db *db, const char *tenant, const uint8_t id[ID_LEN],
                           struct waiting *ret_waiting)
{
    struct scope s;
    struct waiting_row row;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = waiting_get(&s, id, &row);
    if (r != 0)
        return r;
    *ret_waiting = row.w;
    memcpy(ret_waiting->id, id, ID_LEN);
    return 0;
}

void waiting_list_done(struct waiting_list *l)
{
    free(l->items);
    *l = (struct waiting_list){0};
}

/* ---- by number ---- */

struct by_number {
    const char *number;
    uint8_t rendering;
    size_t n;
    struct cred cred;
};

static int shows_so(void *arg, const uint8_t cidx[CIDX_LEN], const struct waiting_row *row)
{
    struct by_number *b = arg;
    char text[CRED_TEXT_MAX];
    if (!cred_renders(&row->w.cred, b->rendering))
        return 0;
    cred_render(&row->w.cred, b->rendering, text);
    if (strcasecmp(text, b->number) != 0)
        return 0;
    b->cred = row->w.cred;
    return ++b->n > 1 ? CLOUD_AMBIGUOUS : 0;
}

/* hex10 and dec13 hold all 40 bits of an EM4100 card. Only in their full length: the ten digits of a dec10 would be
 * a dec13 too, of a card that does not exist. */
static int from_whole(const char *number, uint8_t rendering, struct cred *ret)
{
    struct cred c = {.tech = TECH_EM4100, .bits = 40};
    char hex[11];
    uint64_t v;
    if (rendering == RENDER_DEC13) {
        if (strlen(number) != 13 || str_u64(number, 0, ((uint64_t)1 << 40) - 1, &v) < 0)
            return CLOUD_INVALID;
        snprintf(hex, sizeof hex, "%010" PRIx64, v);
        number = hex;
    }
    if (str_unhex(number, c.data, 5) < 0)
        return CLOUD_INVALID;
    *ret = c;
    return 0;
}

/* Only characters that the rendering has. */
static bool spelled(const char *number, uint8_t rendering)
{
    if (rendering == RENDER_HEX || rendering_name(rendering) == NULL)
        return false; /* plain hex does not say the technology */
    const char *digits = rendering == RENDER_HEX8 ? "0123456789abcdefABCDEF" : "0123456789,";
    return strspn(number, digits) == strlen(number);
}

int credential_by_number(struct cloud *c, struct db *db, const char *tenant, const char *number, uint8_t rendering,
                         struct cred *ret_cred)
{
    struct scope s;
    struct by_number b = {.number = number, .rendering = rendering};
    if (rendering == RENDER_HEX10 || rendering == RENDER_DEC13)
        return from_whole(number, rendering, ret_cred);
    if (!spelled(number, rendering))
        return CLOUD_INVALID;
    int r = scope_init(c, db, tenant, &s);
    if (r == 0)
        r = waiting_each(&s, shows_so, &b);
    if (r == 0)
        r = b.n == 0 ? CLOUD_ABSENT : 0;
    if (r == 0)
        *ret_cred = b.cred;
    return r;
}
