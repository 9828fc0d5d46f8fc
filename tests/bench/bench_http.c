/* libmicrohttpd alone: answers every request with the bytes of one file, over TLS, with the ciphers and the memory of
 * api/http.c. `bench_http CRT KEY BODY THREADS` prints `port N` and serves until its standard input ends. */
#include <microhttpd.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/bench/bench.h"

/* As in api/http.c. */
#define PRIORITY                                                                                                \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-DHE-RSA:-CIPHER-ALL:+AES-256-GCM:+AES-128-GCM:+CHACHA20-" \
    "POLY1305"
#define CONN_MEMORY 32768

static struct buf body;

static enum MHD_Result on_request(void *arg, struct MHD_Connection *conn, const char *path, const char *method,
                                  const char *version, const char *data, size_t *data_n, void **seen)
{
    (void)arg, (void)path, (void)method, (void)version, (void)data, (void)data_n;
    if (!*seen) { /* a response in the first call closes the connection */
        *seen = conn;
        return MHD_YES;
    }
    struct MHD_Response *r = MHD_create_response_from_buffer(body.len, body.p, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    enum MHD_Result ok = MHD_queue_response(conn, MHD_HTTP_OK, r);
    MHD_destroy_response(r);
    return ok;
}

static char *text(const char *path)
{
    struct buf b;
    buf_init(&b, 65536);
    MUST(file_read(path, &b));
    MUST(buf_add(&b, "", 1));
    return (char *)b.p;
}

int main(int argc, char **argv)
{
    char c;
    if (argc != 5)
        DIE("usage: bench_http CRT KEY BODY THREADS");
    buf_init(&body, 64u << 20);
    MUST(file_read(argv[3], &body));
    struct MHD_Daemon *d =
        MHD_start_daemon(MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_TLS, 0, NULL, NULL, on_request, NULL,
                         MHD_OPTION_HTTPS_MEM_CERT, text(argv[1]), MHD_OPTION_HTTPS_MEM_KEY, text(argv[2]),
                         MHD_OPTION_HTTPS_PRIORITIES, PRIORITY, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONN_MEMORY,
                         MHD_OPTION_THREAD_POOL_SIZE, (unsigned)number(argv[4]), MHD_OPTION_END);
    if (!d)
        DIE("libmicrohttpd does not start");
    printf("port %u\n", MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT)->port);
    fflush(stdout);
    while (read(0, &c, 1) > 0)
        ;
    MHD_stop_daemon(d);
    return 0;
}
