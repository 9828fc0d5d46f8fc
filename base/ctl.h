/* A daemon's control socket: a SOCK_SEQPACKET unix socket. A client sends one packet, its arguments separated by
 * NUL; the daemon answers packets that begin with 'o' (to standard output), 'e' (to standard error) or
 * 'x' (one byte of exit code, the end). At most 16 clients; one that does not read is dropped. */
#pragma once

#include "base/buf.h"
#include "base/loop.h"

struct ctl;
struct ctl_conn;
#define CTL_REQUEST_MAX 131072u
#define CTL_ARGS_MAX 32

/* `argv` lives for the call only. The handler answers with ctl_out/ctl_err and, now or later, ctl_exit. */
typedef void ctl_fn(void *arg, struct ctl_conn *c, int argc, char **argv);

int ctl_listen(struct loop *l, const char *path, unsigned mode, ctl_fn *fn, void *arg, struct ctl **ret_ctl);
/* Drops every connection without calling its on_close, unlinks the socket. Not from within a handler. */
void ctl_free(struct ctl *c);

/* Text of any length. -EPIPE when the peer is gone or too slow: the connection is then closed, but c stays valid until
 * ctl_exit() or until the on_close callback, which comes from the loop later. */
int ctl_out(struct ctl_conn *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
int ctl_err(struct ctl_conn *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
int ctl_out_bytes(struct ctl_conn *c, struct bytes text);
void ctl_exit(struct ctl_conn *c, int code); /* c is gone afterwards */
/* Called once, from the loop, when the peer closes (or was dropped from) a connection that was left open for streaming;
 * c is gone after fn. */
void ctl_on_close(struct ctl_conn *c, void (*fn)(void *arg, struct ctl_conn *c), void *arg);

/* Client: prints the answer, returns the daemon's exit code in ret_code. CTL_ABSENT: nobody listens there. */
enum { CTL_ABSENT = 1 };
int ctl_call(const char *path, int argc, char *const *argv, int *ret_code);
/* The same, but what is meant for standard output is appended to ret_out; -ENOBUFS past its max. */
int ctl_ask(const char *path, int argc, char *const *argv, struct buf *ret_out, int *ret_code);
