/* Status as JSON. */
#include "api/report.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/whole.h"
#include "wire/punch.h"

static const char *const count_names[COUNT_MAX] = {
    [COUNT_PUNCHES] = "punches",
    [COUNT_SPOOL_RECORDS] = "spool_records",
    [COUNT_SPOOL_UNACKED] = "spool_unacked",
    [COUNT_SPOOL_BYTES] = "spool_bytes",
    [COUNT_REFUSED] = "refused",
    [COUNT_FRAMES_BAD] = "frames_bad",
    [COUNT_ACKS_BAD] = "acks_bad",
    [COUNT_READERS] = "readers",
    [COUNT_READERS_DOWN] = "readers_down",
    [COUNT_DUPLICATES] = "duplicates",
};

static json_t *time_or_null(int64_t us)
{
    char text[32];
    return us ? json_string(str_time(us, text)) : json_null();
}

/* As its last status told. */
static json_t *clock_json(const struct gateway *g)
{
    static const char *const states[] = {"never", "rtc", "synchronised", "free"};
    uint64_t u = ck_uncertainty(g->ck);
    return json_pack("{s:s, s:o, s:o}", "state", states[ck_state(g->ck)], "uncertainty_us",
                     u == CK_UNBOUNDED ? json_null() : json_integer((json_int_t)u), "time", time_or_null(g->real));
}

json_t *report_gateway(const struct gateway *g, bool with_tenant)
{
    char id[2 * GW_LEN + 1], site[2 * ID_LEN + 1];
    json_t *o = json_object(), *counts = g->has_counts ? json_object() : json_null();
    whole_set(&o, "id", json_string(str_hex(g->gw, GW_LEN, id)));
    if (with_tenant)
        whole_set(&o, "tenant", json_string(g->tenant));
    whole_set(&o, "site", json_string(g->site));
    whole_set(&o, "site_id", json_string(str_hex(g->site_id, ID_LEN, site)));
    whole_set(&o, "generation", json_integer((json_int_t)g->gen));
    whole_set(&o, "certificate", json_string(g->serial));
    whole_set(&o, "certificate_expires", time_or_null(g->expires));
    whole_set(&o, "added", time_or_null(g->added));
    whole_set(&o, "revoked", time_or_null(g->revoked));
    whole_set(&o, "state", json_string(gateway_state_name(gateway_state(g, clock_real()))));
    whole_set(&o, "version", g->version[0] ? json_string(g->version) : json_null());
    whole_set(&o, "last_seen", time_or_null(gateway_last_seen(g)));
    whole_set(&o, "clock", g->has_clock ? clock_json(g) : json_null());
    whole_set(&o, "online", g->has_status ? json_boolean(g->online) : json_null());
    whole_set(&o, "last_status", time_or_null(g->has_status ? g->status_received : 0));
    whole_set(&o, "last_upload", time_or_null(g->last_upload));
    for (size_t i = 0; g->has_counts && i < COUNT_MAX; i++)
        if (count_names[i])
            whole_set(&counts, count_names[i], json_integer((json_int_t)g->counts[i]));
    whole_set(&o, "counts", counts);
    return o;
}

int report_status(struct cloud *c, struct db *db, struct ingest *in, json_t **ret_json)
{
    struct gateway_list list = {0};
    uint64_t counts[INGEST_COUNTS] = {0};
    int r = gateway_list(db, NULL, &list);
    if (r != 0)
        return r;
    if (in)
        ingest_counts(in, counts);
    json_t *accepted = json_object(), *refused = json_object(), *gateways = json_array();
    for (int i = 0; i < INGEST_COUNTS; i++) {
        const char *name = ingest_count_name((enum ingest_count)i);
        bool refusal = ingest_count_refusal((enum ingest_count)i);
        if (refusal && str_starts(name, "refused_")) /* it stands under "refused" */
            name += strlen("refused_");
        whole_set(refusal ? &refused : &accepted, name, json_integer((json_int_t)counts[i]));
    }
    for (size_t i = 0; i < list.n; i++)
        whole_append(&gateways, report_gateway(&list.items[i], true));
    gateway_list_done(&list);
    *ret_json =
        json_pack("{s:s, s:I, s:b, s:b, s:o, s:o, s:o}", "version", PUNCH_VERSION, "epoch", (json_int_t)cloud_epoch(c),
                  "store_ready", (int)cloud_ready(c), "broker_connected", (int)(in && ingest_connected(in)), "counters",
                  accepted, "refused", refused, "gateways", gateways);
    return *ret_json ? 0 : -ENOMEM;
}
