#include "daemon/control.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ctl.h"
#include "base/str.h"
#include "base/whole.h"
#include "daemon/gateway.h"
#include "readers/lights.h"

struct control {
    struct ctl *ctl;
    struct gateway *gateway;
    struct tail {
        struct ctl_conn *conn;
        bool json;
    } tails[CONTROL_TAILS];
};

static const char *const clock_names[] = {"never", "rtc", "synchronised", "free"};

static void out_json(struct ctl_conn *c, json_t *o)
{
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    if (text)
        ctl_out(c, "%s\n", text);
    free(text);
    json_decref(o);
}

static json_t *number(uint64_t v)
{
    return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

/* ---- status ---- */

static json_t *reader_json(struct gateway *g, size_t i)
{
    struct gateway_reader r;
    gateway_reader(g, i, &r);
    return json_pack("{s:s, s:s, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", r.name, "bus",
                     r.bus, "up", r.up, "acked", r.acked, "punches", number(r.punches), "duplicates",
                     number(r.duplicates), "refused", number(r.refused), "reads", number(r.reads), "polls",
                     number(r.polls), "unusable", number(r.unusable), "bad", number(r.bad), "exceptions",
                     number(r.exceptions), "timeouts", number(r.timeouts), "late", number(r.late));
}

static json_t *lights_json(const struct lights *l)
{
    json_t *a = json_array();
    for (size_t i = 0; i < lights_count(l); i++) {
        struct lights_view v;
        lights_at(l, i, &v);
        whole_append(&a, json_pack("{s:s, s:s, s:b, s:o}", "at", v.place, "role", v.role, "working", v.working,
                                   "failures", number(v.failures)));
    }
    return a;
}

static json_t *link_json(const struct gateway_view *v)
{
    return json_pack("{s:b, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:o}", "up", v->link_up, "why", v->link_why, "broker",
                     v->broker, "probing", v->probing, "connects", number(v->uplink.connects), "failures",
                     number(v->uplink.failures), "published", number(v->uplink.published), "refused",
                     number(v->uplink.refused), "dropped_acks", number(v->uplink.dropped_acks));
}

static json_t *sender_json(const struct sender_counts *s)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "uploads", number(s->uploads), "records",
                     number(s->records), "resent", number(s->resent), "acks", number(s->acks), "acks_bad",
                     number(s->acks_bad), "acks_unknown", number(s->acks_unknown), "acks_old_epoch",
                     number(s->acks_old_epoch), "go_backs", number(s->go_backs));
}

static void status_json(struct control *k, struct ctl_conn *c)
{
    struct gateway_view v;
    char gw[2 * GW_LEN + 1];
    gateway_view(k->gateway, &v);
    json_t *readers = json_array();
    for (size_t i = 0; i < gateway_readers(k->gateway); i++)
        whole_append(&readers, reader_json(k->gateway, i));
    json_t *o = json_pack("{s:s, s:o, s:s, s:I, s:o, s:o, s:o, s:o, s:b, s:s, s:o, s:o, s:o}", "gateway",
                          str_hex(v.gw, GW_LEN, gw), "generation", number(v.gen), "version", PUNCH_VERSION, "started",
                          (json_int_t)v.started, "punches", number(v.punches), "duplicates", number(v.duplicates),
                          "refused", number(v.refused), "recoveries", number(v.recoveries), "spool_full", v.spool_full,
                          "clock", clock_names[ck_state(v.ck) & 3], "uplink", link_json(&v), "sender",
                          sender_json(&v.sender), "readers", readers);
    if (o) {
        whole_set(&o, "records", number(spool_records(v.spool)));
        whole_set(&o, "unacked", number(spool_unacked(v.spool)));
        whole_set(&o, "lights", lights_json(v.lights));
    }
    out_json(c, o);
}

static void status_text(struct control *k, struct ctl_conn *c)
{
    struct gateway_view v;
    char gw[2 * GW_LEN + 1];
    gateway_view(k->gateway, &v);
    ctl_out(c, "gateway   %s, generation %" PRIu64 "\n", str_hex(v.gw, GW_LEN, gw), v.gen);
    ctl_out(c, "uplink    %s %s%s%s%s\n", v.link_up ? "up:" : "down:", v.broker, v.link_why[0] ? ", " : "", v.link_why,
            v.probing ? ", no acknowledgements: probing" : "");
    ctl_out(c, "clock     %s\n", clock_names[ck_state(v.ck) & 3]);
    ctl_out(c, "spool     %" PRIu64 " records, %" PRIu64 " not acknowledged%s\n", spool_records(v.spool),
            spool_unacked(v.spool), v.spool_full ? ", FULL: punches are refused" : "");
    ctl_out(c, "punches   %" PRIu64 " stored, %" PRIu64 " repeats dropped, %" PRIu64 " refused since start\n",
            v.punches, v.duplicates, v.refused);
    if (v.sender.acks_bad > 0)
        ctl_out(c, "acks      %" PRIu64 " FORGED or broken ones were ignored\n", v.sender.acks_bad);
    for (size_t i = 0; i < gateway_readers(k->gateway); i++) {
        struct gateway_reader r;
        gateway_reader(k->gateway, i, &r);
        ctl_out(c, "reader    %-24s %-4s %" PRIu64 " punches, %" PRIu64 " bad frames, %" PRIu64 " time-outs\n", r.name,
                r.up ? "up" : "DOWN", r.punches, r.bad, r.timeouts);
    }
    for (size_t i = 0; i < lights_count(v.lights); i++) {
        struct lights_view l;
        lights_at(v.lights, i, &l);
        ctl_out(c, "light     %-24s %-6s %s, %" PRIu64 " failures\n", l.place, l.role, l.working ? "works" : "FAILED",
                l.failures);
    }
}

/* ---- spool ---- */

static void spool_json(struct control *k, struct ctl_conn *c)
{
    struct gateway_view v;
    gateway_view(k->gateway, &v);
    json_t *segments = json_array(), *oldest = json_null();
    for (size_t i = 0; i < spool_count(v.spool); i++) {
        const struct spool_seg *g = spool_at(v.spool, i);
        char id[2 * SEGID_LEN + 1];
        if (g->trimming)
            continue;
        if (json_is_null(oldest))
            oldest = json_integer((json_int_t)g->opened);
        json_t *o =
            json_pack("{s:o, s:s, s:o, s:o, s:b}", "segno", number(g->segno), "id", str_hex(g->id, SEGID_LEN, id),
                      "records", number(g->records), "next", number(g->acked), "closed", g->closed);
        if (o && g->n_holes > 0)
            whole_set(&o, "damaged", number(g->n_holes));
        whole_append(&segments, o);
    }
    out_json(c, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "records", number(spool_records(v.spool)), "unacked",
                          number(spool_unacked(v.spool)), "bytes", number(spool_bytes(v.spool)), "budget",
                          number(spool_budget(v.spool)), "epoch", number(spool_meta(v.spool)->epoch), "oldest", oldest,
                          "segments", segments));
}

static void spool_text(struct control *k, struct ctl_conn *c)
{
    struct gateway_view v;
    gateway_view(k->gateway, &v);
    ctl_out(c,
            "%" PRIu64 " records, %" PRIu64 " not acknowledged, %" PRIu64 " of %" PRIu64 " bytes, epoch %" PRIu64 "\n",
            spool_records(v.spool), spool_unacked(v.spool), spool_bytes(v.spool), spool_budget(v.spool),
            spool_meta(v.spool)->epoch);
    for (size_t i = 0; i < spool_count(v.spool); i++) {
        const struct spool_seg *g = spool_at(v.spool, i);
        char id[2 * SEGID_LEN + 1], when[32];
        ctl_out(c, "%8" PRIu64 "  %s  %s  %" PRIu64 " of %" PRIu64 " acknowledged%s%s\n", g->segno,
                str_hex(g->id, SEGID_LEN, id), str_time(g->opened, when), g->acked, g->records,
                g->trimming ? ", being deleted"
                : g->closed ? ""
                            : ", open",
                g->n_holes == 0 ? "" : ", some damaged on disk");
    }
}

/* ---- tail ---- */

static void tail_line(struct tail *t, const struct entry *e)
{
    const struct record *r = &e->rec;
    char tag[2 * CONTROL_TAG + 1], seg[2 * SEGID_LEN + 1], when[32];
    str_hex(e->hash, CONTROL_TAG, tag);
    str_hex(e->segid, SEGID_LEN, seg);
    if (!t->json) {
        ctl_out(t->conn, "%s  %8" PRIu64 "  %-24s  %s%s\n", str_time(r->real, when), r->gseq, r->punch.reader, tag,
                r->punch.repeat ? "  (perhaps a repeat)" : "");
        return;
    }
    out_json(t->conn, json_pack("{s:o, s:s, s:s, s:I, s:o, s:i, s:s, s:o, s:b}", "gseq", number(r->gseq), "reader",
                                r->punch.reader, "tag", tag, "real", (json_int_t)r->real, "mono", number(r->mono), "ck",
                                (int)r->ck, "seg", seg, "index", number(e->index), "repeat", r->punch.repeat != 0));
}

void control_tail(struct control *c, const struct entry *e)
{
    if (!c || e->rec.kind != RECORD_PUNCH)
        return;
    for (size_t i = 0; i < CONTROL_TAILS; i++)
        if (c->tails[i].conn)
            tail_line(&c->tails[i], e); /* a slow one is closed by ctl and clears its slot in tail_gone */
}

static void tail_gone(void *arg, struct ctl_conn *conn)
{
    struct control *c = arg;
    for (size_t i = 0; i < CONTROL_TAILS; i++)
        if (c->tails[i].conn == conn)
            c->tails[i].conn = NULL;
}

static void tail_start(struct control *k, struct ctl_conn *c, bool json)
{
    for (size_t i = 0; i < CONTROL_TAILS; i++)
        if (!k->tails[i].conn) {
            k->tails[i] = (struct tail){.conn = c, .json = json};
            ctl_on_close(c, tail_gone, k);
            return;
        }
    ctl_err(c, "too many tails\n");
    ctl_exit(c, 1);
}

/* ---- requests ---- */

static void on_request(void *arg, struct ctl_conn *c, int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*text)(struct control *, struct ctl_conn *);
        void (*json)(struct control *, struct ctl_conn *);
    } shows[] = {{"status", status_text, status_json}, {"spool", spool_text, spool_json}};
    struct control *k = arg;
    bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
    if (argc == 1 || json) {
        if (strcmp(argv[0], "tail") == 0) {
            tail_start(k, c, json);
            return;
        }
        for (size_t i = 0; i < ARRAY_LEN(shows); i++)
            if (strcmp(argv[0], shows[i].name) == 0) {
                (json ? shows[i].json : shows[i].text)(k, c);
                ctl_exit(c, 0);
                return;
            }
    }
    ctl_err(c, "punchgate: the daemon does not understand this request\n");
    ctl_exit(c, 2);
}

int control_new(struct loop *l, const char *path, struct gateway *g, struct control **ret)
{
    struct control *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->gateway = g;
    int r = ctl_listen(l, path, 0660, on_request, c, &c->ctl);
    if (r != 0) {
        free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void control_free(struct control *c)
{
    if (!c)
        return;
    ctl_free(c->ctl);
    free(c);
}
