/* GET /v1/punches: who, where, when, in pages.
 *
 * Without a person a request reads at most 31 days. A window that the client leaves open is settled by the first page
 * and travels in the cursor, so that all pages are of one window however long they take. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cloud/api_impl.h"
#include "cloud/query.h"

#define DAY_US INT64_C(86400000000)

static const char *const filters[] = {"person", "site", "reader", "from", "to", "state", NULL};

/* Whole hex ids and index: what design section 1 calls the identity of a record. */
json_t *api_punch_id(const uint8_t *segid, uint64_t index)
{
    char hex[2 * SEGID_LEN + 1], text[sizeof hex + 24];
    snprintf(text, sizeof text, "%s-%llu", str_hex(segid, SEGID_LEN, hex), (unsigned long long)index);
    return json_string(text);
}

static json_t *uncertainty(uint64_t us)
{
    return us == CK_UNBOUNDED ? json_null() : json_integer((json_int_t)us);
}

json_t *api_original_json(int64_t real, uint64_t mono, uint8_t ck)
{
    static const char *const clocks[] = {"never", "rtc", "synchronised", "free"};
    unsigned state = ck_state(ck);
    return json_pack("{s:o, s:I, s:I, s:s, s:o}", "time", json_time(real), "real_us", (json_int_t)real, "mono_us",
                     (json_int_t)mono, "clock", state < ARRAY_LEN(clocks) ? clocks[state] : "never", "uncertainty_us",
                     uncertainty(ck_uncertainty(ck)));
}

static json_t *repeat(const struct punch_repeat *p)
{
    json_t *o = api_original_json(p->real, p->mono, p->ck);
    json_object_set_new(o, "gseq", json_integer((json_int_t)p->gseq));
    json_object_set_new(o, "received", json_time(p->received));
    return o;
}

/* The first repeat; further ones, of a gateway that lost power again, in "others". */
static json_t *repeats(const struct punch_row *p)
{
    if (p->n_repeats == 0)
        return json_null();
    json_t *o = repeat(&p->repeats[0]), *others = json_array();
    for (size_t i = 1; i < p->n_repeats; i++)
        json_array_append_new(others, repeat(&p->repeats[i]));
    json_object_set_new(o, "others", others);
    return o;
}

static const char *state_text(enum punch_state s)
{
    return s == PUNCH_ASSIGNED ? "assigned" : s == PUNCH_UNASSIGNED ? "unassigned" : "pending";
}

json_t *api_punch_json(const struct punch_row *p)
{
    bool pending = p->state == PUNCH_PENDING;
    const char *dir = dir_name(p->dir);
    json_t *person =
        p->has_person ? json_pack("{s:o, s:o}", "id", json_hex(p->person, ID_LEN), "name", problem_text(p->person_name))
                      : json_null();
    json_t *o =
        json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:s, s:I}", "id", api_punch_id(p->segid, p->index), "state",
                  state_text(p->state), "person", person, "credential", api_cred_json(&p->cred, p->rendering),
                  "gateway", json_hex(p->gw, GW_LEN), "site", problem_text(p->site), "reader", problem_text(p->reader),
                  "direction", dir ? dir : "unknown", "gseq", (json_int_t)p->gseq);
    json_object_set_new(o, "generation", json_integer((json_int_t)p->gen));
    json_object_set_new(o, "function", p->dir >= 16 ? json_integer(p->dir - 16) : json_null());
    json_object_set_new(o, "time", pending ? json_null() : json_time(p->time));
    json_object_set_new(o, "uncertainty_us", pending ? json_null() : uncertainty(p->uncertainty));
    json_object_set_new(o, "estimated", json_boolean(p->estimated));
    json_object_set_new(o, "impossible", json_boolean(p->impossible));
    json_object_set_new(o, "original", api_original_json(p->real, p->mono, p->ck));
    json_object_set_new(o, "repeat", repeats(p));
    json_object_set_new(o, "received", json_time(p->received));
    return o;
}

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

static void list(struct api_call *k, struct punch_query *q)
{
    struct punch_list l = {0};
    char pos[CURSOR_POS_MAX + 1];
    int r = query_punches(k->cloud, k->db, q, &l);
    if (r != 0) {
        call_outcome(k, r, r == CLOUD_ABSENT ? "person" : "list of punches");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < l.n; i++)
        json_array_append_new(items, api_punch_json(&l.items[i]));
    if (l.more)
        write_pos(q, &l.next, pos);
    call_page(k, filters, items, l.more ? pos : NULL);
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
    q.person = has_person ? person : NULL;
    if (pos[0] ? read_pos(k, pos, &q, &after) : read_window(k, &q))
        list(k, &q);
}
