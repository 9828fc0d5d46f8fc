/* What people type: a login, a password, a recovery code, a code of the second factor, a time zone; and what the mails
 * to them are made of. A line each: login, name, company, then the text. */
#include <stdlib.h>
#include <string.h>

#include "cloud/account.h"
#include "cloud/mail.h"
#include "cloud/password.h"
#include "cloud/site.h"
#include "cloud/totp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* lines: login, name, company, as far as there are any. */
static void password(const char *text, char *const lines[3])
{
    const char *const whole[] = {lines[0], lines[2], NULL}, *const words[] = {lines[1], NULL};
    int r = password_judge(text, whole, words);
    size_t n = strlen(text);
    ASSERT(r >= 0 && r <= PASSWORD_PERSONAL);
    if (r != 0)
        return;
    ASSERT(n >= PASSWORD_MIN && n <= (size_t)4 * PASSWORD_MAX && strpbrk(text, "\r\n\t\x7f") == NULL);
    ASSERT(strpbrk(text, "0123456789") != NULL);
    ASSERT(!lines[0] || strlen(lines[0]) < 2 || strstr(text, lines[0]) == NULL);
}

static void login(const char *text)
{
    char once[LOGIN_MAX + 1], twice[LOGIN_MAX + 1];
    if (!login_canonical(text, once))
        return;
    ASSERT(strlen(once) == strlen(text) && once[0] != '\0');
    ASSERT(login_canonical(once, twice) && strcmp(once, twice) == 0);
}

static void codes(const char *text)
{
    static const uint8_t secret[TOTP_SECRET] = {1};
    uint8_t hash[RECOVERY_HASH], again[RECOVERY_HASH];
    char plain[17] = "";
    uint64_t step = 0;
    size_t n = 0;
    int r = totp_check(secret, text, INT64_C(1600000000000000), 0, &step);
    ASSERT(r == TOTP_WRONG || (r == 0 && strlen(text) == TOTP_DIGITS && step > 0));
    if (recovery_hash(text, hash) != 0)
        return;
    for (const char *p = text; *p && n < sizeof plain - 1; p++)
        if (*p != '-' && *p != ' ')
            plain[n++] = *p;
    ASSERT(n == 16 && recovery_hash(plain, again) == 0 && memcmp(hash, again, sizeof hash) == 0);
}

static void zones(const char *text)
{
    if (time_zone_valid(text)) /* it becomes part of a path */
        ASSERT(text[0] != '/' && strchr(text, '.') == NULL && strstr(text, "//") == NULL);
}

/* Seven bits in lines that any server takes, a header line for each that there should be, and no more. */
static void well_formed(struct bytes m)
{
    size_t column = 0, headers = 0;
    bool body = false;
    for (size_t i = 0; i < m.n; i++) {
        ASSERT(m.p[i] < 0x80 && m.p[i] != '\0' && (m.p[i] == '\n') == (i > 0 && m.p[i - 1] == '\r'));
        if (m.p[i] != '\n') {
            column++;
            ASSERT(column <= 998);
            continue;
        }
        body = body || column == 1;
        headers += !body && i + 1 < m.n && m.p[i + 1] != ' ' && m.p[i + 1] != '\r';
        column = 0;
    }
    ASSERT(body && headers + 1 == 10);
}

static void mails(const char *to, const char *value, unsigned pick)
{
    enum mail_template t = (enum mail_template)(pick % MAIL_TEMPLATES);
    struct mail_arg args[MAIL_ARGS_MAX];
    const char *const *names = mail_args(t);
    struct buf CLEANUP(buf_done) b;
    size_t n = 0;
    for (; names[n]; n++)
        args[n] = (struct mail_arg){names[n], value};
    struct mail_message m = {t, (enum mail_lang)(pick % MAIL_LANGS), args, n, "punch@example.test", to, "0a", 0};
    buf_init(&b, 1 << 17);
    int r = mail_compose(&m, &b);
    ASSERT((r == 0) == mail_address_valid(to));
    if (r == 0)
        well_formed(buf_bytes(&b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    char *text = malloc(size + 1), *p = text, *lines[3] = {0};
    size_t n = 0;
    if (!ready)
        ASSERT(crypto_init() == 0);
    ready = true;
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    while (n < 3 && strchr(p, '\n'))
        lines[n++] = strsep(&p, "\n");
    password(p, lines);
    codes(p);
    zones(p);
    if (n > 0) {
        login(lines[0]);
        mails(lines[0], p, (unsigned)size);
    }
    free(text);
    return 0;
}
