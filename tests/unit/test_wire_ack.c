/* Acks: only who holds the ack key makes them, and no change to one makes another. */
#include "tests/unit/test_wire_util.h"

#include "wire/ack.h"
#include "wire/cbor.h"

#define N 3
static const uint8_t key[2][ACK_KEY_LEN] = {{1}, {2}};
static struct ack original;
static size_t valid, decoded;

static const uint8_t *key_of(size_t i)
{
    return key[i == 2 ? 1 : 0];
}

static void make(struct ack *a)
{
    static const int64_t now[N] = {1763870405000000, -5, INT64_MIN};
    static const uint64_t next[N] = {0, 300, SEG_RECORDS_MAX}, epoch[N] = {1763800000, 0, INT64_MAX};

    *a = (struct ack){.n = N};
    for (size_t i = 0; i < N; i++) {
        a->items[i] = (struct ack_item){.epoch = epoch[i], .now = now[i], .next = next[i]};
        memset(a->items[i].segid, (int)i + 1, SEGID_LEN);
        assert_int_equal(ack_mac(key_of(i), &a->items[i]), 0);
    }
}

static struct buf encoded(const struct ack *a)
{
    struct buf b;

    buf_init(&b, ACK_MSG_MAX);
    assert_int_equal(ack_encode(a, &b), 0);
    return b;
}

static void round_trip(void **state)
{
    struct ack a, back;

    make(&a);
    struct buf b = encoded(&a);
    assert_int_equal(ack_decode(buf_bytes(&b), &back), 0);
    assert_int_equal(back.n, N);
    for (size_t i = 0; i < N; i++) {
        assert_memory_equal(back.items[i].segid, a.items[i].segid, SEGID_LEN);
        assert_true(back.items[i].epoch == a.items[i].epoch && back.items[i].now == a.items[i].now &&
                    back.items[i].next == a.items[i].next);
        assert_int_equal(ack_check(key_of(i), &back.items[i]), 0);
        assert_int_equal(ack_check(key_of(i == 2 ? 0 : 2), &back.items[i]), ACK_BAD);
    }
    buf_done(&b);
}

static void each_field_is_covered(void **state)
{
    struct ack a;

    make(&a);
    struct ack_item good = a.items[1], it = good;
    it.segid[15] ^= 1;
    assert_int_equal(ack_check(key[0], &it), ACK_BAD);
    it = good;
    it.epoch++;
    assert_int_equal(ack_check(key[0], &it), ACK_BAD);
    it = good;
    it.now++;
    assert_int_equal(ack_check(key[0], &it), ACK_BAD);
    it = good;
    it.next++;
    assert_int_equal(ack_check(key[0], &it), ACK_BAD);
    for (size_t bit = 0; bit < (size_t)8 * ACK_MAC_LEN; bit++) {
        it = good;
        it.mac[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(ack_check(key[0], &it), ACK_BAD);
    }
    assert_int_equal(ack_check(key[0], &good), 0);
}

static void gateway(void *arg, struct bytes msg, size_t at)
{
    struct ack a;

    if (ack_decode(msg, &a) != 0)
        return;
    decoded++;
    for (size_t i = 0; i < a.n; i++)
        for (size_t k = 0; k < 2; k++)
            if (ack_check(key[k], &a.items[i]) == 0) {
                valid++;
                assert_int_equal(a.n, N);
                assert_memory_equal(a.items[i].segid, original.items[i].segid, SEGID_LEN);
                assert_true(a.items[i].epoch == original.items[i].epoch && a.items[i].now == original.items[i].now &&
                            a.items[i].next == original.items[i].next);
            }
}

static void every_byte_changed(void **state)
{
    make(&original);
    struct buf b = encoded(&original);
    size_t made = spoil(buf_bytes(&b), gateway, NULL);
    buf_done(&b);
    print_message("%zu changed acks, %zu still decode; %zu items are valid, all as they were made\n", made, decoded,
                  valid);
    assert_true(decoded > 0 && valid == 2 * decoded); /* of three items the two that were not touched */
}

static void limits(void **state)
{
    static struct ack a;
    struct ack back = {.n = 4711};
    uint8_t mem[128];
    static const uint8_t zeros[SEGID_LEN];

    a.n = ACK_ITEMS_MAX;
    for (size_t i = 0; i < ACK_ITEMS_MAX; i++)
        a.items[i] = (struct ack_item){.epoch = INT64_MAX, .now = INT64_MIN, .next = SEG_RECORDS_MAX};
    struct buf b = encoded(&a);
    assert_int_equal(ack_decode(buf_bytes(&b), &back), 0);
    assert_int_equal(back.n, ACK_ITEMS_MAX);
    buf_reset(&b);
    a.n = 0;
    assert_int_equal(ack_encode(&a, &b), -EINVAL);
    a.n = ACK_ITEMS_MAX + 1;
    assert_int_equal(ack_encode(&a, &b), -EINVAL);
    a.n = 1;
    a.items[0].next = SEG_RECORDS_MAX + 1;
    assert_int_equal(ack_encode(&a, &b), -EINVAL);
    buf_done(&b);

    /* version, no items, a next beyond every segment */
    for (int i = 0; i < 4; i++) {
        struct cbor_w w = CBOR_W(mem, sizeof mem);
        cbor_put_array(&w, 2);
        cbor_put_uint(&w, i == 1 ? 2 : 1);
        cbor_put_array(&w, i == 2 ? 0 : 1);
        if (i != 2) {
            cbor_put_array(&w, 5);
            cbor_put_bytes(&w, BYTES(zeros, SEGID_LEN));
            cbor_put_uint(&w, 1);
            cbor_put_int(&w, 1);
            cbor_put_uint(&w, i == 3 ? SEG_RECORDS_MAX + 1 : 1);
            cbor_put_bytes(&w, BYTES(zeros, ACK_MAC_LEN));
        }
        back.n = 4711;
        assert_int_equal(ack_decode(BYTES(mem, w.len), &back), i == 0 ? 0 : ACK_BAD);
        assert_int_equal(back.n, i == 0 ? 1 : 4711);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(each_field_is_covered),
        cmocka_unit_test(every_byte_changed),
        cmocka_unit_test(limits),
    };

    if (crypto_init() != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
