/* See sending.h. Webhooks are served by a few threads, each webhook by one at a time, which keeps its messages in
 * order. Those that failed the last time get half of the threads at most, so that however many are dead, and however
 * long each takes to show it, the others go on. */
#include "cloud/sending.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/str.h"
#include "cloud/courier.h"
#include "cloud/delivery.h"
#include "cloud/outbox_impl.h"

#define LOOK_MS 1000
#define MAIL_BATCH 16
#define SWEEP_MS 3600000
#define HOOK_THREADS 16
#define HOOK_FAILING (HOOK_THREADS / 2)
#define HOOK_EACH (HOOK_THREADS / 2) /* of one customer */
#define HOOK_QUEUE 64
#define HOOK_ROUND 32 /* messages to one webhook before others get their turn */

struct sending {
    struct cloud *cloud;
    atomic_bool stop;
    _Atomic uint64_t counts[SENDING_KINDS][SENDING_COUNTS];
    pthread_t mail, hooks[HOOK_THREADS];
    unsigned threads; /* of hooks that run */
    bool has_mail;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t woken; /* to stop */
    bool looking;         /* one of the threads asks the store */
    int64_t looked;       /* clock_ms() */
    size_t n_queue;
    struct webhook_due queue[HOOK_QUEUE];
    size_t n_busy, n_failing; /* of busy ones, those that failed the last time */
    struct webhook_due busy[HOOK_THREADS];
};

const char *sending_kind_name(enum sending_kind k)
{
    return k == SENDING_MAIL ? "mail" : "webhook";
}

uint64_t sending_count(const struct sending *s, enum sending_kind k, enum sending_count n)
{
    return s ? atomic_load(&s->counts[k][n]) : 0;
}

static void count(struct sending *s, enum sending_kind k, enum sending_count n)
{
    atomic_fetch_add(&s->counts[k][n], 1);
}

/* With the lock; at most LOOK_MS. */
static void nap(struct sending *s)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LOOK_MS / 1000;
    if (!atomic_load(&s->stop))
        pthread_cond_timedwait(&s->woken, &s->lock, &until);
}

static int64_t backoff(unsigned failures)
{
    uint32_t random = 500;
    crypto_random(&random, sizeof random); /* without it all wait alike, which is no harm */
    return webhook_backoff(failures, random);
}

static const char *why(int r, const struct courier_result *res)
{
    return log_q(r < 0 ? error_str(r) : res->error);
}

/* ---- mail ---- */

/* The message, while the store is asked; what cannot be sent ever is *ret_lost. */
static int compose(struct sending *s, const struct mail_due *m, struct mail_row *ret, struct buf *ret_message,
                   bool *ret_lost)
{
    struct db *db = NULL;
    struct scope scope;
    int r = cloud_db_take(s->cloud, &db);
    if (r == 0)
        r = scope_init(s->cloud, db, m->tenant, &scope);
    if (r == 0)
        r = outbox_get(&scope, m->id, ret);
    if (r == 0)
        r = outbox_message(ret, cloud_settings(s->cloud)->mail.from, ret_message);
    cloud_db_give(s->cloud, db);
    *ret_lost = r > 0 || r == -EINVAL || r == -ENOBUFS;
    return r;
}

static int settle_mail(struct sending *s, const struct mail_due *m, bool is_sent, int64_t due, enum mail_state state)
{
    struct db *db = NULL;
    int r = cloud_db_take(s->cloud, &db);
    if (r == 0 && is_sent)
        r = outbox_sent(s->cloud, db, m);
    else if (r == 0)
        r = outbox_put_off(s->cloud, db, m, due, state);
    cloud_db_give(s->cloud, db);
    if (r != 0)
        log_error("outbox.store", "error=%s action=\"it is sent again\"", log_q(r < 0 ? error_str(r) : "unexpected"));
    return r;
}

/* Gone with its recipient, or not to be read: nobody can get it. */
static int drop_mail(struct sending *s, const struct mail_due *m, int r)
{
    char id[2 * ID_LEN + 1];
    bool gone = r == CLOUD_ABSENT;
    log_info("mail.dropped", "tenant=%s mail=%s error=%s", m->tenant, str_hex(m->id, ID_LEN, id),
             gone ? "\"its recipient is gone\"" : "damaged");
    count(s, SENDING_MAIL, SENDING_GIVEN_UP);
    return settle_mail(s, m, gone, 0, MAIL_FAILED);
}

static int fail_mail(struct sending *s, const struct mail_due *m, const struct mail_row *row, int r,
                     const struct courier_result *res)
{
    char id[2 * ID_LEN + 1];
    int64_t now = clock_real(), wait = backoff(row->tries + 1);
    bool over = res->final || now - row->created > MAIL_TRIES_US;
    str_hex(m->id, ID_LEN, id);
    if (over)
        log_warn("mail.failed", "tenant=%s mail=%s template=%s tries=%u error=%s action=\"giving it up\"", m->tenant,
                 id, mail_template_name(row->template), row->tries + 1, why(r, res));
    else
        log_warn("mail.delayed", "tenant=%s mail=%s template=%s tries=%u error=%s retry_s=%lld", m->tenant, id,
                 mail_template_name(row->template), row->tries + 1, why(r, res), (long long)(wait / 1000000));
    count(s, SENDING_MAIL, over ? SENDING_GIVEN_UP : SENDING_TRIES_FAILED);
    return settle_mail(s, m, false, now + wait, over ? MAIL_FAILED : MAIL_WAITING);
}

/* *ret_reached: the server was there, so the next message may be tried. */
static int send_one(struct sending *s, const struct mail_due *m, bool *ret_reached)
{
    char id[2 * ID_LEN + 1];
    struct buf CLEANUP(buf_wipe) message;
    struct mail_row row = {0};
    struct courier_result res = {0};
    bool lost = false;
    buf_init(&message, 65536);
    int r = compose(s, m, &row, &message, &lost);
    *ret_reached = true;
    if (r != 0) {
        mail_row_done(&row);
        return lost ? drop_mail(s, m, r) : r;
    }
    const struct courier_mail mail = {.to = row.to, .message = buf_bytes(&message)};
    r = courier_mail(cloud_settings(s->cloud), &mail, &s->stop, &res);
    FAULT_KILL("mail-sent");
    if (r == 0) {
        count(s, SENDING_MAIL, SENDING_DELIVERED);
        r = settle_mail(s, m, true, 0, MAIL_WAITING);
        log_info("mail.sent", "tenant=%s mail=%s template=%s", m->tenant, str_hex(m->id, ID_LEN, id),
                 mail_template_name(row.template));
    } else if (!atomic_load(&s->stop)) {
        *ret_reached = res.status != 0;
        r = fail_mail(s, m, &row, r, &res);
    }
    mail_row_done(&row);
    return r;
}

/* One pass; *failures counts passes in a row that did not reach the server. */
static void mail_pass(struct sending *s, unsigned *failures)
{
    struct mail_due due[MAIL_BATCH];
    struct db *db = NULL;
    size_t n = 0;
    bool reached = true;
    int r = cloud_db_take(s->cloud, &db);
    if (r == 0)
        r = outbox_due(db, clock_real(), MAIL_BATCH, due, &n);
    cloud_db_give(s->cloud, db);
    for (size_t i = 0; r == 0 && reached && i < n && !atomic_load(&s->stop); i++)
        r = send_one(s, &due[i], &reached);
    if (r != 0 || !reached)
        ++*failures;
    else if (n > 0)
        *failures = 0;
}

static void sweep_mail(struct sending *s)
{
    struct db *db = NULL;
    int r = cloud_db_take(s->cloud, &db);
    if (r == 0)
        r = outbox_sweep(s->cloud, db, clock_real());
    cloud_db_give(s->cloud, db);
    if (r != 0)
        log_warn("outbox.sweep", "error=%s retry_s=%d", log_q(r < 0 ? error_str(r) : "unexpected"), SWEEP_MS / 1000);
}

/* A server that does not answer is not asked again for each message: a minute later at first, then less often. */
static void *run_mail(void *arg)
{
    struct sending *s = arg;
    int64_t swept = 0, not_before = 0;
    unsigned failures = 0;
    while (!atomic_load(&s->stop)) {
        if (outbox_mails(s->cloud) && clock_ms() >= not_before) {
            unsigned before = failures;
            mail_pass(s, &failures);
            if (failures > before)
                not_before = clock_ms() + backoff(failures > 4 ? 4 : failures) / 1000;
        }
        if (swept == 0 || clock_ms() - swept >= SWEEP_MS) {
            sweep_mail(s);
            swept = clock_ms();
        }
        pthread_mutex_lock(&s->lock);
        nap(s);
        pthread_mutex_unlock(&s->lock);
    }
    return NULL;
}

/* ---- one delivery ---- */

/* What there is to send to whom; CLOUD_ABSENT: nothing any more, or not yet: it was found due before its last try. */
static int take_head(struct sending *s, const struct webhook_due *w, struct webhook *ret_webhook,
                     struct delivery *ret_delivery, struct buf *ret_body)
{
    struct db *db = NULL;
    struct scope scope;
    int r = cloud_db_take(s->cloud, &db);
    if (r == 0)
        r = scope_init(s->cloud, db, w->tenant, &scope);
    if (r == 0)
        r = webhook_find(&scope, w->id, ret_webhook);
    if ((r == 0 || r == CLOUD_DAMAGED) && ret_webhook->due > clock_real())
        r = CLOUD_ABSENT;
    if (r == 0 || r == CLOUD_DAMAGED)
        r = delivery_head(&scope, w->id, ret_delivery);
    cloud_db_give(s->cloud, db);
    return r == 0 ? delivery_body(ret_delivery, w->tenant, ret_body) : r;
}

static int post(struct sending *s, const struct webhook *w, const struct delivery *d, struct bytes body,
                struct courier_result *ret)
{
    char signature[WEBHOOK_SIGNATURE_MAX], lines[3][WEBHOOK_SIGNATURE_MAX + 32], id[2 * ID_LEN + 1];
    const char *const headers[] = {lines[0], lines[1], lines[2], NULL};
    if (w->damaged) {
        snprintf(ret->error, sizeof ret->error, "the webhook is damaged in the store");
        return COURIER_FAILED;
    }
    int r = webhook_sign(w, clock_real(), body, signature);
    if (r != 0)
        return r;
    snprintf(lines[0], sizeof lines[0], "Punch-Signature: %s", signature);
    snprintf(lines[1], sizeof lines[1], "Punch-Delivery: %s", str_hex(d->id, ID_LEN, id));
    snprintf(lines[2], sizeof lines[2], "Punch-Event: %s", d->type);
    const struct courier_post p = {.url = w->url, .headers = headers, .body = body};
    return courier_post(cloud_settings(s->cloud), &p, &s->stop, ret);
}

/* What became of the try, into d and w; returns when the webhook is due again. */
static int64_t judge(struct sending *s, struct webhook_due *w, struct delivery *d, int r,
                     const struct courier_result *res)
{
    char hook[2 * ID_LEN + 1], id[2 * ID_LEN + 1];
    int64_t now = clock_real(), wait = 0;
    bool over = r == CLOUD_DAMAGED || now - d->queued > DELIVERY_TRIES_US;
    d->tries++;
    d->tried = now;
    d->status = res->status;
    d->state = r == 0 ? DELIVERY_DONE : over ? DELIVERY_FAILED : DELIVERY_WAITING;
    str_copy(d->error, sizeof d->error, r < 0 ? error_str(r) : res->error);
    w->failures = r == 0 ? 0 : w->failures + 1;
    count(s, SENDING_WEBHOOK, r == 0 ? SENDING_DELIVERED : over ? SENDING_GIVEN_UP : SENDING_TRIES_FAILED);
    if (r == 0)
        return 0;
    wait = backoff(w->failures);
    str_hex(w->id, ID_LEN, hook);
    str_hex(d->id, ID_LEN, id);
    if (over)
        log_warn("webhook.failed", "tenant=%s webhook=%s delivery=%s tries=%u error=%s action=\"giving it up\"",
                 w->tenant, hook, id, d->tries, why(r, res));
    else
        log_info("webhook.delayed", "tenant=%s webhook=%s delivery=%s tries=%u error=%s retry_s=%lld", w->tenant, hook,
                 id, d->tries, why(r, res), (long long)(wait / 1000000));
    return now + wait;
}

static int settle(struct sending *s, const struct webhook_due *w, const struct delivery *d, int64_t due)
{
    struct db *db = NULL;
    int r = cloud_db_take(s->cloud, &db);
    if (r == 0)
        r = delivery_tried(s->cloud, db, w, d, due);
    cloud_db_give(s->cloud, db);
    if (r != 0)
        log_error("outbox.store", "error=%s action=\"it is sent again\"", log_q(r < 0 ? error_str(r) : "unexpected"));
    return r;
}

/* True: it arrived, and there may be more. */
static bool deliver(struct sending *s, struct webhook_due *w)
{
    struct courier_result res = {0};
    struct webhook hook = {0};
    struct delivery d = {0};
    struct buf CLEANUP(buf_done) body;
    buf_init(&body, 65536);
    int r = take_head(s, w, &hook, &d, &body);
    bool there = r == 0 || (r == CLOUD_DAMAGED && d.created != 0);
    if (r == 0)
        r = post(s, &hook, &d, buf_bytes(&body), &res);
    crypto_wipe(&hook, sizeof hook);
    FAULT_KILL("webhook-sent");
    bool arrived = r == 0;
    if (there && (arrived || !atomic_load(&s->stop))) {
        int64_t due = judge(s, w, &d, r, &res);
        arrived = settle(s, w, &d, due) == 0 && arrived;
    } else if (!there && r != CLOUD_ABSENT) {
        log_error("outbox.store", "error=%s action=\"it is sent again\"", log_q(r < 0 ? error_str(r) : "unexpected"));
    }
    delivery_done(&d);
    return arrived;
}

/* ---- whose turn it is ---- */

static bool same(const struct webhook_due *a, const struct webhook_due *b)
{
    return memcmp(a->id, b->id, ID_LEN) == 0 && strcmp(a->tenant, b->tenant) == 0;
}

/* It has a thread, or its kind has as many as it may have. */
static bool has_to_wait(const struct sending *s, const struct webhook_due *w)
{
    size_t each = 0;
    for (size_t i = 0; i < s->n_busy; i++) {
        if (same(&s->busy[i], w))
            return true;
        each += strcmp(s->busy[i].tenant, w->tenant) == 0;
    }
    return each >= HOOK_EACH || (w->failures > 0 && s->n_failing >= HOOK_FAILING);
}

/* With the lock. */
static bool next(struct sending *s, struct webhook_due *ret)
{
    for (size_t i = 0; i < s->n_queue; i++) {
        const struct webhook_due *w = &s->queue[i];
        if (has_to_wait(s, w))
            continue;
        *ret = *w;
        s->queue[i] = s->queue[--s->n_queue];
        s->busy[s->n_busy++] = *ret;
        s->n_failing += ret->failures > 0;
        return true;
    }
    return false;
}

static void finished(struct sending *s, const struct webhook_due *w, bool was_failing)
{
    for (size_t i = 0; i < s->n_busy; i++) {
        if (!same(&s->busy[i], w))
            continue;
        s->busy[i] = s->busy[--s->n_busy];
        break;
    }
    s->n_failing -= was_failing;
}

/* With the lock, which is let go meanwhile. What is busy now is found again by the next look. */
static void look(struct sending *s)
{
    struct webhook_due due[HOOK_QUEUE];
    struct db *db = NULL;
    size_t n = 0, told = 0;
    s->looking = true;
    pthread_mutex_unlock(&s->lock);
    int r = cloud_db_take(s->cloud, &db);
    if (r == 0)
        r = delivery_changes(s->cloud, db, clock_real(), &told);
    if (r == 0)
        r = delivery_due(db, clock_real(), HOOK_QUEUE, due, &n);
    cloud_db_give(s->cloud, db);
    if (r != 0)
        log_warn("outbox.look", "error=%s retry_s=%d", log_q(r < 0 ? error_str(r) : "unexpected"), LOOK_MS / 1000);
    pthread_mutex_lock(&s->lock);
    memcpy(s->queue, due, n * sizeof due[0]);
    s->n_queue = n;
    s->looked = clock_ms();
    s->looking = false;
}

static void *run_hooks(void *arg)
{
    struct sending *s = arg;
    struct webhook_due w;
    pthread_mutex_lock(&s->lock);
    while (!atomic_load(&s->stop)) {
        if (!s->looking && clock_ms() - s->looked >= LOOK_MS)
            look(s);
        if (!next(s, &w)) {
            nap(s);
            continue;
        }
        bool was_failing = w.failures > 0;
        pthread_mutex_unlock(&s->lock);
        for (int i = 0; i < HOOK_ROUND && deliver(s, &w) && !atomic_load(&s->stop); i++)
            ;
        pthread_mutex_lock(&s->lock);
        finished(s, &w, was_failing);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- life ---- */

int sending_start(struct cloud *c, struct sending **ret_sending)
{
    pthread_condattr_t attr;
    struct sending *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->cloud = c;
    s->looked = clock_ms() - LOOK_MS;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->woken, &attr);
    pthread_condattr_destroy(&attr);
    int r = -pthread_create(&s->mail, NULL, run_mail, s);
    s->has_mail = r == 0;
    for (; r == 0 && s->threads < HOOK_THREADS; s->threads += r == 0)
        r = -pthread_create(&s->hooks[s->threads], NULL, run_hooks, s);
    if (r == 0)
        *ret_sending = s;
    else
        sending_stop(s);
    return r;
}

void sending_stop(struct sending *s)
{
    if (!s)
        return;
    atomic_store(&s->stop, true);
    pthread_mutex_lock(&s->lock);
    pthread_cond_broadcast(&s->woken);
    pthread_mutex_unlock(&s->lock);
    if (s->has_mail)
        pthread_join(s->mail, NULL);
    for (unsigned i = 0; i < s->threads; i++)
        pthread_join(s->hooks[i], NULL);
    pthread_cond_destroy(&s->woken);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
