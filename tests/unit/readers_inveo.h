/* A latched reader behind a fake link, and the driver that is tested on it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/readers_rig.h"

#define FLAG 1016
#define RESET 1017

/* ---- an Inveo behind the link ---- */

struct inveo {
    struct fake fake;
    bool flag, reset;
    bool reset_sticks, unsure; /* a reset flag that cannot be cleared; registers that deny the flag */
    uint8_t id[20];
    unsigned len, writes, init_writes, flag_clears, reset_clears;
};

struct latched_rig {
    struct rig rig;
    struct inveo dev;
};

static inline void write_done(struct inveo *f, const struct ask *a)
{
    f->writes++;
    if (a->fc == ASK_WRITE_COIL && a->addr == FLAG && a->n == 0) {
        f->flag_clears += f->flag;
        f->flag = false;
    } else if (a->fc == ASK_WRITE_COIL && a->addr == RESET && a->n == 0) {
        f->reset_clears++;
        f->reset = f->reset_sticks;
    } else {
        f->init_writes++;
    }
}

static inline void read_done(const struct inveo *f, const struct ask *a, struct reply *ret)
{
    for (unsigned i = 0; i < a->n; i++) {
        unsigned at = a->addr + i;
        if (a->fc == ASK_COILS)
            ret->v[i] = at == FLAG ? f->flag : at == RESET ? f->reset : 0;
        else if (at == 1000)
            ret->v[i] = f->flag && !f->unsure;
        else if (at == 1001)
            ret->v[i] = (uint16_t)f->len;
        else
            ret->v[i] = (uint16_t)(f->id[2 * (at - 1002)] << 8 | f->id[2 * (at - 1002) + 1]);
    }
}

static inline void serve(struct fake *fake, const struct ask *a, struct reply *ret)
{
    if (a->fc == ASK_WRITE_COIL || a->fc == ASK_WRITE_HOLDING)
        write_done((struct inveo *)fake, a);
    else
        read_done((struct inveo *)fake, a, ret);
}

static inline void present(struct inveo *f, const char *id)
{
    assert_false(f->flag);
    memset(f->id, 0, sizeof(f->id));
    f->len = (unsigned)strlen(id);
    memcpy(f->id, id, f->len);
    f->flag = true;
}

/* ---- the driver under test ---- */

static inline struct inveo *inveo_of(struct rig *r)
{
    return (struct inveo *)r->dev;
}

static inline int rig_new(void **state)
{
    struct latched_rig *l = calloc(1, sizeof(*l));

    assert_non_null(l);
    l->dev.fake.serve = serve;
    rig_init(&l->rig, &latched_driver, "inveo-rfid-ind", &l->dev.fake);
    *state = &l->rig;
    return 0;
}

static inline int rig_free(void **state)
{
    struct latched_rig *l = *state;
    rig_done(&l->rig);
    free(l);
    return 0;
}

static inline void answer(struct rig *r, uint64_t token, enum answer a)
{
    latched_driver.answer(r->self, token, a);
    r->due = 0;
}

/* Connected, told so, nothing latched. */
static inline void idle(struct rig *r)
{
    online(r);
    until_sight(r);
    take(r, SIGHT_UP);
    until_sight(r);
    take(r, SIGHT_IDLE);
    no_sight(r);
}

static inline struct sight card(struct rig *r, const char *id)
{
    until_sight(r);
    struct sight s = take(r, SIGHT_CARD);
    assert_int_equal(s.cred.tech, TECH_ISO14443);
    assert_int_equal(s.cred.bits, 8 * strlen(id));
    assert_memory_equal(s.cred.data, id, strlen(id));
    no_sight(r);
    return s;
}
