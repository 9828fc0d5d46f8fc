/* The HTTPS listener: TLS, a pool of threads, whole requests within bounds, whole replies. It knows nothing of routes,
 * tokens or JSON; every request reaches one handler, on a thread of the pool.
 *
 * A thread of the pool serves many connections, so a handler that waited there would keep all of them waiting. One that
 * has to wait for its turn says so (HTTP_IN_TURN): its connection is laid aside, and it is called again on a thread of
 * its own, which does one such request after the other. */
#pragma once

#include "base/buf.h"

#define HTTP_BODY_MAX 65536u
#define HTTP_REPLY_MAX (4u << 20)
#define HTTP_QUERY_MAX 16
#define HTTP_HEADERS_MAX 4

struct http_pair {
    const char *name, *value;
};

/* What the listener noticed about a request; the handler answers it. */
enum http_fault {
    HTTP_SOUND = 0,
    HTTP_BODY_TOO_LARGE, /* body is empty */
    HTTP_QUERY_BAD,      /* more than HTTP_QUERY_MAX parameters, or one with a NUL inside */
    HTTP_FRAMING_BAD,    /* where the body ends is not said once and clearly; body is empty, the connection is closed */
    HTTP_CROWDED, /* after HTTP_IN_TURN: too many wait, of its address or of all, or the listener stops; it does not get
                     its turn */
};

/* Borrowed; lives for the call. Path and query are percent-decoded; %00 stays as it was written. */
struct http_request {
    const char *method, *path;
    const char *authorization, *content_type, *content_encoding; /* NULL when absent */
    const char *if_match, *if_none_match, *idempotency_key;
    struct http_pair query[HTTP_QUERY_MAX];
    size_t n_query;
    struct bytes body;
    enum http_fault fault;
    bool in_turn; /* on the thread of those in turn: it may wait */
};

/* The next piece of a body that is too large to be held whole; into an empty buffer of HTTP_REPLY_MAX. 0: there is
 * more. HTTP_LAST: that was the end. Negative: what follows cannot be had; the connection is cut, so that the client
 * notices.
 */
enum { HTTP_LAST = 1 };
typedef int http_more_fn(void *arg, struct buf *ret_piece);

/* Filled by the handler. `body` is initialised by the listener with HTTP_REPLY_MAX and stays its. */
struct http_reply {
    unsigned status;
    const char *type;                           /* static; NULL: no body */
    struct http_pair headers[HTTP_HEADERS_MAX]; /* names static; values copied by http_header() */
    size_t n_headers;
    char header_text[512];
    size_t header_used;
    struct buf body;
    http_more_fn *more; /* NULL: `body` is all; else its first piece, and more() follows when the client took that */
    void (*more_done)(void *more_arg); /* called once, whatever happens */
    void *more_arg;
};
/* Adds a header; one that does not fit is a bug of ours. */
void http_header(struct http_reply *r, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* 0: the reply is made. HTTP_IN_TURN: nothing is; the handler is called again for this request, with `in_turn` or with
 * HTTP_CROWDED, and answers then. */
enum { HTTP_IN_TURN = 1 };
typedef int http_fn(void *arg, const struct http_request *q, struct http_reply *ret);

struct http_options {
    const char *listen;               /* "127.0.0.1:8443", "[::]:8443"; port 0: a free one */
    const char *cert_file, *key_file; /* NULL: no TLS, for a loopback address */
    unsigned threads;                 /* 1 .. 64 */
    unsigned connections;             /* at most, all together */
    unsigned per_address;             /* at most, of one address; 0: no limit, for behind a proxy */
    unsigned waiting;                 /* requests that wait for their turn; 0: fn asks for none */
    unsigned waiting_each;            /* at most, of one address; 0: no limit */
    uint64_t request_ms; /* for the TLS handshake and a request line; again for headers and body; for the reply */
    uint64_t idle_ms;    /* from a reply to the next request line */
    http_fn *fn;
    void *arg;
};
struct http;
int http_start(const struct http_options *o, struct http **ret_http);
/* Waits for the handlers that run; who waits for his turn is answered HTTP_CROWDED. Takes NULL. */
void http_stop(struct http *h);
unsigned http_port(const struct http *h);
