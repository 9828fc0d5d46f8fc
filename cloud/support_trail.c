/* What was done under an access, and its end; see support_trail.h. */
#include "cloud/support_trail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/jsontext.h"
#include "cloud/mail.h"
#include "cloud/outbox.h"
#include "cloud/scope.h"
#include "cloud/tell.h"

#define LOOK_AT 5000 /* rows of the trail in one call of support_events() */
#define STEP 200
#define LATE_US (INT64_C(120) * 1000000) /* reads wait in the journal for seconds before they are in the trail */
#define DUE_MAX 64

struct walk {
    const char *mark; /* "support":"<id>" */
    int64_t end;      /* events of later are not of it */
    bool beyond;
    size_t left;
    uint64_t next;
    support_event_fn *fn;
    void *arg;
};

enum { ENOUGH = 1 };

static int look(void *arg, const struct audit_row *row)
{
    struct walk *w = arg;
    int64_t at = 0;
    json_t *core = NULL; /* whose a damaged one was, nobody knows */
    int r = row->core ? jsontext_read(BYTES_STR(row->core), NULL, &core) : 0;
    if (r == -ENOMEM)
        return r;
    const char *time = json_string_value(json_object_get(core, "time"));
    const char *id = json_string_value(json_object_get(json_object_get(core, "actor"), "support"));
    r = 0;
    w->next = row->seq + 1;
    if (time && str_untime(time, &at) == 0 && at > w->end)
        w->beyond = true;
    else if (id && strcmp(id, w->mark) == 0) {
        r = w->fn(w->arg, core, row);
        w->left--;
    }
    json_decref(core);
    return r != 0 ? r : w->beyond || w->left == 0 ? ENOUGH : 0;
}

int support_events(const struct scope *s, const struct support *p, uint64_t from, size_t limit, support_event_fn *fn,
                   void *arg, uint64_t *ret_next)
{
    char mark[2 * ID_LEN + 1];
    struct audit_reader *reader = NULL;
    struct audit_head head = {0};
    struct walk w = {.mark = str_hex(p->id, ID_LEN, mark), .end = INT64_MAX, .left = limit, .fn = fn, .arg = arg};
    size_t seen = 0;
    int r = 0;
    if (p->perms == 0) { /* nobody was in */
        *ret_next = 0;
        return 0;
    }
    if (p->state != SUPPORT_ACTIVE)
        w.end = p->ended + LATE_US;
    if (from == 0)
        r = audit_from(s, p->starts, &from);
    w.next = from;
    if (r == 0)
        r = audit_head(s, &head);
    if (r == 0)
        r = audit_reader_new(true, &reader);
    while (r == 0 && w.next <= head.seq && seen < LOOK_AT) {
        uint64_t next = w.next;
        r = audit_each(reader, s, w.next, STEP, look, &w, &next);
        if (r == 0)
            w.next = next;
        seen += STEP;
    }
    audit_reader_free(reader);
    if (r != 0 && r != ENOUGH)
        return r;
    bool over = p->state != SUPPORT_ACTIVE && (w.beyond || w.next > head.seq);
    *ret_next = over ? 0 : w.next;
    return 0;
}

/* ---- the summary ---- */

static void count(json_t **to, const char *name, json_int_t n)
{
    whole_set(to, name, json_integer(json_integer_value(json_object_get(*to, name)) + n));
}

static int add_person(struct support_summary *y, const struct subject *who)
{
    if (y->n_people == y->cap_people) {
        size_t cap = y->cap_people == 0 ? 64 : 2 * y->cap_people;
        struct subject *more = realloc(y->people, cap * sizeof *more);
        if (!more)
            return -ENOMEM;
        y->people = more;
        y->cap_people = cap;
    }
    y->people[y->n_people++] = *who;
    return 0;
}

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, ID_LEN);
}

static void once(struct support_summary *y)
{
    size_t n = 0;
    if (y->n_people > 0)
        qsort(y->people, y->n_people, sizeof y->people[0], by_id);
    for (size_t i = 0; i < y->n_people; i++)
        if (n == 0 || memcmp(y->people[n - 1].id, y->people[i].id, ID_LEN) != 0)
            y->people[n++] = y->people[i];
    y->n_people = n;
}

static int sum(void *arg, const json_t *core, const struct audit_row *row)
{
    struct support_summary *y = arg;
    const char *route = json_string_value(json_object_get(core, "route"));
    const char *outcome = json_string_value(json_object_get(core, "outcome"));
    const char *kind = json_string_value(json_object_get(core, "kind"));
    const char *time = json_string_value(json_object_get(core, "time"));
    json_t *fields = json_object_get(core, "fields"), *field;
    size_t i;
    bool done = outcome && strcmp(outcome, "done") == 0;
    if (!done)
        y->refused++;
    else if (route && strncmp(route, "GET ", 4) == 0)
        y->reads++;
    else
        y->changes++;
    if (kind)
        count(&y->kinds, kind, 1);
    json_array_foreach(fields, i, field)
    {
        if (json_is_string(field))
            count(&y->fields, json_string_value(field), 1);
    }
    if (time && !y->first[0])
        str_copy(y->first, sizeof y->first, time);
    if (time)
        str_copy(y->last, sizeof y->last, time);
    int r = 0;
    for (i = 0; r == 0 && i < row->n_whose; i++) {
        if (row->whose[i].known)
            r = add_person(y, &row->whose[i].who);
        else
            y->forgotten++;
    }
    return y->kinds && y->fields ? r : -ENOMEM;
}

int support_summary(const struct scope *s, const struct support *p, struct support_summary *ret)
{
    struct support_summary y = {.kinds = json_object(), .fields = json_object()};
    uint64_t next = 0, from;
    int r = 0;
    do {
        from = next;
        r = support_events(s, p, from, SIZE_MAX, sum, &y, &next);
        once(&y);
    } while (r == 0 && next != 0 && next - from >= LOOK_AT);
    if (r == 0)
        *ret = y;
    else
        support_summary_done(&y);
    return r;
}

void support_summary_done(struct support_summary *y)
{
    json_decref(y->kinds);
    json_decref(y->fields);
    free(y->people);
    *y = (struct support_summary){0};
}

/* ---- the sweep ---- */

static int note_end(const struct scope *s, const struct support *p)
{
    char id[2 * ID_LEN + 1];
    const struct who who = {.is = WHO_SYSTEM, .home = VENDOR_TENANT};
    json_t *detail = json_pack("{s:s, s:s}", "state", support_state_name(p->state), "by", support_end_name(p->end));
    const struct audit_event e = {.kind = p->state == SUPPORT_LAPSED ? "support.lapsed" : "support.ended",
                                  .outcome = AUDIT_DONE,
                                  .who = &who,
                                  .resource = str_hex(p->id, ID_LEN, id),
                                  .detail = detail};
    int r = detail ? audit_put(s, &e) : -ENOMEM;
    json_decref(detail);
    return r;
}

static int tell(const struct scope *s, const struct support *p)
{
    char id[2 * ID_LEN + 1], from[MAIL_TIME], until[MAIL_TIME], reads[24], changes[24];
    struct support_summary y;
    int r = support_summary(s, p, &y);
    if (r != 0)
        return r;
    snprintf(reads, sizeof reads, "%llu", (unsigned long long)y.reads);
    snprintf(changes, sizeof changes, "%llu", (unsigned long long)y.changes);
    support_summary_done(&y);
    const struct mail_arg args[] = {{"ticket", p->ticket[0] ? p->ticket : str_hex(p->id, ID_LEN, id)},
                                    {"from", mail_time(p->starts, from)},
                                    {"until", mail_time(p->ended, until)},
                                    {"reads", reads},
                                    {"changes", changes}};
    r = tell_holders(s, PERM_SUPPORT_APPROVE, NULL, MAIL_SUPPORT_SUMMARY, args, ARRAY_LEN(args));
    json_t *o = json_pack("{s:s}", "id", str_hex(p->id, ID_LEN, id));
    if (r == 0)
        r = o ? outbox_event(s, p->kind == SUPPORT_BREAK_GLASS ? "breakglass.summary" : "support.summary", o) : -ENOMEM;
    json_decref(o);
    return r == 0 ? support_told(s, p->id) : r;
}

/* First its end; at a later time, when all of its events are in the trail, the summary. */
static int settle(const struct scope *s, const struct support_due *d, int64_t now, bool clock_back)
{
    struct support p;
    int r = support_expire(s, d->id, clock_back, now, &p);
    if (r == 0)
        return note_end(s, &p);
    if (r == CLOUD_CONFLICT)
        r = support_get(s, d->id, &p);
    if (r != 0)
        return r;
    bool late = p.ended + LATE_US / 2 <= now || p.ended > now;
    return p.state == SUPPORT_ENDED && !p.told && late ? tell(s, &p) : 0;
}

int support_sweep(struct cloud *c, struct db *db, int64_t now, bool clock_back)
{
    struct support_due due[DUE_MAX];
    size_t n = 0;
    int worst = support_due(db, now, clock_back, DUE_MAX, due, &n);
    for (size_t i = 0; i < n; i++) { /* one customer's trouble is not another's */
        struct scope s;
        int r = cloud_begin(c, db);
        if (r != 0)
            return r;
        r = scope_init(c, db, due[i].tenant, &s);
        if (r == 0)
            r = settle(&s, &due[i], now, clock_back);
        r = cloud_end(c, db, r);
        if (r == CLOUD_FENCED) /* an erasure of that customer goes first */
            r = 0;
        if (r != 0) {
            log_error("support.sweep", "tenant=%s error=%s action=\"again in a minute\"", due[i].tenant,
                      log_q(r < 0 ? error_str(r) : "unexpected outcome"));
            worst = r;
        }
    }
    return worst;
}
