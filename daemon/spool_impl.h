/* What the spool's own files share: spool.c (LMDB), spool_table.c (the tables in memory, staging, what may go) and
 * spool_folder.c (folders). Nobody else includes this. */
#pragma once

#include "daemon/row.h"

#define SPOOL_PATH 512
#define SPOOL_BUCKETS 4096u
#define REC_EXTRA (ROW_CRC + 8) /* CRC and gseq in front of the sealed bytes */

enum spool_db { T_META, T_SEG, T_HEAD, T_REC, T_MARK, TABLES };

enum op_kind { OP_HEAD, OP_RECORD, OP_MARK, OP_UNMARK };
struct op {
    enum op_kind kind;
    size_t key, nkey, val, nval; /* offsets into `staged` */
};

struct MDB_env;

struct spool {
    struct spool_options o;
    char dir[SPOOL_PATH];
    struct MDB_env *env;
    unsigned dbi[TABLES];
    bool broken, meta_dirty;
    struct spool_meta meta;
    struct spool_seg **segs; /* by segno */
    size_t n, cap;
    struct spool_seg *by_id[SPOOL_BUCKETS];
    uint64_t bytes; /* accounted, of all segments */
    struct buf staged;
    struct op *ops;
    size_t nops, cap_ops;
};

/* spool_table.c */
int spool_seg_insert(struct spool *s, const struct spool_seg *from, struct spool_seg **ret);
void spool_seg_remove(struct spool *s, struct spool_seg *g);
void spool_forget(struct spool *s); /* tables and staged writes */
/* The next segment to delete: one whose trimming began, else the oldest that is wholly acknowledged and too old, too
 * much, or (pressure) in the way; NULL. */
struct spool_seg *spool_trim_pick(struct spool *s, bool pressure);

/* spool.c: one transaction with all that is staged; `trim`: some of its records go too, *ret_gone when it is all
 * gone. */
int spool_write(struct spool *s, struct spool_seg *trim, bool *ret_gone);

/* spool_folder.c */
bool spool_present(const char *dir);
int spool_sync_parent(const char *dir);
