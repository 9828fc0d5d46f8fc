/* Batches: messages -> verified uploads -> one transaction -> acks; see ingest.h. */
#include "cloud/ingest.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/queue.h"
#include "base/str.h"
#include "cloud/approval.h"
#include "cloud/broker.h"
#include "cloud/changes.h"
#include "cloud/clockbook.h"
#include "cloud/erasure.h"
#include "cloud/filing.h"
#include "cloud/holders.h"
#include "cloud/ingest_impl.h"
#include "cloud/invitation.h"
#include "cloud/link.h"
#include "cloud/once.h"
#include "cloud/session.h"
#include "cloud/support_trail.h"
#include "cloud/throttle.h"
#include "cloud/used.h"
#include "wire/ack.h"
#include "wire/topic.h"

#define BATCH_MESSAGES 64
#define BATCH_RECORDS 1024 /* a transaction must not keep API writers waiting */
#define IDLE_MS 500
#define SWEEP_MS 60000
#define FAILED_MS 1000
#define STOP_MS 3000

struct message {
    uint8_t gw[GW_LEN];
    enum topic_leaf leaf;
    uint8_t *p;
    size_t n;
    int64_t received;
};

/* A verified message. */
struct item {
    struct message m;
    struct gateway g;
    struct upload up;
    const struct opened *opened; /* NULL: a status */
    struct status status;
    bool has_ack;
    struct filing_ack ack;
};

struct ingest {
    struct cloud *c;
    struct db *db;
    struct verifier *v;
    struct holders *holders;
    struct queue *queue;
    ingest_publish_fn *publish;
    void *publish_arg;
    uint64_t batch_ms;
    _Atomic uint64_t counts[INGEST_COUNTS];
    pthread_mutex_t took_lock;
    struct metrics_times took; /* under took_lock */
    size_t n_items;
    struct item *items; /* BATCH_MESSAGES of them */
    struct item *order[BATCH_MESSAGES];

    pthread_t thread;
    atomic_bool stop;
    _Atomic int64_t turned; /* clock_ms() */
    struct broker *broker;
    bool swept;
    int64_t ahead; /* us: the clock's time less that since boot, at the last sweep */
};

static const char *const names[INGEST_COUNTS] = {
    [INGEST_MESSAGES] = "messages",
    [INGEST_PUNCHES] = "punches",
    [INGEST_RECORDS] = "records",
    [INGEST_DUPLICATES] = "duplicates",
    [INGEST_AHEAD] = "ahead",
    [INGEST_FOLDED] = "folded",
    [INGEST_PENDING] = "pending",
    [INGEST_SETTLED] = "settled",
    [INGEST_ODDITIES] = "oddities",
    [INGEST_ERASED] = "erased",
    [INGEST_FENCED] = "fenced",
    [INGEST_VOID] = "void",
    [INGEST_FORKS] = "forks",
    [INGEST_STATUSES] = "statuses",
    [INGEST_COMMITS] = "commits",
    [INGEST_COMMIT_FAILURES] = "commit_failures",
    [INGEST_ACKS] = "acks",
    [INGEST_DROPPED] = "dropped",
    [INGEST_CONNECTS] = "connects",
    [INGEST_BAD_TOPIC] = "refused_topic",
    [INGEST_BAD_SIZE] = "refused_size",
    [INGEST_BAD_CBOR] = "refused_cbor",
    [INGEST_UNKNOWN_GATEWAY] = "refused_gateway",
    [INGEST_REVOKED] = "refused_revoked",
    [INGEST_OLD_GENERATION] = "refused_generation",
    [INGEST_BAD_SIGNATURE] = "refused_signature",
    [INGEST_UNKNOWN_KEY] = "refused_recipient_key",
    [INGEST_BAD_OPEN] = "refused_open",
    [INGEST_BAD_RECORD] = "refused_record",
};

const char *ingest_count_name(enum ingest_count i)
{
    return names[i];
}

bool ingest_count_refusal(enum ingest_count i)
{
    return i >= INGEST_BAD_TOPIC && i < INGEST_COUNTS;
}

static void count(struct ingest *in, enum ingest_count i)
{
    atomic_fetch_add(&in->counts[i], 1);
}

void ingest_counts(struct ingest *in, uint64_t ret[INGEST_COUNTS])
{
    for (size_t i = 0; i < INGEST_COUNTS; i++)
        ret[i] = atomic_load(&in->counts[i]);
}

static void note_commit(struct ingest *in, uint64_t us)
{
    pthread_mutex_lock(&in->took_lock);
    metrics_took(&in->took, us);
    pthread_mutex_unlock(&in->took_lock);
}

void ingest_took(struct ingest *in, struct metrics_times *ret)
{
    pthread_mutex_lock(&in->took_lock);
    *ret = in->took;
    pthread_mutex_unlock(&in->took_lock);
}

size_t ingest_queued(struct ingest *in)
{
    return queue_len(in->queue);
}

/* ---- messages ---- */

void ingest_put(struct ingest *in, const char *topic, struct bytes payload)
{
    struct message m = {.n = payload.n, .received = clock_real()};
    count(in, INGEST_MESSAGES);
    if (topic_parse(topic, m.gw, &m.leaf) != 0 || (m.leaf != TOPIC_UP && m.leaf != TOPIC_STATUS)) {
        count(in, INGEST_BAD_TOPIC);
        return;
    }
    if (payload.n > UPLOAD_MAX || payload.n == 0) {
        count(in, INGEST_BAD_SIZE);
        return;
    }
    m.p = malloc(payload.n);
    if (m.p != NULL)
        memcpy(m.p, payload.p, payload.n);
    /* What comes after a stop is asked for would keep it from ever ending. */
    if (m.p == NULL || atomic_load(&in->stop) || queue_push(in->queue, &m) != 0) {
        free(m.p);
        count(in, INGEST_DROPPED);
    }
}

static void refuse(struct ingest *in, const struct message *m, int r)
{
    char hex[2 * GW_LEN + 1];
    if (r > 0) {
        count(in, (enum ingest_count)r);
        log_warn("ingest.refused", "gateway=%s leaf=%s reason=%s", str_hex(m->gw, GW_LEN, hex),
                 m->leaf == TOPIC_UP ? "up" : "status", names[r]);
    } else {
        log_error("ingest.failed", "gateway=%s error=%s action=\"it will be sent again\"", str_hex(m->gw, GW_LEN, hex),
                  log_q(error_str(r)));
    }
}

/* Verifies into the next free item; what is refused is gone. */
static void take(struct ingest *in, const struct message *m)
{
    struct item *it = &in->items[in->n_items];
    it->m = *m;
    it->opened = NULL;
    it->has_ack = false;
    struct bytes payload = BYTES(m->p, m->n);
    int r = m->leaf == TOPIC_UP ? verify_upload(in->v, in->c, in->db, m->gw, payload, &it->up, &it->g, &it->opened)
                                : verify_status(in->db, m->gw, payload, &it->status, &it->g);
    if (r == 0) {
        in->n_items++;
        return;
    }
    refuse(in, m, r);
    free(m->p);
}

static void gather(struct ingest *in, unsigned ms)
{
    struct message m;
    size_t records = 0;
    verifier_next_batch(in->v);
    if (queue_pop_wait(in->queue, &m, ms) != 0)
        return;
    int64_t began = clock_ms();
    do {
        size_t before = in->n_items;
        take(in, &m);
        if (in->n_items > before)
            records += m.leaf == TOPIC_UP ? in->items[before].up.n : 1;
    } while (in->n_items < BATCH_MESSAGES && records < BATCH_RECORDS && (uint64_t)(clock_ms() - began) < in->batch_ms &&
             queue_pop(in->queue, &m) == 0);
}

/* ---- the transaction ---- */

static int file_item(struct ingest *in, struct item *it, struct tally *t)
{
    struct draws draws = {0};
    struct scope s;
    struct gateway g;
    /* Again, under the transaction: it may have been revoked since. */
    int r = verify_gateway(in->db, it->g.gw, it->g.gen, &g);
    if (r != 0)
        return r;
    if (it->opened == NULL) {
        t->n[INGEST_STATUSES]++;
        return gateway_put_status(in->db, &g, &it->status, it->m.received);
    }
    r = scope_init(in->c, in->db, g.tenant, &s);
    if (r != 0)
        return r == CLOUD_FENCED ? (int)INGEST_FENCED : r > 0 ? -EBADMSG : r;
    s.holders = in->holders;
    s.draws = &draws;
    r = filing_upload(&s, &g, it->opened, &it->up, it->m.received, t, &it->ack);
    it->has_ack = r == 0;
    int written = r < 0 ? 0 : changes_drawn(&s); /* what is refused is refused behind what was filed */
    return written != 0 ? written : r;
}

static int transact(struct ingest *in, struct item **items, size_t n)
{
    struct tally t = {0};
    int r = cloud_begin(in->c, in->db);
    if (r != 0) {
        count(in, INGEST_COMMIT_FAILURES);
        return r;
    }
    r = holders_begin(in->holders, in->db);
    for (size_t i = 0; r == 0 && i < n; i++) {
        items[i]->has_ack = false;
        r = file_item(in, items[i], &t);
        if (r > 0) {
            t.n[r]++;
            r = 0;
        }
    }
    FAULT_KILL("cloud-before-commit");
    uint64_t began = clock_mono();
    if (r == 0 && (r = cloud_commit(in->c, in->db)) == 0)
        note_commit(in, clock_mono() - began);
    else if (r != 0)
        cloud_rollback(in->c, in->db);
    FAULT_KILL("cloud-after-commit");
    if (r != 0) {
        count(in, INGEST_COMMIT_FAILURES);
        for (size_t i = 0; i < n; i++)
            items[i]->has_ack = false;
        return r;
    }
    count(in, INGEST_COMMITS);
    for (size_t i = 0; i < INGEST_COUNTS; i++)
        atomic_fetch_add(&in->counts[i], t.n[i]);
    return 0;
}

/* ---- acks ---- */

static void send_ack(struct ingest *in, const uint8_t gw[GW_LEN], const struct ack *a)
{
    char topic[TOPIC_MAX];
    struct buf b;
    buf_init(&b, ACK_MSG_MAX);
    topic_make(gw, TOPIC_ACK, topic);
    if (ack_encode(a, &b) == 0) {
        in->publish(in->publish_arg, topic, buf_bytes(&b));
        atomic_fetch_add(&in->counts[INGEST_ACKS], a->n);
    }
    buf_done(&b);
}

/* The last word about each segment; one message a gateway. order[] is sorted by segment. */
static bool superseded(const struct ingest *in, size_t i)
{
    const struct item *a = in->order[i];
    for (size_t j = i + 1; j < in->n_items; j++)
        if (in->order[j]->has_ack && memcmp(in->order[j]->ack.segid, a->ack.segid, SEGID_LEN) == 0)
            return true;
    return false;
}

static void send_acks_of(struct ingest *in, const uint8_t gw[GW_LEN], int64_t now)
{
    struct ack a = {0};
    for (size_t i = 0; i < in->n_items; i++) {
        struct item *it = in->order[i];
        if (!it->has_ack || memcmp(it->ack.gw, gw, GW_LEN) != 0)
            continue;
        bool late = superseded(in, i);
        it->has_ack = false;
        if (late)
            continue;
        struct ack_item *k = &a.items[a.n];
        *k = (struct ack_item){.epoch = cloud_epoch(in->c), .now = now, .next = it->ack.next};
        memcpy(k->segid, it->ack.segid, SEGID_LEN);
        if (ack_mac(it->ack.ack_key, k) == 0)
            a.n++;
        if (a.n == ACK_ITEMS_MAX) {
            send_ack(in, gw, &a);
            a.n = 0;
        }
    }
    if (a.n > 0)
        send_ack(in, gw, &a);
}

static void send_acks(struct ingest *in)
{
    uint8_t gw[GW_LEN];
    int64_t now = clock_real();
    for (size_t i = 0; i < in->n_items; i++) {
        if (!in->order[i]->has_ack)
            continue;
        memcpy(gw, in->order[i]->ack.gw, GW_LEN);
        send_acks_of(in, gw, now);
    }
}

/* ---- a batch ---- */

static int by_segment(const struct item *a, const struct item *b)
{
    if (a->opened == NULL || b->opened == NULL)
        return (a->opened != NULL) - (b->opened != NULL);
    return memcmp(a->opened->segid, b->opened->segid, SEGID_LEN);
}

/* Stable, so that uploads of one segment stay in the order of their arrival: insertion sort, 64 items at most. */
static void sort(struct ingest *in)
{
    for (size_t i = 0; i < in->n_items; i++) {
        size_t j = i;
        for (; j > 0 && by_segment(in->order[j - 1], &in->items[i]) > 0; j--)
            in->order[j] = in->order[j - 1];
        in->order[j] = &in->items[i];
    }
}

int ingest_step(struct ingest *in, unsigned ms)
{
    in->n_items = 0;
    gather(in, ms);
    if (in->n_items == 0)
        return 0;
    sort(in);
    int r = transact(in, in->order, in->n_items);
    if (r != 0 && r != -EBUSY && in->n_items > 1) {
        /* One of them may be what fails; the others shall not wait for ever. */
        int all = r;
        for (size_t i = 0; i < in->n_items; i++) {
            int one = transact(in, &in->order[i], 1);
            if (one == 0)
                all = 0;
            else
                refuse(in, &in->order[i]->m, one);
        }
        r = all;
    } else if (r != 0) { /* a store that is held by another is so for all of them, each time after a long wait */
        for (size_t i = 0; i < in->n_items; i++)
            refuse(in, &in->order[i]->m, r);
    }
    send_acks(in);
    for (size_t i = 0; i < in->n_items; i++)
        free(in->items[i].m.p);
    in->n_items = 0;
    return r;
}

/* Since the last sweep, by more than a clock that is being corrected goes back. */
static bool clock_set_back(struct ingest *in, int64_t now)
{
    int64_t ahead = now - clock_ms() * 1000;
    bool back = in->swept && ahead < in->ahead - CLOCK_BACK_US;
    in->swept = true;
    in->ahead = ahead;
    return back;
}

static int sweep_used(struct cloud *c, struct db *db, int64_t now)
{
    return used_flush(cloud_used(c), c, db);
}

int ingest_sweep(struct ingest *in, int64_t now)
{
    uint64_t n = 0;
    cloud_heal(in->c);
    static int (*const sweeps[])(struct cloud * c, struct db * db, int64_t now) = {
        once_sweep, invitation_sweep, session_sweep, link_sweep, throttle_sweep, approval_sweep, sweep_used,
    };
    int first = erasure_resume(in->c, in->db, false);
    int r = clockbook_sweep(in->c, in->db, now, &n);
    holders_forget(in->holders);
    atomic_fetch_add(&in->counts[INGEST_SETTLED], n);
    first = first != 0 ? first : r;
    for (size_t i = 0; i < ARRAY_LEN(sweeps); i++) { /* the trouble of one is not another's */
        r = sweeps[i](in->c, in->db, now);
        first = first != 0 ? first : r;
    }
    r = support_sweep(in->c, in->db, now, clock_set_back(in, now));
    return first != 0 ? first : r;
}

int ingest_new(struct cloud *c, ingest_publish_fn *publish, void *arg, struct ingest **ret_ingest)
{
    const struct settings *set = cloud_settings(c);
    struct ingest *in = calloc(1, sizeof *in);
    if (in == NULL)
        return -ENOMEM;
    pthread_mutex_init(&in->took_lock, NULL);
    in->c = c;
    in->publish = publish;
    in->publish_arg = arg;
    in->batch_ms = set->ingest.batch_ms;
    in->items = calloc(BATCH_MESSAGES, sizeof *in->items);
    int r = in->items == NULL ? -ENOMEM : queue_new(sizeof(struct message), (size_t)set->ingest.queue, &in->queue);
    if (r == 0)
        r = verifier_new(VERIFIER_SETS, &in->v);
    if (r == 0)
        r = holders_new(&in->holders);
    if (r == 0)
        r = cloud_db_take(c, &in->db);
    if (r != 0) {
        ingest_free(in);
        return r;
    }
    *ret_ingest = in;
    return 0;
}

void ingest_free(struct ingest *in)
{
    struct message m;
    if (in == NULL)
        return;
    while (in->queue != NULL && queue_pop(in->queue, &m) == 0)
        free(m.p);
    cloud_db_give(in->c, in->db);
    queue_free(in->queue);
    pthread_mutex_destroy(&in->took_lock);
    verifier_free(in->v);
    holders_free(in->holders);
    free(in->items);
    free(in);
}

/* ---- threads ---- */

static void *run(void *arg)
{
    struct ingest *in = arg;
    int64_t swept = clock_ms() - SWEEP_MS;
    int64_t stopping = 0;
    while (!atomic_load(&in->stop) || queue_len(in->queue) > 0) {
        atomic_store(&in->turned, clock_ms());
        if (atomic_load(&in->stop)) {
            stopping = stopping == 0 ? clock_ms() : stopping;
            if (clock_ms() - stopping > STOP_MS) /* gateways go on sending; it will be sent again */
                break;
        }
        int r = ingest_step(in, IDLE_MS);
        if (r != 0 && atomic_load(&in->stop))
            break;
        if (r != 0) /* a full disk does not get better by haste; gateways keep what they have */
            nanosleep(&(struct timespec){.tv_sec = FAILED_MS / 1000}, NULL);
        if (clock_ms() - swept < SWEEP_MS)
            continue;
        swept = clock_ms();
        r = ingest_sweep(in, clock_real());
        if (r != 0)
            log_error("ingest.sweep", "error=%s action=\"again in a minute\"", log_q(r < 0 ? error_str(r) : "store"));
    }
    return NULL;
}

static void to_broker(void *arg, const char *topic, struct bytes payload)
{
    struct ingest *in = arg;
    broker_publish(in->broker, topic, payload);
}

static void on_message(void *arg, const char *topic, struct bytes payload)
{
    ingest_put(arg, topic, payload);
}

static void on_connect(void *arg)
{
    count(arg, INGEST_CONNECTS);
}

/* "host:port" or "[v6]:port". */
static int split_address(const char *address, char *host, size_t size, uint16_t *ret_port)
{
    const char *colon = strrchr(address, ':');
    uint64_t port;
    if (colon == NULL || str_u64(colon + 1, 1, 65535, &port) != 0)
        return -EINVAL;
    size_t n = (size_t)(colon - address);
    if (n >= 2 && address[0] == '[' && address[n - 1] == ']') {
        address++;
        n -= 2;
    }
    if (n == 0 || n >= size)
        return -EINVAL;
    memcpy(host, address, n);
    host[n] = '\0';
    *ret_port = (uint16_t)port;
    return 0;
}

static int start_broker(struct ingest *in)
{
    const struct settings *set = cloud_settings(in->c);
    char host[256], ca[4096], crt[4096], key[4096];
    struct broker_conf conf = {.host = host,
                               .ca = ca,
                               .crt = crt,
                               .key = key,
                               .client_id = "punchcloud",
                               .backoff_min = set->ingest.backoff_min,
                               .backoff_max = set->ingest.backoff_max,
                               .on_message = on_message,
                               .on_connect = on_connect,
                               .arg = in};
    int r = split_address(set->broker.address, host, sizeof host, &conf.port);
    if (r == 0)
        r = cloud_path(in->c, "pki/ca.crt", ca, sizeof ca);
    if (r == 0)
        r = cloud_path(in->c, "pki/cloud.crt", crt, sizeof crt);
    if (r == 0)
        r = cloud_path(in->c, "pki/cloud.key", key, sizeof key);
    return r != 0 ? r : broker_start(&conf, &in->broker);
}

int ingest_start(struct cloud *c, struct ingest **ret_ingest)
{
    struct ingest *in;
    int r = ingest_new(c, to_broker, NULL, &in);
    if (r != 0)
        return r;
    in->publish_arg = in;
    atomic_store(&in->turned, clock_ms());
    r = start_broker(in);
    if (r == 0)
        r = -pthread_create(&in->thread, NULL, run, in);
    if (r != 0) {
        broker_stop(in->broker);
        ingest_free(in);
        return r;
    }
    *ret_ingest = in;
    return 0;
}

void ingest_stop(struct ingest *in)
{
    if (in == NULL)
        return;
    atomic_store(&in->stop, true);
    pthread_join(in->thread, NULL);
    if (broker_stop(in->broker))
        ingest_free(in);
    else /* the broker's thread may still call back: only the store is let go */
        cloud_db_give(in->c, in->db);
}

int64_t ingest_turned(const struct ingest *in)
{
    return clock_ms() - atomic_load(&in->turned);
}

bool ingest_connected(struct ingest *in)
{
    return broker_connected(in->broker);
}
