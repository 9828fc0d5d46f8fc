/* The HTTPS listener: TLS, a pool of threads, whole requests within bounds, whole replies. It knows nothing of routes,
 * tokens or JSON; every request reaches one handler, on a thread of the pool.
 *
 * A thread of the pool serves many connections, so a handler that waited there would keep all of them waiting. One that
 * has to wait says for what (enum http_line): its connection is laid aside, and it is called again on a thread of that
 * line. A reply without end that has nothing to say for now is laid aside, too (HTTP_LATER). */
#pragma once

#include "base/buf.h"
#include "cloud/address.h"

#define HTTP_BODY_MAX 65536u
#define HTTP_LARGE 2 /* bodies beyond it at once, since anybody may send one before he is asked who he is */
#define HTTP_REPLY_MAX (4u << 20)
#define HTTP_QUERY_MAX 16
#define HTTP_HEADERS_MAX 16
#define HTTP_CARRY 64

struct http;

struct http_pair {
    const char *name, *value;
};

/* What the listener noticed about a request; the handler answers it. */
enum http_fault {
    HTTP_SOUND = 0,
    HTTP_BODY_TOO_LARGE, /* body is empty */
    HTTP_QUERY_BAD,      /* more than HTTP_QUERY_MAX parameters, or one with a NUL inside */
    HTTP_FRAMING_BAD,    /* where the body ends is not said once and clearly; body is empty, the connection is closed */
    HTTP_CROWDED, /* too many of its address are under way (behind proxies, where those are no connections); or in the
                     line it asked for too many wait, of its address or of all, or the listener stops; it does not get
                     its turn */
    HTTP_HEADERS_BAD, /* a header's name or value is malformed, or one that counts once is there twice; as of a bad
                         framing, body is empty and the connection is closed */
};

/* Where a request waits, and on whose threads it is handled then. */
enum http_line {
    HTTP_LINE_NONE = 0, /* the pool's: it must not wait there */
    HTTP_LINE_WRITE,    /* one thread: the store has one writer at a time */
    HTTP_LINE_PASSWORD, /* few threads of low priority: a password's hash costs much memory and time */
    HTTP_LINES
};

/* Borrowed; lives for the call. Path and query are percent-decoded; %00 stays as it was written. */
struct http_request {
    const char *method, *path;
    const char *authorization, *content_type, *content_encoding; /* NULL when absent, as are all up to `tenant` */
    const char *if_match, *if_none_match, *idempotency_key;
    const char *cookie, *origin, *user_agent, *accept_language, *last_event_id;
    const char *csrf, *tenant; /* Punch-CSRF, Punch-Tenant */
    const char *address;       /* the client's, as text; behind proxies it is what they say */
    struct http_pair query[HTTP_QUERY_MAX];
    size_t n_query;
    struct bytes body;
    enum http_fault fault;
    enum http_line line; /* whose thread this is */
    bool between;        /* within another's http_others(): what would call that itself asks for its line once more */
    uint8_t *carry; /* HTTP_CARRY bytes from one call for this request to the next; zero at first, wiped at the end */
};

/* The next piece of a body that is too large to be held whole; into an empty buffer of HTTP_REPLY_MAX. 0: there is
 * more. HTTP_LAST: that was the end. HTTP_LATER, of a stream only: that is all for now; it is asked again after
 * http_wake(), or sooner. Negative: what follows cannot be had; the connection is cut, so that the client notices.
 */
enum { HTTP_LAST = 1, HTTP_LATER = 2 };
typedef int http_more_fn(void *arg, struct buf *ret_piece);

/* Filled by the handler. `body` is initialised by the listener with HTTP_REPLY_MAX and stays its. */
struct http_reply {
    unsigned status;
    const char *type;                           /* static; NULL: no body */
    struct http_pair headers[HTTP_HEADERS_MAX]; /* names static; values copied by http_header() */
    size_t n_headers;
    char header_text[2048];
    size_t header_used;
    struct buf body;
    http_more_fn *more; /* NULL: `body` is all; else its first piece, and more() follows when the client took that */
    void (*more_done)(void *more_arg); /* called once, whatever happens */
    void *more_arg;
    bool known;        /* set with a line: it may wait in one of the places that are kept there */
    struct http *http; /* the listener's own, as is the next */
    bool streams;
};
/* Adds a header, also one of a name that is there (Set-Cookie). One that does not fit is a bug of ours. Line breaks and
 * other control characters of a value become '?'. */
void http_header(struct http_reply *r, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Makes the reply a stream of events (text/event-stream): `more` may return HTTP_LATER. While it has nothing to say the
 * listener sends an empty comment now and then, so that both ends notice when the other is gone. False: there are as
 * many streams as may be, of this address, of `whose` (a name, at most HTTP_WHOSE_MAX characters count) or of all;
 * nothing was taken. */
#define HTTP_WHOSE_MAX 63
bool http_stream(struct http_reply *r, const char *whose, http_more_fn *more, void (*more_done)(void *more_arg),
                 void *more_arg);

/* HTTP_LINE_NONE: the reply is made. Another line: nothing is; the handler is called again for this request, with that
 * `line`, or with that line and HTTP_CROWDED, and answers then or, unless crowded, goes on to another line. The line
 * that it is in, only when it is `between`: it comes last there. */
typedef int http_fn(void *arg, const struct http_request *q, struct http_reply *ret);

/* For a request that takes long in its line, of one thread, between two steps of it: those that wait there are handled
 * now. False: the listener stops; it should come to an end. */
bool http_others(const struct http_request *q, const struct http_reply *r);

struct http_line_options {
    unsigned threads;      /* 0: fn does not ask for this line */
    unsigned waiting;      /* requests, at most */
    unsigned waiting_each; /* at most, of one address; 0: no limit */
    unsigned kept;         /* beside `waiting`, for whom fn calls known */
};

struct http_options {
    const char *listen;               /* "127.0.0.1:8443", "[::]:8443"; port 0: a free one */
    const char *cert_file, *key_file; /* NULL: no TLS, for a loopback address */
    const char *client_ca_file; /* TLS clients present a certificate of this CA, or are refused; NULL: they need none */
    const struct address_net *proxies; /* whose word about the client's address counts; borrowed */
    size_t n_proxies;
    uint64_t hsts_s;       /* for so long clients shall come by TLS only; 0: not said */
    unsigned threads;      /* 1 .. 64 */
    unsigned connections;  /* at most, all together */
    unsigned per_address;  /* at most, of one address; of a proxy's, those with a request of that client; 0: no limit */
    unsigned streams;      /* at most; 0: fn makes none */
    unsigned streams_each; /* at most, of one address, and of one `whose`; 0: no limit */
    uint64_t beat_ms;      /* a stream with nothing to say for so long says that; 0: 15 s */
    struct http_line_options lines[HTTP_LINES];
    uint64_t request_ms; /* for the TLS handshake and a request line; again for headers and body; for the reply */
    uint64_t idle_ms;    /* from a reply to the next request line */
    http_fn *fn;
    void *arg;
    size_t (*body_max)(const char *method, const char *path); /* of such a request; NULL: HTTP_BODY_MAX of all */
};
int http_start(const struct http_options *o, struct http **ret_http);
/* There may be something for streams that wait; cheap, from any thread. Takes NULL. */
void http_wake(struct http *h);
/* Waits for the handlers that run; who waits in a line is answered HTTP_CROWDED, streams end. Takes NULL. */
void http_stop(struct http *h);
unsigned http_port(const struct http *h);
