/* What one row of an import means; see import_impl.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/be.h"
#include "base/str.h"
#include "cloud/archive.h"
#include "cloud/holder.h"
#include "cloud/import_impl.h"
#include "cloud/people_impl.h"
#include "cloud/unit.h"

static const char *const names[COL_COUNT] = {
    "personnel_number", "name",        "given_name", "family_name",    "email",     "phone",     "unit",
    "valid_from",       "valid_until", "card",       "card_rendering", "card_from", "card_until"};

static size_t find_name(const char *field)
{
    size_t k = 0;
    while (k < COL_COUNT && strcasecmp(names[k], field) != 0)
        k++;
    return k;
}

static void list_names(bool cards, char *ret, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < (cards ? COL_COUNT : COL_CARD) && n < max; i++)
        n += (size_t)snprintf(ret + n, max - n, "%s%s", i ? ", " : "", names[i]);
}

bool import_columns_read(const struct csv_row *header, bool cards, struct import_columns *ret, char ret_why[IMPORT_WHY])
{
    struct import_columns c = {.n = header->n};
    for (size_t i = 0; i < COL_COUNT; i++)
        c.index[i] = -1;
    for (size_t i = 0; i < header->n; i++) {
        const char *field = header->fields[i];
        const size_t k = find_name(field);
        if (field[0] == '\0') {
            c.nameless |= 1u << i;
            continue;
        }
        int n = snprintf(ret_why, IMPORT_WHY, "column %zu, \"%.60s\", ", i + 1, field);
        char *rest = ret_why + n;
        size_t room = IMPORT_WHY - (size_t)n;
        if (k == COL_COUNT) {
            n = snprintf(rest, room, "is none of ");
            list_names(cards, rest + n, room - (size_t)n);
            return false;
        }
        if (c.index[k] >= 0) {
            snprintf(rest, room, "stands there twice");
            return false;
        }
        if (k >= COL_CARD && !cards) {
            snprintf(rest, room, "needs the permission credentials.change");
            return false;
        }
        c.index[k] = (int)i;
    }
    if (c.index[COL_NUMBER] < 0) {
        snprintf(ret_why, IMPORT_WHY, "there is no column personnel_number");
        return false;
    }
    *ret = c;
    return true;
}

/* ---- what rows before had ---- */

int import_seen_init(struct import_seen *x, uint64_t rows)
{
    size_t n = 64;
    while (n < 4 * rows) /* a number and a card a row, half full */
        n *= 2;
    x->slots = calloc(n, sizeof *x->slots);
    x->n = x->slots != NULL ? n : 0;
    return x->slots != NULL ? 0 : -ENOMEM;
}

void import_seen_done(struct import_seen *x)
{
    if (x->slots != NULL)
        crypto_wipe(x->slots, x->n * sizeof *x->slots);
    free(x->slots);
}

/* Whether it was there before; now it is. The keys are hashes: any part of them is as good as another. */
static bool seen(struct import_seen *x, const uint8_t key[16], size_t line)
{
    size_t at = (size_t)be_get(key, 8) & (x->n - 1);
    for (; x->slots[at].line != 0; at = (at + 1) & (x->n - 1))
        if (memcmp(x->slots[at].key, key, 16) == 0)
            return true;
    memcpy(x->slots[at].key, key, 16);
    x->slots[at].line = (uint32_t)line;
    return false;
}

/* ---- one row ---- */

struct reading {
    const struct scope *s;
    const struct import_columns *columns;
    const struct csv_row *row;
    struct import_seen *seen;
    size_t line;
    struct row_plan *plan;
    struct row_fault *fault;
};

/* NULL: there is no such column. */
static const char *value(const struct reading *x, enum import_column c)
{
    return x->columns->index[c] < 0 ? NULL : x->row->fields[x->columns->index[c]];
}

/* With something in it, or NULL. */
static const char *filled(const struct reading *x, enum import_column c)
{
    const char *v = value(x, c);
    return v != NULL && v[0] != '\0' ? v : NULL;
}

static int bad(const struct reading *x, int column, const char *reason)
{
    *x->fault = (struct row_fault){.field = column < 0 ? "" : names[column], .reason = reason};
    return 0;
}

/* False: the row is bad. */
static bool read_time(const struct reading *x, enum import_column c, int64_t none, int64_t *ret)
{
    const char *v = filled(x, c);
    *ret = none;
    if (v == NULL || str_untime(v, ret) == 0)
        return true;
    bad(x, (int)c, "is not a date such as 2026-11-23, or an RFC 3339 time");
    return false;
}

/* A blank or a no-break space, which nobody sees in a cell: with it the number would be somebody else's. */
static bool has_outer_blank(const char *s)
{
    size_t n = strlen(s);
    return s[0] == ' ' || s[n - 1] == ' ' || strncmp(s, "\xc2\xa0", 2) == 0 ||
           (n >= 2 && strcmp(s + n - 2, "\xc2\xa0") == 0);
}

static int by_number(const struct reading *x)
{
    const char *number = filled(x, COL_NUMBER);
    uint8_t index[16];
    if (number == NULL)
        return bad(x, COL_NUMBER, "is empty");
    if (strlen(number) > PERSONNEL_NUMBER_MAX_LEN)
        return bad(x, COL_NUMBER, "is longer than 100 bytes");
    if (has_outer_blank(number))
        return bad(x, COL_NUMBER, "begins or ends with a blank");
    int r = people_number_index(x->s, number, index);
    if (r != 0)
        return r;
    if (seen(x->seen, index, x->line))
        return bad(x, COL_NUMBER, "stands in a line before this one, too");
    r = people_find_number(x->s, number, &x->plan->person);
    x->plan->is_new = r == CLOUD_ABSENT;
    if (r == CLOUD_DAMAGED)
        return bad(x, -1, "the person is there, but damaged in the store");
    if (r == 0 && x->plan->person.archived != 0)
        return bad(x, COL_NUMBER, "is of a person that is archived");
    return r == CLOUD_ABSENT ? 0 : r;
}

/* Which text it was that people_apply() refused. */
static int which_text(const struct reading *x, const struct person_set *set)
{
    const struct {
        int column;
        struct person_set set;
    } each[] = {
        {COL_NUMBER, {.name = "x", .personnel_number = set->personnel_number}},
        {COL_NAME, {.name = set->name != NULL ? set->name : "x"}},
        {COL_GIVEN, {.name = "x", .given_name = set->given_name}},
        {COL_FAMILY, {.name = "x", .family_name = set->family_name}},
        {COL_EMAIL, {.name = "x", .email = set->email}},
        {COL_PHONE, {.name = "x", .phone = set->phone}},
    };
    for (size_t i = 0; i < ARRAY_LEN(each); i++) {
        struct person p = {.from = TIME_MIN, .until = TIME_MAX};
        if (!people_apply(&p, &each[i].set))
            return bad(x, each[i].column,
                       each[i].column == COL_EMAIL ? "is not a mail address"
                                                   : "is too long, or has control characters");
    }
    return bad(x, COL_UNTIL, "is not after valid_from");
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static bool same_person(const struct person *a, const struct person *b)
{
    return same_text(a->name, b->name) && same_text(a->given_name, b->given_name) &&
           same_text(a->family_name, b->family_name) && same_text(a->email, b->email) &&
           same_text(a->phone, b->phone) && a->has_unit == b->has_unit && memcmp(a->unit, b->unit, ID_LEN) == 0 &&
           a->from == b->from && a->until == b->until;
}

static int read_unit(const struct reading *x, uint8_t ret_id[ID_LEN])
{
    struct unit u;
    const char *v = filled(x, COL_UNIT);
    memset(ret_id, 0, ID_LEN);
    if (v == NULL)
        return 0;
    int r = unit_by_name(x->s->c, x->s->db, x->s->tenant, v, &u);
    if (r == CLOUD_ABSENT || r == CLOUD_DAMAGED)
        return bad(x, COL_UNIT, "is not the name of a unit");
    if (r == 0 && u.archived != 0)
        return bad(x, COL_UNIT, "is archived");
    memcpy(ret_id, u.id, ID_LEN);
    return r;
}

static int read_person(const struct reading *x)
{
    struct person was = x->plan->person;
    uint8_t unit[ID_LEN];
    struct person_set set = {.name = value(x, COL_NAME),
                             .personnel_number = value(x, COL_NUMBER),
                             .given_name = value(x, COL_GIVEN),
                             .family_name = value(x, COL_FAMILY),
                             .email = value(x, COL_EMAIL),
                             .phone = value(x, COL_PHONE),
                             .unit = value(x, COL_UNIT) != NULL ? unit : NULL,
                             .has_from = value(x, COL_FROM) != NULL,
                             .has_until = value(x, COL_UNTIL) != NULL};
    if ((set.name != NULL || x->plan->is_new) && filled(x, COL_NAME) == NULL)
        return bad(x, COL_NAME, "is empty");
    int r = read_unit(x, unit);
    if (r != 0 || x->fault->reason != NULL || !read_time(x, COL_FROM, TIME_MIN, &set.from) ||
        !read_time(x, COL_UNTIL, TIME_MAX, &set.until))
        return r;
    if (x->plan->is_new)
        x->plan->person = (struct person){.from = TIME_MIN, .until = TIME_MAX};
    if (!people_apply(&x->plan->person, &set))
        return which_text(x, &set);
    x->plan->was_until = was.until;
    if (!x->plan->is_new && x->plan->person.until != was.until && x->plan->person.until != TIME_MAX &&
        (r = archive_may_end(x->s, &was)) != 0)
        return r == ARCHIVE_OWNER ? bad(x, COL_UNTIL, "would end the last Owner") : r;
    x->plan->person_changes = x->plan->is_new || !same_person(&was, &x->plan->person);
    return 0;
}

/* ---- its card ---- */

struct card_search {
    const struct reading *x;
    const char *number;
    bool found; /* the person holds, or held, one that shows so */
    struct assignment mine;
    bool others;
};

static int shows_so(void *arg, const struct assignment *a)
{
    struct card_search *q = arg;
    char text[CRED_TEXT_MAX];
    if (a->cred.damaged || !cred_renders(&a->cred.cred, q->x->plan->rendering))
        return 0;
    cred_render(&a->cred.cred, q->x->plan->rendering, text);
    if (strcasecmp(text, q->number) != 0)
        return 0;
    q->x->plan->cred = a->cred.cred;
    q->found = true;
    return 1;
}

/* Assignments of the card within the row's time, the person's and others'. */
static int within(void *arg, const struct assignment *a)
{
    struct card_search *q = arg;
    const struct row_plan *p = q->x->plan;
    if (a->cred.damaged || a->cred.until <= p->from || a->cred.from >= p->until || a->cred.from >= a->cred.until)
        return 0;
    if (!p->is_new && memcmp(a->key_id, p->person.key, KEY_ID_LEN) == 0) {
        q->found = true;
        q->mine = *a;
    } else {
        q->others = true;
    }
    return 0;
}

/* Lossy numbers claim what waits; who has claimed it holds it now. */
static int find_cred(const struct reading *x, const char *number)
{
    struct card_search q = {.x = x, .number = number};
    int r = x->plan->is_new ? 0 : assignment_each_of_key(x->s, x->plan->person.key, shows_so, &q);
    if (q.found || r < 0)
        return r < 0 ? r : 0;
    r = credential_by_number(x->s->c, x->s->db, x->s->tenant, number, x->plan->rendering, &x->plan->cred);
    if (r == CLOUD_INVALID)
        return bad(x, COL_CARD, "is not a number of this rendering");
    if (r == CLOUD_ABSENT)
        return bad(x, COL_CARD, "is no waiting card's; punch with it once, or give hex10 or dec13");
    if (r == CLOUD_AMBIGUOUS)
        return bad(x, COL_CARD, "is shown by more than one waiting card");
    return r;
}

static int plan_card(const struct reading *x)
{
    struct row_plan *p = x->plan;
    struct card_search q = {.x = x};
    uint8_t cidx[CIDX_LEN];
    int r = holder_cidx(x->s, &p->cred, cidx);
    if (r != 0)
        return r;
    if (seen(x->seen, cidx, x->line))
        return bad(x, COL_CARD, "stands in a line before this one, too");
    r = assignment_each(x->s, cidx, within, &q);
    if (r != 0)
        return r;
    if (q.others)
        return bad(x, COL_CARD, "is held by somebody else within that time");
    p->card = q.found ? CARD_NONE : CARD_ASSIGN;
    if (!q.found)
        return 0;
    const struct credential *held = &q.mine.cred;
    bool same_from = filled(x, COL_CARD_FROM) == NULL || p->from == held->from;
    bool same_until = filled(x, COL_CARD_UNTIL) == NULL || p->until == held->until;
    if (same_from && same_until)
        return 0;
    if (!same_from || p->until > held->until)
        return bad(x, COL_CARD, "is held by this person for another time");
    p->card = CARD_END;
    memcpy(p->credential, held->id, ID_LEN);
    return 0;
}

static int read_card(const struct reading *x)
{
    const char *number = filled(x, COL_CARD), *rendering = filled(x, COL_RENDERING);
    if (number == NULL)
        return 0;
    if (rendering == NULL || rendering_parse(rendering, &x->plan->rendering) < 0)
        return bad(x, COL_RENDERING, "is needed with a card, and is not one we know; hex10 is one");
    if (!read_time(x, COL_CARD_FROM, TIME_MIN, &x->plan->from) ||
        !read_time(x, COL_CARD_UNTIL, TIME_MAX, &x->plan->until))
        return 0;
    if (x->plan->until > x->plan->person.until)
        x->plan->until = x->plan->person.until; /* a card ends with who holds it */
    if (x->plan->from >= x->plan->until)
        return bad(x, COL_CARD_UNTIL, "is not after card_from, or valid_until is not");
    int r = find_cred(x, number);
    return r != 0 || x->fault->reason != NULL ? r : plan_card(x);
}

static bool in_nameless(const struct reading *x)
{
    for (size_t i = 0; i < x->row->n; i++)
        if (x->columns->nameless >> i & 1 && x->row->fields[i][0] != '\0')
            return true;
    return false;
}

int import_plan(const struct scope *s, const struct import_columns *columns, const struct csv_row *row,
                struct import_seen *seen_before, size_t line, struct row_plan *ret_plan, struct row_fault *ret_fault)
{
    struct reading x = {.s = s,
                        .columns = columns,
                        .row = row,
                        .seen = seen_before,
                        .line = line,
                        .plan = ret_plan,
                        .fault = ret_fault};
    *ret_plan = (struct row_plan){.card = CARD_NONE};
    if (row->n != columns->n)
        return bad(&x, -1,
                   row->n > columns->n
                       ? "it has more fields than the first line"
                       : "it has fewer fields than the first line; some spreadsheets leave out empty ones at the end");
    if (in_nameless(&x))
        return bad(&x, -1, "it has something in a column that the first line does not name");
    int r = by_number(&x);
    if (r == 0 && ret_fault->reason == NULL)
        r = read_person(&x);
    if (r == 0 && ret_fault->reason == NULL)
        r = read_card(&x);
    ret_plan->changes = ret_plan->person_changes || ret_plan->card != CARD_NONE;
    return r;
}

int import_do(const struct scope *s, struct row_plan *p)
{
    struct credential made;
    int r = p->is_new ? people_add(s, &p->person) : p->person_changes ? people_put(s, &p->person) : 0;
    if (r == 0 && !p->is_new && p->person_changes)
        r = archive_ends(s, &p->person, p->was_until);
    if (r == 0 && p->card == CARD_ASSIGN)
        r = credential_assign(s->c, s->db, s->tenant, p->person.id, &p->cred, p->rendering, p->from, p->until, &made,
                              NULL);
    else if (r == 0 && p->card == CARD_END)
        r = credential_unassign(s->c, s->db, s->tenant, p->credential, p->until, &made, NULL);
    return r > 0 ? -EBADMSG : r; /* the plan was made in this very transaction */
}
