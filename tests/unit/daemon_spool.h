/* A real spool in a folder of its own, with records that need no keys. */
#pragma once

#include <string.h>

#include "base/crypto.h"
#include "daemon/spool.h"
#include "tests/unit/tmp.h"

#define SEALED_N 112

struct lab {
    char root[160], dir[180];
    struct spool_options o;
    struct spool *s;
};

static inline void lab_open(struct lab *l)
{
    assert_int_equal(spool_open(&l->o, &l->s), 0);
}

static inline void lab_init(struct lab *l, uint64_t budget)
{
    memset(l, 0, sizeof(*l));
    tmp_dir(l->root, sizeof(l->root));
    snprintf(l->dir, sizeof(l->dir), "%s/spool", l->root);
    l->o = (struct spool_options){
        .dir = l->dir, .gw = {1, 2, 3}, .gen = 5, .budget = budget, .keep_us = 1000, .keep_size = 1u << 30};
    lab_open(l);
}

static inline void lab_close(struct lab *l)
{
    spool_free(l->s);
    l->s = NULL;
}

static inline void lab_done(struct lab *l)
{
    lab_close(l);
    tmp_remove(l->root);
}

/* What record `index` of segment `segno` looks like: no two alike. */
static inline struct bytes lab_sealed(uint64_t segno, uint64_t index, uint8_t ret[SEALED_N])
{
    for (size_t i = 0; i < SEALED_N; i++)
        ret[i] = (uint8_t)(0xa5 ^ (i * 7));
    memcpy(ret, &segno, sizeof(segno));
    memcpy(ret + 8, &index, sizeof(index));
    memcpy(ret + 40, "mark of this record", 19);
    return BYTES(ret, SEALED_N);
}

/* Staged, not committed. The segment's header says its number, its ack key is its number repeated. */
static inline uint64_t lab_segment(struct lab *l)
{
    uint64_t segno = spool_meta(l->s)->next_segno;
    uint8_t id[SEGID_LEN] = {0}, key[ACK_KEY_LEN], rkid[RKID_LEN] = {9};
    memcpy(id, &segno, sizeof(segno));
    id[SEGID_LEN - 1] = 1;
    memset(key, (int)segno + 1, sizeof(key));
    struct spool_new_seg n = {.segno = segno,
                              .id = id,
                              .ack_key = key,
                              .rkid = rkid,
                              .signed_hdr = BYTES(&segno, sizeof(segno)),
                              .opened = 1};
    assert_int_equal(spool_add_segment(l->s, &n), 0);
    return segno;
}

static inline void lab_records(struct lab *l, uint64_t segno, size_t n)
{
    uint8_t sealed[SEALED_N];
    for (size_t i = 0; i < n; i++) {
        uint64_t index = spool_find(l->s, segno)->records;
        assert_int_equal(
            spool_add_record(l->s, segno, index, spool_meta(l->s)->next_gseq, lab_sealed(segno, index, sealed)), 0);
    }
}

/* A committed segment of n records. */
static inline uint64_t lab_stored(struct lab *l, size_t n, bool closed)
{
    uint64_t segno = lab_segment(l);
    lab_records(l, segno, n);
    if (closed)
        spool_close_segment(l->s, segno);
    assert_int_equal(spool_commit(l->s), 0);
    return segno;
}

static inline bool lab_has(struct lab *l, uint64_t segno, uint64_t index)
{
    uint8_t sealed[SEALED_N];
    bool has = false;
    assert_int_equal(spool_has(l->s, segno, index, lab_sealed(segno, index, sealed), &has), 0);
    return has;
}
