/* HPKE against the official vectors (RFC 9180's own, base mode, our suite): all pass, and each one fails once any of
 * its values is changed. */
#include "tests/unit/test_wire_util.h"

#include <jansson.h>

#include "wire/hpke.h"

static struct buf hex_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    assert_non_null(s);
    return unhex(s);
}

static bool same(const json_t *o, const char *key, const void *got, size_t n)
{
    struct buf want = hex_of(o, key);
    bool eq = want.len == n && memcmp(want.p, got, n) == 0;

    buf_done(&want);
    return eq;
}

static bool check_derive(const json_t *v, const char *ikm_key, const char *sk_key, const char *pk_key)
{
    struct buf ikm = hex_of(v, ikm_key);
    struct crypto_key *k;
    uint8_t sk[32], pk[CRYPTO_POINT];

    assert_int_equal(hpke_derive_key(buf_bytes(&ikm), &k), 0);
    assert_int_equal(crypto_key_export(k, sk), 0);
    assert_int_equal(crypto_key_point(k, pk), 0);
    crypto_key_free(k);
    buf_done(&ikm);
    return same(v, sk_key, sk, sizeof sk) && same(v, pk_key, pk, sizeof pk);
}

static bool check_context(const json_t *v, const struct hpke *h)
{
    return same(v, "key", h->key, sizeof h->key) && same(v, "base_nonce", h->base_nonce, sizeof h->base_nonce) &&
           same(v, "exporter_secret", h->exporter, sizeof h->exporter);
}

/* RFC 9180 section 5.2: nonce = base_nonce XOR sequence number. */
static bool check_encryption(const json_t *e, const struct hpke *h)
{
    struct buf aad = hex_of(e, "aad"), ct = hex_of(e, "ct"), pt = hex_of(e, "pt");
    uint64_t seq = (uint64_t)json_integer_value(json_object_get(e, "seq"));
    uint8_t nonce[CRYPTO_NONCE], *out = malloc(ct.len + pt.len + CRYPTO_TAG);
    struct crypto_aead *a;

    assert_non_null(out);
    memcpy(nonce, h->base_nonce, sizeof nonce);
    for (unsigned i = 0; i < 8; i++)
        nonce[CRYPTO_NONCE - 1 - i] ^= (uint8_t)(seq >> (8 * i));
    assert_int_equal(crypto_aead_new(h->key, &a), 0);
    bool ok = same(e, "nonce", nonce, sizeof nonce);
    ok = ok && crypto_aead_open(a, nonce, buf_bytes(&aad), buf_bytes(&ct), out) == 0 && ct.len == pt.len + CRYPTO_TAG &&
         memcmp(out, pt.p, pt.len) == 0;
    assert_int_equal(crypto_aead_seal(a, nonce, buf_bytes(&aad), buf_bytes(&pt), out), 0);
    ok = ok && ct.len == pt.len + CRYPTO_TAG && memcmp(out, ct.p, ct.len) == 0;
    crypto_aead_free(a);
    free(out);
    buf_done(&aad);
    buf_done(&ct);
    buf_done(&pt);
    return ok;
}

static bool check_export(const json_t *e, const struct hpke *h)
{
    struct buf context = hex_of(e, "exporter_context");
    uint8_t got[64];
    size_t n = (size_t)json_integer_value(json_object_get(e, "L"));

    assert_true(n <= sizeof got);
    assert_int_equal(hpke_export_bytes(h, buf_bytes(&context), got, n), 0);
    buf_done(&context);
    return same(e, "exported_value", got, n);
}

static bool check_all_of(const json_t *v, const struct hpke *h)
{
    size_t i;
    json_t *e;
    bool ok = check_context(v, h);

    json_array_foreach(json_object_get(v, "encryptions"), i, e) ok = ok && check_encryption(e, h);
    json_array_foreach(json_object_get(v, "exports"), i, e) ok = ok && check_export(e, h);
    return ok;
}

/* The whole vector, both sides. False at the first value that differs. */
static bool check_vector(const json_t *v)
{
    struct buf info = hex_of(v, "info"), enc = hex_of(v, "enc"), pk = hex_of(v, "pkRm"), sk_r = hex_of(v, "skRm");
    struct buf sk_e = hex_of(v, "skEm");
    struct crypto_key *receiver = NULL, *ephemeral = NULL;
    uint8_t got_enc[CRYPTO_POINT];
    struct hpke h;

    bool ok = check_derive(v, "ikmR", "skRm", "pkRm") && check_derive(v, "ikmE", "skEm", "pkEm") &&
              crypto_key_import(CRYPTO_ECDH, sk_r.p, &receiver) == 0 &&
              crypto_key_import(CRYPTO_ECDH, sk_e.p, &ephemeral) == 0;
    ok = ok && hpke_sender_with(ephemeral, pk.p, buf_bytes(&info), got_enc, &h) == 0 &&
         same(v, "enc", got_enc, sizeof got_enc) && check_all_of(v, &h);
    ok = ok && hpke_receiver(receiver, enc.p, buf_bytes(&info), &h) == 0 && check_all_of(v, &h);
    crypto_key_free(receiver);
    crypto_key_free(ephemeral);
    struct buf *all[] = {&info, &enc, &pk, &sk_r, &sk_e};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        buf_done(all[i]);
    return ok;
}

static json_t *load(void)
{
    json_error_t err;
    json_t *root = json_load_file(VECTORS "/hpke-base-p256-aes256gcm.json", 0, &err);

    assert_non_null(root);
    return root;
}

/* Changes the value at three places, one at a time, and expects the vector to fail each time. */
static size_t corrupt_each_place(json_t *v, json_t *o, const char *key)
{
    char *was = strdup(json_string_value(json_object_get(o, key)));
    assert_non_null(was);
    size_t n = strlen(was), at[3] = {0, n / 2, n - 1}, made = 0;

    for (size_t i = 0; n > 0 && i < 3; i++) {
        char *now = strdup(was);
        assert_non_null(now);
        now[at[i]] = now[at[i]] == '5' ? '6' : '5';
        json_object_set_new(o, key, json_string(now));
        if (check_vector(v))
            fail_msg("%s changed at digit %zu, and the vector still passes", key, at[i]);
        free(now);
        made++;
    }
    json_object_set_new(o, key, json_string(was));
    free(was);
    return made;
}

static void official_vectors_pass(void **state)
{
    json_t *root = load(), *v = json_object_get(root, "vector");

    assert_true(check_vector(v));
    print_message("HPKE: 1 vector, %zu encryptions, %zu exports, sender and receiver\n",
                  json_array_size(json_object_get(v, "encryptions")), json_array_size(json_object_get(v, "exports")));
    assert_int_equal(json_array_size(json_object_get(v, "encryptions")), 8);
    assert_int_equal(json_array_size(json_object_get(v, "exports")), 3);
    json_decref(root);
}

static void corrupted_vectors_fail(void **state)
{
    static const char *const fields[] = {"info", "ikmR", "ikmE", "skRm",       "skEm",           "pkRm",
                                         "pkEm", "enc",  "key",  "base_nonce", "exporter_secret"};
    static const char *const enc_fields[] = {"aad", "ct", "nonce", "pt"};
    static const char *const exp_fields[] = {"exporter_context", "exported_value"};
    json_t *root = load(), *v = json_object_get(root, "vector"), *e;
    size_t i, made = 0;

    for (i = 0; i < ARRAY_LEN(fields); i++)
        made += corrupt_each_place(v, v, fields[i]);
    /* the first and the last are enough: all go through the same code, and the test stays short */
    for (i = 0; i < 8; i += 7)
        for (size_t f = 0; f < ARRAY_LEN(enc_fields); f++)
            made += corrupt_each_place(v, json_array_get(json_object_get(v, "encryptions"), i), enc_fields[f]);
    json_array_foreach(json_object_get(v, "exports"), i, e) for (size_t f = 0; f < ARRAY_LEN(exp_fields); f++) made +=
        corrupt_each_place(v, e, exp_fields[f]);
    assert_true(check_vector(v));
    print_message("HPKE: %zu corrupted vectors, all refused\n", made);
    assert_true(made > 60);
    json_decref(root);
}

static void foreign_points_are_refused(void **state)
{
    struct crypto_key *k = fixed_key(CRYPTO_ECDH, 0x22);
    uint8_t point[CRYPTO_POINT], enc[CRYPTO_POINT];
    struct hpke h;

    fixed_point(CRYPTO_ECDH, 0x33, point);
    assert_int_equal(hpke_receiver(k, point, BYTES_STR("i"), &h), 0);
    point[64] ^= 1; /* off the curve */
    assert_int_equal(hpke_receiver(k, point, BYTES_STR("i"), &h), HPKE_BAD);
    assert_int_equal(hpke_sender(point, BYTES_STR("i"), enc, &h), HPKE_BAD);
    memset(point, 0, sizeof point);
    assert_int_equal(hpke_receiver(k, point, BYTES_STR("i"), &h), HPKE_BAD);
    crypto_key_free(k);
}

static void fresh_key_each_time(void **state)
{
    struct crypto_key *k = fixed_key(CRYPTO_ECDH, 0x22);
    uint8_t point[CRYPTO_POINT], enc[2][CRYPTO_POINT], a[32], b[32];
    struct hpke s, r;

    assert_int_equal(crypto_key_point(k, point), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hpke_sender(point, BYTES_STR("info"), enc[i], &s), 0);
        assert_int_equal(hpke_receiver(k, enc[i], BYTES_STR("info"), &r), 0);
        assert_int_equal(hpke_export(&s, "x", a, sizeof a), 0);
        assert_int_equal(hpke_export(&r, "x", b, sizeof b), 0);
        assert_memory_equal(a, b, sizeof a);
        assert_int_equal(hpke_receiver(k, enc[i], BYTES_STR("other"), &r), 0);
        assert_int_equal(hpke_export(&r, "x", b, sizeof b), 0);
        assert_memory_not_equal(a, b, sizeof a);
    }
    assert_memory_not_equal(enc[0], enc[1], CRYPTO_POINT);
    crypto_key_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(official_vectors_pass),
        cmocka_unit_test(corrupted_vectors_fail),
        cmocka_unit_test(foreign_points_are_refused),
        cmocka_unit_test(fresh_key_each_time),
    };

    if (crypto_init() != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
