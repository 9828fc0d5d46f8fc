/* The only file that knows LMDB. Five tables:
 *
 *   meta  "meta"            -> spool_meta
 *   seg   segno             -> spool_seg, rewritten whenever it changes
 *   head  segno             -> CRC, the signed segment header, written once, sent as it is
 *   rec   segno index       -> CRC, gseq, the sealed record
 *   mark  reader's name     -> spool_mark
 *
 * One thread uses it and a lock on the state folder keeps other processes out, so LMDB's own lock file (and its stale
 * readers) is switched off. Page buffers are cleared by LMDB before use (no MDB_NOMEMINIT): what the heap held
 * before never reaches the disk. */
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "daemon/mutant.h"
#include "daemon/spool_impl.h"
#include "wire/upload.h"

#define STAGED_MAX (8u << 20)
#define TRIM_RECORDS 1000 /* a transaction */

static const char *const table_names[TABLES] = {"meta", "seg", "head", "rec", "mark"};

static int from_mdb(int rc)
{
    switch (rc) {
    case MDB_SUCCESS:
        return 0;
    case MDB_NOTFOUND:
        return SPOOL_NONE;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_DBI:
    case MDB_CURSOR_FULL:
        return SPOOL_CORRUPT;
    case MDB_MAP_FULL:
        return -ENOSPC;
    default:
        return rc > 0 ? -rc : -EIO;
    }
}

/* A positive outcome where only success will do: damage shows itself as an I/O error. */
static int must(int r)
{
    return r > 0 ? -EIO : r;
}

static MDB_val val(struct bytes b)
{
    union {
        const uint8_t *c;
        void *v;
    } u = {.c = b.p}; /* LMDB's values are not const, but it does not write through them */
    return (MDB_val){.mv_size = b.n, .mv_data = u.v};
}

static struct bytes slice(MDB_val v)
{
    return BYTES(v.mv_data, v.mv_size);
}

/* ---- opening ---- */

/* A file that grew under a larger budget needs room to shrink in, too: without a free page not even a delete works. */
static size_t map_size(const char *dir, uint64_t budget)
{
    char file[SPOOL_PATH + 16];
    struct stat st;
    snprintf(file, sizeof(file), "%s/data.mdb", dir);
    if (stat(file, &st) == 0 && (uint64_t)st.st_size > budget)
        budget = (uint64_t)st.st_size;
    return (size_t)(budget / 4 * 5);
}

static int env_open(const char *dir, uint64_t budget, bool readonly, MDB_env **ret)
{
    MDB_env *env = NULL;
    int rc = mdb_env_create(&env);
    if (rc != 0)
        return from_mdb(rc);
    unsigned flags = MDB_NOLOCK | MDB_NORDAHEAD | (readonly ? MDB_RDONLY : 0u);
    if (MUTANT_NOSYNC)
        flags |= MDB_NOSYNC;
    if ((rc = mdb_env_set_maxdbs(env, TABLES)) == 0 &&
        (readonly || (rc = mdb_env_set_mapsize(env, map_size(dir, budget))) == 0) &&
        (rc = mdb_env_open(env, dir, flags, 0600)) == 0) {
        *ret = env;
        return 0;
    }
    mdb_env_close(env);
    return from_mdb(rc);
}

static int tables_open(MDB_txn *txn, bool create, MDB_dbi ret[TABLES])
{
    for (int i = 0; i < TABLES; i++) {
        int rc = mdb_dbi_open(txn, table_names[i], create ? MDB_CREATE : 0, &ret[i]);
        if (rc != 0)
            return rc == MDB_NOTFOUND ? SPOOL_CORRUPT : from_mdb(rc);
    }
    return 0;
}

/* LMDB's pages must lie inside the file: reading beyond its end is a SIGBUS. */
static int check_size(struct spool *s)
{
    MDB_envinfo info;
    MDB_stat st;
    struct stat file;
    int fd = -1;
    if (mdb_env_info(s->env, &info) != 0 || mdb_env_stat(s->env, &st) != 0 || mdb_env_get_fd(s->env, &fd) != 0 ||
        fstat(fd, &file) != 0)
        return -EIO;
    return (uint64_t)file.st_size < (uint64_t)(info.me_last_pgno + 1) * st.ms_psize ? SPOOL_CORRUPT : 0;
}

/* LMDB's list of unused pages, which only a write looks at: a damaged one would abort us at the first commit, at each
 * start anew. Table 0, per transaction a count and that many page numbers, falling; no page is named twice. */
static int check_unused(struct spool *s, MDB_txn *txn)
{
    MDB_envinfo info;
    MDB_cursor *cur = NULL;
    MDB_val k, v;
    if (mdb_env_info(s->env, &info) != 0)
        return -EIO;
    uint8_t *seen = calloc(1, info.me_last_pgno / 8 + 1);
    int rc = seen ? mdb_cursor_open(txn, 0, &cur) : ENOMEM, r = 0;
    while (rc == 0 && r == 0 && (rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT)) == 0) {
        const uint8_t *p = v.mv_data;
        size_t n = 0, page, last = info.me_last_pgno + 1;
        if (v.mv_size >= sizeof(n))
            memcpy(&n, p, sizeof(n));
        r = k.mv_size != sizeof(size_t) || v.mv_size < sizeof(n) || n > v.mv_size / sizeof(n) - 1 ? SPOOL_CORRUPT : 0;
        for (size_t i = 1; r == 0 && i <= n; i++, last = page) {
            memcpy(&page, p + i * sizeof(page), sizeof(page));
            if (page < 2 || page >= last || (seen[page / 8] >> (page % 8) & 1) != 0)
                r = SPOOL_CORRUPT;
            else
                seen[page / 8] |= (uint8_t)(1u << (page % 8));
        }
    }
    if (cur)
        mdb_cursor_close(cur);
    free(seen);
    return r != 0 ? r : rc == MDB_NOTFOUND ? 0 : from_mdb(rc);
}

static int load_segments(struct spool *s, MDB_txn *txn)
{
    MDB_cursor *cur = NULL;
    MDB_val k, v;
    int rc = mdb_cursor_open(txn, s->dbi[T_SEG], &cur);
    if (rc != 0)
        return from_mdb(rc);
    int r = 0;
    while (r == 0 && (rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT)) == 0) {
        struct spool_seg g, *in;
        MDB_val head;
        if (row_get_seg(slice(k), slice(v), &g) != 0 || g.segno >= s->meta.next_segno ||
            mdb_get(txn, s->dbi[T_HEAD], &k, &head) != 0 || !row_intact(slice(k), slice(head)))
            r = SPOOL_CORRUPT;
        else
            r = spool_seg_insert(s, &g, &in);
    }
    mdb_cursor_close(cur);
    return r != 0 ? r : rc == MDB_NOTFOUND ? 0 : from_mdb(rc);
}

/* Every record belongs to a segment, and every segment has its records without a gap (those of one that is being
 * trimmed from some index on). */
static int load_records(struct spool *s, MDB_txn *txn)
{
    MDB_cursor *cur = NULL;
    MDB_val k, v;
    int rc = mdb_cursor_open(txn, s->dbi[T_REC], &cur);
    if (rc != 0)
        return from_mdb(rc);
    size_t at = 0;
    uint64_t next = 0;
    int r = 0;
    while (r == 0 && (rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT)) == 0) {
        if (k.mv_size != ROW_KEY_REC || v.mv_size < REC_EXTRA) {
            r = SPOOL_CORRUPT;
            break;
        }
        uint8_t padded[8] = {0};
        memcpy(padded + 4, (const uint8_t *)k.mv_data + 8, 4);
        uint64_t segno = row_u64(k.mv_data), index = row_u64(padded);
        while (r == 0 && at < s->n && s->segs[at]->segno != segno) {
            if (s->segs[at]->records != next && !s->segs[at]->trimming)
                r = SPOOL_CORRUPT;
            at++;
            next = 0;
        }
        if (r != 0 || at == s->n || (next == 0 && index != 0 && !s->segs[at]->trimming) ||
            (next != 0 && index != next) || index >= s->segs[at]->records)
            r = SPOOL_CORRUPT;
        next = index + 1;
    }
    mdb_cursor_close(cur);
    for (; r == 0 && at < s->n; at++, next = 0)
        if (s->segs[at]->records != next && !s->segs[at]->trimming)
            r = SPOOL_CORRUPT;
    return r != 0 ? r : rc == MDB_NOTFOUND ? 0 : from_mdb(rc);
}

static int load(struct spool *s)
{
    MDB_txn *txn = NULL;
    int r = check_size(s);
    if (r != 0)
        return r;
    int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return from_mdb(rc);
    r = tables_open(txn, false, s->dbi);
    MDB_val k = val(BYTES_STR("meta")), v;
    if (r == 0) {
        r = from_mdb(mdb_get(txn, s->dbi[T_META], &k, &v));
        if (r == SPOOL_NONE || (r == 0 && row_get_meta(slice(v), &s->meta) != 0))
            r = SPOOL_CORRUPT;
    }
    if (r == 0)
        r = check_unused(s, txn);
    if (r == 0)
        r = load_segments(s, txn);
    if (r == 0)
        r = load_records(s, txn);
    /* Committing a read transaction keeps the table handles. */
    if (r == 0)
        r = must(from_mdb(mdb_txn_commit(txn)));
    else
        mdb_txn_abort(txn);
    return r;
}

static int put_row(MDB_txn *txn, MDB_dbi dbi, struct bytes key, struct bytes value, unsigned flags)
{
    MDB_val k = val(key), v = val(value);
    return must(from_mdb(mdb_put(txn, dbi, &k, &v, flags)));
}

static int put_meta(struct spool *s, MDB_txn *txn)
{
    uint8_t row[ROW_META_LEN];
    row_put_meta(&s->meta, row);
    return put_row(txn, s->dbi[T_META], BYTES_STR("meta"), BYTES(row, sizeof(row)), 0);
}

/* ---- the transaction ---- */

static int write_ops(struct spool *s, MDB_txn *txn)
{
    int r = 0;
    for (size_t i = 0; i < s->nops && r == 0; i++) {
        const struct op *op = &s->ops[i];
        struct bytes key = BYTES(s->staged.p + op->key, op->nkey), value = BYTES(s->staged.p + op->val, op->nval);
        MDB_val k = val(key);
        switch (op->kind) {
        case OP_HEAD: /* segment numbers and indexes only rise, and appending fills the pages */
            r = put_row(txn, s->dbi[T_HEAD], key, value, MDB_APPEND);
            break;
        case OP_RECORD:
            r = put_row(txn, s->dbi[T_REC], key, value, MDB_APPEND);
            break;
        case OP_MARK:
            r = put_row(txn, s->dbi[T_MARK], key, value, 0);
            break;
        case OP_UNMARK:
            r = from_mdb(mdb_del(txn, s->dbi[T_MARK], &k, NULL));
            r = r == SPOOL_NONE ? 0 : must(r);
            break;
        }
    }
    return r;
}

static int write_dirty(struct spool *s, MDB_txn *txn)
{
    int r = s->meta_dirty ? put_meta(s, txn) : 0;
    for (size_t i = 0; i < s->n && r == 0; i++) {
        if (!s->segs[i]->dirty)
            continue;
        uint8_t key[ROW_KEY_SEG], row[ROW_SEG_LEN];
        row_key_seg(s->segs[i]->segno, key);
        row_put_seg(s->segs[i], row);
        r = put_row(txn, s->dbi[T_SEG], BYTES(key, sizeof(key)), BYTES(row, sizeof(row)), 0);
    }
    return r;
}

/* Records from the lowest index on; the segment's rows with the last of them. */
static int delete_some(struct spool *s, MDB_txn *txn, const struct spool_seg *g, bool *ret_gone)
{
    MDB_cursor *cur = NULL;
    uint8_t first[ROW_KEY_REC], seg[ROW_KEY_SEG];
    row_key_rec(g->segno, 0, first);
    row_key_seg(g->segno, seg);
    int r = must(from_mdb(mdb_cursor_open(txn, s->dbi[T_REC], &cur)));
    if (r != 0)
        return r;
    bool gone = false;
    for (unsigned i = 0; i < TRIM_RECORDS && r == 0 && !gone; i++) {
        MDB_val k = val(BYTES(first, sizeof(first))), v;
        r = from_mdb(mdb_cursor_get(cur, &k, &v, MDB_SET_RANGE));
        gone = r == SPOOL_NONE || (r == 0 && memcmp(k.mv_data, seg, ROW_KEY_SEG) != 0);
        r = gone ? 0 : r == 0 ? from_mdb(mdb_cursor_del(cur, 0)) : r;
    }
    mdb_cursor_close(cur);
    MDB_val k = val(BYTES(seg, sizeof(seg)));
    if (r == 0 && gone)
        r = from_mdb(mdb_del(txn, s->dbi[T_SEG], &k, NULL));
    if (r == 0 && gone)
        r = from_mdb(mdb_del(txn, s->dbi[T_HEAD], &k, NULL));
    *ret_gone = gone;
    return must(r);
}

int spool_write(struct spool *s, struct spool_seg *trim, bool *ret_gone)
{
    if (s->broken)
        return -EIO;
    *ret_gone = false;
    if (!spool_staged(s) && !trim)
        return 0;
    MDB_txn *txn = NULL;
    int r = must(from_mdb(mdb_txn_begin(s->env, NULL, 0, &txn)));
    if (r == 0)
        r = write_ops(s, txn);
    if (r == 0)
        r = write_dirty(s, txn);
    if (r == 0 && trim)
        r = delete_some(s, txn, trim, ret_gone);
    if (r == 0)
        r = must(from_mdb(mdb_txn_commit(txn)));
    else if (txn)
        mdb_txn_abort(txn);
    if (r != 0) {
        s->broken = true;
        return r;
    }
    for (size_t i = 0; i < s->n; i++)
        s->segs[i]->dirty = false;
    buf_reset(&s->staged);
    s->nops = 0;
    s->meta_dirty = false;
    return 0;
}

/* An empty spool, complete before it gets its name: a power cut leaves either none or a sound one. */
static int make_empty(const struct spool_options *o)
{
    char tmp[SPOOL_PATH], file[SPOOL_PATH + 16];
    struct spool s = {
        .meta = {.gen = o->gen, .next_gseq = o->first_gseq ? o->first_gseq : 1, .next_segno = o->first_segno}};
    memcpy(s.meta.gw, o->gw, GW_LEN);
    if ((size_t)snprintf(tmp, sizeof(tmp), "%s.new", o->dir) >= sizeof(tmp))
        return -ENAMETOOLONG;
    snprintf(file, sizeof(file), "%s/data.mdb", tmp);
    if (unlink(file) != 0 && errno != ENOENT)
        return -errno;
    int r = file_mkdir(tmp, 0700);
    if (r != 0 || (r = env_open(tmp, o->budget, false, &s.env)) != 0)
        return must(r);
    MDB_txn *txn = NULL;
    r = must(from_mdb(mdb_txn_begin(s.env, NULL, 0, &txn)));
    if (r == 0 && (r = must(tables_open(txn, true, s.dbi))) == 0)
        r = put_meta(&s, txn);
    if (r == 0)
        r = must(from_mdb(mdb_txn_commit(txn)));
    else if (txn)
        mdb_txn_abort(txn);
    mdb_env_close(s.env);
    if (r == 0)
        r = file_sync_dir(tmp);
    if (r == 0 && rename(tmp, o->dir) != 0) /* over an empty folder, too */
        r = -errno;
    return r != 0 ? r : spool_sync_parent(o->dir);
}

/* The whole of it as it is on disk, closed segments and all, made durable by a transaction of our own.
 *
 * Why that suffices after a failed commit: when LMDB failed to write or sync data pages it has not written its meta
 * page, so the old state is what opens. When only the meta page's write failed, its data pages had been synced before,
 * and the new state may or may not open; whichever does is confirmed here by a newer meta page. */
static int open_env(struct spool *s)
{
    int r = env_open(s->dir, s->o.budget, false, &s->env);
    if (r != 0)
        return r;
    if ((r = load(s)) != 0)
        return r;
    if (memcmp(s->meta.gw, s->o.gw, GW_LEN) != 0 || s->meta.gen < s->o.gen)
        return SPOOL_NONE;
    if (s->meta.gen > s->o.gen)
        return SPOOL_NEWER;
    for (size_t i = 0; i < s->n; i++)
        if (!s->segs[i]->closed)
            spool_close_segment(s, s->segs[i]->segno);
    s->meta_dirty = true;
    s->broken = false;
    return spool_commit(s);
}

int spool_open(const struct spool_options *o, struct spool **ret)
{
    if (!spool_present(o->dir)) {
        int r = make_empty(o);
        if (r != 0)
            return r;
    }
    struct spool *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->o = *o;
    buf_init(&s->staged, STAGED_MAX);
    snprintf(s->dir, sizeof(s->dir), "%s", o->dir);
    s->o.dir = s->dir;
    int r = open_env(s);
    if (r != 0) {
        spool_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void spool_free(struct spool *s)
{
    if (!s)
        return;
    if (s->env)
        mdb_env_close(s->env);
    spool_forget(s);
    buf_done(&s->staged);
    free(s->segs);
    free(s->ops);
    free(s);
}

int spool_reopen(struct spool *s)
{
    if (s->env)
        mdb_env_close(s->env);
    s->env = NULL;
    s->broken = true;
    spool_forget(s);
    if (!spool_present(s->dir))
        return SPOOL_CORRUPT;
    int r = open_env(s);
    if (r != 0)
        s->broken = true;
    return r == SPOOL_NONE || r == SPOOL_NEWER ? SPOOL_CORRUPT : r;
}

static int look(const char *dir, struct spool_meta *ret)
{
    struct spool *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    int r = env_open(dir, 0, true, &s->env);
    if (r == 0)
        r = load(s);
    if (r == 0 && ret)
        *ret = s->meta;
    spool_free(s);
    return r;
}

int spool_peek(const char *dir, struct spool_meta *ret)
{
    return spool_present(dir) ? look(dir, ret) : SPOOL_NONE;
}

int spool_probe(const char *dir)
{
    enum { SOUND = 0, ELSEWHERE = 3, TORN = 4 };
    if (!spool_present(dir))
        return SPOOL_NONE;
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        static const int deadly[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};
        for (size_t i = 0; i < ARRAY_LEN(deadly); i++)
            signal(deadly[i], SIG_DFL);
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (null >= 0)
            dup2(null, STDERR_FILENO); /* LMDB's assertions speak */
        int r = look(dir, NULL);
        _exit(r == 0 ? SOUND : r < 0 ? ELSEWHERE : TORN);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    /* A negative errno (no permission, no memory) is no damage: spool_open() will meet it again and say it. */
    if (WIFEXITED(status) && (WEXITSTATUS(status) == SOUND || WEXITSTATUS(status) == ELSEWHERE))
        return 0;
    return SPOOL_CORRUPT;
}

/* ---- looking ---- */

int spool_mark(struct spool *s, const char *reader, struct spool_mark *ret)
{
    if (s->broken)
        return -EIO;
    MDB_txn *txn = NULL;
    int r = from_mdb(mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn));
    if (r != 0)
        return must(r);
    MDB_val k = val(BYTES_STR(reader)), v;
    r = from_mdb(mdb_get(txn, s->dbi[T_MARK], &k, &v));
    if (r == 0 && row_get_mark(reader, slice(v), ret) != 0)
        r = SPOOL_NONE;
    mdb_txn_abort(txn);
    return r == SPOOL_NONE ? r : must(r);
}

static int open_record(struct bytes key, MDB_val v, struct bytes *ret)
{
    if (v.mv_size < REC_EXTRA || !row_intact(key, slice(v)))
        return SPOOL_DAMAGED;
    *ret = BYTES((const uint8_t *)v.mv_data + REC_EXTRA, v.mv_size - REC_EXTRA);
    return 0;
}

/* The sealed bytes borrow from the map until the transaction ends. */
static int get_record(struct spool *s, MDB_txn *txn, uint64_t segno, uint64_t index, struct bytes *ret)
{
    uint8_t key[ROW_KEY_REC];
    row_key_rec(segno, index, key);
    MDB_val k = val(BYTES(key, sizeof(key))), v;
    int r = from_mdb(mdb_get(txn, s->dbi[T_REC], &k, &v));
    return r != 0 ? r : open_record(BYTES(key, sizeof(key)), v, ret);
}

/* Records from `first` on, one step each instead of one search, as many as fit into an upload. The last one's outcome.
 */
static int get_run(struct spool *s, MDB_txn *txn, uint64_t segno, uint64_t first, size_t max,
                   struct bytes recs[UPLOAD_RECORDS_MAX], size_t *ret_n)
{
    MDB_cursor *cur = NULL;
    size_t n = 0, size = UPLOAD_OVERHEAD;
    int r = from_mdb(mdb_cursor_open(txn, s->dbi[T_REC], &cur));
    while (r == 0 && n < max) {
        uint8_t key[ROW_KEY_REC];
        row_key_rec(segno, first + n, key);
        MDB_val k = val(BYTES(key, sizeof(key))), v;
        r = from_mdb(mdb_cursor_get(cur, &k, &v, n == 0 ? MDB_SET_KEY : MDB_NEXT));
        if (r == 0 && !bytes_equal(slice(k), BYTES(key, sizeof(key))))
            r = SPOOL_NONE;
        if (r == 0)
            r = open_record(BYTES(key, sizeof(key)), v, &recs[n]);
        if (r != 0 || size + recs[n].n + 3 > UPLOAD_MAX)
            break;
        size += recs[n++].n + 3;
    }
    if (cur)
        mdb_cursor_close(cur);
    *ret_n = n;
    return r;
}

int spool_read(struct spool *s, uint64_t segno, uint64_t index, struct buf *ret)
{
    MDB_txn *txn = NULL;
    int r = s->broken ? -EIO : must(from_mdb(mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn)));
    if (r != 0)
        return r;
    struct bytes b;
    r = get_record(s, txn, segno, index, &b);
    if (r == 0)
        r = buf_add(ret, b.p, b.n);
    mdb_txn_abort(txn);
    return r;
}

int spool_has(struct spool *s, uint64_t segno, uint64_t index, struct bytes sealed, bool *ret_has)
{
    MDB_txn *txn = NULL;
    int r = s->broken ? -EIO : must(from_mdb(mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn)));
    if (r != 0)
        return r;
    struct bytes b;
    r = get_record(s, txn, segno, index, &b);
    if (r >= 0)
        *ret_has = r == 0 && bytes_equal(b, sealed);
    mdb_txn_abort(txn);
    return r < 0 ? r : 0;
}

int spool_upload(struct spool *s, const struct spool_seg *g, uint64_t first, size_t max_records, unsigned flags,
                 struct buf *ret, size_t *ret_n)
{
    struct bytes recs[UPLOAD_RECORDS_MAX];
    MDB_txn *txn = NULL;
    int r = s->broken ? -EIO : must(from_mdb(mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn)));
    if (r != 0)
        return r;
    uint8_t key[ROW_KEY_SEG];
    row_key_seg(g->segno, key);
    MDB_val k = val(BYTES(key, sizeof(key))), head;
    r = from_mdb(mdb_get(txn, s->dbi[T_HEAD], &k, &head));
    if (r == 0 && !row_intact(BYTES(key, sizeof(key)), slice(head)))
        r = SPOOL_DAMAGED;
    size_t n = 0;
    if (max_records > UPLOAD_RECORDS_MAX)
        max_records = UPLOAD_RECORDS_MAX;
    uint64_t left = first < g->records ? g->records - first : 0;
    if (max_records > left)
        max_records = (size_t)left;
    if (r == 0)
        r = get_run(s, txn, g->segno, first, max_records, recs, &n);
    if (n > 0) {
        if (first + n == g->records && g->closed)
            flags |= UPLOAD_CLOSED;
        struct bytes row = slice(head);
        r = upload_encode(BYTES(row.p + ROW_CRC, row.n - ROW_CRC), first, recs, n, flags, ret);
        if (r == 0)
            *ret_n = n;
    } else if (r == SPOOL_NONE || r == 0) {
        r = SPOOL_DAMAGED; /* counted, but not there */
    }
    mdb_txn_abort(txn);
    return r == SPOOL_DAMAGED ? r : must(r);
}
