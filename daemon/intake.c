#include "daemon/intake.h"

#include <stdlib.h>
#include <string.h>

struct mark {
    bool set;
    bool inherited; /* from before this process, and this reader has not shown a card since */
    bool lost_key;  /* inherited, but its hash cannot be compared */
    bool aged;      /* inherited from this boot: `mono` can be compared */
    uint64_t gseq, mono;
    uint64_t token; /* of the sight it was answered under */
    uint8_t hash[DEDUP_HASH];
};

struct lane {
    const struct reader_settings *settings;
    struct mark mark;
    struct dedup dedup;
};

struct intake {
    struct spool *spool;
    uint8_t key[CRYPTO_KEY];
    size_t n;
    struct lane lanes[];
};

int intake_new(const struct intake_options *o, struct intake **ret)
{
    struct intake *in = calloc(1, sizeof(*in) + o->readers->n * sizeof(struct lane));
    if (!in)
        return -ENOMEM;
    in->spool = o->spool;
    in->n = o->readers->n;
    memcpy(in->key, o->hash_key, sizeof(in->key));
    const struct reader_settings *settings = o->readers->items;
    for (size_t i = 0; i < in->n; i++) {
        struct lane *l = &in->lanes[i];
        struct spool_mark m;
        l->settings = &settings[i];
        int r = spool_mark(o->spool, settings[i].name, &m);
        if (r == SPOOL_NONE)
            continue;
        if (r != 0) {
            intake_free(in);
            return r;
        }
        l->mark = (struct mark){.set = true,
                                .inherited = true,
                                .lost_key = o->key_fresh,
                                .aged = memcmp(m.boot, o->boot, BOOT_LEN) == 0,
                                .gseq = m.gseq,
                                .mono = m.mono};
        memcpy(l->mark.hash, m.hash, sizeof(m.hash));
    }
    *ret = in;
    return 0;
}

void intake_free(struct intake *in)
{
    if (!in)
        return;
    crypto_wipe(in->key, sizeof(in->key));
    free(in);
}

static bool within_hold(const struct lane *l, uint64_t mono)
{
    const struct mark *m = &l->mark;
    return m->aged && (mono < m->mono || mono - m->mono < l->settings->hold_ms * 1000);
}

/* Same presentation as the mark's, told by its hash? Sets *ret_repeat when only the cloud can tell. */
static bool settled_by_mark(struct lane *l, const struct sight *s, const uint8_t *hash, uint64_t *ret_repeat)
{
    struct mark *m = &l->mark;
    *ret_repeat = 0;
    if (!m->set)
        return false;
    bool same = memcmp(m->hash, hash, DEDUP_HASH) == 0, inherited = m->inherited;
    m->inherited = false;
    if (inherited && m->lost_key) {
        *ret_repeat = m->gseq;
        return false;
    }
    if (!same)
        return false;
    if (!inherited || !within_hold(l, s->mono)) {
        *ret_repeat = m->gseq;
        return false;
    }
    m->token = s->token;
    return true;
}

static int hash_of(const struct intake *in, const struct cred *c, uint8_t ret[CRYPTO_HASH])
{
    uint8_t cbor[CRED_CBOR_MAX];
    struct bytes part = BYTES(cbor, cred_cbor(c, cbor));
    int r = crypto_hmac(BYTES(in->key, sizeof(in->key)), &part, 1, ret);
    crypto_wipe(cbor, sizeof(cbor));
    return r;
}

int intake_left(struct intake *in, const struct sight *s)
{
    ASSERT(s->reader < in->n);
    uint8_t hash[CRYPTO_HASH];
    int r = cred_valid(&s->cred) ? hash_of(in, &s->cred, hash) : -EINVAL;
    if (r == 0)
        dedup_extend(&in->lanes[s->reader].dedup, hash, s->mono);
    return r;
}

int intake_card(struct intake *in, const struct sight *s, bool acked, struct entry *ret, enum intake_verdict *ret_v)
{
    ASSERT(s->reader < in->n);
    struct lane *l = &in->lanes[s->reader];
    uint8_t hash[CRYPTO_HASH];
    if (!cred_valid(&s->cred)) {
        *ret_v = INTAKE_INVALID;
        return 0;
    }
    int r = hash_of(in, &s->cred, hash);
    if (r != 0)
        return r;
    if (l->mark.set && !acked) { /* another kind of reader has taken the place of the one that was acknowledged */
        l->mark.set = false;
        (void)spool_clear_mark(in->spool, l->settings->name); /* if that fails: intake_resync() */
    }
    bool held = dedup_seen(&l->dedup, hash, s->mono, l->settings->hold_ms * 1000);
    uint64_t repeat = 0;
    if (held && l->mark.set && memcmp(l->mark.hash, hash, sizeof(hash)) == 0)
        l->mark.token = s->token; /* the acknowledgement to come is this sight's */
    if (held || settled_by_mark(l, s, hash, &repeat)) {
        *ret_v = INTAKE_REPEAT;
        return 0;
    }
    *ret = (struct entry){.from_sight = true, .reader = s->reader, .token = s->token};
    ret->rec = (struct record){.kind = RECORD_PUNCH, .real = s->real, .mono = s->mono};
    memcpy(ret->rec.punch.reader, l->settings->name, strlen(l->settings->name) + 1);
    ret->rec.punch.cred = s->cred;
    ret->rec.punch.dir = (uint8_t)l->settings->direction;
    ret->rec.punch.rendering = (uint8_t)l->settings->number;
    ret->rec.punch.repeat = repeat;
    memcpy(ret->hash, hash, sizeof(hash));
    ret->mark = acked ? l->settings->name : NULL;
    *ret_v = INTAKE_PUNCH;
    return 0;
}

void intake_result(struct intake *in, const struct entry *e, bool stored)
{
    struct lane *l = &in->lanes[e->reader];
    if (!stored) {
        dedup_forget(&l->dedup, e->hash);
        if (e->rec.punch.repeat != 0 && l->mark.set && l->mark.gseq == e->rec.punch.repeat) {
            l->mark.inherited = true; /* the next sighting has to say it again */
        }
        return;
    }
    if (!e->mark)
        return;
    l->mark = (struct mark){.set = true, .gseq = e->rec.gseq, .token = e->token};
    memcpy(l->mark.hash, e->hash, sizeof(e->hash));
}

int intake_settled(struct intake *in, const struct sight *s)
{
    ASSERT(s->reader < in->n);
    struct lane *l = &in->lanes[s->reader];
    if (!l->mark.set || (s->kind == SIGHT_ACKED && s->token != l->mark.token))
        return 0;
    l->mark.set = false;
    return spool_clear_mark(in->spool, l->settings->name);
}

void intake_resync(struct intake *in)
{
    for (size_t i = 0; i < in->n; i++)
        if (!in->lanes[i].mark.set && spool_clear_mark(in->spool, in->lanes[i].settings->name) != 0)
            return; /* broken again: the next re-opening calls again */
}
