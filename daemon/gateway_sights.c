/* From the readers' queue to stored punches and answers: drain, dedup, stamp, seal, commit; only then say anything to
 * anybody. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "daemon/gateway_impl.h"
#include "daemon/mutant.h"
#include "wire/cbor.h"

/* A full spool counts as having room again when this much would fit: not after each single record. */
#define ROOM_RECORDS 32
#define ROOM_EACH 240

struct repeat {
    unsigned reader;
    uint64_t token;
};

static const char *reader_name(const struct gateway *g, unsigned reader)
{
    return ((const struct reader_settings *)g->s->readers.items)[reader].name;
}

void gateway_read_clock(struct gateway *g)
{
    stamp_read(&g->clock);
    stamp_update(&g->stamp, &g->clock);
}

struct entry *gateway_event(struct gateway *g, size_t i, enum event_code code, struct bytes arg)
{
    struct entry *e = &g->batch[i];
    *e = (struct entry){.rec = {.kind = RECORD_EVENT, .real = g->clock.real, .mono = g->clock.mono}};
    e->rec.ck = stamp_ck(&g->stamp, &g->clock, g->clock.real, g->clock.mono);
    e->rec.event.code = code;
    ASSERT(arg.n <= sizeof(e->arg));
    if (arg.n > 0) {
        memcpy(e->arg, arg.p, arg.n);
        e->rec.event.arg = BYTES(e->arg, arg.n);
    }
    return e;
}

/* A due clock record goes in front of the batch. */
static size_t clock_first(struct gateway *g)
{
    if (!g->stamp.due)
        return 0;
    g->batch[0] = (struct entry){0};
    stamp_clock_record(&g->stamp, &g->clock, &g->batch[0].rec);
    return 1;
}

/* To the reader, and to the lights beside it; `again`: for a repeat. */
static void answer(struct gateway *g, unsigned reader, uint64_t token, enum answer a, bool again)
{
    if (g->readers)
        readers_answer(g->readers, reader, token, a);
    lights_answer(g->lights, reader, a, again);
}

void gateway_lights(struct gateway *g)
{
    bool storing = !g->spool_full && !spool_broken(g->spool);
    for (unsigned i = 0; i < g->s->readers.n; i++)
        lights_ready(g->lights, i, storing && g->lanes[i].up);
}

static void answer_all(struct gateway *g, size_t n, bool stored)
{
    for (size_t i = 0; i < n; i++) {
        const struct entry *e = &g->batch[i];
        if (e->from_sight)
            answer(g, e->reader, e->token, stored || e->stored ? ANSWER_STORED : ANSWER_REFUSED, false);
    }
}

static void tail_all(struct gateway *g, size_t n, bool stored)
{
    for (size_t i = 0; i < n; i++)
        if (stored || g->batch[i].stored)
            control_tail(g->control, &g->batch[i]);
}

/* Books what became of each entry. */
static void settle(struct gateway *g, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct entry *e = &g->batch[i];
        if (!e->from_sight) {
            if (e->stored && e->rec.kind == RECORD_CLOCK && e->rec.clock.src != CLOCK_SRC_CLOUD)
                stamp_stored(&g->stamp, &g->clock);
            continue;
        }
        struct reader_state *l = &g->lanes[e->reader];
        intake_result(g->intake, e, e->stored);
        g->punches += e->stored;
        l->punches += e->stored;
        g->refused += !e->stored;
        g->refused_untold += !e->stored;
        l->refused += !e->stored;
    }
}

static void on_full(struct gateway *g)
{
    if (g->spool_full)
        return;
    g->spool_full = true;
    log_error("spool.full", "budget=%llu action=\"refusing punches until the cloud acknowledges\"",
              (unsigned long long)spool_budget(g->spool));
    gateway_status_changed(g);
}

bool gateway_commit(struct gateway *g, size_t n)
{
    uint64_t began = clock_mono();
    int staged = journal_stage(g->journal, g->batch, n);
    if (MUTANT_EARLY_ACK && staged == 0) {
        answer_all(g, n, true);
        tail_all(g, n, true);
    }
    int r = journal_commit(g->journal, g->batch, n, staged);
    if (r == 0 && n > 0)
        metrics_took(&g->commits, clock_mono() - began);
    settle(g, n);
    if (!MUTANT_EARLY_ACK || staged != 0) {
        answer_all(g, n, false);
        FAULT_KILL("after-answer");
        tail_all(g, n, false);
    }
    if (r == JOURNAL_FULL) {
        on_full(g);
    } else if (r == -EUCLEAN) {
        log_error("spool.corrupt", "action=\"stopping, the next start moves it aside and begins a new one\"");
        loop_stop(g->loop, 1);
    } else if (r < 0) {
        log_error("spool.refused", "error=%s action=\"refusing punches until the spool can be written\"",
                  log_q(error_str(r)));
    }
    if (journal_recoveries(g->journal) != g->recoveries_seen) {
        g->recoveries_seen = journal_recoveries(g->journal);
        sender_reset(g->sender);
        if (!spool_broken(g->spool))
            intake_resync(g->intake);
    }
    return r == 0;
}

/* ---- sights ---- */

/* One SIGHT_CARD: an entry, a repeat, or nothing. */
static void on_card(struct gateway *g, const struct sight *s, size_t *n, struct repeat *repeats, size_t *n_repeats)
{
    enum intake_verdict v;
    struct entry *e = &g->batch[*n];
    int r = intake_card(g->intake, s, g->lanes[s->reader].acked, e, &v);
    if (r != 0) {
        log_error("intake.failed", "reader=%s error=%s action=refused", log_q(reader_name(g, s->reader)),
                  log_q(error_str(r)));
        answer(g, s->reader, s->token, ANSWER_REFUSED, false);
        return;
    }
    switch (v) {
    case INTAKE_PUNCH:
        e->rec.ck = stamp_ck(&g->stamp, &g->clock, s->real, s->mono);
        ++*n;
        break;
    case INTAKE_REPEAT:
        repeats[(*n_repeats)++] = (struct repeat){.reader = s->reader, .token = s->token};
        g->duplicates++;
        g->lanes[s->reader].duplicates++;
        break;
    case INTAKE_INVALID:
        log_warn("intake.invalid", "reader=%s reason=\"not a credential\" action=dropped",
                 log_q(reader_name(g, s->reader)));
        if (g->readers)
            readers_answer(g->readers, s->reader, s->token, ANSWER_STORED); /* no light: nothing was stored */
        break;
    }
}

/* At worst its card becomes a second punch. */
static void on_left(struct gateway *g, const struct sight *s)
{
    int r = intake_left(g->intake, s);
    if (r != 0)
        log_error("intake.failed", "reader=%s error=%s action=\"hold counts from the punch\"",
                  log_q(reader_name(g, s->reader)), log_q(error_str(r)));
}

static void on_settled(struct gateway *g, const struct sight *s)
{
    int r = intake_settled(g->intake, s);
    if (r != 0)
        log_error("spool.mark", "reader=%s error=%s action=\"settled when the spool is open again\"",
                  log_q(reader_name(g, s->reader)), log_q(error_str(r)));
}

static void on_updown(struct gateway *g, const struct sight *s)
{
    struct reader_state *l = &g->lanes[s->reader];
    bool up = s->kind == SIGHT_UP;
    if (l->up == up && l->told_ms != 0)
        return;
    l->up = up; /* the driver has logged it; gateway_due() writes the event */
}

/* Takes what is queued, at most a batch. False: the queue is empty. */
static bool one_batch(struct gateway *g)
{
    struct repeat repeats[JOURNAL_BATCH];
    struct sight s;
    size_t n_repeats = 0, seen = 0;
    gateway_read_clock(g);
    size_t n = clock_first(g), clocks = n;
    for (; seen < JOURNAL_BATCH - 1 && queue_pop(g->sights, &s) == 0; seen++) {
        switch (s.kind) {
        case SIGHT_CARD:
            on_card(g, &s, &n, repeats, &n_repeats);
            break;
        case SIGHT_LEFT:
            on_left(g, &s);
            break;
        case SIGHT_IDLE:
        case SIGHT_ACKED:
            on_settled(g, &s);
            break;
        case SIGHT_DOWN:
        case SIGHT_UP:
            on_updown(g, &s);
            break;
        }
        crypto_wipe(&s.cred, sizeof(s.cred));
    }
    bool stored = n == clocks || gateway_commit(g, n);
    /* A repeat's punch is in an earlier batch or in this one. */
    for (size_t i = 0; i < n_repeats; i++)
        answer(g, repeats[i].reader, repeats[i].token, stored ? ANSWER_STORED : ANSWER_REFUSED, true);
    gateway_lights(g);
    crypto_wipe(g->batch, n * sizeof(*g->batch)); /* not all of it: 86 KiB a punch would push out all that is warm */
    return seen == JOURNAL_BATCH - 1;
}

void gateway_on_sights(void *arg, uint32_t events)
{
    struct gateway *g = arg;
    (void)events;
    (void)one_batch(g); /* the loop comes back at once if there is more */
    gateway_due(g);
    gateway_send(g);
}

void gateway_drain(struct gateway *g)
{
    while (one_batch(g))
        ;
}

/* ---- what is due without a sight ---- */

static size_t due_readers(struct gateway *g, size_t n)
{
    int64_t now = clock_ms();
    for (unsigned i = 0; i < g->s->readers.n && n < JOURNAL_BATCH - 4; i++) {
        struct reader_state *l = &g->lanes[i];
        if (l->up == l->told_up || (l->told_ms != 0 && now - l->told_ms < READER_EVENT_MS))
            continue;
        uint8_t arg[JOURNAL_ARG];
        struct cbor_w w = CBOR_W(arg, sizeof(arg));
        cbor_put_text(&w, reader_name(g, i));
        gateway_event(g, n, l->up ? EVENT_READER_UP : EVENT_READER_DOWN, BYTES(arg, w.len));
        n++;
        l->told_ms = now; /* tried; told it is when it is stored */
        l->telling = true;
    }
    return n;
}

static size_t due_full(struct gateway *g, size_t n)
{
    if (!g->spool_full || spool_broken(g->spool) || spool_admit(g->spool, ROOM_RECORDS, ROOM_EACH) != 0)
        return n;
    uint8_t arg[16];
    struct cbor_w w = CBOR_W(arg, sizeof(arg));
    cbor_put_uint(&w, g->refused_untold);
    gateway_event(g, n, EVENT_SPOOL_FULL, BYTES(arg, w.len));
    return n + 1;
}

static size_t due_quarantine(struct gateway *g, size_t n)
{
    if (g->quarantined[0] == '\0')
        return n;
    uint8_t arg[JOURNAL_ARG];
    struct cbor_w w = CBOR_W(arg, sizeof(arg));
    cbor_put_text(&w, g->quarantined);
    gateway_event(g, n, EVENT_SPOOL_QUARANTINED, BYTES(arg, w.len));
    return n + 1;
}

/* The event and the hole go into one transaction: either both are there or the record is found again. Hence room is
 * made first: a trim for it would commit the hole alone, and so would the next tick when the event found no room. */
static size_t due_damage(struct gateway *g, size_t n)
{
    if (!g->damage || spool_admit(g->spool, n + 2, ROOM_EACH) != 0)
        return n;
    uint8_t arg[JOURNAL_ARG];
    struct cbor_w w = CBOR_W(arg, sizeof(arg));
    cbor_put_array(&w, 2);
    cbor_put_bytes(&w, BYTES(g->damage_segid, SEGID_LEN));
    cbor_put_uint(&w, g->damage_index);
    gateway_event(g, n, EVENT_RECORD_DAMAGED, BYTES(arg, w.len));
    bool hopeless = spool_lose(g->spool, g->damage_segno, g->damage_index) != 0;
    log_error("spool.damaged", "segno=%llu index=%llu action=%s", (unsigned long long)g->damage_segno,
              (unsigned long long)g->damage_index,
              hopeless ? "\"one too many, the rest of its segment stays here\"" : "\"sending goes on behind it\"");
    return n + 1;
}

void gateway_due(struct gateway *g)
{
    gateway_read_clock(g);
    size_t n = clock_first(g), clocks = n;
    n = due_readers(g, n);
    bool readers_changed = n > clocks;
    size_t before = n;
    n = due_full(g, n);
    bool full = n > before;
    before = n;
    n = due_quarantine(g, n);
    bool quarantine = n > before;
    before = n;
    n = due_damage(g, n);
    if (n == 0)
        return;
    bool damage = n > before;
    bool stored = gateway_commit(g, n);
    for (size_t i = 0; i < g->s->readers.n; i++) {
        struct reader_state *l = &g->lanes[i];
        l->told_up = l->telling && stored ? l->up : l->told_up;
        l->telling = false;
    }
    if (!stored)
        return;
    if (full) {
        log_note("spool.room", "refused=%llu action=\"storing punches again\"", (unsigned long long)g->refused_untold);
        g->spool_full = false;
        g->refused_untold = 0;
    }
    if (quarantine)
        g->quarantined[0] = '\0';
    if (damage)
        g->damage = false;
    if (readers_changed || full)
        gateway_status_changed(g);
}
