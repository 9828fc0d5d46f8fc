/* Names, renderings and the clock byte of a punch. Not its encoding as a record: that is record.c. */
#include "wire/punch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/be.h"
#include "base/str.h"
#include "wire/cbor.h"

static const char *const tech_names[] = {
    [TECH_WIEGAND] = "wiegand", [TECH_ISO14443] = "iso14443", [TECH_EM4100] = "em4100",     [TECH_OSDP_RAW] = "osdp",
    [TECH_KEYPAD] = "keypad",   [TECH_TEXT] = "text",         [TECH_ISO15693] = "iso15693", [TECH_UHF_EPC] = "uhf",
};
const char *const rendering_names[] = {
    [RENDER_HEX] = "hex",   [RENDER_HEX10] = "hex10", [RENDER_DEC10] = "dec10",
    [RENDER_FC_CN] = "3+5", [RENDER_HEX8] = "hex8",   [RENDER_DEC8] = "dec8",
    [RENDER_5_5] = "5+5",   [RENDER_DEC13] = "dec13", [RENDER_DEC13 + 1] = NULL,
};
#define DIR_FUNCTION 16u
static const char *const dir_names[] = {
    [DIR_UNKNOWN] = "unknown",   [DIR_IN] = "in", [DIR_OUT] = "out", [DIR_BREAK_OUT] = "break-out",
    [DIR_BREAK_IN] = "break-in",
};

static int find_name(const char *const *names, size_t n, const char *name, uint8_t *ret)
{
    for (size_t i = 0; i < n; i++)
        if (names[i] != NULL && strcmp(names[i], name) == 0) {
            *ret = (uint8_t)i;
            return 0;
        }
    return -EINVAL;
}

size_t cred_len(const struct cred *c)
{
    return ((size_t)c->bits + 7) / 8;
}

bool cred_equal(const struct cred *a, const struct cred *b)
{
    return a->tech == b->tech && a->bits == b->bits && cred_len(a) <= CRED_MAX &&
           memcmp(a->data, b->data, cred_len(a)) == 0;
}

bool cred_usable(const struct cred *c)
{
    return c->tech != TECH_ISO14443 || !(c->data[0] == 0x88 || (c->bits == 32 && c->data[0] == 0x08));
}

bool cred_valid(const struct cred *c)
{
    if (tech_name(c->tech) == NULL || c->bits > 8 * CRED_MAX)
        return false;
    unsigned used = c->bits % 8u;
    return used == 0 || (c->data[c->bits / 8] & (0xffu >> used)) == 0;
}

size_t cred_cbor(const struct cred *c, uint8_t ret[CRED_CBOR_MAX])
{
    struct cbor_w w = CBOR_W(ret, CRED_CBOR_MAX);

    cbor_put_array(&w, 3);
    cbor_put_uint(&w, c->tech);
    cbor_put_uint(&w, c->bits);
    cbor_put_bytes(&w, BYTES(c->data, cred_len(c)));
    ASSERT(!w.bad); /* 1 + 2 + 3 + 2 + CRED_MAX fits; a cred beyond CRED_MAX is our own bug */
    return w.len;
}

const char *tech_name(unsigned tech)
{
    return tech < ARRAY_LEN(tech_names) ? tech_names[tech] : NULL;
}

int tech_parse(const char *name, uint8_t *ret_tech)
{
    return find_name(tech_names, ARRAY_LEN(tech_names), name, ret_tech);
}

const char *rendering_name(unsigned r)
{
    return r < ARRAY_LEN(rendering_names) ? rendering_names[r] : NULL;
}

int rendering_parse(const char *name, uint8_t *ret_r)
{
    return find_name(rendering_names, ARRAY_LEN(rendering_names), name, ret_r);
}

const char *dir_name(unsigned dir)
{
    if (dir >= DIR_FUNCTION)
        return "function";
    return dir < ARRAY_LEN(dir_names) ? dir_names[dir] : dir_names[DIR_UNKNOWN];
}

int dir_parse(const char *name, uint8_t *ret_dir)
{
    return find_name(dir_names, ARRAY_LEN(dir_names), name, ret_dir);
}

static bool is_text(const struct cred *c)
{
    if ((c->tech != TECH_TEXT && c->tech != TECH_KEYPAD) || c->bits == 0 || c->bits % 8 != 0)
        return false;
    for (size_t i = 0; i < cred_len(c); i++)
        if (c->data[i] < 0x20 || c->data[i] > 0x7e)
            return false;
    return true;
}

bool cred_renders(const struct cred *c, unsigned rendering)
{
    if (rendering == RENDER_HEX)
        return true;
    if (rendering == RENDER_DEC10 && c->tech == TECH_ISO14443 && c->bits == 32)
        return true;
    return c->tech == TECH_EM4100 && c->bits == 40 && rendering_name(rendering) != NULL;
}

void cred_render(const struct cred *c, unsigned rendering, char ret[CRED_TEXT_MAX])
{
    size_t n = cred_len(c) <= CRED_MAX ? cred_len(c) : CRED_MAX;
    const uint8_t *d = c->data;

    if (is_text(c)) {
        memcpy(ret, d, n);
        ret[n] = '\0';
        return;
    }
    if (!cred_renders(c, rendering))
        rendering = RENDER_HEX;
    if (rendering == RENDER_DEC10) /* of an EM4100 card, without the version byte */
        snprintf(ret, CRED_TEXT_MAX, "%010" PRIu64, be_get(d + n - 4, 4));
    else if (rendering == RENDER_FC_CN)
        snprintf(ret, CRED_TEXT_MAX, "%03u,%05" PRIu64, d[2], be_get(d + 3, 2));
    else if (rendering == RENDER_DEC8)
        snprintf(ret, CRED_TEXT_MAX, "%03u%05" PRIu64, d[2], be_get(d + 3, 2));
    else if (rendering == RENDER_5_5)
        snprintf(ret, CRED_TEXT_MAX, "%05" PRIu64 ",%05" PRIu64, be_get(d + 1, 2), be_get(d + 3, 2));
    else if (rendering == RENDER_DEC13)
        snprintf(ret, CRED_TEXT_MAX, "%013" PRIu64, be_get(d, 5));
    else if (rendering == RENDER_HEX8)
        str_hex_upper(d + 1, 4, ret);
    else
        str_hex_upper(d, n, ret);
}

/* floor(2^(q/2)), exact: integer square root of 2^q. */
static uint64_t ck_bound(unsigned q)
{
    uint64_t root = (uint64_t)1 << (q / 2);

    if (q % 2 == 0)
        return root;
    uint64_t target = (uint64_t)1 << q;
    for (uint64_t bit = root >> 1; bit > 0; bit >>= 1)
        if ((root | bit) * (root | bit) <= target)
            root |= bit;
    return root;
}

uint8_t ck_make(unsigned state, uint64_t uncertainty_us)
{
    unsigned q = 0;

    ASSERT(state <= 3);
    while (q < 63 && ck_bound(q) < uncertainty_us)
        q++;
    return (uint8_t)(state * 64 + q);
}

unsigned ck_state(uint8_t ck)
{
    return ck / 64u;
}

uint64_t ck_uncertainty(uint8_t ck)
{
    return ck % 64u == 63 ? CK_UNBOUNDED : ck_bound(ck % 64u);
}
