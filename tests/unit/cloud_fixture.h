/* An installation in a scratch folder with two tenants, tokens and gateways, without a broker; punches are filed into
 * the store directly. */
#pragma once

#include <string.h>

#include "base/clock.h"
#include "base/csr.h"
#include "base/str.h"
#include "cloud/gateway.h"
#include "cloud/holder.h"
#include "cloud/tenant.h"
#include "cloud/token.h"
#include "tests/unit/cloud_scratch.h"
#include "tests/unit/tmp.h"

struct fixture {
    struct scratch s;
    struct settings set;
    struct conf *conf;
    struct cloud *c;
    struct db *db;
    char operator_token[TOKEN_TEXT_MAX], acme[TOKEN_TEXT_MAX], globex[TOKEN_TEXT_MAX];
    uint8_t gw[GW_LEN];  /* acme's */
    uint8_t gw2[GW_LEN]; /* globex's */
};

static inline void fixture_settings(struct fixture *f)
{
    char text[512];
    snprintf(text, sizeof text,
             "state: %s/state\nescrow: [%s/escrow]\napi: {listen: \"127.0.0.1:0\", idle: 5s}\n"
             "broker: {address: \"127.0.0.1:1\"}\npasswords: {memory: 19MiB, passes: 2}\n",
             f->s.dir, f->s.dir);
    assert_int_equal(conf_parse("test", BYTES_STR(text), &settings_table, &f->set, &f->conf), 0);
    snprintf(f->s.ca, sizeof f->s.ca, "%s/state/pki/ca.crt", f->s.dir);
}

/* What `punchgate keygen` writes. */
static inline void fixture_request(uint8_t ret_gw[GW_LEN], struct buf *ret_text)
{
    struct crypto_key *tls = NULL, *sign = NULL;
    struct enrol_request q = {0};
    struct buf csr;
    char cn[2 * GW_LEN + 1];
    buf_init(&csr, sizeof q.csr - 1);
    assert_int_equal(crypto_random(q.gw, GW_LEN), 0);
    assert_int_equal(crypto_key_new(CRYPTO_ECDSA, &tls), 0);
    assert_int_equal(crypto_key_new(CRYPTO_ECDSA, &sign), 0);
    assert_int_equal(csr_make(tls, str_hex(q.gw, GW_LEN, cn), &csr), 0);
    assert_int_equal(str_copy(q.csr, sizeof q.csr, buf_str(&csr)), 0);
    assert_int_equal(crypto_key_point(sign, q.sign_point), 0);
    assert_int_equal(enrol_request_write(&q, sign, ret_text), 0);
    memcpy(ret_gw, q.gw, GW_LEN);
    crypto_key_free(tls);
    crypto_key_free(sign);
    buf_done(&csr);
}

static inline void fixture_gateway(struct fixture *f, const char *tenant, const char *site, uint8_t ret_gw[GW_LEN])
{
    struct buf CLEANUP(buf_done) request, CLEANUP(buf_done) bundle;
    struct gateway g;
    buf_init(&request, ENROL_FILE_MAX);
    buf_init(&bundle, ENROL_FILE_MAX);
    fixture_request(ret_gw, &request);
    assert_int_equal(gateway_add(f->c, f->db, tenant, site, buf_bytes(&request), &bundle, &g), 0);
}

static inline void fixture_open(struct fixture *f)
{
    assert_int_equal(cloud_open(&f->set, &f->c), 0);
    assert_int_equal(cloud_db_take(f->c, &f->db), 0);
}

static inline void fixture_close(struct fixture *f)
{
    if (f->c)
        cloud_db_give(f->c, f->db);
    cloud_close(f->c);
    f->c = NULL;
    f->db = NULL;
}

static inline void fixture_make(struct fixture *f)
{
    struct tenant t;
    struct token k;
    tmp_dir(f->s.dir, sizeof f->s.dir);
    f->s.is_api = true;
    assert_int_equal(crypto_init(), 0);
    fixture_settings(f);
    assert_int_equal(cloud_init(&f->set, f->operator_token), 0);
    fixture_open(f);
    assert_int_equal(tenant_add(f->c, f->db, "acme", &t), 0);
    assert_int_equal(tenant_add(f->c, f->db, "globex", &t), 0);
    assert_int_equal(token_add(f->c, f->db, "acme", "test", 0, f->acme, &k), 0);
    assert_int_equal(token_add(f->c, f->db, "globex", "test", 0, f->globex, &k), 0);
    fixture_gateway(f, "acme", "Gate", f->gw);
    fixture_gateway(f, "globex", "Dock", f->gw2);
}

static inline void fixture_done(struct fixture *f)
{
    fixture_close(f);
    conf_free(f->conf);
    tmp_remove(f->s.dir);
}

static inline struct scope fixture_scope(struct fixture *f, const char *tenant)
{
    struct scope s;
    assert_int_equal(scope_init(f->c, f->db, tenant, &s), 0);
    return s;
}

/* Of one that writes. */
static inline struct scope fixture_begin(struct fixture *f, const char *tenant)
{
    assert_int_equal(cloud_begin(f->c, f->db), 0);
    return fixture_scope(f, tenant);
}

static inline void fixture_commit(struct fixture *f)
{
    assert_int_equal(cloud_commit(f->c, f->db), 0);
}

static inline void fixture_sql(struct fixture *f, const char *script)
{
    assert_int_equal(cloud_begin(f->c, f->db), 0);
    assert_int_equal(db_script(f->db, script), 0);
    fixture_commit(f);
}

/* An EM4100 card; numbers that differ in their upper byte only have one dec10 rendering. */
static inline struct cred fixture_card(uint64_t number)
{
    struct cred c = {.tech = TECH_EM4100, .bits = 40};
    for (int i = 0; i < 5; i++)
        c.data[i] = (uint8_t)(number >> (32 - 8 * i));
    return c;
}

struct fixture_punch {
    const char *tenant, *reader;
    const uint8_t *gw;
    struct cred cred;
    uint64_t gseq;
    int64_t time; /* corrected; original is 5 s less */
    bool pending;
};

/* Inside the caller's transaction. dir: what the punch itself says of its direction. */
static inline void fixture_file_dir(struct fixture *f, const struct fixture_punch *p, uint8_t dir)
{
    struct record rec = {.kind = RECORD_PUNCH,
                         .gseq = p->gseq,
                         .real = p->time - 5000000,
                         .mono = p->gseq * 1000,
                         .ck = ck_make(CLOCK_FREE, 1000)};
    uint8_t plain[RECORD_PLAIN_MAX];
    size_t n = 0;
    struct filed x = {0};
    rec.punch.cred = p->cred;
    rec.punch.dir = dir;
    rec.punch.rendering = RENDER_DEC10;
    assert_int_equal(str_copy(rec.punch.reader, sizeof rec.punch.reader, p->reader), 0);
    assert_int_equal(record_encode(&rec, plain, &n), 0);
    assert_int_equal(filed_init(&x, BYTES(plain, n), &rec), 0);
    memset(x.segid, 0xab, sizeof x.segid);
    memcpy(x.segid, p->gw, GW_LEN);
    x.index = p->gseq;
    memcpy(x.gw, p->gw, GW_LEN);
    x.gen = 1;
    x.time = p->pending ? 0 : p->time;
    x.uncertainty = p->pending ? CK_UNBOUNDED : 2000;
    x.flags = p->pending ? FILED_UNTIMED : 0;
    x.received = p->time + 1000;
    struct scope s = fixture_scope(f, p->tenant);
    assert_int_equal(holder_file(&s, &x), 0);
    filed_done(&x);
}

static inline void fixture_file(struct fixture *f, const struct fixture_punch *p)
{
    fixture_file_dir(f, p, DIR_IN);
}

static inline void fixture_file_one_dir(struct fixture *f, const struct fixture_punch *p, uint8_t dir)
{
    assert_int_equal(cloud_begin(f->c, f->db), 0);
    fixture_file_dir(f, p, dir);
    fixture_commit(f);
}

static inline void fixture_file_one(struct fixture *f, const struct fixture_punch *p)
{
    fixture_file_one_dir(f, p, DIR_IN);
}
