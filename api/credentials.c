/* /v1/credentials and /v1/people/{id}/credentials: who holds which card from when until when. */
#include <string.h>

#include "api/api_impl.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/credential.h"
#include "cloud/query.h"

#define SEEN "credential"

static json_t *card_json(const struct cred *c, unsigned rendering)
{
    char number[CRED_TEXT_MAX];
    const char *tech = tech_name(c->tech), *shown = rendering_name(rendering);
    return json_pack("{s:s, s:i, s:o, s:s}", "tech", tech ? tech : "unknown", "bits", (int)c->bits, "number_last4",
                     jsontext_of(text_number_end(c, rendering, number)), "rendering", shown ? shown : "hex");
}

json_t *api_credential_json(const struct credential *c)
{
    if (c->damaged)
        return json_damaged(c->id);
    json_t *o = card_json(&c->cred, c->rendering);
    whole_set(&o, "id", json_hex(c->id, ID_LEN));
    whole_set(&o, "person", json_hex(c->person, ID_LEN));
    whole_set(&o, "from", json_time_or_null(c->from, TIME_MIN));
    whole_set(&o, "until", json_time_or_null(c->until, TIME_MAX));
    whole_set(&o, "created", json_time(c->created));
    return o;
}

void api_credentials_of(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct person p;
    struct credential_list list = {0};
    if (!call_id(k, id, ID_LEN) || !api_person_of(k, PERM_CREDENTIALS_READ, id, true, &p))
        return;
    struct subject subject = api_subject(&p);
    int r = credential_list(k->cloud, k->db, k->tenant, id, &list);
    if (r != 0) {
        call_outcome(k, r, "person");
        return;
    }
    if (call_saw(k, SEEN, &subject, 1)) {
        json_t *items = json_array();
        for (size_t i = 0; i < list.n; i++)
            whole_append(&items, api_credential_json(&list.items[i]));
        call_slice(k, items);
    }
    credential_list_done(&list);
}

/* Hex digits of the longest credential. */
#define DIGITS_MAX INT64_C(124)
_Static_assert(DIGITS_MAX == CRED_MAX + CRED_MAX, "two digits a byte");

enum { F_TECH, F_BITS, F_DATA, F_NUMBER, F_RENDERING, F_WAITING, F_FROM, F_UNTIL, F_COUNT };
static const struct body_field assign_fields[F_COUNT] = {
    [F_TECH] = {.name = "tech", .type = BODY_STRING, .min = 1, .max = 20},
    [F_BITS] = {.name = "bits", .type = BODY_UINT, .min = 1, .max = DIGITS_MAX * 4},
    [F_DATA] = {.name = "data", .type = BODY_STRING, .min = 2, .max = DIGITS_MAX},
    [F_NUMBER] = {.name = "number", .type = BODY_STRING, .min = 1, .max = CRED_TEXT_MAX - 1},
    [F_RENDERING] = {.name = "rendering", .type = BODY_STRING, .min = 1, .max = 20},
    [F_WAITING] = {.name = "waiting", .type = BODY_STRING, .min = 1, .max = (int64_t)ID_LEN * 2},
    [F_FROM] = {.name = "from", .type = BODY_TIME},
    [F_UNTIL] = {.name = "until", .type = BODY_TIME},
};

/* From tech, bits and data; false: answered. */
static bool exact_cred(struct api_call *k, const struct body_value v[F_COUNT], struct cred *ret_cred)
{
    struct cred c = {.bits = (uint16_t)v[F_BITS].i};
    size_t n = 0;
    if (!v[F_TECH].set || !v[F_BITS].set || !v[F_DATA].set) {
        call_invalid(k, "", "give waiting, or tech, bits and data, or number and rendering");
    } else if (tech_parse(v[F_TECH].s, &c.tech) < 0) {
        call_invalid(k, "tech", "is not a technology we know; em4100 is one");
    } else if (str_unhex_any(v[F_DATA].s, c.data, CRED_MAX, &n) < 0) {
        call_invalid(k, "data", "must be hex digits, two a byte");
    } else if (n != cred_len(&c)) {
        call_invalid(k, "data", "has %zu bytes; %u bits need %zu", n, (unsigned)c.bits, cred_len(&c));
    } else if (!cred_valid(&c)) {
        call_invalid(k, "data", "must have zeros in the bits beyond the last");
    } else {
        *ret_cred = c;
        return true;
    }
    return false;
}

/* From a number as people write it; false: answered. */
static bool numbered_cred(struct api_call *k, const struct body_value v[F_COUNT], uint8_t rendering,
                          struct cred *ret_cred)
{
    if (v[F_TECH].set || v[F_BITS].set || v[F_DATA].set) {
        call_invalid(k, "number", "excludes tech, bits and data");
        return false;
    }
    if (!v[F_RENDERING].set) {
        call_invalid(k, "rendering", "is required with a number");
        return false;
    }
    int r = credential_by_number(k->cloud, k->db, k->tenant, v[F_NUMBER].s, rendering, ret_cred);
    if (r == CLOUD_INVALID)
        call_invalid(k, "number", "is not a number of this rendering");
    else if (r == CLOUD_ABSENT)
        problem_reply(k->r, PROBLEM_NOT_FOUND,
                      "no waiting credential shows this number; punch with the card once, or give tech, bits and data");
    else if (r == CLOUD_AMBIGUOUS)
        problem_reply(k->r, PROBLEM_CONFLICT,
                      "more than one waiting credential shows this number; give tech, bits and data");
    else if (r != 0)
        call_outcome(k, r, "credential");
    return r == 0;
}

/* The one in the inbox; false: answered. It keeps the rendering that it was seen with, unless another is given. */
static bool waiting_cred(struct api_call *k, const struct body_value v[F_COUNT], struct cred *ret_cred,
                         uint8_t *rendering)
{
    uint8_t id[ID_LEN];
    struct waiting w;
    if (v[F_TECH].set || v[F_BITS].set || v[F_DATA].set || v[F_NUMBER].set) {
        call_invalid(k, "waiting", "excludes what else names a card");
        return false;
    }
    int r = str_unhex(v[F_WAITING].s, id, ID_LEN) < 0 ? CLOUD_ABSENT
                                                      : credential_waiting_get(k->cloud, k->db, k->tenant, id, &w);
    if (r != 0) {
        call_outcome(k, r, "waiting credential");
        return false;
    }
    *ret_cred = w.cred;
    if (!v[F_RENDERING].set)
        *rendering = w.rendering;
    return true;
}

/* By whichever way it is named; false: answered. */
static bool named_cred(struct api_call *k, const struct body_value v[F_COUNT], struct cred *ret_cred,
                       uint8_t *rendering)
{
    if (v[F_WAITING].set)
        return waiting_cred(k, v, ret_cred, rendering);
    return v[F_NUMBER].set ? numbered_cred(k, v, *rendering, ret_cred) : exact_cred(k, v, ret_cred);
}

static bool changed(struct api_call *k, const struct person *p, json_t *old, json_t *now)
{
    struct subject subject = api_subject(p);
    return call_changed(k, &subject, old, now);
}

static void assign(struct api_call *k, const struct person *p, const struct body_value v[F_COUNT])
{
    struct cred cred;
    struct credential made;
    uint8_t rendering = RENDER_HEX;
    uint64_t refiled = 0;
    int64_t from = v[F_FROM].set ? v[F_FROM].i : TIME_MIN, until = v[F_UNTIL].set ? v[F_UNTIL].i : TIME_MAX;
    if (v[F_RENDERING].set && rendering_parse(v[F_RENDERING].s, &rendering) < 0) {
        call_invalid(k, "rendering", "is not a rendering we know; dec10 is one");
        return;
    }
    if (from >= until) {
        call_invalid(k, "until", "must be after from");
        return;
    }
    if (from >= p->until) {
        call_invalid(k, "from", "must be before the person's valid_until");
        return;
    }
    if (!named_cred(k, v, &cred, &rendering))
        return;
    int r = credential_assign(k->cloud, k->db, k->tenant, p->id, &cred, rendering, from, until, &made, &refiled);
    if (r == CLOUD_CONFLICT) {
        problem_reply(k->r, PROBLEM_CONFLICT,
                      "somebody holds this credential within that time; unassign it there, or give a later from");
        return;
    }
    if (r != 0) {
        call_outcome(k, r, r == CLOUD_INVALID ? "credential" : "person");
        return;
    }
    json_t *o = api_credential_json(&made);
    if (!changed(k, p, NULL, o)) {
        json_decref(o);
        return;
    }
    call_tag(k, o, NULL);
    whole_set(&o, "refiled", json_integer((json_int_t)refiled));
    call_created(k, "/v1/credentials/", made.id, ID_LEN, o);
}

void api_credentials_assign(struct api_call *k)
{
    uint8_t person[ID_LEN];
    struct body_value v[F_COUNT];
    struct person known;
    json_t *body = NULL;
    if (!call_id(k, person, ID_LEN))
        return;
    /* Before the number is looked up, so that a foreign person's id tells nothing about this tenant's cards. */
    if (!api_person_of(k, PERM_CREDENTIALS_CHANGE, person, false, &known))
        return;
    if (known.archived != 0) {
        problem_reply(k->r, PROBLEM_CONFLICT, "the person is archived");
        return;
    }
    if (!body_read(k->q, assign_fields, F_COUNT, v, &body, k->r))
        return;
    assign(k, &known, v);
    json_decref(body);
}

/* What {id} names, with who holds it, in reach of that permission; false: answered. */
static bool named(struct api_call *k, enum perm perm, uint8_t ret_id[ID_LEN], struct credential *c, struct person *p)
{
    if (!call_id(k, ret_id, ID_LEN))
        return false;
    int r = credential_get(k->cloud, k->db, k->tenant, ret_id, c);
    if (r == 0 && (r = people_get(k->cloud, k->db, k->tenant, c->person, p)) == CLOUD_DAMAGED)
        r = 0;
    if (r == 0 && !call_reaches_person(k, perm, p))
        r = CLOUD_ABSENT;
    if (r == CLOUD_DAMAGED && !call_everywhere(k, perm)) /* whose it is does not open */
        r = CLOUD_ABSENT;
    if (r != 0)
        call_outcome(k, r, "credential");
    return r == 0;
}

void api_credentials_get(struct api_call *k)
{
    uint8_t id[ID_LEN];
    struct credential c;
    struct person p;
    if (!named(k, PERM_CREDENTIALS_READ, id, &c, &p))
        return;
    struct subject subject = api_subject(&p);
    if (call_saw(k, SEEN, &subject, 1))
        call_resource(k, api_credential_json(&c), NULL);
}

/* old is stolen. */
static void unassign(struct api_call *k, const struct credential *was, const struct person *p, int64_t until,
                     json_t *old)
{
    struct credential c;
    uint64_t refiled = 0;
    int r = credential_unassign(k->cloud, k->db, k->tenant, was->id, until, &c, &refiled);
    json_t *o = r == 0 ? api_credential_json(&c) : NULL;
    bool ok = r == 0 && changed(k, p, old, o);
    json_decref(old);
    if (r == CLOUD_INVALID)
        call_invalid(k, "until", "must lie within the time for which the credential is assigned");
    else if (r != 0)
        call_outcome(k, r, "credential");
    if (!ok) {
        json_decref(o);
        return;
    }
    call_location(k, "/v1/credentials/", k->param);
    call_tag(k, o, NULL);
    whole_set(&o, "refiled", json_integer((json_int_t)refiled));
    problem_json(k->r, 200, o);
}

void api_credentials_unassign(struct api_call *k)
{
    static const struct body_field fields[] = {{.name = "until", .type = BODY_TIME}};
    struct body_value v[ARRAY_LEN(fields)];
    uint8_t id[ID_LEN];
    struct credential c;
    struct person p;
    json_t *body = NULL;
    if (!body_read(k->q, fields, ARRAY_LEN(fields), v, &body, k->r))
        return;
    json_decref(body);
    if (!named(k, PERM_CREDENTIALS_CHANGE, id, &c, &p))
        return;
    json_t *now = api_credential_json(&c);
    if (call_match(k, now, NULL))
        unassign(k, &c, &p, v[0].set ? v[0].i : clock_real(), now);
    else
        json_decref(now);
}

void api_credentials_waiting(struct api_call *k)
{
    size_t limit = 0;
    /* The position as it lies in memory, in hex. Who logs a URL logs it: no card number is in it. */
    char pos[CURSOR_POS_MAX + 1];
    struct waiting_pos at = {0};
    struct waiting_list list = {0};
    _Static_assert(2 * sizeof at <= CURSOR_POS_MAX, "a cursor holds it");
    if (!call_limit(k, &limit) || !call_cursor(k, NULL, pos))
        return;
    if (pos[0] && str_unhex(pos, &at, sizeof at) < 0) {
        problem_reply(k->r, PROBLEM_BAD_CURSOR, "this cursor is of another version; begin again without a cursor");
        return;
    }
    int r = credential_waiting(k->cloud, k->db, k->tenant, pos[0] ? &at : NULL, limit, &list);
    if (r != 0) {
        call_outcome(k, r, "inbox");
        return;
    }
    if (!call_saw(k, SEEN, NULL, 0)) {
        waiting_list_done(&list);
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++) {
        const struct waiting *w = &list.items[i];
        whole_append(&items, json_pack("{s:o, s:o, s:o, s:o, s:I}", "id", json_hex(w->id, ID_LEN), "credential",
                                       card_json(&w->cred, w->rendering), "first_seen", json_time(w->first),
                                       "last_seen", json_time(w->last), "count", (json_int_t)w->count));
        at.last = w->last;
        memcpy(at.id, w->id, ID_LEN);
    }
    call_page(k, NULL, items, list.more ? str_hex(&at, sizeof at, pos) : NULL);
    waiting_list_done(&list);
}
