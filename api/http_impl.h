/* What http.c and http_reply.c share; nobody else includes it. */
#pragma once

#include <microhttpd.h>
#include <pthread.h>
#include <stddef.h>

#include "api/http.h"
#include "api/http_line.h"
#include "api/http_sleep.h"
#include "api/patience.h"

/* Request line and headers of one connection, together with its send buffer. */
#define HTTP_CONN_MEMORY 32768
/* Who takes a reply slower than that is not waited for; a page of 1,000 punches is some 600 kB. */
#define HTTP_REPLY_BYTES_PER_MS 16

struct http {
    struct MHD_Daemon *daemon;
    struct patience *patience;
    struct http_options o; /* its texts are not kept */
    struct buf cert, key, client_ca;
    char hsts[48];
    unsigned port;
    struct line *lines[HTTP_LINES]; /* struct http_call's item, each of a suspended connection; NULL: not asked for */
    struct sleepers *sleepers;      /* struct stream's; NULL: no streams */
    pthread_mutex_t lock;           /* of what follows */
    struct http_call *streaming;
    unsigned n_streaming;
    bool between[HTTP_LINES]; /* of each line's one thread alone: it is in http_others() */
    unsigned n_large;         /* bodies of more than HTTP_BODY_MAX that are on their way */
};

struct http_call {
    struct MHD_Connection *conn;
    struct line_item item;
    struct address share;   /* the client's, to count by */
    struct http_call *next; /* of `streaming` */
    char whose[HTTP_WHOSE_MAX + 1];
    struct buf body;
    size_t seen; /* bytes of the body that arrived, kept or not */
    bool answered;
    bool large; /* it may have a body of more than HTTP_BODY_MAX */
    char address[ADDRESS_TEXT];
    _Alignas(max_align_t) uint8_t carry[HTTP_CARRY];
    struct http_request q;
    struct http_reply r;
};

/* NULL when there are too many; patience.h takes that. */
struct patience_peer *http_peer(struct MHD_Connection *conn);
/* Takes the body, and what makes the rest of it. */
enum MHD_Result http_reply_queue(struct http *h, struct MHD_Connection *conn, struct http_reply *r);
/* For sleepers_new(). */
void http_stream_wake(struct sleeper *s);
/* The call of a reply that streams has ended. */
void http_stream_leave(struct http *h, const struct http_call *call);
