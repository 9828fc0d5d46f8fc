/* Ingest against a gateway of the test's own: committed once, acknowledged truthfully, refused for a counted reason. */
#include "tests/unit/cloud_gateway.h"

#include "cloud/reader.h"
#include "cloud/verify.h"
#include "wire/cbor.h"

static int setup(void **state)
{
    *state = fixture_new();
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

static void committed_and_acked(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    int64_t now = clock_real();
    tgw_punch(g, 1, now);
    tgw_punch(g, 2, now + SECOND);
    tgw_punch(g, 1, now + 2 * SECOND);
    send_all(x, g);
    char topic[TOPIC_MAX];
    topic_make(g->id, TOPIC_ACK, topic);
    assert_string_equal(x->ack_topic, topic);

    struct punch_list l;
    ask(x, PUNCH_ALL, NULL, &l);
    assert_int_equal(l.n, 3);
    assert_false(l.more);
    for (size_t i = 0; i < l.n; i++) {
        const struct punch_row *p = &l.items[i];
        struct cred c = card(i == 1 ? 2 : 1);
        assert_int_equal(p->state, PUNCH_UNASSIGNED);
        assert_false(p->has_person);
        assert_true(cred_equal(&p->cred, &c));
        assert_int_equal(p->time, now + (int64_t)i * SECOND);
        assert_int_equal(p->real, p->time);
        assert_int_equal(p->gseq, i + 1);
        assert_int_equal(p->index, i);
        assert_string_equal(p->reader, "door");
        assert_string_equal(p->site, "hq");
        assert_memory_equal(p->gw, g->id, GW_LEN);
        assert_int_equal(p->dir, DIR_IN);
        assert_true(p->uncertainty >= 1000 && p->uncertainty < 2000);
    }
    punch_list_done(&l);
    tgw_free(g);
}

/* A reader is known from its first punch on: by name, gateway and day. A pending punch counts for its receipt. */
static void readers_become_known(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq"), *other = tgw_new(x, "branch");
    struct reader_list l;
    int64_t now = clock_real(), today = day_of(now);
    age(x);
    assert_int_equal(reader_list(x->c, x->db, TENANT, NULL, 0, &l), 0);
    assert_int_equal(l.n, 0);
    reader_list_done(&l);
    tgw_punch_full(g, "door", 1, now, 1, ck_make(2, 1), 0);
    tgw_punch_full(g, "gate", 1, now, 2, ck_make(2, 1), 0);
    tgw_punch_full(g, "door", 2, now - 2 * DAY_US, 3, ck_make(2, 1), 0);
    send_all(x, g);
    tgw_punch_full(other, "door", 1, 0, 1, ck_make(0, CK_UNBOUNDED), 0);
    send_all(x, other);
    assert_int_equal(reader_list(x->c, x->db, TENANT, NULL, 0, &l), 0);
    assert_int_equal(l.n, 3);
    for (size_t i = 0; i < l.n; i++) {
        bool hq = memcmp(l.items[i].gw, g->id, GW_LEN) == 0, door = strcmp(l.items[i].name, "door") == 0;
        assert_true(door || strcmp(l.items[i].name, "gate") == 0);
        assert_string_equal(l.items[i].site, hq ? "hq" : "branch");
        assert_int_equal(l.items[i].first_day, hq && door ? today - 2 : today);
        assert_in_range(l.items[i].last_day, today, today + 1);
    }
    reader_list_done(&l);
    tgw_free(g);
    tgw_free(other);
}

static void replays_change_nothing(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    for (unsigned i = 0; i < 10; i++)
        tgw_punch(g, i, clock_real());
    assert_int_equal(send_seg(x, g, g->seg, 0, 4), 4);
    assert_int_equal(send_seg(x, g, g->seg, 0, 4), 4);
    assert_int_equal(send_seg(x, g, g->seg, 2, 5), 7); /* overlaps */
    assert_int_equal(send_seg(x, g, g->seg, 0, 2), 7);
    assert_int_equal(send_seg(x, g, g->seg, 8, 2), 7); /* beyond next: not committed */
    assert_int_equal(counted(x, INGEST_AHEAD), 1);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 7);
    fixture_restart(x);
    assert_int_equal(send_seg(x, g, g->seg, 0, 10), 10);
    assert_int_equal(send_seg(x, g, g->seg, 0, 10), 10);
    assert_int_equal(counted(x, INGEST_DUPLICATES), 17);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 10);
    tgw_free(g);
}

static void many_uploads_in_one_batch(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq"), *h = tgw_new(x, "branch");
    char topic[TOPIC_MAX];
    struct buf b;
    for (unsigned i = 0; i < 20; i++) {
        tgw_punch(g, i, clock_real());
        tgw_punch(h, 100 + i, clock_real());
    }
    buf_init(&b, UPLOAD_MAX);
    for (unsigned i = 0; i < 20; i++)
        for (int k = 0; k < 2; k++) {
            buf_reset(&b);
            tgw_upload(k ? h->seg : g->seg, i, 1, &b);
            topic_make(k ? h->id : g->id, TOPIC_UP, topic);
            ingest_put(x->in, topic, buf_bytes(&b));
        }
    buf_done(&b);
    for (unsigned i = 0; i < 40 && counted(x, INGEST_PUNCHES) < 40; i++)
        assert_int_equal(ingest_step(x->in, 0), 0);
    assert_int_equal(counted(x, INGEST_PUNCHES), 40);
    /* cumulative: fewer acks than uploads, the last of each says 20 */
    assert_true(x->n_acks >= 2 && x->n_acks < 40);
    assert_int_equal(x->acks[x->n_acks - 1].next, 20);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 40);
    tgw_free(g);
    tgw_free(h);
}

/* ---- refusals ---- */

static void every_flipped_bit_is_refused(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    struct buf b;
    tgw_punch(g, 1, clock_real());
    tgw_punch(g, 2, clock_real());
    assert_int_equal(send_seg(x, g, g->seg, 0, 1),
                     1); /* the segment is in the cache: flips must be seen all the same */
    buf_init(&b, UPLOAD_MAX);
    tgw_upload(g->seg, 1, 1, &b);
    for (size_t i = 0; i < b.len - 1; i++) { /* the last byte is the flags, hints only */
        uint64_t next = 0;
        uint8_t was = b.p[i];
        b.p[i] = (uint8_t)(was ^ (1u << (i % 8)));
        bool acked = send_bytes(x, g, buf_bytes(&b), &next);
        b.p[i] = was;
        if (acked && next != 1) /* an ack may repeat what is committed, never more */
            fail_msg("byte %zu flipped was committed", i);
    }
    assert_int_equal(counted(x, INGEST_PUNCHES), 1);
    assert_true(counted(x, INGEST_BAD_SIGNATURE) > 0);
    assert_true(counted(x, INGEST_BAD_RECORD) > 0);
    assert_true(counted(x, INGEST_BAD_CBOR) > 0);
    uint64_t next;
    assert_true(send_bytes(x, g, buf_bytes(&b), &next));
    assert_int_equal(next, 2);
    buf_done(&b);
    tgw_free(g);
}

static void refused_by_reason(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq"), *other = tgw_new(x, "hq");
    struct buf b;
    char topic[TOPIC_MAX];
    uint8_t *big = calloc(1, UPLOAD_MAX + 1);
    tgw_punch(g, 1, clock_real());
    buf_init(&b, UPLOAD_MAX);
    tgw_upload(g->seg, 0, 1, &b);

    assert_false(send_bytes(x, other, buf_bytes(&b), NULL)); /* on another gateway's topic */
    assert_int_equal(counted(x, INGEST_BAD_TOPIC), 1);
    topic_make(g->id, TOPIC_UP, topic);
    topic[9] = topic[9] == '0' ? '1' : '0'; /* punch/v1/<p> */
    ingest_put(x->in, topic, buf_bytes(&b));
    assert_int_equal(counted(x, INGEST_BAD_TOPIC), 2);
    assert_false(send_bytes(x, g, BYTES(big, UPLOAD_MAX + 1), NULL));
    assert_int_equal(counted(x, INGEST_BAD_SIZE), 1);
    assert_false(send_bytes(x, g, BYTES("garbage", 7), NULL));
    assert_int_equal(counted(x, INGEST_BAD_CBOR), 1);
    free(big);

    /* another's signing key */
    struct crypto_key *mine = g->sign;
    g->sign = other->sign;
    tseg_free(tgw_segment(g));
    g->sign = mine;
    tgw_punch(g, 1, clock_real());
    assert_int_equal(send_seg(x, g, g->seg, 0, 1), -1);
    assert_int_equal(counted(x, INGEST_BAD_SIGNATURE), 1);

    /* a recipient key that is not the tenant's */
    struct crypto_key *k;
    uint8_t recipient[CRYPTO_POINT];
    memcpy(recipient, g->recipient, sizeof recipient);
    assert_int_equal(crypto_key_new(CRYPTO_ECDH, &k), 0);
    assert_int_equal(crypto_key_point(k, g->recipient), 0);
    crypto_key_free(k);
    tseg_free(tgw_segment(g));
    memcpy(g->recipient, recipient, sizeof recipient);
    tgw_punch(g, 1, clock_real());
    assert_int_equal(send_seg(x, g, g->seg, 0, 1), -1);
    assert_int_equal(counted(x, INGEST_UNKNOWN_KEY), 1);

    /* nobody we know */
    uint8_t id = g->id[7];
    g->id[7] ^= 1;
    tseg_free(tgw_segment(g));
    tgw_punch(g, 1, clock_real());
    assert_int_equal(send_seg(x, g, g->seg, 0, 1), -1);
    assert_int_equal(counted(x, INGEST_UNKNOWN_GATEWAY), 1);
    g->id[7] = id;

    /* enrolled again: the old generation is over, also for what is in the cache */
    uint64_t old = g->gen;
    tgw_enrol(x, g, TENANT, "hq");
    assert_int_equal(g->gen, old + 1);
    assert_false(send_bytes(x, g, buf_bytes(&b), NULL));
    assert_int_equal(counted(x, INGEST_OLD_GENERATION), 1);

    assert_int_equal(gateway_revoke(x->c, x->db, g->id), 0);
    tseg_free(tgw_segment(g));
    tgw_punch(g, 1, clock_real());
    assert_int_equal(send_seg(x, g, g->seg, 0, 1), -1);
    assert_int_equal(counted(x, INGEST_REVOKED), 1);

    assert_int_equal(counted(x, INGEST_PUNCHES), 0);
    buf_done(&b);
    tgw_free(g);
    tgw_free(other);
}

static void poison_never_blocks(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    uint8_t bad[96] = {0xff}, later[96] = {0x82, 0x18, 0x63, 0x01};
    tgw_punch(g, 1, clock_real());
    tgw_plain(g, BYTES(bad, sizeof bad));
    tgw_plain(g, BYTES(later, sizeof later));
    tgw_punch(g, 2, clock_real());
    send_all(x, g);
    assert_int_equal(counted(x, INGEST_ODDITIES), 2);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 2);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM oddity"), 2);
    tgw_free(g);
}

static void damage_is_void_only_when_reported(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    uint8_t mem[64];
    struct tseg *damaged;
    for (unsigned i = 0; i < 3; i++)
        tgw_punch(g, i, clock_real());
    g->seg->recs[1].p[5] ^= 1;
    assert_int_equal(send_seg(x, g, g->seg, 0, 3), 1); /* stops before what does not open */
    damaged = tgw_segment(g);
    struct record e = {.kind = RECORD_EVENT, .real = clock_real(), .mono = 1, .ck = ck_make(2, 1000)};
    uint8_t arg[] = {0x82, 0x50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01};
    memcpy(arg + 2, seg_writer_id(damaged->w), SEGID_LEN);
    e.event.code = EVENT_RECORD_DAMAGED;
    e.event.arg = BYTES(arg, sizeof arg);
    tgw_record(g, &e);
    send_all(x, g);
    assert_int_equal(send_seg(x, g, damaged, 1, 2), 3);
    assert_int_equal(counted(x, INGEST_VOID), 1);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 2);
    (void)mem;
    tseg_free(damaged);
    tgw_free(g);
}

static void start_of(struct tgw *g, const char *version)
{
    uint8_t mem[64];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    struct record e = {.kind = RECORD_EVENT, .real = clock_real(), .mono = 1, .ck = ck_make(2, 1000)};
    cbor_put_text(&w, version);
    e.event.code = EVENT_STARTED;
    e.event.arg = BYTES(mem, w.len);
    tgw_record(g, &e);
}

static void expect_version(struct fixture *x, const struct tgw *g, const char *version)
{
    struct gateway row;
    assert_int_equal(gateway_get(x->db, TENANT, g->id, &row), 0);
    assert_string_equal(row.version, version);
}

/* After an outage what is new goes out first: an older start that arrives later says nothing new. */
static void a_gateway_says_what_it_runs(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    expect_version(x, g, "");
    start_of(g, "0.5.0");
    struct tseg *backlog = tgw_segment(g);
    start_of(g, "0.6.0");
    send_all(x, g);
    expect_version(x, g, "0.6.0");
    assert_int_equal(send_seg(x, g, backlog, 0, 1), 1);
    expect_version(x, g, "0.6.0");
    start_of(g, "0.7\n"); /* kept as an event, never shown as a version */
    start_of(g, "a version text that is longer than any that is");
    send_all(x, g);
    expect_version(x, g, "0.6.0");
    tseg_free(backlog);
    tgw_free(g);
}

static void an_old_image_is_reported(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    tgw_punch(g, 1, clock_real());
    send_all(x, g);
    struct tseg *first = tgw_segment(g);
    tgw_punch(g, 2, clock_real());
    send_all(x, g);
    assert_int_equal(counted(x, INGEST_FORKS), 0);
    struct tseg *second = g->seg; /* the image: the gateway is back at its first segment */
    g->seg = first;
    assert_ptr_equal(tgw_segment(g), first);
    tgw_punch(g, 3, clock_real());
    send_all(x, g);
    assert_int_equal(counted(x, INGEST_FORKS), 1);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 3);
    tseg_free(first);
    tseg_free(second);
    tgw_free(g);
}

static void status_is_kept(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq"), *other = tgw_new(x, "hq");
    struct status s = {.gen = g->gen, .online = true, .real = clock_real(), .mono = 5, .ck = ck_make(2, 1000)};
    struct gateway seen;
    struct buf b;
    char topic[TOPIC_MAX];
    memcpy(s.gw, g->id, GW_LEN);
    s.counts[COUNT_PUNCHES] = 42;
    buf_init(&b, STATUS_MSG_MAX);
    topic_make(g->id, TOPIC_STATUS, topic);

    assert_int_equal(status_encode(&s, other->sign, &b), 0);
    ingest_put(x->in, topic, buf_bytes(&b));
    ingest_step(x->in, 0);
    assert_int_equal(counted(x, INGEST_BAD_SIGNATURE), 1);
    assert_int_equal(gateway_get(x->db, TENANT, g->id, &seen), 0);
    assert_false(seen.has_status);

    buf_reset(&b);
    assert_int_equal(status_encode(&s, g->sign, &b), 0);
    ingest_put(x->in, topic, buf_bytes(&b));
    ingest_step(x->in, 0);
    assert_int_equal(gateway_get(x->db, TENANT, g->id, &seen), 0);
    assert_true(seen.has_status && seen.online);
    assert_int_equal(seen.counts[COUNT_PUNCHES], 42);
    buf_done(&b);
    tgw_free(g);
    tgw_free(other);
}

/* The recipient key was destroyed: nothing new opens, but what is committed is still acknowledged, by the ack key that
 * the ledger keeps. */
static void replay_after_the_recipient_key_is_gone(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    tgw_punch(g, 1, clock_real());
    tgw_punch(g, 2, clock_real());
    assert_int_equal(send_seg(x, g, g->seg, 0, 1), 1);
    assert_int_equal(db_script(x->db, "DELETE FROM recipient"), 0);
    fixture_restart(x); /* the opened segment is not in the cache any more */
    assert_int_equal(send_seg(x, g, g->seg, 0, 1), 1);
    assert_int_equal(send_seg(x, g, g->seg, 0, 2), 1);
    assert_int_equal(counted(x, INGEST_UNKNOWN_KEY), 1);
    struct tseg *before = tgw_segment(g);
    tgw_punch(g, 3, clock_real());
    assert_int_equal(send_seg(x, g, g->seg, 0, 1), -1);
    assert_int_equal(counted(x, INGEST_UNKNOWN_KEY), 2);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), 1);
    tseg_free(before);
    tgw_free(g);
}

/* More segments than the cache has room for: in one batch the last ones must wait, in later ones they are opened anew.
 */
static void more_segments_than_the_cache_holds(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    struct verifier *v;
    struct upload *u = calloc(1, sizeof *u);
    struct buf b[VERIFIER_WAYS + 2];
    struct gateway found;
    const struct opened *o;
    assert_int_equal(verifier_new(1, &v), 0);
    for (size_t i = 0; i < ARRAY_LEN(b); i++) {
        tgw_punch(g, 1, clock_real());
        buf_init(&b[i], UPLOAD_MAX);
        tgw_upload(g->seg, 0, 1, &b[i]);
        tseg_free(g->seg);
        g->seg = NULL;
    }
    for (int round = 0; round < 3; round++) {
        verifier_next_batch(v);
        for (size_t i = 0; i < ARRAY_LEN(b); i++) {
            int r = verify_upload(v, x->c, x->db, g->id, buf_bytes(&b[i]), u, &found, &o);
            assert_int_equal(r, i < VERIFIER_WAYS ? 0 : -EAGAIN);
        }
        verifier_next_batch(v);
        for (size_t i = ARRAY_LEN(b); i-- > VERIFIER_WAYS;) {
            assert_int_equal(verify_upload(v, x->c, x->db, g->id, buf_bytes(&b[i]), u, &found, &o), 0);
            assert_non_null(o->reader);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(b); i++)
        buf_done(&b[i]);
    verifier_free(v);
    free(u);
    tgw_free(g);
}

static void queue_is_bounded(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    char topic[TOPIC_MAX];
    topic_make(g->id, TOPIC_UP, topic);
    for (size_t i = 0; i < x->set.ingest.queue + 3; i++)
        ingest_put(x->in, topic, BYTES("x", 1));
    assert_int_equal(counted(x, INGEST_DROPPED), 3);
    tgw_free(g);
}

/* Ingest remembers who holds a card; it must notice when a card is given to somebody else, at once. */
static void a_card_changes_hands(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    struct cred c = card(1);
    struct person anna, ben;
    struct credential made;
    struct punch_list l;
    uint64_t refiled;
    int64_t now = clock_real();
    assert_int_equal(people_create(x->c, x->db, TENANT, &(struct person_set){.name = "Anna"}, &anna), 0);
    assert_int_equal(people_create(x->c, x->db, TENANT, &(struct person_set){.name = "Ben"}, &ben), 0);
    assert_int_equal(credential_assign(x->c, x->db, TENANT, anna.id, &c, RENDER_DEC10, 0, INT64_MAX, &made, &refiled),
                     0);
    tgw_punch(g, 1, now);
    tgw_punch(g, 1, now + 1);
    send_all(x, g);
    assert_int_equal(ask_n(x, PUNCH_ALL, anna.id), 2);
    assert_int_equal(credential_unassign(x->c, x->db, TENANT, made.id, now + SECOND, &made, &refiled), 0);
    tgw_punch(g, 1, now + SECOND);
    send_all(x, g);
    assert_int_equal(ask_n(x, PUNCH_ALL, anna.id), 2);
    assert_int_equal(ask_n(x, PUNCH_UNASSIGNED, NULL), 1);
    for (int i = 2; i <= 6; i++) { /* more holders than are remembered of one card */
        assert_int_equal(credential_assign(x->c, x->db, TENANT, ben.id, &c, RENDER_DEC10, now + i * SECOND,
                                           now + (i + 1) * SECOND, &made, &refiled),
                         0);
        tgw_punch(g, 1, now + i * SECOND);
        tgw_punch(g, 1, now); /* still Anna's time */
        send_all(x, g);
    }
    ask(x, PUNCH_ALL, ben.id, &l);
    assert_int_equal(l.n, 5);
    punch_list_done(&l);
    assert_int_equal(ask_n(x, PUNCH_ALL, anna.id), 7);
    tgw_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_card_changes_hands, setup, teardown),
        cmocka_unit_test_setup_teardown(committed_and_acked, setup, teardown),
        cmocka_unit_test_setup_teardown(readers_become_known, setup, teardown),
        cmocka_unit_test_setup_teardown(replays_change_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(many_uploads_in_one_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(every_flipped_bit_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_by_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(poison_never_blocks, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_void_only_when_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(a_gateway_says_what_it_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(an_old_image_is_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(status_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(replay_after_the_recipient_key_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(more_segments_than_the_cache_holds, setup, teardown),
        cmocka_unit_test_setup_teardown(queue_is_bounded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
