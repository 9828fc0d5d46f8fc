/* An installation in a folder of its own and a gateway that speaks the wire format, for the cloud's unit tests. No
 * broker: the test puts messages in and reads the acks. Everything is gone after fixture_done(). */
#pragma once

#include <dirent.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/csr.h"
#include "base/file.h"
#include "base/str.h"
#include "cloud/credential.h"
#include "cloud/escrow.h"
#include "cloud/gateway.h"
#include "cloud/ingest_impl.h"
#include "cloud/people.h"
#include "cloud/query.h"
#include "cloud/schema.h"
#include "cloud/scope.h"
#include "cloud/tenant.h"
#include "cloud/token.h"
#include "tests/unit/tmp.h"
#include "wire/ack.h"
#include "wire/record.h"
#include "wire/topic.h"
#include "wire/upload.h"

#define SECOND 1000000LL
#define HOUR (3600 * SECOND)
#define TENANT "acme"
#define ACKS_MAX 512
#define RECS_MAX 1024

struct fixture {
    char dir[64], state[96];
    char *escrow[2];
    char *names[2];
    struct settings set;
    char token[64];
    struct cloud *c;
    struct db *db;
    struct ingest *in;
    size_t n_acks;
    struct ack_item acks[ACKS_MAX];
    char ack_topic[TOPIC_MAX];
};

/* A segment as a gateway keeps it: sealed records that can be sent again. */
struct tseg {
    struct seg_writer *w;
    size_t n;
    struct {
        uint8_t p[RECORD_SEALED_MAX];
        size_t n;
    } recs[RECS_MAX];
};

struct tgw {
    uint8_t id[GW_LEN];
    struct crypto_key *sign, *tls;
    uint64_t gen, segno, gseq;
    uint8_t recipient[CRYPTO_POINT];
    uint8_t boot[BOOT_LEN], prev[SEGID_LEN];
    uint64_t prevlen;
    struct tseg *seg; /* the open one */
};

static inline void fixture_capture(void *arg, const char *topic, struct bytes payload)
{
    struct fixture *x = arg;
    struct ack a;
    assert_int_equal(ack_decode(payload, &a), 0);
    snprintf(x->ack_topic, sizeof x->ack_topic, "%s", topic);
    for (size_t i = 0; i < a.n && x->n_acks < ACKS_MAX; i++)
        x->acks[x->n_acks++] = a.items[i];
}

static inline void fixture_open(struct fixture *x)
{
    assert_int_equal(cloud_open(&x->set, &x->c), 0);
    assert_int_equal(cloud_db_take(x->c, &x->db), 0);
    assert_int_equal(ingest_new(x->c, fixture_capture, x, &x->in), 0);
}

static inline void fixture_close(struct fixture *x)
{
    ingest_free(x->in);
    if (x->c != NULL)
        cloud_db_give(x->c, x->db);
    cloud_close(x->c);
    x->in = NULL;
    x->c = NULL;
    x->db = NULL;
}

static inline struct fixture *fixture_new(void)
{
    struct fixture *x = calloc(1, sizeof *x);
    struct tenant t;
    assert_non_null(x);
    assert_int_equal(crypto_init(), 0);
    tmp_dir(x->dir, sizeof x->dir);
    snprintf(x->state, sizeof x->state, "%s/state", x->dir);
    x->names[0] = strdup("localhost");
    x->names[1] = strdup("127.0.0.1");
    for (int i = 0; i < 2; i++)
        assert_true(asprintf(&x->escrow[i], "%s/escrow%d", x->dir, i) > 0);
    x->set.state = x->state;
    x->set.escrow = (struct conf_list){.items = x->escrow, .n = 2};
    x->set.api.names = (struct conf_list){.items = x->names, .n = 2};
    x->set.broker.names = (struct conf_list){.items = x->names, .n = 2};
    x->set.broker.address = x->names[0];
    x->set.ingest.queue = 1024;
    x->set.ingest.batch_ms = 50;
    assert_int_equal(cloud_init(&x->set, x->token), 0);
    fixture_open(x);
    assert_int_equal(tenant_add(x->c, x->db, TENANT, &t), 0);
    return x;
}

static inline void fixture_done(struct fixture *x)
{
    fixture_close(x);
    tmp_remove(x->dir);
    for (int i = 0; i < 2; i++) {
        free(x->names[i]);
        free(x->escrow[i]);
    }
    free(x);
}

/* The disk of an escrow folder is away: there is its mount point, empty. */
static inline void fixture_unmount(struct fixture *x, int i)
{
    char aside[160];
    snprintf(aside, sizeof aside, "%s.disk", x->escrow[i]);
    assert_int_equal(rename(x->escrow[i], aside), 0);
    assert_int_equal(mkdir(x->escrow[i], 0700), 0);
}

/* It is back, and nothing was written to the mount point meanwhile. */
static inline void fixture_mount(struct fixture *x, int i)
{
    char aside[160];
    snprintf(aside, sizeof aside, "%s.disk", x->escrow[i]);
    assert_int_equal(rmdir(x->escrow[i]), 0);
    assert_int_equal(rename(aside, x->escrow[i]), 0);
}

/* As if the process had been killed and started again. */
static inline void fixture_restart(struct fixture *x)
{
    fixture_close(x);
    fixture_open(x);
}

/* "INSERT INTO t(columns) SELECT columns FROM now.t;" for every table of the open store. */
static inline void fixture_copy_script(struct db *db, struct buf *ret)
{
    struct db_stmt *s;
    assert_int_equal(db_stmt(db,
                             "SELECT m.name, (SELECT group_concat(name) FROM pragma_table_info(m.name)),"
                             " CASE WHEN m.name = 'gateway' AND m.sql LIKE '%site TEXT%' THEN '(SELECT g.*, t.name site"
                             " FROM now.gateway g JOIN now.site t ON t.id = g.site_id)' ELSE 'now.' || m.name END"
                             " FROM sqlite_master m WHERE m.type = 'table' AND m.name <> 'meta' ORDER BY m.name",
                             &s),
                     0);
    while (db_step(s) == DB_ROW)
        buf_addf(ret, "INSERT INTO %s(%s) SELECT %s FROM %s;\n", db_text(s, 0), db_text(s, 1), db_text(s, 1),
                 db_text(s, 2));
    db_done(s);
}

/* Closes the installation and makes its store what an earlier version wrote: that one's own script, today's rows. */
static inline void fixture_back_to(struct fixture *x, int version)
{
    char path[128], old[128];
    struct db_gate *gate;
    struct db *db;
    struct buf CLEANUP(buf_done) script;
    buf_init(&script, 65536);
    int64_t epoch = (int64_t)cloud_epoch(x->c);
    fixture_close(x);
    snprintf(path, sizeof path, "%s/store.db", x->state);
    snprintf(old, sizeof old, "%s/old.db", x->dir);
    assert_int_equal(db_gate_new(&gate), 0);
    assert_int_equal(db_open(old, true, gate, &db), 0);
    assert_int_equal(schema_apply(db, 0, version), 0);
    assert_int_equal(meta_put(db, "epoch", epoch), 0);
    buf_addf(&script, "ATTACH '%s' AS now;\n", path);
    fixture_copy_script(db, &script);
    assert_int_equal(db_script(db, buf_str(&script)), 0);
    db_close(db);
    db_gate_free(gate);
    assert_int_equal(rename(old, path), 0);
}

/* ---- the gateway ---- */

static inline void tgw_request(struct tgw *g, struct buf *ret)
{
    struct enrol_request q = {0};
    struct buf csr;
    char cn[2 * GW_LEN + 1];
    buf_init(&csr, sizeof q.csr - 1);
    memcpy(q.gw, g->id, GW_LEN);
    assert_int_equal(csr_make(g->tls, str_hex(g->id, GW_LEN, cn), &csr), 0);
    memcpy(q.csr, csr.p, csr.len);
    assert_int_equal(crypto_key_point(g->sign, q.sign_point), 0);
    assert_int_equal(enrol_request_write(&q, g->sign, ret), 0);
    buf_done(&csr);
}

static inline void tgw_enrol(struct fixture *x, struct tgw *g, const char *tenant, const char *site)
{
    struct buf request, bundle;
    struct gateway made;
    struct bundle *b = calloc(1, sizeof *b);
    uint8_t root[CRYPTO_POINT];
    buf_init(&request, ENROL_FILE_MAX);
    buf_init(&bundle, ENROL_FILE_MAX);
    tgw_request(g, &request);
    assert_int_equal(gateway_add(x->c, x->db, tenant, site, buf_bytes(&request), &bundle, &made), 0);
    assert_int_equal(bundle_read(buf_bytes(&bundle), NULL, b, root), 0);
    assert_memory_equal(b->gw, g->id, GW_LEN);
    g->gen = b->gen;
    memcpy(g->recipient, b->recipients[b->n_recipients - 1], CRYPTO_POINT);
    free(b);
    buf_done(&request);
    buf_done(&bundle);
}

static inline struct tgw *tgw_new(struct fixture *x, const char *site)
{
    struct tgw *g = calloc(1, sizeof *g);
    assert_non_null(g);
    assert_int_equal(crypto_random(g->id, GW_LEN), 0);
    assert_int_equal(crypto_random(g->boot, BOOT_LEN), 0);
    assert_int_equal(crypto_key_new(CRYPTO_ECDSA, &g->sign), 0);
    assert_int_equal(crypto_key_new(CRYPTO_ECDSA, &g->tls), 0);
    tgw_enrol(x, g, TENANT, site);
    return g;
}

static inline void tseg_free(struct tseg *s)
{
    if (s == NULL)
        return;
    seg_writer_free(s->w);
    free(s);
}

static inline void tgw_free(struct tgw *g)
{
    crypto_key_free(g->sign);
    crypto_key_free(g->tls);
    tseg_free(g->seg);
    free(g);
}

/* Begins a segment that follows the one before; the caller owns what it returns (the one before, or NULL). */
static inline struct tseg *tgw_segment(struct tgw *g)
{
    struct tseg *before = g->seg;
    struct seg_hdr h = {.gen = g->gen, .segno = g->segno++, .prevlen = 0};
    memcpy(h.gw, g->id, GW_LEN);
    memcpy(h.boot, g->boot, BOOT_LEN);
    if (before != NULL) {
        memcpy(g->prev, seg_writer_id(before->w), SEGID_LEN);
        g->prevlen = before->n;
    }
    memcpy(h.prev, g->prev, SEGID_LEN);
    h.prevlen = g->prevlen;
    g->seg = calloc(1, sizeof *g->seg);
    assert_non_null(g->seg);
    assert_int_equal(seg_writer_new(&h, g->recipient, g->sign, &g->seg->w), 0);
    return before;
}

static inline void tgw_reboot(struct tgw *g)
{
    assert_int_equal(crypto_random(g->boot, BOOT_LEN), 0);
}

static inline void tgw_plain(struct tgw *g, struct bytes plain)
{
    if (g->seg == NULL)
        tgw_segment(g);
    struct tseg *s = g->seg;
    assert_true(s->n < RECS_MAX);
    assert_int_equal(seg_writer_seal(s->w, plain, s->recs[s->n].p), 0);
    s->recs[s->n].n = plain.n + CRYPTO_TAG;
    s->n++;
}

static inline void tgw_record(struct tgw *g, struct record *rec)
{
    uint8_t plain[RECORD_PLAIN_MAX];
    size_t n;
    rec->gseq = ++g->gseq;
    assert_int_equal(record_encode(rec, plain, &n), 0);
    tgw_plain(g, BYTES(plain, n));
}

static inline struct cred card(unsigned number)
{
    struct cred c = {.tech = TECH_EM4100, .bits = 40, .data = {0x67, 0, 0, 0, 0}};
    c.data[2] = (uint8_t)(number >> 16);
    c.data[3] = (uint8_t)(number >> 8);
    c.data[4] = (uint8_t)number;
    return c;
}

/* A punch of card(number); ck state 2 with 1 ms unless told. */
static inline uint64_t tgw_punch_full(struct tgw *g, const char *reader, unsigned number, int64_t real, uint64_t mono,
                                      uint8_t ck, uint64_t repeat)
{
    struct record r = {.kind = RECORD_PUNCH, .real = real, .mono = mono, .ck = ck};
    snprintf(r.punch.reader, sizeof r.punch.reader, "%s", reader);
    r.punch.cred = card(number);
    r.punch.dir = DIR_IN;
    r.punch.repeat = repeat;
    r.punch.rendering = RENDER_DEC10;
    tgw_record(g, &r);
    return g->gseq;
}

static inline uint64_t tgw_punch(struct tgw *g, unsigned number, int64_t real)
{
    return tgw_punch_full(g, "door", number, real, (uint64_t)(real % (100 * HOUR)), ck_make(2, 1000), 0);
}

static inline void tgw_clock(struct tgw *g, int64_t real, uint64_t mono, uint8_t ck)
{
    struct record r = {.kind = RECORD_CLOCK, .real = real, .mono = mono, .ck = ck};
    r.clock.src = CLOCK_SRC_NTP;
    tgw_record(g, &r);
}

static inline void tgw_upload(const struct tseg *s, uint64_t first, size_t n, struct buf *ret)
{
    struct bytes recs[UPLOAD_RECORDS_MAX];
    for (size_t i = 0; i < n; i++)
        recs[i] = BYTES(s->recs[first + i].p, s->recs[first + i].n);
    assert_int_equal(upload_encode(seg_writer_signed(s->w), first, recs, n, 0, ret), 0);
}

/* Puts and takes one message; true when it was acknowledged: then *ret_next. */
static inline bool send_bytes(struct fixture *x, const struct tgw *g, struct bytes payload, uint64_t *ret_next)
{
    char topic[TOPIC_MAX];
    topic_make(g->id, TOPIC_UP, topic);
    x->n_acks = 0;
    ingest_put(x->in, topic, payload);
    ingest_step(x->in, 0);
    if (x->n_acks > 0 && ret_next != NULL)
        *ret_next = x->acks[0].next;
    return x->n_acks > 0;
}

/* Sends and checks the ack by the segment's key; returns its next, or -1 without an ack. */
static inline int64_t send_seg(struct fixture *x, const struct tgw *g, const struct tseg *s, uint64_t first, size_t n)
{
    struct buf b;
    uint64_t next = 0;
    buf_init(&b, UPLOAD_MAX);
    tgw_upload(s, first, n, &b);
    bool acked = send_bytes(x, g, buf_bytes(&b), &next);
    buf_done(&b);
    if (!acked)
        return -1;
    assert_int_equal(x->n_acks, 1);
    assert_memory_equal(x->acks[0].segid, seg_writer_id(s->w), SEGID_LEN);
    assert_int_equal(ack_check(seg_writer_ack_key(s->w), &x->acks[0]), 0);
    assert_int_equal(x->acks[0].epoch, cloud_epoch(x->c));
    return (int64_t)next;
}

static inline void send_all(struct fixture *x, const struct tgw *g)
{
    assert_int_equal(send_seg(x, g, g->seg, 0, g->seg->n), (int64_t)g->seg->n);
}

static inline uint64_t counted(struct fixture *x, enum ingest_count i)
{
    uint64_t n[INGEST_COUNTS];
    ingest_counts(x->in, n);
    return n[i];
}

/* ---- asking ---- */

static inline void ask(struct fixture *x, enum punch_state state, const uint8_t *person, struct punch_list *ret)
{
    int64_t now = clock_real();
    struct punch_query q = {.tenant = TENANT,
                            .person = person,
                            .has_from = true,
                            .has_to = true,
                            .from = now - 15 * DAY_US,
                            .to = now + 2 * DAY_US,
                            .state = state,
                            .limit = 1000};
    assert_int_equal(query_punches(x->c, x->db, &q, ret), 0);
}

static inline size_t ask_n(struct fixture *x, enum punch_state state, const uint8_t *person)
{
    struct punch_list l;
    ask(x, state, person, &l);
    size_t n = l.n;
    punch_list_done(&l);
    return n;
}

/* As if the installation were ten days older. */
static inline void age(struct fixture *x)
{
    assert_int_equal(db_script(x->db, "UPDATE gateway SET added = added - 864000000000;"
                                      "UPDATE tenant SET created = created - 864000000000;"),
                     0);
}

static inline int64_t sql_int(struct fixture *x, const char *sql)
{
    struct db_stmt *s;
    assert_int_equal(db_stmt(x->db, sql, &s), 0);
    assert_int_equal(db_step(s), DB_ROW);
    int64_t v = db_int(s, 0);
    db_done(s);
    return v;
}
