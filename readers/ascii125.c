/* Parser and driver of the 125 kHz modules; see ascii125.h for their layouts, docs/READERS.md for products and sources.
 * Check of A, B and C: XOR of the five bytes that the ten digits give; start and end are not in it. Check of E: XOR of
 * length, type and id; the length counts the whole frame (7941E product page).
 *
 * What `auto` takes, and why:
 *   A, B  are told apart by the byte behind the digits, and have a check.
 *   D     is told from A, which is as long, by offset 11: 0D, or a digit. It has no check, so a B frame that lost two
 *         digits would pass for a D: once a B came, no D is taken any more on this line.
 *   E     is told from all of them by the byte behind 02: its length 09, 0A, 0C or 0F is no digit, and none of these
 *         bytes but 0A is ever sent by the others. Type, check and end have to be right as well, so that 02 and an 0A
 *         that became neighbours by losses pass for nothing. And a 02 within an E frame has nine bytes of id and the
 *         check behind it at most: none of the others fits in there.
 *   C     not: what has no start is found between pauses only. Any 12 digits of another layout whose 02 was lost, and
 *         one in 256 of arbitrary digits, would be a card.
 * D is the only one in which a damaged digit is another card, and auto inherits that from it: a line whose layout is
 * known should say so. C is in step after a pause or right behind a good frame, and never searched for within bytes
 * that are none.
 *
 * Some of these modules repeat a held card every 65 ms; folding that is the daemon's business. They cannot be
 * answered. */
#include "readers/ascii125.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

enum { STX = 0x02, ETX = 0x03, CR = 0x0D, LF = 0x0A };
#define INTER_BYTE_MS 50 /* a character takes 1 ms at 9600 Bd; USB adapters hold bytes back for up to 16 ms */
#define PAUSE_MS 20      /* of C: longer than such an adapter's */
#define HINT_AFTER 5     /* runs of bytes without any frame since the line was opened */

/* x is a hex digit, all else stands for itself. */
static const char *const shapes[] = {
    [ASCII125_A] = "\2xxxxxxxxxxxx\3",
    [ASCII125_B] = "\2xxxxxxxxxxxx\r\n\3",
    [ASCII125_C] = "xxxxxxxxxxxx",
    [ASCII125_D] = "\2xxxxxxxxxx\r\n\3",
};

/* Layout E: length of the frame, its type, and what that means. */
static const struct {
    uint8_t len, type, tech;
} binaries[] = {{9, 1, TECH_ISO14443}, {10, 2, TECH_EM4100}, {12, 1, TECH_ISO14443}, {15, 1, TECH_ISO14443}};
#define BINARY_EXTRA 5 /* 02, length, type, check, 03 */

void ascii125_init(struct ascii125 *p, enum ascii125_layout layout, enum ascii125_reverse reverse)
{
    *p = (struct ascii125){.layout = layout, .reverse = reverse, .lost = layout == ASCII125_C};
}

int ascii125_gap_ms(enum ascii125_layout layout)
{
    return layout == ASCII125_C ? PAUSE_MS : INTER_BYTE_MS;
}

/* ---- what is buffered ---- */

enum { NOT = -1, BEGUN = 0 }; /* or the length of a whole frame */

static int match_text(const struct ascii125 *p, const char *shape)
{
    size_t len = strlen(shape);

    for (size_t i = 0; i < p->n && i < len; i++)
        if (shape[i] == 'x' ? str_nibble((char)p->buf[i]) < 0 : p->buf[i] != (uint8_t)shape[i])
            return NOT;
    return p->n < len ? BEGUN : (int)len;
}

/* The row of `binaries` that the beginning fits; its number of rows when none. */
static size_t binary_row(const struct ascii125 *p)
{
    size_t i = 0;

    while (i < ARRAY_LEN(binaries) && (p->buf[1] != binaries[i].len || (p->n > 2 && p->buf[2] != binaries[i].type)))
        i++;
    return i;
}

static int match_binary(const struct ascii125 *p)
{
    size_t row;

    if (p->buf[0] != STX)
        return NOT;
    if (p->n == 1)
        return BEGUN;
    row = binary_row(p);
    if (row == ARRAY_LEN(binaries))
        return NOT;
    if (p->n < binaries[row].len)
        return BEGUN;
    return p->buf[binaries[row].len - 1] == ETX ? binaries[row].len : NOT;
}

static bool allowed(const struct ascii125 *p, enum ascii125_layout l)
{
    if (p->layout != ASCII125_AUTO)
        return l == p->layout;
    return l != ASCII125_C && !(l == ASCII125_D && p->checked);
}

/* No two layouts fit one whole frame, and none is the beginning of another. */
static int look(const struct ascii125 *p, enum ascii125_layout *ret_layout)
{
    int best = NOT;

    for (enum ascii125_layout l = ASCII125_A; l <= ASCII125_E; l++) {
        if (!allowed(p, l))
            continue;
        int len = l == ASCII125_E ? match_binary(p) : match_text(p, shapes[l]);
        if (len > best) {
            best = len;
            *ret_layout = l;
        }
    }
    return best;
}

/* ---- a whole frame ---- */

static bool read_text(const struct ascii125 *p, enum ascii125_layout l, struct cred *c)
{
    const uint8_t *digits = p->buf + (l != ASCII125_C);
    unsigned check = 0;

    *c = (struct cred){.tech = TECH_EM4100, .bits = 40};
    for (size_t i = 0; i < (l == ASCII125_D ? 5u : 6u); i++) {
        unsigned b = (unsigned)str_nibble((char)digits[2 * i]) << 4 | (unsigned)str_nibble((char)digits[2 * i + 1]);
        check ^= b; /* 0 in the end: the sixth is the XOR of the others */
        if (i < 5)
            c->data[i] = (uint8_t)b;
    }
    return check == 0 || l == ASCII125_D;
}

static bool read_binary(const struct ascii125 *p, struct cred *c)
{
    size_t n = p->buf[1];
    uint8_t check = 0;

    *c = (struct cred){.tech = binaries[binary_row(p)].tech, .bits = (uint16_t)(8 * (n - BINARY_EXTRA))};
    memcpy(c->data, p->buf + 3, n - BINARY_EXTRA);
    for (size_t i = 1; i < n - 1; i++)
        check ^= p->buf[i];
    return check == 0;
}

static uint8_t mirror(uint8_t b)
{
    uint8_t r = 0;

    for (unsigned i = 0; i < 8; i++)
        r = (uint8_t)(r << 1 | (b >> i & 1));
    return r;
}

/* Undoes what the reader did. Each of these undoes itself. */
static void turn_back(enum ascii125_reverse how, uint8_t *d, size_t n)
{
    for (size_t i = 0; i < n / 2 && how == ASCII125_BYTES; i++) {
        uint8_t b = d[i];
        d[i] = d[n - 1 - i];
        d[n - 1 - i] = b;
    }
    for (size_t i = 0; i < n; i++) {
        if (how == ASCII125_BITS)
            d[i] = mirror(d[i]);
        else if (how == ASCII125_NIBBLES)
            d[i] = (uint8_t)(d[i] << 4 | d[i] >> 4);
    }
}

/* A frame's credential; false when its check is wrong, or its number is zero: nobody is issued that, but a line held
 * at '0' makes a frame of zeros, whose XOR is right. */
static bool decode(const struct ascii125 *p, enum ascii125_layout l, struct cred *ret_cred)
{
    uint8_t any = 0;

    if (l == ASCII125_E ? !read_binary(p, ret_cred) : !read_text(p, l, ret_cred))
        return false;
    for (size_t i = 0; i < cred_len(ret_cred); i++)
        any |= ret_cred->data[i];
    turn_back(p->reverse, ret_cred->data, cred_len(ret_cred));
    return any != 0;
}

/* ---- the bytes ---- */

static void drop_front(struct ascii125 *p, size_t k)
{
    memmove(p->buf, p->buf + k, p->n - k);
    p->n -= k;
    explicit_bzero(p->buf + p->n, k);
}

/* All that is dropped between a good frame or a gap and the next counts once. */
static void count_bad(struct ascii125 *p)
{
    p->bad += !p->junk;
    p->junk = true;
}

static bool blank(uint8_t c)
{
    return c == CR || c == LF;
}

/* Drops what cannot begin a frame. CR and LF between frames are usual and not counted. */
static void drop_junk(struct ascii125 *p)
{
    while (p->n > 0 && (p->layout == ASCII125_C ? p->lost || blank(p->buf[0]) : p->buf[0] != STX)) {
        if (!blank(p->buf[0]))
            count_bad(p);
        drop_front(p, 1);
    }
}

/* What is buffered is no frame: drop its first byte only and look at the rest again, for a good frame may have begun in
 * it. C has no mark to look for. */
static void drop_bad(struct ascii125 *p)
{
    p->lost = p->layout == ASCII125_C;
    drop_front(p, p->lost ? p->n : 1);
}

/* Until what is buffered is the beginning of a frame, or nothing. True for a good frame; two have no room in it. */
static bool settle(struct ascii125 *p, struct cred *ret_cred)
{
    bool found = false;
    enum ascii125_layout l = ASCII125_AUTO;
    struct cred c;

    for (drop_junk(p); p->n > 0; drop_junk(p)) {
        int len = look(p, &l);
        if (len == BEGUN)
            break;
        if (len > 0 && decode(p, l, &c)) {
            drop_front(p, (size_t)len);
            p->junk = false;
            p->checked |= l == ASCII125_B;
            if (cred_usable(&c)) {
                *ret_cred = c;
                found = true;
            } else {
                p->unusable++;
            }
            continue;
        }
        count_bad(p);
        drop_bad(p);
    }
    explicit_bzero(&c, sizeof(c));
    return found;
}

bool ascii125_push(struct ascii125 *p, uint8_t byte, struct cred *ret_cred)
{
    /* Room is always there: what is left buffered is less than the longest frame. */
    p->buf[p->n++] = byte;
    return settle(p, ret_cred);
}

bool ascii125_gap(struct ascii125 *p, struct cred *ret_cred)
{
    bool found = false;

    if (p->n > 0)
        count_bad(p);
    while (p->n > 0) {
        drop_bad(p);
        found |= settle(p, ret_cred);
    }
    p->lost = false;
    p->junk = false;
    return found;
}

/* ---- the driver ---- */

struct driver_state {
    struct driver_env env;
    struct ascii125 parser;
    uint64_t token;
    bool fed;         /* bytes came since the last turn */
    bool told;        /* logged since the line was opened that an id was refused: a held one comes 15 times a second */
    unsigned useless; /* runs of bytes that were no frame, while none was one */
    bool framed;      /* a good frame came since the line was opened, whatever its id */
    int64_t quiet_at; /* when the line will have been silent for long enough */
};

static int create(const struct driver_env *env, void **ret_self)
{
    struct driver_state *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->env = *env;
    ascii125_init(&d->parser, (enum ascii125_layout)env->settings->layout,
                  (enum ascii125_reverse)env->settings->reverse);
    *ret_self = d;
    return 0;
}

static void destroy(void *self)
{
    explicit_bzero(self, sizeof(struct driver_state));
    free(self);
}

static void tell(struct driver_state *d, enum sight_kind kind, const struct cred *c)
{
    struct sight s = {.kind = kind, .reader = d->env.reader};

    if (c) {
        s.cred = *c;
        s.token = ++d->token;
        d->framed = true;
        atomic_fetch_add(&d->env.stats->reads, 1);
    }
    clock_both(&s.real, &s.mono);
    outbox_send(d->env.out, &s);
    explicit_bzero(&s.cred, sizeof(s.cred));
}

static void online(void *self)
{
    struct driver_state *d = self;

    ascii125_init(&d->parser, d->parser.layout, d->parser.reverse);
    d->told = d->framed = false;
    d->useless = 0;
    d->fed = true; /* for all we know: a frame may be under way */
    atomic_store(&d->env.stats->up, true);
    tell(d, SIGHT_UP, NULL);
}

static void offline(void *self)
{
    struct driver_state *d = self;

    atomic_store(&d->env.stats->up, false);
    tell(d, SIGHT_DOWN, NULL);
}

/* Bytes and never a frame. An EM-18 under `auto` is just that: all its bytes are good, none is taken. */
static void hint(struct driver_state *d)
{
    d->framed |= d->parser.unusable > 0;
    if (d->framed || d->parser.bad == 0 || d->useless >= HINT_AFTER)
        return;
    d->useless += (unsigned)(d->parser.bad < HINT_AFTER ? d->parser.bad : HINT_AFTER);
    if (d->useless >= HINT_AFTER)
        log_warn("reader.frames", "reader=%s reason=\"bytes come, but no frame\" hint=%s", log_q(d->env.settings->name),
                 d->parser.layout == ASCII125_AUTO ? "\"layout C, which auto does not find? speed, wiring?\""
                                                   : "\"another layout? speed, wiring?\"");
}

static void report(struct driver_state *d)
{
    hint(d);
    atomic_fetch_add(&d->env.stats->bad, d->parser.bad);
    atomic_fetch_add(&d->env.stats->unusable, d->parser.unusable);
    if (d->parser.unusable > 0 && !d->told) {
        log_warn("reader.unusable",
                 "reader=%s reason=\"an id that names no card, random or cut off\" action=\"refused and counted\"",
                 log_q(d->env.settings->name));
        d->told = true;
    }
    d->parser.bad = d->parser.unusable = 0;
}

static void feed(void *self, struct bytes data)
{
    struct driver_state *d = self;
    struct cred c;

    for (size_t i = 0; i < data.n; i++)
        if (ascii125_push(&d->parser, data.p[i], &c))
            tell(d, SIGHT_CARD, &c);
    explicit_bzero(&c, sizeof(c));
    report(d);
    d->fed = true;
}

/* The time-out between bytes. A turn comes only when the line had nothing for us to read, so our own pauses (a full
 * queue, a stopped process) never cut a frame in two, nor make a gap where the line had none. */
static int step(void *self, int64_t now, int64_t *ret_due)
{
    struct driver_state *d = self;
    struct cred c;

    if (d->fed) {
        d->fed = false;
        d->quiet_at = now + ascii125_gap_ms(d->parser.layout);
    }
    if (now < d->quiet_at) {
        *ret_due = d->quiet_at;
        return 0;
    }
    if (ascii125_gap(&d->parser, &c))
        tell(d, SIGHT_CARD, &c);
    explicit_bzero(&c, sizeof(c));
    report(d);
    *ret_due = DRIVER_NEVER;
    return 0;
}

static const char *state(const void *self)
{
    const struct driver_state *d = self;
    return d->parser.n > 0 ? "in a frame" : d->parser.lost ? "waiting for a pause" : "listening";
}

const struct driver ascii125_driver = {.name = "ascii125",
                                       .create = create,
                                       .destroy = destroy,
                                       .online = online,
                                       .offline = offline,
                                       .feed = feed,
                                       .step = step,
                                       .state = state};
