/* The live stream, read by curl: what is there, what comes, coming back, and its end when the right is gone. */
#include <poll.h>
#include <signal.h>

#include "cloud/credential.h"
#include "cloud/people.h"
#include "cloud/site.h"
#include "cloud/unit.h"
#include "tests/unit/api_human.h"

#define WAIT_MS 20000

/* curl at the stream; its output comes through fd. */
struct listener {
    pid_t pid;
    int fd;
    size_t n;
    char text[1 << 20];
};

static struct listener *listen_with(const char *path, const char *auth, const char *last)
{
    char url[256];
    int p[2];
    struct listener *l = calloc(1, sizeof *l);
    posix_spawn_file_actions_t fa;
    assert_non_null(l);
    snprintf(url, sizeof url, "https://localhost:%u%s", f.s.port, path);
    const char *const argv[] = {"curl", "-sSN", "-i",       "--max-time", "60", "-H", auth,
                                "-H",   last,   "--cacert", f.s.ca,       url,  NULL};
    char *mutable[ARRAY_LEN(argv)];
    memcpy(mutable, argv, sizeof argv);
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, p[1], 1);
    assert_int_equal(posix_spawnp(&l->pid, "curl", &fa, NULL, mutable, environ), 0);
    posix_spawn_file_actions_destroy(&fa);
    close(p[1]);
    l->fd = p[0];
    return l;
}

static struct listener *listen_at(const char *path, const char *token, const char *last_id)
{
    char auth[128], last[160];
    snprintf(auth, sizeof auth, "Authorization: Bearer %s", token);
    snprintf(last, sizeof last, "Last-Event-ID: %s", last_id ? last_id : "");
    return listen_with(path, auth, last);
}

static struct listener *listen_as(const char *path, const struct human *h)
{
    char cookie[128];
    snprintf(cookie, sizeof cookie, "Cookie: " SESSION_COOKIE "=%s", h->cookie);
    return listen_with(path, cookie, "Accept: text/event-stream");
}

/* Reads on until `what` has come; false: the end, or nothing for a long time. */
static bool hears(struct listener *l, const char *what)
{
    while (!strstr(l->text, what)) {
        struct pollfd p = {.fd = l->fd, .events = POLLIN};
        assert_true(l->n < sizeof l->text - 1);
        if (poll(&p, 1, WAIT_MS) <= 0)
            return false;
        ssize_t k = read(l->fd, l->text + l->n, sizeof l->text - 1 - l->n);
        if (k <= 0)
            return false;
        l->n += (size_t)k;
        l->text[l->n] = '\0';
    }
    return true;
}

static bool ends(struct listener *l)
{
    return !hears(l, "\1never") && waitpid(l->pid, NULL, 0) == l->pid;
}

static void leave(struct listener *l)
{
    if (l->pid > 0 && waitpid(l->pid, NULL, WNOHANG) == 0) {
        kill(l->pid, SIGTERM);
        waitpid(l->pid, NULL, 0);
    }
    close(l->fd);
    free(l);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

/* The id that a client would come back with: of the last event that is whole. */
static void last_id(const struct listener *l, char ret[80])
{
    const char *at = NULL;
    for (const char *p = l->text; (p = strstr(p, "id: ")); p++)
        if (strstr(p, "\n\n") && (p == l->text || p[-1] == '\n'))
            at = p + 4;
    assert_non_null(at);
    snprintf(ret, 80, "%.*s", (int)strcspn(at, "\n"), at);
}

static void add_person(const char *token, const char *name)
{
    char body[64];
    snprintf(body, sizeof body, "{\"name\":\"%s\"}", name);
    expect(post(&f.s, "/v1/people", token, body), 201, NULL);
}

static void test_what_happens_is_told(void **state)
{
    char id[80];
    add_person(f.acme, "Before");
    struct listener *l = listen_at("/v1/stream", f.acme, NULL);
    assert_true(hears(l, "id: ")); /* where it begins: at now */
    assert_non_null(strstr(l->text, "HTTP/1.1 200"));
    assert_non_null(strstr(l->text, "text/event-stream"));
    add_person(f.globex, "Stranger");
    add_person(f.acme, "Ada");
    assert_true(hears(l, "\"Ada\""));
    assert_true(hears(l, "}\n\n"));
    fixture_file_one(
        &f,
        &(struct fixture_punch){
            .tenant = "acme", .reader = "door", .gw = f.gw, .cred = fixture_card(5), .gseq = 1, .time = clock_real()});
    assert_true(hears(l, "\"type\":\"punch\""));
    while (strcmp(l->text + l->n - 2, "\n\n") != 0)
        assert_true(hears(l, "\n\n") && hears(l, "}\n\n"));
    assert_null(strstr(l->text, "Before"));
    assert_null(strstr(l->text, "Stranger"));
    assert_int_equal(count(l->text, "event: change"), 2);
    last_id(l, id);
    leave(l);

    /* what came meanwhile comes then, once */
    add_person(f.acme, "Grace");
    l = listen_at("/v1/stream", f.acme, id);
    assert_true(hears(l, "\"Grace\""));
    add_person(f.acme, "Hedy");
    assert_true(hears(l, "\"Hedy\""));
    assert_null(strstr(l->text, "\"Ada\""));
    assert_int_equal(count(l->text, "\"Grace\""), 1);
    leave(l);

    l = listen_at("/v1/stream?after=0", f.acme, NULL); /* everything */
    assert_true(hears(l, "\"Hedy\""));
    assert_non_null(strstr(l->text, "Before"));
    assert_non_null(strstr(l->text, "\"Ada\""));
    leave(l);
}

static void test_where_to_begin(void **state)
{
    expect(get(&f.s, "/v1/stream?after=7", f.acme), 400, "bad-parameter");
    expect(get(&f.s, "/v1/stream?after=1.0.0", f.acme), 410, "feed-restarted");
    expect(get(&f.s, "/v1/stream", f.operator_token), 403, "forbidden");
    struct reply r = request(&f.s, "HEAD", "/v1/stream", f.acme, BYTES_NONE, NULL); /* comes to its end */
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_header(&r, "Content-Type"), "text/event-stream");
    reply_done(&r);
}

/* A token of its own, for its end. */
static void make_token(int64_t expires, char ret_text[TOKEN_TEXT_MAX], struct token *ret)
{
    assert_int_equal(token_add(f.c, f.db, "acme", "stream", expires, ret_text, ret), 0);
}

static void test_ends_with_the_right(void **state)
{
    char text[TOKEN_TEXT_MAX];
    struct token t;
    make_token(clock_real() + INT64_C(3600) * 1000000, text, &t);
    struct listener *l = listen_at("/v1/stream", text, NULL);
    assert_true(hears(l, "id: "));
    assert_int_equal(token_revoke(f.c, f.db, t.id), 0);
    add_person(f.acme, "Unseen");
    assert_true(hears(l, "event: end\ndata: {\"reason\":\"token-unknown\"}\n\n"));
    assert_true(ends(l));
    assert_null(strstr(l->text, "Unseen"));
    l->pid = 0;
    leave(l);
}

static void test_ends_with_the_time(void **state)
{
    char text[TOKEN_TEXT_MAX];
    struct token t;
    make_token(clock_real() + INT64_C(3600) * 1000000, text, &t);
    struct listener *l = listen_at("/v1/stream", text, NULL);
    assert_true(hears(l, "id: "));
    assert_int_equal(db_script(f.db, "UPDATE token SET expires = created + 1 WHERE label = 'stream' AND revoked = 0"),
                     0);
    add_person(f.acme, "Later");
    assert_true(hears(l, "{\"reason\":\"token-expired\"}\n\n"));
    assert_true(ends(l));
    assert_null(strstr(l->text, "Later"));
    l->pid = 0;
    leave(l);
}

/* ---- within a reach ---- */

static struct person somebody(struct db *db, const char *name, const uint8_t unit[ID_LEN], uint64_t card)
{
    const struct person_set set = {.name = name, .unit = unit};
    const struct cred c = fixture_card(card);
    struct credential got;
    struct person p;
    assert_int_equal(people_create(f.c, f.db, "acme", &set, &p), 0);
    assert_int_equal(credential_assign(f.c, f.db, "acme", p.id, &c, RENDER_HEX10, TIME_MIN, TIME_MAX, &got, NULL), 0);
    return p;
}

static void punch_at(const uint8_t gw[GW_LEN], uint64_t card, uint64_t gseq)
{
    fixture_file_one(&f, &(struct fixture_punch){.tenant = "acme",
                                                 .reader = "door",
                                                 .gw = gw,
                                                 .cred = fixture_card(card),
                                                 .gseq = gseq,
                                                 .time = clock_real()});
}

/* Everything since the beginning, as it reaches who is granted all of it within `reach`; the last is Ada's. */
static void hears_within(struct db *db, const char *login, enum reach_kind kind, const uint8_t id[ID_LEN],
                         const struct person *ada, const char *const *heard, const char *const *unheard)
{
    struct grant_reach reach = {.kind = kind};
    struct person p;
    char name[64];
    memcpy(reach.id, id, ID_LEN);
    struct human h = human_make("acme", login);
    (void)human_grant(&h, ROLE_OWNER, &reach, 0);
    struct listener *l = listen_as("/v1/stream?after=0", &h);
    assert_true(hears(l, "id: "));
    snprintf(name, sizeof name, "Ada, heard by %s", login);
    const struct person_set set = {.name = name};
    assert_int_equal(people_update(f.c, f.db, "acme", ada->id, &set, &p), 0);
    assert_true(hears(l, name));
    for (; *heard; heard++)
        if (!strstr(l->text, *heard))
            fail_msg("%s does not hear of %s", login, *heard);
    for (; *unheard; unheard++)
        if (strstr(l->text, *unheard))
            fail_msg("%s hears of %s", login, *unheard);
    leave(l);
}

/* Ada and her unit are at the gate. Eva is from the yard, and came to the gate once; Bob never did. */
static void test_what_is_out_of_reach_is_left_out(void **state)
{
    static const char *const at_gate[] = {"\"type\":\"punch\"", "\"Eva\"", "\"type\":\"gateway\"", NULL};
    static const char *const not_at_gate[] = {"\"Bob\"", "Yard", NULL};
    static const char *const hers[] = {"\"type\":\"punch\"", "\"type\":\"credential\"", NULL};
    static const char *const not_hers[] = {"\"Eva\"", "\"Bob\"", "Yard", "\"type\":\"gateway\"", NULL};
    struct unit front, back;
    uint8_t yard_gw[GW_LEN], gate[ID_LEN], yard[ID_LEN];
    fixture_gateway(&f, "acme", "Yard", yard_gw);
    assert_int_equal(site_by_name(f.db, "acme", "Gate", gate), 0);
    assert_int_equal(site_by_name(f.db, "acme", "Yard", yard), 0);
    assert_int_equal(unit_create(f.c, f.db, "acme", &(struct unit_set){.name = "Front", .site = gate}, &front), 0);
    assert_int_equal(unit_create(f.c, f.db, "acme", &(struct unit_set){.name = "Back", .site = yard}, &back), 0);
    const struct person ada = somebody(f.db, "Ada of the gate", front.id, 1001);
    (void)somebody(f.db, "Eva", back.id, 1002);
    (void)somebody(f.db, "Bob", back.id, 1003);
    punch_at(f.gw, 1001, 101);
    punch_at(f.gw, 1002, 102);
    punch_at(yard_gw, 1003, 103);
    hears_within(f.db, "gatekeeper", REACH_SITE, gate, &ada, at_gate, not_at_gate);
    hears_within(f.db, "foreman", REACH_UNIT, front.id, &ada, hers, not_hers);
    hears_within(f.db, "ada", REACH_PERSON, ada.id, &ada, hers, not_hers);
}

/* Who does not read keeps nobody else waiting, neither who writes nor who listens. */
#define COMMITS 400
static void test_a_listener_that_does_not_read(void **state)
{
    struct listener *lazy = listen_at("/v1/stream?after=0", f.acme, NULL), *l = listen_at("/v1/stream", f.acme, NULL);
    assert_true(hears(l, "id: "));
    for (int i = 0; i < COMMITS; i++) {
        struct person p;
        const struct person_set set = {.name = i == COMMITS - 1 ? "The last one" : "One of many, each with a commit"};
        assert_int_equal(people_create(f.c, f.db, "acme", &set, &p), 0);
    }
    assert_true(hears(l, "The last one"));
    assert_int_equal(count(l->text, "One of many"), COMMITS - 1);
    leave(lazy);
    leave(l);
}

/* The vendor's people watch as long as they are let in, and not an event longer. */
static void test_support_runs_out_in_the_middle(void **state)
{
    struct human mira = human_with(VENDOR_TENANT, "mira", ROLE_SUPPORT);
    struct human owner = human_with("acme", "owner", ROLE_OWNER);
    char path[128], cookie[128];
    expect(as(&mira, "POST", "/v1/me/confidentiality", "{\"version\":1}"), 200, NULL);
    struct reply r = as(&mira, "POST", "/v1/support-requests",
                        "{\"tenant\":\"acme\",\"ticket\":\"T-9\",\"reason\":\"the feed stops\","
                        "\"permissions\":[\"changes.read\",\"people.read\"],\"hours\":1}");
    assert_int_equal(r.status, 201);
    snprintf(path, sizeof path, "/v1/support-requests/%s/decision", reply_text(&r, "id"));
    reply_done(&r);
    expect(as(&owner, "POST", path, "{\"approve\":true}"), 200, NULL);

    snprintf(cookie, sizeof cookie, "Cookie: " SESSION_COOKIE "=%s", mira.cookie);
    struct listener *l = listen_with("/v1/stream", cookie, "Punch-Tenant: acme");
    assert_true(hears(l, "id: "));
    add_person(f.acme, "Within");
    assert_true(hears(l, "\"Within\""));
    fixture_sql(&f, "UPDATE support SET ends = starts + 1 WHERE state = 2"); /* its hour is over */
    add_person(f.acme, "Afterwards");
    assert_true(hears(l, "event: end\ndata: {\"reason\":\"forbidden\"}\n\n"));
    assert_true(ends(l));
    assert_null(strstr(l->text, "Afterwards"));
    leave(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_happens_is_told),
        cmocka_unit_test(test_where_to_begin),
        cmocka_unit_test(test_ends_with_the_right),
        cmocka_unit_test(test_ends_with_the_time),
        cmocka_unit_test(test_what_is_out_of_reach_is_left_out),
        cmocka_unit_test(test_a_listener_that_does_not_read),
        cmocka_unit_test(test_support_runs_out_in_the_middle),
    };
    return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
