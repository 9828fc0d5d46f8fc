/* Dedup by itself, and intake with its marks over a real spool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crypto.h"
#include "daemon/intake.h"
#include "tests/unit/tmp.h"

#define SECOND UINT64_C(1000000)
#define HOLD (2 * SECOND)

static void hash_of(uint8_t n, uint8_t ret[DEDUP_HASH])
{
    memset(ret, n, DEDUP_HASH);
}

static bool seen(struct dedup *d, uint8_t card, uint64_t mono)
{
    uint8_t h[DEDUP_HASH];
    hash_of(card, h);
    return dedup_seen(d, h, mono, HOLD);
}

static void test_hold(void **state)
{
    struct dedup d = {0};
    (void)state;
    assert_false(seen(&d, 1, 10 * SECOND));
    assert_true(seen(&d, 1, 11 * SECOND));
    assert_false(seen(&d, 2, 11 * SECOND)); /* two people within a second are two punches */
    assert_true(seen(&d, 1, 11 * SECOND + 1));
    assert_false(seen(&d, 2, 13 * SECOND)); /* exactly `hold` later it is a new punch */
}

static void test_hold_is_extended_while_seen(void **state)
{
    struct dedup d = {0};
    (void)state;
    assert_false(seen(&d, 1, SECOND));
    for (uint64_t s = 2; s < 30; s++)
        assert_true(seen(&d, 1, s * SECOND));
    assert_false(seen(&d, 1, 32 * SECOND));
}

static void test_no_hold(void **state)
{
    struct dedup d = {0};
    uint8_t h[DEDUP_HASH] = {1};
    (void)state;
    assert_false(dedup_seen(&d, h, 5, 0));
    assert_false(dedup_seen(&d, h, 5, 0));
}

static void test_extend(void **state)
{
    struct dedup d = {0};
    uint8_t h[DEDUP_HASH];
    (void)state;
    hash_of(1, h);
    dedup_extend(&d, h, SECOND); /* of nobody */
    assert_false(seen(&d, 1, SECOND + 1));
    dedup_extend(&d, h, 30 * SECOND);
    dedup_extend(&d, h, 20 * SECOND); /* never back */
    assert_true(seen(&d, 1, 31 * SECOND));
    assert_false(seen(&d, 1, 33 * SECOND));
}

static void test_forget(void **state)
{
    struct dedup d = {0};
    uint8_t h[DEDUP_HASH];
    (void)state;
    hash_of(1, h);
    assert_false(seen(&d, 1, SECOND));
    dedup_forget(&d, h);
    assert_false(seen(&d, 1, SECOND + 1));
}

static void test_crowd(void **state)
{
    struct dedup d = {0};
    (void)state;
    for (uint8_t i = 0; i < DEDUP_SLOTS + 1; i++)
        assert_false(seen(&d, (uint8_t)(i + 1), SECOND + i));
    assert_true(seen(&d, DEDUP_SLOTS + 1, SECOND + 100));
    assert_false(seen(&d, 1, SECOND + 101)); /* the one not seen for longest was forgotten, not a newer one */
}

/* ---- intake ---- */

static char gate_name[] = "gate", door_name[] = "door";
static struct reader_settings lanes[] = {{.name = gate_name, .hold_ms = 2000}, {.name = door_name, .hold_ms = 2000}};
static const struct conf_list readers = {.items = lanes, .n = 2};
enum { GATE = 0, DOOR = 1 };

struct fixture {
    char dir[128];
    struct spool *spool;
    struct intake *in;
    uint8_t key[CRYPTO_KEY], boot[BOOT_LEN];
    uint64_t gseq, token;
};

static void open_intake(struct fixture *f, bool key_lost)
{
    struct intake_options o = {
        .readers = &readers, .hash_key = f->key, .key_fresh = key_lost, .boot = f->boot, .spool = f->spool};
    assert_int_equal(intake_new(&o, &f->in), 0);
}

static struct fixture *fixture_new(void)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    tmp_dir(f->dir, sizeof(f->dir));
    strcat(f->dir, "/spool");
    struct spool_options o = {.dir = f->dir, .gen = 1, .budget = 1 << 20};
    assert_int_equal(spool_open(&o, &f->spool), 0);
    memset(f->key, 7, sizeof(f->key));
    open_intake(f, false);
    return f;
}

static void fixture_free(struct fixture *f)
{
    intake_free(f->in);
    spool_free(f->spool);
    *strrchr(f->dir, '/') = '\0';
    tmp_remove(f->dir);
    free(f);
}

/* As after a crash: what is on disk and the hash key. */
static void restart(struct fixture *f, bool key_lost)
{
    assert_int_equal(spool_commit(f->spool), 0);
    intake_free(f->in);
    spool_free(f->spool);
    struct spool_options o = {.dir = f->dir, .gen = 1, .budget = 1 << 20};
    assert_int_equal(spool_open(&o, &f->spool), 0);
    if (key_lost)
        memset(f->key, 8, sizeof(f->key));
    open_intake(f, key_lost);
}

static struct sight sight(struct fixture *f, unsigned reader, uint8_t card, uint64_t mono)
{
    struct sight s = {.kind = SIGHT_CARD, .reader = reader, .token = ++f->token, .mono = mono, .real = 1};
    s.cred = (struct cred){.tech = TECH_EM4100, .bits = 40, .data = {card}};
    return s;
}

/* A sighting on an acknowledged reader; a punch is stored at once, with its mark. */
static enum intake_verdict show(struct fixture *f, unsigned reader, uint8_t card, uint64_t mono, struct entry *ret)
{
    struct sight s = sight(f, reader, card, mono);
    enum intake_verdict v;
    assert_int_equal(intake_card(f->in, &s, true, ret, &v), 0);
    if (v != INTAKE_PUNCH)
        return v;
    ret->rec.gseq = ++f->gseq;
    struct spool_mark m = {.gseq = ret->rec.gseq, .mono = ret->rec.mono};
    memcpy(m.hash, ret->hash, sizeof(m.hash));
    memcpy(m.boot, f->boot, sizeof(m.boot));
    assert_int_equal(spool_set_mark(f->spool, ret->mark, &m), 0);
    assert_int_equal(spool_commit(f->spool), 0);
    intake_result(f->in, ret, true);
    return v;
}

/* A reader that shows a card while it is there: never marked, and told of its leaving. */
static enum intake_verdict shown(struct fixture *f, uint8_t card, uint64_t mono, bool stored)
{
    struct sight s = sight(f, GATE, card, mono);
    enum intake_verdict v;
    struct entry e;
    assert_int_equal(intake_card(f->in, &s, false, &e, &v), 0);
    if (v == INTAKE_PUNCH)
        intake_result(f->in, &e, stored);
    return v;
}

static void left(struct fixture *f, uint8_t card, uint64_t seen_last)
{
    struct sight s = sight(f, GATE, card, seen_last);
    s.kind = SIGHT_LEFT;
    assert_int_equal(intake_left(f->in, &s), 0);
}

static void test_hold_counts_from_leaving(void **state)
{
    struct fixture *f = fixture_new();
    (void)state;
    assert_int_equal(shown(f, 1, SECOND, true), INTAKE_PUNCH);
    left(f, 1, 60 * SECOND); /* it lay there for a minute */
    assert_int_equal(shown(f, 2, 60 * SECOND + 1, true), INTAKE_PUNCH);
    assert_int_equal(shown(f, 1, 61 * SECOND, true), INTAKE_REPEAT); /* out of the field and back */
    left(f, 1, 70 * SECOND);
    assert_int_equal(shown(f, 1, 72 * SECOND, true), INTAKE_PUNCH);
    assert_int_equal(shown(f, 3, 80 * SECOND, false), INTAKE_PUNCH); /* refused: the next time counts */
    left(f, 3, 81 * SECOND);
    assert_int_equal(shown(f, 3, 81 * SECOND + 1, true), INTAKE_PUNCH);

    struct sight bad = sight(f, GATE, 1, SECOND);
    bad.cred.bits = 7; /* its byte is 1: an unused bit is set */
    assert_int_equal(intake_left(f->in, &bad), -EINVAL);

    restart(f, false); /* nothing is known of before */
    assert_int_equal(shown(f, 1, 72 * SECOND + 1, true), INTAKE_PUNCH);
    fixture_free(f);
}

static void settled(struct fixture *f, enum sight_kind kind, unsigned reader)
{
    struct sight s = {.kind = kind, .reader = reader, .token = f->token};
    assert_int_equal(intake_settled(f->in, &s), 0);
}

static bool marked(struct fixture *f, const char *reader)
{
    struct spool_mark m;
    assert_int_equal(spool_commit(f->spool), 0);
    int r = spool_mark(f->spool, reader, &m);
    assert_true(r == 0 || r == SPOOL_NONE);
    return r == 0;
}

static void test_kill_between_commit_and_answer(void **state)
{
    struct fixture *f = fixture_new();
    struct entry e;
    (void)state;
    assert_int_equal(show(f, GATE, 1, SECOND, &e), INTAKE_PUNCH);
    restart(f, false);
    assert_int_equal(show(f, GATE, 1, 3 * SECOND - 1, &e), INTAKE_REPEAT);
    settled(f, SIGHT_ACKED, GATE);
    assert_false(marked(f, gate_name));
    restart(f, false);
    assert_int_equal(show(f, GATE, 1, 200 * SECOND, &e), INTAKE_PUNCH);
    assert_int_equal(e.rec.punch.repeat, 0);
    fixture_free(f);
}

/* The reader of that name is of another kind since. */
static void test_mark_of_a_replaced_reader(void **state)
{
    struct fixture *f = fixture_new();
    struct entry e;
    (void)state;
    assert_int_equal(show(f, GATE, 1, SECOND, &e), INTAKE_PUNCH);
    restart(f, false);
    assert_int_equal(shown(f, 1, 2 * SECOND, true), INTAKE_PUNCH);
    restart(f, false);
    assert_int_equal(show(f, GATE, 1, 200 * SECOND, &e), INTAKE_PUNCH);
    assert_int_equal(e.rec.punch.repeat, 0);
    fixture_free(f);
}

/* A restart that took its time: it may be the read of before, or somebody who came back. */
static void test_kill_and_late_restart(void **state)
{
    struct fixture *f = fixture_new();
    struct entry e;
    (void)state;
    assert_int_equal(show(f, GATE, 1, SECOND, &e), INTAKE_PUNCH);
    uint64_t gseq = e.rec.gseq;
    restart(f, false);
    assert_int_equal(show(f, GATE, 1, 3 * SECOND, &e), INTAKE_PUNCH);
    assert_int_equal(e.rec.punch.repeat, gseq);
    settled(f, SIGHT_ACKED, GATE);
    assert_int_equal(show(f, GATE, 1, 100 * SECOND, &e), INTAKE_PUNCH);
    assert_int_equal(e.rec.punch.repeat, 0);
    fixture_free(f);
}

/* Times of another boot cannot be compared, whatever the clocks show. */
static void test_reboot_with_key(void **state)
{
    struct fixture *f = fixture_new();
    struct entry e;
    (void)state;
    assert_int_equal(show(f, GATE, 1, SECOND, &e), INTAKE_PUNCH);
    uint64_t gseq = e.rec.gseq;
    f->boot[0]++;
    restart(f, false);
    assert_int_equal(show(f, GATE, 1, SECOND + 1, &e), INTAKE_PUNCH);
    assert_int_equal(e.rec.punch.repeat, gseq);
    fixture_free(f);
}

/* The spool was full when the card came again: not stored is not told as stored at the next look. */
static void test_lost_sight_and_refused(void **state)
{
    struct fixture *f = fixture_new();
    struct entry e;
    enum intake_verdict v;
    (void)state;
    assert_int_equal(show(f, GATE, 1, SECOND, &e), INTAKE_PUNCH);
    uint64_t gseq = e.rec.gseq;
    struct sight s = sight(f, GATE, 1, 60 * SECOND);
    assert_int_equal(intake_card(f->in, &s, true, &e, &v), 0);
    assert_int_equal(v, INTAKE_PUNCH);
    intake_result(f->in, &e, false);
    assert_int_equal(show(f, GATE, 1, 60 * SECOND + 5, &e), INTAKE_PUNCH);
    assert_int_equal(e.rec.punch.repeat, gseq);
    fixture_free(f);
}

static void test_other_card_after_restart(void **state)
{
    struct fixture *f = fixture_new();
    struct entry e;
    (void)state;
    assert_int_equal(show(f, GATE, 1, SECOND, &e), INTAKE_PUNCH);
    restart(f, false);
    assert_int_equal(show(f, GATE, 2, 2 * SECOND, &e), INTAKE_PUNCH);
    assert_int_equal(e.rec.punch.repeat, 0);
    /* The same card on another reader is no repeat either. */
    assert_int_equal(show(f, DOOR, 1, 2 * SECOND, &e), INTAKE_PUNCH);
    assert_int_equal(e.rec.punch.repeat, 0);
    fixture_free(f);
}

static void test_power_cut(void **state)
{
    struct fixture *f = fixture_new();
    struct entry e;
    (void)state;
    assert_int_equal(show(f, GATE, 1, SECOND, &e), INTAKE_PUNCH);
    uint64_t gseq = e.rec.gseq;
    restart(f, true);
    assert_int_equal(show(f, GATE, 1, SECOND, &e), INTAKE_PUNCH);
    assert_int_equal(e.rec.punch.repeat, gseq);
    settled(f, SIGHT_ACKED, GATE);
    assert_int_equal(show(f, GATE, 1, 100 * SECOND, &e), INTAKE_PUNCH);
    assert_int_equal(e.rec.punch.repeat, 0); /* the first report only */
    fixture_free(f);
}

static void test_power_cut_and_refused(void **state)
{
    struct fixture *f = fixture_new();
    struct entry e;
    enum intake_verdict v;
    (void)state;
    assert_int_equal(show(f, GATE, 1, SECOND, &e), INTAKE_PUNCH);
    uint64_t gseq = e.rec.gseq;
    restart(f, true);
    struct sight s = sight(f, GATE, 1, SECOND);
    assert_int_equal(intake_card(f->in, &s, true, &e, &v), 0);
    assert_int_equal(v, INTAKE_PUNCH);
    intake_result(f->in, &e, false); /* the spool was full */
    assert_int_equal(show(f, GATE, 1, SECOND + 5, &e), INTAKE_PUNCH);
    assert_int_equal(e.rec.punch.repeat, gseq);
    fixture_free(f);
}

static void test_idle_settles(void **state)
{
    struct fixture *f = fixture_new();
    struct entry e;
    (void)state;
    assert_int_equal(show(f, GATE, 1, SECOND, &e), INTAKE_PUNCH);
    restart(f, false);
    settled(f, SIGHT_IDLE, GATE); /* the device holds no read: it was acknowledged before the crash */
    assert_int_equal(show(f, GATE, 1, 100 * SECOND, &e), INTAKE_PUNCH);
    assert_int_equal(e.rec.punch.repeat, 0);
    fixture_free(f);
}

/* A disk that failed takes back what was staged; the mark must be gone from it all the same. */
static void test_settled_before_reopen(void **state)
{
    struct fixture *f = fixture_new();
    struct spool_mark m;
    struct entry e;
    (void)state;
    assert_int_equal(show(f, GATE, 1, SECOND, &e), INTAKE_PUNCH);
    assert_int_equal(show(f, DOOR, 2, SECOND, &e), INTAKE_PUNCH);
    struct sight s = {.kind = SIGHT_ACKED, .reader = GATE, .token = f->token - 1};
    assert_int_equal(intake_settled(f->in, &s), 0);
    assert_int_equal(spool_reopen(f->spool), 0);
    assert_int_equal(spool_mark(f->spool, gate_name, &m), 0); /* back again */
    intake_resync(f->in);
    assert_int_equal(spool_commit(f->spool), 0);
    assert_int_equal(spool_mark(f->spool, gate_name, &m), SPOOL_NONE);
    assert_int_equal(spool_mark(f->spool, door_name, &m), 0); /* still waits for its acknowledgement */
    restart(f, false);
    assert_int_equal(show(f, GATE, 1, 100 * SECOND, &e), INTAKE_PUNCH);
    assert_int_equal(e.rec.punch.repeat, 0);
    fixture_free(f);
}

static void test_driver_lost_sight(void **state)
{
    struct fixture *f = fixture_new();
    struct entry e;
    (void)state;
    assert_int_equal(show(f, GATE, 1, SECOND, &e), INTAKE_PUNCH);
    uint64_t gseq = e.rec.gseq;
    assert_int_equal(show(f, GATE, 1, 2 * SECOND, &e), INTAKE_REPEAT); /* within hold */
    assert_int_equal(show(f, GATE, 1, 60 * SECOND, &e), INTAKE_PUNCH); /* beyond: the cloud decides */
    assert_int_equal(e.rec.punch.repeat, gseq);
    fixture_free(f);
}

static void test_refused_is_not_seen(void **state)
{
    struct fixture *f = fixture_new();
    struct entry e;
    enum intake_verdict v;
    (void)state;
    struct sight s = sight(f, GATE, 1, SECOND);
    assert_int_equal(intake_card(f->in, &s, true, &e, &v), 0);
    intake_result(f->in, &e, false);
    s.mono += 5;
    assert_int_equal(intake_card(f->in, &s, true, &e, &v), 0);
    assert_int_equal(v, INTAKE_PUNCH);
    assert_false(marked(f, gate_name));
    fixture_free(f);
}

static void test_stale_token(void **state)
{
    struct fixture *f = fixture_new();
    struct entry e;
    (void)state;
    assert_int_equal(show(f, GATE, 1, SECOND, &e), INTAKE_PUNCH);
    struct sight stale = {.kind = SIGHT_ACKED, .reader = GATE, .token = f->token - 1};
    assert_int_equal(intake_settled(f->in, &stale), 0);
    assert_true(marked(f, gate_name));
    settled(f, SIGHT_ACKED, GATE);
    assert_false(marked(f, gate_name));
    fixture_free(f);
}

static void test_invalid(void **state)
{
    struct fixture *f = fixture_new();
    struct entry e;
    enum intake_verdict v;
    (void)state;
    struct sight s = sight(f, GATE, 1, SECOND);
    s.cred.tech = 99;
    assert_int_equal(intake_card(f->in, &s, true, &e, &v), 0);
    assert_int_equal(v, INTAKE_INVALID);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_hold_is_extended_while_seen),
        cmocka_unit_test(test_no_hold),
        cmocka_unit_test(test_extend),
        cmocka_unit_test(test_hold_counts_from_leaving),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_kill_between_commit_and_answer),
        cmocka_unit_test(test_mark_of_a_replaced_reader),
        cmocka_unit_test(test_kill_and_late_restart),
        cmocka_unit_test(test_reboot_with_key),
        cmocka_unit_test(test_lost_sight_and_refused),
        cmocka_unit_test(test_other_card_after_restart),
        cmocka_unit_test(test_power_cut),
        cmocka_unit_test(test_power_cut_and_refused),
        cmocka_unit_test(test_idle_settles),
        cmocka_unit_test(test_settled_before_reopen),
        cmocka_unit_test(test_driver_lost_sight),
        cmocka_unit_test(test_refused_is_not_seen),
        cmocka_unit_test(test_stale_token),
        cmocka_unit_test(test_invalid),
    };
    if (crypto_init() != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
