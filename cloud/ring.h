/* The ring's bytes: header and entries, and writing them to a folder and its escrow copies. What the keys are for is
 * keyring.c's business. */
#pragma once

#include "base/crypto.h"

#define RING_HEADER 20
#define RING_ENTRY 83
#define RING_MAX ((size_t)256 << 20)

struct ring_entry {
    uint8_t id[16];
    uint8_t kind;
    uint8_t key[CRYPTO_KEY];
};
/* Header of `generation`. */
void ring_header(uint64_t generation, uint8_t ret[RING_HEADER]);
/* RING_BAD: not a header of ours. */
enum { RING_BAD = 1 };
int ring_header_parse(struct bytes image, uint64_t *ret_generation);
int ring_entry_wrap(struct crypto_aead *kek, uint64_t generation, const struct ring_entry *e, uint8_t ret[RING_ENTRY]);
int ring_entry_unwrap(struct crypto_aead *kek, uint64_t generation, const uint8_t p[RING_ENTRY],
                      struct ring_entry *ret_entry); /* RING_BAD */
/* Bytes of the longest prefix that holds whole entries with good checksums; image holds a good header. */
size_t ring_valid_length(struct bytes image);

/* One copy: <dir>/ring and <dir>/kek, and beside them, while one generation takes the place of another, ring.next and
 * kek.next. Two files cannot be renamed at once, so whoever reads tries both KEKs with each ring. */
struct ring_copy {
    char *dir;
    size_t good; /* bytes known to be durable there and equal to the image; 0 = write it all */
    bool ok;
};
/* Appends image[good..], or writes all, which also destroys every other KEK of the folder; fsyncs. The file ends with
 * the image. */
int ring_copy_write(struct ring_copy *c, struct bytes image, const uint8_t kek[CRYPTO_KEY]);
/* Writes ring.next and kek.next and reads them back. */
int ring_copy_stage(struct ring_copy *c, struct bytes image, const uint8_t kek[CRYPTO_KEY]);
/* Destroys what was staged; as far as the folder lets us. */
void ring_copy_unstage(const char *dir);
/* Reads ring, or ring.next, into ret_image, and the KEK that opens it; -ENOENT. RING_BAD: no KEK there does. */
int ring_copy_read(const char *dir, bool next, struct buf *ret_image, uint8_t ret_kek[CRYPTO_KEY]);
/* Its ring opens and has that entry. */
bool ring_copy_has(const char *dir, const uint8_t id[16]);
/* Nothing but a ring and the KEK that opens it: no former generation, nothing staged, no left-over of a crash. */
bool ring_copy_clean(const char *dir);
