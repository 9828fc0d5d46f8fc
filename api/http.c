/* libmicrohttpd, owned here. Not here: routes, authorisation, JSON.
 *
 * libmicrohttpd calls on_request() once when the headers are in, then for each piece of the body, then once more. A
 * response queued in the very first call makes 0.9.75 answer `Connection: close` (800 requests/s instead of 30,000), so
 * the first call only makes the call's state. The exception is a body that is declared too large: there closing is
 * right.
 *
 * A request that waits in a line is suspended: libmicrohttpd looks at its connection no more, not even for the peer's
 * end, until it is resumed, and then calls on_request() once again, on the connection's own thread, which sends the
 * reply. What it borrowed from libmicrohttpd stays where it is meanwhile. A stream that sleeps is suspended by its
 * content reader, which is asked again when it is resumed. To resume is allowed from any thread and takes effect on the
 * connection's own, so it may come before that one has returned from where it suspended. Nothing may be suspended when
 * the daemon is stopped. */
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/frontdoor.h"
#include "api/http_impl.h"
#include "api/http_listen.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "cloud/pki.h"

/* What is read and dropped of a body that is too large; beyond it the connection is closed. */
#define HTTP_DISCARD_MAX 262144u
/* TLS 1.2 with forward secrecy and AEAD only, and 1.3. */
#define HTTP_PRIORITY                                                                                           \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-DHE-RSA:-CIPHER-ALL:+AES-256-GCM:+AES-128-GCM:+CHACHA20-" \
    "POLY1305"

#define HTTP_BEAT_MS 15000
/* Threads of the line of passwords run so much nicer than all others. */
#define HTTP_NICE 10

/* Like libmicrohttpd's own, but %00 and broken escapes stay as they are: a decoded NUL would cut the path short and let
 * /v1/people%00x pass for /v1/people. */
static size_t on_unescape(void *arg, struct MHD_Connection *conn, char *s)
{
    char *w = s;
    for (const char *r = s; *r;) {
        int hi = r[0] == '%' ? str_nibble(r[1]) : -1;
        int lo = hi >= 0 ? str_nibble(r[2]) : -1;
        if (lo >= 0 && hi + lo > 0) {
            *w++ = (char)(hi * 16 + lo);
            r += 3;
        } else {
            *w++ = *r++;
        }
    }
    *w = '\0';
    return (size_t)(w - s);
}

static enum MHD_Result on_query(void *arg, enum MHD_ValueKind kind, const char *key, size_t key_n, const char *value,
                                size_t value_n)
{
    struct http_request *q = arg;
    if (q->n_query == HTTP_QUERY_MAX || strlen(key) != key_n || (value && strlen(value) != value_n)) {
        q->fault = HTTP_QUERY_BAD;
        return MHD_NO;
    }
    q->query[q->n_query++] = (struct http_pair){.name = key, .value = value ? value : ""};
    return MHD_YES;
}

/* ---- how long a peer is waited for (patience.h) ---- */

/* All zero when it has none. */
static struct address peer_address(struct MHD_Connection *conn)
{
    struct address a = {0};
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *sa = i ? i->client_addr : NULL;
    if (sa) /* libmicrohttpd has as much of it as its family needs */
        address_of(sa, sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6), &a);
    return a;
}

static bool is_proxy(const struct http *h, const struct address *a)
{
    return frontdoor_is_proxy(a, h->o.proxies, h->o.n_proxies);
}

/* What a connection begins with. A proxy's counts as its clients', while they have a request there. */
static struct patience_peer *begin(struct http *h, struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    const int fd = i ? i->connect_fd : -1;
    const struct address a = peer_address(conn), share = address_share(&a);
    /* A peer that vanished without a word does not acknowledge what a stream says now and then. */
    const unsigned ms = (unsigned)h->o.request_ms;
    if (h->o.client_ca_file) {
        i = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        ASSERT(i && i->tls_session);
        pki_require_client(i->tls_session);
    }
    if (fd < 0)
        return NULL;
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    return patience_join(h->patience, fd, h->o.request_ms, is_proxy(h, &a) ? NULL : &share, h->o.per_address);
}

/* libmicrohttpd calls this before it closes the socket. */
static void on_connection(void *arg, struct MHD_Connection *conn, void **peer, enum MHD_ConnectionNotificationCode what)
{
    struct http *h = arg;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *peer = begin(h, conn);
    } else {
        patience_leave(h->patience, *peer);
        *peer = NULL;
    }
}

/* A request line is there; its headers and body may follow within a time. */
static void *on_request_line(void *arg, const char *uri, struct MHD_Connection *conn)
{
    struct http *h = arg;
    patience_set(h->patience, http_peer(conn), h->o.request_ms, false);
    return NULL;
}

/* ---- one request ---- */

/* Its reply goes to the client; once. */
static enum MHD_Result send_reply(struct http *h, struct http_call *call)
{
    struct http_reply *r = &call->r;
    patience_set(h->patience, http_peer(call->conn), h->o.request_ms + r->body.len / HTTP_REPLY_BYTES_PER_MS, false);
    if (!r->body.failed)
        return http_reply_queue(h, call->conn, r);
    /* past its maximum: the connection is closed, nothing half is sent */
    log_error("http.reply", "status=%u error=\"reply too large or memory short, connection closed\"", r->status);
    return MHD_NO;
}

/* Of a suspended call, on whichever thread it is; its connection goes on when the reply is made. */
static void handle(struct http *h, struct http_call *call, enum http_fault fault)
{
    for (;;) {
        call->q.fault = fault;
        int line = h->o.fn(h->o.arg, &call->q, &call->r);
        if (line == HTTP_LINE_NONE)
            break;
        ASSERT(fault == HTTP_SOUND && line < HTTP_LINES && h->lines[line]);
        ASSERT(line != (int)call->q.line || call->q.between);
        call->q.line = line;
        if (line_join(h->lines[line], &call->item)) /* it is that line's now */
            return;
        fault = HTTP_CROWDED;
    }
    call->answered = true;
    MHD_resume_connection(call->conn);
}

static void on_turn(void *arg, struct line_item *item, bool closing)
{
    struct http_call *call = (struct http_call *)((char *)item - offsetof(struct http_call, item));
    call->q.between = ((struct http *)arg)->between[call->q.line];
    handle(arg, call, closing ? HTTP_CROWDED : HTTP_SOUND);
}

bool http_others(const struct http_request *q, const struct http_reply *r)
{
    struct http *h = r->http;
    ASSERT(q->line != HTTP_LINE_NONE && h->o.lines[q->line].threads == 1 && !h->between[q->line]);
    h->between[q->line] = true;
    bool open = line_others(h->lines[q->line]);
    h->between[q->line] = false;
    return open;
}

static void wait_for_turn(struct http *h, struct http_call *call, int line)
{
    ASSERT(line > HTTP_LINE_NONE && line < HTTP_LINES && h->lines[line] && call->q.fault == HTTP_SOUND);
    call->q.line = line;
    call->item.who = call->share;
    call->item.known = call->r.known;
    MHD_suspend_connection(call->conn);
    if (!line_join(h->lines[line], &call->item)) /* else it is the line's */
        handle(h, call, HTTP_CROWDED);
}

static const char *header_of(struct MHD_Connection *conn, const char *name)
{
    return MHD_lookup_connection_value(conn, MHD_HEADER_KIND, name);
}

struct forwarded {
    const char *values[FRONTDOOR_HOPS]; /* the last ones */
    size_t n;
};

static enum MHD_Result on_forwarded(void *arg, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct forwarded *f = arg;
    if (strcasecmp(key, "X-Forwarded-For") != 0)
        return MHD_YES;
    if (f->n == ARRAY_LEN(f->values))
        memmove(f->values, f->values + 1, --f->n * sizeof f->values[0]);
    f->values[f->n++] = value ? value : "";
    return MHD_YES;
}

/* Whose it is. False: a proxy has too many requests of this one. */
static bool take_address(struct http *h, struct http_call *call)
{
    struct address a = peer_address(call->conn);
    const bool proxied = is_proxy(h, &a);
    if (proxied) {
        struct forwarded f = {.n = 0};
        MHD_get_connection_values(call->conn, MHD_HEADER_KIND, on_forwarded, &f);
        a = frontdoor_client(&a, h->o.proxies, h->o.n_proxies, f.values, f.n);
    }
    address_text(&a, call->address);
    call->share = address_share(&a);
    return !proxied || is_proxy(h, &a) ||
           patience_count(h->patience, http_peer(call->conn), &call->share, h->o.per_address);
}

static void take_request(struct http_call *call, const char *method, const char *path, enum http_fault fault)
{
    struct MHD_Connection *conn = call->conn;
    call->q = (struct http_request){
        .method = method,
        .path = path,
        .authorization = header_of(conn, MHD_HTTP_HEADER_AUTHORIZATION),
        .content_type = header_of(conn, MHD_HTTP_HEADER_CONTENT_TYPE),
        .content_encoding = header_of(conn, MHD_HTTP_HEADER_CONTENT_ENCODING),
        .if_match = header_of(conn, MHD_HTTP_HEADER_IF_MATCH),
        .if_none_match = header_of(conn, MHD_HTTP_HEADER_IF_NONE_MATCH),
        .idempotency_key = header_of(conn, "Idempotency-Key"),
        .cookie = header_of(conn, MHD_HTTP_HEADER_COOKIE),
        .origin = header_of(conn, MHD_HTTP_HEADER_ORIGIN),
        .user_agent = header_of(conn, MHD_HTTP_HEADER_USER_AGENT),
        .accept_language = header_of(conn, MHD_HTTP_HEADER_ACCEPT_LANGUAGE),
        .last_event_id = header_of(conn, "Last-Event-ID"),
        .csrf = header_of(conn, "Punch-CSRF"),
        .tenant = header_of(conn, "Punch-Tenant"),
        .address = call->address,
        .body = fault != HTTP_SOUND ? BYTES_NONE : buf_bytes(&call->body),
        .fault = fault,
        .carry = call->carry,
    };
    if (fault == HTTP_SOUND)
        MHD_get_connection_values_n(conn, MHD_GET_ARGUMENT_KIND, on_query, &call->q);
}

static enum MHD_Result answer(struct http *h, const char *method, const char *path, struct http_call *call,
                              enum http_fault fault)
{
    const bool crowded = !take_address(h, call);
    take_request(call, method, path, fault == HTTP_SOUND && crowded ? HTTP_CROWDED : fault);
    call->r.status = 500;
    call->r.http = h;
    buf_init(&call->r.body, HTTP_REPLY_MAX);
    patience_set(h->patience, http_peer(call->conn), PATIENCE_ENDLESS, false); /* it waits for us */
    int line = h->o.fn(h->o.arg, &call->q, &call->r);
    if (line == HTTP_LINE_NONE)
        return send_reply(h, call);
    wait_for_turn(h, call, line);
    return MHD_YES;
}

/* Which may be there once. A proxy before us may go by the other one. */
static const char *const single[] = {
    MHD_HTTP_HEADER_AUTHORIZATION,
    MHD_HTTP_HEADER_CONTENT_ENCODING,
    MHD_HTTP_HEADER_CONTENT_LENGTH,
    MHD_HTTP_HEADER_CONTENT_TYPE,
    MHD_HTTP_HEADER_COOKIE,
    MHD_HTTP_HEADER_HOST,
    MHD_HTTP_HEADER_IF_MATCH,
    MHD_HTTP_HEADER_IF_NONE_MATCH,
    MHD_HTTP_HEADER_ORIGIN,
    "Idempotency-Key",
    "Last-Event-ID",
    "Punch-CSRF",
    "Punch-Tenant",
};

struct headers {
    bool strange, there[ARRAY_LEN(single)];
    unsigned lengths, encodings;
    bool unframed;
};

/* RFC 9110, 5.6.2 and 5.5. libmicrohttpd 0.9.75 keeps a blank before the colon as part of the name, where another
 * server would see the header itself, and a CR within a value, where another might see the end of the line. */
static bool well_formed(const char *name, const char *value)
{
    bool good = *name != '\0';
    for (; *name && good; name++)
        good = *name > ' ' && *name < 0x7f && !strchr("\"(),/:;<=>?@[\\]{}", *name);
    for (; *value && good; value++)
        good = ((unsigned char)*value >= ' ' && *value != 0x7f) || *value == '\t';
    return good;
}

static enum MHD_Result on_header(void *arg, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct headers *x = arg;
    const char *v = value ? value : "";
    x->strange = x->strange || !well_formed(key, v);
    for (size_t i = 0; i < ARRAY_LEN(single); i++) {
        if (strcasecmp(key, single[i]) != 0)
            continue;
        x->strange = x->strange || x->there[i];
        x->there[i] = true;
    }
    if (strcasecmp(key, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0) {
        x->lengths++;
    } else if (strcasecmp(key, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0) {
        x->encodings++;
        x->unframed = x->unframed || strcasecmp(v, "chunked") != 0;
    }
    return MHD_YES;
}

/* What the headers tell already. libmicrohttpd takes the first of two lengths, and prefers chunks to a length; a proxy
 * before us may choose otherwise and take a piece of one client's body for another's request (RFC 9112, 6.3). */
static enum http_fault heard(struct MHD_Connection *conn, size_t discard_max)
{
    struct headers x = {0};
    const char *s = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    uint64_t n = 0;
    MHD_get_connection_values(conn, MHD_HEADER_KIND, on_header, &x);
    if (x.unframed || x.lengths + x.encodings > 1)
        return HTTP_FRAMING_BAD;
    if (x.strange)
        return HTTP_HEADERS_BAD;
    return s && str_u64(s, 0, discard_max, &n) < 0 ? HTTP_BODY_TOO_LARGE : HTTP_SOUND;
}

/* How much of a body is read, kept or not. */
static size_t discard_max(const struct http_call *call)
{
    return call->large ? call->body.max : HTTP_DISCARD_MAX;
}

/* Sets how large a body is taken; false: too many large ones are on their way. */
static bool make_room(struct http *h, struct http_call *call, const char *method, const char *path)
{
    size_t max = h->o.body_max ? h->o.body_max(method, path) : HTTP_BODY_MAX;
    if (max > HTTP_BODY_MAX) {
        pthread_mutex_lock(&h->lock);
        call->large = h->n_large < HTTP_LARGE;
        h->n_large += call->large;
        pthread_mutex_unlock(&h->lock);
    }
    buf_init(&call->body, call->large ? max : HTTP_BODY_MAX);
    return max <= HTTP_BODY_MAX || call->large;
}

static void give_room(struct http *h, const struct http_call *call)
{
    if (!call->large)
        return;
    pthread_mutex_lock(&h->lock);
    h->n_large--;
    pthread_mutex_unlock(&h->lock);
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *conn, const char *path, const char *method,
                                  const char *version, const char *data, size_t *data_n, void **con_cls)
{
    struct http *h = arg;
    struct http_call *call = *con_cls;
    if (!call) {
        if (!(call = calloc(1, sizeof *call)))
            return MHD_NO;
        call->conn = conn;
        *con_cls = call;
        bool room = make_room(h, call, method, path);
        enum http_fault fault = heard(conn, discard_max(call));
        if (fault != HTTP_FRAMING_BAD && fault != HTTP_HEADERS_BAD && !room)
            fault = HTTP_CROWDED;
        return fault != HTTP_SOUND ? answer(h, method, path, call, fault) : MHD_YES;
    }
    if (call->answered) /* in its turn */
        return send_reply(h, call);
    if (*data_n > 0) {
        call->seen += *data_n;
        if (!call->body.failed)
            buf_add(&call->body, data, *data_n);
        *data_n = 0;
        return call->seen > discard_max(call) ? MHD_NO : MHD_YES;
    }
    return answer(h, method, path, call, call->body.failed ? HTTP_BODY_TOO_LARGE : HTTP_SOUND);
}

static void on_completed(void *arg, struct MHD_Connection *conn, void **con_cls, enum MHD_RequestTerminationCode why)
{
    struct http *h = arg;
    struct http_call *call = *con_cls;
    patience_set(h->patience, http_peer(conn), h->o.idle_ms, true);
    const struct address a = peer_address(conn);
    if (is_proxy(h, &a))
        patience_count(h->patience, http_peer(conn), NULL, 0);
    if (!call)
        return;
    buf_wipe(&call->body); /* names and card numbers */
    give_room(h, call);
    buf_done(&call->r.body);
    if (call->r.more_done)
        call->r.more_done(call->r.more_arg);
    if (call->r.streams)
        http_stream_leave(h, call);
    crypto_wipe(call, sizeof *call); /* cookies, and what was carried */
    free(call);
    *con_cls = NULL;
}

static void on_mhd_log(void *arg, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
static void on_mhd_log(void *arg, const char *fmt, va_list ap)
{
    char text[256];
    vsnprintf(text, sizeof text, fmt, ap);
    text[strcspn(text, "\r\n")] = '\0';
    log_debug("http.library", "text=%s", log_q(text));
}

static bool suspends(const struct http_options *o)
{
    bool any = o->streams > 0;
    for (int i = 0; i < HTTP_LINES; i++)
        any = any || o->lines[i].threads > 0;
    return any;
}

static struct MHD_Daemon *start_daemon(struct http *h, const struct http_options *o, int fd)
{
    struct MHD_OptionItem items[] = {
        {MHD_OPTION_LISTEN_SOCKET, fd, NULL},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, h},
        {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)on_request_line, h},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, h},
        {MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)on_unescape, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, HTTP_CONN_MEMORY, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)o->connections, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)(o->threads > 1 ? o->threads : 0), NULL},
        {o->cert_file ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END, 0, (void *)h->cert.p},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)h->key.p},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)HTTP_PRIORITY},
        {o->client_ca_file ? MHD_OPTION_HTTPS_MEM_TRUST : MHD_OPTION_END, 0, (void *)h->client_ca.p},
        {MHD_OPTION_END, 0, NULL},
    };
    /* ITC: at its limit it does not watch the listening socket, by whose end its threads are told to stop otherwise. */
    const unsigned flags = MHD_USE_AUTO | MHD_USE_ITC | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ERROR_LOG |
                           (suspends(o) ? MHD_ALLOW_SUSPEND_RESUME : 0u) | (o->cert_file ? MHD_USE_TLS : 0u);
    return MHD_start_daemon(flags, 0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL,
                            MHD_OPTION_ARRAY, items, MHD_OPTION_END);
}

static int start_lines(struct http *h)
{
    int r = 0;
    for (int i = 0; i < HTTP_LINES && r == 0; i++) {
        const struct http_line_options *o = &h->o.lines[i];
        const struct line_options l = {.threads = o->threads,
                                       .waiting = o->waiting,
                                       .waiting_each = o->waiting_each,
                                       .kept = o->kept,
                                       .nice = i == HTTP_LINE_PASSWORD ? HTTP_NICE : 0,
                                       .fn = on_turn,
                                       .arg = h};
        if (o->threads > 0)
            r = line_new(&l, &h->lines[i]);
    }
    return r != 0 || h->o.streams == 0 ? r : sleepers_new(http_stream_wake, &h->sleepers);
}

/* Who waits, and who would from now on, is answered at once; nobody is suspended when this returns. */
static void stop_lines(struct http *h)
{
    for (int i = HTTP_LINES - 1; i >= 0; i--)
        if (h->lines[i])
            line_close(h->lines[i]);
    if (h->sleepers)
        sleepers_close(h->sleepers);
}

static int load(const char *file, struct buf *ret)
{
    int r = file_read(file, ret);
    return r < 0 ? r : buf_add(ret, "", 1);
}

int http_start(const struct http_options *o, struct http **ret_http)
{
    int fd = -1, r;
    struct http *h = calloc(1, sizeof *h);
    if (!h)
        return -ENOMEM;
    h->o = *o;
    h->o.beat_ms = o->beat_ms ? o->beat_ms : HTTP_BEAT_MS;
    pthread_mutex_init(&h->lock, NULL);
    buf_init(&h->cert, 65536);
    buf_init(&h->key, 65536);
    buf_init(&h->client_ca, 1 << 20);
    if (o->cert_file && o->hsts_s > 0)
        snprintf(h->hsts, sizeof h->hsts, "max-age=%" PRIu64, o->hsts_s);
    if ((o->cert_file && ((r = load(o->cert_file, &h->cert)) < 0 || (r = load(o->key_file, &h->key)) < 0)) ||
        (o->client_ca_file && (r = load(o->client_ca_file, &h->client_ca)) < 0) ||
        (r = http_descriptors(o->connections)) < 0 || (r = patience_new(o->connections, &h->patience)) < 0 ||
        (r = start_lines(h)) < 0 || (r = http_listen(o->listen, &fd, &h->port)) < 0)
        goto fail;
    if (!(h->daemon = start_daemon(h, o, fd))) {
        close(fd);
        r = -EPROTO; /* the certificate and key do not fit each other, or a limit of the system; logged at debug */
        goto fail;
    }
    *ret_http = h;
    return 0;
fail:
    http_stop(h);
    return r;
}

void http_wake(struct http *h)
{
    if (h && h->sleepers)
        sleepers_wake(h->sleepers);
}

void http_stop(struct http *h)
{
    if (!h)
        return;
    stop_lines(h);
    if (h->daemon)
        MHD_stop_daemon(h->daemon); /* closes the listening socket and every connection */
    for (int i = 0; i < HTTP_LINES; i++)
        line_free(h->lines[i]);
    sleepers_free(h->sleepers);
    pthread_mutex_destroy(&h->lock);
    patience_free(h->patience);
    buf_done(&h->cert);
    buf_done(&h->client_ca);
    buf_wipe(&h->key);
    free(h);
}

unsigned http_port(const struct http *h)
{
    return h->port;
}
