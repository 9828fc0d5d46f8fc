/* Records into rows; see filing.h. A record that opens is committed whatever it says: one that is invalid or of a later
 * version is stored whole, sealed, so that nothing is lost and nothing is held up. */
#include "cloud/filing.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "cloud/clockbook.h"
#include "cloud/events.h"
#include "cloud/fold.h"
#include "cloud/reader.h"
#include "wire/cbor.h"
#include "wire/record.h"

struct filing {
    const struct scope *s;
    const struct gateway *g;
    const struct opened *o;
    int64_t received;
    struct tally *t;
    bool clock_learnt;
    struct fold_budget budget;
    char reader[READER_NAME_MAX + 1]; /* last noted, "" for none yet, and the day */
    int64_t reader_day;
};

/* ---- what is not a punch ---- */

static int put_oddity(const struct filing *f, uint64_t index, int why, struct bytes plain)
{
    struct db_stmt *st;
    struct buf sealed;
    buf_init(&sealed, 4096);
    int r = events_seal(f->s, "oddity", f->o->segid, index, plain, &sealed);
    if (r == 0)
        r = scope_stmt(f->s,
                       "INSERT INTO oddity(tenant_id, segid, idx, why, sealed) VALUES(?1, ?2, ?3, ?4, ?5)"
                       " ON CONFLICT DO NOTHING",
                       &st);
    if (r == 0) {
        db_bind_blob(st, 2, BYTES(f->o->segid, SEGID_LEN));
        db_bind_int(st, 3, (int64_t)index);
        db_bind_int(st, 4, why);
        db_bind_blob(st, 5, buf_bytes(&sealed));
        r = db_must(st);
    }
    buf_done(&sealed);
    f->t->n[INGEST_ODDITIES]++;
    return r;
}

static int put_event(const struct filing *f, uint64_t index, const struct record *rec, struct bytes plain)
{
    struct event_pos at = {.gen = f->g->gen, .gseq = rec->gseq, .index = index};
    memcpy(at.segid, f->o->segid, SEGID_LEN);
    return events_put(f->s, f->g->gw, &at, plain);
}

static void bind_void(struct db_stmt *st, const struct filing *f, const uint8_t segid[SEGID_LEN])
{
    db_bind_blob(st, 2, BYTES(segid, SEGID_LEN));
    db_bind_blob(st, 3, BYTES(f->g->gw, GW_LEN));
    db_bind_int(st, 4, (int64_t)f->g->gen);
}

/* Nothing need come behind the damage to carry `next` over it: another segment of this gateway is moved on here, the
 * one in hand when its upload ends. */
static int pass_void(const struct filing *f, const uint8_t segid[SEGID_LEN])
{
    struct db_stmt *st;
    int r = 0;
    bool moved = memcmp(segid, f->o->segid, SEGID_LEN) != 0;
    while (r == 0 && moved) {
        r = scope_stmt(f->s,
                       "UPDATE segment SET next = next + 1 WHERE tenant_id = ?1 AND segid = ?2 AND gw = ?3 AND gen = ?4"
                       " AND EXISTS (SELECT 1 FROM void v WHERE v.tenant_id = ?1 AND v.segid = ?2"
                       " AND v.idx = segment.next AND v.gw = ?3 AND v.gen = ?4)",
                       &st);
        if (r != 0)
            return r;
        bind_void(st, f, segid);
        r = db_must(st);
        moved = r == 0 && db_changes(f->s->db) > 0;
        if (moved)
            f->t->n[INGEST_VOID]++;
    }
    return r;
}

/* The gateway found a record of its spool damaged: [segid, index]. Its bytes will not open; they need not. */
static int put_void(const struct filing *f, struct bytes arg)
{
    struct db_stmt *st;
    uint8_t segid[SEGID_LEN];
    struct cbor_r c = cbor_reader(arg);
    cbor_get_array(&c, 2, 2);
    cbor_get_fixed(&c, segid, SEGID_LEN);
    uint64_t index = cbor_get_uint(&c, SEG_RECORDS_MAX - 1);
    if (!cbor_done(&c))
        return 0; /* the event itself is kept */
    int r = scope_stmt(f->s,
                       "INSERT INTO void(tenant_id, segid, gw, gen, idx) VALUES(?1, ?2, ?3, ?4, ?5)"
                       " ON CONFLICT DO NOTHING",
                       &st);
    if (r != 0)
        return r;
    bind_void(st, f, segid);
    db_bind_int(st, 5, (int64_t)index);
    r = db_must(st);
    return r != 0 ? r : pass_void(f, segid);
}

/* Reported by this very gateway. */
static int is_void(const struct filing *f, uint64_t index, bool *ret_void)
{
    struct db_stmt *st;
    int r = scope_stmt(
        f->s, "SELECT 1 FROM void WHERE tenant_id = ?1 AND segid = ?2 AND gw = ?3 AND gen = ?4 AND idx = ?5", &st);
    if (r != 0)
        return r;
    bind_void(st, f, f->o->segid);
    db_bind_int(st, 5, (int64_t)index);
    r = db_step(st);
    *ret_void = r == DB_ROW;
    db_done(st);
    return r < 0 ? r : 0;
}

/* A clock that contradicts the calendar, or says nothing, corrects nothing. */
static bool tells_time(const struct filing *f, const struct record *rec)
{
    return rec->kind == RECORD_CLOCK && ck_state(rec->ck) == CLOCK_SYNC && ck_uncertainty(rec->ck) != CK_UNBOUNDED &&
           day_of(rec->real) >= day_of(f->g->added) && rec->real <= f->received + DAY_US;
}

/* Clock records first: they count for punches of the same upload that stand before them, too. What is not reached below
 * is not read here either. */
static int learn_clocks(struct filing *f, const struct upload *u, uint64_t next)
{
    uint8_t plain[RECORD_PLAIN_MAX];
    struct record rec;
    bool goes_on = f->o->reader != NULL;
    int r = 0;
    for (size_t i = 0; r == 0 && goes_on && i < u->n; i++) {
        if (u->first + i < next)
            continue;
        r = seg_reader_open(f->o->reader, u->first + i, u->recs[i], plain);
        if (r > 0) {
            r = is_void(f, u->first + i, &goes_on);
            continue;
        }
        if (r == 0 && record_decode(BYTES(plain, u->recs[i].n - CRYPTO_TAG), &rec) == 0 && tells_time(f, &rec)) {
            bool fresh = false;
            r = clockbook_add(f->s, f->g, f->o->hdr.boot, &rec, &fresh);
            f->clock_learnt = f->clock_learnt || fresh;
        }
    }
    crypto_wipe(plain, sizeof plain);
    crypto_wipe(&rec, sizeof rec);
    return r;
}

static int put_version(const struct filing *f, const struct record *rec)
{
    struct cbor_r c = cbor_reader(rec->event.arg);
    struct bytes version = cbor_get_text(&c, 0, RECORD_PLAIN_MAX);
    return cbor_done(&c) ? gateway_put_version(f->s->db, f->g, rec->gseq, version) : 0;
}

static int on_event(struct filing *f, uint64_t index, const struct record *rec, struct bytes plain)
{
    int r = put_event(f, index, rec, plain);
    if (r == 0 && rec->event.code == EVENT_STARTED)
        r = put_version(f, rec);
    return r == 0 && rec->event.code == EVENT_RECORD_DAMAGED ? put_void(f, rec->event.arg) : r;
}

/* ---- punches ---- */

/* A punch whose time is not known or cannot be counts for the day of its receipt. */
static int note_reader(struct filing *f, const struct filed *row)
{
    int64_t day = day_of(row->flags & FILED_PENDING ? row->received : row->time);
    const char *name = row->rec.punch.reader;
    if (f->reader_day == day && strcmp(f->reader, name) == 0)
        return 0;
    int r = reader_seen(f->s, row->gw, name, day);
    if (r == 0) {
        f->reader_day = day;
        str_copy(f->reader, sizeof f->reader, name);
    }
    return r;
}

static int on_punch(struct filing *f, uint64_t index, const struct record *rec, struct bytes plain)
{
    struct filed row = {.index = index, .gen = f->g->gen, .received = f->received};
    uint64_t folded = 0;
    memcpy(row.segid, f->o->segid, SEGID_LEN);
    memcpy(row.gw, f->g->gw, GW_LEN);
    memcpy(row.boot, f->o->hdr.boot, BOOT_LEN);
    int r = filed_init(&row, plain, rec);
    if (r == 0)
        r = clockbook_time(f->s, f->g, &row);
    if (r == 0)
        r = fold_file(f->s, &row, &f->budget, &folded);
    bool erased = r == HOLDER_ERASED; /* committed all the same, or it would be sent for ever */
    if (r == 0)
        r = note_reader(f, &row);
    f->t->n[erased ? INGEST_ERASED : INGEST_PUNCHES]++;
    f->t->n[INGEST_FOLDED] += folded;
    if (!erased && row.flags & FILED_PENDING)
        f->t->n[INGEST_PENDING]++;
    filed_done(&row);
    return erased ? 0 : r;
}

static int on_record(struct filing *f, uint64_t index, struct bytes plain)
{
    struct record rec;
    int r = record_decode(plain, &rec);
    if (r != 0)
        return r < 0 ? r : put_oddity(f, index, r, plain);
    switch (rec.kind) {
    case RECORD_PUNCH:
        return on_punch(f, index, &rec, plain);
    case RECORD_CLOCK:
        return put_event(f, index, &rec, plain); /* learn_clocks() was there before */
    case RECORD_EVENT:
        return on_event(f, index, &rec, plain);
    }
    return put_oddity(f, index, RECORD_UNKNOWN, plain);
}

/* 0: committed with this transaction. INGEST_BAD_RECORD: it does not open, the upload ends before it. */
static int one(struct filing *f, uint64_t index, struct bytes sealed)
{
    uint8_t plain[RECORD_PLAIN_MAX];
    bool is_damage = false;
    int r = seg_reader_open(f->o->reader, index, sealed, plain);
    if (r == 0) {
        r = on_record(f, index, BYTES(plain, sealed.n - CRYPTO_TAG));
    } else if (r > 0) {
        r = is_void(f, index, &is_damage);
        if (r == 0 && !is_damage)
            r = INGEST_BAD_RECORD;
        if (r == 0)
            f->t->n[INGEST_VOID]++;
    }
    crypto_wipe(plain, sizeof plain);
    if (r == 0)
        f->t->n[INGEST_RECORDS]++;
    return r;
}

/* ---- an upload ---- */

static int find_ledger(struct filing *f, struct ledger *l)
{
    bool fork = false;
    char hex[2 * GW_LEN + 1];
    int r = ledger_get(f->s, f->o->segid, l);
    if (r != CLOUD_ABSENT)
        return r;
    if (f->o->reader == NULL)
        return INGEST_UNKNOWN_KEY;
    r = ledger_open(f->s, f->o->segid, &f->o->hdr, seg_reader_ack_key(f->o->reader), f->received, l, &fork);
    if (r == 0 && fork) {
        f->t->n[INGEST_FORKS]++;
        log_warn("gateway.fork", "gateway=%s gen=%llu segno=%llu hint=\"was an old image restored?\"",
                 str_hex(f->g->gw, GW_LEN, hex), (unsigned long long)f->g->gen, (unsigned long long)f->o->hdr.segno);
    }
    return r;
}

/* What the gateway declared damaged will never come: an upload that begins behind it fits. */
static int skip_void(struct filing *f, uint64_t *next)
{
    bool damage = true;
    int r = 0;
    while (*next < SEG_RECORDS_MAX && (r = is_void(f, *next, &damage)) == 0 && damage) {
        f->t->n[INGEST_VOID]++;
        (*next)++;
    }
    return r;
}

static int commit_records(struct filing *f, const struct upload *u, uint64_t *next)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < u->n; i++) {
        uint64_t index = u->first + i;
        if (index < *next) {
            f->t->n[INGEST_DUPLICATES]++;
            continue;
        }
        if (f->o->reader == NULL)
            return INGEST_UNKNOWN_KEY;
        r = one(f, index, u->recs[i]);
        if (r == 0)
            *next = index + 1;
    }
    return r;
}

static int note_upload(const struct filing *f)
{
    struct db_stmt *st;
    int r = scope_stmt(f->s, "UPDATE gateway SET last_upload = ?4 WHERE tenant_id = ?1 AND gw = ?2 AND gen = ?3", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(f->g->gw, GW_LEN));
    db_bind_int(st, 3, (int64_t)f->g->gen);
    db_bind_int(st, 4, f->received);
    return db_must(st);
}

int filing_upload(const struct scope *s, const struct gateway *g, const struct opened *o, const struct upload *u,
                  int64_t received, struct tally *t, struct filing_ack *ret_ack)
{
    struct filing f = {.s = s, .g = g, .o = o, .received = received, .t = t};
    f.budget = (struct fold_budget){.searches = FOLD_SEARCHES, .rows = FOLD_ROWS};
    struct ledger l;
    int r = find_ledger(&f, &l);
    if (r != 0)
        return r;
    uint64_t next = l.next;
    if (u->first > next && (r = skip_void(&f, &next)) != 0)
        return r;
    if (u->first > next) {
        t->n[INGEST_AHEAD]++;
    } else {
        r = learn_clocks(&f, u, next);
        if (r == 0)
            r = commit_records(&f, u, &next);
        if (r > 0) { /* what came before it counts */
            t->n[r]++;
            r = 0;
        }
        if (r == 0)
            r = skip_void(&f, &next);
    }
    if (r == 0)
        r = ledger_advance(s, &l, next);
    if (r == 0 && f.clock_learnt)
        r = clockbook_settle(s, g, o->hdr.boot, &t->n[INGEST_SETTLED]);
    if (r == 0)
        r = note_upload(&f);
    if (r == 0) {
        memcpy(ret_ack->gw, g->gw, GW_LEN);
        memcpy(ret_ack->segid, o->segid, SEGID_LEN);
        memcpy(ret_ack->ack_key, l.ack_key, ACK_KEY_LEN);
        ret_ack->next = next;
    }
    return r;
}
