/* Identity on disk: making keys, taking bundles, refusing the wrong ones, and what a higher generation does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "daemon/enrol.h"
#include "daemon/keys.h"
#include "tests/unit/daemon_spool.h"

struct site {
    char dir[160], state[200];
    struct crypto_key *root;
    struct enrol_request request;
    struct buf text;
};

static void site_init(struct site *s)
{
    memset(s, 0, sizeof(*s));
    tmp_dir(s->dir, sizeof(s->dir));
    snprintf(s->state, sizeof(s->state), "%s/state", s->dir);
    buf_init(&s->text, ENROL_FILE_MAX);
    assert_int_equal(crypto_key_new(CRYPTO_ECDSA, &s->root), 0);
    assert_int_equal(keys_make(s->state, &s->text), 0);
    assert_int_equal(enrol_request_read(buf_bytes(&s->text), &s->request), 0);
}

static void site_done(struct site *s)
{
    crypto_key_free(s->root);
    buf_done(&s->text);
    tmp_remove(s->dir);
}

static struct bytes bundle_of(struct site *s, const uint8_t *gw, uint64_t gen, struct crypto_key *root)
{
    static struct bundle b;
    memset(&b, 0, sizeof(b));
    memcpy(b.gw, gw, GW_LEN);
    b.gen = gen;
    snprintf(b.tls_cert, sizeof(b.tls_cert), "certificate %d\n", (int)gen);
    strcpy(b.ca, "ca\n");
    strcpy(b.broker, "broker.example:8883");
    b.n_recipients = 1;
    assert_int_equal(crypto_key_point(root, b.recipients[0]), 0); /* any point will do */
    buf_reset(&s->text);
    assert_int_equal(bundle_write(&b, root, &s->text), 0);
    return buf_bytes(&s->text);
}

static int install(struct site *s, uint64_t gen, bool *ret_raised)
{
    static struct bundle b;
    return keys_install(s->state, bundle_of(s, s->request.gw, gen, s->root), &b, ret_raised);
}

static void test_keygen(void **state)
{
    struct site s;
    struct keys k;
    struct stat st;
    char problem[400], path[300];
    (void)state;
    site_init(&s);
    assert_int_equal(keys_load(s.state, &k, problem, sizeof(problem)), 0);
    assert_false(k.enrolled);
    assert_memory_equal(k.gw, s.request.gw, GW_LEN);
    keys_done(&k);
    static const char *const files[] = {"keys/tls.key", "keys/sign.key", "keys/gateway.id"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", s.state, files[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    /* Again: the same identity, never other keys. */
    assert_int_equal(keys_make(s.state, &s.text), -EEXIST);
    struct enrol_request again;
    buf_reset(&s.text);
    assert_int_equal(keys_request(s.state, &s.text), 0);
    assert_int_equal(enrol_request_read(buf_bytes(&s.text), &again), 0);
    assert_memory_equal(again.gw, s.request.gw, GW_LEN);
    assert_memory_equal(again.sign_point, s.request.sign_point, CRYPTO_POINT);
    site_done(&s);
}

static void test_install(void **state)
{
    struct site s;
    struct keys k;
    struct buf crt;
    char problem[400];
    bool raised = true;
    (void)state;
    site_init(&s);
    assert_int_equal(install(&s, 1, &raised), 0);
    assert_false(raised);
    assert_int_equal(keys_load(s.state, &k, problem, sizeof(problem)), 0);
    assert_true(k.enrolled);
    assert_string_equal(k.host, "broker.example");
    assert_int_equal(k.port, 8883);
    assert_int_equal(keys_export(&k), 0);
    buf_init(&crt, 1000);
    assert_int_equal(file_read(k.tls_crt, &crt), 0);
    assert_string_equal(buf_str(&crt), "certificate 1\n");
    buf_done(&crt);
    keys_done(&k);
    assert_int_equal(install(&s, 2, &raised), 0);
    assert_true(raised);
    assert_int_equal(install(&s, 2, &raised), 0); /* again is no harm */
    assert_false(raised);
    assert_int_equal(install(&s, 1, &raised), KEYS_OLDER);
    site_done(&s);
}

static void test_refused(void **state)
{
    struct site s;
    struct crypto_key *other = NULL;
    static struct bundle b;
    struct keys k;
    char problem[400];
    bool raised;
    uint8_t gw[GW_LEN];
    (void)state;
    site_init(&s);
    assert_int_equal(crypto_key_new(CRYPTO_ECDSA, &other), 0);
    memcpy(gw, s.request.gw, GW_LEN);
    gw[0] ^= 1;
    assert_int_equal(keys_install(s.state, bundle_of(&s, gw, 1, s.root), &b, &raised), KEYS_OTHER_GATEWAY);
    assert_int_equal(keys_load(s.state, &k, problem, sizeof(problem)), 0);
    assert_false(k.enrolled); /* not even the root was pinned */
    keys_done(&k);
    assert_int_equal(install(&s, 3, &raised), 0);
    assert_int_equal(keys_install(s.state, bundle_of(&s, s.request.gw, 4, other), &b, &raised), KEYS_BAD);
    struct bytes text = bundle_of(&s, s.request.gw, 4, s.root);
    assert_int_equal(keys_install(s.state, BYTES(text.p, text.n / 2), &b, &raised), KEYS_BAD);
    assert_int_equal(keys_load(s.state, &k, problem, sizeof(problem)), 0);
    assert_int_equal(k.bundle.gen, 3);
    keys_done(&k);
    crypto_key_free(other);
    site_done(&s);
}

static void test_damaged(void **state)
{
    struct site s;
    struct keys k;
    char problem[400], path[300];
    bool raised;
    (void)state;
    site_init(&s);
    assert_int_equal(install(&s, 1, &raised), 0);
    snprintf(path, sizeof(path), "%s/bundle", s.state);
    s.text.p[60] ^= 1;
    assert_int_equal(file_write(path, buf_bytes(&s.text), 0600), 0);
    assert_int_equal(keys_load(s.state, &k, problem, sizeof(problem)), KEYS_BAD);
    assert_non_null(strstr(problem, "bundle"));
    snprintf(path, sizeof(path), "%s/keys/sign.key", s.state);
    assert_int_equal(remove(path), 0);
    assert_int_equal(keys_load(s.state, &k, problem, sizeof(problem)), KEYS_BAD);
    assert_non_null(strstr(problem, "sign.key"));
    char elsewhere[300];
    snprintf(elsewhere, sizeof(elsewhere), "%s/none", s.dir);
    assert_int_equal(keys_load(elsewhere, &k, problem, sizeof(problem)), KEYS_ABSENT);
    site_done(&s);
}

static void test_generation_sets_spool_aside(void **state)
{
    struct site s;
    struct spool *spool = NULL;
    char file[300], dir[300], moved[300];
    (void)state;
    site_init(&s);
    struct settings settings = {.state = s.state};
    snprintf(file, sizeof(file), "%s/bundle.txt", s.dir);
    snprintf(dir, sizeof(dir), "%s/spool", s.state);
    snprintf(moved, sizeof(moved), "%s/old-spool-1", s.state);
    assert_int_equal(file_write(file, bundle_of(&s, s.request.gw, 1, s.root), 0600), 0);
    assert_int_equal(enrol_bundle(&settings, file), 0);
    struct spool_options o = {.dir = dir, .gen = 1, .budget = 1 << 20};
    memcpy(o.gw, s.request.gw, GW_LEN);
    assert_int_equal(spool_open(&o, &spool), 0);
    spool_free(spool);
    assert_int_equal(enrol_bundle(&settings, file), 0); /* the same generation leaves it alone */
    assert_true(file_exists(dir));
    assert_int_equal(file_write(file, bundle_of(&s, s.request.gw, 2, s.root), 0600), 0);
    int lock = -1;
    char path[300];
    snprintf(path, sizeof(path), "%s/lock", s.state);
    assert_int_equal(file_lock(path, &lock), 0);
    assert_int_equal(enrol_bundle(&settings, file), 1); /* not while the daemon runs */
    close(lock);
    assert_int_equal(enrol_bundle(&settings, file), 0);
    assert_false(file_exists(dir));
    assert_true(file_exists(moved));
    site_done(&s);
}

static void test_broker(void **state)
{
    char host[64];
    uint16_t port;
    (void)state;
    assert_int_equal(keys_broker("[2001:db8::1]:8883", host, sizeof(host), &port), 0);
    assert_string_equal(host, "2001:db8::1");
    static const char *const bad[] = {"", ":8883", "host", "host:", "host:0", "host:65536", "host:88x"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(keys_broker(bad[i], host, sizeof(host), &port), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keygen),  cmocka_unit_test(test_install),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_broker),  cmocka_unit_test(test_generation_sets_spool_aside),
    };
    if (crypto_init() != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
