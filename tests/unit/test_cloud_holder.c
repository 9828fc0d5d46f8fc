/* Whose punch it is: assigning and unassigning move punches by their corrected time, in both directions. */
#include "tests/unit/cloud_gateway.h"

static int setup(void **state)
{
    *state = fixture_new();
    age(*state);
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

static struct person make(struct fixture *x, const char *name)
{
    struct person p;
    assert_int_equal(
        people_create(x->c, x->db, TENANT, &(struct person_set){.name = name, .personnel_number = name}, &p), 0);
    return p;
}

static struct credential give(struct fixture *x, const struct person *p, unsigned number, int64_t from, int64_t until,
                              uint64_t refiled)
{
    struct credential c;
    struct cred cred = card(number);
    uint64_t n;
    assert_int_equal(credential_assign(x->c, x->db, TENANT, p->id, &cred, RENDER_DEC10, from, until, &c, &n), 0);
    assert_int_equal(n, refiled);
    return c;
}

static size_t inbox(struct fixture *x, struct waiting *ret_first)
{
    struct waiting_list l;
    assert_int_equal(credential_waiting(x->c, x->db, TENANT, NULL, 100, &l), 0);
    size_t n = l.n;
    if (n > 0 && ret_first != NULL)
        *ret_first = l.items[0];
    waiting_list_done(&l);
    return n;
}

static void claims_what_waited(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    age(x);
    int64_t now = clock_real();
    struct waiting w;
    for (int i = 9; i >= 0; i--)
        tgw_punch(g, 1, now - i * 13 * HOUR); /* over several days, perhaps two months */
    tgw_punch(g, 2, now);
    send_all(x, g);
    assert_int_equal(inbox(x, NULL), 2);

    struct person anna = make(x, "Anna");
    struct keyring *ring;
    assert_int_equal(cloud_keyring(x->c, TENANT, &ring), 0);
    size_t keys = keyring_count(ring);
    give(x, &anna, 1, now - 3 * 13 * HOUR, TIME_MAX, 4);
    assert_int_equal(keyring_count(ring), keys + 1); /* a fresh waiting key for the rest */
    assert_int_equal(ask_n(x, PUNCH_ALL, anna.id), 4);
    assert_int_equal(ask_n(x, PUNCH_ASSIGNED, NULL), 4);
    assert_int_equal(ask_n(x, PUNCH_UNASSIGNED, NULL), 7);
    assert_int_equal(inbox(x, &w), 2);
    struct waiting_list l;
    assert_int_equal(credential_waiting(x->c, x->db, TENANT, NULL, 100, &l), 0);
    assert_int_equal(l.items[1].count, 6);
    assert_int_equal(l.items[1].first, now - 9 * 13 * HOUR);
    assert_int_equal(l.items[1].last, now - 4 * 13 * HOUR);
    waiting_list_done(&l);

    /* new ones go straight to her */
    tgw_punch(g, 1, now + SECOND);
    assert_int_equal(send_seg(x, g, g->seg, 11, 1), 12);
    assert_int_equal(ask_n(x, PUNCH_ALL, anna.id), 5);

    /* an earlier holder claims what she had not */
    struct person bert = make(x, "Bert");
    give(x, &bert, 1, TIME_MIN, now - 3 * 13 * HOUR, 6);
    assert_int_equal(ask_n(x, PUNCH_ALL, bert.id), 6);
    assert_int_equal(ask_n(x, PUNCH_ALL, anna.id), 5);
    assert_int_equal(inbox(x, NULL), 1);

    struct punch_list p;
    ask(x, PUNCH_ASSIGNED, NULL, &p);
    assert_int_equal(p.n, 11);
    assert_string_equal(p.items[0].person_name, "Bert");
    assert_string_equal(p.items[10].person_name, "Anna");
    assert_memory_equal(p.items[10].person, anna.id, ID_LEN);
    punch_list_done(&p);
    tgw_free(g);
}

static void late_punches_go_to_who_held_it_then(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    age(x);
    int64_t now = clock_real();
    struct person anna = make(x, "Anna"), bert = make(x, "Bert");
    give(x, &anna, 1, now - 4 * DAY_US, now - 2 * DAY_US, 0);
    give(x, &bert, 1, now - 2 * DAY_US, TIME_MAX, 0);
    tgw_punch(g, 1, now - 5 * DAY_US);     /* nobody's */
    tgw_punch(g, 1, now - 4 * DAY_US);     /* from is inside */
    tgw_punch(g, 1, now - 2 * DAY_US - 1); /* until is outside */
    tgw_punch(g, 1, now - 2 * DAY_US);
    tgw_punch(g, 1, now);
    send_all(x, g);
    assert_int_equal(ask_n(x, PUNCH_ALL, anna.id), 2);
    assert_int_equal(ask_n(x, PUNCH_ALL, bert.id), 2);
    assert_int_equal(ask_n(x, PUNCH_UNASSIGNED, NULL), 1);
    tgw_free(g);
}

static void unassign_gives_back(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    age(x);
    int64_t now = clock_real();
    struct waiting w;
    struct person anna = make(x, "Anna"), bert = make(x, "Bert");
    struct credential c = give(x, &anna, 1, TIME_MIN, TIME_MAX, 0);
    give(x, &anna, 2, TIME_MIN, TIME_MAX, 0);
    for (int i = 5; i >= 0; i--)
        tgw_punch(g, 1, now - i * DAY_US);
    tgw_punch(g, 2, now);
    send_all(x, g);
    assert_int_equal(ask_n(x, PUNCH_ALL, anna.id), 7);

    uint64_t n;
    assert_int_equal(credential_unassign(x->c, x->db, TENANT, c.id, now - 2 * DAY_US, &c, &n), 0);
    assert_int_equal(n, 3);
    assert_int_equal(ask_n(x, PUNCH_ALL, anna.id), 4); /* the other card is still hers */
    assert_int_equal(inbox(x, &w), 1);
    assert_int_equal(w.count, 3);
    struct credential got;
    assert_int_equal(credential_get(x->c, x->db, TENANT, c.id, &got), 0);
    assert_int_equal(got.until, now - 2 * DAY_US);
    assert_int_equal(credential_unassign(x->c, x->db, TENANT, c.id, now, &got, NULL), CLOUD_INVALID);

    give(x, &bert, 1, now - 2 * DAY_US, TIME_MAX, 3);
    assert_int_equal(ask_n(x, PUNCH_ALL, bert.id), 3);
    assert_int_equal(inbox(x, NULL), 0);
    struct credential_list l;
    assert_int_equal(credential_list(x->c, x->db, TENANT, anna.id, &l), 0);
    assert_int_equal(l.n, 2);
    credential_list_done(&l);
    tgw_free(g);
}

static void overlaps_are_refused(void **state)
{
    struct fixture *x = *state;
    int64_t now = clock_real();
    struct person anna = make(x, "Anna"), bert = make(x, "Bert");
    struct credential c;
    struct cred one = card(1), nothing = {.tech = 99};
    give(x, &anna, 1, now, now + HOUR, 0);
    const struct {
        int64_t from, until;
        int r;
    } cases[] = {{now, TIME_MAX, CLOUD_CONFLICT},
                 {TIME_MIN, now + 1, CLOUD_CONFLICT},
                 {now + 1, now + 2, CLOUD_CONFLICT},
                 {TIME_MIN, TIME_MAX, CLOUD_CONFLICT},
                 {now + HOUR, now + HOUR, CLOUD_INVALID},
                 {TIME_MIN, now, 0},
                 {now + HOUR, TIME_MAX, 0}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(
            credential_assign(x->c, x->db, TENANT, bert.id, &one, RENDER_HEX, cases[i].from, cases[i].until, &c, NULL),
            cases[i].r);
    assert_int_equal(credential_assign(x->c, x->db, TENANT, c.id, &one, RENDER_HEX, now, TIME_MAX, &c, NULL),
                     CLOUD_ABSENT);
    assert_int_equal(credential_assign(x->c, x->db, TENANT, bert.id, &nothing, RENDER_HEX, now, TIME_MAX, &c, NULL),
                     CLOUD_INVALID);
}

static void pending_ones_move_too(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    int64_t now = clock_real();
    tgw_punch_full(g, "door", 1, 5, 10 * SECOND, ck_make(0, CK_UNBOUNDED), 0);
    send_all(x, g);
    struct person anna = make(x, "Anna"), bert = make(x, "Bert");
    give(x, &anna, 1, now - HOUR, TIME_MAX, 1);
    struct punch_list l;
    ask(x, PUNCH_PENDING, anna.id, &l);
    assert_int_equal(l.n, 1);
    assert_string_equal(l.items[0].person_name, "Anna");
    punch_list_done(&l);
    assert_int_equal(inbox(x, NULL), 0);
    /* its true time turns out to lie before she had it */
    give(x, &bert, 1, TIME_MIN, now - HOUR, 0);
    tgw_clock(g, now, 2 * 3600 * SECOND + 10 * SECOND, ck_make(2, 1));
    age(x);
    assert_int_equal(send_seg(x, g, g->seg, 1, 1), 2);
    assert_int_equal(ask_n(x, PUNCH_ALL, anna.id), 0);
    assert_int_equal(ask_n(x, PUNCH_ASSIGNED, bert.id), 1);
    tgw_free(g);
}

/* Who can write the database but has no keys must not make Bob's card Anna's. */
static void rows_cannot_be_pointed_elsewhere(void **state)
{
    struct fixture *x = *state;
    struct person anna = make(x, "Anna"), bob = make(x, "Bob");
    struct credential_list l;
    give(x, &anna, 1, TIME_MIN, TIME_MAX, 0);
    give(x, &bob, 2, TIME_MIN, TIME_MAX, 0);
    assert_int_equal(credential_list(x->c, x->db, TENANT, anna.id, &l), 0);
    assert_int_equal(l.n, 1);
    credential_list_done(&l);
    assert_int_equal(db_script(x->db, "UPDATE credential SET cidx = (SELECT max(cidx) FROM credential)"), 0);
    const struct person *each[] = {&anna, &bob};
    size_t damaged = 0;
    for (size_t i = 0; i < ARRAY_LEN(each); i++) {
        assert_int_equal(credential_list(x->c, x->db, TENANT, each[i]->id, &l), 0);
        assert_int_equal(l.n, 1);
        damaged += l.items[0].damaged;
        credential_list_done(&l);
    }
    assert_int_equal(damaged, 1); /* whose index was the greater is chance: the other one's row is refused */
}

static void by_number(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq");
    struct cred c, same = card(0x3b51c6);
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "0003887558", RENDER_DEC10, &c), CLOUD_ABSENT);
    /* What holds the card whole needs none to wait. */
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "0442385519046", RENDER_DEC13, &c), 0);
    assert_true(cred_equal(&c, &same));
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "1099511627776", RENDER_DEC13, &c), CLOUD_INVALID);
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "442385519046", RENDER_DEC13, &c), CLOUD_INVALID);
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "0003887558", RENDER_DEC13, &c), CLOUD_INVALID);
    tgw_punch(g, 0x3b51c6, clock_real());
    send_all(x, g);
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "0003887558", RENDER_DEC10, &c), 0);
    assert_true(cred_equal(&c, &same));
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "059,20934", RENDER_FC_CN, &c), 0);
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "3887558", RENDER_DEC10, &c), CLOUD_ABSENT);
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "67003b51C6", RENDER_HEX10, &c), 0);
    assert_true(cred_equal(&c, &same));
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "67003b51C", RENDER_HEX10, &c), CLOUD_INVALID);
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "67003b51C6A", RENDER_HEX10, &c), CLOUD_INVALID);
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "abc", RENDER_DEC10, &c), CLOUD_INVALID);
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "1", RENDER_HEX, &c), CLOUD_INVALID);
    static const struct {
        const char *number;
        uint8_t rendering;
    } lossy[] = {{"003b51C6", RENDER_HEX8}, {"05920934", RENDER_DEC8}, {"00059,20934", RENDER_5_5}};
    for (size_t i = 0; i < ARRAY_LEN(lossy); i++) {
        c = (struct cred){.bits = 0};
        assert_int_equal(credential_by_number(x->c, x->db, TENANT, lossy[i].number, lossy[i].rendering, &c), 0);
        assert_true(cred_equal(&c, &same));
    }
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "003b51C7", RENDER_HEX8, &c), CLOUD_ABSENT);
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "5920934x", RENDER_DEC8, &c), CLOUD_INVALID);
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "5920934", RENDER_DEC13 + 1, &c), CLOUD_INVALID);

    /* another card that shows the same ten digits */
    struct record r = {.kind = RECORD_PUNCH, .real = clock_real(), .mono = 1, .ck = ck_make(2, 1)};
    strcpy(r.punch.reader, "door");
    r.punch.cred = same;
    r.punch.cred.data[0] = 0x68;
    tgw_record(g, &r);
    assert_int_equal(send_seg(x, g, g->seg, 1, 1), 2);
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "0003887558", RENDER_DEC10, &c), CLOUD_AMBIGUOUS);
    for (size_t i = 0; i < ARRAY_LEN(lossy); i++)
        assert_int_equal(credential_by_number(x->c, x->db, TENANT, lossy[i].number, lossy[i].rendering, &c),
                         CLOUD_AMBIGUOUS);

    /* The number of a card of another technology; and one that has no such number, whatever its bytes. */
    r.punch.cred = (struct cred){.tech = TECH_ISO14443, .bits = 32, .data = {0x04, 0xa1, 0xb2, 0xc3}};
    tgw_record(g, &r);
    struct cred uid = r.punch.cred;
    r.punch.cred = (struct cred){.tech = TECH_WIEGAND, .bits = 32, .data = {0x04, 0xa1, 0xb2, 0xc4}};
    tgw_record(g, &r);
    assert_int_equal(send_seg(x, g, g->seg, 2, 2), 4);
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "0077705923", RENDER_DEC10, &c), 0);
    assert_true(cred_equal(&c, &uid));
    assert_int_equal(credential_by_number(x->c, x->db, TENANT, "04A1B2C4", RENDER_HEX8, &c), CLOUD_ABSENT);
    tgw_free(g);
}

static void people_are_listed_in_pages(void **state)
{
    struct fixture *x = *state;
    struct person_list l;
    char name[32];
    uint8_t after[ID_LEN];
    bool first = true;
    size_t seen = 0;
    for (int i = 0; i < 25; i++) {
        snprintf(name, sizeof name, "Person %d", i);
        make(x, name);
    }
    do {
        assert_int_equal(people_list(x->c, x->db, TENANT, first ? NULL : after, 10, NULL, NULL, &l), 0);
        seen += l.n;
        assert_int_equal(l.more, seen < 25);
        for (size_t i = 1; i < l.n; i++)
            assert_true(memcmp(l.items[i - 1].id, l.items[i].id, ID_LEN) < 0);
        memcpy(after, l.items[l.n - 1].id, ID_LEN);
        assert_string_equal(l.items[0].personnel_number, l.items[0].name);
        first = false;
        bool more = l.more;
        person_list_done(&l);
        if (!more)
            break;
    } while (seen < 100);
    assert_int_equal(seen, 25);
    struct person p;
    assert_int_equal(people_create(x->c, x->db, TENANT, &(struct person_set){.name = ""}, &p), CLOUD_INVALID);
    assert_int_equal(people_create(x->c, x->db, TENANT, &(struct person_set){.name = "a\nb"}, &p), CLOUD_INVALID);
    assert_int_equal(people_create(x->c, x->db, "nobody", &(struct person_set){.name = "a"}, &p), CLOUD_ABSENT);
}

static void queries(void **state)
{
    struct fixture *x = *state;
    struct tgw *g = tgw_new(x, "hq"), *h = tgw_new(x, "branch");
    age(x);
    int64_t now = clock_real();
    struct person anna = make(x, "Anna");
    give(x, &anna, 1, TIME_MIN, TIME_MAX, 0);
    for (int i = 39; i >= 0; i--) {
        tgw_punch_full(g, i % 4 == 0 ? "gate" : "door", (unsigned)i % 3, now - i * 5 * HOUR, 1, ck_make(2, 1), 0);
        tgw_punch(h, 1, now - i * 5 * HOUR); /* at the very same time elsewhere */
    }
    tgw_punch_full(g, "door", 1, 3, 1, ck_make(0, CK_UNBOUNDED), 0);
    tgw_punch_full(g, "door", 2, 3, 1, ck_make(0, CK_UNBOUNDED), 0);
    send_all(x, g);
    send_all(x, h);

    /* every page size gives the same list in the same order */
    struct punch_list whole, l;
    ask(x, PUNCH_ALL, NULL, &whole);
    assert_int_equal(whole.n, 82);
    for (size_t limit = 1; limit < 90; limit += 7) {
        struct punch_query q = {.tenant = TENANT, .has_from = true, .has_to = true, .state = PUNCH_ALL, .limit = limit};
        struct punch_pos pos;
        char text[PUNCH_POS_TEXT_MAX];
        size_t n = 0;
        q.from = now - 15 * DAY_US;
        q.to = now + 2 * DAY_US;
        do {
            assert_int_equal(query_punches(x->c, x->db, &q, &l), 0);
            for (size_t i = 0; i < l.n; i++, n++) {
                assert_memory_equal(l.items[i].segid, whole.items[n].segid, SEGID_LEN);
                assert_int_equal(l.items[i].index, whole.items[n].index);
            }
            punch_pos_text(&l.next, text);
            bool more = l.more;
            punch_list_done(&l);
            if (!more)
                break;
            assert_int_equal(punch_pos_parse(text, &pos), 0);
            q.after = &pos;
        } while (n < 200);
        assert_int_equal(n, 82);
    }
    for (size_t i = 1; i < 80; i++)
        assert_true(whole.items[i - 1].time < whole.items[i].time ||
                    (whole.items[i - 1].time == whole.items[i].time &&
                     memcmp(whole.items[i - 1].gw, whole.items[i].gw, GW_LEN) < 0));
    assert_int_equal(whole.items[80].state, PUNCH_PENDING);
    punch_list_done(&whole);

    struct punch_query q = {.tenant = TENANT, .has_from = true, .has_to = true, .limit = 1000};
    q.from = now - 15 * DAY_US;
    q.to = now + 1;
    const struct {
        const char *site, *reader;
        enum punch_state state;
        const uint8_t *person;
        size_t n;
    } cases[] = {
        {"hq", NULL, PUNCH_ALL, NULL, 42},          {"branch", NULL, PUNCH_ALL, NULL, 40},
        {"nowhere", NULL, PUNCH_ALL, NULL, 0},      {NULL, "gate", PUNCH_ALL, NULL, 10},
        {"branch", "gate", PUNCH_ALL, NULL, 0},     {NULL, NULL, PUNCH_PENDING, anna.id, 1},
        {NULL, NULL, PUNCH_ASSIGNED, NULL, 53},     {NULL, NULL, PUNCH_ASSIGNED, anna.id, 53},
        {NULL, NULL, PUNCH_UNASSIGNED, anna.id, 0}, {NULL, NULL, PUNCH_ALL, anna.id, 54},
        {NULL, NULL, PUNCH_UNASSIGNED, NULL, 27},   {"hq", "door", PUNCH_ASSIGNED, anna.id, 10},
    };
    q.to = now + DAY_US;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        q.site = cases[i].site;
        q.reader = cases[i].reader;
        q.state = cases[i].state;
        q.person = cases[i].person;
        assert_int_equal(query_punches(x->c, x->db, &q, &l), 0);
        if (l.n != cases[i].n)
            fail_msg("case %zu: %zu rows", i, l.n);
        punch_list_done(&l);
    }
    q = (struct punch_query){.tenant = TENANT, .person = anna.id, .limit = 1000}; /* all her time */
    assert_int_equal(query_punches(x->c, x->db, &q, &l), 0);
    assert_int_equal(l.n, 54);
    punch_list_done(&l);
    q = (struct punch_query){.tenant = TENANT, .limit = 1000};
    assert_int_equal(query_punches(x->c, x->db, &q, &l), CLOUD_INVALID);
    q.has_from = q.has_to = true;
    q.from = now - 32 * DAY_US;
    q.to = now;
    assert_int_equal(query_punches(x->c, x->db, &q, &l), CLOUD_INVALID);
    q.from = now - 15 * HOUR; /* from is inside, to is not */
    q.state = PUNCH_ASSIGNED;
    q.site = "branch";
    assert_int_equal(query_punches(x->c, x->db, &q, &l), 0);
    assert_int_equal(l.n, 3);
    punch_list_done(&l);
    tgw_free(g);
    tgw_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(claims_what_waited, setup, teardown),
        cmocka_unit_test_setup_teardown(late_punches_go_to_who_held_it_then, setup, teardown),
        cmocka_unit_test_setup_teardown(unassign_gives_back, setup, teardown),
        cmocka_unit_test_setup_teardown(overlaps_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(pending_ones_move_too, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_cannot_be_pointed_elsewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(by_number, setup, teardown),
        cmocka_unit_test_setup_teardown(people_are_listed_in_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(queries, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
