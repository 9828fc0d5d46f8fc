/* base/crypto.h against official vectors (tests/vectors, each file names its source), and each vector again with every
 * byte of every field flipped, which must fail. A file that yields no vector fails the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/crypto.h"
#include "base/str.h"

#define FIELD_MAX 256

struct field {
    uint8_t p[FIELD_MAX];
    size_t n;
};

static struct bytes bytes_of(const struct field *f)
{
    return BYTES(f->p, f->n);
}

static struct field unhex(const char *s)
{
    struct field f = {.n = 0};
    assert_non_null(s);
    assert_int_equal(str_unhex_any(s, f.p, sizeof f.p, &f.n), 0);
    return f;
}

static const char *text_of(const json_t *v, const char *key)
{
    return json_string_value(json_object_get(v, key));
}

static struct field field_of(const json_t *v, const char *key)
{
    return unhex(text_of(v, key));
}

/* Calls fn for each vector of the file; fn returns the number of corruptions it tried. */
static void each_vector(const char *name, size_t (*fn)(const json_t *v))
{
    char path[512];
    json_error_t error;
    size_t n = 0, corrupted = 0, i;
    json_t *v;

    snprintf(path, sizeof path, "%s/%s", VECTORS, name);
    json_t *root = json_load_file(path, 0, &error);
    if (!root)
        fail_msg("%s: %s", path, error.text);
    json_array_foreach(json_object_get(root, "vectors"), i, v)
    {
        corrupted += fn(v);
        n++;
    }
    json_decref(root);
    print_message("%s: %zu vectors, %zu corruptions of them\n", name, n, corrupted);
    assert_true(n > 0 && corrupted > n);
}

struct gcm {
    struct field key, iv, aad, sealed;
};

static int gcm_open(const struct gcm *g, uint8_t ret[FIELD_MAX])
{
    struct crypto_aead *a;
    assert_int_equal(g->key.n, CRYPTO_KEY);
    assert_int_equal(g->iv.n, CRYPTO_NONCE);
    assert_int_equal(crypto_aead_new(g->key.p, &a), 0);
    int r = crypto_aead_open(a, g->iv.p, bytes_of(&g->aad), bytes_of(&g->sealed), ret);
    crypto_aead_free(a);
    return r;
}

static size_t gcm_corrupted(struct gcm *g)
{
    struct field *fields[] = {&g->key, &g->iv, &g->aad, &g->sealed};
    uint8_t out[FIELD_MAX];
    size_t tried = 0;

    for (size_t f = 0; f < ARRAY_LEN(fields); f++) {
        for (size_t i = 0; i < fields[f]->n; i++, tried++) {
            fields[f]->p[i] ^= (uint8_t)(1u << i % 8);
            assert_int_equal(gcm_open(g, out), CRYPTO_BAD);
            fields[f]->p[i] ^= (uint8_t)(1u << i % 8);
        }
    }
    for (; g->sealed.n > 0; tried++) { /* cut off, down to nothing */
        g->sealed.n--;
        assert_int_equal(gcm_open(g, out), CRYPTO_BAD);
    }
    return tried;
}

static size_t gcm_vector(const json_t *v)
{
    struct gcm g = {field_of(v, "key"), field_of(v, "iv"), field_of(v, "aad"), field_of(v, "ct")};
    struct field tag = field_of(v, "tag");
    uint8_t out[FIELD_MAX];
    struct crypto_aead *a;

    assert_int_equal(tag.n, CRYPTO_TAG);
    memcpy(g.sealed.p + g.sealed.n, tag.p, tag.n);
    g.sealed.n += tag.n;
    if (json_object_get(v, "expect")) {
        assert_string_equal(text_of(v, "expect"), "fail");
        assert_int_equal(gcm_open(&g, out), CRYPTO_BAD);
        return 1;
    }
    struct field pt = field_of(v, "pt");
    assert_int_equal(gcm_open(&g, out), 0);
    assert_int_equal(g.sealed.n, pt.n + CRYPTO_TAG);
    assert_memory_equal(out, pt.p, pt.n);
    assert_int_equal(crypto_aead_new(g.key.p, &a), 0);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(crypto_aead_seal(a, g.iv.p, bytes_of(&g.aad), bytes_of(&pt), out), 0);
        assert_memory_equal(out, g.sealed.p, g.sealed.n);
    }
    crypto_aead_free(a);
    return gcm_corrupted(&g);
}

static void aes_gcm_nist(void **state)
{
    each_vector("aes256gcm-nist.json", gcm_vector);
    crypto_aead_free(NULL);
}

struct ecdsa {
    struct field point, sig, msg;
};

static int ecdsa_verify(const struct ecdsa *e)
{
    struct bytes parts[] = {BYTES(e->msg.p, 1), BYTES_NONE, BYTES(e->msg.p + 1, e->msg.n - 1)};
    return crypto_verify(e->point.p, parts, ARRAY_LEN(parts), e->sig.p);
}

static size_t ecdsa_vector(const json_t *v)
{
    struct field d = field_of(v, "d"), r = field_of(v, "r"), s = field_of(v, "s");
    struct ecdsa e = {.point = field_of(v, "Q"), .msg.n = strlen(text_of(v, "msg_ascii"))};
    struct field *fields[] = {&e.point, &e.sig, &e.msg};
    struct crypto_key *k;
    uint8_t out[CRYPTO_SIG], point[CRYPTO_POINT];
    size_t tried = 0;

    memcpy(e.msg.p, text_of(v, "msg_ascii"), e.msg.n);
    memcpy(e.sig.p, r.p, 32);
    memcpy(e.sig.p + 32, s.p, 32);
    e.sig.n = CRYPTO_SIG;
    assert_true(e.point.n == CRYPTO_POINT && d.n == 32 && r.n == 32 && s.n == 32);
    assert_int_equal(crypto_key_import(CRYPTO_ECDSA, d.p, &k), 0);
    assert_int_equal(crypto_key_point(k, point), 0);
    assert_memory_equal(point, e.point.p, CRYPTO_POINT);
    struct bytes msg = bytes_of(&e.msg);
    assert_int_equal(crypto_sign(k, &msg, 1, out), 0);
    crypto_key_free(k);
    if (strcmp(text_of(v, "hash"), "sha256") != 0) { /* good signatures, but not of our hash: ES256 is SHA-256 alone */
        assert_int_equal(ecdsa_verify(&e), CRYPTO_BAD);
        assert_memory_not_equal(out, e.sig.p, CRYPTO_SIG);
        return 1;
    }
    assert_memory_equal(out, e.sig.p, CRYPTO_SIG); /* deterministic, RFC 6979 */
    assert_int_equal(ecdsa_verify(&e), 0);
    for (size_t f = 0; f < ARRAY_LEN(fields); f++) {
        for (size_t i = 0; i < fields[f]->n; i++, tried++) {
            fields[f]->p[i] ^= (uint8_t)(1u << i % 8);
            assert_int_equal(ecdsa_verify(&e), CRYPTO_BAD);
            fields[f]->p[i] ^= (uint8_t)(1u << i % 8);
        }
    }
    for (int half = 0; half < 2; half++, tried += 2) { /* r or s of 0 and of all ones */
        struct ecdsa x = e;
        memset(x.sig.p + 32 * half, 0, 32);
        assert_int_equal(ecdsa_verify(&x), CRYPTO_BAD);
        memset(x.sig.p + 32 * half, 0xff, 32);
        assert_int_equal(ecdsa_verify(&x), CRYPTO_BAD);
    }
    e.msg.n--;
    assert_int_equal(ecdsa_verify(&e), CRYPTO_BAD);
    return tried + 1;
}

static void ecdsa_rfc6979(void **state)
{
    each_vector("ecdsa-p256-rfc6979.json", ecdsa_vector);
}

static bool hkdf_matches(const struct field *salt, const struct field *ikm, const struct field *info,
                         const struct field *prk, const struct field *okm)
{
    uint8_t p[CRYPTO_HASH], o[FIELD_MAX];
    assert_int_equal(crypto_hkdf_extract(bytes_of(salt), bytes_of(ikm), p), 0);
    assert_int_equal(crypto_hkdf_expand(BYTES(p, sizeof p), bytes_of(info), o, okm->n), 0);
    bool same_prk = prk->n == sizeof p && memcmp(p, prk->p, sizeof p) == 0;
    bool same_okm = memcmp(o, okm->p, okm->n) == 0;
    return same_prk && same_okm;
}

static size_t hkdf_vector(const json_t *v)
{
    struct field salt = field_of(v, "salt"), ikm = field_of(v, "IKM"), info = field_of(v, "info");
    struct field prk = field_of(v, "PRK"), okm = field_of(v, "OKM");
    struct field *fields[] = {&salt, &ikm, &info, &prk, &okm};
    size_t tried = 0;
    uint64_t len;

    assert_int_equal(str_u64(text_of(v, "L"), 1, FIELD_MAX, &len), 0);
    assert_int_equal(len, okm.n);
    if (strcmp(text_of(v, "Hash"), "SHA-256") != 0) { /* SHA-1's: ours must differ */
        assert_false(hkdf_matches(&salt, &ikm, &info, &prk, &okm));
        return 1;
    }
    assert_true(hkdf_matches(&salt, &ikm, &info, &prk, &okm));
    for (size_t f = 0; f < ARRAY_LEN(fields); f++) {
        for (size_t i = 0; i < fields[f]->n; i++, tried++) {
            fields[f]->p[i] ^= (uint8_t)(1u << i % 8);
            assert_false(hkdf_matches(&salt, &ikm, &info, &prk, &okm));
            fields[f]->p[i] ^= (uint8_t)(1u << i % 8);
        }
    }
    return tried;
}

static void hkdf_rfc5869(void **state)
{
    static uint8_t out[255 * 32 + 1];
    const struct bytes prk = BYTES("01234567890123456789012345678901", 32);

    each_vector("hkdf-rfc5869.json", hkdf_vector);
    assert_int_equal(crypto_hkdf_expand(prk, BYTES_NONE, out, 255 * 32), 0);
    assert_int_equal(crypto_hkdf_expand(prk, BYTES_NONE, out, 255 * 32 + 1), -EINVAL);
    assert_int_equal(crypto_hkdf_expand(prk, BYTES_NONE, out, 0), 0);
}

/* FIPS 180-2 appendix B. */
static void sha256_fips180(void **state)
{
    static const struct {
        const char *text, *hash;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    uint8_t out[CRYPTO_HASH];
    char hex[65];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(crypto_sha256(BYTES_STR(cases[i].text), out), 0);
        assert_string_equal(str_hex(out, sizeof out, hex), cases[i].hash);
    }
    static uint8_t million[1000000];
    memset(million, 'a', sizeof million);
    assert_int_equal(crypto_sha256(BYTES(million, sizeof million), out), 0);
    assert_string_equal(str_hex(out, sizeof out, hex),
                        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    assert_int_equal(crypto_sha256(BYTES_NONE, out), 0);
    assert_string_equal(str_hex(out, sizeof out, hex), cases[0].hash);
}

/* RFC 4231 section 4, cases 1, 2, 3, 6 (a key longer than the block). */
static void hmac_rfc4231(void **state)
{
    uint8_t long_key[131], fifty[50], out[CRYPTO_HASH];
    char hex[65];
    memset(long_key, 0xaa, sizeof long_key);
    memset(fifty, 0xdd, sizeof fifty);
    const struct {
        struct bytes key, data;
        const char *mac;
    } cases[] = {
        {BYTES("\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b", 20),
         BYTES_STR("Hi There"), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {BYTES_STR("Jefe"), BYTES_STR("what do ya want for nothing?"),
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {BYTES(long_key, 20), BYTES(fifty, 50), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {BYTES(long_key, 131), BYTES_STR("Test Using Larger Than Block-Size Key - Hash Key First"),
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t cut = 0; cut <= cases[i].data.n; cut++) { /* parts are one text */
            const struct bytes d = cases[i].data, parts[] = {BYTES(d.p, cut), BYTES_NONE, BYTES(d.p + cut, d.n - cut)};
            assert_int_equal(crypto_hmac(cases[i].key, parts, ARRAY_LEN(parts), out), 0);
            assert_string_equal(str_hex(out, sizeof out, hex), cases[i].mac);
        }
    }
    assert_int_equal(crypto_hmac(BYTES_NONE, NULL, 0, out), 0);
    assert_string_equal(str_hex(out, sizeof out, hex),
                        "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

/* RFC 5903 section 8.1: both sides and their secret. */
static const char *const ecdh_vector[] = {
    "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433",
    "04DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C37725811805271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58"
    "389E0577B8990BB3",
    "C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53",
    "04D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF6356FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F83"
    "53E74F33039872AB",
    "D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE",
};

static void ecdh_rfc5903(void **state)
{
    struct field secret = unhex(ecdh_vector[4]);
    uint8_t x[32], point[CRYPTO_POINT];

    for (int side = 0; side < 2; side++) {
        struct field d = unhex(ecdh_vector[2 * side]), mine = unhex(ecdh_vector[2 * side + 1]);
        struct field peer = unhex(ecdh_vector[side ? 1 : 3]);
        struct crypto_key *k;
        assert_int_equal(crypto_key_import(CRYPTO_ECDH, d.p, &k), 0);
        assert_int_equal(crypto_key_point(k, point), 0);
        assert_memory_equal(point, mine.p, CRYPTO_POINT);
        assert_int_equal(crypto_ecdh(k, peer.p, x), 0);
        assert_memory_equal(x, secret.p, 32);
        for (size_t i = 0; i < CRYPTO_POINT; i++) { /* off the curve, whatever byte is flipped */
            peer.p[i] ^= (uint8_t)(1u << i % 8);
            memset(x, 0x5a, sizeof x);
            assert_int_equal(crypto_ecdh(k, peer.p, x), CRYPTO_BAD);
            assert_int_equal(x[0], 0x5a);
            peer.p[i] ^= (uint8_t)(1u << i % 8);
        }
        memset(peer.p, 0, CRYPTO_POINT); /* the point at infinity, in two spellings */
        assert_int_equal(crypto_ecdh(k, peer.p, x), CRYPTO_BAD);
        peer.p[0] = 0x04;
        assert_int_equal(crypto_ecdh(k, peer.p, x), CRYPTO_BAD);
        memset(peer.p + 1, 0xff, CRYPTO_POINT - 1);
        assert_int_equal(crypto_ecdh(k, peer.p, x), CRYPTO_BAD);
        crypto_key_free(k);
    }
}

static void keys_have_a_range(void **state)
{
    static const struct {
        const char *scalar;
        int r;
    } cases[] = {
        {"0000000000000000000000000000000000000000000000000000000000000000", CRYPTO_BAD},
        {"0000000000000000000000000000000000000000000000000000000000000001", 0},
        {"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550", 0},          /* n - 1 */
        {"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", CRYPTO_BAD}, /* n */
        {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", CRYPTO_BAD},
    };
    uint8_t out[32], a[32], b[32];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct field d = unhex(cases[i].scalar);
        for (int use = CRYPTO_ECDH; use <= CRYPTO_ECDSA; use++) {
            struct crypto_key *k = NULL;
            assert_int_equal(crypto_key_import((enum crypto_use)use, d.p, &k), cases[i].r);
            assert_int_equal(k != NULL, cases[i].r == 0);
            if (k) {
                assert_int_equal(crypto_key_export(k, out), 0);
                assert_memory_equal(out, d.p, 32);
            }
            crypto_key_free(k);
        }
    }
    struct crypto_key *k[2];
    assert_int_equal(crypto_key_new(CRYPTO_ECDSA, &k[0]), 0);
    assert_int_equal(crypto_key_new(CRYPTO_ECDSA, &k[1]), 0);
    crypto_key_export(k[0], a);
    crypto_key_export(k[1], b);
    assert_memory_not_equal(a, b, 32);
    crypto_key_free(k[0]);
    crypto_key_free(k[1]);
}

static void spki_round_trip(void **state)
{
    struct field point = unhex(ecdh_vector[1]);
    uint8_t der[CRYPTO_SPKI + 1] = {0}, back[CRYPTO_POINT], untouched[CRYPTO_POINT];

    crypto_spki(point.p, der);
    assert_int_equal(crypto_spki_point(BYTES(der, CRYPTO_SPKI), back), 0);
    assert_memory_equal(back, point.p, CRYPTO_POINT);
    memset(back, 0x33, sizeof back);
    memset(untouched, 0x33, sizeof untouched);
    for (size_t i = 0; i < CRYPTO_SPKI; i++) {
        der[i] ^= (uint8_t)(1u << i % 8);
        assert_int_equal(crypto_spki_point(BYTES(der, CRYPTO_SPKI), back), CRYPTO_BAD);
        der[i] ^= (uint8_t)(1u << i % 8);
    }
    assert_int_equal(crypto_spki_point(BYTES(der, CRYPTO_SPKI - 1), back), CRYPTO_BAD);
    assert_int_equal(crypto_spki_point(BYTES(der, CRYPTO_SPKI + 1), back), CRYPTO_BAD);
    assert_int_equal(crypto_spki_point(BYTES_NONE, back), CRYPTO_BAD);
    assert_memory_equal(back, untouched, CRYPTO_POINT);
}

static void compares_wipes_and_draws(void **state)
{
    uint8_t a[64], b[64], zero[64] = {0};

    assert_int_equal(crypto_random(a, sizeof a), 0);
    assert_int_equal(crypto_random(b, sizeof b), 0);
    assert_memory_not_equal(a, b, sizeof a);
    memcpy(b, a, sizeof b);
    assert_true(crypto_equal(a, b, sizeof a));
    for (size_t i = 0; i < sizeof a; i++) {
        b[i] ^= 0x80;
        assert_false(crypto_equal(a, b, sizeof a));
        assert_true(crypto_equal(a, b, i));
        b[i] ^= 0x80;
    }
    assert_true(crypto_equal(a, zero, 0));
    crypto_wipe(a, sizeof a);
    assert_memory_equal(a, zero, sizeof a);
}

static void *busy(void *arg)
{
    uintptr_t bad = 0;
    for (unsigned i = 0; i < 10; i++) {
        struct crypto_key *k = NULL;
        struct crypto_aead *a = NULL;
        uint8_t point[CRYPTO_POINT], sig[CRYPTO_SIG], sealed[4 + CRYPTO_TAG], plain[4], nonce[CRYPTO_NONCE] = {0};
        uint8_t key[CRYPTO_KEY];
        struct bytes msg = BYTES(&i, sizeof i);
        bad += crypto_random(key, sizeof key) != 0;
        bad += crypto_key_new(CRYPTO_ECDSA, &k) != 0 || crypto_key_point(k, point) != 0;
        bad += crypto_sign(k, &msg, 1, sig) != 0 || crypto_verify(point, &msg, 1, sig) != 0;
        bad += crypto_aead_new(key, &a) != 0 || crypto_aead_seal(a, nonce, BYTES_NONE, BYTES("abcd", 4), sealed) != 0;
        bad += crypto_aead_open(a, nonce, BYTES_NONE, BYTES(sealed, sizeof sealed), plain) != 0;
        bad += memcmp(plain, "abcd", 4) != 0;
        crypto_key_free(k);
        crypto_aead_free(a);
    }
    return (void *)bad;
}

/* More keys at once than 2.28 has slots, from several threads. */
static void threads_share_it(void **state)
{
    pthread_t t[4];
    struct crypto_key *keys[64];
    void *bad;

    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        assert_int_equal(crypto_key_new(CRYPTO_ECDH, &keys[i]), 0);
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, busy, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        pthread_join(t[i], &bad);
        assert_null(bad);
    }
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        crypto_key_free(keys[i]);
    crypto_key_free(NULL);
}

static int setup(void **state)
{
    return crypto_init() == 0 && crypto_init() == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aes_gcm_nist),
        cmocka_unit_test(ecdsa_rfc6979),
        cmocka_unit_test(hkdf_rfc5869),
        cmocka_unit_test(sha256_fips180),
        cmocka_unit_test(hmac_rfc4231),
        cmocka_unit_test(ecdh_rfc5903),
        cmocka_unit_test(keys_have_a_range),
        cmocka_unit_test(spki_round_trip),
        cmocka_unit_test(compares_wipes_and_draws),
        cmocka_unit_test(threads_share_it),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
