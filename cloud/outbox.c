/* The queue of mail; see outbox.h. A row: whose key, when it is due, how often it was tried; all else is sealed under
 * that key, as JSON. A message that was sent leaves no row. */
#include "cloud/outbox_impl.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/whole.h"
#include "cloud/holder.h"
#include "cloud/jsontext.h"

#define MAIL_UNIT 512

bool outbox_mails(const struct cloud *c)
{
    return cloud_settings(c)->mail.server != NULL;
}

/* key_id empty: the tenant's own key. KEYRING_ABSENT. */
static int seal_key(const struct scope *s, struct bytes key_id, uint8_t ret_key[CRYPTO_KEY])
{
    struct row_keys keys;
    enum key_kind kind;
    if (key_id.n == 0)
        return holder_tenant_key(s, ret_key);
    if (key_id.n != KEY_ID_LEN)
        return -EBADMSG;
    int r = keyring_rows(s->ring, key_id.p, &kind, &keys);
    if (r == 0)
        memcpy(ret_key, keys.seal, CRYPTO_KEY);
    crypto_wipe(&keys, sizeof keys);
    return r;
}

static struct seal_place place(const struct scope *s, const uint8_t id[ID_LEN])
{
    return (struct seal_place){.table = "mail", .tenant = s->tenant, .key = {BYTES(id, ID_LEN)}};
}

/* ---- queueing ---- */

static const char *arg_of(const struct mail *m, const char *name)
{
    for (size_t i = 0; i < m->n_args; i++)
        if (strcmp(m->args[i].name, name) == 0)
            return m->args[i].value;
    return NULL;
}

/* NULL: an argument is missing or no UTF-8. */
static json_t *to_json(const struct mail *m)
{
    json_t *args = json_object();
    for (const char *const *name = mail_args(m->template); args && *name; name++) {
        const char *value = arg_of(m, *name);
        if (!value || json_object_set_new(args, *name, json_string(value)) != 0) {
            json_decref(args);
            args = NULL;
        }
    }
    return json_pack("{s:s, s:s, s:s, s:o}", "to", m->to, "lang", mail_lang_name(mail_lang(m->lang)), "template",
                     mail_template_name(m->template), "args", args);
}

static int count_waiting(const struct scope *s, int64_t *ret_n)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT count(*) FROM mail WHERE tenant_id = ?1 AND state = 0", &st);
    if (r != 0)
        return r;
    return db_number(st, ret_n);
}

static int insert(const struct scope *s, const uint8_t id[ID_LEN], struct bytes key_id, int64_t now,
                  struct bytes sealed)
{
    struct db_stmt *st;
    int r = scope_stmt(s,
                       "INSERT INTO mail(tenant_id, id, key_id, state, due, tries, created, sealed)"
                       " VALUES(?1, ?2, ?3, 0, ?4, 0, ?4, ?5)",
                       &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    db_bind_blob(st, 3, key_id);
    db_bind_int(st, 4, now);
    db_bind_blob(st, 5, sealed);
    return db_must(st);
}

static int put(const struct scope *s, struct bytes key_id, struct bytes plain)
{
    uint8_t id[ID_LEN], key[CRYPTO_KEY];
    struct buf CLEANUP(buf_done) sealed;
    buf_init(&sealed, SEAL_PLAIN_MAX + MAIL_UNIT + SEAL_OVERHEAD);
    int r = crypto_random(id, sizeof id);
    if (r == 0)
        r = seal_key(s, key_id, key);
    if (r == KEYRING_ABSENT)
        return CLOUD_ABSENT;
    if (r == 0) {
        struct seal_place at = place(s, id);
        r = seal_put(key, &at, plain, MAIL_UNIT, &sealed);
    }
    crypto_wipe(key, sizeof key);
    return r != 0 ? r : insert(s, id, key_id, clock_real(), buf_bytes(&sealed));
}

int outbox_mail(const struct scope *s, const struct mail *m)
{
    struct buf CLEANUP(buf_wipe) plain;
    int64_t waiting = 0;
    buf_init(&plain, SEAL_PLAIN_MAX);
    if (!outbox_mails(s->c))
        return 0;
    json_t *o = mail_address_valid(m->to) ? to_json(m) : NULL;
    if (!o)
        return CLOUD_INVALID;
    jsontext_put(&plain, o);
    if (plain.failed)
        return CLOUD_INVALID;
    int r = count_waiting(s, &waiting);
    if (r == 0 && waiting >= MAIL_WAITING_MAX)
        r = -EAGAIN;
    return r != 0 ? r : put(s, m->key ? BYTES(m->key, KEY_ID_LEN) : BYTES(m->to, 0), buf_bytes(&plain));
}

/* ---- sending ---- */

int outbox_due(struct db *db, int64_t now, size_t max, struct mail_due *ret_due, size_t *ret_n)
{
    struct db_stmt *s;
    size_t n = 0;
    int r = db_stmt(db,
                    "SELECT tenant_id, id FROM (SELECT tenant_id, id, due, ROW_NUMBER() OVER (PARTITION BY tenant_id"
                    " ORDER BY due, id) AS turn FROM mail WHERE state = 0 AND due <= ?1) waiting ORDER BY turn, due"
                    " LIMIT ?2",
                    &s);
    if (r != 0)
        return r;
    db_bind_int(s, 1, now);
    db_bind_int(s, 2, (int64_t)max);
    while ((r = db_step(s)) == DB_ROW && n < max) {
        r = str_copy(ret_due[n].tenant, sizeof ret_due[n].tenant, db_text(s, 0));
        if (r == 0 && db_fixed(s, 1, ret_due[n].id, ID_LEN) == 0)
            n++;
    }
    db_done(s);
    *ret_n = n;
    return r < 0 ? r : 0;
}

void mail_row_done(struct mail_row *m)
{
    json_decref(m->args);
    *m = (struct mail_row){0};
}

static int decode(struct bytes plain, struct mail_row *ret)
{
    json_t *o = NULL;
    int r = jsontext_read(plain, NULL, &o);
    if (r != 0)
        return r;
    json_t *args = json_object_get(o, "args");
    const char *to = json_string_value(json_object_get(o, "to"));
    const char *lang = json_string_value(json_object_get(o, "lang"));
    const char *template = json_string_value(json_object_get(o, "template"));
    if (args && to && lang && template && mail_template_find(template, &ret->template) &&
        str_copy(ret->to, sizeof ret->to, to) == 0) {
        ret->lang = mail_lang(lang);
        ret->args = json_incref(args);
    } else {
        r = CLOUD_DAMAGED;
    }
    json_decref(o);
    return r;
}

/* Columns id, key_id, state, tries, created, sealed. */
static int from_row(const struct scope *s, struct db_stmt *st, struct mail_row *ret)
{
    uint8_t key[CRYPTO_KEY], plain[SEAL_PLAIN_MAX];
    size_t n = 0;
    struct mail_row m = {.state = db_int(st, 2) == MAIL_WAITING ? MAIL_WAITING : MAIL_FAILED,
                         .tries = (unsigned)db_int(st, 3),
                         .created = db_int(st, 4)};
    int r = db_fixed(st, 0, m.id, ID_LEN);
    if (r == 0)
        r = seal_key(s, db_blob(st, 1), key);
    if (r == KEYRING_ABSENT)
        return CLOUD_ABSENT;
    if (r == 0) {
        struct seal_place at = place(s, m.id);
        r = seal_get(key, &at, db_blob(st, 5), plain, sizeof plain, &n);
    }
    crypto_wipe(key, sizeof key);
    if (r == 0)
        r = decode(BYTES(plain, n), &m);
    crypto_wipe(plain, sizeof plain);
    if (r == SEAL_BAD || r == -EBADMSG || r == CLOUD_DAMAGED) {
        scope_damaged(s, "mail", BYTES(m.id, ID_LEN), PASSED_OVER);
        r = CLOUD_DAMAGED;
    }
    if (r == 0)
        *ret = m;
    return r;
}

#define COLUMNS "id, key_id, state, tries, created, sealed"

int outbox_get(const struct scope *s, const uint8_t id[ID_LEN], struct mail_row *ret)
{
    struct db_stmt *st;
    int r = scope_stmt(s, "SELECT " COLUMNS " FROM mail WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    r = db_step(st);
    r = r == DB_ROW ? from_row(s, st, ret) : r == 0 ? CLOUD_ABSENT : r;
    db_done(st);
    return r;
}

int outbox_message(const struct mail_row *m, const char *from, struct buf *ret_message)
{
    char id[2 * ID_LEN + 1];
    struct mail_arg args[MAIL_ARGS_MAX];
    size_t n = 0;
    const char *name;
    json_t *value;
    json_object_foreach(m->args, name, value)
    {
        if (n < ARRAY_LEN(args) && json_is_string(value))
            args[n++] = (struct mail_arg){name, json_string_value(value)};
    }
    const struct mail_message message = {.template = m->template,
                                         .lang = m->lang,
                                         .args = args,
                                         .n_args = n,
                                         .from = from,
                                         .to = m->to,
                                         .id = str_hex(m->id, ID_LEN, id),
                                         .created = m->created};
    return mail_compose(&message, ret_message);
}

/* ---- what became of it ---- */

int outbox_sent(struct cloud *c, struct db *db, const struct mail_due *m)
{
    struct db_stmt *s;
    int r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = db_stmt(db, "DELETE FROM mail WHERE tenant_id = ?1 AND id = ?2", &s);
    if (r == 0) {
        db_bind_text(s, 1, m->tenant);
        db_bind_blob(s, 2, BYTES(m->id, ID_LEN));
        r = db_must(s);
    }
    return cloud_end(c, db, r);
}

int outbox_put_off(struct cloud *c, struct db *db, const struct mail_due *m, int64_t due, enum mail_state state)
{
    struct db_stmt *s;
    int r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = db_stmt(db, "UPDATE mail SET state = ?3, due = ?4, tries = tries + 1 WHERE tenant_id = ?1 AND id = ?2", &s);
    if (r == 0) {
        db_bind_text(s, 1, m->tenant);
        db_bind_blob(s, 2, BYTES(m->id, ID_LEN));
        db_bind_int(s, 3, state);
        db_bind_int(s, 4, due);
        r = db_must(s);
    }
    return cloud_end(c, db, r);
}

int outbox_sweep(struct cloud *c, struct db *db, int64_t now)
{
    struct db_stmt *s;
    int r = db_stmt(db, "SELECT 1 FROM mail WHERE state = 1 AND created < ?1 LIMIT 1", &s);
    if (r != 0)
        return r;
    db_bind_int(s, 1, now - MAIL_KEPT_US);
    r = db_step(s);
    db_done(s);
    if (r != DB_ROW)
        return r;
    r = cloud_begin(c, db);
    if (r != 0)
        return r;
    r = db_stmt(db, "DELETE FROM mail WHERE state = 1 AND created < ?1", &s);
    if (r == 0) {
        db_bind_int(s, 1, now - MAIL_KEPT_US);
        r = db_must(s);
    }
    return cloud_end(c, db, r);
}

/* ---- looking ---- */

static json_t *row_json(const struct mail_row *m)
{
    char id[2 * ID_LEN + 1], created[32];
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:s}", "id", str_hex(m->id, ID_LEN, id), "template",
                     mail_template_name(m->template), "to", m->to, "created", str_time(m->created, created), "tries",
                     (int)m->tries, "state", m->state == MAIL_WAITING ? "waiting" : "failed");
}

int outbox_of(const struct scope *s, const uint8_t key[KEY_ID_LEN], json_t **ret_items)
{
    struct db_stmt *st;
    json_t *items = json_array();
    int r =
        scope_stmt(s, "SELECT " COLUMNS " FROM mail WHERE tenant_id = ?1 AND key_id = ?2 ORDER BY created, id", &st);
    if (r == 0) {
        db_bind_blob(st, 2, BYTES(key, KEY_ID_LEN));
        while ((r = db_step(st)) == DB_ROW) {
            struct mail_row m = {0};
            r = from_row(s, st, &m);
            if (r == 0)
                whole_append(&items, row_json(&m));
            mail_row_done(&m);
            if (r < 0)
                break;
        }
        db_done(st);
    }
    if (r == 0 && !items)
        r = -ENOMEM;
    if (r == 0)
        *ret_items = items;
    else
        json_decref(items);
    return r;
}

int outbox_counts(struct db *db, uint64_t *ret_waiting, uint64_t *ret_failed)
{
    struct db_stmt *s;
    uint64_t n[2] = {0};
    int r = db_stmt(db, "SELECT state, count(*) FROM mail GROUP BY state", &s);
    if (r != 0)
        return r;
    while ((r = db_step(s)) == DB_ROW)
        n[db_int(s, 0) == MAIL_WAITING ? 0 : 1] += (uint64_t)db_int(s, 1);
    db_done(s);
    if (r == 0) {
        *ret_waiting = n[0];
        *ret_failed = n[1];
    }
    return r;
}
