/* Segments: the records sealed under one HPKE encapsulation (design section 5). The writer side lives in RAM of the
 * gateway and seals; the reader side lives in the cloud and opens. Sealing consumes the index. */
#pragma once

#include "wire/cose.h"

#define GW_LEN 8
#define SEGID_LEN 16
#define BOOT_LEN 16
#define RKID_LEN 8
#define SEG_RECORDS_MAX 65536u
#define SEG_SIGNED_MAX 512 /* bytes of a signed segment header, at most */
#define ACK_KEY_LEN 32

struct seg_hdr {
    uint8_t rkid[RKID_LEN];
    uint8_t gw[GW_LEN];
    uint64_t gen;
    uint8_t boot[BOOT_LEN];
    uint64_t segno;
    uint8_t prev[SEGID_LEN];
    uint64_t prevlen;
};

/* rkid: first 8 bytes of SHA-256 of the recipient's uncompressed point. */
int seg_rkid(const uint8_t recipient[CRYPTO_POINT], uint8_t ret[RKID_LEN]);

/* ---- gateway ---- */
struct seg_writer; /* holds the record key; wiped by seg_writer_free */
/* hdr->rkid is filled from `recipient`. */
int seg_writer_new(const struct seg_hdr *hdr, const uint8_t recipient[CRYPTO_POINT], struct crypto_key *sign,
                   struct seg_writer **ret);
/* With a given ephemeral key: worked examples only. */
int seg_writer_new_with(const struct seg_hdr *hdr, struct crypto_key *ephemeral, const uint8_t recipient[CRYPTO_POINT],
                        struct crypto_key *sign, struct seg_writer **ret);
void seg_writer_free(struct seg_writer *w);
const uint8_t *seg_writer_id(const struct seg_writer *w);   /* SEGID_LEN bytes */
struct bytes seg_writer_signed(const struct seg_writer *w); /* the `signed` bytes, sent as they are */
const uint8_t *seg_writer_ack_key(const struct seg_writer *w);
uint64_t seg_writer_next(const struct seg_writer *w); /* index the next seal will use */
/* Seals record number seg_writer_next(): writes plain.n + 16 bytes and moves on, whatever happens to the bytes.
 * SEG_FULL after SEG_RECORDS_MAX. */
enum { SEG_FULL = 1, SEG_BAD = 2 };
int seg_writer_seal(struct seg_writer *w, struct bytes plain, uint8_t *ret);

/* ---- cloud ---- */
struct seg { /* a parsed, not yet trusted segment; slices borrow from the message */
    struct cose cose;
    struct seg_hdr hdr;
    struct bytes hdr_bytes;
    uint8_t enc[CRYPTO_POINT];
    uint8_t id[SEGID_LEN];
};
int seg_parse(struct bytes signed_msg, struct seg *ret);                     /* SEG_BAD */
int seg_verify(const struct seg *s, const uint8_t sign_point[CRYPTO_POINT]); /* SEG_BAD */
struct seg_reader; /* record key and ack key of an opened segment */
int seg_reader_new(const struct seg *s, struct crypto_key *recipient, struct seg_reader **ret); /* SEG_BAD */
void seg_reader_free(struct seg_reader *r);
const uint8_t *seg_reader_ack_key(const struct seg_reader *r);
/* SEG_BAD when it does not authenticate; writes sealed.n - 16 bytes. */
int seg_reader_open(struct seg_reader *r, uint64_t index, struct bytes sealed, uint8_t *ret);
