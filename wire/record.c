/* Plaintexts of records (docs/WIRE.md section 5): encoding, padding, strict decoding. Sealing is segment.c. */
#include "wire/record.h"

#include <string.h>

#include "wire/cbor.h"

#define PAD_FIRST 96u
#define PAD_STEP 32u
#define UINT_MAX_WIRE ((uint64_t)INT64_MAX)
#define EXT_MAX 16u
enum ext_key { EXT_REPEAT = 1, EXT_RENDERING = 2 };

static bool text_valid(const char *s, size_t max)
{
    uint8_t tmp[RECORD_PLAIN_MAX];
    struct cbor_w w = CBOR_W(tmp, sizeof tmp);

    /* the decoder knows what a text is; asking it keeps one opinion */
    cbor_put_text(&w, s);
    struct cbor_r r = cbor_reader(BYTES(tmp, w.len));
    (void)cbor_get_text(&r, 1, max);
    return !w.bad && cbor_done(&r);
}

static bool arg_valid(struct bytes arg)
{
    struct cbor_r r = cbor_reader(arg);

    (void)cbor_get_any(&r);
    return cbor_done(&r);
}

static bool encodable(const struct record *r)
{
    if (r->gseq < 1 || r->gseq > UINT_MAX_WIRE || r->mono > UINT_MAX_WIRE)
        return false;
    switch (r->kind) {
    case RECORD_PUNCH:
        return memchr(r->punch.reader, 0, sizeof r->punch.reader) != NULL &&
               text_valid(r->punch.reader, READER_NAME_MAX) && cred_valid(&r->punch.cred) &&
               r->punch.repeat <= UINT_MAX_WIRE && rendering_name(r->punch.rendering) != NULL;
    case RECORD_CLOCK:
        return r->clock.src <= CLOCK_SRC_CLOUD;
    case RECORD_EVENT:
        return r->event.code <= UINT_MAX_WIRE && (r->event.arg.n == 0 || arg_valid(r->event.arg));
    }
    return false;
}

static void put_common(struct cbor_w *w, const struct record *r)
{
    cbor_put_int(w, r->real);
    cbor_put_uint(w, r->mono);
    cbor_put_uint(w, r->ck);
}

static void put_punch(struct cbor_w *w, const struct record *r)
{
    const struct cred *c = &r->punch.cred;
    size_t n_ext = (size_t)(r->punch.repeat != 0) + (size_t)(r->punch.rendering != RENDER_HEX);

    cbor_put_array(w, n_ext > 0 ? 11 : 10);
    cbor_put_uint(w, RECORD_PUNCH);
    cbor_put_uint(w, r->gseq);
    cbor_put_text(w, r->punch.reader);
    cbor_put_uint(w, c->tech);
    cbor_put_uint(w, c->bits);
    cbor_put_bytes(w, BYTES(c->data, cred_len(c)));
    cbor_put_uint(w, r->punch.dir);
    put_common(w, r);
    if (n_ext == 0)
        return;
    cbor_put_map(w, n_ext);
    if (r->punch.repeat != 0) {
        cbor_put_uint(w, EXT_REPEAT);
        cbor_put_uint(w, r->punch.repeat);
    }
    if (r->punch.rendering != RENDER_HEX) {
        cbor_put_uint(w, EXT_RENDERING);
        cbor_put_uint(w, r->punch.rendering);
    }
}

static void put_clock(struct cbor_w *w, const struct record *r)
{
    cbor_put_array(w, 7);
    cbor_put_uint(w, RECORD_CLOCK);
    cbor_put_uint(w, r->gseq);
    put_common(w, r);
    cbor_put_uint(w, r->clock.src);
    cbor_put_int(w, r->clock.step);
}

static void put_event(struct cbor_w *w, const struct record *r)
{
    cbor_put_array(w, r->event.arg.n > 0 ? 7 : 6);
    cbor_put_uint(w, RECORD_EVENT);
    cbor_put_uint(w, r->gseq);
    put_common(w, r);
    cbor_put_uint(w, r->event.code);
    cbor_put_raw(w, r->event.arg);
}

int record_encode(const struct record *r, uint8_t ret[RECORD_PLAIN_MAX], size_t *ret_n)
{
    uint8_t tmp[RECORD_PLAIN_MAX] = {0};
    struct cbor_w w = CBOR_W(tmp, sizeof tmp);

    if (!encodable(r))
        return -EINVAL;
    if (r->kind == RECORD_PUNCH)
        put_punch(&w, r);
    else if (r->kind == RECORD_CLOCK)
        put_clock(&w, r);
    else
        put_event(&w, r);
    if (w.bad)
        return -ENOBUFS;
    size_t n = w.len <= PAD_FIRST ? PAD_FIRST : (w.len + PAD_STEP - 1) / PAD_STEP * PAD_STEP;
    memcpy(ret, tmp, n);
    *ret_n = n;
    explicit_bzero(tmp, sizeof tmp); /* it held a card number */
    return 0;
}

/* Known keys are read, others skipped; a known key with a wrong value makes the record bad. */
static void get_ext(struct cbor_r *r, struct record *ret)
{
    size_t n = cbor_get_map(r, EXT_MAX);
    struct bytes before = BYTES_NONE;

    for (size_t i = 0; i < n && !r->bad; i++) {
        const uint8_t *start = r->p;
        int64_t key = cbor_get_int(r);
        struct bytes enc = BYTES(start, (size_t)(r->p - start));
        if (i > 0 && !cbor_key_follows(before, enc))
            r->bad = true;
        before = enc;
        if (key == EXT_REPEAT) {
            ret->punch.repeat = cbor_get_uint(r, UINT_MAX_WIRE);
            if (ret->punch.repeat == 0)
                r->bad = true;
        } else if (key == EXT_RENDERING) {
            uint64_t v = cbor_get_uint(r, UINT_MAX_WIRE);
            ret->punch.rendering = v <= RENDER_DEC13 ? (uint8_t)v : RENDER_HEX;
        } else {
            (void)cbor_get_any(r);
        }
    }
}

static void get_common(struct cbor_r *r, struct record *ret)
{
    ret->real = cbor_get_int(r);
    ret->mono = cbor_get_uint(r, UINT_MAX_WIRE);
    ret->ck = (uint8_t)cbor_get_uint(r, UINT8_MAX);
}

static int get_punch(struct cbor_r *r, size_t n, struct record *ret)
{
    struct cred *c = &ret->punch.cred;

    if (n != 10 && n != 11)
        r->bad = true;
    struct bytes reader = cbor_get_text(r, 1, READER_NAME_MAX);
    if (reader.n > 0)
        memcpy(ret->punch.reader, reader.p, reader.n);
    uint64_t tech = cbor_get_uint(r, UINT_MAX_WIRE);
    c->bits = (uint16_t)cbor_get_uint(r, (uint64_t)8 * CRED_MAX);
    struct bytes data = cbor_get_bytes(r, 0, CRED_MAX);
    if (data.n != cred_len(c))
        r->bad = true;
    else if (data.n > 0)
        memcpy(c->data, data.p, data.n);
    ret->punch.dir = (uint8_t)cbor_get_uint(r, UINT8_MAX);
    get_common(r, ret);
    if (n == 11)
        get_ext(r, ret);

    bool known = tech >= TECH_WIEGAND && tech <= TECH_UHF_EPC;
    c->tech = known ? (uint8_t)tech : TECH_WIEGAND; /* any known one, to have the bits checked */
    if (!cred_valid(c))
        r->bad = true;
    return known ? 0 : RECORD_UNKNOWN;
}

static int get_clock(struct cbor_r *r, size_t n, struct record *ret)
{
    if (n != 7)
        r->bad = true;
    get_common(r, ret);
    uint64_t src = cbor_get_uint(r, UINT_MAX_WIRE);
    ret->clock.src = src <= CLOCK_SRC_CLOUD ? (uint8_t)src : 0;
    ret->clock.step = cbor_get_int(r);
    return src <= CLOCK_SRC_CLOUD ? 0 : RECORD_UNKNOWN;
}

static int get_event(struct cbor_r *r, size_t n, struct record *ret)
{
    if (n != 6 && n != 7)
        r->bad = true;
    get_common(r, ret);
    ret->event.code = cbor_get_uint(r, UINT_MAX_WIRE);
    if (n == 7)
        ret->event.arg = cbor_get_any(r);
    return 0;
}

static int get_item(struct cbor_r *r, struct record *ret)
{
    struct cbor_r whole = *r;
    size_t n = cbor_get_array(r, 1, SIZE_MAX);
    uint64_t kind = cbor_get_uint(r, UINT64_MAX);

    if (r->bad || (kind >= RECORD_PUNCH && kind <= RECORD_EVENT && n < 2))
        return RECORD_BAD;
    if (kind < RECORD_PUNCH || kind > RECORD_EVENT) {
        *r = whole;
        (void)cbor_get_any(r);
        return r->bad ? RECORD_BAD : RECORD_UNKNOWN;
    }
    ret->kind = (enum record_kind)kind;
    ret->gseq = cbor_get_uint(r, UINT_MAX_WIRE);
    if (ret->gseq == 0)
        r->bad = true;
    int res = kind == RECORD_PUNCH   ? get_punch(r, n, ret)
              : kind == RECORD_CLOCK ? get_clock(r, n, ret)
                                     : get_event(r, n, ret);
    return r->bad ? RECORD_BAD : res;
}

int record_decode(struct bytes plain, struct record *ret)
{
    struct record rec = {0};
    struct cbor_r r = cbor_reader(plain);

    if (plain.n < PAD_FIRST || plain.n > RECORD_PLAIN_MAX || plain.n % PAD_STEP != 0)
        return RECORD_BAD;
    int res = get_item(&r, &rec);
    for (const uint8_t *p = r.p; res != RECORD_BAD && p < r.end; p++)
        if (*p != 0)
            res = RECORD_BAD;
    if (res == 0)
        *ret = rec;
    return res;
}
