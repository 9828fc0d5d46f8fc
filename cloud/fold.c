/* Repeats; see fold.h. Both directions look under the keys of the credential's holders only, so nothing about persons
 * is needed beside the rows; the table `unfolded` says which gseq are worth a look. */
#include "cloud/fold.h"

#include <string.h>

#include "cloud/changes.h"

#define LOOK_BACK_DAYS 62 /* a power cut may last, and so may the way of the first report */
#define HOLDERS_MAX 256   /* a visitors' card changes hands daily */

struct search {
    const struct filed *of;
    struct fold_budget *budget;
    bool for_original; /* else for a repeat of it */
    bool found;
    struct filed_item hit;
};

static bool same_reading(const struct filed *a, const struct filed *b)
{
    return memcmp(a->gw, b->gw, GW_LEN) == 0 && a->gen == b->gen &&
           strcmp(a->rec.punch.reader, b->rec.punch.reader) == 0 && cred_equal(&a->rec.punch.cred, &b->rec.punch.cred);
}

static bool has_gseq(const struct filed *f, uint64_t gseq)
{
    if (f->rec.gseq == gseq)
        return true;
    for (size_t i = 0; i < f->n_repeats; i++)
        if (f->repeats[i].gseq == gseq)
            return true;
    return false;
}

static int match(void *arg, const uint8_t key_id[KEY_ID_LEN], enum key_kind kind, struct filed *f)
{
    struct search *q = arg;
    if (q->budget->rows == 0)
        return 1;
    q->budget->rows--;
    if (!same_reading(f, q->of))
        return 0;
    if (q->for_original ? !has_gseq(f, q->of->rec.punch.repeat) : f->rec.punch.repeat != q->of->rec.gseq)
        return 0;
    memcpy(q->hit.key_id, key_id, KEY_ID_LEN);
    q->hit.kind = kind;
    q->hit.f = *f;
    f->plain = NULL;
    q->found = true;
    return 1;
}

static int search(const struct scope *s, struct search *q)
{
    uint8_t keys[HOLDERS_MAX][KEY_ID_LEN];
    size_t n = 0;
    if (q->budget->searches == 0)
        return 0;
    q->budget->searches--;
    int64_t when = day_of(filed_when(q->of)), received = day_of(q->of->received);
    int64_t last = (when > received ? when : received) + 1,
            first = (when < received ? when : received) - LOOK_BACK_DAYS;
    int r = holder_keys(s, &q->of->rec.punch.cred, first * DAY_US, (last + 1) * DAY_US, HOLDERS_MAX, keys, &n);
    for (size_t k = 0; r == 0 && k < n; k++) {
        r = filed_each_pending(s, keys[k], match, q);
        for (int64_t day = last; r == 0 && day >= first; day--)
            r = filed_each_day(s, day, keys[k], match, q);
    }
    return r == 1 ? 0 : r;
}

static void add_repeat(struct filed *to, const struct punch_repeat *p)
{
    if (to->n_repeats < PUNCH_REPEATS_MAX)
        to->repeats[to->n_repeats++] = *p;
}

/* The times of `from` and of what was folded into it go into `to`. False: no room for all. */
static bool absorb(struct filed *to, const struct filed *from)
{
    if (to->n_repeats + 1 + from->n_repeats > PUNCH_REPEATS_MAX)
        return false;
    struct punch_repeat own = {.gseq = from->rec.gseq,
                               .real = from->rec.real,
                               .mono = from->rec.mono,
                               .ck = from->rec.ck,
                               .received = from->received};
    add_repeat(to, &own);
    for (size_t i = 0; i < from->n_repeats; i++)
        add_repeat(to, &from->repeats[i]);
    return true;
}

static int unfolded(const struct scope *s, const char *sql, const struct filed *f, uint64_t gseq, bool *ret_any)
{
    struct db_stmt *st;
    int r = scope_stmt(s, sql, &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(f->gw, GW_LEN));
    db_bind_int(st, 3, (int64_t)f->gen);
    db_bind_int(st, 4, (int64_t)gseq);
    r = db_step(st);
    *ret_any = r == DB_ROW;
    db_done(st);
    return r < 0 ? r : 0;
}

/* A repeat of f is here already: its times go into f, its row goes. */
static int fold_earlier_arrival(const struct scope *s, struct filed *f, struct fold_budget *budget,
                                uint64_t *ret_folded)
{
    struct search q = {.of = f, .budget = budget};
    bool any;
    int r = unfolded(s, "SELECT 1 FROM unfolded WHERE tenant_id = ?1 AND gw = ?2 AND gen = ?3 AND gseq = ?4", f,
                     f->rec.gseq, &any);
    if (r != 0 || !any)
        return r;
    r = unfolded(s, "DELETE FROM unfolded WHERE tenant_id = ?1 AND gw = ?2 AND gen = ?3 AND gseq = ?4", f, f->rec.gseq,
                 &any);
    if (r == 0)
        r = search(s, &q);
    if (r == 0 && q.found && absorb(f, &q.hit.f)) {
        r = holder_unfile(s, q.hit.key_id, q.hit.kind, &q.hit.f);
        if (r == 0)
            r = changes_removed(s, q.hit.key_id, q.hit.f.segid, q.hit.f.index);
        (*ret_folded)++;
    }
    if (q.found)
        filed_done(&q.hit.f);
    return r;
}

int fold_file(const struct scope *s, struct filed *f, struct fold_budget *budget, uint64_t *ret_folded)
{
    struct search q = {.of = f, .budget = budget, .for_original = true};
    bool any, erased, done = false;
    /* First of all: what is to be forgotten takes nothing with it and leaves nothing in a row that stays. */
    int r = holder_erased(s, &f->rec.punch.cred, filed_when(f), &erased);
    if (r == 0 && erased)
        return HOLDER_ERASED;
    if (r == 0)
        r = fold_earlier_arrival(s, f, budget, ret_folded);
    if (r == 0 && f->rec.punch.repeat != 0) {
        r = search(s, &q);
        if (r == 0 && q.found && absorb(&q.hit.f, f)) {
            r = holder_replace(s, q.hit.key_id, &q.hit.f);
            (*ret_folded)++;
            done = true;
        } else if (r == 0 && !q.found) {
            r = unfolded(s,
                         "INSERT INTO unfolded(tenant_id, gw, gen, gseq) VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                         f, f->rec.punch.repeat, &any);
        }
        if (q.found)
            filed_done(&q.hit.f);
    }
    return r != 0 || done ? r : holder_file(s, f);
}
