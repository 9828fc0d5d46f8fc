/* An event before it has its place in the chain: its core as text, its details sealed; see audit_impl.h. */
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/clock.h"
#include "base/str.h"
#include "cloud/audit_impl.h"
#include "cloud/people.h"
#include "wire/cbor.h"

#define FIELDS_MAX 10
#define TEXT_MAX 96 /* of a resource */
#define CORE_DETAIL_MAX 512
#define DETAIL_UNIT 64
#define CHUNK 4096 /* of a detail: what one seal holds */
#define CHUNKS_MAX (AUDIT_DETAIL_MAX / CHUNK + 1)
#define SEALED_MAX ((size_t)AUDIT_DETAILS * (AUDIT_DETAIL_MAX + CHUNKS_MAX * 128))
_Static_assert(CHUNK <= SEAL_PLAIN_MAX, "a seal holds it");

void audit_raw_done(struct audit_raw *w)
{
    buf_done(&w->core);
    buf_done(&w->sealed);
}

size_t audit_raw_parts(const struct audit_event *e)
{
    return e->n_subjects == 0 ? 1 : (e->n_subjects + AUDIT_SUBJECTS - 1) / AUDIT_SUBJECTS;
}

/* ---- the core ---- */

static int add_chunk(const char *p, size_t n, void *arg)
{
    return buf_add(arg, p, n) < 0 ? -1 : 0;
}

static void put_text(struct buf *b, const char *s)
{
    char cut[TEXT_MAX + 1];
    snprintf(cut, sizeof cut, "%s", s);
    json_t *v = audit_form_plain(cut) ? NULL : json_string(cut);
    if (v != NULL)
        json_dump_callback(v, add_chunk, b, JSON_ENCODE_ANY | JSON_COMPACT);
    else
        buf_addf(b, "\"%s\"", audit_form_plain(cut) ? cut : "?"); /* cut within a character, or not UTF-8 */
    json_decref(v);
}

static void put_hex(struct buf *b, const char *member, const void *p, size_t n)
{
    char hex[2 * ID_LEN + 1];
    buf_addf(b, "\"%s\":\"%s\"", member, str_hex(p, n, hex));
}

static const char *class_name(enum who_class c)
{
    static const char *const names[] = {[WHO_NOBODY] = "nobody",
                                        [WHO_SYSTEM] = "system",
                                        [WHO_OPERATOR] = "operator",
                                        [WHO_BOOTSTRAP] = "bootstrap",
                                        [WHO_ACCOUNT] = "account"};
    return (size_t)c < ARRAY_LEN(names) ? names[c] : "nobody";
}

static void put_actor(struct buf *b, const struct who *w)
{
    buf_addf(b, "{\"actor\":{");
    if (w->is == WHO_ACCOUNT) {
        put_hex(b, "account", w->account, ID_LEN);
        buf_addf(b, ",");
    }
    buf_addf(b, "\"class\":\"%s\"", class_name(w->is));
    if (w->is == WHO_ACCOUNT)
        buf_addf(b, ",\"home\":\"%s\"", w->home);
    if (w->has_session) {
        buf_addf(b, ",");
        put_hex(b, "session", w->session, ID_LEN);
    }
    if (w->has_support) {
        buf_addf(b, ",");
        put_hex(b, "support", w->support, ID_LEN);
    }
    if (w->has_token) {
        buf_addf(b, ",");
        put_hex(b, "token", w->token, TOKEN_ID_LEN);
    }
    buf_addf(b, "}");
}

/* \u is written in more than one way by more than one library. */
static bool one_way(const char *text, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++)
        if (text[i] == '\\' && text[++i] == 'u')
            return false;
    return true;
}

static void put_detail(struct buf *b, const json_t *detail)
{
    struct buf text;
    buf_init(&text, CORE_DETAIL_MAX);
    bool fits = json_dump_callback(detail, add_chunk, &text, JSON_COMPACT | JSON_SORT_KEYS) == 0 &&
                one_way((const char *)text.p, text.len);
    buf_addf(b, ",\"detail\":%s", fits ? buf_str(&text) : "\"omitted\"");
    buf_done(&text);
}

/* "name contact" as a list. */
static void put_fields(struct buf *b, const char *fields)
{
    size_t n = 0;
    buf_addf(b, ",\"fields\":[");
    while (*fields && n < FIELDS_MAX) {
        size_t len = strcspn(fields, " ");
        if (len > 0)
            buf_addf(b, "%s\"%.*s\"", n++ > 0 ? "," : "", (int)(len < 40 ? len : 40), fields);
        fields += len + strspn(fields + len, " ");
    }
    buf_addf(b, "]");
}

/* Members in the order of their names, up to "seq". */
static void write_core(struct buf *b, const struct audit_event *e, size_t part)
{
    static const char *const outcomes[] = {
        [AUDIT_DONE] = "done", [AUDIT_REFUSED] = "refused", [AUDIT_FAILED] = "failed"};
    put_actor(b, e->who);
    if (e->count > 0)
        buf_addf(b, ",\"count\":%llu", (unsigned long long)e->count);
    if (e->detail != NULL)
        put_detail(b, e->detail);
    if (e->fields != NULL)
        put_fields(b, e->fields);
    buf_addf(b, ",\"kind\":");
    put_text(b, e->kind);
    buf_addf(b, ",\"outcome\":\"%s\"", outcomes[e->outcome]);
    if (audit_raw_parts(e) > 1)
        buf_addf(b, ",\"part\":\"%zu/%zu\"", part + 1, audit_raw_parts(e));
    if (e->resource != NULL) {
        buf_addf(b, ",\"resource\":");
        put_text(b, e->resource);
    }
    if (e->route != NULL)
        buf_addf(b, ",\"route\":\"%s %s\"", e->method, e->route);
}

/* ---- details ---- */

/* What a detail is bound to, and under whose key. key_id NULL: the tenant's own. */
static int detail_key(struct keyring *ring, const uint8_t *key_id, uint8_t ret_key[CRYPTO_KEY])
{
    struct row_keys rows;
    enum key_kind kind;
    int r = key_id != NULL ? keyring_rows(ring, key_id, &kind, &rows) : keyring_tenant_rows(ring, &rows);
    if (r == 0)
        memcpy(ret_key, rows.seal, CRYPTO_KEY);
    crypto_wipe(&rows, sizeof rows);
    return r;
}

static struct seal_place detail_place(const char *tenant, const uint8_t id[ID_LEN], size_t detail, size_t chunk,
                                      uint8_t n2[2])
{
    n2[0] = (uint8_t)detail;
    n2[1] = (uint8_t)chunk;
    return (struct seal_place){.table = "audit.detail", .tenant = tenant, .key = {BYTES(id, ID_LEN), BYTES(n2, 2)}};
}

/* Appends one item of CBOR to a buffer. */
static int add_cbor_head(struct buf *b, bool array, size_t n)
{
    uint8_t head[16];
    struct cbor_w w = CBOR_W(head, sizeof head);
    if (array) {
        cbor_put_array(&w, n);
    } else {
        cbor_put_uint(&w, n);
        head[0] |= 0x40; /* major 2; the argument is coded alike (RFC 8949 section 3) */
    }
    return buf_add(b, head, w.len);
}

static int seal_chunks(const uint8_t key[CRYPTO_KEY], const char *tenant, const uint8_t id[ID_LEN], size_t detail,
                       struct bytes plain, struct buf *ret)
{
    size_t chunks = (plain.n + CHUNK - 1) / CHUNK;
    int r = add_cbor_head(ret, true, chunks);
    for (size_t i = 0; r == 0 && i < chunks; i++) {
        uint8_t n2[2];
        struct buf CLEANUP(buf_done) one;
        struct seal_place at = detail_place(tenant, id, detail, i, n2);
        size_t n = plain.n - i * CHUNK;
        buf_init(&one, CHUNK + SEAL_OVERHEAD + DETAIL_UNIT);
        r = seal_put(key, &at, BYTES(plain.p + i * CHUNK, n < CHUNK ? n : CHUNK), DETAIL_UNIT, &one);
        if (r == 0)
            r = add_cbor_head(ret, false, one.len);
        if (r == 0)
            r = buf_add(ret, one.p, one.len);
    }
    return r;
}

/* of NULL: the tenant's own. A person whose key is gone has no details any more. */
static int add_detail(struct keyring *ring, const char *tenant, const struct subject *of, json_t *o,
                      struct audit_raw *w)
{
    struct audit_raw_detail *d = &w->details[w->n_details];
    struct buf CLEANUP(buf_wipe) plain = {0};
    uint8_t salt[AUDIT_SALT], key[CRYPTO_KEY];
    if (o == NULL)
        return -ENOMEM;
    int r = detail_key(ring, of != NULL ? of->key : NULL, key);
    if (r != 0)
        return r == KEYRING_ABSENT ? 0 : r > 0 ? -EBADMSG : r;
    buf_init(&plain, AUDIT_SALT + AUDIT_DETAIL_MAX);
    r = crypto_random(salt, sizeof salt);
    if (r == 0)
        r = buf_add(&plain, salt, sizeof salt);
    if (r == 0 && json_dump_callback(o, add_chunk, &plain, JSON_COMPACT | JSON_SORT_KEYS) != 0)
        r = plain.failed ? -ENOBUFS : -EINVAL;
    if (r == 0)
        r = audit_form_commit(buf_bytes(&plain), d->commitment);
    if (r == 0)
        r = seal_chunks(key, tenant, w->id, w->n_details, buf_bytes(&plain), &w->sealed);
    crypto_wipe(key, sizeof key);
    if (r != 0)
        return r;
    d->personal = of != NULL;
    if (of != NULL)
        d->of = *of;
    w->n_details++;
    return 0;
}

static json_t *id_json(const struct subject *of)
{
    char hex[2 * ID_LEN + 1];
    return of != NULL ? json_string(str_hex(of->id, ID_LEN, hex)) : json_null();
}

/* From where: personal to who has an account here; of others it is the tenant's to know. */
static int add_address(struct keyring *ring, struct db *db, const char *tenant, const struct who *w,
                       struct audit_raw *raw)
{
    struct subject of;
    const struct subject *whose = NULL;
    int r = 0;
    if (w->address[0] == '\0')
        return 0;
    if (w->is == WHO_ACCOUNT && strcmp(w->home, tenant) == 0) {
        memcpy(of.id, w->person, ID_LEN);
        r = people_key(db, tenant, of.id, of.key);
        whose = &of;
    }
    if (r != 0)
        return r == CLOUD_ABSENT ? 0 : r;
    json_t *o = json_pack("{s:s, s:o}", "address", w->address, "person", id_json(whose));
    r = add_detail(ring, tenant, whose, o, raw);
    json_decref(o);
    return r;
}

static int add_change(struct keyring *ring, const char *tenant, const struct audit_event *e, struct audit_raw *w)
{
    const struct subject *of = e->n_subjects > 0 ? &e->subjects[0] : NULL;
    json_t *o = json_pack("{s:O*, s:O*, s:o}", "new", e->new, "old", e->old, "person", id_json(of));
    int r = add_detail(ring, tenant, of, o, w);
    json_decref(o);
    return r;
}

static int add_details(struct keyring *ring, struct db *db, const char *tenant, const struct audit_event *e,
                       struct audit_raw *w)
{
    int r = add_address(ring, db, tenant, e->who, w);
    if (r == 0 && (e->old != NULL || e->new != NULL))
        r = add_change(ring, tenant, e, w);
    struct buf body = w->sealed; /* the list's head counts what follows */
    buf_init(&w->sealed, SEALED_MAX + 16);
    if (r == 0)
        r = add_cbor_head(&w->sealed, true, w->n_details);
    if (r == 0)
        r = buf_add(&w->sealed, body.p, body.len);
    buf_done(&body);
    return r;
}

int audit_raw_make(struct keyring *ring, struct db *db, const char *tenant, const struct audit_event *e, size_t part,
                   struct audit_raw *ret)
{
    struct audit_raw *w = ret;
    size_t at = part * AUDIT_SUBJECTS;
    w->time = clock_real();
    w->n_details = 0;
    w->n_subjects = e->n_subjects - at < AUDIT_SUBJECTS ? e->n_subjects - at : AUDIT_SUBJECTS;
    if (w->n_subjects > 0)
        memcpy(w->subjects, e->subjects + at, w->n_subjects * sizeof w->subjects[0]);
    buf_init(&w->core, AUDIT_CORE_MAX - 64); /* room for number and time */
    buf_init(&w->sealed, SEALED_MAX);
    write_core(&w->core, e, part);
    int r = w->core.failed ? -ENOMEM : crypto_random(w->id, ID_LEN);
    if (r == 0)
        r = part == 0 ? add_details(ring, db, tenant, e, w) : add_cbor_head(&w->sealed, true, 0);
    if (r != 0)
        audit_raw_done(w);
    return r;
}

/* ---- opening ---- */

static int open_chunks(const uint8_t key[CRYPTO_KEY], const char *tenant, const uint8_t id[ID_LEN], size_t detail,
                       struct cbor_r *in, struct buf *ret)
{
    size_t chunks = cbor_get_array(in, 0, CHUNKS_MAX);
    int r = 0;
    for (size_t i = 0; r == 0 && i < chunks; i++) {
        uint8_t n2[2], plain[CHUNK];
        size_t n = 0;
        struct seal_place at = detail_place(tenant, id, detail, i, n2);
        struct bytes sealed = cbor_get_bytes(in, 0, CHUNK + SEAL_OVERHEAD + DETAIL_UNIT);
        r = in->bad ? -EBADMSG : seal_get(key, &at, sealed, plain, sizeof plain, &n);
        if (r == 0)
            r = buf_add(ret, plain, n);
        crypto_wipe(plain, sizeof plain);
    }
    return r == SEAL_BAD ? -EBADMSG : r;
}

int audit_raw_open(struct keyring *ring, const char *tenant, const uint8_t id[ID_LEN], struct bytes sealed,
                   size_t detail, const uint8_t *key_id, struct buf *ret)
{
    struct cbor_r in = cbor_reader(sealed);
    uint8_t key[CRYPTO_KEY];
    size_t n = cbor_get_array(&in, 0, AUDIT_DETAILS);
    for (size_t i = 0; i < detail && !in.bad; i++)
        cbor_get_any(&in);
    if (in.bad || detail >= n)
        return -EBADMSG;
    int r = detail_key(ring, key_id, key);
    if (r != 0)
        return r;
    r = open_chunks(key, tenant, id, detail, &in, ret);
    crypto_wipe(key, sizeof key);
    return r == 0 && ret->len < AUDIT_SALT ? -EBADMSG : r;
}

/* ---- for the journal ---- */

static struct seal_place journal_place(const char *tenant)
{
    return (struct seal_place){.table = "audit.journal", .tenant = tenant};
}

static void put_subject(struct cbor_w *w, const struct subject *s)
{
    uint8_t both[ID_LEN + KEY_ID_LEN];
    memcpy(both, s->id, ID_LEN);
    memcpy(both + ID_LEN, s->key, KEY_ID_LEN);
    cbor_put_bytes(w, BYTES(both, sizeof both));
}

static void get_subject(struct bytes b, struct subject *ret)
{
    memcpy(ret->id, b.p, ID_LEN);
    memcpy(ret->key, b.p + ID_LEN, KEY_ID_LEN);
}

int audit_raw_encode(struct keyring *ring, const char *tenant, const struct audit_raw *w, struct buf *ret)
{
    uint8_t plain[SEAL_PLAIN_MAX];
    struct row_keys own;
    struct buf CLEANUP(buf_done) sealed;
    struct cbor_w c = CBOR_W(plain, sizeof plain);
    struct seal_place at = journal_place(tenant);
    cbor_put_array(&c, 5);
    cbor_put_bytes(&c, BYTES(w->id, ID_LEN));
    cbor_put_int(&c, w->time);
    cbor_put_bytes(&c, buf_bytes(&w->core));
    cbor_put_array(&c, w->n_subjects);
    for (size_t i = 0; i < w->n_subjects; i++)
        put_subject(&c, &w->subjects[i]);
    cbor_put_array(&c, w->n_details);
    for (size_t i = 0; i < w->n_details; i++) {
        cbor_put_array(&c, w->details[i].personal ? 2 : 1);
        cbor_put_bytes(&c, BYTES(w->details[i].commitment, CRYPTO_HASH));
        if (w->details[i].personal)
            put_subject(&c, &w->details[i].of);
    }
    buf_init(&sealed, SEAL_PLAIN_MAX + SEAL_OVERHEAD + DETAIL_UNIT);
    int r = c.bad ? -ENOBUFS : keyring_tenant_rows(ring, &own);
    if (r == 0)
        r = seal_put(own.seal, &at, BYTES(plain, c.len), DETAIL_UNIT, &sealed);
    crypto_wipe(&own, sizeof own);
    crypto_wipe(plain, sizeof plain);
    if (r == 0)
        r = add_cbor_head(ret, true, 2);
    if (r == 0)
        r = add_cbor_head(ret, false, sealed.len);
    if (r == 0)
        r = buf_add(ret, sealed.p, sealed.len);
    if (r == 0)
        r = add_cbor_head(ret, false, w->sealed.len);
    if (r == 0)
        r = buf_add(ret, w->sealed.p, w->sealed.len);
    return r > 0 ? -EBADMSG : r;
}

static int decode_plain(struct bytes plain, struct audit_raw *w)
{
    struct cbor_r c = cbor_reader(plain);
    cbor_get_array(&c, 5, 5);
    cbor_get_fixed(&c, w->id, ID_LEN);
    w->time = cbor_get_int(&c);
    struct bytes core = cbor_get_bytes(&c, 1, AUDIT_CORE_MAX - 64);
    w->n_subjects = cbor_get_array(&c, 0, AUDIT_SUBJECTS);
    for (size_t i = 0; i < w->n_subjects && !c.bad; i++) {
        struct bytes b = cbor_get_bytes(&c, ID_LEN + KEY_ID_LEN, ID_LEN + KEY_ID_LEN);
        if (!c.bad)
            get_subject(b, &w->subjects[i]);
    }
    w->n_details = cbor_get_array(&c, 0, AUDIT_DETAILS);
    for (size_t i = 0; i < w->n_details && !c.bad; i++) {
        w->details[i].personal = cbor_get_array(&c, 1, 2) == 2;
        cbor_get_fixed(&c, w->details[i].commitment, CRYPTO_HASH);
        struct bytes b =
            w->details[i].personal ? cbor_get_bytes(&c, ID_LEN + KEY_ID_LEN, ID_LEN + KEY_ID_LEN) : BYTES_NONE;
        if (!c.bad && w->details[i].personal)
            get_subject(b, &w->details[i].of);
    }
    return cbor_done(&c) ? buf_add(&w->core, core.p, core.n) : -EBADMSG;
}

int audit_raw_decode(struct keyring *ring, const char *tenant, struct bytes in, struct audit_raw *ret)
{
    uint8_t plain[SEAL_PLAIN_MAX];
    struct row_keys own;
    size_t n = 0;
    struct cbor_r c = cbor_reader(in);
    struct seal_place at = journal_place(tenant);
    cbor_get_array(&c, 2, 2);
    struct bytes sealed = cbor_get_bytes(&c, 0, SIZE_MAX), details = cbor_get_bytes(&c, 0, SEALED_MAX + 16);
    if (!cbor_done(&c))
        return -EBADMSG;
    buf_init(&ret->core, AUDIT_CORE_MAX);
    buf_init(&ret->sealed, SEALED_MAX + 16);
    int r = keyring_tenant_rows(ring, &own);
    if (r == 0)
        r = seal_get(own.seal, &at, sealed, plain, sizeof plain, &n);
    if (r == 0)
        r = decode_plain(BYTES(plain, n), ret);
    if (r == 0)
        r = buf_add(&ret->sealed, details.p, details.n);
    crypto_wipe(&own, sizeof own);
    crypto_wipe(plain, sizeof plain);
    if (r != 0)
        audit_raw_done(ret);
    return r > 0 ? -EBADMSG : r;
}
