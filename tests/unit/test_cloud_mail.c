/* What punchcloud mails: every template in every language has the same arguments, and what an argument holds stays in
 * its place. */
#include "cloud/mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

#define SINCE INT64_C(1795442700000000) /* 2026-11-23T14:05:00Z */

static size_t count_of(const char *text, const char *name)
{
    char mark[32];
    size_t n = 0;
    snprintf(mark, sizeof mark, "{%s}", name);
    for (const char *p = text; (p = strstr(p, mark)); p++)
        n++;
    return n;
}

static bool known(enum mail_template t, const char *name, size_t n)
{
    for (const char *const *a = mail_args(t); *a; a++)
        if (strlen(*a) == n && memcmp(*a, name, n) == 0)
            return true;
    return false;
}

static void every_language_says_the_same(void **state)
{
    for (int i = 0; i < MAIL_TEMPLATES * MAIL_LANGS; i++) {
        enum mail_template t = (enum mail_template)(i / MAIL_LANGS);
        const struct mail_text *x = mail_text(t, (enum mail_lang)(i % MAIL_LANGS)), *en = mail_text(t, MAIL_EN);
        assert_true(x->subject && *x->subject && x->body && *x->body);
        for (const char *const *a = mail_args(t); *a; a++) {
            if (count_of(x->body, *a) == 0 || (count_of(x->subject, *a) != count_of(en->subject, *a)))
                fail_msg("%s, %s: {%s}", mail_template_name(t), mail_lang_name((enum mail_lang)(i % MAIL_LANGS)), *a);
        }
        for (const char *p = x->body; (p = strchr(p, '{')); p++)
            assert_true(known(t, p + 1, strcspn(p + 1, "}")));
        for (const char *p = x->subject; (p = strchr(p, '{')); p++)
            assert_true(known(t, p + 1, strcspn(p + 1, "}")));
    }
}

static void names_are_found(void **state)
{
    enum mail_template t = MAIL_ERASED;
    assert_true(mail_template_find("support-denied", &t));
    assert_int_equal(t, MAIL_SUPPORT_DENIED);
    assert_false(mail_template_find("support", &t));
    assert_int_equal(mail_lang("ro"), MAIL_RO);
    assert_int_equal(mail_lang("de-AT"), MAIL_DE);
    assert_int_equal(mail_lang("deu"), MAIL_EN);
    assert_int_equal(mail_lang(NULL), MAIL_EN);
}

static const struct mail_arg args[] = {
    {"name", "Ana Țepeș"}, {"company", "Müller & Söhne"}, {"link", "https://x.example/#t=a.b"}, {"until", "morgen"}};

static char *composed(const struct mail_arg *with, size_t n, enum mail_lang l)
{
    const struct mail_message m = {.template = MAIL_INVITATION,
                                   .lang = l,
                                   .args = with,
                                   .n_args = n,
                                   .from = "punch@example.com",
                                   .to = "ana@example.org",
                                   .id = "00ff",
                                   .created = SINCE};
    struct buf CLEANUP(buf_done) b;
    buf_init(&b, 65536);
    int r = mail_compose(&m, &b);
    return r == 0 ? strdup(buf_str(&b)) : NULL;
}

static void a_message_is_seven_bits_and_short_lines(void **state)
{
    for (int l = 0; l < MAIL_LANGS; l++) {
        char *text = composed(args, ARRAY_LEN(args), (enum mail_lang)l);
        assert_non_null(text);
        size_t column = 0;
        for (const char *p = text; *p; p++) {
            assert_true((signed char)*p > 0);
            assert_true((*p == '\n') == (p > text && p[-1] == '\r'));
            column = *p == '\n' ? 0 : column + 1;
            assert_true(column <= 77); /* with the CR */
        }
        assert_non_null(strstr(text, "Date: Mon, 23 Nov 2026 14:05:00 +0000\r\n"));
        assert_non_null(strstr(text, "From: <punch@example.com>\r\nTo: <ana@example.org>\r\n"));
        assert_non_null(strstr(text, "Message-ID: <00ff@example.com>\r\nAuto-Submitted: auto-generated\r\n"));
        assert_non_null(strstr(text, "Ana =C8=9Aepe=C8=99"));
        assert_non_null(strstr(text, "https://x.example/#t=3Da.b"));
        free(text);
    }
}

/* In a header only what is of the alphabet of encoded words; in the body never a line of its own. */
static void nothing_gets_out_of_its_place(void **state)
{
    static const char *const hostile[] = {"x\r\nBcc: eve@example.com\r\n\r\nhello",
                                          "?= =?UTF-8?Q?x",
                                          "a\nb",
                                          "{link}",
                                          "{",
                                          "\x7f\x01",
                                          "=0D=0ABcc: eve@example.com"};
    struct mail_arg with[ARRAY_LEN(args)];
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
        memcpy(with, args, sizeof with);
        with[1].value = hostile[i];
        char *text = composed(with, ARRAY_LEN(with), MAIL_EN);
        assert_non_null(text);
        assert_null(strstr(text, "\nBcc"));
        assert_null(strstr(text, "=0D"));
        char *subject = strstr(text, "Subject:"), *end = strstr(text, "\r\n\r\n");
        assert_true(subject && end > subject);
        *end = '\0';
        for (char *word = strtok(subject + 8, " \r\n"); word; word = strtok(NULL, " \r\n")) {
            size_t n = strlen(word);
            assert_true(n > 12 && n <= 75 && strncmp(word, "=?UTF-8?Q?", 10) == 0 && strcmp(word + n - 2, "?=") == 0);
            assert_int_equal(strcspn(word + 10, "?"), n - 12);
        }
        assert_non_null(strstr(end + 1, "\n"));
        free(text);
    }
}

static void what_is_missing_is_refused(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(args); i++) {
        struct mail_arg with[ARRAY_LEN(args)];
        memcpy(with, args, sizeof with);
        with[i].name = "other";
        assert_null(composed(with, ARRAY_LEN(with), MAIL_RO));
    }
    struct mail_message m = {.template = MAIL_INVITATION,
                             .args = args,
                             .n_args = ARRAY_LEN(args),
                             .from = "punch@example.com",
                             .to = "eve@example.com>\r\nBcc: <x@example.com",
                             .id = "00"};
    struct buf CLEANUP(buf_done) b;
    buf_init(&b, 65536);
    assert_int_equal(mail_compose(&m, &b), -EINVAL);
    m.to = m.from;
    m.id = "0@x";
    assert_int_equal(mail_compose(&m, &b), -EINVAL);
}

static void long_ones_are_cut_between_characters(void **state)
{
    char *name = malloc(3002);
    struct mail_arg with[ARRAY_LEN(args)];
    name[0] = 'x';
    for (int i = 0; i < 1500; i++)
        memcpy(name + 1 + 2 * i, "ö", 2);
    name[3001] = '\0';
    memcpy(with, args, sizeof with);
    with[0].value = with[1].value = name;
    char *text = composed(with, ARRAY_LEN(with), MAIL_DE);
    assert_non_null(text);
    assert_null(strstr(text, "=C3=\r\n=C3"));
    assert_non_null(strstr(text, "\r\n\r\n"));
    free(text);
    free(name);
}

static void addresses(void **state)
{
    static const char *const good[] = {"a@b.c", "ana.maria+x@sub.example-1.com", "o'neill@example.com", "a@localhost"};
    static const char *const bad[] = {"",      "a",           "@b",   "a@",    "a@b@c",         "a b@c",
                                      "a@b c", "a@b\r\nX: y", "a@-b", "a@b-",  "a@b..c",        "a..b@c",
                                      ".a@b",  "a.@b",        "-a@b", "<a@b>", "a@[127.0.0.1]", "\"a\"@b",
                                      "ä@b.c", "a@b.c.",      "a,b@c"};
    char local[80] = "";
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(mail_address_valid(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (mail_address_valid(bad[i]))
            fail_msg("%s", bad[i]);
    memset(local, 'a', 65);
    strcpy(local + 65, "@b.c");
    assert_false(mail_address_valid(local));
    assert_true(mail_address_valid(local + 1));
}

static void times(void **state)
{
    char text[MAIL_TIME];
    assert_string_equal(mail_time(SINCE, text), "2026-11-23 14:05 UTC");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_language_says_the_same),
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(a_message_is_seven_bits_and_short_lines),
        cmocka_unit_test(nothing_gets_out_of_its_place),
        cmocka_unit_test(what_is_missing_is_refused),
        cmocka_unit_test(long_ones_are_cut_between_characters),
        cmocka_unit_test(addresses),
        cmocka_unit_test(times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
