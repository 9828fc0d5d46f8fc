/* Support requests and break-glass in the store: who is let in, to what, until when, whatever the clock does. */
#include "tests/unit/cloud_fixture.h"

#include "cloud/account.h"
#include "cloud/audit.h"
#include "cloud/confidentiality.h"
#include "cloud/erasure.h"
#include "cloud/people.h"
#include "cloud/scope.h"
#include "cloud/support.h"
#include "cloud/support_trail.h"

#define HOUR (INT64_C(3600) * 1000000)
#define MINUTE (INT64_C(60) * 1000000)
#define T0 (INT64_C(1790000000) * 1000000)
#define DEVICES (PERM_BIT(PERM_GATEWAYS_READ) | PERM_BIT(PERM_READERS_READ))

struct rig {
    struct fixture f;
    struct scope s;
};

static const uint8_t nobody[ID_LEN];
static const uint8_t mira[ID_LEN] = {1}, paul[ID_LEN] = {2}, rosa[ID_LEN] = {3}, owner[ID_LEN] = {9};

static int setup(void **state)
{
    struct rig *x = calloc(1, sizeof *x);
    assert_non_null(x);
    fixture_make(&x->f);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct rig *x = *state;
    fixture_done(&x->f);
    free(x);
    return 0;
}

static struct scope *begin(struct rig *x, const char *tenant)
{
    assert_int_equal(cloud_begin(x->f.c, x->f.db), 0);
    assert_int_equal(scope_init(x->f.c, x->f.db, tenant, &x->s), 0);
    return &x->s;
}

static int end(struct rig *x, int r)
{
    if (r == 0)
        assert_int_equal(cloud_commit(x->f.c, x->f.db), 0);
    else
        cloud_rollback(x->f.c, x->f.db);
    return r;
}

static struct support asks(const uint8_t account[ID_LEN], uint64_t perms, int64_t length)
{
    struct support p = {.kind = SUPPORT_REQUEST, .asked = perms, .reach = REACH_TENANT, .length = length};
    memcpy(p.account, account, ID_LEN);
    str_copy(p.ticket, sizeof p.ticket, "T-4711");
    str_copy(p.reason, sizeof p.reason, "readers of the east gate are silent");
    return p;
}

static struct support alarms(const uint8_t account[ID_LEN], int64_t length)
{
    struct support p = asks(account, DEVICES, length);
    p.kind = SUPPORT_BREAK_GLASS;
    p.category = SUPPORT_AVAILABILITY;
    p.ticket[0] = '\0';
    return p;
}

static int ask(struct rig *x, const char *tenant, struct support p, int64_t now, struct support *ret)
{
    return end(x, support_ask(begin(x, tenant), &p, now, ret));
}

static int decide(struct rig *x, const char *tenant, const struct support *p, uint64_t perms, int64_t length,
                  int64_t now, struct support *ret)
{
    const struct support_decision d = {
        .approve = perms != 0, .decider = owner, .perms = perms, .length = length, .reason = "go on"};
    return end(x, support_decide(begin(x, tenant), p->id, &d, now, ret));
}

static int second(struct rig *x, const struct support *p, const uint8_t account[ID_LEN], int64_t now,
                  struct support *ret)
{
    return end(x, support_second(begin(x, "acme"), p->id, account, now, ret));
}

static int finish(struct rig *x, const struct support *p, enum support_end how, int64_t now)
{
    struct support q;
    return end(x, support_end(begin(x, "acme"), p->id, how, now, &q));
}

static int review(struct rig *x, const struct support *p, const uint8_t account[ID_LEN], const char *findings,
                  int64_t now)
{
    struct support q;
    return end(x, support_review(begin(x, "acme"), p->id, account, findings, now, &q));
}

/* What the account may, 0 for nothing; and then it is under no request. */
static uint64_t may(struct rig *x, const char *tenant, const uint8_t account[ID_LEN], int64_t now)
{
    struct rights r;
    uint8_t id[ID_LEN];
    assert_int_equal(support_rights(x->f.db, tenant, account, now, &r, id), 0);
    assert_int_equal(r.n == 0, memcmp(id, nobody, ID_LEN) == 0);
    return rights_all(&r);
}

static size_t due(struct rig *x, int64_t now, bool back)
{
    struct support_due d[8];
    size_t n = 0;
    assert_int_equal(support_due(x->f.db, now, back, ARRAY_LEN(d), d, &n), 0);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(d[i].tenant, "acme");
    return n;
}

static void lets_in_for_its_time_only(void **state)
{
    struct rig *x = *state;
    struct support p, q;
    assert_int_equal(ask(x, "acme", asks(mira, DEVICES, 2 * HOUR), T0, &p), 0);
    assert_int_equal(may(x, "acme", mira, T0), 0); /* asked for is not let in */
    assert_int_equal(decide(x, "acme", &p, DEVICES, 2 * HOUR, T0 + MINUTE, &q), 0);
    assert_int_equal(may(x, "acme", mira, T0 + MINUTE), DEVICES);
    assert_int_equal(may(x, "acme", mira, T0 + MINUTE + 2 * HOUR - 1), DEVICES);
    assert_int_equal(may(x, "acme", mira, T0 + MINUTE + 2 * HOUR), 0);
    assert_int_equal(may(x, "acme", mira, T0 + MINUTE - CLOCK_BACK_US), DEVICES); /* a clock may be corrected */
    assert_int_equal(may(x, "acme", mira, T0 + MINUTE - CLOCK_BACK_US - 1), 0);   /* and not set back */
    assert_int_equal(may(x, "acme", paul, T0 + MINUTE), 0);
    assert_int_equal(may(x, "globex", mira, T0 + MINUTE), 0);

    assert_int_equal(support_get(begin(x, "acme"), p.id, &q), 0);
    end(x, 0);
    assert_string_equal(q.ticket, "T-4711");
    assert_string_equal(q.reason, "readers of the east gate are silent");
    assert_string_equal(q.decision, "go on");
    assert_memory_equal(q.decider, owner, ID_LEN);
    assert_false(q.damaged);
    assert_int_equal(support_state_at(&q, T0 + HOUR), SUPPORT_ACTIVE);
    assert_int_equal(support_state_at(&q, T0 + 3 * HOUR), SUPPORT_ENDED);
}

static void another_company_neither_sees_nor_decides(void **state)
{
    struct rig *x = *state;
    struct support p, q;
    struct support_list l;
    assert_int_equal(ask(x, "acme", asks(mira, DEVICES, HOUR), T0, &p), 0);
    assert_int_equal(decide(x, "globex", &p, DEVICES, HOUR, T0, &q), CLOUD_ABSENT);
    assert_int_equal(support_get(begin(x, "globex"), p.id, &q), CLOUD_ABSENT);
    assert_int_equal(support_list(&x->s, SUPPORT_REQUEST, NULL, NULL, 10, &l), 0);
    assert_int_equal(l.n, 0);
    support_list_done(&l);
    end(x, 0);
    assert_int_equal(support_list(begin(x, "acme"), SUPPORT_REQUEST, NULL, NULL, 10, &l), 0);
    assert_int_equal(l.n, 1);
    support_list_done(&l);
    assert_int_equal(support_list(&x->s, SUPPORT_REQUEST, paul, NULL, 10, &l), 0);
    assert_int_equal(l.n, 0);
    support_list_done(&l);
    assert_int_equal(support_list(&x->s, SUPPORT_BREAK_GLASS, NULL, NULL, 10, &l), 0);
    assert_int_equal(l.n, 0);
    support_list_done(&l);
    end(x, 0);

    /* the vendor sees its own of all customers */
    assert_int_equal(ask(x, "globex", asks(mira, DEVICES, HOUR), T0, &q), 0);
    assert_int_equal(support_list(begin(x, VENDOR_TENANT), SUPPORT_REQUEST, mira, NULL, 10, &l), 0);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.items[0].ticket, "T-4711");
    assert_string_equal(l.items[1].ticket, "T-4711");
    assert_string_not_equal(l.items[0].tenant, l.items[1].tenant);
    support_list_done(&l);
    assert_int_equal(support_list(&x->s, SUPPORT_REQUEST, paul, NULL, 10, &l), 0);
    assert_int_equal(l.n, 0);
    support_list_done(&l);
    end(x, 0);
    char of[TENANT_MAX + 1];
    assert_int_equal(support_locate(x->f.db, q.id, of), 0);
    assert_string_equal(of, "globex");
    assert_int_equal(support_locate(x->f.db, rosa, of), CLOUD_ABSENT);
}

static void a_decision_may_narrow_and_never_widen(void **state)
{
    struct rig *x = *state;
    struct support p, q;
    const uint64_t one = PERM_BIT(PERM_GATEWAYS_READ);
    assert_int_equal(ask(x, "acme", asks(mira, DEVICES, 2 * HOUR), T0, &p), 0);
    assert_int_equal(decide(x, "acme", &p, DEVICES | PERM_BIT(PERM_PEOPLE_READ), HOUR, T0, &q), CLOUD_INVALID);
    assert_int_equal(decide(x, "acme", &p, DEVICES, 2 * HOUR + 1, T0, &q), CLOUD_INVALID);
    assert_int_equal(decide(x, "acme", &p, DEVICES, 0, T0, &q), CLOUD_INVALID);
    assert_int_equal(decide(x, "acme", &p, one, HOUR, T0, &q), 0);
    assert_int_equal(may(x, "acme", mira, T0), one);
    assert_int_equal(may(x, "acme", mira, T0 + HOUR), 0);
}

static void is_decided_once(void **state)
{
    struct rig *x = *state;
    struct support p, q;
    assert_int_equal(ask(x, "acme", asks(mira, DEVICES, HOUR), T0, &p), 0);
    assert_int_equal(decide(x, "acme", &p, 0, 0, T0, &q), 0); /* denied */
    assert_int_equal(q.state, SUPPORT_DENIED);
    assert_int_equal(decide(x, "acme", &p, DEVICES, HOUR, T0 + 1, &q), CLOUD_CONFLICT);
    assert_int_equal(may(x, "acme", mira, T0 + 2), 0);

    assert_int_equal(ask(x, "acme", asks(mira, DEVICES, HOUR), T0, &p), 0);
    assert_int_equal(decide(x, "acme", &p, DEVICES, HOUR, T0, &q), 0);
    assert_int_equal(finish(x, &p, SUPPORT_END_TENANT, T0 + MINUTE), 0);
    assert_int_equal(may(x, "acme", mira, T0 + MINUTE), 0);
    assert_int_equal(decide(x, "acme", &p, DEVICES, HOUR, T0 + MINUTE, &q), CLOUD_CONFLICT);
    assert_int_equal(finish(x, &p, SUPPORT_END_VENDOR, T0 + MINUTE), CLOUD_CONFLICT);

    /* too late, or withdrawn */
    assert_int_equal(ask(x, "acme", asks(mira, DEVICES, HOUR), T0, &p), 0);
    assert_int_equal(decide(x, "acme", &p, DEVICES, HOUR, T0 + SUPPORT_WAITS_US, &q), CLOUD_CONFLICT);
    assert_int_equal(finish(x, &p, SUPPORT_END_TENANT, T0), CLOUD_CONFLICT); /* who is not in is denied, not ended */
    assert_int_equal(finish(x, &p, SUPPORT_END_VENDOR, T0), 0);
    assert_int_equal(decide(x, "acme", &p, DEVICES, HOUR, T0, &q), CLOUD_CONFLICT);
}

static void asks_within_its_limits(void **state)
{
    struct rig *x = *state;
    struct support p, bad;
    static const enum perm never[] = {PERM_GRANTS_CHANGE,    PERM_ACCOUNTS_CHANGE,  PERM_SUPPORT_APPROVE,
                                      PERM_SETTINGS_CHANGE,  PERM_TENANT_TERMINATE, PERM_WEBHOOKS_CHANGE,
                                      PERM_PEOPLE_ERASE,     PERM_SUPPORT_REQUEST,  PERM_BREAKGLASS_REQUEST,
                                      PERM_BREAKGLASS_REVIEW};
    for (size_t i = 0; i < ARRAY_LEN(never); i++)
        assert_int_equal(ask(x, "acme", asks(mira, DEVICES | PERM_BIT(never[i]), HOUR), T0, &p), CLOUD_INVALID);
    assert_int_equal(ask(x, "acme", asks(mira, 0, HOUR), T0, &p), CLOUD_INVALID);
    assert_int_equal(ask(x, "acme", asks(mira, PERM_BIT(PERM_COUNT), HOUR), T0, &p), CLOUD_INVALID);
    assert_int_equal(ask(x, "acme", asks(mira, DEVICES, 8 * HOUR + 1), T0, &p), CLOUD_INVALID);
    assert_int_equal(ask(x, "acme", asks(mira, DEVICES, 0), T0, &p), CLOUD_INVALID);
    assert_int_equal(ask(x, "acme", alarms(mira, HOUR + 1), T0, &p), CLOUD_INVALID);
    bad = alarms(mira, HOUR);
    bad.category = 0;
    assert_int_equal(ask(x, "acme", bad, T0, &p), CLOUD_INVALID);
    bad = asks(mira, DEVICES, HOUR);
    bad.reason[0] = '\0';
    assert_int_equal(ask(x, "acme", bad, T0, &p), CLOUD_INVALID);

    /* one at a time: what is done is done under that one */
    assert_int_equal(ask(x, "acme", asks(mira, DEVICES, 8 * HOUR), T0, &p), 0);
    assert_int_equal(ask(x, "acme", asks(mira, DEVICES, HOUR), T0, &p), CLOUD_CONFLICT);
    assert_int_equal(ask(x, "acme", alarms(mira, HOUR), T0, &p), CLOUD_CONFLICT);
    assert_int_equal(ask(x, "globex", asks(mira, DEVICES, HOUR), T0, &p), 0);
    assert_int_equal(ask(x, "acme", asks(paul, DEVICES, HOUR), T0, &p), 0);
    assert_int_equal(ask(x, "acme", asks(mira, DEVICES, HOUR), T0 + SUPPORT_WAITS_US, &p), 0); /* the first lapsed */
}

static void breaks_glass_in_twos_and_is_reviewed_by_a_third(void **state)
{
    struct rig *x = *state;
    struct support p, q;
    bool owed = true;
    assert_int_equal(ask(x, "acme", alarms(mira, 30 * MINUTE), T0, &p), 0);
    assert_int_equal(may(x, "acme", mira, T0), 0);
    assert_int_equal(second(x, &p, mira, T0, &q), CLOUD_INVALID);
    assert_int_equal(decide(x, "acme", &p, DEVICES, 30 * MINUTE, T0, &q), CLOUD_ABSENT); /* it is no request */
    assert_int_equal(support_review_owed(x->f.db, &owed), 0);
    assert_false(owed);
    assert_int_equal(second(x, &p, paul, T0 + MINUTE, &q), 0);
    assert_int_equal(second(x, &p, rosa, T0 + MINUTE, &q), CLOUD_CONFLICT);
    assert_int_equal(may(x, "acme", mira, T0 + MINUTE), DEVICES);
    assert_int_equal(may(x, "acme", paul, T0 + MINUTE), 0); /* he watches */
    assert_int_equal(support_review_owed(x->f.db, &owed), 0);
    assert_true(owed);
    assert_int_equal(review(x, &p, rosa, "broker was down", T0 + 2 * MINUTE), CLOUD_CONFLICT); /* it goes on */
    assert_int_equal(finish(x, &p, SUPPORT_END_TENANT, T0 + 3 * MINUTE), 0);
    assert_int_equal(may(x, "acme", mira, T0 + 3 * MINUTE), 0);
    assert_int_equal(review(x, &p, mira, "all well", T0 + HOUR), CLOUD_INVALID);
    assert_int_equal(review(x, &p, paul, "all well", T0 + HOUR), CLOUD_INVALID);
    assert_int_equal(review(x, &p, rosa, "", T0 + HOUR), CLOUD_INVALID);
    assert_int_equal(review(x, &p, rosa, "broker was down", T0 + HOUR), 0);
    assert_int_equal(review(x, &p, rosa, "no, all well", T0 + HOUR), CLOUD_CONFLICT);
    assert_int_equal(support_review_owed(x->f.db, &owed), 0);
    assert_false(owed);

    assert_int_equal(ask(x, "acme", alarms(mira, HOUR), T0 + HOUR, &p), 0); /* nobody comes to second it */
    assert_int_equal(second(x, &p, paul, T0 + HOUR + SUPPORT_SECOND_US, &q), CLOUD_CONFLICT);
}

static void the_sweep_notices_each_end_once(void **state)
{
    struct rig *x = *state;
    struct support p, q;
    assert_int_equal(ask(x, "acme", asks(mira, DEVICES, HOUR), T0, &p), 0);
    assert_int_equal(due(x, T0, false), 0);
    assert_int_equal(due(x, T0 - CLOCK_BACK_US, false), 0);
    assert_int_equal(due(x, T0 - CLOCK_BACK_US - 1, false), 1);
    assert_int_equal(due(x, T0 + SUPPORT_WAITS_US, false), 1);
    assert_int_equal(decide(x, "acme", &p, DEVICES, HOUR, T0, &q), 0);
    assert_int_equal(due(x, T0 + HOUR - 1, false), 0);
    assert_int_equal(due(x, T0 - CLOCK_BACK_US, false), 0);
    assert_int_equal(end(x, support_expire(begin(x, "acme"), p.id, false, T0 + HOUR - 1, &q)), CLOUD_CONFLICT);
    assert_int_equal(due(x, T0 + HOUR, false), 1);
    assert_int_equal(end(x, support_expire(begin(x, "acme"), p.id, false, T0 + HOUR + MINUTE, &q)), 0);
    assert_int_equal(q.end, SUPPORT_END_TIME);
    assert_int_equal(q.ended, T0 + HOUR); /* not when somebody came to look */
    assert_int_equal(end(x, support_expire(begin(x, "acme"), p.id, false, T0 + HOUR + MINUTE, &q)), CLOUD_CONFLICT);
    assert_int_equal(may(x, "acme", mira, T0 + MINUTE), 0); /* nor does a clock that is set back open it again */
    assert_int_equal(due(x, T0 + 2 * HOUR, false), 1);      /* to be told */
    assert_int_equal(end(x, support_told(begin(x, "acme"), p.id)), 0);
    assert_int_equal(due(x, T0 + 2 * HOUR, false), 0);

    /* what its own or the customer's people ended is told, too; what nobody was let in by is not */
    assert_int_equal(ask(x, "acme", asks(mira, DEVICES, HOUR), T0, &p), 0);
    assert_int_equal(decide(x, "acme", &p, DEVICES, HOUR, T0, &q), 0);
    assert_int_equal(finish(x, &p, SUPPORT_END_VENDOR, T0 + 1), 0);
    assert_int_equal(ask(x, "acme", asks(paul, DEVICES, HOUR), T0, &p), 0);
    assert_int_equal(decide(x, "acme", &p, 0, 0, T0, &q), 0);
    assert_int_equal(due(x, T0 + 2, false), 1);
}

/* Whose summary cannot be told keeps nobody else's from being noticed. */
static void one_customer_keeps_no_other_waiting(void **state)
{
    struct rig *x = *state;
    struct support p, q, r;
    assert_int_equal(ask(x, "acme", asks(mira, DEVICES, HOUR), T0, &p), 0);
    assert_int_equal(decide(x, "acme", &p, DEVICES, HOUR, T0, &p), 0);
    assert_int_equal(ask(x, "globex", asks(paul, DEVICES, HOUR), T0, &q), 0);
    assert_int_equal(decide(x, "globex", &q, DEVICES, HOUR, T0, &q), 0);
    (void)begin(x, "acme");
    assert_int_equal(
        end(x, db_script(x->f.db, "CREATE TRIGGER no BEFORE UPDATE OF told ON support WHEN NEW.told = 1 AND"
                                  " NEW.tenant_id = 'acme' BEGIN SELECT RAISE(ABORT, 'no'); END;")),
        0);
    assert_int_equal(support_sweep(x->f.c, x->f.db, T0 + HOUR, false), 0);
    assert_int_equal(support_get(begin(x, "acme"), p.id, &r), 0);
    assert_int_equal(r.state, SUPPORT_ENDED);
    cloud_rollback(x->f.c, x->f.db);
    assert_int_not_equal(support_sweep(x->f.c, x->f.db, T0 + 2 * HOUR, false), 0); /* acme's summary */
    assert_int_equal(support_get(begin(x, "globex"), q.id, &r), 0);
    assert_true(r.told);
    cloud_rollback(x->f.c, x->f.db);
}

static void a_clock_set_back_ends_what_is_active(void **state)
{
    struct rig *x = *state;
    struct support p, q;
    assert_int_equal(ask(x, "acme", asks(mira, DEVICES, HOUR), T0, &p), 0);
    assert_int_equal(decide(x, "acme", &p, DEVICES, HOUR, T0, &q), 0);
    assert_int_equal(due(x, T0 + MINUTE, false), 0);
    assert_int_equal(due(x, T0 + MINUTE, true), 1);
    assert_int_equal(end(x, support_expire(begin(x, "acme"), p.id, true, T0 + MINUTE, &q)), 0);
    assert_int_equal(q.end, SUPPORT_END_CLOCK);
    assert_int_equal(may(x, "acme", mira, T0 + 2 * MINUTE), 0);
}

static void reaches_one_site_when_it_says_so(void **state)
{
    struct rig *x = *state;
    struct support p = asks(mira, DEVICES, HOUR), q;
    struct rights r;
    uint8_t id[ID_LEN];
    static const uint8_t east[ID_LEN] = {7}, west[ID_LEN] = {8};
    p.reach = REACH_SITE;
    memcpy(p.reach_id, east, ID_LEN);
    assert_int_equal(ask(x, "acme", p, T0, &p), 0);
    assert_int_equal(decide(x, "acme", &p, DEVICES, HOUR, T0, &q), 0);
    assert_int_equal(support_rights(x->f.db, "acme", mira, T0, &r, id), 0);
    assert_memory_equal(id, p.id, ID_LEN);
    assert_true(rights_reach(&r, PERM_GATEWAYS_READ, REACH_SITE, east));
    assert_false(rights_reach(&r, PERM_GATEWAYS_READ, REACH_SITE, west));
    assert_false(rights_everywhere(&r, PERM_GATEWAYS_READ));
}

/* Somebody with the store in their hands writes more into a row than was ever let in. */
static void a_row_gives_no_more_than_there_is_to_give(void **state)
{
    struct rig *x = *state;
    struct support p, q;
    assert_int_equal(ask(x, "acme", asks(mira, DEVICES, HOUR), T0, &p), 0);
    assert_int_equal(decide(x, "acme", &p, DEVICES, HOUR, T0, &q), 0);
    begin(x, "acme");
    assert_int_equal(db_script(x->f.db, "UPDATE support SET perms = -1"), 0);
    end(x, 0);
    assert_int_equal(may(x, "acme", mira, T0), PERM_ALL & ~SUPPORT_NEVER);
}

static void confidentiality_is_signed_once_a_version(void **state)
{
    struct rig *x = *state;
    int64_t when = 0;
    assert_true(strlen(confidentiality_text()) > 100);
    assert_int_equal(confidentiality_signed(x->f.db, mira, &when), CLOUD_ABSENT);
    assert_int_equal(end(x, confidentiality_sign(begin(x, VENDOR_TENANT), mira, T0)), 0);
    assert_int_equal(end(x, confidentiality_sign(begin(x, VENDOR_TENANT), mira, T0 + 1)), CLOUD_CONFLICT);
    assert_int_equal(confidentiality_signed(x->f.db, mira, &when), 0);
    assert_int_equal(when, T0);
    assert_int_equal(confidentiality_signed(x->f.db, paul, &when), CLOUD_ABSENT);
    assert_int_equal(end(x, confidentiality_forget(begin(x, VENDOR_TENANT), mira)), 0);
    assert_int_equal(confidentiality_signed(x->f.db, mira, &when), CLOUD_ABSENT);
}

static void a_signature_goes_with_whoever_signed(void **state)
{
    struct rig *x = *state;
    struct person p;
    struct erasure e;
    int64_t when = 0;
    struct account a = {.state = ACCOUNT_INVITED, .login = "mira", .language = "en", .created = T0};
    const struct person_set set = {.name = "Mira"};
    static const struct who asker = {.is = WHO_OPERATOR, .home = VENDOR_TENANT};
    const struct audit_event asked = {.kind = "people.erase", .outcome = AUDIT_DONE, .who = &asker};
    assert_int_equal(people_create(x->f.c, x->f.db, VENDOR_TENANT, &set, &p), 0);
    memcpy(a.id, mira, ID_LEN);
    memcpy(a.person, p.id, ID_LEN);
    memcpy(a.key, p.key, KEY_ID_LEN);
    assert_int_equal(end(x, account_put(begin(x, VENDOR_TENANT), &a)), 0);
    assert_int_equal(end(x, confidentiality_sign(begin(x, VENDOR_TENANT), mira, T0)), 0);
    assert_int_equal(end(x, confidentiality_sign(begin(x, VENDOR_TENANT), paul, T0)), 0);
    assert_int_equal(erasure_make(x->f.c, x->f.db, VENDOR_TENANT, p.id, &asked, &e), 0);
    assert_int_equal(confidentiality_signed(x->f.db, mira, &when), CLOUD_ABSENT);
    assert_int_equal(confidentiality_signed(x->f.db, paul, &when), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(lets_in_for_its_time_only),
        T(another_company_neither_sees_nor_decides),
        T(a_decision_may_narrow_and_never_widen),
        T(is_decided_once),
        T(asks_within_its_limits),
        T(breaks_glass_in_twos_and_is_reviewed_by_a_third),
        T(the_sweep_notices_each_end_once),
        T(one_customer_keeps_no_other_waiting),
        T(a_clock_set_back_ends_what_is_active),
        T(reaches_one_site_when_it_says_so),
        T(a_row_gives_no_more_than_there_is_to_give),
        T(confidentiality_is_signed_once_a_version),
        T(a_signature_goes_with_whoever_signed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
