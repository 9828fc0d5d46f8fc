/* libmicrohttpd, owned here. Not here: routes, authorisation, JSON.
 *
 * libmicrohttpd calls on_request() once when the headers are in, then for each piece of the body, then once more. A
 * response queued in the very first call makes 0.9.75 answer `Connection: close` (800 requests/s instead of 30,000), so
 * the first call only makes the call's state. The exception is a body that is declared too large: there closing is
 * right.
 *
 * A request that waits for its turn is suspended: libmicrohttpd looks at its connection no more, not even for the
 * peer's end, until it is resumed, and then calls on_request() once again, on the connection's own thread, which sends
 * the reply. What it borrowed from libmicrohttpd stays where it is meanwhile. Nothing may be suspended when the daemon
 * is stopped. */
#include "cloud/http.h"

#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/queue.h"
#include "base/str.h"
#include "cloud/patience.h"

/* Request line and headers of one connection, together with its send buffer. */
#define HTTP_CONN_MEMORY 32768
/* What is read and dropped of a body that is too large; beyond it the connection is closed. */
#define HTTP_DISCARD_MAX 262144u
/* TLS 1.2 with forward secrecy and AEAD only, and 1.3. */
#define HTTP_PRIORITY                                                                                           \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-DHE-RSA:-CIPHER-ALL:+AES-256-GCM:+AES-128-GCM:+CHACHA20-" \
    "POLY1305"

/* Descriptors beside the connections: the store's, the broker's, the control socket's. */
#define HTTP_OTHER_FDS 512
/* Who takes a reply slower than that is not waited for; a page of 1,000 punches is some 600 kB. */
#define HTTP_REPLY_BYTES_PER_MS 16
#define TURN_WAIT_MS 60000 /* until it looks again; a turn wakes it at once */

struct http {
    struct MHD_Daemon *daemon;
    struct patience *patience;
    uint64_t request_ms, idle_ms;
    struct buf cert, key;
    http_fn *fn;
    void *arg;
    unsigned port;
    struct queue *turns; /* struct http_call *, each of a suspended connection; NULL: nobody waits here */
    unsigned waiting_each;
    pthread_mutex_t lock;
    struct http_call *waiting; /* under lock: those in `turns` */
    pthread_t in_turn;
    atomic_bool stopping;
};

struct http_call {
    struct MHD_Connection *conn;
    struct http_call *next; /* of those that wait */
    struct bytes address;   /* the peer's, while it waits; libmicrohttpd's */
    struct buf body;
    size_t seen; /* bytes of the body that arrived, kept or not */
    bool answered;
    struct http_request q;
    struct http_reply r;
};

void http_header(struct http_reply *r, const char *name, const char *fmt, ...)
{
    ASSERT(r->n_headers < HTTP_HEADERS_MAX);
    char *at = r->header_text + r->header_used;
    size_t room = sizeof r->header_text - r->header_used;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(at, room, fmt, ap);
    va_end(ap);
    ASSERT(n >= 0 && (size_t)n < room);
    r->header_used += (size_t)n + 1;
    r->headers[r->n_headers++] = (struct http_pair){.name = name, .value = at};
}

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

/* Every reply gets these. HSTS is the proxy's to say: it speaks for a host name, of which this port is a part only. */
static const struct http_pair common_headers[] = {
    {"Cache-Control", "no-store"},
    {"X-Content-Type-Options", "nosniff"},
    {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
    {"Referrer-Policy", "no-referrer"},
};

/* ---- bodies in pieces ---- */

static struct patience_peer *peer_of(struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return i ? i->socket_context : NULL;
}

struct stream {
    struct http *h;
    struct MHD_Connection *conn;
    struct buf piece;
    size_t at; /* of the piece: what libmicrohttpd has taken */
    bool last;
    http_more_fn *more;
    void (*done)(void *arg);
    void *arg;
};

static void stream_free(void *arg)
{
    struct stream *s = arg;
    if (s->done)
        s->done(s->arg);
    buf_wipe(&s->piece);
    free(s);
}

/* A piece is made when the one before is with the client. What that takes us is not the client's time. */
static ssize_t stream_read(void *arg, uint64_t pos, char *p, size_t max)
{
    struct stream *s = arg;
    while (s->at == s->piece.len) {
        if (s->last)
            return MHD_CONTENT_READER_END_OF_STREAM;
        int64_t began = clock_ms();
        buf_reset(&s->piece);
        s->at = 0;
        int r = s->more(s->arg, &s->piece);
        if (r < 0 || s->piece.failed)
            return MHD_CONTENT_READER_END_WITH_ERROR;
        s->last = r == HTTP_LAST;
        patience_add(s->h->patience, peer_of(s->conn),
                     (uint64_t)(clock_ms() - began) + s->piece.len / HTTP_REPLY_BYTES_PER_MS);
    }
    size_t n = s->piece.len - s->at < max ? s->piece.len - s->at : max;
    memcpy(p, s->piece.p + s->at, n);
    s->at += n;
    return (ssize_t)n;
}

/* Takes the reply's body and what makes the rest of it. */
static struct MHD_Response *stream_response(struct http *h, struct MHD_Connection *conn, struct http_reply *r)
{
    struct stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    *s = (struct stream){
        .h = h, .conn = conn, .piece = r->body, .more = r->more, .done = r->more_done, .arg = r->more_arg};
    r->body = (struct buf){0};
    r->more_done = NULL;
    struct MHD_Response *m =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, HTTP_CONN_MEMORY / 2, stream_read, s, stream_free);
    if (!m)
        stream_free(s);
    return m;
}

static struct MHD_Response *whole_response(struct http_reply *r)
{
    void *p = r->body.len ? r->body.p : NULL;
    if (!p)
        return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    struct MHD_Response *m = MHD_create_response_from_buffer(r->body.len, p, MHD_RESPMEM_MUST_FREE);
    if (m) /* libmicrohttpd frees it now */
        r->body = (struct buf){0};
    return m;
}

static enum MHD_Result queue_reply(struct http *h, struct MHD_Connection *conn, struct http_reply *r)
{
    struct MHD_Response *m = r->more ? stream_response(h, conn, r) : whole_response(r);
    if (!m)
        return MHD_NO;
    enum MHD_Result ok = MHD_YES;
    for (size_t i = 0; ok == MHD_YES && i < ARRAY_LEN(common_headers); i++)
        ok = MHD_add_response_header(m, common_headers[i].name, common_headers[i].value);
    if (ok == MHD_YES && r->type)
        ok = MHD_add_response_header(m, MHD_HTTP_HEADER_CONTENT_TYPE, r->type);
    for (size_t i = 0; ok == MHD_YES && i < r->n_headers; i++)
        ok = MHD_add_response_header(m, r->headers[i].name, r->headers[i].value);
    if (ok == MHD_YES)
        ok = MHD_queue_response(conn, r->status, m);
    MHD_destroy_response(m);
    return ok;
}

/* ---- how long a peer is waited for (patience.h) ---- */

/* libmicrohttpd calls this before it closes the socket. */
static void on_connection(void *arg, struct MHD_Connection *conn, void **peer, enum MHD_ConnectionNotificationCode what)
{
    struct http *h = arg;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *i = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
        *peer = i ? patience_join(h->patience, i->connect_fd, h->request_ms) : NULL;
    } else {
        patience_leave(h->patience, *peer);
        *peer = NULL;
    }
}

/* A request line is there; its headers and body may follow within a time. */
static void *on_request_line(void *arg, const char *uri, struct MHD_Connection *conn)
{
    struct http *h = arg;
    patience_set(h->patience, peer_of(conn), h->request_ms, false);
    return NULL;
}

/* ---- one request ---- */

/* Its reply goes to the client; once. */
static enum MHD_Result send_reply(struct http *h, struct http_call *call)
{
    struct http_reply *r = &call->r;
    patience_set(h->patience, peer_of(call->conn), h->request_ms + r->body.len / HTTP_REPLY_BYTES_PER_MS, false);
    if (!r->body.failed)
        return queue_reply(h, call->conn, r);
    /* past its maximum: the connection is closed, nothing half is sent */
    log_error("http.reply", "status=%u error=\"reply too large or memory short, connection closed\"", r->status);
    return MHD_NO;
}

/* The reply of a suspended call; its connection goes on. */
static void reply_late(struct http *h, struct http_call *call, enum http_fault fault)
{
    call->q.fault = fault;
    call->answered = h->fn(h->arg, &call->q, &call->r) == 0;
    ASSERT(call->answered);
    MHD_resume_connection(call->conn);
}

/* Without the port: libmicrohttpd's limit of one address counts so, too. */
static struct bytes address_of(struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const void *a = i ? i->client_addr : NULL;
    const struct sockaddr_in *v4 = a;
    const struct sockaddr_in6 *v6 = a;
    if (a && i->client_addr->sa_family == AF_INET)
        return BYTES((const uint8_t *)&v4->sin_addr, sizeof v4->sin_addr);
    if (a && i->client_addr->sa_family == AF_INET6)
        return BYTES((const uint8_t *)&v6->sin6_addr, sizeof v6->sin6_addr);
    return BYTES_NONE;
}

/* Puts it in the line, unless the line, or the part of it that one address may have, is full. */
static bool line_up(struct http *h, struct http_call *call)
{
    unsigned same = 0;
    call->address = address_of(call->conn);
    pthread_mutex_lock(&h->lock);
    for (const struct http_call *c = h->waiting; c; c = c->next)
        same += bytes_equal(c->address, call->address);
    bool ok = (h->waiting_each == 0 || same < h->waiting_each) && queue_push(h->turns, &call) == 0;
    if (ok) {
        call->next = h->waiting;
        h->waiting = call;
    }
    pthread_mutex_unlock(&h->lock);
    return ok;
}

static void leave_line(struct http *h, const struct http_call *call)
{
    pthread_mutex_lock(&h->lock);
    struct http_call **at = &h->waiting;
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    pthread_mutex_unlock(&h->lock);
}

static void wait_for_turn(struct http *h, struct http_call *call)
{
    ASSERT(h->turns && call->q.fault == HTTP_SOUND);
    call->q.in_turn = true;
    MHD_suspend_connection(call->conn);
    if (!line_up(h, call)) /* else it is the other thread's */
        reply_late(h, call, HTTP_CROWDED);
}

static void *run_in_turn(void *arg)
{
    struct http *h = arg;
    struct http_call *call;
    for (int r; (r = queue_pop_wait(h->turns, &call, TURN_WAIT_MS)) != QUEUE_CLOSED;) {
        if (r != 0)
            continue;
        leave_line(h, call);
        reply_late(h, call, atomic_load(&h->stopping) ? HTTP_CROWDED : HTTP_SOUND);
    }
    return NULL;
}

static enum MHD_Result answer(struct http *h, const char *method, const char *path, struct http_call *call,
                              enum http_fault fault)
{
    struct MHD_Connection *conn = call->conn;
    call->q = (struct http_request){
        .method = method,
        .path = path,
        .authorization = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION),
        .content_type = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE),
        .content_encoding = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_ENCODING),
        .if_match = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_MATCH),
        .if_none_match = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_NONE_MATCH),
        .idempotency_key = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Idempotency-Key"),
        .body = fault != HTTP_SOUND ? BYTES_NONE : buf_bytes(&call->body),
        .fault = fault,
    };
    if (fault == HTTP_SOUND)
        MHD_get_connection_values_n(conn, MHD_GET_ARGUMENT_KIND, on_query, &call->q);
    call->r.status = 500;
    buf_init(&call->r.body, HTTP_REPLY_MAX);
    patience_set(h->patience, peer_of(conn), PATIENCE_ENDLESS, false); /* it waits for us */
    if (h->fn(h->arg, &call->q, &call->r) == 0)
        return send_reply(h, call);
    wait_for_turn(h, call);
    return MHD_YES;
}

struct framing {
    unsigned lengths, encodings;
    bool strange;
};

static enum MHD_Result on_header(void *arg, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct framing *f = arg;
    if (strcasecmp(key, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0) {
        f->lengths++;
    } else if (strcasecmp(key, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0) {
        f->encodings++;
        f->strange = f->strange || !value || strcasecmp(value, "chunked") != 0;
    }
    return MHD_YES;
}

/* What the headers tell already. libmicrohttpd takes the first of two lengths, and prefers chunks to a length; a proxy
 * before us may choose otherwise and take a piece of one client's body for another's request (RFC 9112, 6.3). */
static enum http_fault heard(struct MHD_Connection *conn)
{
    struct framing f = {0};
    const char *s = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    uint64_t n = 0;
    MHD_get_connection_values(conn, MHD_HEADER_KIND, on_header, &f);
    if (f.strange || f.lengths + f.encodings > 1)
        return HTTP_FRAMING_BAD;
    return s && str_u64(s, 0, HTTP_DISCARD_MAX, &n) < 0 ? HTTP_BODY_TOO_LARGE : HTTP_SOUND;
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
        buf_init(&call->body, HTTP_BODY_MAX);
        *con_cls = call;
        enum http_fault fault = heard(conn);
        return fault != HTTP_SOUND ? answer(h, method, path, call, fault) : MHD_YES;
    }
    if (call->answered) /* in its turn */
        return send_reply(h, call);
    if (*data_n > 0) {
        call->seen += *data_n;
        if (!call->body.failed)
            buf_add(&call->body, data, *data_n);
        *data_n = 0;
        return call->seen > HTTP_DISCARD_MAX ? MHD_NO : MHD_YES;
    }
    return answer(h, method, path, call, call->body.failed ? HTTP_BODY_TOO_LARGE : HTTP_SOUND);
}

static void on_completed(void *arg, struct MHD_Connection *conn, void **con_cls, enum MHD_RequestTerminationCode why)
{
    struct http *h = arg;
    struct http_call *call = *con_cls;
    patience_set(h->patience, peer_of(conn), h->idle_ms, true);
    if (!call)
        return;
    buf_wipe(&call->body); /* names and card numbers */
    buf_done(&call->r.body);
    if (call->r.more_done)
        call->r.more_done(call->r.more_arg);
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

/* "host:port" or "[v6]:port", both parts mandatory. */
static int split_listen(const char *listen, char host[256], char port[8])
{
    const char *colon = strrchr(listen, ':');
    if (!colon || colon == listen)
        return -EINVAL;
    size_t n = (size_t)(colon - listen);
    const char *from = listen;
    if (from[0] == '[') {
        if (from[n - 1] != ']' || n < 3)
            return -EINVAL;
        from++;
        n -= 2;
    }
    uint64_t v = 0;
    if (n >= 256 || str_u64(colon + 1, 0, 65535, &v) < 0)
        return -EINVAL;
    memcpy(host, from, n);
    host[n] = '\0';
    snprintf(port, 8, "%u", (unsigned)v);
    return 0;
}

static int listen_on(const struct addrinfo *ai, int *ret_fd, unsigned *ret_port)
{
    int one = 1, r = 0;
    struct sockaddr_storage ss = {0};
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    socklen_t len = sizeof ss;
    int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 || bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 ||
        listen(fd, 256) < 0 || getsockname(fd, (struct sockaddr *)&ss, &len) < 0) {
        r = -errno;
        close(fd);
        return r;
    }
    memcpy(&v4, &ss, sizeof v4);
    memcpy(&v6, &ss, sizeof v6);
    *ret_port = ntohs(ss.ss_family == AF_INET6 ? v6.sin6_port : v4.sin_port);
    *ret_fd = fd;
    return 0;
}

/* The socket is made here and not by libmicrohttpd, which would tell neither why it failed nor its port. */
static int open_listener(const char *listen, int *ret_fd, unsigned *ret_port)
{
    char host[256], port[8];
    int r = split_listen(listen, host, port);
    if (r < 0)
        return r;
    struct addrinfo *list = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    if (getaddrinfo(host, port, &hints, &list) != 0)
        return -EADDRNOTAVAIL;
    r = -EADDRNOTAVAIL;
    for (const struct addrinfo *ai = list; ai && r < 0; ai = ai->ai_next)
        r = listen_on(ai, ret_fd, ret_port);
    freeaddrinfo(list);
    return r;
}

/* Short of descriptors, the store would suffer before the listener does. */
static int descriptors_for(unsigned connections)
{
    struct rlimit l;
    const rlim_t want = connections + HTTP_OTHER_FDS;
    if (getrlimit(RLIMIT_NOFILE, &l) < 0)
        return -errno;
    if (l.rlim_cur >= want)
        return 0;
    l.rlim_cur = want;
    if (want <= l.rlim_max && setrlimit(RLIMIT_NOFILE, &l) == 0)
        return 0;
    log_error("http.descriptors", "connections=%u needed=%llu allowed=%llu hint=LimitNOFILE", connections,
              (unsigned long long)want, (unsigned long long)l.rlim_max);
    return -EMFILE;
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
        {MHD_OPTION_PER_IP_CONNECTION_LIMIT, (intptr_t)o->per_address, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)(o->threads > 1 ? o->threads : 0), NULL},
        {o->cert_file ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END, 0, (void *)h->cert.p},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)h->key.p},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)HTTP_PRIORITY},
        {MHD_OPTION_END, 0, NULL},
    };
    /* ITC: at its limit it does not watch the listening socket, by whose end its threads are told to stop otherwise. */
    const unsigned flags = MHD_USE_AUTO | MHD_USE_ITC | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ERROR_LOG |
                           (o->waiting > 0 ? MHD_ALLOW_SUSPEND_RESUME : 0u) | (o->cert_file ? MHD_USE_TLS : 0u);
    return MHD_start_daemon(flags, 0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL,
                            MHD_OPTION_ARRAY, items, MHD_OPTION_END);
}

static int start_turns(struct http *h, unsigned waiting)
{
    int r = waiting == 0 ? 0 : queue_new(sizeof(struct http_call *), waiting, &h->turns);
    if (r == 0 && h->turns && (r = -pthread_create(&h->in_turn, NULL, run_in_turn, h)) != 0) {
        queue_free(h->turns);
        h->turns = NULL;
    }
    return r;
}

/* Who waits, and who would from now on, is answered at once; nobody is suspended when this returns. */
static void stop_turns(struct http *h)
{
    if (!h->turns)
        return;
    atomic_store(&h->stopping, true);
    queue_close(h->turns);
    pthread_join(h->in_turn, NULL);
}

int http_start(const struct http_options *o, struct http **ret_http)
{
    int fd = -1, r;
    struct http *h = calloc(1, sizeof *h);
    if (!h)
        return -ENOMEM;
    h->fn = o->fn;
    h->arg = o->arg;
    h->request_ms = o->request_ms;
    h->idle_ms = o->idle_ms;
    h->waiting_each = o->waiting_each;
    pthread_mutex_init(&h->lock, NULL);
    buf_init(&h->cert, 65536);
    buf_init(&h->key, 65536);
    if ((o->cert_file && ((r = file_read(o->cert_file, &h->cert)) < 0 || (r = file_read(o->key_file, &h->key)) < 0 ||
                          (r = buf_add(&h->cert, "", 1)) < 0 || (r = buf_add(&h->key, "", 1)) < 0)) ||
        (r = descriptors_for(o->connections)) < 0 || (r = patience_new(o->connections, &h->patience)) < 0 ||
        (r = start_turns(h, o->waiting)) < 0 || (r = open_listener(o->listen, &fd, &h->port)) < 0)
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

void http_stop(struct http *h)
{
    if (!h)
        return;
    stop_turns(h);
    if (h->daemon)
        MHD_stop_daemon(h->daemon); /* closes the listening socket and every connection */
    queue_free(h->turns);
    pthread_mutex_destroy(&h->lock);
    patience_free(h->patience);
    buf_done(&h->cert);
    buf_wipe(&h->key);
    free(h);
}

unsigned http_port(const struct http *h)
{
    return h->port;
}
