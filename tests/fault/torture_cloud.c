/* The cloud from opening to closing, one call failing: whatever was acknowledged or answered as done is there after
 * the next start, once, all copies of the keyring agree, and what failed works when it is asked for again. */
#include "tests/unit/cloud_gateway.h"

#include "base/log.h"
#include "cloud/feed.h"
#include "cloud/keyring.h"
#include "tests/fault/scenario.h"

#define KEYS 300

static struct {
    struct person anna;
    struct credential card;
    struct gateway second;
    char token[TOKEN_TEXT_MAX];
    struct buf request, bundle;
    struct punch_list punches;
    unsigned fed[8];
} t;

/* ---- what may fail ---- */

/* As a gateway does: what is not acknowledged is sent again, and then it goes through. */
static void deliver(struct fixture *x, const struct tgw *g, uint64_t first, uint64_t end)
{
    struct buf b;
    char topic[TOPIC_MAX];
    topic_make(g->id, TOPIC_UP, topic);
    for (uint64_t next = first; next < end;) {
        buf_init(&b, UPLOAD_MAX);
        strike_off(true);
        tgw_upload(g->seg, next, (size_t)(end - next), &b);
        strike_off(false);
        x->n_acks = 0;
        ingest_put(x->in, topic, buf_bytes(&b));
        int r = ingest_step(x->in, 0);
        buf_done(&b);
        uint64_t to = x->n_acks == 1 ? x->acks[0].next : next;
        assert_true(r <= 0 && x->n_acks <= 1 && to <= end);
        assert_true(r == 0 || x->n_acks == 0);
        assert_int_equal(to < end ? refused(-EAGAIN) : false, to < end);
        next = to;
    }
}

static int ask_all(struct fixture *x)
{
    struct punch_query q = {.tenant = TENANT, .person = t.anna.id, .state = PUNCH_ALL, .limit = 100};
    return query_punches(x->c, x->db, &q, &t.punches);
}

static int take(void *arg, const struct feed_item *item)
{
    t.fed[item->entry.kind]++;
    return 0;
}

static int follow(struct fixture *x)
{
    struct feed_pos pos = {0};
    bool more = true;
    int r = 0;
    memset(t.fed, 0, sizeof t.fed);
    while (r == 0 && more)
        r = feed_read(x->c, x->db, TENANT, 100, take, NULL, &pos, &more);
    return r;
}

static int add_gateway(struct fixture *x)
{
    buf_reset(&t.bundle);
    return gateway_add(x->c, x->db, TENANT, "Dock", buf_bytes(&t.request), &t.bundle, &t.second);
}

/* Enough keys for the ring to grow twice; whether it was one that failed or not, the others are found. */
static int many_keys(struct fixture *x)
{
    static const uint8_t nobody[KEY_ID_LEN] = {1};
    uint8_t id[KEY_ID_LEN], key[CRYPTO_KEY];
    struct keyring *ring = NULL;
    enum key_kind kind;
    int r = cloud_keyring(x->c, TENANT, &ring), failed = 0;
    if (r == 0)
        r = cloud_begin(x->c, x->db);
    if (r != 0)
        return r;
    for (int i = 0; i < KEYS; i++) {
        r = keyring_add(ring, KEY_WAITING, NULL, id);
        assert_int_equal(keyring_get(ring, r == 0 ? id : nobody, &kind, key), r == 0 ? 0 : KEYRING_ABSENT);
        failed = r != 0 ? r : failed;
    }
    assert_int_equal(keyring_get(ring, nobody, &kind, key), KEYRING_ABSENT);
    if (failed != 0)
        cloud_rollback(x->c, x->db);
    else
        failed = cloud_commit(x->c, x->db);
    return failed;
}

static void work(struct fixture *x, struct tgw *g)
{
    struct tenant tenant;
    struct token token;
    struct cred card1 = card(1);
    uint64_t refiled = 0;
    int64_t now = clock_real();
    STEP(cloud_open(&x->set, &x->c));
    STEP(cloud_db_take(x->c, &x->db));
    STEP(ingest_new(x->c, fixture_capture, x, &x->in));
    deliver(x, g, 0, 4);
    STEP(people_create(x->c, x->db, TENANT, &(struct person_set){.name = "Anna", .personnel_number = "7"}, &t.anna));
    STEP(
        credential_assign(x->c, x->db, TENANT, t.anna.id, &card1, RENDER_DEC10, TIME_MIN, TIME_MAX, &t.card, &refiled));
    assert_int_equal(refiled, 1);
    deliver(x, g, 4, g->seg->n);
    STEP(people_update(x->c, x->db, TENANT, t.anna.id, &(struct person_set){.name = "Anna B."}, &t.anna));
    STEP(ask_all(x));
    assert_int_equal(t.punches.n, 2);
    punch_list_done(&t.punches);
    STEP(credential_unassign(x->c, x->db, TENANT, t.card.id, now, &t.card, NULL));
    STEP(follow(x));
    assert_int_equal(t.fed[CHANGE_PERSON] > 0 && t.fed[CHANGE_CREDENTIAL] > 0 && t.fed[CHANGE_PUNCH] > 0, 1);
    STEP(token_add(x->c, x->db, TENANT, "shop", 0, t.token, &token));
    STEP(token_check(x->db, t.token, now, &token));
    STEP(tenant_add(x->c, x->db, "globex", &tenant));
    STEP(add_gateway(x));
    STEP(many_keys(x));
    STEP(ingest_sweep(x->in, now));
    assert_true(cloud_ready(x->c) || refused(-EIO));
    fixture_close(x);
}

/* ---- what has to hold ---- */

static void same_files(struct fixture *x, const char *tenant, const char *name)
{
    char path[256];
    struct buf ours, theirs;
    buf_init(&ours, 1 << 20);
    buf_init(&theirs, 1 << 20);
    snprintf(path, sizeof path, "%s/keyring/%s/%s", x->state, tenant, name);
    assert_int_equal(file_read(path, &ours), 0);
    for (int i = 0; i < 2; i++) {
        buf_reset(&theirs);
        snprintf(path, sizeof path, "%s/%s/%s", x->escrow[i], tenant, name);
        assert_int_equal(file_read(path, &theirs), 0);
        assert_true(bytes_equal(buf_bytes(&ours), buf_bytes(&theirs)));
    }
    buf_wipe(&ours);
    buf_wipe(&theirs);
}

static void look(struct fixture *x, size_t punches)
{
    struct person p;
    struct token token;
    struct tenant tenant;
    fixture_open(x);
    assert_int_equal(people_get(x->c, x->db, TENANT, t.anna.id, &p), 0);
    assert_string_equal(p.name, "Anna B.");
    assert_string_equal(p.personnel_number, "7");
    assert_int_equal(sql_int(x, "SELECT count(*) FROM person"), 1);
    assert_int_equal(ask_n(x, PUNCH_ALL, NULL), punches);
    assert_int_equal(ask_n(x, PUNCH_ALL, t.anna.id), 1); /* the one behind `until` waits again */
    assert_int_equal(token_check(x->db, t.token, clock_real(), &token), 0);
    assert_int_equal(tenant_get(x->db, "globex", &tenant), 0);
    assert_int_equal(sql_int(x, "SELECT count(*) FROM gateway"), 2);
    cloud_heal(x->c);
    assert_true(cloud_ready(x->c));
    same_files(x, TENANT, "ring");
    same_files(x, TENANT, "kek");
    same_files(x, "globex", "ring");
    same_files(x, "globex", "kek");
}

int main(void)
{
    strike_promise();
    strike_off(true);
    log_init("torture", 0);
    struct fixture *x = fixture_new();
    struct tgw *g = tgw_new(x, "hq"), *second = calloc(1, sizeof *second);
    int64_t now = clock_real();
    buf_init(&t.request, ENROL_FILE_MAX);
    buf_init(&t.bundle, ENROL_FILE_MAX);
    assert_non_null(second);
    assert_int_equal(crypto_random(second->id, GW_LEN), 0);
    assert_int_equal(crypto_key_new(CRYPTO_ECDSA, &second->sign), 0);
    assert_int_equal(crypto_key_new(CRYPTO_ECDSA, &second->tls), 0);
    tgw_request(second, &t.request);
    for (unsigned i = 0; i < 6; i++)
        tgw_punch(g, i % 3, i == 4 ? now + 60 * SECOND : now - 60 * SECOND + i);
    fixture_close(x);
    strike_off(false);
    work(x, g);
    strike_off(true);
    look(x, g->seg->n);
    buf_done(&t.request);
    buf_done(&t.bundle);
    tgw_free(g);
    tgw_free(second);
    fixture_done(x);
    return 0;
}
