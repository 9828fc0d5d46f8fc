/* The cloud's ingest in one process, and the same rows as bare inserts.
 *
 *   bench_ingest COUNT PEOPLE
 *
 * Makes an installation in a folder of its own with PEOPLE people who hold a card each, COUNT punches of theirs as a
 * gateway with a backlog would send them (uploads of 512, all in one segment), and lets ingest take them: from
 * ingest_put(), where the broker's messages come in, until the last ack is made. It prints `ingest COUNT NS CPU-NS
 * COMMITS`.
 *
 * Then the rows that these punches left in the tables punch and change go into a store of the same schema beside it:
 * bare inserts by SQLite's own functions, prepared once, with the same pragmas, in transactions of as many punches as
 * ingest's. It prints `insert COUNT NS CPU-NS COMMITS`. Rows of punch come in a random order there as here, since their
 * keys are random. */
#include "tests/unit/cloud_gateway.h"

#include <sqlite3.h>

#include "tests/bench/bench.h"

#define QUEUED 16 /* a gateway's window: messages put between two batches, more than one takes */
#define DIE_SQL(h) DIE("%s", sqlite3_errmsg(h))

struct message {
    uint8_t *p;
    size_t n;
};

struct row {
    int64_t number; /* day, or seq */
    struct bytes blobs[3];
};

struct rows {
    size_t n;
    struct row *items;
};

struct span {
    int64_t wall, cpu;
};

static struct span span_begin(void)
{
    return (struct span){.wall = now_ns(), .cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID)};
}

static void tell(const char *what, uint64_t n, const struct span *began, uint64_t commits)
{
    struct span now = span_begin();
    printf("%s %llu %lld %lld %llu\n", what, (unsigned long long)n, (long long)(now.wall - began->wall),
           (long long)(now.cpu - began->cpu), (unsigned long long)commits);
}

static void make_people(struct fixture *x, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct person p;
        struct credential made;
        struct cred c = card(i);
        char name[32];
        uint64_t refiled;
        snprintf(name, sizeof name, "Person %u", i);
        MUST(people_create(x->c, x->db, TENANT, &(struct person_set){.name = name}, &p));
        MUST(credential_assign(x->c, x->db, TENANT, p.id, &c, RENDER_DEC10, 0, INT64_MAX, &made, &refiled));
    }
}

static struct bytes copy(struct bytes b)
{
    uint8_t *p = malloc(b.n + 1);
    if (!p)
        DIE("no memory");
    memcpy(p, b.p, b.n);
    return BYTES(p, b.n);
}

/* One upload of n records, sealed by the gateway's open segment. */
static struct message upload(struct tgw *g, size_t n, unsigned people, uint64_t first)
{
    static uint8_t sealed[UPLOAD_RECORDS_MAX][RECORD_SEALED_MAX];
    uint8_t plain[RECORD_PLAIN_MAX];
    struct bytes recs[UPLOAD_RECORDS_MAX];
    struct buf out;
    for (size_t i = 0; i < n; i++) {
        struct record r = {.kind = RECORD_PUNCH, .gseq = ++g->gseq, .real = clock_real(), .mono = g->gseq * 1000};
        size_t len;
        r.ck = ck_make(CLOCK_SYNC, 1000);
        snprintf(r.punch.reader, sizeof r.punch.reader, "gate north");
        r.punch.cred = card((unsigned)(g->gseq * 2654435761u % people));
        r.punch.dir = DIR_IN;
        r.punch.rendering = RENDER_DEC10;
        MUST(record_encode(&r, plain, &len));
        MUST(seg_writer_seal(g->seg->w, BYTES(plain, len), sealed[i]));
        recs[i] = BYTES(sealed[i], len + CRYPTO_TAG);
    }
    buf_init(&out, UPLOAD_MAX);
    MUST(upload_encode(seg_writer_signed(g->seg->w), first, recs, n, 0, &out));
    return (struct message){.p = out.p, .n = out.len};
}

static uint64_t ingest(struct fixture *x, const struct tgw *g, struct message *m, size_t n)
{
    char topic[TOPIC_MAX];
    topic_make(g->id, TOPIC_UP, topic);
    size_t put = 0;
    struct span began = span_begin();
    while (counted(x, INGEST_PUNCHES) < g->gseq) {
        for (size_t end = put + QUEUED; put < end && put < n; put++)
            ingest_put(x->in, topic, BYTES(m[put].p, m[put].n));
        x->n_acks = 0;
        MUST(ingest_step(x->in, 0));
    }
    tell("ingest", g->gseq, &began, counted(x, INGEST_COMMITS));
    return counted(x, INGEST_COMMITS);
}

/* ---- bare ---- */

static sqlite3 *store(const char *path)
{
    sqlite3 *h = NULL;
    if (sqlite3_open_v2(path, &h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != 0 ||
        sqlite3_exec(h,
                     "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;"
                     "PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;",
                     NULL, NULL, NULL) != 0)
        DIE_SQL(h);
    return h;
}

static sqlite3_stmt *prepare(sqlite3 *h, const char *sql)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(h, sql, -1, &s, NULL) != 0)
        DIE_SQL(h);
    return s;
}

static void same_schema(sqlite3 *from, sqlite3 *to)
{
    sqlite3_stmt *s = prepare(from, "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'");
    while (sqlite3_step(s) == SQLITE_ROW)
        if (sqlite3_exec(to, (const char *)sqlite3_column_text(s, 0), NULL, NULL, NULL) != 0)
            DIE_SQL(to);
    sqlite3_finalize(s);
}

/* The number's column first. */
static struct rows read_rows(sqlite3 *h, const char *sql, size_t max)
{
    struct rows r = {.items = calloc(max, sizeof *r.items)};
    sqlite3_stmt *s = prepare(h, sql);
    while (r.n < max && sqlite3_step(s) == SQLITE_ROW) {
        struct row *row = &r.items[r.n++];
        row->number = sqlite3_column_int64(s, 0);
        for (int i = 1; i < sqlite3_column_count(s); i++)
            row->blobs[i - 1] = copy(BYTES(sqlite3_column_blob(s, i), (size_t)sqlite3_column_bytes(s, i)));
    }
    sqlite3_finalize(s);
    return r;
}

static void put(sqlite3 *h, sqlite3_stmt *s, const struct row *row, int blobs)
{
    sqlite3_bind_text(s, 1, TENANT, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 2, row->number);
    for (int i = 0; i < blobs; i++)
        sqlite3_bind_blob64(s, 3 + i, row->blobs[i].p, row->blobs[i].n, SQLITE_STATIC);
    if (sqlite3_step(s) != SQLITE_DONE)
        DIE_SQL(h);
    sqlite3_reset(s);
}

static void insert(sqlite3 *h, const struct rows *punches, const struct rows *changes, size_t batch)
{
    sqlite3_stmt *p = prepare(h, "INSERT INTO punch(tenant_id, day, ref, pid, sealed) VALUES(?1, ?2, ?3, ?4, ?5)");
    sqlite3_stmt *c = prepare(h, "INSERT INTO change(tenant_id, seq, mark, sealed) VALUES(?1, ?2, ?3, ?4)");
    uint64_t commits = 0;
    struct span began = span_begin();
    for (size_t i = 0; i < punches->n; commits++) {
        if (sqlite3_exec(h, "BEGIN IMMEDIATE", NULL, NULL, NULL) != 0)
            DIE_SQL(h);
        for (size_t end = i + batch; i < end && i < punches->n; i++) {
            put(h, p, &punches->items[i], 3);
            put(h, c, &changes->items[i], 2);
        }
        if (sqlite3_exec(h, "COMMIT", NULL, NULL, NULL) != 0)
            DIE_SQL(h);
    }
    tell("insert", punches->n, &began, commits);
    sqlite3_finalize(p);
    sqlite3_finalize(c);
}

static void bare(struct fixture *x, size_t count, size_t batch)
{
    char path[128];
    snprintf(path, sizeof path, "%s/store.db", x->state);
    sqlite3 *from = store(path);
    snprintf(path, sizeof path, "%s/bare.db", x->state);
    sqlite3 *to = store(path);
    same_schema(from, to);
    static struct rows punches, changes; /* kept to the end */
    punches = read_rows(from, "SELECT day, ref, pid, sealed FROM punch ORDER BY random()", count);
    changes = read_rows(from, "SELECT seq, mark, sealed FROM change ORDER BY seq DESC", count);
    if (punches.n != count || changes.n != count)
        DIE("%zu rows of punch, %zu of change", punches.n, changes.n);
    for (size_t i = 0; i < count / 2; i++) { /* into the order in which they were made */
        struct row t = changes.items[i];
        changes.items[i] = changes.items[count - 1 - i];
        changes.items[count - 1 - i] = t;
    }
    insert(to, &punches, &changes, batch);
    sqlite3_close(from);
    sqlite3_close(to);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        DIE("usage: bench_ingest COUNT PEOPLE");
    uint64_t count = number(argv[1]), people = number(argv[2]), done = 0;
    size_t n = 0;
    struct fixture *x = fixture_new();
    struct tgw *g = tgw_new(x, "hq");
    make_people(x, (unsigned)people);
    tgw_segment(g);
    struct message *m = calloc(count / UPLOAD_RECORDS_MAX + 1, sizeof *m);
    for (; done < count; n++) {
        size_t some = count - done < UPLOAD_RECORDS_MAX ? (size_t)(count - done) : UPLOAD_RECORDS_MAX;
        m[n] = upload(g, some, (unsigned)people, done);
        done += some;
    }
    uint64_t commits = ingest(x, g, m, n);
    bare(x, (size_t)count, (size_t)((count + commits - 1) / commits));
    for (size_t i = 0; i < n; i++)
        free(m[i].p);
    free(m);
    tgw_free(g);
    fixture_done(x);
    return 0;
}
