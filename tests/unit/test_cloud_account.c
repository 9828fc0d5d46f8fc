/* Accounts, their sessions and links, and the delays after failed logins, as the store keeps them. */
#include "tests/unit/cloud_fixture.h"

#include "base/file.h"
#include "cloud/account.h"
#include "cloud/link.h"
#include "cloud/people.h"
#include "cloud/session.h"
#include "cloud/session_seen.h"
#include "cloud/throttle.h"

#define MINUTE INT64_C(60000000)

struct world {
    struct fixture f;
    struct scope s;
    struct account ada; /* of acme, active */
};

static void make_account(struct world *w, const char *login, struct account *ret)
{
    struct person p;
    struct account a = {.state = ACCOUNT_ACTIVE, .created = clock_real(), .language = "en"};
    assert_int_equal(people_create(w->f.c, w->f.db, "acme", &(struct person_set){.name = login}, &p), 0);
    assert_int_equal(crypto_random(a.id, ID_LEN), 0);
    memcpy(a.person, p.id, ID_LEN);
    memcpy(a.key, p.key, KEY_ID_LEN);
    assert_int_equal(str_copy(a.login, sizeof a.login, login), 0);
    assert_int_equal(account_put(&w->s, &a), 0);
    *ret = a;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    fixture_make(&w->f);
    w->s = fixture_scope(&w->f, "acme");
    make_account(w, "ada", &w->ada);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    fixture_done(&w->f);
    free(w);
    return 0;
}

static void test_logins(void **state)
{
    char login[LOGIN_MAX + 1];
    assert_true(login_canonical("Ada.Lovelace+x@Example.ORG", login));
    assert_string_equal(login, "ada.lovelace+x@example.org");
    static const char *const bad[] = {"", "a b", "ad\xc3\xa4", "a/b", "a\nb", "a;b", "a\"b"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(login_canonical(bad[i], login));
    char text[LOGIN_MAX + 2];
    memset(text, 'x', sizeof text - 1);
    text[LOGIN_MAX] = '\0';
    assert_true(login_canonical(text, login));
    text[LOGIN_MAX] = 'x';
    text[LOGIN_MAX + 1] = '\0';
    assert_false(login_canonical(text, login));
}

static void test_row(void **state)
{
    struct world *w = *state;
    struct account a = w->ada, b;
    a.has_password = true;
    a.password = (struct password_hash){.cost = {65536, 3, 1}, .salt = {1, 2}, .hash = {3, 4}};
    a.has_totp = true;
    a.totp[0] = 9;
    a.totp_step = 57000000;
    a.n_recovery = 2;
    a.recovery[1][3] = 7;
    a.changed = 1234;
    str_copy(a.mail, sizeof a.mail, "ada@example.org");
    assert_int_equal(account_put(&w->s, &a), 0);
    assert_int_equal(account_by_login(&w->s, "ada", &b), 0);
    assert_memory_equal(b.id, a.id, ID_LEN);
    assert_memory_equal(b.person, a.person, ID_LEN);
    assert_memory_equal(&b.password, &a.password, sizeof a.password);
    assert_string_equal(b.mail, "ada@example.org");
    assert_true(b.has_password && b.has_totp && !b.has_new_totp);
    assert_memory_equal(b.totp, a.totp, TOTP_SECRET);
    assert_int_equal(b.totp_step, 57000000);
    assert_int_equal(b.n_recovery, 2);
    assert_memory_equal(b.recovery, a.recovery, 2 * RECOVERY_HASH);
    assert_int_equal(b.changed, 1234);
    assert_int_equal(account_find(&w->s, a.id, &b), 0);
    assert_int_equal(account_by_key(&w->s, a.key, &b), 0);
    assert_string_equal(b.login, "ada");
    assert_int_equal(account_by_login(&w->s, "bob", &b), CLOUD_ABSENT);

    struct scope other;
    assert_int_equal(scope_init(w->f.c, w->f.db, "globex", &other), 0);
    assert_int_equal(account_by_login(&other, "ada", &b), CLOUD_ABSENT);
    assert_int_equal(account_find(&other, a.id, &b), CLOUD_ABSENT);
}

static void test_unique(void **state)
{
    struct world *w = *state;
    struct account bob, second = w->ada;
    make_account(w, "bob", &bob);
    str_copy(bob.login, sizeof bob.login, "ada");
    assert_int_equal(account_put(&w->s, &bob), CLOUD_CONFLICT); /* the login */
    assert_int_equal(crypto_random(second.id, ID_LEN), 0);
    str_copy(second.login, sizeof second.login, "ada2");
    assert_int_equal(account_put(&w->s, &second), CLOUD_CONFLICT); /* the person */

    struct account_list l;
    assert_int_equal(account_list(&w->s, NULL, 1, &l), 0);
    assert_int_equal(l.n, 1);
    assert_true(l.more);
    struct account_list rest;
    assert_int_equal(account_list(&w->s, l.items[0].id, 10, &rest), 0);
    assert_int_equal(rest.n, 1);
    assert_string_not_equal(l.items[0].login, rest.items[0].login);
    account_list_done(&l);
    account_list_done(&rest);
}

static void test_forgotten(void **state)
{
    struct world *w = *state;
    struct session t = {.idle = SESSION_IDLE_US, .life = SESSION_LIFE_US}, u;
    char cookie[SESSION_TEXT], text[LINK_TEXT];
    int64_t now = clock_real(), expires;
    struct account bob;
    struct link l;
    make_account(w, "bob", &bob);
    assert_int_equal(session_make(&w->s, &w->ada, &t, cookie), 0);
    assert_int_equal(link_make(&w->s, w->ada.id, LINK_RESET, now, text, &expires), 0);
    assert_int_equal(account_forget(&w->s, w->ada.key), 0);
    assert_int_equal(account_find(&w->s, w->ada.id, &w->ada), CLOUD_ABSENT);
    assert_int_equal(session_check(w->f.c, w->f.db, cookie, now, &u), CLOUD_ABSENT);
    assert_int_equal(link_find(w->f.db, LINK_RESET, text, now, &l), CLOUD_ABSENT);
    assert_int_equal(account_find(&w->s, bob.id, &bob), 0);
}

/* Whoever has the store has neither login nor address. */
static void test_at_rest(void **state)
{
    struct world *w = *state;
    char cookie[SESSION_TEXT], path[128];
    struct session t = {.idle = SESSION_IDLE_US, .life = SESSION_LIFE_US, .address = "203.0.113.77"};
    struct account a;
    make_account(w, "grace.hopper.at.rest", &a);
    assert_int_equal(session_make(&w->s, &a, &t, cookie), 0);
    static const char *const files[] = {"store.db", "store.db-wal"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct buf text;
        buf_init(&text, 64 << 20);
        snprintf(path, sizeof path, "%s/state/%s", w->f.s.dir, files[i]);
        assert_int_equal(file_read(path, &text), 0);
        assert_null(memmem(text.p, text.len, "grace.hopper", 12));
        assert_null(memmem(text.p, text.len, "203.0.113.77", 12));
        assert_null(memmem(text.p, text.len, cookie, strlen(cookie)));
        buf_done(&text);
    }
}

static void begin(struct world *w, struct session *t, char cookie[SESSION_TEXT])
{
    *t = (struct session){.idle = SESSION_IDLE_US, .life = SESSION_LIFE_US, .address = "203.0.113.77"};
    assert_int_equal(session_make(&w->s, &w->ada, t, cookie), 0);
}

static void test_session(void **state)
{
    struct world *w = *state;
    char cookie[SESSION_TEXT], other[SESSION_TEXT], csrf[SESSION_TEXT];
    struct session t, u;
    begin(w, &t, cookie);
    begin(w, &u, other);
    assert_int_equal(strlen(cookie), 43);
    assert_string_not_equal(cookie, other);
    assert_int_equal(session_check(w->f.c, w->f.db, cookie, t.created, &u), 0);
    assert_memory_equal(u.id, t.id, ID_LEN);
    assert_memory_equal(u.account, w->ada.id, ID_LEN);
    assert_memory_equal(u.person, w->ada.person, ID_LEN);
    assert_string_equal(u.tenant, "acme");
    assert_string_equal(u.address, "203.0.113.77");
    assert_int_equal(u.stepped, 0);

    cookie[5] ^= 1;
    assert_int_equal(session_check(w->f.c, w->f.db, cookie, t.created, &u), CLOUD_ABSENT);
    cookie[5] ^= 1;
    assert_int_equal(session_check(w->f.c, w->f.db, "", t.created, &u), CLOUD_ABSENT);
    assert_int_equal(session_check(w->f.c, w->f.db, "x", t.created, &u), CLOUD_ABSENT);

    assert_int_equal(session_csrf(cookie, csrf), 0);
    assert_true(session_csrf_fits(cookie, csrf));
    assert_false(session_csrf_fits(other, csrf));
    assert_false(session_csrf_fits(cookie, NULL));
    assert_false(session_csrf_fits(cookie, ""));
    assert_string_not_equal(csrf, cookie);

    assert_int_equal(session_step(&w->s, t.id, true, t.created + 5), 0);
    assert_int_equal(session_check(w->f.c, w->f.db, cookie, t.created, &u), 0);
    assert_int_equal(u.stepped, t.created + 5);
    assert_true(u.factor);

    assert_int_equal(session_end(&w->s, w->ada.id, t.id), 0);
    assert_int_equal(session_end(&w->s, w->ada.id, t.id), CLOUD_ABSENT);
    assert_int_equal(session_check(w->f.c, w->f.db, cookie, t.created, &u), CLOUD_ABSENT);
    assert_int_equal(session_check(w->f.c, w->f.db, other, t.created, &u), 0);
    assert_int_equal(session_end_all(&w->s, w->ada.id, NULL), 0);
    assert_int_equal(session_check(w->f.c, w->f.db, other, t.created, &u), CLOUD_ABSENT);
}

static void test_session_of_archived(void **state)
{
    struct world *w = *state;
    char cookie[SESSION_TEXT];
    struct session t, u;
    begin(w, &t, cookie);
    w->ada.state = ACCOUNT_ARCHIVED;
    assert_int_equal(account_put(&w->s, &w->ada), 0);
    assert_int_equal(session_check(w->f.c, w->f.db, cookie, t.created, &u), CLOUD_ABSENT);
}

/* Idle for half an hour, or twelve hours old: over, also when the requests between were only noted in memory. */
static void test_session_time(void **state)
{
    struct world *w = *state;
    char cookie[SESSION_TEXT];
    struct session t, u;
    begin(w, &t, cookie);
    int64_t at = t.created;
    assert_int_equal(session_check(w->f.c, w->f.db, cookie, at + 30 * MINUTE - 1, &u), 0);
    assert_int_equal(session_check(w->f.c, w->f.db, cookie, at + 30 * MINUTE, &u), CLOUD_ABSENT);
    for (int i = 0; i < 60; i++) {
        bool over = at >= t.created + 12 * 60 * MINUTE;
        assert_int_equal(session_check(w->f.c, w->f.db, cookie, at, &u), over ? CLOUD_ABSENT : 0);
        if (over)
            break;
        session_saw(w->f.c, &u, at);
        if (i == 3)
            assert_int_equal(session_sweep(w->f.c, w->f.db, at), 0);
        at += 25 * MINUTE;
    }
    assert_in_range(at - t.created, 12 * 60 * MINUTE, 12 * 60 * MINUTE + 25 * MINUTE);
}

static void test_seen_is_written(void **state)
{
    struct world *w = *state;
    char cookie[SESSION_TEXT];
    struct session t, u;
    begin(w, &t, cookie);
    session_saw(w->f.c, &t, t.created + 20 * MINUTE);
    assert_int_equal(session_sweep(w->f.c, w->f.db, t.created), 0);
    assert_int_equal(seen_at(cloud_seen(w->f.c), t.id), 0); /* in the store now, and no more in memory */
    fixture_close(&w->f);
    fixture_open(&w->f);
    w->s = fixture_scope(&w->f, "acme");
    assert_int_equal(session_check(w->f.c, w->f.db, cookie, t.created + 49 * MINUTE, &u), 0);
    assert_int_equal(session_check(w->f.c, w->f.db, cookie, t.created + 50 * MINUTE, &u), CLOUD_ABSENT);
    assert_int_equal(session_sweep(w->f.c, w->f.db, t.created + 3 * 24 * 60 * MINUTE), 0);
    assert_int_equal(session_check(w->f.c, w->f.db, cookie, t.created, &u), CLOUD_ABSENT);
}

static void test_session_list(void **state)
{
    struct world *w = *state;
    char cookie[SESSION_TEXT], first[SESSION_TEXT];
    struct session t, half = {.half = true}, u;
    struct session_list l;
    begin(w, &t, first);
    assert_int_equal(session_make(&w->s, &w->ada, &half, cookie), 0);
    assert_int_equal(session_check(w->f.c, w->f.db, cookie, half.created, &u), 0);
    assert_true(u.half);
    assert_int_equal(session_check(w->f.c, w->f.db, cookie, half.created + 5 * MINUTE, &u), CLOUD_ABSENT);
    assert_int_equal(session_list(&w->s, &w->ada, t.created, &l), 0);
    assert_int_equal(l.n, 1);
    assert_memory_equal(l.items[0].id, t.id, ID_LEN);
    session_list_done(&l);
    for (int i = 0; i < SESSIONS_EACH + 3; i++)
        begin(w, &t, cookie);
    assert_int_equal(session_list(&w->s, &w->ada, t.created, &l), 0);
    assert_int_equal(l.n, SESSIONS_EACH);
    session_list_done(&l);
    assert_int_equal(session_check(w->f.c, w->f.db, first, t.created, &u), CLOUD_ABSENT); /* the oldest made room */
    assert_int_equal(session_check(w->f.c, w->f.db, cookie, t.created, &u), 0);
    /* Who has the password alone puts nobody out. */
    for (int i = 0; i < SESSIONS_EACH + 3; i++) {
        half = (struct session){.half = true};
        assert_int_equal(session_make(&w->s, &w->ada, &half, first), 0);
    }
    assert_int_equal(session_check(w->f.c, w->f.db, cookie, t.created, &u), 0);
    assert_int_equal(session_check(w->f.c, w->f.db, first, half.created, &u), 0);
    assert_int_equal(session_list(&w->s, &w->ada, t.created, &l), 0);
    assert_int_equal(l.n, SESSIONS_EACH);
    session_list_done(&l);
}

static void test_cookie(void **state)
{
    char value[8];
    static const struct {
        const char *header, *value;
    } cases[] = {{"a=1", "1"}, {"b=2; a=1", "1"},    {" b=2;a=1;c=3", "1"}, {"a=1; a=2", "1"},
                 {"a=", ""},   {"aa=1", NULL},       {"b=a=1", NULL},       {"", NULL},
                 {NULL, NULL}, {"a=12345678", NULL}, {"a", NULL},           {";;a=1", "1"},
                 {"A=1", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool found = session_cookie(cases[i].header, "a", value, sizeof value);
        assert_int_equal(found, cases[i].value != NULL);
        if (found)
            assert_string_equal(value, cases[i].value);
    }
}

static void test_link(void **state)
{
    struct world *w = *state;
    char first[LINK_TEXT], text[LINK_TEXT];
    int64_t now = clock_real(), expires;
    struct link l;
    assert_int_equal(link_make(&w->s, w->ada.id, LINK_RESET, now, first, &expires), 0);
    assert_int_equal(expires, now + 60 * MINUTE);
    assert_int_equal(link_make(&w->s, w->ada.id, LINK_RESET, now, text, &expires), 0);
    assert_int_equal(link_find(w->f.db, LINK_RESET, first, now, &l), CLOUD_ABSENT); /* the later one counts */
    assert_int_equal(link_find(w->f.db, LINK_RESET, text, now, &l), 0);
    assert_string_equal(l.tenant, "acme");
    assert_memory_equal(l.account, w->ada.id, ID_LEN);
    assert_int_equal(link_find(w->f.db, LINK_INVITATION, text, now, &l), CLOUD_ABSENT);
    assert_int_equal(link_find(w->f.db, LINK_RESET, text, expires, &l), CLOUD_ABSENT);
    assert_int_equal(link_use(w->f.db, LINK_RESET, text, expires), CLOUD_ABSENT);
    assert_int_equal(link_use(w->f.db, LINK_RESET, text, now), 0);
    assert_int_equal(link_use(w->f.db, LINK_RESET, text, now), CLOUD_ABSENT);
    assert_int_equal(link_find(w->f.db, LINK_RESET, text, now, &l), CLOUD_ABSENT);
    assert_int_equal(link_use(w->f.db, LINK_RESET, "", now), CLOUD_ABSENT);

    assert_int_equal(link_make(&w->s, w->ada.id, LINK_INVITATION, now, text, &expires), 0);
    assert_int_equal(expires, now + 7 * 24 * 60 * MINUTE);
    assert_int_equal(link_sweep(w->f.c, w->f.db, expires - 1), 0);
    assert_int_equal(link_find(w->f.db, LINK_INVITATION, text, now, &l), 0);
    assert_int_equal(link_sweep(w->f.c, w->f.db, expires), 0);
    assert_int_equal(link_find(w->f.db, LINK_INVITATION, text, now, &l), CLOUD_ABSENT);
}

/* ---- delays ---- */

static struct attempt attempt(struct world *w, enum attempt_at at, const char *login, const char *device,
                              const char *address)
{
    struct attempt a;
    assert_int_equal(attempt_init(w->f.c, w->f.db, at, "acme", login, device, address, &a), 0);
    return a;
}

static unsigned wait_of(struct world *w, const struct attempt *a, int64_t now)
{
    unsigned s = 12345;
    assert_int_equal(attempt_wait(w->f.db, a, now, &s), 0);
    return s;
}

static void fails(struct world *w, const struct attempt *a, int64_t now, unsigned want_wait)
{
    bool alarm;
    assert_int_equal(attempt_failed(w->f.db, a, now, &alarm), 0);
    assert_int_equal(wait_of(w, a, now), want_wait);
}

static void test_delay(void **state)
{
    struct world *w = *state;
    int64_t now = clock_real();
    static const unsigned grows[] = {0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30};
    for (size_t i = 0; i < ARRAY_LEN(grows); i++) {
        char address[32]; /* many sources, one login */
        snprintf(address, sizeof address, "198.51.100.%zu", i + 1);
        struct attempt a = attempt(w, ATTEMPT_PASSWORD, "ada", NULL, address);
        fails(w, &a, now, grows[i]);
    }
    struct attempt ada = attempt(w, ATTEMPT_PASSWORD, "ada", NULL, "203.0.113.1");
    struct attempt bob = attempt(w, ATTEMPT_PASSWORD, "bob", NULL, "203.0.113.1");
    assert_int_equal(wait_of(w, &ada, now), 30);
    assert_int_equal(wait_of(w, &bob, now), 0);
    assert_int_equal(wait_of(w, &ada, now + 29999999), 1);
    assert_int_equal(wait_of(w, &ada, now + 30000000), 0);
    assert_int_equal(wait_of(w, &ada, now - 1000 * MINUTE), 30); /* a clock that was set back locks nobody out */
    assert_int_equal(attempt_succeeded(w->f.db, &ada), 0);
    assert_int_equal(wait_of(w, &ada, now), 0);
}

/* A browser that is known is not delayed by what strangers do, and is delayed for what it does. */
static void test_device(void **state)
{
    struct world *w = *state;
    int64_t now = clock_real();
    char cookie[DEVICE_TEXT], bobs[DEVICE_TEXT];
    assert_int_equal(device_make(w->f.c, w->f.db, "acme", "ada", cookie), 0);
    assert_int_equal(device_make(w->f.c, w->f.db, "acme", "bob", bobs), 0);
    struct attempt stranger = attempt(w, ATTEMPT_PASSWORD, "ada", NULL, "203.0.113.9");
    struct attempt known = attempt(w, ATTEMPT_PASSWORD, "ada", cookie, "203.0.113.9");
    struct attempt forged = attempt(w, ATTEMPT_PASSWORD, "ada", bobs, "203.0.113.9");
    assert_true(known.known_device);
    assert_false(forged.known_device);
    cookie[3] ^= 1;
    assert_false(attempt(w, ATTEMPT_PASSWORD, "ada", cookie, "203.0.113.9").known_device);
    for (int i = 0; i < 40; i++) {
        bool alarm;
        assert_int_equal(attempt_failed(w->f.db, &stranger, now, &alarm), 0);
        assert_int_equal(alarm, i == 9); /* told once, when the longest delay is reached */
    }
    assert_int_equal(wait_of(w, &stranger, now), 900); /* by its source */
    assert_int_equal(wait_of(w, &forged, now), 900);
    assert_int_equal(wait_of(w, &known, now), 0);
    for (int i = 0; i < 20; i++) {
        bool alarm;
        assert_int_equal(attempt_failed(w->f.db, &known, now, &alarm), 0);
    }
    assert_int_equal(wait_of(w, &known, now), 900);
}

static void test_source(void **state)
{
    struct world *w = *state;
    int64_t now = clock_real();
    char login[16];
    for (int i = 0; i < 40; i++) { /* one source, many logins */
        bool alarm;
        snprintf(login, sizeof login, "user%d", i);
        struct attempt a = attempt(w, ATTEMPT_PASSWORD, login, NULL, "2001:db8:1:2::17");
        assert_int_equal(attempt_failed(w->f.db, &a, now, &alarm), 0);
        assert_false(alarm);
    }
    static const struct {
        const char *address;
        unsigned wait;
    } others[] = {{"2001:db8:1:2:ffff::1", 900}, {"2001:db8:1:3::17", 0}, {"203.0.113.1", 0}};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        struct attempt a = attempt(w, ATTEMPT_PASSWORD, "eve", NULL, others[i].address);
        assert_int_equal(wait_of(w, &a, now), others[i].wait);
    }
    struct attempt four = attempt(w, ATTEMPT_LINK, "", NULL, "192.0.2.1"), mapped;
    for (int i = 0; i < 21; i++)
        fails(w, &four, now, i < 20 ? 0 : 1);
    mapped = attempt(w, ATTEMPT_LINK, "", NULL, "::ffff:192.0.2.1");
    assert_int_equal(wait_of(w, &mapped, now), 1);
    /* logging in forgives no source */
    struct attempt own = attempt(w, ATTEMPT_PASSWORD, "ada", NULL, "192.0.2.1");
    assert_int_equal(attempt_succeeded(w->f.db, &own), 0);
    assert_int_equal(wait_of(w, &own, now), 1);
}

static void test_factor(void **state)
{
    struct world *w = *state;
    int64_t now = clock_real();
    struct attempt a = attempt(w, ATTEMPT_FACTOR, "ada", NULL, "203.0.113.4");
    static const unsigned grows[] = {0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900};
    for (size_t i = 0; i < ARRAY_LEN(grows); i++)
        fails(w, &a, now, grows[i]);
    struct attempt password = attempt(w, ATTEMPT_PASSWORD, "ada", NULL, "203.0.113.5");
    assert_int_equal(wait_of(w, &password, now), 0);
}

static void test_forgiven(void **state)
{
    struct world *w = *state;
    int64_t now = clock_real();
    struct attempt a = attempt(w, ATTEMPT_PASSWORD, "ada", NULL, "203.0.113.4");
    for (int i = 0; i < 30; i++) {
        bool alarm;
        assert_int_equal(attempt_failed(w->f.db, &a, now, &alarm), 0);
    }
    now += 11 * 60 * MINUTE;
    for (int i = 0; i < 4; i++)
        fails(w, &a, now, 0);
    fails(w, &a, now, 1);
    assert_int_equal(throttle_sweep(w->f.c, w->f.db, now + 25 * 60 * MINUTE), 0);
    struct db_stmt *st;
    assert_int_equal(db_stmt(w->f.db, "SELECT count(*) FROM throttle", &st), 0);
    assert_int_equal(db_step(st), DB_ROW);
    assert_int_equal(db_int(st, 0), 0);
    db_done(st);
}

static void test_delay_outlives_restart(void **state)
{
    struct world *w = *state;
    int64_t now = clock_real();
    struct attempt a = attempt(w, ATTEMPT_FACTOR, "ada", NULL, "203.0.113.4");
    for (int i = 0; i < 15; i++) {
        bool alarm;
        assert_int_equal(attempt_failed(w->f.db, &a, now, &alarm), 0);
    }
    fixture_close(&w->f);
    fixture_open(&w->f);
    a = attempt(w, ATTEMPT_FACTOR, "ada", NULL, "203.0.113.4");
    assert_int_equal(wait_of(w, &a, now), 900);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logins),
        cmocka_unit_test(test_cookie),
        TEST(test_row),
        TEST(test_unique),
        TEST(test_forgotten),
        TEST(test_at_rest),
        TEST(test_session),
        TEST(test_session_of_archived),
        TEST(test_session_time),
        TEST(test_seen_is_written),
        TEST(test_session_list),
        TEST(test_link),
        TEST(test_delay),
        TEST(test_device),
        TEST(test_source),
        TEST(test_factor),
        TEST(test_forgiven),
        TEST(test_delay_outlives_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
