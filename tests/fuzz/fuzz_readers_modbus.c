/* Any device behind the drivers of Modbus readers: the bytes choose a profile of config/profiles, then registers,
 * replies, time-outs, exceptions, broken lines, the daemon's answers, and how time passes.
 *
 * What has to hold: a turn makes one request at most, of registers the profile names, and says when the next is due. A
 * card is what the last reply shows (of a level device: the last two), its number decoded here anew. Of a latched
 * device nothing is cleared but what was stored, or what has no number. To a level device nothing is written, and CARD
 * and LEFT of one card alternate. So do UP and DOWN. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "readers/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define HOUR_MS 3600000

enum which { INVEO, VRD_485, IC_10MRW, N_PROFILES };
static const char *const names[] = {"inveo-rfid-ind", "technotrade-vrd-485", "ic-10mrw"};
static struct profile profiles[N_PROFILES];
static struct queue *sights;

struct rig {
    struct link link;
    struct bytes in;
    enum which which;
    const struct profile *p;
    uint16_t registers[16]; /* of the profile's block */
    uint8_t flags;          /* Inveo: bit 0 new tag, bit 1 reset */
    unsigned asked;
    struct reply last[2]; /* the last good replies with registers, [0] the newest */
    unsigned n_last;
    bool up, waits, stored, there;
    uint64_t token;
    struct cred cred; /* of the last card */
};

static uint8_t next(struct rig *r)
{
    if (r->in.n == 0)
        return 0;
    r->in.n--;
    return *r->in.p++;
}

static void serve_write(struct rig *r, const struct ask *a)
{
    ASSERT(r->which == INVEO && a->fc == ASK_WRITE_COIL && a->n == 0 && (a->addr == 1016 || a->addr == 1017));
    if (a->addr == 1016) {
        struct cred c;
        int what = profile_cred(r->p, r->last[0].v, &c);
        bool unreadable = r->n_last > 0 && (what == PROFILE_BAD || what == PROFILE_UNUSABLE);
        ASSERT(!r->waits && (r->stored || unreadable));
    }
    r->flags &= (uint8_t) ~(1u << (a->addr - 1016));
}

static void serve_read(struct rig *r, const struct ask *a, struct reply *ret)
{
    if (a->fc == ASK_COILS) {
        ASSERT(r->which == INVEO && a->addr >= 1016 && a->addr + a->n <= 1018);
        for (unsigned i = 0; i < a->n; i++)
            ret->v[i] = r->flags >> (a->addr + i - 1016) & 1;
        return;
    }
    ASSERT(a->fc == ASK_HOLDING && a->addr == r->p->read.from && a->n == r->p->read.n && a->n <= 16);
    memcpy(ret->v, r->registers, 2u * a->n);
    if (r->which == INVEO)
        ret->v[0] = r->flags & 1;
    r->last[1] = r->last[0];
    r->last[0] = *ret;
    r->n_last++;
}

static int ask(struct link *l, const struct ask *a, struct reply *ret)
{
    struct rig *r = (struct rig *)l;
    uint8_t how = next(r) % 16;

    ASSERT(++r->asked == 1 && a->unit == 3 && a->stats);
    if (how == 1)
        return ASK_TIMEOUT; /* not done */
    if (how == 2)
        return -EIO;
    if (how == 3) {
        ret->exception = next(r);
        return ASK_EXCEPTION;
    }
    if (a->fc == ASK_WRITE_COIL || a->fc == ASK_WRITE_HOLDING) {
        serve_write(r, a);
        return how == 4 ? ASK_TIMEOUT : how == 5 ? ASK_BAD : 0; /* done */
    }
    if (how == 4 || how == 5)
        return how == 4 ? ASK_TIMEOUT : ASK_BAD;
    serve_read(r, a, ret);
    return 0;
}
static const struct link_ops ops = {.name = "fuzz", .ask = ask};

/* The number in a reply, by the maps of the profiles' comments; its length, 0 for none. */
static unsigned decode(enum which w, const uint16_t *v, uint8_t ret[CRED_MAX])
{
    static const char *const orders[] = {[4] = "5l5h6l6h", [7] = "2l5l5h6l6h1l1h"};
    unsigned n = w == VRD_485 ? 4 : w == INVEO ? v[1] : v[0];

    if ((w == INVEO && (n > 20 || v[0] != 1)) || (w == IC_10MRW && n != 4 && n != 7))
        return 0;
    for (unsigned i = 0; i < n; i++) {
        const char *at = w == IC_10MRW ? orders[n] + 2 * i : NULL;
        unsigned reg = at ? (unsigned)(*at - '0') : (w == INVEO ? 2 : 0) + i / 2;
        bool low = at ? at[1] == 'l' : i % 2 == 1;
        ret[i] = (uint8_t)(low ? v[reg] : v[reg] >> 8);
    }
    return n;
}

static void shows(const struct rig *r, const struct reply *rep, const struct cred *c)
{
    uint8_t id[CRED_MAX] = {0};
    unsigned n = decode(r->which, rep->v, id);

    ASSERT(n > 0 && c->bits == 8 * n && memcmp(c->data, id, sizeof(id)) == 0);
    ASSERT(c->tech == (r->which == VRD_485 ? TECH_EM4100 : TECH_ISO14443) && cred_valid(c) && cred_usable(c));
}

static void on_sight(struct rig *r, const struct sight *s)
{
    bool level = r->which != INVEO;

    ASSERT(s->reader == 5 && s->real > 0 && s->mono > 0);
    switch (s->kind) {
    case SIGHT_CARD:
        ASSERT(r->up && !r->waits && !r->there && s->token > r->token && r->n_last > (level ? 1 : 0));
        shows(r, &r->last[0], &s->cred);
        if (level)
            shows(r, &r->last[1], &s->cred);
        r->there = level;
        r->waits = !level;
        r->stored = false;
        r->token = s->token;
        r->cred = s->cred;
        break;
    case SIGHT_LEFT:
        ASSERT(r->there && s->token == r->token && cred_equal(&s->cred, &r->cred));
        r->there = false;
        break;
    case SIGHT_ACKED:
        ASSERT(!level && r->stored && s->token == r->token);
        break;
    case SIGHT_IDLE:
        ASSERT(!level && r->up);
        break;
    case SIGHT_UP:
    case SIGHT_DOWN:
        ASSERT(r->up == (s->kind == SIGHT_DOWN));
        r->up = s->kind == SIGHT_UP;
        break;
    }
}

static void take_sights(struct rig *r)
{
    struct sight s;

    while (queue_pop(sights, &s) == 0)
        on_sight(r, &s);
}

/* The daemon's answer, or one to another question. */
static void answer(struct rig *r, const struct driver *d, void *self, uint8_t how)
{
    if (!d->answer)
        return;
    bool ours = r->waits && how % 4 != 0, stored = how % 4 != 1;
    if (ours) {
        r->waits = false;
        r->stored = stored;
    }
    d->answer(self, ours ? r->token : r->token + 1000, stored ? ANSWER_STORED : ANSWER_REFUSED);
}

static void run(struct rig *r, const struct driver *d, void *self, int64_t now)
{
    int64_t due = now;

    d->online(self);
    while (r->in.n > 0) {
        uint8_t op = next(r);
        switch (op % 8) {
        case 0:
            r->registers[op / 8 % 16] = (uint16_t)(next(r) << 8);
            r->registers[op / 8 % 16] |= next(r);
            break;
        case 1:
            r->flags |= op >> 3 & 3; /* only a clear, or a power failure, ends a latch */
            r->flags &= (uint8_t)(op & 0x40 ? 2 : 3);
            break;
        case 2:
            answer(r, d, self, op >> 3);
            due = now;
            break;
        case 3:
            now += (int64_t)(op >> 3) * (op & 0x80 ? 1000 : 10);
            break;
        default:
            now = due != DRIVER_NEVER && due > now ? due : now;
            r->asked = 0;
            if (d->step(self, now, &due) < 0) {
                d->offline(self);
                take_sights(r);
                ASSERT(!r->up && !r->there);
                d->online(self);
                due = now;
            }
            take_sights(r);
            ASSERT(due == DRIVER_NEVER ? r->waits : due >= now && due - now <= HOUR_MS + 5000); /* answers: see below */
            break;
        }
    }
    d->offline(self);
    take_sights(r);
    ASSERT(!r->up && !r->there);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    log_init("fuzz", LOG_ERROR);
    for (unsigned i = 0; i < N_PROFILES; i++) {
        char *why = NULL;
        ASSERT(profile_load(SOURCE_DIR "/config/profiles", names[i], &profiles[i], &why) == 0);
    }
    ASSERT(queue_new(sizeof(struct sight), 64, &sights) == 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static char name[] = "fuzz";
    struct rig r = {.link.ops = &ops, .in = BYTES(data, n)};
    uint8_t first = next(&r);
    struct reader_settings settings = {.name = name, .unit = 3, .poll_ms = 50, .timeout_ms = 300, .hold_ms = 2000};
    struct reader_stats stats = {0};
    atomic_bool stopping = false;
    struct outbox out = {.sights = sights, .stopping = &stopping};
    void *self = NULL;

    r.which = first % N_PROFILES;
    r.p = &profiles[r.which];
    const struct driver *d = r.which == INVEO ? &latched_driver : &level_driver;
    struct driver_env env = {
        .settings = &settings, .profile = r.p, .stats = &stats, .out = &out, .link = &r.link, .reader = 5};
    ASSERT(d->create(&env, &self) == 0);
    /* An answer is dated by the real clock: either it comes at once, or an hour after the read. */
    run(&r, d, self, clock_ms() - (first & 0x80 ? HOUR_MS : 0));
    d->destroy(self);
    return 0;
}
