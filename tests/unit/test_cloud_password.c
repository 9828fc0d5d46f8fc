/* Passwords: the rules as a user meets them, and Argon2id against the vectors of RFC 9106 and of the reference code. */
#include <argon2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/crypto.h"
#include "base/str.h"
#include "cloud/common_passwords.h"
#include "cloud/password.h"

static const struct password_cost cheap = {.memory_kib = 256, .passes = 2, .lanes = 1};
static const char *const nobody[] = {NULL};

static void test_rfc9106(void **state)
{
    uint8_t tag[32], password[32], salt[16], secret[8], data[12];
    char hex[65];
    memset(password, 1, sizeof password);
    memset(salt, 2, sizeof salt);
    memset(secret, 3, sizeof secret);
    memset(data, 4, sizeof data);
    argon2_context c = {.out = tag,
                        .outlen = sizeof tag,
                        .pwd = password,
                        .pwdlen = sizeof password,
                        .salt = salt,
                        .saltlen = sizeof salt,
                        .secret = secret,
                        .secretlen = sizeof secret,
                        .ad = data,
                        .adlen = sizeof data,
                        .t_cost = 3,
                        .m_cost = 32,
                        .lanes = 4,
                        .threads = 4,
                        .version = ARGON2_VERSION_13,
                        .flags = ARGON2_DEFAULT_FLAGS};
    assert_int_equal(argon2id_ctx(&c), ARGON2_OK);
    assert_string_equal(str_hex(tag, sizeof tag, hex),
                        "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"); /* section 5.3 */
}

/* From test.c of phc-winner-argon2: "password", "somesalt", two passes. */
static void test_reference(void **state)
{
    static const struct {
        uint32_t memory_kib, lanes;
        const char *hash;
    } vectors[] = {
        {65536, 1, "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"},
        {256, 1, "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"},
        {256, 2, "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037"},
    };
    uint8_t hash[PASSWORD_HASH];
    char hex[2 * PASSWORD_HASH + 1];
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        assert_int_equal(argon2id_hash_raw(2, vectors[i].memory_kib, vectors[i].lanes, "password", 8, "somesalt", 8,
                                           hash, sizeof hash),
                         ARGON2_OK);
        assert_string_equal(str_hex(hash, sizeof hash, hex), vectors[i].hash);
    }
}

static void test_hash(void **state)
{
    static const char text[] = "one and the same 1!";
    struct password_hash a, b, nobodys = {.cost = cheap};
    uint8_t want[PASSWORD_HASH];
    uint64_t before = password_runs();
    assert_int_equal(password_make(&cheap, text, &a), 0);
    assert_int_equal(password_make(&cheap, text, &b), 0);
    assert_memory_not_equal(a.salt, b.salt, sizeof a.salt);
    assert_memory_not_equal(a.hash, b.hash, sizeof a.hash);
    assert_int_equal(argon2id_hash_raw(2, 256, 1, text, strlen(text), a.salt, sizeof a.salt, want, sizeof want), 0);
    assert_memory_equal(a.hash, want, sizeof want);
    assert_int_equal(password_check(&a, text), 0);
    assert_int_equal(password_check(&a, "one and the same 1"), PASSWORD_WRONG);
    assert_int_equal(password_check(&a, "One and the same 1!"), PASSWORD_WRONG);
    assert_int_equal(password_check(&a, ""), PASSWORD_WRONG);
    assert_int_equal(password_check(&nobodys, text), PASSWORD_WRONG);
    assert_int_equal(password_runs() - before, 7);
    b = a;
    assert_false(password_aged(&a, &cheap));
    b.cost.memory_kib *= 2;
    assert_true(password_aged(&b, &cheap));
    assert_int_equal(password_check(&b, text), PASSWORD_WRONG); /* the cost is part of the hash */
    b = a;
    b.cost.passes++;
    assert_true(password_aged(&b, &cheap));
}

static void assert_judged(const char *text, int want)
{
    static const char *const whole[] = {"j.doe", "hp", "x", NULL};
    static const char *const words[] = {"ada.lovelace@example.org", "Ada Müller-Lovelace", "acme-werke", NULL};
    int got = password_judge(text, whole, words);
    if (got != want)
        print_error("%s: %s\n", text, got ? password_fault_text(got) : "good");
    assert_int_equal(got, want);
}

static void test_length(void **state)
{
    char longest[4 * PASSWORD_MAX + 8] = "Va9!";
    assert_judged("", PASSWORD_SHORT);
    assert_judged("kV9!mTq2#zP", PASSWORD_SHORT);
    assert_judged("kV9!mTq2#zPw", 0);
    assert_judged("kÖ9!mTq2ßzPw", 0); /* 12 characters in 14 bytes */
    assert_judged("kÖ9!mTqß", PASSWORD_SHORT);
    for (size_t i = 4; i < PASSWORD_MAX; i++)
        longest[i] = (char)('a' + (i * 7) % 26);
    assert_judged(longest, 0);
    strcat(longest, "x");
    assert_judged(longest, PASSWORD_LONG);
    /* 128 characters of four bytes, and one of them cut */
    strcpy(longest, "Va9!wqzkT");
    for (size_t i = 9; i < PASSWORD_MAX; i++)
        strcat(longest, "\xf0\x9f\x94\x91");
    assert_judged(longest, 0);
    longest[strlen(longest) - 1] = '\0';
    assert_judged(longest, PASSWORD_CODING);
}

static void test_coding(void **state)
{
    assert_judged("kV9!mTq2#zPw\xff", PASSWORD_CODING);
    assert_judged("kV9!mTq2#zPw\xc0\xaf", PASSWORD_CODING);     /* overlong */
    assert_judged("kV9!mTq2#zPw\xed\xa0\x80", PASSWORD_CODING); /* a surrogate */
    assert_judged("kV9!mTq2#zPw\xf4\x90\x80\x80", PASSWORD_CODING);
    assert_judged("kV9!mTq2#z\tw", PASSWORD_CODING);
    assert_judged("kV9!mTq2#z\xc2\x85w", PASSWORD_CODING); /* C1 control */
}

static void test_kinds(void **state)
{
    assert_judged("kVxymTqwszPw", PASSWORD_KINDS);
    assert_judged("kV9ymTq2szPw", PASSWORD_KINDS);
    assert_judged("kV!ymTq?szPw", PASSWORD_KINDS);
    assert_judged("91!827?364#5", PASSWORD_KINDS);
    assert_judged("kV9ymTq2s zPw", 0);  /* a blank is special */
    assert_judged("kV9ymTq2s€zPw", 0);  /* and so is what is no letter of any script */
    assert_judged("пар9ольскйж!2у", 0); /* letters of another script are letters */
    assert_judged("kVÖymTqßszPw9", PASSWORD_KINDS);
}

static void test_common(void **state)
{
    static const char *const common[] = {
        "Password123!", "P@ssw0rd2024!", "!!password!!77", "MyP@ssw0rd123!", "Passwort2026!!", "Willkommen1!!",
        "qwertyuiop1!", "Qwertz123456!", "1qaz2wsx!QAZ",   "123456789aB!",   "Sommer2026!!!",  "W1nter2026!!",
        "aaaaaaaaaa1!", "Ab1!Ab1!Ab1!",  "Bucuresti2026!", "Parola123456!",  "iloveyou2026!",  "111111111111a!",
    };
    for (size_t i = 0; i < ARRAY_LEN(common); i++)
        assert_judged(common[i], PASSWORD_COMMON);
    assert_judged("password-kestrel-9", 0); /* with a word of one's own it is none of those */
    assert_judged("Correct horse 7 battery", 0);
}

static void test_personal(void **state)
{
    assert_judged("xK9!Lovelace#q2", PASSWORD_PERSONAL);
    assert_judged("xK9!l0v3l4c3#q2", PASSWORD_PERSONAL);
    assert_judged("xK9!mÜLLER#q2zz", PASSWORD_PERSONAL);
    assert_judged("xK9!Acme#q2zzvw", PASSWORD_PERSONAL);
    assert_judged("xK9!W3RKE#q2zzvw", PASSWORD_PERSONAL);
    assert_judged("xK9!example#q2v", PASSWORD_PERSONAL);
    assert_judged("xK9!Adagio#q2vn", 0);                 /* three letters are in too many words */
    assert_judged("k9!J.Doe#q2vnzz", PASSWORD_PERSONAL); /* of login and company, the whole counts however short */
    assert_judged("k9!j.d0e#q2vnzz", PASSWORD_PERSONAL);
    assert_judged("k9!Sheephp#q2vn", PASSWORD_PERSONAL);
    assert_judged("k9!Just.Doe#q2v", 0);
    assert_int_equal(password_judge("xK9!Lovelace#q2", nobody, nobody), 0);
}

/* Whoever changes the list keeps what the search relies on. */
static void test_list(void **state)
{
    assert_true(common_passwords_n > 8000);
    for (size_t i = 0; i < common_passwords_n; i++) {
        size_t n = strlen(common_passwords[i]);
        assert_in_range(n, COMMON_PASSWORD_MIN, COMMON_PASSWORD_MAX);
        assert_int_equal(strpbrk(common_passwords[i], "ABCDEFGHIJKLMNOPQRSTUVWXYZ4@83!1l|05$7+") != NULL, 0);
        if (i > 0)
            assert_true(strcmp(common_passwords[i - 1], common_passwords[i]) < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc9106), cmocka_unit_test(test_reference), cmocka_unit_test(test_hash),
        cmocka_unit_test(test_length),  cmocka_unit_test(test_coding),    cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_common),  cmocka_unit_test(test_personal),  cmocka_unit_test(test_list),
    };
    return crypto_init() == 0 ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
