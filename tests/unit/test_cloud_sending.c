/* Mail from the queue to a real SMTP server (tests/sim/smtpd.py), over TLS that is checked, or not at all. */
#include "cloud/sending.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "cloud/courier.h"
#include "cloud/delivery.h"
#include "cloud/outbox_impl.h"
#include "cloud/people.h"
#include "tests/unit/cloud_fixture.h"

#define PATIENCE_S 60
static struct fixture f;
static struct person ada;

struct server {
    pid_t pid;
    int in; /* closing it ends the server */
    char address[32], log[128];
};

static void server_start(struct server *s, const char *mode, const char *login)
{
    char crt[160], key[160], line[16] = "";
    int in[2], out[2];
    posix_spawn_file_actions_t fa;
    snprintf(crt, sizeof crt, "%s/state/pki/api.crt", f.s.dir);
    snprintf(key, sizeof key, "%s/state/pki/api.key", f.s.dir);
    snprintf(s->log, sizeof s->log, "%s/smtpd.log", f.s.dir);
    unlink(s->log);
    char program[] = "/usr/bin/python3", script[] = SOURCE_DIR "/tests/sim/smtpd.py";
    char m[] = "--mode", c[] = "--cert", k[] = "--key", l[] = "--log", g[] = "--login", mode_is[16], login_is[64];
    snprintf(mode_is, sizeof mode_is, "%s", mode);
    snprintf(login_is, sizeof login_is, "%s", login ? login : "");
    char *argv[] = {program, script, m, mode_is, c, crt, k, key, l, s->log, login ? g : NULL, login_is, NULL};
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, in[0], 0);
    posix_spawn_file_actions_adddup2(&fa, out[1], 1);
    assert_int_equal(posix_spawn(&s->pid, argv[0], &fa, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&fa);
    close(in[0]);
    close(out[1]);
    assert_true(read(out[0], line, sizeof line - 1) > 0); /* its port, or the end of it */
    close(out[0]);
    s->in = in[1];
    snprintf(s->address, sizeof s->address, "localhost:%d", atoi(line));
}

static void server_stop(struct server *s)
{
    int st = 0;
    close(s->in);
    assert_int_equal(waitpid(s->pid, &st, 0), s->pid);
    assert_true(WIFEXITED(st) && WEXITSTATUS(st) == 0);
}

/* The lines of its log of one kind. */
static json_t *heard(const struct server *s, const char *what)
{
    struct buf CLEANUP(buf_done) b;
    json_t *lines = json_array();
    buf_init(&b, 1 << 20);
    if (file_read(s->log, &b) == 0) {
        char *save = NULL, *text = strdup(buf_str(&b));
        for (char *p = strtok_r(text, "\n", &save); p; p = strtok_r(NULL, "\n", &save)) {
            json_t *o = json_loads(p, 0, NULL);
            if (o && strcmp(json_string_value(json_object_get(o, "what")), what) == 0)
                json_array_append_new(lines, o);
            else
                json_decref(o);
        }
        free(text);
    }
    return lines;
}

static void queue(const char *to, const char *lang, const uint8_t *key)
{
    static const struct mail_arg args[] = {{"name", "Ada Löwe"},
                                           {"company", "Müller\r\nBcc: eve@example.com"},
                                           {"link", "https://punch.example/#t=a=b.c"},
                                           {"until", "2026-11-24 14:05 UTC"}};
    struct scope s;
    const struct mail m = {
        .key = key, .to = to, .lang = lang, .template = MAIL_INVITATION, .args = args, .n_args = ARRAY_LEN(args)};
    assert_int_equal(cloud_begin(f.c, f.db), 0);
    assert_int_equal(scope_init(f.c, f.db, "acme", &s), 0);
    assert_int_equal(outbox_mail(&s, &m), 0);
    assert_int_equal(cloud_commit(f.c, f.db), 0);
}

static void counts(uint64_t *ret_waiting, uint64_t *ret_failed)
{
    assert_int_equal(outbox_counts(f.db, ret_waiting, ret_failed), 0);
}

/* Runs the threads until each of n messages was tried, or is no more. */
static void run_until(uint64_t n)
{
    struct sending *s = NULL;
    uint64_t done = 0;
    assert_int_equal(sending_start(f.c, &s), 0);
    for (int64_t end = clock_ms() + PATIENCE_S * 1000; done < n && clock_ms() < end; usleep(20000)) {
        done = 0;
        for (int i = 0; i < SENDING_COUNTS; i++)
            done += sending_count(s, SENDING_MAIL, (enum sending_count)i);
    }
    sending_stop(s);
    assert_int_equal(done, n);
}

static void empty(void)
{
    assert_int_equal(db_script(f.db, "DELETE FROM mail;"), 0);
}

static void use(struct server *s, int tls)
{
    f.set.mail.server = s->address;
    f.set.mail.tls = tls;
}

static int setup(void **state)
{
    static char from[] = "punch@example.com";
    const struct person_set set = {.name = "Ada Löwe"};
    fixture_make(&f);
    assert_int_equal(courier_init(), 0);
    f.set.mail.from = from;
    f.set.mail.ca_file = f.s.ca;
    assert_int_equal(people_create(f.c, f.db, "acme", &set, &ada), 0);
    return 0;
}

static int teardown(void **state)
{
    fixture_done(&f);
    return 0;
}

static const char *text_of(const json_t *line, const char *member)
{
    return json_string_value(json_object_get(line, member));
}

/* ---- */

static void arrives(const char *mode, int tls)
{
    struct server s;
    uint64_t waiting = 9, failed = 9;
    server_start(&s, mode, NULL);
    use(&s, tls);
    queue("ada@example.org", "de", ada.key);
    run_until(1);
    counts(&waiting, &failed);
    assert_int_equal(waiting + failed, 0);
    json_t *lines = heard(&s, "data");
    assert_int_equal(json_array_size(lines), 1);
    const json_t *m = json_array_get(lines, 0), *h = json_object_get(m, "headers");
    assert_true(json_is_true(json_object_get(m, "tls")));
    assert_int_equal(json_array_size(json_object_get(m, "defects")), 0);
    assert_int_equal(json_array_size(json_object_get(m, "to")), 1);
    assert_string_equal(text_of(h, "Subject"), "Ihr Konto bei Müller  Bcc: eve@example.com");
    assert_null(json_object_get(h, "Bcc"));
    assert_string_equal(text_of(h, "To"), "ada@example.org");
    assert_string_equal(text_of(h, "Auto-Submitted"), "auto-generated");
    assert_non_null(strstr(text_of(m, "text"), "Guten Tag Ada Löwe,"));
    assert_non_null(strstr(text_of(m, "text"), "https://punch.example/#t=a=b.c"));
    json_decref(lines);
    server_stop(&s);
}

static void it_arrives_over_starttls(void **state)
{
    arrives("starttls", MAIL_STARTTLS);
}

static void it_arrives_over_tls(void **state)
{
    arrives("tls", MAIL_TLS);
}

/* Waits, and the server has not even heard who it is from. */
static void kept(struct server *s)
{
    uint64_t waiting = 0, failed = 9;
    queue("ada@example.org", "en", ada.key);
    run_until(1);
    counts(&waiting, &failed);
    assert_int_equal(waiting, 1);
    assert_int_equal(failed, 0);
    json_t *lines = heard(s, "mail");
    assert_int_equal(json_array_size(lines), 0);
    json_decref(lines);
    empty();
}

static void nothing_goes_out_in_the_clear(void **state)
{
    struct server s;
    server_start(&s, "clear", NULL);
    use(&s, MAIL_STARTTLS);
    kept(&s);
    use(&s, MAIL_TLS);
    kept(&s);
    server_stop(&s);
}

static void a_certificate_of_somebody_else_is_refused(void **state)
{
    struct server s;
    char address[32];
    server_start(&s, "starttls", NULL);
    use(&s, MAIL_STARTTLS);
    f.set.mail.ca_file = NULL; /* the system's, which never heard of ours */
    kept(&s);
    f.set.mail.ca_file = f.s.ca;
    snprintf(address, sizeof address, "127.0.0.2%s", strchr(s.address, ':')); /* not in the certificate */
    f.set.mail.server = address;
    kept(&s);
    server_stop(&s);
}

static void it_logs_in_with_what_the_file_says(void **state)
{
    static char user[] = "punch";
    char file[160];
    struct server s;
    uint64_t waiting = 9, failed = 9;
    snprintf(file, sizeof file, "%s/password", f.s.dir);
    assert_int_equal(file_write_volatile(file, BYTES_STR("wrong\n"), 0600), 0);
    server_start(&s, "starttls", "punch:s3cret word");
    use(&s, MAIL_STARTTLS);
    f.set.mail.user = user;
    f.set.mail.password_file = file;
    kept(&s);
    assert_int_equal(file_write_volatile(file, BYTES_STR("s3cret word\nsecond line\n"), 0600), 0);
    queue("ada@example.org", "en", ada.key);
    run_until(1);
    counts(&waiting, &failed);
    assert_int_equal(waiting + failed, 0);
    json_t *lines = heard(&s, "data");
    assert_int_equal(json_array_size(lines), 1);
    assert_true(json_is_true(json_object_get(json_array_get(lines, 0), "login")));
    json_decref(lines);
    server_stop(&s);
    f.set.mail.user = f.set.mail.password_file = NULL;
}

static void who_does_not_exist_is_given_up_and_who_is_busy_is_not(void **state)
{
    struct server s;
    uint64_t waiting = 9, failed = 9;
    server_start(&s, "starttls", NULL);
    use(&s, MAIL_STARTTLS);
    queue("gone@example.org", "ro", NULL);
    queue("later@example.org", "ro", NULL);
    queue("ada@example.org", "ro", ada.key);
    run_until(3);
    counts(&waiting, &failed);
    assert_int_equal(waiting, 1);
    assert_int_equal(failed, 1);
    json_t *lines = heard(&s, "data");
    assert_int_equal(json_array_size(lines), 1);
    json_decref(lines);
    server_stop(&s);
    empty();
}

/* A message that cannot reach its server waits; then the server comes back. */
static void a_dead_server_loses_nothing(void **state)
{
    struct server s;
    char here[32];
    uint64_t waiting = 9, failed = 9;
    server_start(&s, "starttls", NULL);
    server_stop(&s);
    use(&s, MAIL_STARTTLS);
    queue("ada@example.org", "en", ada.key);
    run_until(1);
    counts(&waiting, &failed);
    assert_int_equal(waiting, 1);
    server_start(&s, "starttls", NULL);
    snprintf(here, sizeof here, "%s", s.address);
    f.set.mail.server = here;
    assert_int_equal(db_script(f.db, "UPDATE mail SET due = 0;"), 0);
    run_until(1);
    counts(&waiting, &failed);
    assert_int_equal(waiting + failed, 0);
    server_stop(&s);
}

/* However much one customer has waiting, the others' next message is among those that go out next. */
static void customers_take_turns(void **state)
{
    static char server[] = "localhost:1";
    struct mail_due due[4];
    struct webhook_due hooks[4];
    size_t n = 0;
    f.set.mail.server = server;
    for (int i = 0; i < 10; i++)
        queue("ada@example.org", "en", NULL);
    assert_int_equal(db_script(f.db, "INSERT INTO mail(tenant_id, id, key_id, state, due, tries, created, sealed)"
                                     " SELECT 'globex', id, key_id, state, due + 1, tries, created, sealed FROM mail"
                                     " LIMIT 1;"),
                     0);
    assert_int_equal(outbox_due(f.db, clock_real() + 10, ARRAY_LEN(due), due, &n), 0);
    assert_int_equal(n, ARRAY_LEN(due));
    assert_string_equal(due[0].tenant, "acme");
    assert_string_equal(due[1].tenant, "globex");
    assert_int_equal(db_script(f.db, "DELETE FROM mail;"), 0);

    /* of webhooks also those that do not fail before those that do */
    assert_int_equal(
        db_script(f.db,
                  "INSERT INTO webhook(tenant_id, id, created, wants, failures, due, position, noted, last, sealed)"
                  " WITH n(i) AS (VALUES(10) UNION ALL SELECT i + 1 FROM n WHERE i < 19) SELECT CASE WHEN i < 19 THEN"
                  " 'acme' ELSE 'globex' END, CAST('webhook of on ' || i AS BLOB), 0, 2, CASE WHEN i < 17 THEN 3"
                  " ELSE 0 END, i, 0, 0, 0, X'' FROM n;"
                  "INSERT INTO delivery(tenant_id, webhook, id, feed, state, queued, tried, tries, status, sealed)"
                  " SELECT tenant_id, id, id, 0, 0, 0, 0, 0, 0, X'' FROM webhook;"),
        0);
    assert_int_equal(delivery_due(f.db, clock_real(), ARRAY_LEN(hooks), hooks, &n), 0);
    assert_int_equal(n, ARRAY_LEN(hooks));
    assert_true(strcmp(hooks[0].tenant, "globex") == 0 || strcmp(hooks[1].tenant, "globex") == 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(hooks[i].failures, i < 3 ? 0 : 3);
    assert_int_equal(db_script(f.db, "DELETE FROM webhook; DELETE FROM delivery;"), 0);
}

static void without_a_server_nothing_is_queued(void **state)
{
    uint64_t waiting = 9, failed = 9;
    f.set.mail.server = NULL;
    assert_false(outbox_mails(f.c));
    queue("ada@example.org", "en", ada.key);
    counts(&waiting, &failed);
    assert_int_equal(waiting + failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_arrives_over_starttls),
        cmocka_unit_test(it_arrives_over_tls),
        cmocka_unit_test(nothing_goes_out_in_the_clear),
        cmocka_unit_test(a_certificate_of_somebody_else_is_refused),
        cmocka_unit_test(it_logs_in_with_what_the_file_says),
        cmocka_unit_test(who_does_not_exist_is_given_up_and_who_is_busy_is_not),
        cmocka_unit_test(a_dead_server_loses_nothing),
        cmocka_unit_test(customers_take_turns),
        cmocka_unit_test(without_a_server_nothing_is_queued),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
