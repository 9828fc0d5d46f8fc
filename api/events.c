/* /v1/gateways/{id}/events: what a gateway said about itself and its clock, newest first. */
#include <string.h>

#include "api/api_impl.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/events.h"
#include "cloud/gateway.h"
#include "wire/cbor.h"

/* What docs/WIRE.md says of each event: its name here, and its argument. */
enum arg { ARG_TEXT, ARG_UINT, ARG_RECORD };
static const struct {
    const char *name, *member;
    enum arg arg;
} codes[] = {
    [EVENT_STARTED] = {"started", "version", ARG_TEXT},
    [EVENT_SPOOL_FULL] = {"spool-full", "refused", ARG_UINT},
    [EVENT_SPOOL_QUARANTINED] = {"spool-quarantined", "folder", ARG_TEXT},
    [EVENT_RECORD_DAMAGED] = {"record-damaged", "record", ARG_RECORD},
    [EVENT_READER_DOWN] = {"reader-down", "reader", ARG_TEXT},
    [EVENT_READER_UP] = {"reader-up", "reader", ARG_TEXT},
    [EVENT_EPOCH] = {"epoch", "epoch", ARG_UINT},
};

/* Else each would be six characters of JSON, and a page of them longer than a reply may be. */
static bool is_plain(struct bytes text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] < 0x20)
            return false;
    return true;
}

/* NULL: not what the code says. */
static json_t *decoded(enum arg arg, struct bytes cbor)
{
    uint8_t segid[SEGID_LEN];
    uint64_t v = 0;
    json_t *o = NULL;
    struct cbor_r r = cbor_reader(cbor);
    if (arg == ARG_TEXT) {
        struct bytes t = cbor_get_text(&r, 0, RECORD_PLAIN_MAX);
        return cbor_done(&r) && is_plain(t) ? json_stringn((const char *)t.p, t.n) : NULL;
    }
    if (arg == ARG_RECORD) {
        cbor_get_array(&r, 2, 2);
        cbor_get_fixed(&r, segid, SEGID_LEN);
    }
    v = cbor_get_uint(&r, INT64_MAX);
    if (cbor_done(&r))
        o = arg == ARG_UINT ? json_integer((json_int_t)v) : api_punch_id(segid, v);
    return o;
}

/* An argument that is not what its code says, or of a code of a later version, as it stands: in hex. */
static json_t *arguments(uint64_t code, struct bytes arg)
{
    json_t *o = json_object(), *v = NULL;
    bool known = code < ARRAY_LEN(codes) && codes[code].name;
    if (arg.n == 0)
        return o;
    if (known && (v = decoded(codes[code].arg, arg))) {
        whole_set(&o, codes[code].member, v);
        return o;
    }
    char hex[2 * RECORD_PLAIN_MAX + 1];
    whole_set(&o, "cbor", json_string(str_hex(arg.p, arg.n, hex)));
    return o;
}

static json_t *event_json(const struct event_row *e)
{
    static const char *const sources[] = {"boot", "ntp", "rtc", "cloud"};
    const struct record *rec = &e->rec;
    json_t *o = json_pack("{s:o, s:I, s:I, s:o}", "id", api_punch_id(e->at.segid, e->at.index), "generation",
                          (json_int_t)e->at.gen, "gseq", (json_int_t)e->at.gseq, "original",
                          api_original_json(rec->real, rec->mono, rec->ck));
    if (rec->kind == RECORD_CLOCK) {
        json_object_update_new(o, json_pack("{s:s, s:s, s:n, s:{s:s, s:I}}", "kind", "clock", "name", "clock", "code",
                                            "arguments", "source",
                                            rec->clock.src < ARRAY_LEN(sources) ? sources[rec->clock.src] : "unknown",
                                            "step_us", (json_int_t)rec->clock.step));
    } else {
        uint64_t code = rec->event.code;
        bool known = code < ARRAY_LEN(codes) && codes[code].name;
        json_object_update_new(o, json_pack("{s:s, s:s, s:I, s:o}", "kind", "event", "name",
                                            known ? codes[code].name : "unknown", "code", (json_int_t)code, "arguments",
                                            arguments(code, rec->event.arg)));
    }
    return o;
}

void api_gateway_events(struct api_call *k)
{
    size_t limit = 0;
    char pos[CURSOR_POS_MAX + 1]; /* the position as it lies in memory, in hex: no other machine's cursor fits ours */
    struct event_pos after;
    _Static_assert(2 * sizeof after <= CURSOR_POS_MAX, "a cursor holds it");
    struct event_list l = {0};
    struct gateway g;
    uint8_t gw[GW_LEN];
    if (!call_id(k, gw, GW_LEN) || !call_limit(k, &limit) || !call_cursor(k, NULL, pos))
        return;
    if (pos[0] && str_unhex(pos, &after, sizeof after) < 0) {
        problem_reply(k->r, PROBLEM_BAD_CURSOR, "this cursor is of another version; begin again without a cursor");
        return;
    }
    if (!call_gateway(k, gw, &g))
        return;
    int r = events_list(k->cloud, k->db, k->tenant, gw, pos[0] ? &after : NULL, limit, &l);
    if (r != 0) {
        call_outcome(k, r, "gateway");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < l.n; i++)
        whole_append(&items, event_json(&l.items[i]));
    call_page(k, NULL, items, l.more ? str_hex(&l.next, sizeof l.next, pos) : NULL);
    event_list_done(&l);
}
