/* Between audit.c (the chain), audit_read.c, audit_raw.c (an event before it has its place in it) and audit_move.c (the
 * journal's way into it). */
#pragma once

#include "cloud/audit.h"
#include "cloud/audit_form.h"
#include "cloud/keyring.h"

#define AUDIT_BLOCK 256 /* events whose tags of one person have a salt in common */

/* An event that is complete but for its number and its tags, which come from that. */
struct audit_raw {
    uint8_t id[ID_LEN]; /* random: what the details are sealed to */
    int64_t time;       /* us */
    struct buf core;    /* up to the number: the members that sort before "seq" */
    size_t n_subjects, n_details;
    struct subject subjects[AUDIT_SUBJECTS];
    struct audit_raw_detail {
        bool personal; /* sealed under of.key; else under the tenant's own */
        struct subject of;
        uint8_t commitment[CRYPTO_HASH];
    } details[AUDIT_DETAILS];
    struct buf sealed; /* CBOR: [* [* chunk]], a list a detail */
};
void audit_raw_done(struct audit_raw *w);
size_t audit_raw_parts(const struct audit_event *e);
/* Part 0, 1, ... of e. */
int audit_raw_make(struct keyring *ring, struct db *db, const char *tenant, const struct audit_event *e, size_t part,
                   struct audit_raw *ret);
/* For the journal: appended, sealed under the tenant's key; -EBADMSG when it does not open. */
int audit_raw_encode(struct keyring *ring, const char *tenant, const struct audit_raw *w, struct buf *ret);
int audit_raw_decode(struct keyring *ring, const char *tenant, struct bytes in, struct audit_raw *ret);
/* A detail's salt and text into ret. KEYRING_ABSENT: its key is no more. -EBADMSG. */
int audit_raw_open(struct keyring *ring, const char *tenant, const uint8_t id[ID_LEN], struct bytes sealed,
                   size_t detail, const uint8_t *key_id, struct buf *ret);

/* Gives it its number, in the caller's write transaction. */
int audit_raw_put(const struct scope *s, const struct audit_raw *w);
/* A journal entry for the parts of e from `first` on, as many as one takes: [tenant, [* part]]. *ret_next: the first
 * part of the next entry, or audit_raw_parts(). */
int audit_entry_make(struct keyring *ring, struct db *db, const char *tenant, const struct audit_event *e, size_t first,
                     struct buf *ret, size_t *ret_next);

/* By which block the tags of event `seq` are made. */
uint32_t audit_block(uint64_t seq);
/* What its envelope is sealed to, and the key; borrows n8. */
struct seal_place audit_place(const struct scope *s, uint64_t seq, uint8_t n8[8]);
int audit_seal_key(const struct scope *s, uint8_t ret_key[CRYPTO_KEY]);
/* audit_each() of the events from .. to, whatever the head says. */
int audit_walk(struct audit_reader *x, const struct scope *s, uint64_t from, uint64_t to, audit_fn *fn, void *arg,
               uint64_t *ret_next);
