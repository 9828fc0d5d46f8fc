/* File: "PTMB" 1 0 0 0, then entries: length u32 (big-endian) of what follows up to the CRC, CBOR, CRC-32 over length
 * and CBOR. The file is replaced as a whole, so it is never torn.
 *   entry = [1, generation, id, person, at, [punches, pending, waiting, credentials, oddities, keys],
 *            [* [cidx, from, until, created]]]
 */
#include "cloud/tombstone.h"

#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/crc32.h"
#include "cloud/ring.h"
#include "wire/cbor.h"

#define ENTRY_MAX ((size_t)64 * TOMB_CARDS_MAX + 256)

static const uint8_t magic[8] = {'P', 'T', 'M', 'B', 1, 0, 0, 0};

void tomb_done(struct tomb *t)
{
    free(t->cards);
    *t = (struct tomb){0};
}

void tombs_init(struct tombs *t)
{
    *t = (struct tombs){0};
    buf_init(&t->file, TOMBS_MAX);
}

void tombs_done(struct tombs *t)
{
    for (size_t i = 0; i < t->n; i++)
        tomb_done(&t->items[i]);
    free(t->items);
    free(t->holds);
    buf_done(&t->file);
    *t = (struct tombs){0};
}

/* ---- one entry ---- */

static void encode(struct cbor_w *w, const struct tomb *t)
{
    const uint64_t counts[] = {t->counts.punches,     t->counts.pending,  t->counts.waiting,
                               t->counts.credentials, t->counts.oddities, t->counts.keys};
    cbor_put_array(w, 7);
    cbor_put_uint(w, 1);
    cbor_put_uint(w, t->generation);
    cbor_put_bytes(w, BYTES(t->id, TOMB_ID));
    cbor_put_bytes(w, BYTES(t->person, TOMB_ID));
    cbor_put_int(w, t->at);
    cbor_put_array(w, ARRAY_LEN(counts));
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        cbor_put_uint(w, counts[i]);
    cbor_put_array(w, t->n_cards);
    for (size_t i = 0; i < t->n_cards; i++) {
        const struct tomb_card *c = &t->cards[i];
        cbor_put_array(w, 4);
        cbor_put_bytes(w, BYTES(c->cidx, TOMB_CIDX));
        cbor_put_int(w, c->from);
        cbor_put_int(w, c->until);
        cbor_put_int(w, c->created);
    }
}

static int decode_cards(struct cbor_r *r, struct tomb *t)
{
    size_t n = cbor_get_array(r, 0, TOMB_CARDS_MAX);
    if (r->bad || n == 0)
        return 0;
    t->cards = calloc(n, sizeof *t->cards);
    if (t->cards == NULL)
        return -ENOMEM;
    for (t->n_cards = 0; t->n_cards < n; t->n_cards++) {
        struct tomb_card *c = &t->cards[t->n_cards];
        cbor_get_array(r, 4, 4);
        cbor_get_fixed(r, c->cidx, TOMB_CIDX);
        c->from = cbor_get_int(r);
        c->until = cbor_get_int(r);
        c->created = cbor_get_int(r);
    }
    return 0;
}

static int decode(struct bytes in, struct tomb *ret)
{
    struct tomb t = {0};
    uint64_t *const counts[] = {&t.counts.punches,     &t.counts.pending,  &t.counts.waiting,
                                &t.counts.credentials, &t.counts.oddities, &t.counts.keys};
    struct cbor_r r = cbor_reader(in);
    cbor_get_array(&r, 7, 7);
    if (cbor_get_uint(&r, UINT8_MAX) != 1)
        r.bad = true;
    t.generation = cbor_get_uint(&r, INT64_MAX);
    cbor_get_fixed(&r, t.id, TOMB_ID);
    cbor_get_fixed(&r, t.person, TOMB_ID);
    t.at = cbor_get_int(&r);
    cbor_get_array(&r, ARRAY_LEN(counts), ARRAY_LEN(counts));
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        *counts[i] = cbor_get_uint(&r, INT64_MAX);
    int e = decode_cards(&r, &t);
    if (e == 0 && !cbor_done(&r))
        e = TOMBS_BAD;
    if (e == 0)
        *ret = t;
    else
        tomb_done(&t);
    return e;
}

/* ---- all of them ---- */

static int by_cidx(const void *x, const void *y)
{
    const struct tomb_hold *a = x, *b = y;
    int c = memcmp(a->card.cidx, b->card.cidx, TOMB_CIDX);
    return c != 0 ? c : (a->at > b->at) - (a->at < b->at);
}

/* Anew from the items: erasures are rare. Needs no memory when there are fewer than before. */
static int index_holds(struct tombs *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++)
        n += t->items[i].n_cards;
    if (n > t->cap_holds) {
        struct tomb_hold *p = realloc(t->holds, n * sizeof *p);
        if (p == NULL)
            return -ENOMEM;
        t->holds = p;
        t->cap_holds = n;
    }
    t->n_holds = 0;
    for (size_t i = 0; i < t->n; i++)
        for (size_t j = 0; j < t->items[i].n_cards; j++)
            t->holds[t->n_holds++] = (struct tomb_hold){.card = t->items[i].cards[j], .at = t->items[i].at};
    if (n > 1)
        qsort(t->holds, n, sizeof *t->holds, by_cidx);
    return 0;
}

/* Takes the cards on success. The caller indexes them. */
static int remember(struct tombs *t, struct tomb *tomb)
{
    struct tomb *p = realloc(t->items, (t->n + 1) * sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    t->items = p;
    p[t->n++] = *tomb;
    *tomb = (struct tomb){0};
    return 0;
}

int tombs_read(struct tombs *t, struct bytes file)
{
    int r = file.n >= sizeof magic && memcmp(file.p, magic, sizeof magic) == 0 ? 0 : TOMBS_BAD;
    for (size_t at = sizeof magic; r == 0 && at < file.n;) {
        struct tomb tomb = {0};
        size_t left = file.n - at, n = left >= 8 ? be_get(file.p + at, 4) : SIZE_MAX;
        if (n > left - 8 || left < 8 ||
            be_get(file.p + at + 4 + n, 4) != crc32_of(BYTES(file.p + at, 4 + n), BYTES_NONE)) {
            r = TOMBS_BAD;
            break;
        }
        r = decode(BYTES(file.p + at + 4, n), &tomb);
        if (r == 0 && (tomb.generation < 2 || tomb.generation < tombs_generation(t)))
            r = TOMBS_BAD;
        if (r == 0)
            r = remember(t, &tomb);
        if (r != 0)
            tomb_done(&tomb);
        at += 8 + n;
    }
    if (r == 0)
        r = index_holds(t);
    return r != 0 ? r : buf_add(&t->file, file.p, file.n);
}

int tombs_add(struct tombs *t, struct tomb *tomb)
{
    uint8_t *mem = malloc(ENTRY_MAX), word[4];
    size_t before = t->file.len;
    if (mem == NULL)
        return -ENOMEM;
    struct cbor_w w = CBOR_W(mem + 4, ENTRY_MAX - 4);
    encode(&w, tomb);
    int r = w.bad || tomb->n_cards > TOMB_CARDS_MAX ? -ENOBUFS : 0;
    if (r == 0 && before == 0)
        r = buf_add(&t->file, magic, sizeof magic);
    if (r == 0) {
        be_put(mem, w.len, 4);
        be_put(word, crc32_of(BYTES(mem, 4 + w.len), BYTES_NONE), sizeof word);
        r = buf_add(&t->file, mem, 4 + w.len);
    }
    if (r == 0)
        r = buf_add(&t->file, word, sizeof word);
    if (r == 0)
        r = remember(t, tomb);
    if (r == 0 && (r = index_holds(t)) != 0)
        *tomb = t->items[--t->n];
    if (r != 0) {
        t->file.len = before;
        t->file.failed = false;
    }
    free(mem);
    return r;
}

void tombs_cut(struct tombs *t, size_t n, size_t bytes)
{
    if (n >= t->n)
        return;
    while (t->n > n)
        tomb_done(&t->items[--t->n]);
    t->file.len = bytes;
    t->file.failed = false;
    index_holds(t); /* fewer than before: it cannot fail */
}

uint64_t tombs_generation(const struct tombs *t)
{
    return t->n == 0 ? 1 : t->items[t->n - 1].generation;
}

const struct tomb_hold *tombs_of(const struct tombs *t, const uint8_t cidx[TOMB_CIDX], size_t *ret_n)
{
    size_t low = 0, high = t->n_holds, n = 0;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (memcmp(t->holds[mid].card.cidx, cidx, TOMB_CIDX) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    while (low + n < t->n_holds && memcmp(t->holds[low + n].card.cidx, cidx, TOMB_CIDX) == 0)
        n++;
    *ret_n = n;
    return n == 0 ? NULL : &t->holds[low];
}
