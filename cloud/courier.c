/* See courier.h. A handle lives for one message, so no connection, session or pinned address outlives it. */
#include "cloud/courier.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/file.h"
#include "base/str.h"
#include "cloud/resolve.h"

#define CONNECT_S 10L
#define TOTAL_S 30L
#define ANSWER_MAX 65536
#define URL_TEXT 1024

struct transfer {
    const struct settings *set;
    const atomic_bool *stop;
    bool guarded;         /* a webhook's: public addresses only */
    bool refused;         /* a socket was asked for that may not be */
    struct resolved pins; /* where it may connect to */
    struct bytes rest;    /* of the message, for the server */
    size_t answered;      /* bytes of the answer */
    char text[CURL_ERROR_SIZE];
};

int courier_init(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -ENOMEM;
}

static void fail(struct courier_result *ret, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void fail(struct courier_result *ret, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(ret->error, sizeof ret->error, fmt, ap);
    va_end(ap);
}

/* ---- addresses ---- */

/* What keeps a webhook away from it; NULL: nothing. */
static const char *forbidden(const struct settings *set, const struct address *a)
{
    struct address_net net;
    char *const *allow = set->webhooks.allow.items;
    const char *what = address_special(a);
    for (size_t i = 0; what && i < set->webhooks.allow.n; i++)
        if (address_net(allow[i], &net) == 0 && address_in(a, &net))
            what = NULL;
    return what;
}

static bool pinned(const struct transfer *t, const struct address *a)
{
    for (size_t i = 0; i < t->pins.n; i++)
        if (address_equal(&t->pins.items[i], a))
            return true;
    return false;
}

/* Called for each address before there is a socket; the last word. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct transfer *t = arg;
    struct address a;
    if (address_of(&to->addr, to->addrlen, &a) != 0 || !pinned(t, &a) || (t->guarded && forbidden(t->set, &a))) {
        t->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* Looks at every address of the host. */
static int look_up(struct transfer *t, const char *host, struct courier_result *ret)
{
    char text[ADDRESS_TEXT];
    int r = resolve(host, t->stop, &t->pins);
    if (r == RESOLVE_NONE)
        fail(ret, "%.100s has no address", host);
    else if (r == RESOLVE_LATE)
        fail(ret, "no answer yet which address %.100s has", host);
    for (size_t i = 0; r == 0 && t->guarded && i < t->pins.n; i++) {
        const char *what = forbidden(t->set, &t->pins.items[i]);
        if (!what)
            continue;
        fail(ret, "%.80s leads to %s, which is not public but %s", host, address_text(&t->pins.items[i], text), what);
        r = COURIER_FAILED;
    }
    return r > 0 ? COURIER_FAILED : r;
}

/* "host:port:address,address", unless the host is an address by itself. *ret_list is the caller's. */
static int pin_list(const struct transfer *t, const char *host, const char *port, struct curl_slist **ret_list)
{
    char line[256 + 16 + RESOLVE_MAX * (ADDRESS_TEXT + 3)], text[ADDRESS_TEXT];
    if (host[0] == '[' || (t->pins.n == 1 && strcmp(address_text(&t->pins.items[0], text), host) == 0))
        return 0;
    int n = snprintf(line, sizeof line, "%.255s:%s:", host, port);
    for (size_t i = 0; i < t->pins.n; i++) {
        address_text(&t->pins.items[i], text);
        bool v6 = strchr(text, ':') != NULL;
        n += snprintf(line + n, sizeof line - (size_t)n, "%s%s%s%s", i ? "," : "", v6 ? "[" : "", text, v6 ? "]" : "");
    }
    *ret_list = curl_slist_append(NULL, line);
    return *ret_list ? 0 : -ENOMEM;
}

/* ---- a webhook's URL ---- */

struct parts {
    CURLU *url;
    char *host, *port;
};

static void parts_done(struct parts *p)
{
    curl_free(p->host);
    curl_free(p->port);
    curl_url_cleanup(p->url);
    *p = (struct parts){0};
}

/* Without memory to look, it may. */
static bool has_part(CURLU *url, CURLUPart part)
{
    char *s = NULL;
    CURLUcode r = curl_url_get(url, part, &s, 0);
    curl_free(s);
    return r == CURLUE_OK || r == CURLUE_OUT_OF_MEMORY;
}

/* NULL: it can be used. */
static const char *take_apart(const char *url, struct parts *ret)
{
    uint64_t port = 0;
    if (strlen(url) >= URL_TEXT)
        return "it is too long";
    for (const char *p = url; *p; p++)
        if (*p <= 0x20 || *p >= 0x7f)
            return "it has characters that belong written as %XX, or as xn-- in a name";
    ret->url = curl_url();
    CURLUcode r = ret->url ? curl_url_set(ret->url, CURLUPART_URL, url, 0) : CURLUE_OUT_OF_MEMORY;
    if (r == CURLUE_OUT_OF_MEMORY)
        return "there is no memory to look at it now";
    if (r != CURLUE_OK)
        return "it is no URL such as https://hooks.example.com/punch";
    if (strncasecmp(url, "https://", 8) != 0)
        return "it does not begin with https://";
    if (url[8] == '/') /* which curl passes over */
        return "it has no host";
    if (memchr(url + 8, '@', strcspn(url + 8, "/?#"))) /* curl knows no empty one, and no empty fragment */
        return "it holds a user or a password; what it is signed with shows who sends it";
    if (has_part(ret->url, CURLUPART_ZONEID))
        return "it has an address of one network alone";
    if (strchr(url, '#'))
        return "it has a fragment (#), which is never sent";
    if (curl_url_get(ret->url, CURLUPART_HOST, &ret->host, 0) != CURLUE_OK || !ret->host[0] ||
        ret->host[strlen(ret->host) - 1] == '.')
        return "it has no host, or one that ends with a dot";
    if (curl_url_get(ret->url, CURLUPART_PORT, &ret->port, CURLU_DEFAULT_PORT) != CURLUE_OK ||
        str_u64(ret->port, 1, 65535, &port) != 0 || (port != 443 && port < 1024))
        return "its port is neither 443 nor one from 1024 on";
    return NULL;
}

/* Without the brackets of an IPv6 address; ret has room for 256. */
static const char *bare(const char *host, char *ret)
{
    size_t n = strlen(host);
    bool v6 = host[0] == '[' && n > 2;
    snprintf(ret, 256, "%.*s", (int)(v6 ? n - 2 : n), v6 ? host + 1 : host);
    return ret;
}

const char *courier_refuses(const struct settings *set, const char *url, char ret[COURIER_ERROR])
{
    struct parts p = {0};
    struct address a;
    char host[256];
    const char *why = take_apart(url, &p);
    if (!why)
        bare(p.host, host);
    const char *what = !why && address_parse(host, strlen(host), &a) == 0 ? forbidden(set, &a) : NULL;
    parts_done(&p);
    if (!why && !what)
        return NULL;
    if (why)
        snprintf(ret, COURIER_ERROR, "%s", why);
    else
        snprintf(ret, COURIER_ERROR, "its address is not public but %s", what);
    return ret;
}

/* ---- a transfer ---- */

static size_t on_answer(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    t->answered += size * n;
    return t->answered > ANSWER_MAX ? 0 : size * n;
}

static size_t on_send(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    size_t k = size * n < t->rest.n ? size * n : t->rest.n;
    if (k > 0)
        memcpy(p, t->rest.p, k);
    t->rest = BYTES(t->rest.p + k, t->rest.n - k);
    return k;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct transfer *t = arg;
    return atomic_load(t->stop) ? 1 : 0;
}

/* What holds for every transfer. */
static CURL *handle_new(struct transfer *t, const char *ca_file)
{
    CURL *h = curl_easy_init();
    if (!h)
        return NULL;
    bool good = curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, t->guarded ? "https" : "smtp,smtps") == CURLE_OK;
    good = good && curl_easy_setopt(h, CURLOPT_PROXY, "") == CURLE_OK;
    good = good && curl_easy_setopt(h, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK;
    good = good && curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    good = good && curl_easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
    good = good && curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK;
    good = good && curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK;
    good = good && curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, CONNECT_S) == CURLE_OK;
    good = good && curl_easy_setopt(h, CURLOPT_TIMEOUT, TOTAL_S) == CURLE_OK;
    good = good && curl_easy_setopt(h, CURLOPT_ERRORBUFFER, t->text) == CURLE_OK;
    good = good && curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK;
    good = good && curl_easy_setopt(h, CURLOPT_OPENSOCKETDATA, t) == CURLE_OK;
    good = good && curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK;
    good = good && curl_easy_setopt(h, CURLOPT_WRITEDATA, t) == CURLE_OK;
    good = good && curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_answer) == CURLE_OK;
    good = good && curl_easy_setopt(h, CURLOPT_HEADERDATA, t) == CURLE_OK;
    good = good && curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK;
    good = good && curl_easy_setopt(h, CURLOPT_XFERINFODATA, t) == CURLE_OK;
    good = good && curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L) == CURLE_OK;
    good = good && (!ca_file || (curl_easy_setopt(h, CURLOPT_CAINFO, ca_file) == CURLE_OK &&
                                 curl_easy_setopt(h, CURLOPT_CAPATH, NULL) == CURLE_OK));
    if (good)
        return h;
    curl_easy_cleanup(h);
    return NULL;
}

/* Performs, and says in ret what went wrong below the protocol. */
static int perform(CURL *h, struct transfer *t, struct courier_result *ret, CURLcode *ret_code)
{
    long status = 0;
    CURLcode code = curl_easy_perform(h);
    if (curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status >= 100 && status <= 999)
        ret->status = (unsigned)status;
    *ret_code = code;
    if (code == CURLE_OUT_OF_MEMORY)
        return -ENOMEM;
    if (code == CURLE_OK)
        return 0;
    if (t->refused)
        fail(ret, "the name leads to an address that may not be reached");
    else if (t->answered > ANSWER_MAX)
        fail(ret, "the answer is longer than %d bytes", ANSWER_MAX);
    else if (code == CURLE_ABORTED_BY_CALLBACK)
        fail(ret, "punchcloud stops");
    else
        fail(ret, "%s", t->text[0] ? t->text : curl_easy_strerror(code));
    return COURIER_FAILED;
}

/* ---- HTTPS ---- */

static struct curl_slist *header_list(const char *const *headers)
{
    struct curl_slist *l = curl_slist_append(NULL, "Content-Type: application/json");
    for (; l && *headers; headers++) {
        struct curl_slist *more = curl_slist_append(l, *headers);
        if (!more)
            curl_slist_free_all(l);
        l = more;
    }
    return l;
}

static bool set_post(CURL *h, const struct parts *p, const struct courier_post *m, struct curl_slist *headers,
                     struct curl_slist *pins)
{
    return curl_easy_setopt(h, CURLOPT_CURLU, p->url) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_USERAGENT, "punchcloud/" PUNCH_VERSION) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)m->body.n) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_POSTFIELDS, (const char *)m->body.p) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_RESOLVE, pins) == CURLE_OK;
}

static int judge_http(struct courier_result *ret)
{
    if (ret->status >= 200 && ret->status < 300)
        return 0;
    if (ret->status >= 300 && ret->status < 400)
        fail(ret, "it answered %u; redirects are not followed", ret->status);
    else
        fail(ret, "it answered %u", ret->status);
    return COURIER_FAILED;
}

static int post(struct transfer *t, const struct parts *p, const struct courier_post *m, struct courier_result *ret)
{
    CURLcode code;
    CURL *h = handle_new(t, t->set->webhooks.ca_file);
    struct curl_slist *headers = header_list(m->headers), *pins = NULL;
    int r = pin_list(t, p->host, p->port, &pins);
    if (r == 0 && !(h && headers && set_post(h, p, m, headers, pins)))
        r = -ENOMEM;
    if (r == 0)
        r = perform(h, t, ret, &code);
    if (r == 0)
        r = judge_http(ret);
    curl_easy_cleanup(h);
    curl_slist_free_all(headers);
    curl_slist_free_all(pins);
    return r;
}

int courier_post(const struct settings *set, const struct courier_post *p, const atomic_bool *stop,
                 struct courier_result *ret_result)
{
    struct transfer t = {.set = set, .stop = stop, .guarded = true};
    struct parts parts = {0};
    char host[256];
    *ret_result = (struct courier_result){0};
    const char *why = take_apart(p->url, &parts);
    int r = why ? COURIER_FAILED : look_up(&t, bare(parts.host, host), ret_result);
    if (why)
        fail(ret_result, "%s", why);
    if (r == 0)
        r = post(&t, &parts, p, ret_result);
    parts_done(&parts);
    return r;
}

/* ---- SMTP ---- */

/* The first line. */
static int read_password(const char *path, struct buf *ret)
{
    int r = file_read(path, ret);
    if (r == 0)
        ret->len = strcspn(buf_str(ret), "\r\n");
    return r;
}

static bool set_login(CURL *h, const struct settings *set, struct courier_result *ret)
{
    struct buf CLEANUP(buf_wipe) password;
    buf_init(&password, 1024);
    if (!set->mail.user)
        return true;
    int r = read_password(set->mail.password_file, &password);
    if (r != 0) {
        fail(ret, "password_file: %s", error_str(r));
        return false;
    }
    return curl_easy_setopt(h, CURLOPT_USERNAME, set->mail.user) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_PASSWORD, buf_str(&password)) == CURLE_OK;
}

/* host:port of the settings, taken apart; "[::1]:25" too. */
static bool split_server(const char *server, char ret_host[256], char ret_port[8])
{
    const char *colon = strrchr(server, ':');
    uint64_t port;
    size_t n = colon ? (size_t)(colon - server) : 0;
    if (n == 0 || n >= 256 || str_u64(colon + 1, 1, 65535, &port) != 0)
        return false;
    memcpy(ret_host, server, n);
    ret_host[n] = '\0';
    snprintf(ret_port, 8, "%llu", (unsigned long long)port);
    return true;
}

static bool set_mail(CURL *h, struct transfer *t, const struct courier_mail *m, struct curl_slist *to,
                     struct curl_slist *pins)
{
    const struct settings *set = t->set;
    bool whole = set->mail.tls == MAIL_TLS;
    char url[URL_TEXT];
    /* What stands behind the / is how we introduce ourselves: the domain that the mail comes from. */
    snprintf(url, sizeof url, "%s://%s/%s", whole ? "smtps" : "smtp", set->mail.server,
             strchr(set->mail.from, '@') + 1);
    return curl_easy_setopt(h, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_USE_SSL, (long)CURLUSESSL_ALL) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_MAIL_FROM, set->mail.from) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_MAIL_RCPT, to) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_UPLOAD, 1L) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_READFUNCTION, on_send) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_READDATA, t) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_RESOLVE, pins) == CURLE_OK;
}

static int send_mail(struct transfer *t, const struct courier_mail *m, const char *host, const char *port,
                     struct courier_result *ret)
{
    CURLcode code = CURLE_OK;
    CURL *h = handle_new(t, t->set->mail.ca_file);
    struct curl_slist *to = curl_slist_append(NULL, m->to), *pins = NULL;
    int r = pin_list(t, host, port, &pins);
    if (r == 0 && !(h && to && set_mail(h, t, m, to, pins)))
        r = -ENOMEM;
    if (r == 0 && !set_login(h, t->set, ret))
        r = ret->error[0] ? COURIER_FAILED : -ENOMEM;
    if (r == 0)
        r = perform(h, t, ret, &code);
    /* RFC 5321 section 4.2.1: 5yz is for ever. libcurl gives these when it was said of sender, recipient or message. */
    ret->final = (code == CURLE_SEND_ERROR || code == CURLE_WEIRD_SERVER_REPLY) && ret->status / 100 == 5;
    curl_easy_cleanup(h);
    curl_slist_free_all(to);
    curl_slist_free_all(pins);
    return r;
}

int courier_mail(const struct settings *set, const struct courier_mail *m, const atomic_bool *stop,
                 struct courier_result *ret_result)
{
    struct transfer t = {.set = set, .stop = stop, .rest = m->message};
    char host[256], port[8], name[256];
    *ret_result = (struct courier_result){0};
    if (!split_server(set->mail.server, host, port)) {
        fail(ret_result, "mail.server is no host:port");
        return COURIER_FAILED;
    }
    int r = look_up(&t, bare(host, name), ret_result);
    return r != 0 ? r : send_mail(&t, m, host, port, ret_result);
}
