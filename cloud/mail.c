/* From template to message; see mail.h. The body is quoted-printable and the subject RFC 2047, so that no server on the
 * way has anything to convert. */
#include "cloud/mail.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"

#define SUBJECT_MAX 2048 /* one argument and the words around it */
#define LINE 76          /* RFC 2045 section 6.7 (5) */

static const char *const langs[MAIL_LANGS] = {[MAIL_EN] = "en", [MAIL_DE] = "de", [MAIL_RO] = "ro"};

const char *mail_lang_name(enum mail_lang l)
{
    return langs[l];
}

enum mail_lang mail_lang(const char *name)
{
    for (int l = 0; name && l < MAIL_LANGS; l++)
        if (strncmp(name, langs[l], 2) == 0 && (name[2] == '\0' || name[2] == '-'))
            return (enum mail_lang)l;
    return MAIL_EN;
}

bool mail_template_find(const char *name, enum mail_template *ret_template)
{
    for (int t = 0; t < MAIL_TEMPLATES; t++) {
        if (strcmp(mail_template_name((enum mail_template)t), name) != 0)
            continue;
        *ret_template = (enum mail_template)t;
        return true;
    }
    return false;
}

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/* Length of the label of a domain that s begins with; 0: none does. */
static size_t label(const char *s)
{
    size_t n = strspn(s, LETTERS "-");
    return n > 63 || n == 0 || s[0] == '-' || s[n - 1] == '-' ? 0 : n;
}

bool mail_address_valid(const char *s)
{
    size_t n = strspn(s, LETTERS "!#$%&'*+/=?^_`{|}~.-");
    if (strlen(s) > MAIL_ADDRESS_MAX || n == 0 || n > 64 || s[n] != '@')
        return false;
    if (s[0] == '.' || s[0] == '-' || s[n - 1] == '.' || strstr(s, ".."))
        return false;
    for (s += n + 1; (n = label(s)) > 0 && s[n] == '.';)
        s += n + 1;
    return n > 0 && s[n] == '\0';
}

static void utc(int64_t us, struct tm *ret)
{
    time_t t = (time_t)(us / 1000000);
    if (!gmtime_r(&t, ret))
        *ret = (struct tm){.tm_mday = 1};
}

char *mail_time(int64_t us, char ret[MAIL_TIME])
{
    char text[32];
    str_time(us, text);
    snprintf(ret, MAIL_TIME, "%.10s %.5s UTC", text, text + 11);
    return ret;
}

/* ---- filling in ---- */

/* At least one byte, at most MAIL_ARG_MAX of them, cut between two characters. */
static int add_value(const char *value, struct buf *b)
{
    size_t n = strnlen(value, MAIL_ARG_MAX + 1);
    if (n > MAIL_ARG_MAX)
        for (n = MAIL_ARG_MAX; n > 0 && ((unsigned char)value[n] & 0xc0) == 0x80; n--)
            ;
    for (size_t i = 0; i < n; i++) {
        char c = (unsigned char)value[i] < 0x20 || value[i] == 0x7f ? ' ' : value[i];
        buf_add(b, &c, 1);
    }
    return b->failed ? -ENOBUFS : 0;
}

static const char *find(const struct mail_message *m, const char *name, size_t n)
{
    for (size_t i = 0; i < m->n_args; i++)
        if (strlen(m->args[i].name) == n && memcmp(m->args[i].name, name, n) == 0)
            return m->args[i].value;
    return NULL;
}

static int fill(const struct mail_message *m, const char *text, struct buf *ret)
{
    while (*text) {
        size_t n = strcspn(text, "{");
        buf_add(ret, text, n);
        text += n;
        if (*text == '\0')
            break;
        size_t name = strcspn(++text, "}");
        const char *value = find(m, text, name);
        int r = value ? add_value(value, ret) : -EINVAL;
        if (r != 0)
            return r;
        text += name + 1;
    }
    return ret->failed ? -ENOBUFS : 0;
}

/* ---- encoding ---- */

/* RFC 2047 section 4.2 in a place where a phrase may stand; "_" is a blank. */
static void encode_word(struct bytes text, struct buf *b)
{
    static const char plain[] = LETTERS "!*+-/";
    buf_addf(b, "=?UTF-8?Q?");
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == ' ')
            buf_add(b, "_", 1);
        else if (text.p[i] && strchr(plain, text.p[i]))
            buf_add(b, &text.p[i], 1);
        else
            buf_addf(b, "=%02X", text.p[i]);
    }
    buf_addf(b, "?=");
}

/* As many words as it takes, none longer than 75 characters, none beginning inside a character. */
static void add_subject(struct bytes text, struct buf *b)
{
    buf_addf(b, "Subject:");
    for (size_t at = 0, n; at < text.n; at += n) {
        n = text.n - at < 20 ? text.n - at : 20; /* three characters each at the most: 12 + 60 */
        while (n > 1 && at + n < text.n && (text.p[at + n] & 0xc0) == 0x80)
            n--;
        buf_addf(b, at ? "\r\n " : " ");
        encode_word(BYTES(text.p + at, n), b);
    }
    buf_addf(b, "\r\n");
}

/* RFC 2045 section 6.7; the text's line ends are hard. */
static void add_body(struct bytes text, struct buf *b)
{
    size_t column = 0;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        bool last = i + 1 == text.n || text.p[i + 1] == '\n';
        bool plain = c > 0x20 && c < 0x7f && c != '=';
        if (c == '\n') {
            buf_addf(b, "\r\n");
            column = 0;
            continue;
        }
        plain = plain || (c == ' ' && !last);
        size_t width = plain ? 1 : 3;
        if (column + width > LINE - 1) {
            buf_addf(b, "=\r\n");
            column = 0;
        }
        if (plain)
            buf_add(b, &c, 1);
        else
            buf_addf(b, "=%02X", c);
        column += width;
    }
    buf_addf(b, "\r\n");
}

static void add_headers(const struct mail_message *m, struct buf *b)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm t;
    utc(m->created, &t);
    buf_addf(b, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n", days[t.tm_wday], t.tm_mday, months[t.tm_mon],
             t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
    buf_addf(b, "From: <%s>\r\nTo: <%s>\r\nMessage-ID: <%s@%s>\r\n", m->from, m->to, m->id, strchr(m->from, '@') + 1);
    buf_addf(b,
             "Auto-Submitted: auto-generated\r\nContent-Language: %s\r\nMIME-Version: 1.0\r\n"
             "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n",
             langs[m->lang]);
}

static bool id_valid(const char *id)
{
    return id[0] != '\0' && id[strspn(id, "0123456789abcdef")] == '\0';
}

int mail_compose(const struct mail_message *m, struct buf *ret_message)
{
    const struct mail_text *text = mail_text(m->template, m->lang);
    struct buf CLEANUP(buf_wipe) subject, CLEANUP(buf_wipe) body;
    buf_init(&subject, SUBJECT_MAX);
    buf_init(&body, MAIL_ARGS_MAX * MAIL_ARG_MAX + 4096);
    if (!mail_address_valid(m->from) || !mail_address_valid(m->to) || !id_valid(m->id))
        return -EINVAL;
    int r = fill(m, text->subject, &subject);
    if (r == 0)
        r = fill(m, text->body, &body);
    if (r != 0)
        return r;
    add_headers(m, ret_message);
    add_subject(buf_bytes(&subject), ret_message);
    buf_addf(ret_message, "\r\n");
    add_body(buf_bytes(&body), ret_message);
    return ret_message->failed ? -ENOBUFS : 0;
}
