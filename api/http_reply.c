/* Replies: headers, whole bodies, bodies in pieces, streams of events. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http_impl.h"
#include "base/clock.h"

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
    for (char *c = at; *c; c++) /* what a client sent and stands here begins no header of its own */
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    r->header_used += (size_t)n + 1;
    r->headers[r->n_headers++] = (struct http_pair){.name = name, .value = at};
}

/* Every reply gets these. */
static const struct http_pair common_headers[] = {
    {"Cache-Control", "no-store"},
    {"X-Content-Type-Options", "nosniff"},
    {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
    {"Referrer-Policy", "no-referrer"},
};

/* ---- bodies in pieces ---- */

struct patience_peer *http_peer(struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return i ? i->socket_context : NULL;
}

struct stream {
    struct http *h;
    struct MHD_Connection *conn;
    struct sleeper sleeper;
    struct buf piece;
    size_t at; /* of the piece: what libmicrohttpd has taken */
    bool last;
    bool events;      /* may sleep */
    int64_t spoke_at; /* clock_ms() */
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

void http_stream_wake(struct sleeper *sleeper)
{
    struct stream *s = (struct stream *)((char *)sleeper - offsetof(struct stream, sleeper));
    MHD_resume_connection(s->conn);
}

/* False: the listener stops. */
static bool stream_sleep(struct stream *s, uint64_t seen)
{
    MHD_suspend_connection(s->conn);
    if (sleepers_add(s->h->sleepers, &s->sleeper, seen, s->h->o.beat_ms)) /* else it is the waker's */
        return true;
    MHD_resume_connection(s->conn);
    return false;
}

/* What is said is to be taken within a time; what is not said yet, the peer cannot be late with. */
static int stream_next(struct stream *s)
{
    struct patience_peer *peer = http_peer(s->conn);
    int64_t began = clock_ms();
    buf_reset(&s->piece);
    s->at = 0;
    if (s->events)
        patience_set(s->h->patience, peer, PATIENCE_ENDLESS, false);
    int r = s->more(s->arg, &s->piece);
    ASSERT(r <= HTTP_LAST || s->events);
    if (r == HTTP_LATER && s->piece.len == 0 && (uint64_t)(clock_ms() - s->spoke_at) >= s->h->o.beat_ms)
        buf_addf(&s->piece, ":\n\n");
    if (r < 0 || s->piece.failed)
        return -EIO;
    const uint64_t takes = s->piece.len / HTTP_REPLY_BYTES_PER_MS;
    if (!s->events)
        patience_add(s->h->patience, peer, (uint64_t)(clock_ms() - began) + takes);
    else if (s->piece.len > 0)
        patience_set(s->h->patience, peer, s->h->o.request_ms + takes, false);
    s->spoke_at = s->piece.len > 0 ? clock_ms() : s->spoke_at;
    s->last = r == HTTP_LAST;
    return r;
}

/* A piece is made when the one before is with the client. What that takes us is not the client's time. */
static ssize_t stream_read(void *arg, uint64_t pos, char *p, size_t max)
{
    struct stream *s = arg;
    while (s->at == s->piece.len) {
        if (s->last)
            return MHD_CONTENT_READER_END_OF_STREAM;
        uint64_t seen = s->events ? sleepers_seen(s->h->sleepers) : 0;
        int r = stream_next(s);
        if (r < 0)
            return MHD_CONTENT_READER_END_WITH_ERROR;
        if (r == HTTP_LATER && s->piece.len == 0)
            return stream_sleep(s, seen) ? 0 : MHD_CONTENT_READER_END_OF_STREAM;
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
    *s = (struct stream){.h = h,
                         .conn = conn,
                         .piece = r->body,
                         .events = r->streams,
                         .spoke_at = clock_ms(),
                         .more = r->more,
                         .done = r->more_done,
                         .arg = r->more_arg};
    r->body = (struct buf){0};
    r->more_done = NULL;
    struct MHD_Response *m =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, HTTP_CONN_MEMORY / 2, stream_read, s, stream_free);
    if (!m)
        stream_free(s);
    return m;
}

static struct http_call *call_of(struct http_reply *r)
{
    return (struct http_call *)((char *)r - offsetof(struct http_call, r));
}

bool http_stream(struct http_reply *r, const char *whose, http_more_fn *more, void (*more_done)(void *more_arg),
                 void *more_arg)
{
    struct http *h = r->http;
    struct http_call *call = call_of(r);
    unsigned near = 0, kin = 0;
    ASSERT(!r->streams && !r->more);
    snprintf(call->whose, sizeof call->whose, "%s", whose);
    pthread_mutex_lock(&h->lock);
    for (const struct http_call *c = h->streaming; c; c = c->next) {
        near += address_equal(&c->share, &call->share);
        kin += strcmp(c->whose, call->whose) == 0;
    }
    r->streams = h->n_streaming < h->o.streams &&
                 (h->o.streams_each == 0 || (near < h->o.streams_each && kin < h->o.streams_each));
    if (r->streams) {
        h->n_streaming++;
        call->next = h->streaming;
        h->streaming = call;
    }
    pthread_mutex_unlock(&h->lock);
    if (!r->streams)
        return false;
    r->type = "text/event-stream";
    http_header(r, "X-Accel-Buffering", "no"); /* nginx would keep events until it has 4 KiB of them */
    r->more = more;
    r->more_done = more_done;
    r->more_arg = more_arg;
    return true;
}

void http_stream_leave(struct http *h, const struct http_call *call)
{
    pthread_mutex_lock(&h->lock);
    struct http_call **at = &h->streaming;
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    h->n_streaming--;
    pthread_mutex_unlock(&h->lock);
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

enum MHD_Result http_reply_queue(struct http *h, struct MHD_Connection *conn, struct http_reply *r)
{
    struct MHD_Response *m = r->more ? stream_response(h, conn, r) : whole_response(r);
    if (!m)
        return MHD_NO;
    enum MHD_Result ok = MHD_YES;
    for (size_t i = 0; ok == MHD_YES && i < ARRAY_LEN(common_headers); i++)
        ok = MHD_add_response_header(m, common_headers[i].name, common_headers[i].value);
    if (ok == MHD_YES && h->hsts[0])
        ok = MHD_add_response_header(m, MHD_HTTP_HEADER_STRICT_TRANSPORT_SECURITY, h->hsts);
    if (ok == MHD_YES && r->type)
        ok = MHD_add_response_header(m, MHD_HTTP_HEADER_CONTENT_TYPE, r->type);
    for (size_t i = 0; ok == MHD_YES && i < r->n_headers; i++)
        ok = MHD_add_response_header(m, r->headers[i].name, r->headers[i].value);
    if (ok == MHD_YES)
        ok = MHD_queue_response(conn, r->status, m);
    MHD_destroy_response(m);
    return ok;
}
