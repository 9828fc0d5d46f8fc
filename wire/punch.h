/* What a reader saw and what a punch is (design sections 1 and 5). Readers include nothing else of wire. */
#pragma once

#include "base/buf.h"

enum punch_tech {
    TECH_WIEGAND = 1,
    TECH_ISO14443 = 2,
    TECH_EM4100 = 3,
    TECH_OSDP_RAW = 4,
    TECH_KEYPAD = 5,
    TECH_TEXT = 6,
    TECH_ISO15693 = 7,
    TECH_UHF_EPC = 8,
};
#define CRED_MAX 62
#define READER_NAME_MAX 24

/* A credential: never an integer, leading zeros count. Bits are left-aligned, MSB first, unused low bits zero. */
struct cred {
    uint8_t tech;
    uint16_t bits;
    uint8_t data[CRED_MAX]; /* (bits + 7) / 8 bytes in use */
};
size_t cred_len(const struct cred *c);
bool cred_equal(const struct cred *a, const struct cred *b);
/* False for an ISO 14443 id that names no card: 4 bytes that begin with 08 are random, made anew at each approach
 * (telephones, passports); 88 at the front is the cascade tag, so the id behind it was cut off. */
bool cred_usable(const struct cred *c);
/* bits <= 8 * CRED_MAX and unused low bits zero, tech known. */
bool cred_valid(const struct cred *c);
/* CBOR [tech, bits, data], what hashes and indexes cover; at most CRED_CBOR_MAX bytes. */
#define CRED_CBOR_MAX 72
size_t cred_cbor(const struct cred *c, uint8_t ret[CRED_CBOR_MAX]);

/* "em4100" etc.; NULL / -EINVAL when unknown. */
const char *tech_name(unsigned tech);
int tech_parse(const char *name, uint8_t *ret_tech);

/* How the customer knows a number; docs/WIRE.md section 5 has the rules. Travels as ext 2 of a punch, a hint for
 * display only. What each shows of EM4100 67003B51C6: */
enum rendering {
    RENDER_HEX = 0,   /* 67003B51C6, any credential in the order of its bytes */
    RENDER_HEX10 = 1, /* 67003B51C6 */
    RENDER_DEC10 = 2, /* 0003887558; also an ISO 14443 id of 4 bytes, first byte highest */
    RENDER_FC_CN = 3, /* 3+5: 059,20934 */
    RENDER_HEX8 = 4,  /* 003B51C6 */
    RENDER_DEC8 = 5,  /* 05920934 */
    RENDER_5_5 = 6,   /* 00059,20934 */
    RENDER_DEC13 = 7, /* 0442385519046 */
};
extern const char *const rendering_names[]; /* by number, NULL after the last */
const char *rendering_name(unsigned r);
int rendering_parse(const char *name, uint8_t *ret_r);
#define CRED_TEXT_MAX 160
/* Whether such a credential has that rendering; where it has not, RENDER_HEX is used. */
bool cred_renders(const struct cred *c, unsigned rendering);
/* The credential as text. TECH_TEXT and TECH_KEYPAD with printable data give the text itself. */
void cred_render(const struct cred *c, unsigned rendering, char ret[CRED_TEXT_MAX]);

enum punch_dir {
    DIR_UNKNOWN = 0,
    DIR_IN = 1,
    DIR_OUT = 2,
    DIR_BREAK_OUT = 3,
    DIR_BREAK_IN = 4 /* 16+n function key n */
};
const char *dir_name(unsigned dir); /* "unknown", "in", "out", "break-out", "break-in", "function" */
int dir_parse(const char *name, uint8_t *ret_dir);

/* ck = state * 64 + q, uncertainty <= 2^(q/2) us, q = 63 unbounded. */
#define CK_UNBOUNDED UINT64_MAX
uint8_t ck_make(unsigned state, uint64_t uncertainty_us);
unsigned ck_state(uint8_t ck);
uint64_t ck_uncertainty(uint8_t ck); /* us, CK_UNBOUNDED for q = 63 */
