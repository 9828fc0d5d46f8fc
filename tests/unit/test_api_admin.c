/* The admin commands: their parser, and one implementation behind two callers. */
#include "api/admin.h"

#include <pthread.h>

#include "base/loop.h"
#include "cloud/audit.h"
#include "cloud/granted.h"
#include "cloud/invitation.h"
#include "cloud/link.h"
#include "tests/unit/api_fixture.h"

#define ARGS(...)         \
    (const char *const[]) \
    {                     \
        __VA_ARGS__, NULL \
    }

static int parse(const char *const *words, struct admin_args *ret, struct buf *err)
{
    static char *argv[32];
    int n = 0;
    for (; words[n]; n++)
        memcpy(&argv[n], &words[n], sizeof argv[0]);
    return admin_parse(n, argv, ret, err);
}

static void expect_usage(const char *const *words, const char *in_text)
{
    struct admin_args a;
    struct buf CLEANUP(buf_done) err;
    buf_init(&err, 4096);
    assert_int_equal(parse(words, &a, &err), EXIT_USAGE);
    if (!strstr(buf_str(&err), in_text))
        fail_msg("\"%s\" lacks \"%s\"", buf_str(&err), in_text);
}

static void test_parser(void **state)
{
    struct admin_args a;
    struct buf CLEANUP(buf_done) err;
    buf_init(&err, 4096);
    assert_int_equal(parse(ARGS("gateway", "add", "--site", "Gate 1", "--tenant=acme", "--request", "r"), &a, &err), 0);
    assert_string_equal(a.cmd->verb, "add");
    assert_string_equal(a.opts[0], "acme");
    assert_string_equal(a.opts[1], "Gate 1");
    assert_null(a.opts[3]);
    assert_int_equal(parse(ARGS("tenant", "add", "acme"), &a, &err), 0);
    assert_string_equal(a.operand, "acme");
    assert_int_equal(parse(ARGS("status", "--json"), &a, &err), 0);
    assert_int_equal(err.len, 0);

    expect_usage(ARGS("tenants"), "unknown command tenants");
    expect_usage(ARGS("tenant"), "after tenant comes one of add, list, show");
    expect_usage(ARGS("tenant", "remove"), "unknown command tenant remove");
    expect_usage(ARGS("tenant", "add"), "NAME is missing");
    expect_usage(ARGS("tenant", "add", "a", "b"), "unexpected argument b");
    expect_usage(ARGS("tenant", "add", "a", "--force"), "unknown option --force");
    expect_usage(ARGS("gateway", "add", "--tenant", "a", "--site", "s"), "--request is missing");
    expect_usage(ARGS("gateway", "add", "--tenant"), "--tenant needs NAME");
    expect_usage(ARGS("gateway", "add", "--tenant", "a", "--tenant", "b"), "given twice");
    expect_usage(ARGS("status", "--json=1"), "takes no value");
    expect_usage(ARGS("status", "--jso"), "unknown option --jso");
}

/* Every command's usage names all its options, and the whole usage names every command. */
static void test_usage(void **state)
{
    for (size_t i = 0; i < admin_n_commands; i++) {
        const struct admin_command *c = &admin_commands[i];
        char *text = NULL;
        size_t n = 0;
        FILE *o = open_memstream(&text, &n);
        assert_true(admin_usage(o, c->group, c->verb));
        fclose(o);
        assert_non_null(strstr(text, c->help));
        for (size_t k = 0; k < ADMIN_OPTS_MAX && c->opts[k].name; k++)
            assert_non_null(strstr(text, c->opts[k].help));
        free(text);
        o = open_memstream(&text, &n);
        assert_true(admin_usage(o, NULL, NULL));
        assert_false(admin_usage(o, "tenants", NULL));
        fclose(o);
        assert_non_null(strstr(text, c->help));
        free(text);
    }
}

/* Runs a command here; its output in `out` and `err`. */
static int execute(const char *const *words, struct buf *out, struct buf *err)
{
    struct admin_args a;
    buf_reset(out);
    buf_reset(err);
    int r = parse(words, &a, err);
    return r != 0 ? r : admin_execute(f.c, NULL, &a, out, err);
}

/* The value of a "name: value" line; "" when there is none. */
static const char *line_of(struct buf *out, const char *name)
{
    static char value[128];
    char mark[32];
    snprintf(mark, sizeof mark, "%s: ", name);
    const char *p = strstr(buf_str(out), mark);
    snprintf(value, sizeof value, "%.*s", p ? (int)strcspn(p + strlen(mark), "\n") : 0, p ? p + strlen(mark) : "");
    return value;
}

static void test_half_an_answer_is_none(void **state)
{
    struct buf CLEANUP(buf_done) out, CLEANUP(buf_done) err;
    buf_init(&out, 16);
    buf_init(&err, 4096);
    assert_int_equal(execute(ARGS("tenant", "list"), &out, &err), EXIT_FAILED);
    assert_non_null(strstr(buf_str(&err), "longer than 16 bytes"));
}

static void test_tenants(void **state)
{
    struct buf CLEANUP(buf_done) out, CLEANUP(buf_done) err;
    buf_init(&out, ADMIN_ANSWER_MAX);
    buf_init(&err, 4096);
    assert_int_equal(execute(ARGS("tenant", "add", "initech"), &out, &err), 0);
    assert_string_equal(line_of(&out, "tenant"), "initech");
    assert_int_equal(execute(ARGS("tenant", "add", "initech"), &out, &err), EXIT_FAILED);
    assert_non_null(strstr(buf_str(&err), "already"));
    assert_int_equal(execute(ARGS("tenant", "add", "Init ech"), &out, &err), EXIT_FAILED);
    assert_non_null(strstr(buf_str(&err), "a-z"));
    assert_int_equal(execute(ARGS("tenant", "list"), &out, &err), 0);
    assert_non_null(strstr(buf_str(&out), "initech"));
    assert_int_equal(execute(ARGS("tenant", "list", "--json"), &out, &err), 0);
    json_t *j = json_loads(buf_str(&out), 0, NULL);
    assert_int_equal(json_array_size(j), 3);
    json_decref(j);
}

static void test_tokens(void **state)
{
    struct buf CLEANUP(buf_done) out, CLEANUP(buf_done) err;
    struct token t;
    char text[TOKEN_TEXT_MAX], id[2 * TOKEN_ID_LEN + 1];
    buf_init(&out, ADMIN_ANSWER_MAX);
    buf_init(&err, 4096);
    assert_int_equal(
        execute(ARGS("token", "add", "--tenant", "acme", "--expires", "30d", "--label", "payroll"), &out, &err), 0);
    strcpy(text, line_of(&out, "token"));
    strcpy(id, line_of(&out, "id"));
    assert_int_equal(token_check(f.db, text, clock_real(), &t), 0);
    assert_string_equal(t.tenant, "acme");
    int64_t left = t.expires - clock_real();
    assert_true(left > INT64_C(29) * 86400000000 && left <= INT64_C(30) * 86400000000);

    assert_int_equal(execute(ARGS("token", "list"), &out, &err), 0);
    assert_non_null(strstr(buf_str(&out), "payroll"));
    assert_non_null(strstr(buf_str(&out), id));
    assert_null(strstr(buf_str(&out), text)); /* shown once */
    assert_int_equal(execute(ARGS("token", "revoke", id), &out, &err), 0);
    assert_int_equal(token_check(f.db, text, clock_real(), &t), CLOUD_ABSENT);
    assert_int_equal(execute(ARGS("token", "revoke", "00"), &out, &err), EXIT_FAILED);
    assert_int_equal(execute(ARGS("token", "revoke", "0000000000000000"), &out, &err), EXIT_FAILED);

    assert_int_equal(execute(ARGS("token", "add", "--operator", "--expires", "never"), &out, &err), 0);
    assert_int_equal(token_check(f.db, line_of(&out, "token"), INT64_MAX, &t), 0);
    assert_true(t.is_operator);
    assert_int_equal(execute(ARGS("token", "add", "--tenant", "acme"), &out, &err), 0);
    assert_int_equal(token_check(f.db, line_of(&out, "token"), clock_real() + INT64_C(89) * 86400000000, &t), 0);
    assert_int_equal(token_check(f.db, line_of(&out, "token"), clock_real() + INT64_C(91) * 86400000000, &t),
                     CLOUD_ABSENT); /* unless said otherwise */

    assert_int_equal(execute(ARGS("token", "add", "--tenant", "nobody"), &out, &err), EXIT_FAILED);
    assert_int_equal(execute(ARGS("token", "add"), &out, &err), EXIT_USAGE);
    assert_int_equal(execute(ARGS("token", "add", "--operator", "--tenant", "acme"), &out, &err), EXIT_USAGE);
    assert_int_equal(execute(ARGS("token", "add", "--tenant", "acme", "--expires", "never"), &out, &err), EXIT_USAGE);
    assert_int_equal(execute(ARGS("token", "add", "--tenant", "acme", "--expires", "367d"), &out, &err), EXIT_USAGE);
    static const char *const spans[] = {"30", "d", "0d", "-1d", "30x", "1.5d", "99999999d", ""};
    for (size_t i = 0; i < ARRAY_LEN(spans); i++)
        assert_int_equal(execute(ARGS("token", "add", "--operator", "--expires", spans[i]), &out, &err), EXIT_USAGE);
}

static void test_gateways(void **state)
{
    struct buf CLEANUP(buf_done) out, CLEANUP(buf_done) err, CLEANUP(buf_done) request;
    struct bundle b;
    uint8_t gw[GW_LEN], root[CRYPTO_POINT];
    char id[2 * GW_LEN + 1];
    buf_init(&out, ADMIN_ANSWER_MAX);
    buf_init(&err, 4096);
    buf_init(&request, ENROL_FILE_MAX);
    fixture_request(gw, &request);
    const char *const *add =
        ARGS("gateway", "add", "--tenant", "acme", "--site", "Gate", "--request", buf_str(&request));
    for (uint64_t gen = 1; gen <= 2; gen++) {
        assert_int_equal(execute(add, &out, &err), 0);
        assert_int_equal(bundle_read(buf_bytes(&out), NULL, &b, root), 0);
        assert_memory_equal(b.gw, gw, GW_LEN);
        assert_int_equal(b.gen, gen);
    }
    str_hex(gw, GW_LEN, id);
    assert_int_equal(execute(ARGS("gateway", "list"), &out, &err), 0);
    assert_non_null(strstr(buf_str(&out), id));
    assert_int_equal(execute(ARGS("gateway", "list", "--tenant", "globex"), &out, &err), 0);
    assert_null(strstr(buf_str(&out), id));
    assert_int_equal(execute(ARGS("gateway", "revoke", id), &out, &err), 0);
    assert_int_equal(execute(ARGS("gateway", "list", "--json"), &out, &err), 0);
    assert_non_null(strstr(buf_str(&out), "\"revoked\": \"20"));
    assert_int_equal(execute(ARGS("gateway", "revoke", "0000000000000000"), &out, &err), EXIT_FAILED);
    assert_int_equal(execute(ARGS("gateway", "revoke", "xyz"), &out, &err), EXIT_FAILED);
    assert_int_equal(
        execute(ARGS("gateway", "add", "--tenant", "nobody", "--site", "s", "--request", buf_str(&request)), &out,
                &err),
        EXIT_FAILED);
    assert_int_equal(out.len, 0);
    assert_int_equal(
        execute(ARGS("gateway", "add", "--tenant", "globex", "--site", "s", "--request", buf_str(&request)), &out,
                &err),
        0);
    assert_non_null(strstr(buf_str(&err), "it was tenant acme's before"));
    assert_int_equal(
        execute(ARGS("gateway", "add", "--tenant", "acme", "--site", "s", "--request", "rubbish"), &out, &err),
        EXIT_FAILED);
    assert_non_null(strstr(buf_str(&err), "request"));
    assert_int_equal(
        execute(ARGS("gateway", "add", "--tenant", "acme", "--site", "", "--request", buf_str(&request)), &out, &err),
        EXIT_FAILED);
    assert_non_null(strstr(buf_str(&err), "site"));
}

/* Makes the account active, as its owner does by the link. */
static void accept(const char *tenant, const char *login)
{
    struct account acc;
    struct scope s = fixture_begin(&f, tenant);
    assert_int_equal(account_by_login(&s, login, &acc), 0);
    acc.state = ACCOUNT_ACTIVE;
    acc.has_totp = true;
    assert_int_equal(account_put(&s, &acc), 0);
    assert_int_equal(granted_settle(&s, clock_real()), 0);
    fixture_commit(&f);
    account_wipe(&acc);
}

static bool has_factor(const char *tenant, const char *login)
{
    struct account acc;
    struct scope s = fixture_scope(&f, tenant);
    assert_int_equal(account_by_login(&s, login, &acc), 0);
    bool has = acc.has_totp;
    account_wipe(&acc);
    return has;
}

static uint64_t events(const char *tenant)
{
    struct audit_head head;
    struct scope s = fixture_scope(&f, tenant);
    assert_int_equal(audit_head(&s, &head), 0);
    return head.seq;
}

static void ends(const char *const *words, int code, const char *in_err)
{
    struct buf out, err;
    buf_init(&out, 4096);
    buf_init(&err, 4096);
    assert_int_equal(execute(words, &out, &err), code);
    assert_int_equal(out.len, 0);
    if (!strstr(buf_str(&err), in_err))
        fail_msg("%s lacks %s", buf_str(&err), in_err);
    buf_done(&out);
    buf_done(&err);
}

static void refused(const char *const *words, const char *in_err)
{
    ends(words, EXIT_FAILED, in_err);
}

static void misused(const char *const *words, const char *in_err)
{
    ends(words, EXIT_USAGE, in_err);
}

static void done(const char *const *words, struct buf *out)
{
    struct buf err;
    buf_reset(out);
    buf_init(&err, 4096);
    if (execute(words, out, &err) != EXIT_OK)
        fail_msg("%s", buf_str(&err));
    buf_done(&err);
}

/* A member of the object that a command printed; "" when it is no text. */
static const char *member_of(struct buf *out, const char *name)
{
    static char value[512];
    json_t *o = json_loads(buf_str(out), 0, NULL);
    assert_true(json_is_object(o));
    const char *s = json_string_value(json_object_get(o, name));
    assert_int_equal(str_copy(value, sizeof value, s ? s : ""), 0);
    json_decref(o);
    return value;
}

/* How often the trail has an event of this kind and outcome, about this id (NULL: whatever). */
static size_t in_trail(const char *tenant, const char *kind, const char *outcome, const char *about)
{
    struct buf CLEANUP(buf_done) out;
    char k[64], o[64], r[96] = "";
    size_t n = 0;
    buf_init(&out, ADMIN_ANSWER_MAX);
    snprintf(k, sizeof k, "\"kind\":\"%s\"", kind);
    snprintf(o, sizeof o, "\"outcome\":\"%s\"", outcome);
    if (about)
        snprintf(r, sizeof r, "\"%s\"", about);
    done(ARGS("audit", "export", "--tenant", tenant), &out);
    char *save = NULL, *text = strdup(buf_str(&out));
    for (char *p = strtok_r(text, "\n", &save); p; p = strtok_r(NULL, "\n", &save))
        n += strstr(p, k) && strstr(p, o) && strstr(p, r);
    free(text);
    return n;
}

/* What each command that changes something prints with --json, and that it is in the trail of whom it was about. */
static void test_json_and_trail(void **state)
{
    struct buf CLEANUP(buf_done) out, CLEANUP(buf_done) request;
    uint8_t gw[GW_LEN];
    char id[64], gateway[2 * GW_LEN + 1];
    buf_init(&out, ADMIN_ANSWER_MAX);
    buf_init(&request, ENROL_FILE_MAX);
    done(ARGS("tenant", "add", "umbra", "--json"), &out);
    assert_string_equal(member_of(&out, "tenant"), "umbra");
    assert_int_equal(in_trail("umbra", "cli.tenant.add", "done", "umbra"), 1);
    refused(ARGS("tenant", "add", "umbra"), "tenant show umbra");
    assert_int_equal(in_trail("umbra", "cli.tenant.add", "failed", NULL), 1);
    refused(ARGS("tenant", "add", "_vendor"), "\"_vendor\" is not a possible name");

    done(ARGS("token", "add", "--tenant", "umbra", "--label", "probe", "--json"), &out);
    strcpy(id, member_of(&out, "id"));
    assert_int_equal(strncmp(member_of(&out, "token"), "pct_", 4), 0);
    assert_string_not_equal(member_of(&out, "expires"), "");
    assert_int_equal(in_trail("umbra", "cli.token.add", "done", id), 1);
    done(ARGS("token", "revoke", id, "--json"), &out);
    assert_string_equal(member_of(&out, "revoked"), id);
    assert_int_equal(in_trail("umbra", "cli.token.revoke", "done", id), 1);
    refused(ARGS("token", "revoke", "0000000000000000"), "\"0000000000000000\"; `punchcloud token list`");
    done(ARGS("token", "add", "--operator", "--json"), &out);
    assert_int_equal(in_trail("_vendor", "cli.token.add", "done", member_of(&out, "id")), 1);

    fixture_request(gw, &request);
    str_hex(gw, GW_LEN, gateway);
    refused(ARGS("gateway", "invite", "--tenant", "umbra", "--site", "Gate"), "no site \"Gate\"");
    done(ARGS("gateway", "add", "--tenant", "umbra", "--site", "Gate", "--request", buf_str(&request), "--json"), &out);
    assert_string_equal(member_of(&out, "gateway"), gateway);
    assert_non_null(strstr(buf_str(&out), "\"bundle\": \""));
    assert_int_equal(in_trail("umbra", "cli.gateway.add", "done", gateway), 1);
    done(ARGS("gateway", "invite", "--tenant", "umbra", "--site", "Gate", "--expires", "7d", "--json"), &out);
    assert_int_equal(strlen(member_of(&out, "code")), INVITATION_CODE - 1);
    assert_int_equal(in_trail("umbra", "cli.gateway.invite", "done", member_of(&out, "invitation")), 1);
    misused(ARGS("gateway", "invite", "--tenant", "umbra", "--site", "Gate", "--expires", "8d"), "7d at most");
    done(ARGS("gateway", "revoke", gateway, "--json"), &out);
    assert_string_equal(member_of(&out, "revoked"), gateway);
    assert_int_equal(in_trail("umbra", "cli.gateway.revoke", "done", gateway), 1);

    done(ARGS("account", "invite", "--tenant", "umbra", "--login", "ada", "--name", "Ada", "--json"), &out);
    strcpy(id, member_of(&out, "account"));
    assert_int_equal(in_trail("umbra", "operator.account-invite", "done", id), 1);
    done(ARGS("account", "reset-second-factor", "ada", "--tenant", "umbra", "--json"), &out);
    assert_string_equal(member_of(&out, "account"), id);
    assert_int_equal(in_trail("umbra", "operator.account-reset-second-factor", "done", id), 1);
    done(ARGS("account", "archive", "ada", "--tenant", "umbra", "--json"), &out);
    assert_int_equal(in_trail("umbra", "operator.account-archive", "done", id), 1);
    assert_true(in_trail("umbra", "cli.audit.export", "done", NULL) > 0);

    done(ARGS("audit", "key", "--json"), &out);
    assert_int_equal(strncmp(member_of(&out, "key"), "-----BEGIN", 10), 0);
    done(ARGS("tenant", "show", "umbra", "--json"), &out);
    assert_non_null(strstr(buf_str(&out), "\"accounts\": 1"));
    assert_non_null(strstr(buf_str(&out), "\"gateways\": 1"));
    done(ARGS("tenant", "show", "umbra"), &out);
    assert_string_equal(line_of(&out, "owners"), "0");
    refused(ARGS("tenant", "show", "_vendor"), "no customer");
    refused(ARGS("gateway", "list", "--tenant", "nowhere"), "no customer \"nowhere\"");
    refused(ARGS("audit", "export", "--tenant", "nowhere"), "no customer \"nowhere\"");
}

/* The way into a company, and past its people when there is an Owner. */
static void test_accounts(void **state)
{
    struct buf out;
    buf_init(&out, 65536);
    char link[64], id[64];
    uint64_t before = events("globex");
    done(ARGS("account", "invite", "--tenant", "globex", "--login", "Ines@globex.example", "--name", "Ines", "--role",
              "owner"),
         &out);
    assert_int_equal(str_copy(link, sizeof link, line_of(&out, "invitation")), 0);
    assert_int_equal(str_copy(id, sizeof id, line_of(&out, "account")), 0);
    assert_int_equal(strlen(link), LINK_TEXT - 1);
    assert_int_equal(strncmp(line_of(&out, "link"), "https://", 8), 0);
    assert_string_equal(strchr(line_of(&out, "link"), '=') + 1, link);
    assert_int_equal(strlen(id), 2 * ID_LEN);
    assert_true(events("globex") > before);
    done(ARGS("account", "list", "--tenant", "globex"), &out);
    assert_non_null(strstr(buf_str(&out), id));
    assert_non_null(strstr(buf_str(&out), "invited"));
    assert_null(strstr(buf_str(&out), "nes")); /* neither name nor login */

    /* she has not come yet: there may be another, but none of that login or another kind */
    done(ARGS("account", "invite", "--tenant", "globex", "--login", "jan", "--name", "Jan", "--json"), &out);
    assert_non_null(strstr(buf_str(&out), "\"invitation\": \""));
    refused(ARGS("account", "invite", "--tenant", "globex", "--login", "JAN", "--name", "Jan"), "already");
    refused(ARGS("account", "invite", "--tenant", "globex", "--login", "j n", "--name", "Jan"), "not a possible login");
    refused(ARGS("account", "invite", "--tenant", "globex", "--login", "k", "--name", "K", "--role", "king"),
            "take one of owner, dpo, hr");
    refused(ARGS("account", "invite", "--tenant", "globex", "--login", "k", "--name", "K", "--role", "support"),
            "no role \"support\""); /* the vendor's */
    refused(ARGS("account", "invite", "--tenant", "nowhere", "--login", "k", "--name", "K"), "no customer \"nowhere\"");
    refused(ARGS("account", "invite", "--tenant", "_vendor", "--login", "k", "--name", "K"), "no customer \"_vendor\"");
    misused(ARGS("account", "invite", "--login", "k", "--name", "K"), "--vendor");
    misused(ARGS("account", "invite", "--tenant", "globex", "--vendor", "--login", "k", "--name", "K"), "--vendor");
    refused(ARGS("account", "invite", "--tenant", "globex", "--login", "k", "--name", "K", "--mail", "k at home"),
            "\"k at home\" is not a possible mail address");
    refused(ARGS("account", "archive", "nobody", "--tenant", "globex"), "no account of the login \"nobody\"");

    accept("globex", "ines@globex.example");
    before = events("globex");
    refused(ARGS("account", "invite", "--tenant", "globex", "--login", "k", "--name", "K"), "--emergency");
    refused(ARGS("account", "archive", "jan", "--tenant", "globex"), "--emergency");
    refused(ARGS("account", "reset-second-factor", "ines@globex.example", "--tenant", "globex"), "--emergency");
    refused(ARGS("account", "archive", "jan", "--tenant", "globex", "--emergency", ""), "reason");
    refused(ARGS("token", "add", "--tenant", "globex"), "Owner");
    assert_int_equal(events("globex"), before);
    assert_true(has_factor("globex", "ines@globex.example"));
    done(ARGS("account", "reset-second-factor", "ines@globex.example", "--tenant", "globex", "--emergency",
              "phone lost"),
         &out);
    assert_false(has_factor("globex", "ines@globex.example"));
    assert_int_equal(events("globex"), before + 1);
    refused(ARGS("account", "archive", "ines@globex.example", "--tenant", "globex", "--emergency", "gone"), "Owner");
    done(ARGS("account", "archive", "jan", "--tenant", "globex", "--emergency", "gone"), &out);
    done(ARGS("account", "list", "--tenant", "globex"), &out);
    assert_non_null(strstr(buf_str(&out), "archived"));

    done(ARGS("account", "invite", "--vendor", "--login", "mira", "--name", "Mira", "--role", "owner"), &out);
    refused(ARGS("account", "invite", "--vendor", "--login", "paul", "--name", "Paul", "--role", "hr"),
            "no role \"hr\"");
    done(ARGS("account", "list", "--vendor", "--json"), &out);
    buf_done(&out);
}

static void test_status_needs_the_daemon(void **state)
{
    struct buf CLEANUP(buf_done) out, CLEANUP(buf_done) err;
    buf_init(&out, ADMIN_ANSWER_MAX);
    buf_init(&err, 4096);
    assert_int_equal(execute(ARGS("status"), &out, &err), EXIT_FAILED);
}

/* ---- the two callers ---- */

static int client(const char *const *words)
{
    struct admin_args a;
    struct buf CLEANUP(buf_done) err;
    buf_init(&err, 4096);
    assert_int_equal(parse(words, &a, &err), 0);
    return admin_client(&f.set, &a);
}

struct daemon {
    struct loop *loop;
    struct admin_server *server;
    struct loop_timer *timer;
    pthread_t thread;
    int stop; /* atomic */
};

static void on_tick(void *arg)
{
    struct daemon *d = arg;
    if (__atomic_load_n(&d->stop, __ATOMIC_ACQUIRE))
        loop_stop(d->loop, 0);
    else
        loop_timer_set(d->timer, 10);
}

static void *run_loop(void *arg)
{
    struct daemon *d = arg;
    return (void *)(intptr_t)loop_run(d->loop);
}

static void daemon_start(struct daemon *d)
{
    assert_int_equal(loop_new(&d->loop), 0);
    assert_int_equal(loop_timer_new(d->loop, on_tick, d, &d->timer), 0);
    assert_int_equal(loop_timer_set(d->timer, 10), 0);
    assert_int_equal(admin_serve(d->loop, f.c, NULL, &d->server), 0);
    assert_int_equal(pthread_create(&d->thread, NULL, run_loop, d), 0);
}

static void daemon_stop(struct daemon *d)
{
    void *r = NULL;
    __atomic_store_n(&d->stop, 1, __ATOMIC_RELEASE);
    pthread_join(d->thread, &r);
    assert_null(r);
    admin_server_free(d->server);
    loop_timer_free(d->timer);
    loop_free(d->loop);
}

/* request and bundle as files on the client's side, over the socket and without a daemon */
static void enrol_by_files(uint64_t gen, const char *request, const char *out)
{
    struct buf CLEANUP(buf_done) text;
    struct bundle b;
    struct stat st;
    uint8_t root[CRYPTO_POINT];
    buf_init(&text, ENROL_FILE_MAX);
    assert_int_equal(
        client(ARGS("gateway", "add", "--tenant", "acme", "--site", "Gate", "--request", request, "--out", out)), 0);
    assert_int_equal(file_read(out, &text), 0);
    assert_int_equal(bundle_read(buf_bytes(&text), NULL, &b, root), 0);
    assert_int_equal(b.gen, gen);
    assert_int_equal(stat(out, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(unlink(out), 0);
}

static void test_client_with_and_without_a_daemon(void **state)
{
    struct buf CLEANUP(buf_done) text;
    struct daemon d = {0};
    uint8_t gw[GW_LEN];
    char request[128], out[128];
    snprintf(request, sizeof request, "%s/request.txt", f.s.dir);
    snprintf(out, sizeof out, "%s/bundle.txt", f.s.dir);
    buf_init(&text, ENROL_FILE_MAX);
    fixture_request(gw, &text);
    assert_int_equal(file_write(request, buf_bytes(&text), 0600), 0);

    daemon_start(&d);
    enrol_by_files(1, request, out);
    assert_int_equal(client(ARGS("tenant", "add", "overwire")), 0);
    assert_int_equal(client(ARGS("tenant", "add", "overwire")), EXIT_FAILED);
    assert_int_equal(client(ARGS("token", "add", "--expires", "1d")), EXIT_USAGE);
    assert_int_equal(
        client(ARGS("gateway", "add", "--tenant", "nobody", "--site", "s", "--request", request, "--out", out)),
        EXIT_FAILED);
    assert_false(file_exists(out));
    assert_int_equal(client(ARGS("gateway", "add", "--tenant", "acme", "--site", "s", "--request", "/nonexistent")),
                     EXIT_FAILED);
    daemon_stop(&d);

    /* nobody answers, but the lock is held: this process has the installation open */
    assert_int_equal(client(ARGS("status")), EXIT_ABSENT);
    fixture_close(&f);
    enrol_by_files(2, request, out);
    assert_int_equal(client(ARGS("tenant", "add", "overwire")), EXIT_FAILED);
    assert_int_equal(client(ARGS("tenant", "add", "alone")), 0);
    fixture_open(&f);
}

static int setup(void **state)
{
    fixture_make(&f);
    return 0;
}

static int teardown(void **state)
{
    fixture_done(&f);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parser),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_half_an_answer_is_none),
        cmocka_unit_test(test_tenants),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_gateways),
        cmocka_unit_test(test_accounts),
        cmocka_unit_test(test_json_and_trail),
        cmocka_unit_test(test_status_needs_the_daemon),
        cmocka_unit_test(test_client_with_and_without_a_daemon),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
