/* Request and bundle files: what people carry, and what happens to it in their hands. */
#include "tests/unit/test_wire_util.h"

#include "wire/armour.h"
#include "wire/enrol.h"

static struct crypto_key *sign, *root;
static uint8_t sign_point[CRYPTO_POINT], root_point[CRYPTO_POINT], other_point[CRYPTO_POINT];
static struct bundle bundle;
static struct enrol_request request;

static struct buf request_text(void)
{
    struct buf b;

    buf_init(&b, ENROL_FILE_MAX);
    assert_int_equal(enrol_request_write(&request, sign, &b), 0);
    return b;
}

static struct buf bundle_text(void)
{
    struct buf b;

    buf_init(&b, ENROL_FILE_MAX);
    assert_int_equal(bundle_write(&bundle, root, &b), 0);
    return b;
}

static bool same_bundle(const struct bundle *a, const struct bundle *b)
{
    return memcmp(a->gw, b->gw, GW_LEN) == 0 && a->gen == b->gen && strcmp(a->tls_cert, b->tls_cert) == 0 &&
           strcmp(a->ca, b->ca) == 0 && a->n_recipients == b->n_recipients &&
           memcmp(a->recipients, b->recipients, a->n_recipients * CRYPTO_POINT) == 0 &&
           strcmp(a->broker, b->broker) == 0;
}

static bool same_request(const struct enrol_request *a, const struct enrol_request *b)
{
    return memcmp(a->gw, b->gw, GW_LEN) == 0 && strcmp(a->csr, b->csr) == 0 &&
           memcmp(a->sign_point, b->sign_point, CRYPTO_POINT) == 0;
}

static void round_trips(void **state)
{
    struct buf q = request_text(), b = bundle_text();
    static struct bundle got;
    struct enrol_request gotq;
    uint8_t got_root[CRYPTO_POINT];

    assert_int_equal(enrol_request_read(buf_bytes(&q), &gotq), 0);
    assert_true(same_request(&gotq, &request));
    assert_int_equal(bundle_read(buf_bytes(&b), NULL, &got, got_root), 0);
    assert_true(same_bundle(&got, &bundle));
    assert_memory_equal(got_root, root_point, CRYPTO_POINT);
    assert_int_equal(bundle_read(buf_bytes(&b), root_point, &got, got_root), 0);
    buf_done(&q);
    buf_done(&b);
}

static void largest(void **state)
{
    static struct bundle big, got;
    struct enrol_request q = request, gotq;
    uint8_t r[CRYPTO_POINT];
    struct buf b;

    big = bundle;
    memset(big.tls_cert, 'c', sizeof big.tls_cert - 1);
    memset(big.ca, 'a', sizeof big.ca - 1);
    memset(big.broker, 'b', sizeof big.broker - 1);
    big.n_recipients = BUNDLE_RECIPIENTS_MAX;
    for (size_t i = 0; i < BUNDLE_RECIPIENTS_MAX; i++)
        memcpy(big.recipients[i], root_point, CRYPTO_POINT);
    buf_init(&b, ENROL_FILE_MAX);
    assert_int_equal(bundle_write(&big, root, &b), 0);
    assert_int_equal(bundle_read(buf_bytes(&b), NULL, &got, r), 0);
    assert_true(same_bundle(&got, &big));
    buf_reset(&b);
    memset(q.csr, 'q', sizeof q.csr - 1);
    assert_int_equal(enrol_request_write(&q, sign, &b), 0);
    assert_int_equal(enrol_request_read(buf_bytes(&b), &gotq), 0);
    assert_true(same_request(&gotq, &q));
    buf_reset(&b);

    memset(q.csr, 'q', sizeof q.csr); /* no end */
    assert_int_equal(enrol_request_write(&q, sign, &b), -EINVAL);
    q = request;
    memcpy(q.sign_point, root_point, CRYPTO_POINT);
    assert_int_equal(enrol_request_write(&q, sign, &b), -EINVAL);
    big.n_recipients = 0;
    assert_int_equal(bundle_write(&big, root, &b), -EINVAL);
    big.n_recipients = BUNDLE_RECIPIENTS_MAX + 1;
    assert_int_equal(bundle_write(&big, root, &b), -EINVAL);
    assert_int_equal(b.len, 0);
    buf_done(&b);
}

static void roots(void **state)
{
    struct buf b = bundle_text(), mixed;
    static struct bundle got;
    uint8_t r[CRYPTO_POINT];

    assert_int_equal(bundle_read(buf_bytes(&b), other_point, &got, r), ENROL_BAD);
    /* without its ROOT block: only for who has pinned the root */
    char *cut = strstr(buf_str(&b), "-----BEGIN PUNCH ROOT");
    assert_non_null(cut);
    struct bytes alone = BYTES(b.p, (size_t)(cut - (char *)b.p));
    assert_int_equal(bundle_read(alone, NULL, &got, r), ENROL_BAD);
    assert_int_equal(bundle_read(alone, root_point, &got, r), 0);
    assert_memory_equal(r, root_point, CRYPTO_POINT);
    /* another root beside it */
    buf_init(&mixed, ENROL_FILE_MAX);
    buf_add(&mixed, alone.p, alone.n);
    assert_int_equal(armour_write("PUNCH ROOT", BYTES(other_point, CRYPTO_POINT), &mixed), 0);
    assert_int_equal(bundle_read(buf_bytes(&mixed), NULL, &got, r), ENROL_BAD);
    assert_int_equal(bundle_read(buf_bytes(&mixed), root_point, &got, r), ENROL_BAD);
    buf_done(&mixed);
    buf_done(&b);
}

static void in_mails_and_on_windows(void **state)
{
    struct buf b = bundle_text(), m;
    static struct bundle got;
    uint8_t r[CRYPTO_POINT];

    buf_init(&m, (size_t)2 * ENROL_FILE_MAX);
    buf_addf(&m, "Hello,\r\n\r\nhere it is:\r\n");
    for (size_t i = 0; i < b.len; i++)
        buf_addf(&m, "%s%c", b.p[i] == '\n' ? " \t\r" + (b.p[i - 1] == '-' ? 2 : 0) : "", b.p[i]);
    buf_addf(&m, "\r\nRegards");
    assert_false(m.failed);
    assert_int_equal(bundle_read(buf_bytes(&m), NULL, &got, r), 0);
    assert_true(same_bundle(&got, &bundle));
    /* twice in one file: which one is meant? */
    buf_reset(&m);
    buf_addf(&m, "%s%s", buf_str(&b), buf_str(&b));
    assert_int_equal(bundle_read(buf_bytes(&m), NULL, &got, r), ENROL_BAD);
    /* a request is no bundle */
    struct buf q = request_text();
    assert_int_equal(bundle_read(buf_bytes(&q), root_point, &got, r), ENROL_BAD);
    buf_done(&q);
    buf_done(&m);
    buf_done(&b);
}

static size_t taken;
static void read_changed_request(void *arg, struct bytes msg, size_t at)
{
    struct enrol_request got;

    int r = enrol_request_read(msg, &got);
    assert_true(r == 0 || r == ENROL_BAD);
    if (r == 0) {
        taken++;
        assert_true(same_request(&got, &request));
    }
}

static void read_changed_bundle(void *arg, struct bytes msg, size_t at)
{
    static struct bundle got;
    uint8_t ret_root[CRYPTO_POINT];

    int r = bundle_read(msg, arg, &got, ret_root);
    assert_true(r == 0 || r == ENROL_BAD);
    if (r == 0) {
        taken++;
        assert_true(same_bundle(&got, &bundle));
        assert_memory_equal(ret_root, root_point, CRYPTO_POINT);
    }
}

static void every_byte_changed(void **state)
{
    struct buf q = request_text(), b = bundle_text();
    size_t made = spoil(buf_bytes(&q), read_changed_request, NULL);

    made += spoil(buf_bytes(&b), read_changed_bundle, NULL);
    made += spoil(buf_bytes(&b), read_changed_bundle, root_point);
    print_message("%zu changed files, %zu taken and the same\n", made, taken);
    assert_true(taken > 0 && taken < made / 4); /* cut or changed only where it does not matter */
    buf_done(&q);
    buf_done(&b);
}

static void base64(void **state)
{
    static const struct {
        const char *body, *want; /* NULL: bad */
    } cases[] = {
        {"", ""},
        {"Zg==", "f"},
        {"Zm8=", "fo"},
        {"Zm9v", "foo"},
        {"Zm9vYg==", "foob"},
        {"Zm 9v\n Yg==", "foob"},
        {"Zm9vYmE=", "fooba"},
        {"Zm9vYmFy", "foobar"}, /* RFC 4648 section 10 */
        {"Zg=", NULL},
        {"Zg", NULL},
        {"Z", NULL},
        {"Zh==", NULL},
        {"Zm9=", NULL},
        {"Zg==Zg==", NULL},
        {"=", NULL},
        {"====", NULL},
        {"Z===", NULL},
        {"Zg=v", NULL},
        {"Zm9-", NULL},
        {"Zm9_", NULL},
        {"Zm9v\x01", NULL},
        {"Zm9v\xff", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf text, data;
        buf_init(&text, 1000);
        buf_init(&data, 1000);
        buf_addf(&text, "-----BEGIN X-----\n%s\n-----END X-----", cases[i].body);
        int r = armour_read(buf_bytes(&text), "X", &data);
        if (r != (cases[i].want != NULL ? 0 : ARMOUR_BAD))
            fail_msg("\"%s\": %d", cases[i].body, r);
        if (r == 0)
            assert_string_equal(buf_str(&data), cases[i].want);
        buf_done(&text);
        buf_done(&data);
    }
    struct buf data;
    buf_init(&data, 4);
    assert_int_equal(armour_read(BYTES_STR("nothing"), "X", &data), ARMOUR_ABSENT);
    assert_int_equal(armour_read(BYTES_NONE, "X", &data), ARMOUR_ABSENT);
    assert_int_equal(armour_read(BYTES_STR("-----BEGIN X-----\nZm9v"), "X", &data), ARMOUR_BAD);
    static const char twice[] = "-----BEGIN X-----\n-----END X-----\n-----BEGIN X-----\nZm9v\n-----END X-----\n";
    assert_int_equal(armour_read(BYTES_STR(twice), "X", &data), ARMOUR_BAD);
    assert_int_equal(armour_read(BYTES_STR(twice + 18), "X", &data), 0);
    buf_reset(&data);
    assert_int_equal(armour_read(BYTES_STR("-----BEGIN X-----\nZm9vZm9v\n-----END X-----"), "X", &data), -ENOBUFS);
    assert_int_equal(data.len, 0);
    buf_done(&data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(largest),
        cmocka_unit_test(roots),
        cmocka_unit_test(in_mails_and_on_windows),
        cmocka_unit_test(every_byte_changed),
        cmocka_unit_test(base64),
    };

    if (crypto_init() != 0)
        return 1;
    sign = fixed_key(CRYPTO_ECDSA, 0x11);
    root = fixed_key(CRYPTO_ECDSA, 0x44);
    fixed_point(CRYPTO_ECDSA, 0x11, sign_point);
    fixed_point(CRYPTO_ECDSA, 0x44, root_point);
    fixed_point(CRYPTO_ECDSA, 0x55, other_point);
    request = (struct enrol_request){.gw = {0x7b, 1}, .csr = "-----BEGIN CERTIFICATE REQUEST-----\n"};
    memcpy(request.sign_point, sign_point, CRYPTO_POINT);
    bundle = (struct bundle){
        .gw = {0x7b, 1}, .gen = 2, .tls_cert = "cert\n", .ca = "ca\n", .n_recipients = 2, .broker = "b:8883"};
    memcpy(bundle.recipients[0], other_point, CRYPTO_POINT);
    memcpy(bundle.recipients[1], root_point, CRYPTO_POINT);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    crypto_key_free(sign);
    crypto_key_free(root);
    return r;
}
