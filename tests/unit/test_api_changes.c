/* GET /v1/changes: a replica kept by the rules of docs/API.md alone equals what the API answers. */
#include <pthread.h>
#include <stdatomic.h>

#include "cloud/feed.h"
#include "cloud/people.h"

#include "tests/unit/api_fixture.h"

static int64_t now;
static uint64_t gseq;

static int setup(void **state)
{
    (void)api_setup(state);
    now = clock_real() / 1000000 * 1000000;
    gseq = 0;
    return 0;
}

static void file(uint64_t number, int64_t time, bool pending)
{
    struct fixture_punch p = {"acme", "door", f.gw, fixture_card(number), ++gseq, time, pending};
    fixture_file_one(&f, &p);
}

/* ---- a replica ---- */

struct replica {
    json_t *punches, *people, *credentials; /* by id */
    char next[128];
    unsigned pages, items;
};

static void replica_new(struct replica *x)
{
    *x = (struct replica){.punches = json_object(), .people = json_object(), .credentials = json_object(), .next = "0"};
}

static void replica_done(struct replica *x)
{
    json_decref(x->punches);
    json_decref(x->people);
    json_decref(x->credentials);
}

static const char *must_text(const json_t *o, const char *member)
{
    const char *s = json_string_value(json_object_get(o, member));
    assert_non_null(s);
    return s;
}

static void apply_person(struct replica *x, json_t *person)
{
    const char *id;
    json_t *punch;
    json_object_set(x->people, must_text(person, "id"), person);
    json_object_foreach(x->punches, id, punch)
    {
        json_t *of = json_object_get(punch, "person");
        if (json_is_object(of) && strcmp(must_text(of, "id"), must_text(person, "id")) == 0)
            json_object_set(of, "name", json_object_get(person, "name"));
    }
}

static void apply_gateway(struct replica *x, json_t *g)
{
    const char *id;
    json_t *punch;
    json_object_foreach(x->punches, id,
                        punch) if (json_equal(json_object_get(punch, "gateway"), json_object_get(g, "id")) &&
                                   json_equal(json_object_get(punch, "generation"), json_object_get(g, "generation")))
        json_object_set(punch, "site", json_object_get(g, "site"));
}

static void forget(json_t *all, const char *person)
{
    const char *id;
    void *next;
    json_t *v;
    json_object_foreach_safe(all, next, id, v)
    {
        json_t *of = json_object_get(v, "person");
        of = json_is_object(of) ? json_object_get(of, "id") : of;
        if (json_is_string(of) && strcmp(json_string_value(of), person) == 0)
            json_object_del(all, id);
    }
}

static void apply(struct replica *x, json_t *item)
{
    const char *type = must_text(item, "type");
    json_t *v = json_object_get(item, type);
    if (strcmp(type, "punch") == 0)
        json_object_set(x->punches, must_text(v, "id"), v);
    else if (strcmp(type, "punch.removed") == 0)
        json_object_del(x->punches, must_text(item, "id"));
    else if (strcmp(type, "person") == 0)
        apply_person(x, v);
    else if (strcmp(type, "person.erased") == 0) {
        json_object_del(x->people, must_text(item, "id"));
        forget(x->punches, must_text(item, "id"));
        forget(x->credentials, must_text(item, "id"));
    } else if (strcmp(type, "credential") == 0)
        json_object_set(x->credentials, must_text(v, "id"), v);
    else if (strcmp(type, "gateway") == 0)
        apply_gateway(x, v);
    else
        fail_msg("unexpected type %s", type);
}

/* One page; true when there is more. */
static bool follow_page(struct replica *x, unsigned limit)
{
    char path[256];
    json_int_t before = 0;
    size_t i;
    json_t *item;
    snprintf(path, sizeof path, "/v1/changes?after=%s&limit=%u", x->next, limit);
    struct reply r = get(&f.s, path, f.acme);
    assert_int_equal(r.status, 200);
    json_t *items = json_object_get(r.json, "items");
    assert_true(json_array_size(items) <= limit);
    json_array_foreach(items, i, item)
    {
        json_int_t seq = json_integer_value(json_object_get(item, "seq"));
        assert_true(seq > before);
        before = seq;
        apply(x, item);
        x->items++;
    }
    snprintf(x->next, sizeof x->next, "%s", must_text(r.json, "next"));
    bool more = json_is_true(json_object_get(r.json, "more"));
    reply_done(&r);
    x->pages++;
    return more;
}

static void follow(struct replica *x, unsigned limit)
{
    while (follow_page(x, limit))
        ;
}

static void assert_same(const json_t *held, const char *path)
{
    struct reply r = get(&f.s, path, f.acme);
    json_t *items = json_object_get(r.json, "items"), *item;
    size_t i;
    assert_int_equal(r.status, 200);
    assert_int_equal(json_array_size(items), json_object_size(held));
    json_array_foreach(items, i, item)
    {
        json_t *ours = json_object_get(held, must_text(item, "id"));
        if (!json_equal(ours, item))
            print_error("held %s\n of  %s\n", json_dumps(ours, JSON_SORT_KEYS), json_dumps(item, JSON_SORT_KEYS));
        assert_true(json_equal(ours, item));
    }
    reply_done(&r);
}

static void assert_equal_to_api(const struct replica *x)
{
    assert_same(x->punches, "/v1/punches?limit=1000");
    assert_same(x->people, "/v1/people?limit=1000");
}

static void follows_everything(void **state)
{
    struct replica x, late;
    char path[128], body[128];
    replica_new(&x);
    follow(&x, 100);
    for (uint64_t i = 0; i < 30; i++)
        file(0x4400000000 + i % 3, now - (int64_t)(i * 1000000), i == 7);
    follow(&x, 7); /* no page is larger than asked for */
    assert_true(x.pages >= 30 / 7);
    assert_equal_to_api(&x);

    struct reply p = post(&f.s, "/v1/people", f.acme, "{\"name\": \"Ada\"}");
    snprintf(path, sizeof path, "/v1/people/%s/credentials", reply_text(&p, "id"));
    struct reply c = post(&f.s, path, f.acme, "{\"tech\": \"em4100\", \"bits\": 40, \"data\": \"4400000001\"}");
    assert_int_equal(c.status, 201);
    follow(&x, 100);
    assert_int_equal(json_object_size(x.people), 1);
    assert_int_equal(json_object_size(x.credentials), 1);
    assert_equal_to_api(&x);

    /* half of them go back to nobody */
    char when[32];
    snprintf(path, sizeof path, "/v1/credentials/%s/unassign", reply_text(&c, "id"));
    snprintf(body, sizeof body, "{\"until\": \"%s\"}", str_time(now - 14500000, when));
    struct reply u = post(&f.s, path, f.acme, body);
    assert_int_equal(u.status, 200);
    char gw[2 * GW_LEN + 1];
    snprintf(path, sizeof path, "/v1/gateways/%s", str_hex(f.gw, GW_LEN, gw));
    struct reply s = request(&f.s, "PATCH", path, f.acme, BYTES_STR("{\"site\": \"North\"}"), as_json);
    assert_int_equal(s.status, 200);
    follow(&x, 100);
    assert_equal_to_api(&x);

    /* another name, in the punches too */
    snprintf(path, sizeof path, "/v1/people/%s", reply_text(&p, "id"));
    struct reply n = request(&f.s, "PATCH", path, f.acme, BYTES_STR("{\"name\": \"Grace\"}"), as_json);
    assert_int_equal(n.status, 200);
    reply_done(&n);
    follow(&x, 100);
    assert_equal_to_api(&x);

    /* nothing more to say, and the position stays */
    char at[128];
    snprintf(at, sizeof at, "%s", x.next);
    unsigned items = x.items;
    assert_false(follow_page(&x, 100));
    assert_string_equal(x.next, at);
    assert_int_equal(x.items, items);

    replica_new(&late); /* who begins now gets the same, and sees only what is there */
    follow(&late, 3);
    assert_equal_to_api(&late);
    assert_true(json_equal(late.credentials, x.credentials));
    replica_done(&late);
    replica_done(&x);
    reply_done(&p);
    reply_done(&c);
    reply_done(&u);
    reply_done(&s);
}

/* A change of hands between two pages: never missed, whichever side of the page's end it was on. */
static void moves_between_pages(void **state)
{
    struct replica x;
    replica_new(&x);
    for (uint64_t i = 0; i < 20; i++)
        file(0x4400000001, now - (int64_t)(i * 1000000), false);
    assert_true(follow_page(&x, 10));
    struct reply p = post(&f.s, "/v1/people", f.acme, "{\"name\": \"Ada\"}");
    char path[128];
    snprintf(path, sizeof path, "/v1/people/%s/credentials", reply_text(&p, "id"));
    struct reply c = post(&f.s, path, f.acme, "{\"tech\": \"em4100\", \"bits\": 40, \"data\": \"4400000001\"}");
    assert_int_equal(c.status, 201);
    follow(&x, 10);
    assert_equal_to_api(&x);
    replica_done(&x);
    reply_done(&p);
    reply_done(&c);
}

static void erase(const char *person)
{
    char path[128];
    snprintf(path, sizeof path, "/v1/people/%s/erasure", person);
    expect(post(&f.s, path, f.acme, "{\"dry_run\": false}"), 200, NULL);
}

/* Who is erased takes the entries along by which her punches came to her. A consumer that knows them as hers is told to
 * forget her; one that knows them as nobody's must begin again, since nothing may be left that names them; and who
 * begins behind that is not sent back. */
static void erased(void **state)
{
    struct replica near, far, late;
    char path[256];
    replica_new(&near);
    replica_new(&far);
    for (uint64_t i = 0; i < 9; i++)
        file(0x4400000001 + i % 2, now - (int64_t)(i * 1000000), false);
    follow(&far, 100);
    struct reply p = post(&f.s, "/v1/people", f.acme, "{\"name\": \"Ada\"}");
    snprintf(path, sizeof path, "/v1/people/%s/credentials", reply_text(&p, "id"));
    struct reply c = post(&f.s, path, f.acme, "{\"tech\": \"em4100\", \"bits\": 40, \"data\": \"4400000001\"}");
    assert_int_equal(c.status, 201);
    follow(&near, 100);
    assert_int_equal(json_object_size(near.credentials), 1);
    erase(reply_text(&p, "id"));

    follow(&near, 100);
    assert_int_equal(json_object_size(near.punches), 4);
    assert_int_equal(json_object_size(near.credentials), 0);
    assert_equal_to_api(&near);

    assert_int_equal(json_object_size(far.punches), 9);
    snprintf(path, sizeof path, "/v1/changes?after=%s", far.next);
    expect(get(&f.s, path, f.acme), 410, "feed-restarted");

    replica_new(&late);
    follow(&late, 2);
    assert_equal_to_api(&late);
    assert_int_equal(json_object_size(late.people), 0);
    file(0x4400000002, now - 20000000, false);
    follow(&late, 2);
    follow(&near, 2);
    assert_equal_to_api(&late);
    assert_equal_to_api(&near);
    replica_done(&near);
    replica_done(&far);
    replica_done(&late);
    reply_done(&p);
    reply_done(&c);
}

static void positions_that_lead_nowhere(void **state)
{
    char path[256];
    unsigned long long epoch = cloud_epoch(f.c);
    expect(get(&f.s, "/v1/changes?after=0", f.operator_token), 403, "forbidden");
    expect(get(&f.s, "/v1/changes?cursor=0", f.acme), 400, "bad-parameter");
    static const char *const bad[] = {"1",
                                      "-1",
                                      "x",
                                      "",
                                      ".",
                                      "..",
                                      "1.2",
                                      "1.2.3.4",
                                      "1.2.-3",
                                      "1..3",
                                      "1.2.3x",
                                      "1.2.%203",
                                      "0x1.2.3",
                                      "99999999999999999999.1.1",
                                      "1.1.9223372036854775808"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(path, sizeof path, "/v1/changes?after=%s", bad[i]);
        expect(get(&f.s, path, f.acme), 400, "bad-parameter");
    }
    /* set back to a backup: another epoch; or the store's files were: numbers that were never given */
    snprintf(path, sizeof path, "/v1/changes?after=%llu.0.1", epoch - 1);
    expect(get(&f.s, path, f.acme), 410, "feed-restarted");
    snprintf(path, sizeof path, "/v1/changes?after=%llu.0.1", epoch + 1);
    expect(get(&f.s, path, f.acme), 410, "feed-restarted");
    snprintf(path, sizeof path, "/v1/changes?after=%llu.0.1000", epoch);
    expect(get(&f.s, path, f.acme), 410, "feed-restarted");
    snprintf(path, sizeof path, "/v1/changes?after=%llu.0.1", epoch); /* the fixture's gateway was the first */
    struct reply r = get(&f.s, path, f.acme);
    assert_int_equal(r.status, 200);
    assert_int_equal(json_array_size(json_object_get(r.json, "items")), 0);
    reply_done(&r);
}

/* What another customer changes is neither shown nor counted. */
static void customers_are_apart(void **state)
{
    file(0x4400000001, now, false);
    struct reply a = get(&f.s, "/v1/changes", f.globex), b;
    file(0x4400000001, now - 1000000, false);
    b = get(&f.s, "/v1/changes", f.globex);
    assert_int_equal(json_array_size(json_object_get(a.json, "items")), 1);
    assert_true(json_equal(a.json, b.json));
    reply_done(&a);
    reply_done(&b);
}

/* ---- a writer beside a reader ---- */

#define WRITES 200

static atomic_bool written;

static void *write_people(void *arg)
{
    struct db *db = NULL;
    struct person p;
    int r = cloud_db_take(f.c, &db);
    for (int i = 0; r == 0 && i < WRITES; i++)
        r = people_create(f.c, db, "acme", &(struct person_set){.name = "Ada"}, &p);
    atomic_store(&written, true);
    cloud_db_give(f.c, db);
    return r == 0 ? NULL : arg;
}

struct seen {
    int64_t last;
    unsigned people;
};

static int see(void *arg, const struct feed_item *item)
{
    struct seen *x = arg;
    assert_int_equal(item->entry.seq, x->last + 1);
    x->last = item->entry.seq;
    if (item->entry.kind == CHANGE_PERSON)
        x->people++;
    return 0;
}

static void reader_beside_writer(void **state)
{
    pthread_t t;
    struct seen x = {0};
    struct feed_pos pos = {0};
    void *failed = NULL;
    bool more, all;
    assert_int_equal(pthread_create(&t, NULL, write_people, &f), 0);
    do {
        all = atomic_load(&written);
        assert_int_equal(feed_read(f.c, f.db, "acme", 7, see, &x, &pos, &more), 0);
    } while (!all || more);
    assert_int_equal(pthread_join(t, &failed), 0);
    assert_null(failed);
    assert_int_equal(x.people, WRITES);
    assert_int_equal(x.last, WRITES + 1); /* and the gateway */
}

/* More readers than there are tables, each at another place, and more keys than fit one slice of a table. */
#define READERS 4
#define PEOPLE 1200

static int nothing(void *arg, const struct feed_item *item)
{
    (*(unsigned *)arg)++;
    return 0;
}

static void *read_one_place(void *arg)
{
    const struct feed_pos *at = arg;
    struct db *db = NULL;
    unsigned items = 0;
    bool more;
    int r = cloud_db_take(f.c, &db);
    for (int i = 0; r == 0 && i < 30; i++) {
        struct feed_pos pos = *at;
        r = feed_read(f.c, db, "acme", 1, nothing, &items, &pos, &more);
    }
    cloud_db_give(f.c, db);
    return r == 0 && items == 30 ? NULL : arg;
}

static void readers_beside_readers(void **state)
{
    pthread_t t[READERS];
    struct feed_pos at[READERS];
    struct person p;
    void *failed = NULL;
    assert_int_equal(cloud_begin(f.c, f.db), 0);
    for (int i = 0; i < PEOPLE; i++)
        assert_int_equal(people_create(f.c, f.db, "acme", &(struct person_set){.name = "Ada"}, &p), 0);
    fixture_commit(&f);
    for (int i = 0; i < READERS; i++) {
        at[i] = (struct feed_pos){.began = PEOPLE, .after = 1 + (int64_t)i * CHANGES_BLOCK};
        assert_int_equal(pthread_create(&t[i], NULL, read_one_place, &at[i]), 0);
    }
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(t[i], &failed), 0);
        assert_null(failed);
    }
}

/* It says of punches what they do not say themselves, so whoever keeps them has to know. */
static void a_reader_means_something_else(void **state)
{
    char path[128], id[2 * ID_LEN + 1];
    struct reader_list l;
    struct scope s = fixture_begin(&f, "acme");
    assert_int_equal(reader_seen(&s, f.gw, "door", now / DAY_US), 0);
    fixture_commit(&f);
    assert_int_equal(reader_list(f.c, f.db, "acme", NULL, 0, &l), 0);
    assert_int_equal(l.n, 1);
    str_hex(l.items[0].id, ID_LEN, id);
    reader_list_done(&l);
    struct reply r = get(&f.s, "/v1/changes", f.acme);
    snprintf(path, sizeof path, "/v1/changes?after=%s", reply_text(&r, "next"));
    reply_done(&r);
    expect(call("PATCH", path_of("/v1/readers/%s", id), f.acme, "{\"direction\":\"out\"}"), 200, NULL);
    r = get(&f.s, path, f.acme);
    const json_t *items = json_object_get(r.json, "items"), *item = json_array_get(items, 0);
    assert_int_equal(json_array_size(items), 1);
    assert_string_equal(text_of(item, "type"), "reader");
    assert_string_equal(text_of(json_object_get(item, "reader"), "id"), id);
    assert_string_equal(text_of(json_object_get(item, "reader"), "direction"), "out");
    reply_done(&r);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, api_teardown)
    const struct CMUnitTest tests[] = {
        T(follows_everything),          T(moves_between_pages),
        T(positions_that_lead_nowhere), T(erased),
        T(customers_are_apart),         T(reader_beside_writer),
        T(readers_beside_readers),      T(a_reader_means_something_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
