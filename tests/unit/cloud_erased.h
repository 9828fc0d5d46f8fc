/* People who are erased: made, given cards, erased, in an installation with a gateway. */
#pragma once

#include "cloud/erasure.h"
#include "cloud/keyring.h"
#include "tests/unit/cloud_gateway.h"

static inline int setup(void **state)
{
    *state = fixture_new();
    age(*state);
    return 0;
}

static inline int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

static const struct audit_event asked = {.who = &(const struct who){.is = WHO_OPERATOR}};

static inline struct person make(struct fixture *x, const char *name)
{
    struct person p;
    assert_int_equal(people_create(x->c, x->db, TENANT, &(struct person_set){.name = name}, &p), 0);
    return p;
}

static inline struct credential give(struct fixture *x, const struct person *p, unsigned number, int64_t from,
                                     int64_t until)
{
    struct credential c;
    struct cred cred = card(number);
    assert_int_equal(credential_assign(x->c, x->db, TENANT, p->id, &cred, RENDER_DEC10, from, until, &c, NULL), 0);
    return c;
}

static inline struct erasure erase(struct fixture *x, const struct person *p)
{
    struct erasure e;
    assert_int_equal(erasure_make(x->c, x->db, TENANT, p->id, &asked, &e), 0);
    assert_true(e.done != 0);
    return e;
}

static inline size_t inbox(struct fixture *x)
{
    struct waiting_list l;
    assert_int_equal(credential_waiting(x->c, x->db, TENANT, NULL, 100, &l), 0);
    size_t n = l.n;
    waiting_list_done(&l);
    return n;
}

static inline struct tgw *gateway(struct fixture *x)
{
    struct tgw *g = tgw_new(x, "hq");
    age(x);
    return g;
}
