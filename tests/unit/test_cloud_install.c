/* The installation: init, epoch, lock, tokens, tenants, enrolment, certificates, and nothing readable at rest. */
#include "tests/unit/cloud_gateway.h"

#include "cloud/pki.h"
#include "cloud/schema.h"
#include "cloud/who.h"

static int setup(void **state)
{
    *state = fixture_new();
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

static void init_is_done_once(void **state)
{
    struct fixture *x = *state;
    char token[64];
    struct token t;
    assert_int_equal(token_check(x->db, x->token, clock_real(), &t), 0);
    assert_true(t.is_operator);
    assert_string_equal(t.tenant, "");
    struct cloud *second = NULL;
    assert_int_equal(cloud_open(&x->set, &second), CLOUD_RUNNING);
    assert_int_equal(cloud_init(&x->set, token), CLOUD_RUNNING);
    fixture_close(x);
    assert_int_equal(cloud_init(&x->set, token), CLOUD_CONFLICT);
    fixture_open(x);
    assert_true(cloud_ready(x->c));
}

/* Interrupted before the store was made, it starts over. */
static void init_starts_over(void **state)
{
    struct fixture *x = *state;
    char path[128], keys[128], token[64];
    struct buf before, after;
    buf_init(&before, 65536);
    buf_init(&after, 65536);
    fixture_close(x);
    snprintf(path, sizeof path, "%s/pki/root.key", x->state);
    assert_int_equal(file_read(path, &before), 0);
    snprintf(keys, sizeof keys, "%s/store.db", x->state);
    assert_int_equal(truncate(keys, 0), 0);
    /* with keys in escrow it is a store that was lost: all else is kept for whoever restores it */
    assert_int_equal(cloud_init(&x->set, token), CLOUD_ESCROW);
    assert_int_equal(file_read(path, &after), 0);
    assert_true(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
    buf_done(&before);
    buf_done(&after);
    for (int i = 0; i < 2; i++) {
        snprintf(keys, sizeof keys, "%s/%s", x->escrow[i], TENANT);
        tmp_remove(keys);
        snprintf(keys, sizeof keys, "%s/%s", x->escrow[i], VENDOR_TENANT);
        tmp_remove(keys);
    }
    assert_int_equal(cloud_init(&x->set, token), 0);
    fixture_open(x);
}

static void wrong_epoch_is_refused(void **state)
{
    struct fixture *x = *state;
    char path[128];
    struct cloud *c = NULL;
    snprintf(path, sizeof path, "%s/keyring/epoch", x->state);
    uint64_t epoch = cloud_epoch(x->c);
    assert_true(epoch > 1700000000);
    char text[32];
    fixture_close(x);
    const char *wrong[] = {"12345\n", "", "x\n", "-1\n"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_int_equal(file_write(path, BYTES_STR(wrong[i]), 0600), 0);
        assert_int_equal(cloud_open(&x->set, &c), CLOUD_EPOCH);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(cloud_open(&x->set, &c), CLOUD_EPOCH);
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)epoch);
    assert_int_equal(file_write(path, BYTES_STR(text), 0600), 0);
    fixture_open(x);
    /* the store of another time */
    assert_int_equal(meta_put(x->db, "epoch", (int64_t)epoch + 1), 0);
    fixture_close(x);
    assert_int_equal(cloud_open(&x->set, &c), CLOUD_EPOCH);
    assert_null(c);
}

/* A keyring whose KEK is gone, here and in escrow, is told as such; one copy suffices to go on. */
static void no_usable_keyring(void **state)
{
    struct fixture *x = *state;
    char kek[3][256], aside[256];
    struct cloud *c = NULL;
    fixture_close(x);
    snprintf(kek[0], sizeof kek[0], "%s/keyring/acme/kek", x->state);
    for (size_t i = 1; i < ARRAY_LEN(kek); i++)
        snprintf(kek[i], sizeof kek[i], "%s/acme/kek", x->escrow[i - 1]);
    snprintf(aside, sizeof aside, "%s/aside", x->dir);
    assert_int_equal(rename(kek[2], aside), 0);
    assert_int_equal(unlink(kek[0]), 0);
    assert_int_equal(unlink(kek[1]), 0);
    assert_int_equal(cloud_open(&x->set, &c), CLOUD_KEYS);
    assert_null(c);
    assert_int_equal(rename(aside, kek[2]), 0);
    fixture_open(x);
}

static void refused_escrow(struct fixture *x)
{
    struct cloud *c = NULL;
    assert_int_equal(cloud_open(&x->set, &c), CLOUD_ESCROW);
    assert_null(c);
}

/* At the start: an empty folder, one that is not there, another installation's. Nothing is written there. */
static void strange_escrow_is_refused(void **state)
{
    struct fixture *x = *state;
    char mark[160], folder[160], id[ESCROW_ID];
    fixture_close(x);
    fixture_unmount(x, 1);
    refused_escrow(x);
    fixture_mount(x, 1);
    snprintf(folder, sizeof folder, "%s.aside", x->escrow[1]);
    assert_int_equal(rename(x->escrow[1], folder), 0);
    refused_escrow(x);
    assert_false(file_exists(x->escrow[1]));
    assert_int_equal(rename(folder, x->escrow[1]), 0);

    snprintf(mark, sizeof mark, "%s/installation.id", x->escrow[1]);
    const char *const others[] = {"0011223344556677\n", "", "no id, but a line that is longer than any id\n"};
    assert_int_equal(escrow_id(x->state, id), 0);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        assert_int_equal(file_write(mark, BYTES_STR(others[i]), 0600), 0);
        refused_escrow(x);
        assert_int_equal(escrow_adopt(x->escrow[1], id), ESCROW_HOLDS);
    }
    assert_int_equal(unlink(mark), 0);
    fixture_open(x); /* without a mark, but the keys are those of this store */
    assert_true(escrow_marked(x->escrow[1], id));
}

/* Without a mark, and the keys in it are of another installation with a customer of the same name. */
static void keys_of_others_are_not_adopted(void **state)
{
    struct fixture *x = *state, *other = fixture_new();
    char mark[160], ring[160], id[ESCROW_ID];
    struct buf before, after;
    fixture_close(x);
    fixture_close(other);
    snprintf(mark, sizeof mark, "%s/installation.id", other->escrow[0]);
    assert_int_equal(unlink(mark), 0);
    char *folders[] = {x->escrow[0], other->escrow[0]};
    x->set.escrow.items = folders;
    buf_init(&before, 65536);
    buf_init(&after, 65536);
    snprintf(ring, sizeof ring, "%s/%s/ring", other->escrow[0], TENANT);
    assert_int_equal(file_read(ring, &before), 0);
    refused_escrow(x);
    assert_int_equal(escrow_id(x->state, id), 0);
    assert_int_equal(escrow_adopt(other->escrow[0], id), ESCROW_HOLDS);
    assert_false(file_exists(mark));
    assert_int_equal(file_read(ring, &after), 0);
    assert_true(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
    buf_done(&before);
    buf_done(&after);
    fixture_open(other); /* whose they are takes them */
    fixture_done(other);
}

static void tokens(void **state)
{
    struct fixture *x = *state;
    char text[TOKEN_TEXT_MAX], second[TOKEN_TEXT_MAX];
    struct token t, got;
    int64_t now = clock_real();
    assert_int_equal(token_add(x->c, x->db, TENANT, "payroll", now + HOUR, text, &t), 0);
    assert_int_equal(strlen(text), 4 + 43);
    assert_true(str_starts(text, "pct_"));
    assert_int_equal(token_check(x->db, text, now, &got), 0);
    assert_false(got.is_operator);
    assert_string_equal(got.tenant, TENANT);
    assert_string_equal(got.label, "payroll");
    assert_int_equal(token_check(x->db, text, now + HOUR, &got), CLOUD_ABSENT); /* expired */
    text[10] = text[10] == 'A' ? 'B' : 'A';
    assert_int_equal(token_check(x->db, text, now, &got), CLOUD_ABSENT);
    assert_int_equal(token_check(x->db, "", now, &got), CLOUD_ABSENT);
    assert_int_equal(token_check(x->db, "pct_", now, &got), CLOUD_ABSENT);

    assert_int_equal(token_add(x->c, x->db, TENANT, NULL, 0, second, &t), 0);
    assert_int_equal(token_check(x->db, second, now + 1000 * DAY_US, &got), 0);
    assert_int_equal(token_revoke(x->c, x->db, t.id), 0);
    assert_int_equal(token_check(x->db, second, now, &got), CLOUD_ABSENT);
    assert_int_equal(token_revoke(x->c, x->db, t.id), CLOUD_ABSENT);
    assert_int_equal(token_add(x->c, x->db, "nobody", NULL, 0, second, &t), CLOUD_ABSENT);
    struct token_list l;
    assert_int_equal(token_list(x->db, &l), 0);
    assert_int_equal(l.n, 3);
    token_list_done(&l);
}

static void tenants(void **state)
{
    struct fixture *x = *state;
    struct tenant t;
    struct tenant_list l;
    const char *bad[] = {"", VENDOR_TENANT, "-a", "a-", "A", "a b", "a/b", "..", "123456789012345678901234567890123"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(tenant_add(x->c, x->db, bad[i], &t), CLOUD_INVALID);
    assert_int_equal(tenant_add(x->c, x->db, TENANT, &t), CLOUD_CONFLICT);
    assert_int_equal(tenant_add(x->c, x->db, "zeta-2", &t), 0);
    assert_int_equal(tenant_list(x->db, &l), 0);
    assert_int_equal(l.n, 3);
    assert_string_equal(l.items[0].id, VENDOR_TENANT); /* which nobody can name */
    assert_string_equal(l.items[2].id, "zeta-2");
    tenant_list_done(&l);
    assert_int_equal(tenant_get(x->db, "nobody", &t), CLOUD_ABSENT);
    uint8_t points[4][CRYPTO_POINT];
    size_t n;
    assert_int_equal(tenant_recipients(x->db, TENANT, 4, points, &n), 0);
    assert_int_equal(n, 1);
    struct keyring *ring;
    fixture_restart(x);
    assert_int_equal(cloud_keyring(x->c, "zeta-2", &ring), 0);
    assert_int_equal(keyring_count(ring), 2);
    assert_int_equal(cloud_keyring(x->c, "nobody", &ring), CLOUD_ABSENT);
}

static void tenants_do_not_see_each_other(void **state)
{
    struct fixture *x = *state;
    struct tenant t;
    struct tgw *g = tgw_new(x, "hq");
    struct person p, q;
    struct gateway gw;
    struct credential c;
    struct cred cred = card(1);
    struct punch_list l;
    int64_t now = clock_real();
    assert_int_equal(tenant_add(x->c, x->db, "zeta", &t), 0);
    assert_int_equal(people_create(x->c, x->db, TENANT, &(struct person_set){.name = "Anna"}, &p), 0);
    assert_int_equal(credential_assign(x->c, x->db, TENANT, p.id, &cred, RENDER_HEX, TIME_MIN, TIME_MAX, &c, NULL), 0);
    tgw_punch(g, 1, now);
    send_all(x, g);
    assert_int_equal(people_get(x->c, x->db, "zeta", p.id, &q), CLOUD_ABSENT);
    assert_int_equal(credential_get(x->c, x->db, "zeta", c.id, &c), CLOUD_ABSENT);
    assert_int_equal(credential_unassign(x->c, x->db, "zeta", c.id, now, &c, NULL), CLOUD_ABSENT);
    assert_int_equal(gateway_get(x->db, "zeta", g->id, &gw), CLOUD_ABSENT);
    assert_int_equal(gateway_set_site(x->c, x->db, "zeta", g->id, "mine"), CLOUD_ABSENT);
    struct punch_query pq = {.tenant = "zeta", .person = p.id, .limit = 10};
    assert_int_equal(query_punches(x->c, x->db, &pq, &l), CLOUD_ABSENT);
    pq = (struct punch_query){.tenant = "zeta", .has_from = true, .has_to = true, .from = now - HOUR, .to = now + HOUR};
    pq.limit = 10;
    assert_int_equal(query_punches(x->c, x->db, &pq, &l), 0);
    assert_int_equal(l.n, 0);
    punch_list_done(&l);
    tgw_free(g);
}

static void enrolment(void **state)
{
    struct fixture *x = *state;
    struct tenant t;
    struct gateway g;
    struct gateway_list l;
    struct buf request, bundle;
    char crl[4096];
    struct tgw *a = tgw_new(x, "hq");
    assert_int_equal(a->gen, 1);
    assert_int_equal(tenant_add(x->c, x->db, "zeta", &t), 0);
    tgw_enrol(x, a, "zeta", "branch"); /* it moved: a new generation, whoever's it is */
    assert_int_equal(a->gen, 2);
    assert_int_equal(gateway_get(x->db, TENANT, a->id, &g), 0);
    assert_int_equal(g.gen, 1);
    assert_int_equal(gateway_list(x->db, NULL, &l), 0);
    assert_int_equal(l.n, 1);
    assert_int_equal(l.items[0].gen, 2);
    assert_string_equal(l.items[0].tenant, "zeta");
    gateway_list_done(&l);

    assert_int_equal(gateway_set_site(x->c, x->db, "zeta", a->id, "north"), 0);
    assert_int_equal(gateway_set_site(x->c, x->db, "zeta", a->id, ""), CLOUD_INVALID);
    assert_int_equal(gateway_get(x->db, "zeta", a->id, &g), 0);
    assert_string_equal(g.site, "north");
    assert_int_equal(cloud_path(x->c, "pki/ca.crl", crl, sizeof crl), 0);
    assert_int_equal(unlink(crl), 0); /* init made one */
    assert_int_equal(mkdir(crl, 0700), 0);
    assert_int_equal(gateway_revoke(x->c, x->db, a->id), GATEWAY_UNLISTED);
    assert_int_equal(gateway_get(x->db, "zeta", a->id, &g), 0);
    assert_true(g.revoked != 0); /* all the same */
    assert_int_equal(rmdir(crl), 0);
    assert_int_equal(gateway_revoke(x->c, x->db, a->id), 0); /* once more */
    assert_true(file_exists(crl));
    assert_int_equal(gateway_get(x->db, "zeta", a->id, &g), 0);
    assert_true(g.revoked != 0);

    buf_init(&request, ENROL_FILE_MAX);
    buf_init(&bundle, ENROL_FILE_MAX);
    tgw_request(a, &request);
    assert_int_equal(gateway_add(x->c, x->db, "nobody", "hq", buf_bytes(&request), &bundle, &g), CLOUD_ABSENT);
    assert_int_equal(gateway_add(x->c, x->db, TENANT, "", buf_bytes(&request), &bundle, &g), CLOUD_INVALID);
    assert_int_equal(gateway_add(x->c, x->db, TENANT, "hq", BYTES_STR("x"), &bundle, &g), CLOUD_INVALID);
    for (size_t i = 60; i < request.len; i += 97) { /* any damage to the request is refused */
        uint8_t was = request.p[i];
        request.p[i] = was == 'A' ? 'B' : 'A';
        if (was != '\n' && was != '-')
            assert_int_equal(gateway_add(x->c, x->db, TENANT, "hq", buf_bytes(&request), &bundle, &g), CLOUD_INVALID);
        request.p[i] = was;
    }
    buf_done(&request);
    buf_done(&bundle);
    tgw_free(a);
}

/* The request's signature holds, but its CSR is for another id, or not a CSR. */
static void enrolment_checks_the_csr(void **state)
{
    struct fixture *x = *state;
    struct tgw *a = tgw_new(x, "hq");
    struct enrol_request q = {0};
    struct gateway g;
    struct buf csr, text, bundle;
    buf_init(&csr, 4096);
    buf_init(&text, ENROL_FILE_MAX);
    buf_init(&bundle, ENROL_FILE_MAX);
    memcpy(q.gw, a->id, GW_LEN);
    assert_int_equal(crypto_key_point(a->sign, q.sign_point), 0);
    const char *names[] = {"punchcloud", "0000000000000000", ""};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        buf_reset(&csr);
        buf_reset(&text);
        memset(q.csr, 0, sizeof q.csr);
        if (names[i][0] != '\0') {
            assert_int_equal(csr_make(a->tls, names[i], &csr), 0);
            memcpy(q.csr, csr.p, csr.len);
        } else {
            strcpy(q.csr, "nonsense");
        }
        assert_int_equal(enrol_request_write(&q, a->sign, &text), 0);
        assert_int_equal(gateway_add(x->c, x->db, TENANT, "hq", buf_bytes(&text), &bundle, &g), CLOUD_INVALID);
    }
    assert_int_equal(bundle.len, 0);
    buf_done(&csr);
    buf_done(&text);
    buf_done(&bundle);
    tgw_free(a);
}

/* A known id with other keys is somebody else: the gateway that has it stays as it was. */
static void enrolment_keeps_the_keys(void **state)
{
    struct fixture *x = *state;
    struct tenant t;
    struct gateway g;
    struct buf request, bundle;
    struct tgw *a = tgw_new(x, "hq"), *thief = tgw_new(x, "elsewhere");
    assert_int_equal(tenant_add(x->c, x->db, "zeta", &t), 0);
    buf_init(&request, ENROL_FILE_MAX);
    buf_init(&bundle, ENROL_FILE_MAX);
    memcpy(thief->id, a->id, GW_LEN);
    tgw_request(thief, &request);
    assert_int_equal(gateway_add(x->c, x->db, "zeta", "hq", buf_bytes(&request), &bundle, &g), CLOUD_CONFLICT);
    assert_int_equal(gateway_add(x->c, x->db, TENANT, "hq", buf_bytes(&request), &bundle, &g), CLOUD_CONFLICT);
    assert_int_equal(bundle.len, 0);
    assert_int_equal(gateway_get(x->db, "zeta", a->id, &g), CLOUD_ABSENT);
    assert_int_equal(gateway_get(x->db, TENANT, a->id, &g), 0);
    assert_int_equal(g.gen, 1);
    buf_done(&request);
    buf_done(&bundle);
    tgw_free(thief);
    tgw_free(a);
}

static void sh(const char *command, char *ret_said, size_t size)
{
    FILE *f = popen(command, "r");
    assert_non_null(f);
    size_t n = fread(ret_said, 1, size - 1, f);
    ret_said[n] = '\0';
    assert_int_equal(pclose(f), 0);
}

/* Of a request's subject nothing but the key gets into a certificate: no second CN, no extension. */
static void certificate_is_ours(void **state)
{
    struct fixture *x = *state;
    char pki[128], path[160], command[1024], said[1024], serial[64], dir[128];
    int64_t expires = 0;
    static const char id[] = "00c0ffee00c0ffee";
    struct buf csr, crt;
    buf_init(&csr, 8192);
    buf_init(&crt, 8192);
    snprintf(pki, sizeof pki, "%s/pki", x->state);
    snprintf(dir, sizeof dir, "%s/sly", x->state);
    assert_int_equal(file_mkdir(dir, 0700), 0);
    snprintf(command, sizeof command,
             "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s/key -out %s/csr"
             " -subj /CN=%s/O=Sly/CN=punchcloud -addext subjectAltName=DNS:localhost 2>&1",
             dir, dir, id);
    sh(command, said, sizeof said);
    snprintf(path, sizeof path, "%s/csr", dir);
    assert_int_equal(file_read(path, &csr), 0);
    assert_int_equal(pki_sign_csr(pki, id, buf_bytes(&csr), &crt, serial, &expires), 0);
    snprintf(path, sizeof path, "%s/crt", dir);
    assert_int_equal(file_write(path, buf_bytes(&crt), 0600), 0);
    snprintf(command, sizeof command, "openssl x509 -in %s -noout -subject -nameopt RFC2253 -ext subjectAltName 2>&1",
             path);
    sh(command, said, sizeof said);
    assert_non_null(strstr(said, "subject=CN=00c0ffee00c0ffee\n"));
    assert_null(strstr(said, "localhost"));
    buf_done(&csr);
    buf_done(&crt);
}

static void ingest_after_a_move(void **state)
{
    struct fixture *x = *state;
    struct tenant t;
    struct tgw *g = tgw_new(x, "hq");
    struct punch_list l;
    int64_t now = clock_real();
    assert_int_equal(tenant_add(x->c, x->db, "zeta", &t), 0);
    tgw_punch(g, 1, now);
    send_all(x, g);
    tgw_enrol(x, g, "zeta", "branch");
    tseg_free(tgw_segment(g));
    tgw_punch(g, 1, now);
    send_all(x, g);
    struct punch_query q = {.tenant = "zeta", .has_from = true, .has_to = true, .limit = 10};
    q.from = now - HOUR;
    q.to = now + HOUR;
    assert_int_equal(query_punches(x->c, x->db, &q, &l), 0);
    assert_int_equal(l.n, 1);
    assert_string_equal(l.items[0].site, "branch");
    punch_list_done(&l);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 1);
    tgw_free(g);
}

/* ---- nothing readable ---- */

struct needle {
    const char *what;
    const void *p;
    size_t n;
    unsigned found;
};
static struct needle *needles;
static size_t n_needles;

static int look(const char *path, const struct stat *st, int type, struct FTW *f)
{
    struct buf b;
    if (type != FTW_F)
        return 0;
    buf_init(&b, 64 << 20);
    if (file_read(path, &b) == 0)
        for (size_t i = 0; i < n_needles; i++)
            if (b.len > 0 && memmem(b.p, b.len, needles[i].p, needles[i].n) != NULL)
                needles[i].found++;
    buf_done(&b);
    return 0;
}

static void nothing_readable_at_rest(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    struct person p;
    struct credential c;
    int64_t now = clock_real();
    struct cred known = card(0x3b51c6), unknown = card(0x123456);
    uint8_t time_be[8], time_le[8];
    for (unsigned i = 0; i < 8; i++)
        time_be[i] = time_le[7 - i] = (uint8_t)((uint64_t)now >> (8 * (7 - i)));
    uint8_t reversed[5] = {0xc6, 0x51, 0x3b, 0x00, 0x67};
    assert_int_equal(people_create(x->c, x->db, TENANT,
                                   &(struct person_set){.name = "Anna Zyzzyva", .personnel_number = "PERS-4711"}, &p),
                     0);
    assert_int_equal(credential_assign(x->c, x->db, TENANT, p.id, &known, RENDER_DEC10, TIME_MIN, TIME_MAX, &c, NULL),
                     0);
    tgw_punch(g, 0x3b51c6, now);
    tgw_punch(g, 0x123456, now);
    tgw_punch_full(g, "turnstile", 0x3b51c6, now, 1, ck_make(0, CK_UNBOUNDED), 0);
    uint8_t odd[96] = {0x82, 0x18, 0x63, 0x65, 'P', 'O', 'I', 'S', 'N'};
    tgw_plain(g, BYTES(odd, sizeof odd));
    send_all(x, g);
    assert_int_equal(ask_n(x, PUNCH_ALL, p.id), 2);

    struct needle list[] = {
        {"planted: the site, which may stand there", "hq", 2, 0},
        {"planted: a person's id", p.id, ID_LEN, 0},
        {"name", "Zyzzyva", 7, 0},
        {"personnel number", "4711", 4, 0},
        {"number", known.data, 5, 0},
        {"number reversed", reversed, 5, 0},
        {"waiting number", unknown.data, 5, 0},
        {"hex", "67003b51c6", 10, 0},
        {"hex upper", "67003B51C6", 10, 0},
        {"decimal", "0003887558", 10, 0},
        {"fc,cn", "059,20934", 9, 0},
        {"reader", "turnstile", 9, 0},
        {"exact time", time_be + 1, 7, 0},
        {"exact time, little-endian", time_le, 7, 0},
        {"poison", "POISN", 5, 0},
        {"token", x->token, 20, 0},
    };
    needles = list;
    n_needles = ARRAY_LEN(list);
    for (int round = 0; round < 2; round++) { /* with the write-ahead log, and after it was folded in */
        nftw(x->dir, look, 16, FTW_PHYS);
        fixture_restart(x);
    }
    for (size_t i = 0; i < ARRAY_LEN(list); i++)
        if ((list[i].found > 0) != (i < 2))
            fail_msg("%s: found %u times", list[i].what, list[i].found);
    tgw_free(g);
}

static void rows_are_of_one_size(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    uint64_t gseq = tgw_punch_full(g, "a", 1, clock_real(), 1, ck_make(2, 1), 0);
    tgw_punch_full(g, "reader-of-24-characters.", 0xffffff, clock_real(), UINT32_MAX, ck_make(3, 9999), 0);
    tgw_punch_full(g, "a", 1, clock_real(), 1, ck_make(2, 1), gseq);
    struct record r = {.kind = RECORD_PUNCH, .real = clock_real(), .mono = 1, .ck = ck_make(2, 1)};
    strcpy(r.punch.reader, "text");
    r.punch.cred.tech = TECH_TEXT;
    r.punch.cred.bits = 8 * CRED_MAX;
    memset(r.punch.cred.data, 'x', CRED_MAX);
    tgw_record(g, &r);
    send_all(x, g);
    assert_int_equal(counted(x, INGEST_FOLDED), 1);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM punch") + sql_int(x, "SELECT count(*) FROM pending"), 3);
    assert_int_equal(sql_int(x, "SELECT count(DISTINCT length(sealed)) FROM"
                                " (SELECT sealed FROM punch UNION ALL SELECT sealed FROM pending)"),
                     1);
    tgw_free(g);
}

/* A month of one person does not show which rows of the next are theirs. */
static void months_are_unlinkable(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    age(x);
    assert_int_equal(db_script(x->db, "UPDATE gateway SET added = 0"), 0);
    int64_t now = clock_real();
    for (int i = 0; i < 70; i += 5)
        tgw_punch(g, 1, now - i * DAY_US);
    send_all(x, g);
    int64_t months = sql_int(x, "SELECT count(DISTINCT ref) FROM punch");
    assert_in_range(months, 3, 4);
    assert_int_equal(sql_int(x, "SELECT count(DISTINCT pid) FROM punch"), 14);
    tgw_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(init_is_done_once, setup, teardown),
        cmocka_unit_test_setup_teardown(init_starts_over, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_epoch_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(no_usable_keyring, setup, teardown),
        cmocka_unit_test_setup_teardown(strange_escrow_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_of_others_are_not_adopted, setup, teardown),
        cmocka_unit_test_setup_teardown(tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(tenants, setup, teardown),
        cmocka_unit_test_setup_teardown(tenants_do_not_see_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(enrolment, setup, teardown),
        cmocka_unit_test_setup_teardown(enrolment_checks_the_csr, setup, teardown),
        cmocka_unit_test_setup_teardown(enrolment_keeps_the_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(certificate_is_ours, setup, teardown),
        cmocka_unit_test_setup_teardown(ingest_after_a_move, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_readable_at_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_are_of_one_size, setup, teardown),
        cmocka_unit_test_setup_teardown(months_are_unlinkable, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
