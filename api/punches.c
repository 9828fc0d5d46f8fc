/* GET /v1/punches: who, where, when, in pages.
 *
 * Without a person a request reads at most 31 days. A window that the client leaves open is settled by the first page
 * and travels in the cursor, so that all pages are of one window however long they take. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_impl.h"
#include "base/clock.h"
#include "base/str.h"
#include "cloud/query.h"

#define DAY_US INT64_C(86400000000)

static const char *const filters[] = {"person", "site", "reader", "from", "to", "state", NULL};

static bool read_state(struct api_call *k, enum punch_state *ret)
{
    static const char *const names[] = {"all", "assigned", "unassigned", "pending"};
    const char *s = call_query(k, "state");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!s || strcmp(s, names[i]) == 0) {
            *ret = (enum punch_state)i;
            return true;
        }
    }
    problem_reply(k->r, PROBLEM_BAD_PARAMETER, "state is \"%.40s\"; use all, assigned, unassigned or pending", s);
    return false;
}

/* The last 24 hours when nothing is said. The end that is left open lies a day ahead: a clock on site may be ahead of
 * ours, and its punch is no less one of today. */
static bool settle_window(struct api_call *k, struct punch_query *q)
{
    int64_t now = clock_real(), most = QUERY_DAYS_MAX * DAY_US;
    if (!q->has_to && !q->has_from) {
        q->from = now - DAY_US;
        q->to = now + DAY_US;
    } else if (!q->has_from) {
        q->from = q->to >= INT64_MIN + DAY_US ? q->to - DAY_US : INT64_MIN;
    } else if (!q->has_to) {
        q->to = now + DAY_US;
        if (q->from < now - most) {
            problem_reply(k->r, PROBLEM_BAD_PARAMETER,
                          "from lies more than %d days back; give a to at most %d days after it, or a person",
                          QUERY_DAYS_MAX, QUERY_DAYS_MAX);
            return false;
        }
        if (q->from > q->to) /* in the future: nothing is there, and that is no mistake */
            q->to = q->from;
        if (q->to - q->from > most)
            q->to = q->from + most;
    }
    q->has_from = q->has_to = true;
    if (q->to > q->from && (uint64_t)q->to - (uint64_t)q->from > (uint64_t)most) {
        problem_reply(k->r, PROBLEM_BAD_PARAMETER,
                      "from and to are more than %d days apart; ask for a shorter time, or for a person",
                      QUERY_DAYS_MAX);
        return false;
    }
    return true;
}

static bool read_window(struct api_call *k, struct punch_query *q)
{
    if (!call_time(k, "from", &q->has_from, &q->from) || !call_time(k, "to", &q->has_to, &q->to))
        return false;
    if (q->has_from && q->has_to && q->from > q->to) {
        problem_reply(k->r, PROBLEM_BAD_PARAMETER, "from is later than to; swap them");
        return false;
    }
    return q->person || settle_window(k, q);
}

/* A cursor's text: "f123 t456 <position>", f and t only where the window has that end. */
static void write_pos(const struct punch_query *q, const struct punch_pos *next, char ret[CURSOR_POS_MAX + 1])
{
    char at[PUNCH_POS_TEXT_MAX];
    _Static_assert(PUNCH_POS_TEXT_MAX + 2 * sizeof("f-9223372036854775808 ") <= CURSOR_POS_MAX, "a cursor holds both");
    punch_pos_text(next, at);
    int n = 0;
    if (q->has_from)
        n += snprintf(ret + n, CURSOR_POS_MAX, "f%lld ", (long long)q->from);
    if (q->has_to)
        n += snprintf(ret + n, CURSOR_POS_MAX - (size_t)n, "t%lld ", (long long)q->to);
    snprintf(ret + n, CURSOR_POS_MAX + 1 - (size_t)n, "%s", at);
}

static bool read_end(const char **at, char letter, bool *ret_has, int64_t *ret_us)
{
    if (**at != letter)
        return true;
    char *end = NULL;
    errno = 0;
    long long v = strtoll(*at + 1, &end, 10);
    if (errno != 0 || *end != ' ')
        return false;
    *ret_has = true;
    *ret_us = v;
    *at = end + 1;
    return true;
}

/* The MAC says that we wrote it; a position of an older version of ours may still not parse. */
static bool read_pos(struct api_call *k, const char *text, struct punch_query *q, struct punch_pos *ret_pos)
{
    if (read_end(&text, 'f', &q->has_from, &q->from) && read_end(&text, 't', &q->has_to, &q->to) &&
        punch_pos_parse(text, ret_pos) == 0) {
        q->after = ret_pos;
        return true;
    }
    problem_reply(k->r, PROBLEM_BAD_CURSOR, "this cursor is of another version; begin again without a cursor");
    return false;
}

static void write_page(struct http_reply *r, const struct punch_list *l, const char *next)
{
    text_raw(&r->body, "{\"items\":[");
    for (size_t i = 0; i < l->n; i++) {
        text_raw(&r->body, i > 0 ? "," : "");
        text_punch(&r->body, &l->items[i], false);
    }
    text_raw(&r->body, "],\"next\":");
    if (next[0])
        text_string(&r->body, next);
    else
        text_raw(&r->body, "null");
    text_raw(&r->body, "}\n");
    r->status = 200;
    r->type = "application/json";
}

/* Somebody's, if the person is reached; anybody's at a site that is. */
static bool reached(void *arg, const struct person *p, const uint8_t *site)
{
    struct api_call *k = arg;
    return (p && call_reaches_person(k, PERM_PUNCHES_READ, p)) ||
           (site && call_reaches_site(k, PERM_PUNCHES_READ, site));
}

/* Who was asked for is seen even where there is no punch: that there is none says something, too. */
static bool saw(struct api_call *k, const struct punch_query *q, const struct punch_list *l)
{
    struct shown shown = {0};
    if (q->person)
        shown_add(&shown, q->person, NULL);
    for (size_t i = 0; i < l->n; i++)
        if (l->items[i].has_person)
            shown_add(&shown, l->items[i].person, NULL);
    return call_saw_those(k, "punch", &shown);
}

static void list(struct api_call *k, struct punch_query *q)
{
    struct punch_list l = {0};
    char pos[CURSOR_POS_MAX + 1], next[CURSOR_TEXT_MAX];
    int r = query_punches(k->cloud, k->db, q, &l);
    if (r != 0) {
        call_outcome(k, r, r == CLOUD_ABSENT ? "person" : "list of punches");
        return;
    }
    if (l.more)
        write_pos(q, &l.next, pos);
    if (saw(k, q, &l) && call_next(k, filters, l.more ? pos : NULL, next))
        write_page(k->r, &l, next);
    punch_list_done(&l);
}

void api_punches_list(struct api_call *k)
{
    struct punch_query q = {.tenant = k->tenant, .site = call_query(k, "site"), .reader = call_query(k, "reader")};
    struct punch_pos after;
    uint8_t person[ID_LEN];
    bool has_person = false;
    char pos[CURSOR_POS_MAX + 1];
    if (!call_limit(k, &q.limit) || !read_state(k, &q.state) ||
        !call_query_id(k, "person", person, ID_LEN, &has_person) || !call_cursor(k, filters, pos))
        return;
    struct person known;
    q.person = has_person ? person : NULL;
    if (!call_everywhere(k, PERM_PUNCHES_READ)) {
        if (has_person && !api_person_of(k, PERM_PUNCHES_READ, person, true, &known))
            return;
        q.fits = reached;
        q.fits_arg = k;
    }
    if (pos[0] ? read_pos(k, pos, &q, &after) : read_window(k, &q))
        list(k, &q);
}
