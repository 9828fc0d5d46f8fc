/* Status: signed, bounded, and nothing but what was signed. Topics too, since both say who speaks. */
#include "tests/unit/test_wire_util.h"

#include "wire/cbor.h"
#include "wire/status.h"
#include "wire/topic.h"

static struct crypto_key *sign;
static uint8_t point[CRYPTO_POINT];

static struct status make(void)
{
    struct status s = {.gen = 2, .online = true, .real = 1763870406000000, .mono = 14300000, .ck = 127, .n_rkids = 2};

    memset(s.gw, 0x7b, sizeof s.gw);
    memset(s.boot, 0xb0, sizeof s.boot);
    memset(s.conn, 0xc0, sizeof s.conn);
    memset(s.rkids, 0x22, (size_t)2 * RKID_LEN);
    s.counts[COUNT_PUNCHES] = 1;
    s.counts[COUNT_SPOOL_BYTES] = INT64_MAX;
    return s;
}

static void round_trip(void **state)
{
    struct status s = make(), back = {0};
    struct buf b;

    buf_init(&b, STATUS_MSG_MAX);
    assert_int_equal(status_encode(&s, sign, &b), 0);
    assert_int_equal(status_decode(buf_bytes(&b), point, &back), 0);
    assert_memory_equal(&s, &back, sizeof s);
    buf_reset(&b);
    s.online = false;
    s.n_rkids = STATUS_RKIDS_MAX;
    s.real = INT64_MIN;
    for (size_t i = 1; i < COUNT_MAX; i++)
        s.counts[i] = INT64_MAX;
    assert_int_equal(status_encode(&s, sign, &b), 0);
    assert_true(b.len <= STATUS_MSG_MAX);
    assert_int_equal(status_decode(buf_bytes(&b), point, &back), 0);
    assert_memory_equal(&s, &back, sizeof s);
    buf_reset(&b);
    s.n_rkids++;
    assert_int_equal(status_encode(&s, sign, &b), -EINVAL);
    s = make();
    s.gen = 0;
    assert_int_equal(status_encode(&s, sign, &b), -EINVAL);
    assert_int_equal(b.len, 0);
    buf_done(&b);
}

static void another_key_is_refused(void **state)
{
    struct status s = make(), back = {.gen = 4711};
    uint8_t other[CRYPTO_POINT];
    struct buf b;

    fixed_point(CRYPTO_ECDSA, 0x55, other);
    buf_init(&b, STATUS_MSG_MAX);
    assert_int_equal(status_encode(&s, sign, &b), 0);
    assert_int_equal(status_decode(buf_bytes(&b), other, &back), STATUS_BAD);
    assert_int_equal(back.gen, 4711);
    assert_int_equal(status_decode(buf_bytes(&b), NULL, &back), 0); /* parsed without trust */
    buf_done(&b);
}

static void refuse(void *arg, struct bytes msg, size_t at)
{
    struct status back;

    if (status_decode(msg, point, &back) != STATUS_BAD)
        fail_msg("changed at byte %zu and still taken", at);
}

static void every_byte_changed(void **state)
{
    struct status s = make();
    struct buf b;

    buf_init(&b, STATUS_MSG_MAX);
    assert_int_equal(status_encode(&s, sign, &b), 0);
    print_message("%zu changed statuses, all refused\n", spoil(buf_bytes(&b), refuse, NULL));
    buf_done(&b);
}

/* Two fields that only a sender with the right key could get wrong. */
static void version_and_generation(void **state)
{
    for (int i = 0; i < 3; i++) {
        uint8_t mem[256], id[16] = {1};
        struct cbor_w w = CBOR_W(mem, sizeof mem);
        struct status back;
        struct buf msg;

        cbor_put_array(&w, 11);
        cbor_put_uint(&w, i == 1 ? 2 : 1);
        cbor_put_bytes(&w, BYTES(id, GW_LEN));
        cbor_put_uint(&w, i == 2 ? 0 : 1);
        cbor_put_bool(&w, true);
        cbor_put_bytes(&w, BYTES(id, 16));
        cbor_put_bytes(&w, BYTES(id, 16));
        cbor_put_int(&w, 0);
        cbor_put_uint(&w, 0);
        cbor_put_uint(&w, 0);
        cbor_put_array(&w, 0);
        cbor_put_map(&w, 0);
        buf_init(&msg, STATUS_MSG_MAX);
        assert_int_equal(cose_sign(sign, COSE_AAD_STATUS, BYTES(mem, w.len), &msg), 0);
        assert_int_equal(status_decode(buf_bytes(&msg), point, &back), i == 0 ? 0 : STATUS_BAD);
        buf_done(&msg);
    }
}

/* Counts of a later version: other keys, negative ones, in order. */
static void later_counts(void **state)
{
    static const struct {
        const char *map;
        int want;
    } cases[] = {
        {"a0", 0},
        {"a301021864052000", 0},
        {"a2200001"
         "02",
         STATUS_BAD},
        {"a201020102", STATUS_BAD},
        {"a20202"
         "0102",
         STATUS_BAD},
        {"a10120", STATUS_BAD},
        {"a1616101", STATUS_BAD},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t mem[256], id[16] = {1};
        struct cbor_w w = CBOR_W(mem, sizeof mem);
        struct buf map = unhex(cases[i].map), msg;
        struct status back;

        cbor_put_array(&w, 11);
        cbor_put_uint(&w, 1);
        cbor_put_bytes(&w, BYTES(id, GW_LEN));
        cbor_put_uint(&w, 1);
        cbor_put_bool(&w, true);
        cbor_put_bytes(&w, BYTES(id, 16));
        cbor_put_bytes(&w, BYTES(id, 16));
        cbor_put_int(&w, -1);
        cbor_put_uint(&w, 0);
        cbor_put_uint(&w, 255);
        cbor_put_array(&w, 0);
        cbor_put_raw(&w, buf_bytes(&map));
        buf_init(&msg, STATUS_MSG_MAX);
        assert_int_equal(cose_sign(sign, COSE_AAD_STATUS, BYTES(mem, w.len), &msg), 0);
        if (status_decode(buf_bytes(&msg), point, &back) != cases[i].want)
            fail_msg("counts %s", cases[i].map);
        if (i == 1)
            assert_int_equal(back.counts[COUNT_PUNCHES], 2);
        buf_done(&map);
        buf_done(&msg);
    }
}

static void topics(void **state)
{
    static const uint8_t gw[GW_LEN] = {0x7b, 0x00, 0xc0, 0xff, 0xee, 0x00, 0x00, 0x01};
    static const char *const good[] = {
        "punch/v1/7/7b00c0ffee000001/up",  "punch/v1/7/7b00c0ffee000001/ack",    "punch/v1/7/7b00c0ffee000001/status",
        "punch/v1/7/7b00c0ffee000001/cmd", "punch/v1/7/7b00c0ffee000001/result",
    };
    static const char *const bad[] = {
        "",
        "punch",
        "punch/v1/7/7b00c0ffee000001",
        "punch/v1/7/7b00c0ffee000001/",
        "punch/v1/8/7b00c0ffee000001/up",
        "punch/v1/7/7B00c0ffee000001/up",
        "punch/v1/7/7b00c0ffee00000/up",
        "punch/v1/7/7b00c0ffee0000012/up",
        "punch/v2/7/7b00c0ffee000001/up",
        "Punch/v1/7/7b00c0ffee000001/up",
        "punch/v1/7/7b00c0ffee000001/ups",
        "punch/v1/7/7b00c0ffee000001/up/",
        "/punch/v1/7/7b00c0ffee000001/up",
        "punch/v1/7/7g00c0ffee000001/up",
        "punch/v1/7/7b00c0ffee000001/statusstatusstatusstatusstatusstatus",
        "punch/v1/+/+/up",
        "punch/v1/7/ 7b00c0ffee00000/up",
    };
    char made[TOPIC_MAX];
    uint8_t got[GW_LEN];
    enum topic_leaf leaf;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        topic_make(gw, (enum topic_leaf)i, made);
        assert_string_equal(made, good[i]);
        assert_int_equal(topic_parse(made, got, &leaf), 0);
        assert_memory_equal(got, gw, GW_LEN);
        assert_int_equal(leaf, i);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (topic_parse(bad[i], got, &leaf) != TOPIC_BAD)
            fail_msg("taken: %s", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),   cmocka_unit_test(another_key_is_refused), cmocka_unit_test(every_byte_changed),
        cmocka_unit_test(later_counts), cmocka_unit_test(version_and_generation), cmocka_unit_test(topics),
    };

    if (crypto_init() != 0)
        return 1;
    sign = fixed_key(CRYPTO_ECDSA, 0x11);
    fixed_point(CRYPTO_ECDSA, 0x11, point);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    crypto_key_free(sign);
    return r;
}
