/* A client of the HTTPS API, which is curl, so that TLS, HTTP and names in the certificate are judged by somebody
 * else's code. */
#pragma once

#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "base/file.h"
#include "tests/unit/cloud_scratch.h"
#include "tests/unit/tmp.h"

extern char **environ;

struct reply {
    int status;
    char *head; /* status line and headers */
    char *body;
    size_t n;
    json_t *json; /* of the body, when it is some */
};

static inline void reply_done(struct reply *r)
{
    free(r->head);
    json_decref(r->json);
    *r = (struct reply){0};
}

/* The value of a header, "" for none; lives until the next call. */
static inline const char *reply_header(const struct reply *r, const char *name)
{
    static char value[512];
    size_t n = strlen(name);
    for (const char *p = strchr(r->head, '\n'); p; p = strchr(p, '\n')) {
        p++;
        if (strncasecmp(p, name, n) == 0 && p[n] == ':') {
            p += n + 1 + strspn(p + n + 1, " ");
            snprintf(value, sizeof value, "%.*s", (int)strcspn(p, "\r\n"), p);
            return value;
        }
    }
    return "";
}

/* "" for none. */
static inline const char *text_of(const json_t *o, const char *member)
{
    const char *s = json_string_value(json_object_get(o, member));
    return s ? s : "";
}

static inline const char *reply_text(const struct reply *r, const char *member)
{
    return text_of(r->json, member);
}

/* Runs argv, returns all it printed, NUL-terminated; *ret_exit its exit code. */
static inline char *run_program(const char *const *argv, int *ret_exit)
{
    int p[2], st = 0;
    pid_t pid = 0;
    size_t n = 0, cap = 1 << 20;
    char *out = malloc(cap + 1), *mutable[48];
    size_t argc = 0;
    posix_spawn_file_actions_t fa;
    assert_non_null(out);
    for (; argv[argc]; argc++)
        ;
    assert_true(argc < 48);
    memcpy(mutable, argv, (argc + 1) * sizeof mutable[0]);
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, p[1], 1);
    assert_int_equal(posix_spawnp(&pid, argv[0], &fa, NULL, mutable, environ), 0);
    posix_spawn_file_actions_destroy(&fa);
    close(p[1]);
    for (ssize_t k; (k = read(p[0], out + n, cap - n)) > 0;) {
        n += (size_t)k;
        if (n == cap) {
            cap *= 2;
            out = realloc(out, cap + 1);
            assert_non_null(out);
        }
    }
    close(p[0]);
    out[n] = '\0';
    assert_int_equal(waitpid(pid, &st, 0), pid);
    *ret_exit = WIFEXITED(st) ? WEXITSTATUS(st) : -1;
    return out;
}

static inline struct reply reply_parse(char *text)
{
    struct reply r = {.head = text};
    assert_true(strncmp(text, "HTTP/1.1 ", 9) == 0);
    char *end = strstr(text, "\r\n\r\n");
    assert_non_null(end);
    while (strncmp(text, "HTTP/1.1 100", 12) == 0) { /* an interim answer stands before the real one */
        text = end + 4;
        end = strstr(text, "\r\n\r\n");
        assert_non_null(end);
    }
    r.status = atoi(text + 9);
    *end = '\0';
    r.body = end + 4;
    r.n = strlen(r.body);
    r.json = r.n ? json_loadb(r.body, r.n, JSON_DECODE_ANY, NULL) : NULL;
    return r;
}

/* A line of JSON into $PUNCH_EXCHANGES/<program>.jsonl, for tests/contract/check.py. Replies that are no UTF-8 are ours
 * to find here. */
static inline void exchange_record(const char *method, const char *path, struct bytes body, const struct reply *r)
{
    static int fd = -1;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    const char *folder = getenv("PUNCH_EXCHANGES");
    if (!folder)
        return;
    json_t *request = body.p ? json_stringn_nocheck((const char *)body.p, body.n) : json_null();
    json_t *o = json_pack("{s:s, s:s, s:o, s:i, s:s, s:s}", "method", method, "path", path, "request", request,
                          "status", r->status, "head", r->head, "body", r->body);
    assert_non_null(o);
    char *line = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(o);
    if (!line) /* the request's body was hostile bytes */
        return;
    pthread_mutex_lock(&lock);
    if (fd < 0) {
        char name[512];
        mkdir(folder, 0700);
        snprintf(name, sizeof name, "%s/%s.jsonl", folder, program_invocation_short_name);
        fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    }
    assert_true(fd >= 0 && dprintf(fd, "%s\n", line) > 0);
    pthread_mutex_unlock(&lock);
    free(line);
}

/* `extra`: more arguments of curl, NULL-terminated, or NULL. Body NULL: none. */
static inline struct reply request(const struct scratch *s, const char *method, const char *path, const char *token,
                                   struct bytes body, const char *const *extra)
{
    char url[2048], auth[128], data[128];
    const char *argv[40] = {"curl", "-sS", "-i", "--max-time", "60", "--cacert", s->ca};
    size_t n = 7;
    snprintf(url, sizeof url, "https://localhost:%u%s", s->port, path);
    if (strcmp(method, "HEAD") == 0) {
        argv[n++] = "-I";
    } else {
        argv[n++] = "-X";
        argv[n++] = method;
    }
    if (token) {
        snprintf(auth, sizeof auth, "Authorization: Bearer %s", token);
        argv[n++] = "-H";
        argv[n++] = auth;
    }
    if (body.p) {
        snprintf(data, sizeof data, "@%s/body", s->dir);
        assert_int_equal(file_write_volatile(data + 1, body, 0600), 0);
        argv[n++] = "--data-binary";
        argv[n++] = data;
    }
    for (; extra && *extra; extra++)
        argv[n++] = *extra;
    argv[n++] = url;
    argv[n] = NULL;
    int code = -1;
    char *text = run_program(argv, &code);
    assert_int_equal(code, 0);
    struct reply r = reply_parse(text);
    if (s->is_api)
        exchange_record(method, path, body, &r);
    return r;
}

__attribute__((unused)) static const char *const as_json[] = {"-H", "Content-Type: application/json", NULL};

static inline struct reply get(const struct scratch *s, const char *path, const char *token)
{
    return request(s, "GET", path, token, BYTES_NONE, NULL);
}

static inline struct reply post(const struct scratch *s, const char *path, const char *token, const char *body)
{
    return request(s, "POST", path, token, BYTES_STR(body), as_json);
}

/* Every error of the API: its status, its type, and that it is a problem as RFC 9457 says. */
static inline void assert_problem(const struct reply *r, int status, const char *slug)
{
    char type[80];
    snprintf(type, sizeof type, "urn:punchline:problem:%s", slug);
    if (r->status != status || strcmp(reply_text(r, "type"), type) != 0)
        print_error("expected %d %s, got: %s\n", status, slug, r->body);
    assert_int_equal(r->status, status);
    assert_string_equal(reply_header(r, "Content-Type"), "application/problem+json");
    assert_string_equal(reply_text(r, "type"), type);
    assert_true(*reply_text(r, "title"));
    assert_true(*reply_text(r, "detail"));
    assert_int_equal(json_integer_value(json_object_get(r->json, "status")), status);
}

/* slug NULL: it is no problem. */
static inline void expect(struct reply r, int status, const char *slug)
{
    if (slug)
        assert_problem(&r, status, slug);
    else if (r.status != status)
        print_error("expected %d, got: %d %s\n", status, r.status, r.body);
    assert_int_equal(r.status, status);
    reply_done(&r);
}
