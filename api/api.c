/* The API's start and end, health, and the way of a request through it.
 *
 * A request is answered in this order: route (404, 405), token (401), right (403), query parameters and whether there
 * is a body (400), then its handler. So nobody without a token learns anything but which routes exist, and those are
 * public. One that writes gets so far twice: before it waits for its turn, so that nobody without a right keeps others
 * waiting, and in its turn, when its token may have been revoked. */
#include "api/api_impl.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "api/openapi.h"
#include "api/report.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "cloud/address.h"
#include "cloud/import.h"

/* Anybody may ask for readiness, and the store's check takes its one write lock: so at most once in so many ms. */
#define READY_MS 500

/* A password takes some 0.1 s of a core: who would wait longer than a few seconds is told so. */
#define PASSWORDS_WAITING 32
/* Beside these, for who has a session, a link, or a browser that got in before: a flood of strangers does not keep them
 * out. */
#define PASSWORDS_KEPT 16

/* Security reports an hour: of one address, and of all together, because anybody may send one. */
#define REPORTS_EACH 5
#define REPORTS_ALL 60

struct api {
    struct cloud *cloud;
    struct ingest *ingest;
    struct http *http;
    uint8_t cursor_key[CRYPTO_KEY];
    struct ratelimit *limits;
    struct address_net *proxies;
    size_t n_proxies;

    pthread_mutex_t ready_lock; /* of what follows */
    int64_t ready_at;           /* clock_ms() of the last check; 0: none yet */
    bool checking, store_ok, keys_ok;

    const struct api_route *routes;
    size_t n_routes;
    _Atomic uint64_t requests[][6]; /* by route, the last for none, and status / 100 */
};

void api_health(struct api_call *k)
{
    problem_json(k->r, 200, json_pack("{s:s}", "status", "ok"));
}

static bool store_writable(struct cloud *c)
{
    struct db *db = NULL;
    int r = cloud_db_take(c, &db);
    if (r == 0)
        r = db_probe(db);
    cloud_db_give(c, db);
    return r == 0;
}

/* A check may wait for another process that writes: one thread does, the others say what they know. */
static void check_ready(struct api *a, bool *ret_store, bool *ret_keys)
{
    pthread_mutex_lock(&a->ready_lock);
    if (!a->checking && (a->ready_at == 0 || clock_ms() - a->ready_at >= READY_MS)) {
        a->checking = true;
        pthread_mutex_unlock(&a->ready_lock);
        bool store = store_writable(a->cloud), keys = store && cloud_ready(a->cloud); /* which also reads the store */
        pthread_mutex_lock(&a->ready_lock);
        a->checking = false;
        a->store_ok = store;
        a->keys_ok = keys;
        a->ready_at = clock_ms();
    }
    *ret_store = a->store_ok;
    *ret_keys = a->keys_ok;
    pthread_mutex_unlock(&a->ready_lock);
}

void api_ready(struct api_call *k)
{
    bool store, keys, broker = k->api->ingest && ingest_connected(k->api->ingest);
    check_ready(k->api, &store, &keys);
    bool ready = store && keys && broker;
    problem_json(k->r, ready ? 200 : 503,
                 json_pack("{s:s, s:{s:s, s:s, s:s}}", "status", ready ? "ready" : "not ready", "checks", "store",
                           store ? "ok" : "not writable", "keys", keys ? "ok" : "not in escrow", "broker",
                           broker ? "ok" : "not connected"));
}

void api_status(struct api_call *k)
{
    json_t *o = NULL;
    int r = report_status(k->cloud, k->db, k->api->ingest, &o);
    if (r != 0)
        call_outcome(k, r, "status");
    else
        problem_json(k->r, 200, o);
}

void api_openapi(struct api_call *k)
{
    k->r->status = 200;
    k->r->type = "application/json";
    buf_add(&k->r->body, openapi_json, openapi_json_n);
}

static void count_request(struct api *a, const struct api_route *route, unsigned status)
{
    size_t i = route ? (size_t)(route - a->routes) : a->n_routes;
    atomic_fetch_add(&a->requests[i][status / 100 < 6 ? status / 100 : 0], 1);
}

uint64_t api_requests(const struct api *a, size_t route, unsigned status_class, const char **ret_method,
                      const char **ret_pattern)
{
    bool none = route == a->n_routes, beyond = route > a->n_routes;
    *ret_method = none ? "-" : beyond ? NULL : a->routes[route].method;
    *ret_pattern = none ? "-" : beyond ? NULL : a->routes[route].pattern;
    return beyond || status_class > 5 ? 0 : atomic_load(&a->requests[route][status_class]);
}

/* Segment by segment; an empty segment fits nothing. */
static bool fits(const char *pattern, const char *path, char ret_param[80], char ret_param2[80])
{
    char params[2][80] = {"", ""};
    size_t used = 0;
    while (*pattern == '/' && *path == '/') {
        size_t pn = strcspn(++pattern, "/"), n = strcspn(++path, "/");
        if (n == 0)
            return false;
        if (pattern[0] == '{') {
            ASSERT(used < ARRAY_LEN(params));
            if (n >= sizeof params[0])
                return false;
            memcpy(params[used], path, n);
            params[used++][n] = '\0';
        } else if (pn != n || memcmp(pattern, path, n) != 0) {
            return false;
        }
        pattern += pn;
        path += n;
    }
    if (*pattern || *path)
        return false;
    memcpy(ret_param, params[0], sizeof params[0]);
    memcpy(ret_param2, params[1], sizeof params[1]);
    return true;
}

static bool method_fits(const struct api_route *t, const char *method)
{
    return strcmp(t->method, method) == 0 || (strcmp(t->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* NULL: the reply is made. The first pattern that fits decides which resource it is, and so which methods it has. */
const struct api_route *api_find_route(struct api_call *k)
{
    const char *pattern = NULL;
    char allow[64] = "";
    for (size_t i = 0; i < k->api->n_routes; i++) {
        const struct api_route *t = &k->api->routes[i];
        if (pattern ? strcmp(pattern, t->pattern) != 0 : !fits(t->pattern, k->q->path, k->param, k->param2))
            continue;
        pattern = t->pattern;
        if (method_fits(t, k->q->method))
            return t;
        size_t n = strlen(allow);
        snprintf(allow + n, sizeof allow - n, "%s%s", n ? ", " : "",
                 strcmp(t->method, "GET") ? t->method : "GET, HEAD");
    }
    if (!pattern) {
        problem_reply(k->r, PROBLEM_NOT_FOUND, "there is nothing at this path");
    } else {
        http_header(k->r, "Allow", "%s", allow);
        problem_reply(k->r, PROBLEM_METHOD, "this resource knows %s", allow);
    }
    return NULL;
}

static void no_such_parameter(struct api_call *k, const char *given)
{
    const char *const *name = k->route->query;
    struct buf CLEANUP(buf_done) all;
    buf_init(&all, 256);
    for (size_t i = 0; name && name[i]; i++)
        buf_addf(&all, "%s%s", i ? ", " : "; possible are ", name[i]);
    problem_reply(k->r, PROBLEM_BAD_PARAMETER, "there is no parameter \"%.60s\" here%s", given, buf_str(&all));
}

static bool query_known(struct api_call *k)
{
    const struct http_request *q = k->q;
    for (size_t i = 0; i < q->n_query; i++) {
        const char *const *name = k->route->query;
        while (name && *name && strcmp(*name, q->query[i].name) != 0)
            name++;
        if (!name || !*name) {
            no_such_parameter(k, q->query[i].name);
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(q->query[j].name, *name) == 0) {
                problem_reply(k->r, PROBLEM_BAD_PARAMETER, "\"%s\" is given twice", *name);
                return false;
            }
        }
    }
    return true;
}

static bool body_expected(struct api_call *k)
{
    if (k->q->body.n == 0 || (k->route->flags & BODY) != 0)
        return true;
    problem_reply(k->r, PROBLEM_BAD_REQUEST, "there is no body here; send the request without one");
    return false;
}

static int dispatch(struct api_call *k)
{
    if (!api_limit_source(k))
        return 0;
    if (k->q->fault == HTTP_BODY_TOO_LARGE) {
        problem_reply(k->r, PROBLEM_TOO_LARGE, "the body is larger than it may be here");
        return 0;
    }
    if (k->q->fault == HTTP_QUERY_BAD) {
        problem_reply(k->r, PROBLEM_BAD_PARAMETER, "there are more than %d query parameters, or a NUL in one",
                      HTTP_QUERY_MAX);
        return 0;
    }
    if (k->q->fault == HTTP_FRAMING_BAD) {
        problem_reply(k->r, PROBLEM_BAD_REQUEST, "send one Content-Length, or Transfer-Encoding: chunked, not both");
        return 0;
    }
    if (k->q->fault == HTTP_HEADERS_BAD) {
        problem_reply(k->r, PROBLEM_BAD_REQUEST,
                      "a header is malformed (a blank before the colon, a control character), or one that counts once, "
                      "such as Authorization, is there twice");
        return 0;
    }
    if (k->q->content_encoding && strcasecmp(k->q->content_encoding, "identity") != 0) {
        problem_reply(k->r, PROBLEM_MEDIA_TYPE, "send the body as it is, without Content-Encoding");
        return 0;
    }
    if (!(k->route = api_find_route(k)))
        return 0;
    if (k->q->fault == HTTP_CROWDED) {
        http_header(k->r, "Retry-After", "1");
        problem_reply(k->r, PROBLEM_UNAVAILABLE, "too many requests wait before this one; nothing was done, try again");
        return 0;
    }
    if (k->route->flags & LONG && k->q->between)
        return HTTP_LINE_WRITE;
    if (k->route->scope != SCOPE_OPEN) {
        int r = cloud_db_take(k->cloud, &k->db);
        if (r != 0) {
            call_outcome(k, r, "store");
            return 0;
        }
        if (!api_authorised(k) || !api_limit_who(k))
            return 0;
    }
    if (!query_known(k) || !body_expected(k))
        return 0;
    if (k->route->flags & PASSWORD && k->q->line == HTTP_LINE_NONE) {
        k->r->known = k->route->scope != SCOPE_OPEN || api_login_known(k);
        return HTTP_LINE_PASSWORD;
    }
    if (k->q->line == HTTP_LINE_PASSWORD) {
        k->route->fn(k);
        if (!k->go_on)
            return 0;
    }
    if (k->route->effect != READS && k->q->line != HTTP_LINE_WRITE)
        return HTTP_LINE_WRITE;
    if (k->route->effect == WRITES)
        api_write(k);
    else if (k->route->effect == READS || !api_asked_alone(k))
        k->route->fn(k);
    return 0;
}

bool api_get(struct api_call *k, const char *path)
{
    const struct http_request q = {.method = "GET", .path = path};
    struct api_call sub = *k;
    sub.q = &q;
    if (!(sub.route = api_find_route(&sub)))
        return true;
    if (!api_permits(&sub))
        return false;
    if (api_factor_given(&sub))
        sub.route->fn(&sub);
    return true;
}

bool api_readable(struct api_call *k, const char *path)
{
    const struct http_request q = {.method = "GET", .path = path};
    struct http_reply reply = {0};
    struct api_call sub = *k;
    sub.q = &q;
    sub.r = &reply;
    sub.probing = true;
    buf_init(&reply.body, HTTP_REPLY_MAX);
    bool may = !(sub.route = api_find_route(&sub)) || sub.route->perm == k->route->perm;
    if (!may && api_permits(&sub) && api_factor_given(&sub)) {
        if (!(may = call_everywhere(&sub, sub.route->perm)))
            sub.route->fn(&sub); /* which knows what it reaches */
        may = may || reply.status == 200;
    }
    buf_wipe(&reply.body);
    return may;
}

static const char *known_method(const char *m)
{
    static const char *const known[] = {"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(known[i], m) == 0)
            return known[i];
    return "other";
}

/* What the handler made is not what is answered. */
static void take_back(struct api_call *k, int r, const char *what)
{
    if (k->r->more_done)
        k->r->more_done(k->r->more_arg);
    k->r->more = NULL;
    k->r->more_done = NULL;
    k->r->n_headers = k->r->header_used = 0;
    call_outcome(k, r, what);
}

static int on_request(void *arg, const struct http_request *q, struct http_reply *ret)
{
    struct api *a = arg;
    int64_t began = clock_ms();
    int unsure = 0;
    struct api_call k = {.api = a, .cloud = a->cloud, .q = q, .r = ret, .unsure = &unsure};
    int r = dispatch(&k);
    if (r == 0 && unsure != 0)
        take_back(&k, unsure, "rights");
    else if (r == 0 && k.route && k.db && !k.failed && (k.refusal || ret->status == 401 || ret->status == 403))
        api_refused(&k);
    bool shown = ret->status / 100 == 2 || ret->status == 304; /* that one says that it is what the asker has */
    if (r == 0 && k.route && (k.route->flags & PERSONAL) && shown && !k.saw)
        take_back(&k, -EPROTO, "audit trail"); /* a mistake of ours: what is not on record does not leave */
    cloud_db_give(a->cloud, k.db);
    api_limit_tell(&k);
    if (r != 0)
        return r;
    count_request(a, k.route, ret->status);
    /* The pattern, never the path or the query: ids and names of people stand there. */
    log_debug("api.request", "method=%s route=%s status=%u ms=%lld", known_method(q->method),
              k.route ? k.route->pattern : "-", ret->status, (long long)(clock_ms() - began));
    return 0;
}

struct ratelimit *api_limits(const struct api *a)
{
    return a->limits;
}

const uint8_t *api_cursor_key(const struct api *a)
{
    return a->cursor_key;
}

/* From the private key of the API's certificate: kept over restarts, so that a page can follow after one. */
static int make_cursor_key(const char *key_file, uint8_t ret[CRYPTO_KEY])
{
    uint8_t prk[CRYPTO_HASH];
    struct buf CLEANUP(buf_wipe) pem;
    buf_init(&pem, 65536);
    int r = file_read(key_file, &pem);
    if (r == 0)
        r = crypto_hkdf_extract(BYTES_NONE, buf_bytes(&pem), prk);
    if (r == 0)
        r = crypto_hkdf_expand(BYTES(prk, sizeof prk), BYTES_STR("punchcloud cursor"), ret, CRYPTO_KEY);
    crypto_wipe(prk, sizeof prk);
    return r;
}

/* A table of people is larger than any other body. */
static size_t body_max(const char *method, const char *path)
{
    return strcmp(method, "POST") == 0 && strcmp(path, "/v1/imports") == 0 ? IMPORT_BODY_MAX : HTTP_BODY_MAX;
}

static unsigned password_threads(const struct settings *set)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return set->api.password_threads > 0 ? (unsigned)set->api.password_threads
           : cores >= 4                  ? (unsigned)(cores > 16 ? 16 : cores) / 2
                                         : 1;
}

static int make_limits(const struct settings *set, struct ratelimit **ret)
{
    const struct ratelimit_policy policies[RATELIMIT_KINDS] = {
        [RATELIMIT_SOURCE] = {"source", set->limits.source, 60},
        [RATELIMIT_TOKEN] = {"token", set->limits.token, 60},
        [RATELIMIT_TENANT] = {"tenant", set->limits.tenant, 60},
        [RATELIMIT_REPORT] = {"source of reports", REPORTS_EACH, 3600},
        [RATELIMIT_REPORTS] = {"installation", REPORTS_ALL, 3600},
    };
    return ratelimit_new(policies, ret);
}

static int make_proxies(const struct settings *set, struct api *a)
{
    char *const *texts = set->api.proxies.items;
    a->proxies = calloc(set->api.proxies.n + 1, sizeof *a->proxies);
    if (!a->proxies)
        return -ENOMEM;
    for (; a->n_proxies < set->api.proxies.n; a->n_proxies++)
        if (address_net(texts[a->n_proxies], &a->proxies[a->n_proxies]) != 0)
            return -EINVAL;
    return 0;
}

static void wake_streams(void *arg)
{
    http_wake(arg);
}

int api_start(struct cloud *c, struct ingest *in, struct api **ret_api)
{
    const struct settings *set = cloud_settings(c);
    const uint64_t all = set->api.connections, each = set->api.per_address;
    char crt[512], key[512];
    size_t n_routes;
    const struct api_route *routes = api_routes(&n_routes);
    int r;
    if ((r = cloud_path(c, "pki/api.crt", crt, sizeof crt)) < 0 ||
        (r = cloud_path(c, "pki/api.key", key, sizeof key)) < 0)
        return r;
    struct api *a = calloc(1, sizeof *a + (n_routes + 1) * sizeof a->requests[0]);
    if (!a)
        return -ENOMEM;
    a->routes = routes;
    a->n_routes = n_routes;
    a->cloud = c;
    a->ingest = in;
    pthread_mutex_init(&a->ready_lock, NULL);
    if ((r = make_cursor_key(key, a->cursor_key)) < 0 || (r = make_limits(set, &a->limits)) < 0 ||
        (r = make_proxies(set, a)) < 0) {
        api_stop(a);
        return r;
    }
    const struct http_options o = {
        .listen = set->api.listen,
        .cert_file = crt,
        .key_file = key,
        .client_ca_file = set->api.proxy_ca,
        .proxies = a->proxies,
        .n_proxies = a->n_proxies,
        .hsts_s = set->api.hsts / 1000,
        .threads = (unsigned)set->api.threads,
        .connections = (unsigned)all,
        .per_address = (unsigned)each,
        .streams = (unsigned)set->api.streams,
        .streams_each = (unsigned)(set->api.streams + 1) / 2, /* nobody takes all places, and no customer */
        .lines =
            {
                /* the other half of the connections is for who reads */
                [HTTP_LINE_WRITE] = {1, (unsigned)(all + 1) / 2, (unsigned)(each + 1) / 2, 0},
                [HTTP_LINE_PASSWORD] = {password_threads(set), PASSWORDS_WAITING, PASSWORDS_WAITING / 4,
                                        PASSWORDS_KEPT},
            },
        .request_ms = set->api.request_timeout,
        .idle_ms = set->api.idle,
        .fn = on_request,
        .arg = a,
        .body_max = body_max,
    };
    if ((r = http_start(&o, &a->http)) < 0) {
        api_stop(a);
        return r;
    }
    cloud_listen(c, wake_streams, a->http);
    *ret_api = a;
    return 0;
}

void api_stop(struct api *a)
{
    if (!a)
        return;
    cloud_listen(a->cloud, NULL, NULL);
    http_stop(a->http);
    pthread_mutex_destroy(&a->ready_lock);
    ratelimit_free(a->limits);
    free(a->proxies);
    crypto_wipe(a->cursor_key, sizeof a->cursor_key);
    free(a);
}

void api_wake(struct api *a)
{
    if (a)
        http_wake(a->http);
}

unsigned api_port(const struct api *a)
{
    return http_port(a->http);
}
