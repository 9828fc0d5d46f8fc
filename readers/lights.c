#include "readers/lights.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "readers/light_out.h"

_Static_assert(READERS_MAX <= 64, "a light's readers are the bits of one word");

struct lamp {
    const char *text; /* its place as the settings name it */
    struct light_place place;
    uint64_t readers; /* a bit each */
    struct light light;
    struct light_out *out;
    bool open, lit;
    int64_t until;    /* what was last set holds */
    int64_t retry_at; /* of a closed one */
    int last_error;   /* so that a lasting one is logged once */
    uint64_t failures;
};

struct lights {
    struct loop_timer *timer;
    uint64_t ready; /* readers, a bit each */
    size_t n;
    struct lamp lamps[]; /* LIGHT_ROLES a reader at most */
};

/* ---- one output ---- */

static void fail(struct lamp *p, int64_t now, int why)
{
    p->out->ops->close(p->out);
    p->open = false;
    p->failures++;
    p->retry_at = now + (p->last_error == 0 ? LIGHTS_SOON_MS : LIGHTS_RETRY_MS);
    if (why != p->last_error)
        log_warn("light.failed", "light=%s error=%s action=\"trying again every %d s\" hint=%s", log_q(p->text),
                 log_q(error_str(why)), LIGHTS_RETRY_MS / 1000,
                 why == -EINVAL && !p->place.gpio ? "\"is the module ledtrig-transient loaded?\"" : "-");
    p->last_error = why;
}

static void try_open(struct lamp *p, int64_t now)
{
    int r = p->out->ops->open(p->out);
    if (r < 0) {
        fail(p, now, r);
        return;
    }
    p->open = true;
    p->lit = false;
    log_info("light.open", "light=%s by=%s", log_q(p->text), p->out->ops->name);
}

/* Brings an output to what is to be shown now; when it wants another look. */
static int64_t update(struct lamp *p, int64_t now)
{
    int64_t until;
    bool lit = light_step(&p->light, now, &until);

    if (!p->open && now >= p->retry_at)
        try_open(p, now);
    if (!p->open)
        return p->retry_at;
    if (lit == p->lit && (!lit || until == p->until))
        return until;
    int r = p->out->ops->set(p->out, lit, lit ? (unsigned)(until - now) : 0);
    if (r < 0) {
        fail(p, now, r);
        return p->retry_at;
    }
    p->last_error = 0;
    p->lit = lit;
    p->until = until;
    return until;
}

static void on_timer(void *arg)
{
    struct lights *l = arg;
    int64_t now = clock_ms(), due = LIGHT_NEVER;

    for (size_t i = 0; i < l->n; i++) {
        int64_t at = update(&l->lamps[i], now);
        due = at < due ? at : due;
    }
    if (due != LIGHT_NEVER)
        (void)loop_timer_set(l->timer, due > now ? (uint64_t)(due - now) : 1);
}

/* ---- making them ---- */

static int add(struct lights *l, const char *text, enum light_role role, unsigned reader)
{
    struct lamp *p = &l->lamps[l->n];
    struct light_place place;
    int r = light_place_parse(text, &place);

    if (r < 0)
        return r; /* readers_check() would have said so */
    for (size_t i = 0; i < l->n; i++)
        if (light_place_equal(&l->lamps[i].place, &place)) {
            l->lamps[i].readers |= UINT64_C(1) << reader;
            return 0;
        }
    r = light_out_new(&place, &p->out);
    if (r < 0)
        return r;
    p->text = text;
    p->place = place;
    p->readers = UINT64_C(1) << reader;
    light_init(&p->light, role, clock_ms());
    l->n++;
    return 0;
}

int lights_new(struct loop *loop, const struct conf_list *readers, struct lights **ret)
{
    const struct reader_settings *s = readers->items;
    struct lights *l = calloc(1, sizeof(*l) + readers->n * LIGHT_ROLES * sizeof(l->lamps[0]));
    if (!l)
        return -ENOMEM;
    int r = loop_timer_new(loop, on_timer, l, &l->timer);
    for (unsigned i = 0; i < readers->n; i++)
        for (unsigned k = 0; r == 0 && k < LIGHT_ROLES; k++)
            if (s[i].lights[k])
                r = add(l, s[i].lights[k], (enum light_role)k, i);
    if (r == 0 && l->n > 0)
        r = loop_timer_set(l->timer, 0);
    if (r < 0) {
        lights_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

void lights_free(struct lights *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->n; i++)
        l->lamps[i].out->ops->free(l->lamps[i].out);
    loop_timer_free(l->timer);
    free(l);
}

/* ---- news ---- */

void lights_ready(struct lights *l, unsigned reader, bool ready)
{
    uint64_t bit = UINT64_C(1) << reader, before = l->ready;

    l->ready = ready ? before | bit : before & ~bit;
    if (l->ready == before)
        return;
    for (size_t i = 0; i < l->n; i++)
        if (l->lamps[i].readers & bit) {
            light_base(&l->lamps[i].light, (l->ready & l->lamps[i].readers) == l->lamps[i].readers, clock_ms());
            (void)loop_timer_set(l->timer, 0);
        }
}

void lights_answer(struct lights *l, unsigned reader, enum answer a, bool again)
{
    for (size_t i = 0; i < l->n; i++) {
        if (!(l->lamps[i].readers & (UINT64_C(1) << reader)))
            continue;
        if (a == ANSWER_STORED)
            light_accepted(&l->lamps[i].light, again, clock_ms());
        else
            light_refused(&l->lamps[i].light, clock_ms());
        (void)loop_timer_set(l->timer, 0);
    }
}

size_t lights_count(const struct lights *l)
{
    return l->n;
}

void lights_at(const struct lights *l, size_t i, struct lights_view *ret)
{
    const struct lamp *p = &l->lamps[i];
    *ret = (struct lights_view){
        .place = p->text, .role = light_role_name(p->light.role), .working = p->open, .failures = p->failures};
}
