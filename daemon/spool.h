/* The spool: sealed records on disk until, and a while after, the cloud has them. Over LMDB, used by one thread.
 *
 * Writes are staged and go into one synced transaction: spool_commit(). Staging changes the tables in memory at once;
 * when a commit fails the outcome on disk is unknown, the spool is broken and spool_reopen() reads back what is
 * there. Acks and trims are staged too: losing them costs a second upload, never a record.
 *
 * Room is our own count (`budget`), 80 % of LMDB's map, because at MDB_MAP_FULL even deletes fail.
 *
 * Damage. Each row carries a CRC. A record that fails its own is reported by spool_upload(); the gateway seals an
 * event about it and, in the same transaction, notes a hole in its segment. Sending goes on behind the hole, since the
 * event lets the cloud's count step over it (docs/WIRE.md section 6). A segment has at most SPOOL_HOLES of them: beyond
 * that the disk is dying, and what is behind stays here, listed by `punchgate spool`, never deleted. Any other damage
 * quarantines the whole folder. */
#pragma once

#include "wire/segment.h"

struct spool;

enum { SPOOL_FULL = 1, SPOOL_DAMAGED = 2, SPOOL_CORRUPT = 3, SPOOL_NONE = 4, SPOOL_NEWER = 5 };

#define SPOOL_HOLES 16

/* What the sender keeps beside a segment; not stored. Read back from disk, all of a segment counts as uploaded before:
 * by a process that died, whose acks may be under way still and tell the time of long ago. */
struct spool_tx {
    uint64_t sent;      /* next index to upload */
    uint64_t high;      /* one beyond the highest index that may have been uploaded before */
    int64_t not_before; /* ms; a stuck segment waits until then */
    int64_t suspect_at; /* ms; go back if the ack has not moved by then; 0 = no suspicion */
    unsigned stuck;     /* go-backs since the ack last moved */
    unsigned inflight;  /* uploads on their way */
    bool damage_told;   /* the gateway was told of the record at `sent` */
};

/* Since when a segment's oldest unacknowledged record waits, for people only; not stored. */
struct spool_wait {
    uint64_t since;         /* clock_mono(), us, at the latest; 0: since an earlier process */
    uint64_t mark, mark_at; /* records from index `mark` on were made at mark_at or later */
};

struct spool_seg {
    uint64_t segno;
    uint8_t id[SEGID_LEN];
    uint8_t ack_key[ACK_KEY_LEN];
    uint8_t rkid[RKID_LEN];
    uint64_t records; /* staged or committed */
    uint64_t acked;   /* under the epoch in spool_meta */
    unsigned n_holes;
    uint32_t holes[SPOOL_HOLES]; /* indexes of damaged records, rising */
    bool closed;
    bool trimming;   /* being deleted in small transactions; no longer offered */
    int64_t opened;  /* this machine's clock at its first record, us; for people only */
    int64_t done_at; /* the cloud's clock when all of it was acknowledged, us; 0 = not yet */
    uint64_t bytes;  /* accounted */
    bool dirty;
    struct spool_tx tx;
    struct spool_wait wait;
    struct spool_seg *next_by_id;
};

struct spool_meta {
    uint8_t gw[GW_LEN];
    uint64_t gen;
    uint64_t next_gseq;      /* gseq counts all records of a generation from 1 */
    uint64_t next_segno;     /* from 0 */
    uint8_t prev[SEGID_LEN]; /* the newest segment, whether or not it is still here */
    uint64_t prevlen;
    uint64_t epoch;    /* the cloud's, 0 = none seen */
    int64_t cloud_now; /* the latest authenticated time of the cloud: what `keep` is measured by, so that a wrong clock
                          here deletes nothing early */
};

/* The last punch of a reader whose acknowledgement to the device is not known to have arrived. */
struct spool_mark {
    uint64_t gseq;
    uint8_t hash[32];
    uint64_t mono; /* of the punch, us, of the boot beside it: how old the mark is */
    uint8_t boot[BOOT_LEN];
};

struct spool_options {
    const char *dir; /* the folder itself */
    uint8_t gw[GW_LEN];
    uint64_t gen;
    uint64_t budget;
    uint64_t keep_us, keep_size;
    /* Where a new, empty spool begins to count: beyond what a lost one may have used (gaps are legal). */
    uint64_t first_gseq, first_segno;
};

/* Walks an existing spool in a child process, which may die on a torn file without harm (LMDB has no page checksums).
 * 0: sound. SPOOL_CORRUPT. SPOOL_NONE: there is none. Call it before threads exist and before crypto_init(). */
int spool_probe(const char *dir);

/* Opens or makes it; every segment is closed then, because its record key died with its process.
 * SPOOL_CORRUPT: move it aside (spool_set_aside) and open again. SPOOL_NEWER: it belongs to a higher generation.
 * SPOOL_NONE: it belongs to a lower generation or another gateway: set it aside. */
int spool_open(const struct spool_options *o, struct spool **ret);
void spool_free(struct spool *s);
/* Renames `dir` to <dir's parent>/<name>, or <name>.1 and so on; ret_name is what was taken. */
int spool_set_aside(const char *dir, const char *name, char *ret_name, size_t size);
/* Reads an existing spool's gateway and generation without opening it for writing; SPOOL_NONE, SPOOL_CORRUPT. */
int spool_peek(const char *dir, struct spool_meta *ret);

const struct spool_meta *spool_meta(const struct spool *s);
uint64_t spool_records(const struct spool *s);
uint64_t spool_unacked(const struct spool *s);
uint64_t spool_bytes(const struct spool *s);
uint64_t spool_budget(const struct spool *s);
/* Segments in order of segno; pointers live until the next commit or re-open. */
size_t spool_count(const struct spool *s);
struct spool_seg *spool_at(const struct spool *s, size_t i);
struct spool_seg *spool_find(const struct spool *s, uint64_t segno);
struct spool_seg *spool_find_id(const struct spool *s, const uint8_t id[SEGID_LEN]);
/* The first index from `index` on that is not a hole. */
uint64_t spool_seg_skip(const struct spool_seg *g, uint64_t index);

/* What `n` sealed records of `each` bytes would take. Makes room by trimming acknowledged segments; SPOOL_FULL when
 * that is not enough. */
int spool_admit(struct spool *s, size_t n, size_t each);

/* ---- staging ---- */
struct spool_new_seg {
    uint64_t segno;
    const uint8_t *id, *ack_key, *rkid;
    struct bytes signed_hdr;
    int64_t opened;
};
int spool_add_segment(struct spool *s, const struct spool_new_seg *n);
/* Indexes of a segment come in order from 0. */
int spool_add_record(struct spool *s, uint64_t segno, uint64_t index, uint64_t gseq, struct bytes sealed);
void spool_close_segment(struct spool *s, uint64_t segno);
/* Notes a hole. SPOOL_FULL: the segment has SPOOL_HOLES already. */
int spool_lose(struct spool *s, uint64_t segno, uint64_t index);
int spool_set_mark(struct spool *s, const char *reader, const struct spool_mark *m);
int spool_clear_mark(struct spool *s, const char *reader);
/* next <= records; a lower next than now only through spool_take_epoch(). */
void spool_ack(struct spool *s, struct spool_seg *g, uint64_t next, int64_t cloud_now);
/* A higher epoch: everything retained is unacknowledged again. */
void spool_take_epoch(struct spool *s, uint64_t epoch);
bool spool_staged(const struct spool *s);
int spool_commit(struct spool *s);

/* After a failed commit: reads back what is on disk. The re-opened state is made durable by a transaction of its own
 * before anything is believed: a record read back is as good as committed. SPOOL_CORRUPT as for spool_open(). */
int spool_reopen(struct spool *s);
bool spool_broken(const struct spool *s);
/* Is this record on disk, with exactly these bytes? A negative result: that cannot be told. */
int spool_has(struct spool *s, uint64_t segno, uint64_t index, struct bytes sealed, bool *ret_has);

/* SPOOL_NONE. */
int spool_mark(struct spool *s, const char *reader, struct spool_mark *ret);

/* Appends one upload (wire/upload.h) with at most max_records records from `first` on, as many as fit.
 * *ret_n records went in. SPOOL_DAMAGED: the record at `first` is. */
int spool_upload(struct spool *s, const struct spool_seg *g, uint64_t first, size_t max_records, unsigned flags,
                 struct buf *ret, size_t *ret_n);
/* Copies one sealed record; for tests. SPOOL_NONE, SPOOL_DAMAGED. */
int spool_read(struct spool *s, uint64_t segno, uint64_t index, struct buf *ret);

/* Deletes what may go (age, size), at most some thousand records a call; *ret_more: call again. */
int spool_trim(struct spool *s, bool *ret_more);
