/* What a tenant has set; see settings_of.h. */
#include "cloud/settings_of.h"

#include <string.h>

#include "base/str.h"
#include "cloud/scope.h"
#include "wire/cbor.h"

#define CONTACT_PLAIN (DPO_CONTACT_MAX + 16)
#define CONTACT_UNIT 256

static const struct tenant_settings defaults = {
    .time_zone = "Etc/UTC",
    .week_start = 1,
    .retention_days = RETENTION_DAYS_MIN,
    .second_factor = SECOND_FACTOR_ALL,
    .language = "en",
    .session_idle = SESSION_IDLE_MAX,
    .session_life = SESSION_LIFE_MAX,
};

bool language_known(const char *language)
{
    return strcmp(language, "en") == 0 || strcmp(language, "de") == 0 || strcmp(language, "ro") == 0;
}

static bool within(int64_t v, int64_t min, int64_t max)
{
    return v >= min && v <= max;
}

static bool valid(const struct tenant_settings *t)
{
    return time_zone_valid(t->time_zone) && within(t->week_start, 1, 7) &&
           within(t->retention_days, RETENTION_DAYS_MIN, RETENTION_DAYS_MAX) && language_known(t->language) &&
           within(t->session_idle, SESSION_IDLE_MIN, SESSION_IDLE_MAX) &&
           within(t->session_life, SESSION_LIFE_MIN, SESSION_LIFE_MAX) && (t->four_eyes & ~PERM_ALL) == 0;
}

static int from_row(struct db_stmt *s, struct tenant_settings *ret)
{
    struct tenant_settings t = {
        .week_start = (unsigned)db_int(s, 1),
        .retention_days = (unsigned)db_int(s, 2),
        .second_factor = (uint64_t)db_int(s, 3),
        .four_eyes = (uint64_t)db_int(s, 4),
        .presence = db_int(s, 5) != 0,
        .session_idle = (unsigned)db_int(s, 7),
        .session_life = (unsigned)db_int(s, 8),
    };
    if (str_copy(t.time_zone, sizeof t.time_zone, db_text(s, 0)) != 0 ||
        str_copy(t.language, sizeof t.language, db_text(s, 6)) != 0 || !valid(&t))
        return -EBADMSG;
    *ret = t;
    return 0;
}

int tenant_settings_get(struct db *db, const char *tenant, struct tenant_settings *ret)
{
    struct db_stmt *s;
    struct tenant_settings t = defaults;
    int r = db_stmt(db,
                    "SELECT time_zone, week_start, retention_days, second_factor, four_eyes, presence, language,"
                    " session_idle, session_life FROM tenant_setting WHERE tenant_id = ?1",
                    &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    r = db_step(s);
    if (r == DB_ROW)
        r = from_row(s, &t);
    db_done(s);
    if (r == 0)
        *ret = t;
    return r;
}

static struct seal_place place(const struct scope *s)
{
    return (struct seal_place){.table = "tenant_setting", .tenant = s->tenant};
}

static int seal_contact(const struct scope *s, const char *contact, struct buf *ret)
{
    uint8_t mem[CONTACT_PLAIN];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    struct row_keys keys;
    struct seal_place at = place(s);
    cbor_put_array(&w, 2);
    cbor_put_uint(&w, 1);
    cbor_put_text(&w, contact);
    if (w.bad)
        return CLOUD_INVALID;
    int r = keyring_tenant_rows(s->ring, &keys);
    if (r == 0)
        r = seal_put(keys.seal, &at, BYTES(mem, w.len), CONTACT_UNIT, ret);
    crypto_wipe(&keys, sizeof keys);
    return r;
}

int tenant_settings_put(const struct scope *s, const struct tenant_settings *t, const char *contact)
{
    struct db_stmt *st;
    struct buf CLEANUP(buf_done) sealed;
    buf_init(&sealed, 1024);
    if (!valid(t) || strlen(contact) > DPO_CONTACT_MAX)
        return CLOUD_INVALID;
    int r = seal_contact(s, contact, &sealed);
    if (r == 0)
        r = scope_stmt(s,
                       "INSERT INTO tenant_setting(tenant_id, time_zone, week_start, retention_days, second_factor,"
                       " four_eyes, presence, language, session_idle, session_life, sealed)"
                       " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT(tenant_id) DO UPDATE SET"
                       " time_zone = excluded.time_zone, week_start = excluded.week_start,"
                       " retention_days = excluded.retention_days, second_factor = excluded.second_factor,"
                       " four_eyes = excluded.four_eyes, presence = excluded.presence, language = excluded.language,"
                       " session_idle = excluded.session_idle, session_life = excluded.session_life,"
                       " sealed = excluded.sealed",
                       &st);
    if (r != 0)
        return r;
    db_bind_text(st, 2, t->time_zone);
    db_bind_int(st, 3, t->week_start);
    db_bind_int(st, 4, t->retention_days);
    db_bind_int(st, 5, (int64_t)t->second_factor);
    db_bind_int(st, 6, (int64_t)t->four_eyes);
    db_bind_int(st, 7, t->presence);
    db_bind_text(st, 8, t->language);
    db_bind_int(st, 9, t->session_idle);
    db_bind_int(st, 10, t->session_life);
    db_bind_blob(st, 11, buf_bytes(&sealed));
    return db_must(st);
}

static int open_contact(const struct scope *s, struct bytes sealed, char ret[DPO_CONTACT_MAX + 1])
{
    uint8_t plain[CONTACT_PLAIN];
    size_t n = 0;
    struct row_keys keys;
    struct seal_place at = place(s);
    int r = keyring_tenant_rows(s->ring, &keys);
    if (r == 0)
        r = seal_get(keys.seal, &at, sealed, plain, sizeof plain, &n);
    crypto_wipe(&keys, sizeof keys);
    struct cbor_r c = cbor_reader(BYTES(plain, r == 0 ? n : 0));
    cbor_get_array(&c, 2, 2);
    cbor_get_uint(&c, 1);
    struct bytes contact = cbor_get_text(&c, 0, DPO_CONTACT_MAX);
    if (r == SEAL_BAD || (r == 0 && !cbor_done(&c))) {
        scope_damaged(s, "tenant_setting", BYTES_NONE, PASSED_OVER);
        return 0;
    }
    if (r == 0 && contact.n > 0)
        memcpy(ret, contact.p, contact.n);
    return r;
}

int tenant_dpo_contact(const struct scope *s, char ret[DPO_CONTACT_MAX + 1])
{
    struct db_stmt *st;
    char contact[DPO_CONTACT_MAX + 1] = "";
    int r = scope_stmt(s, "SELECT sealed FROM tenant_setting WHERE tenant_id = ?1", &st);
    if (r != 0)
        return r;
    r = db_step(st);
    if (r == DB_ROW)
        r = open_contact(s, db_blob(st, 0), contact);
    db_done(st);
    if (r == 0)
        memcpy(ret, contact, sizeof contact);
    return r;
}

bool settings_second_factor_needed(const struct tenant_settings *t, enum perm perm)
{
    return t->second_factor == SECOND_FACTOR_ALL || (t->second_factor & PERM_BIT(perm)) != 0;
}
