/* base/csr.h, judged by the openssl(1) command: it must read our keys, believe our requests, and make the keys that we
 * take or refuse. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/csr.h"
#include "base/file.h"
#include "base/str.h"

static char dir[32], path[64];

static int enter(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/test_csr.XXXXXX");
    if (!mkdtemp(dir) || crypto_init() != 0)
        return -1;
    snprintf(path, sizeof path, "%s/file.pem", dir);
    return 0;
}

static int leave(void **state)
{
    unlink(path);
    return rmdir(dir);
}

/* Runs `openssl ARGS` with %s for the file, and returns its exit code and what it said on both streams. */
static int openssl(const char *args, char *ret_said, size_t size)
{
    char command[1024];
    int n = snprintf(command, sizeof command, "{ openssl ");

    for (const char *p = args; *p; p++) {
        if (*p == '@')
            n += snprintf(command + n, sizeof command - (size_t)n, "%s", path);
        else
            command[n++] = *p;
    }
    snprintf(command + n, sizeof command - (size_t)n, "; } 2>&1 </dev/null");
    FILE *f = popen(command, "re");
    assert_non_null(f);
    size_t got = fread(ret_said, 1, size - 1, f);
    ret_said[got] = '\0';
    int status = pclose(f);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 127); /* 127: there is no openssl to judge */
    return WEXITSTATUS(status);
}

static void expect(const char *args, const char *part)
{
    char said[8192];
    int r = openssl(args, said, sizeof said);
    if (r != 0 || !strstr(said, part))
        fail_msg("openssl %s gave %d: %s", args, r, said);
}

static void refused(const char *args)
{
    char said[8192];
    int r = openssl(args, said, sizeof said); /* older ones say it and exit with 0 */
    assert_true(r != 0 || !strstr(said, "verify OK"));
}

static struct crypto_key *key_of(const char *scalar)
{
    struct crypto_key *k = NULL;
    uint8_t d[32];
    assert_int_equal(str_unhex(scalar, d, 32), 0);
    assert_int_equal(crypto_key_import(CRYPTO_ECDSA, d, &k), 0);
    return k;
}

static void save(struct buf *b)
{
    assert_false(b->failed);
    assert_int_equal(file_write(path, buf_bytes(b), 0600), 0);
}

static void same_key(struct crypto_key *a, struct crypto_key *b)
{
    uint8_t x[CRYPTO_POINT], y[CRYPTO_POINT];
    assert_int_equal(crypto_key_export(a, x), 0);
    assert_int_equal(crypto_key_export(b, y), 0);
    assert_memory_equal(x, y, 32);
    assert_int_equal(crypto_key_point(a, x), 0);
    assert_int_equal(crypto_key_point(b, y), 0);
    assert_memory_equal(x, y, CRYPTO_POINT);
}

static void keys_go_out_and_come_back(void **state)
{
    static const char *const scalars[] = {
        "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
        "0000000000000000000000000000000000000000000000000000000000000001", /* leading zeros are part of it */
        "00000000000000000000000000000000000000000000000000000000000000ff",
        "00ffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550",
    };

    for (size_t i = 0; i < ARRAY_LEN(scalars); i++) {
        struct crypto_key *k = key_of(scalars[i]), *back = NULL;
        struct buf pem;
        buf_init(&pem, 4096);
        assert_int_equal(csr_key_pem(k, &pem), 0);
        assert_non_null(strstr(buf_str(&pem), "PRIVATE KEY-----\n"));
        assert_int_equal(csr_key_parse(buf_bytes(&pem), &back), 0);
        same_key(k, back);
        save(&pem);
        expect("pkey -in @ -noout -text", "prime256v1");
        expect("pkey -in @ -check -noout", "valid");
        crypto_key_free(back);
        crypto_key_free(k);
        buf_wipe(&pem);
    }
    struct crypto_key *k = key_of(scalars[0]);
    struct buf small;
    buf_init(&small, 50);
    assert_int_equal(csr_key_pem(k, &small), -ENOBUFS);
    assert_int_equal(csr_make(k, "x", &small), -ENOBUFS);
    assert_int_equal(small.len, 0);
    buf_wipe(&small);
    crypto_key_free(k);
}

/* Makes a key by openssl and reads it. */
static int parse_made(const char *args, struct crypto_key **ret_key)
{
    char said[8192];
    struct buf pem;

    buf_init(&pem, 65536);
    assert_int_equal(openssl(args, said, sizeof said), 0);
    assert_int_equal(file_read(path, &pem), 0);
    int r = csr_key_parse(buf_bytes(&pem), ret_key);
    buf_wipe(&pem);
    return r;
}

static void other_keys_are_read_or_refused(void **state)
{
    static const struct {
        const char *args;
        int r;
    } cases[] = {
        {"genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out @", 0}, /* PKCS #8 */
        {"ecparam -name prime256v1 -genkey -noout -out @", 0},                /* SEC 1 */
        {"genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out @", CRYPTO_BAD},
        {"genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out @", CRYPTO_BAD},
        {"genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out @", CRYPTO_BAD},
        {"genpkey -algorithm ED25519 -out @", CRYPTO_BAD},
        {"genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -pass pass:x -out @", CRYPTO_BAD},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct crypto_key *k = NULL;
        assert_int_equal(parse_made(cases[i].args, &k), cases[i].r);
        assert_int_equal(k != NULL, cases[i].r == 0);
        crypto_key_free(k);
    }
}

static void garbage_is_refused(void **state)
{
    struct crypto_key *k = key_of("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"), *out = NULL;
    struct buf pem;
    uint8_t large[20000];

    buf_init(&pem, 4096);
    assert_int_equal(csr_key_pem(k, &pem), 0);
    for (size_t n = 0; n < pem.len - 1; n++) /* the last byte is a line break */
        assert_int_equal(csr_key_parse(BYTES(pem.p, n), &out), CRYPTO_BAD);
    for (size_t i = 0; i < pem.len; i++) { /* no damage is an accident; what still parses is a key, and freed */
        pem.p[i] ^= 0x04;
        int r = csr_key_parse(buf_bytes(&pem), &out);
        pem.p[i] ^= 0x04;
        assert_true(r == CRYPTO_BAD || r == 0);
        if (r == 0)
            crypto_key_free(out);
        out = NULL;
    }
    memset(large, 'A', sizeof large);
    assert_int_equal(csr_key_parse(BYTES(large, sizeof large), &out), CRYPTO_BAD);
    assert_int_equal(csr_key_parse(BYTES_NONE, &out), CRYPTO_BAD);
    assert_null(out);
    buf_wipe(&pem);
    crypto_key_free(k);
}

static void openssl_believes_a_request(void **state)
{
    struct crypto_key *k;
    struct buf csr;
    uint8_t point[CRYPTO_POINT], der[CRYPTO_SPKI];
    char hex[2 * CRYPTO_SPKI + 1], said[8192];

    assert_int_equal(crypto_key_new(CRYPTO_ECDSA, &k), 0);
    buf_init(&csr, 4096);
    assert_int_equal(csr_make(k, "0123456789abcdef", &csr), 0);
    save(&csr);
    expect("req -verify -noout -in @", "verify OK");
    expect("req -noout -subject -in @", "CN = 0123456789abcdef");
    expect("req -noout -text -in @", "ecdsa-with-SHA256");

    /* it is our key that stands in it */
    assert_int_equal(crypto_key_point(k, point), 0);
    crypto_spki(point, der);
    str_hex(der, sizeof der, hex);
    assert_int_equal(
        openssl("req -noout -pubkey -in @ | openssl pkey -pubin -outform DER | od -An -v -tx1 | tr -d ' \\n'", said,
                sizeof said),
        0);
    assert_string_equal(said, hex);

    /* a request that was changed is not believed: a digit in the middle of its base64 */
    size_t at = csr.len / 2;
    while (csr.p[at] == '\n')
        at++;
    csr.p[at] = csr.p[at] == 'A' ? 'B' : 'A';
    save(&csr);
    refused("req -verify -noout -in @");
    buf_done(&csr);
    crypto_key_free(k);
}

static void a_name_is_one_name(void **state)
{
    static const char *const bad[] = {
        "",     "a,O=b", "a+CN=b",     "a=b", "a\\2Cb",
        "a\"b", "a\nb",  "T\xc3\xbcr", "a/b", "0123456789012345678901234567890123456789012345678901234567890123 "};
    struct crypto_key *k = key_of("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
    struct buf csr;

    buf_init(&csr, 4096);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(csr_make(k, bad[i], &csr), -EINVAL);
    assert_int_equal(csr.len, 0);
    assert_int_equal(csr_make(k, "0123456789012345678901234567890123456789012345678901234567890123", &csr), 0);
    save(&csr);
    expect("req -verify -noout -subject -in @",
           "CN = 0123456789012345678901234567890123456789012345678901234567890123\n");
    buf_done(&csr);
    crypto_key_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_go_out_and_come_back), cmocka_unit_test(other_keys_are_read_or_refused),
        cmocka_unit_test(garbage_is_refused),        cmocka_unit_test(openssl_believes_a_request),
        cmocka_unit_test(a_name_is_one_name),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
