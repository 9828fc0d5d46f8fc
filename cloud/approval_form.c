/* What is sealed of an approval; see approval_impl.h. Texts of a request are bytes: nobody promised that they are
 * UTF-8. */
#include "cloud/approval_impl.h"

#include <string.h>

#include "base/be.h"
#include "base/str.h"
#include "wire/cbor.h"

#define UNIT 512
#define PART (SEAL_PLAIN_MAX - 2) /* of a body: with its length a multiple of UNIT */

static struct seal_place place(const struct scope *s, const uint8_t id[ID_LEN])
{
    return (struct seal_place){.table = "approval", .tenant = s->tenant, .key = {BYTES(id, ID_LEN)}};
}

static int take_keys(const struct scope *s, const uint8_t key[ID_LEN], struct row_keys *ret)
{
    static const uint8_t nobody[ID_LEN];
    enum key_kind kind;
    int r =
        memcmp(key, nobody, ID_LEN) == 0 ? keyring_tenant_rows(s->ring, ret) : keyring_rows(s->ring, key, &kind, ret);
    return r == KEYRING_ABSENT ? CLOUD_ABSENT : r;
}

static int seal(const struct scope *s, const struct approval *a, const struct cbor_w *w, struct buf *ret)
{
    struct row_keys keys;
    struct seal_place at = place(s, a->id);
    if (w->bad)
        return CLOUD_INVALID;
    int r = take_keys(s, a->key, &keys);
    if (r == 0)
        r = seal_put(keys.seal, &at, BYTES(w->p, w->len), UNIT, ret);
    crypto_wipe(&keys, sizeof keys);
    return r;
}

static int unseal(const struct scope *s, const struct approval *a, struct bytes sealed, uint8_t plain[SEAL_PLAIN_MAX],
                  size_t *ret_n)
{
    struct row_keys keys;
    struct seal_place at = place(s, a->id);
    int r = take_keys(s, a->key, &keys);
    if (r == 0) {
        r = seal_get(keys.seal, &at, sealed, plain, SEAL_PLAIN_MAX, ret_n);
        r = r == SEAL_BAD ? CLOUD_DAMAGED : r;
    }
    crypto_wipe(&keys, sizeof keys);
    return r;
}

static int told(const struct scope *s, const struct approval *a, int r)
{
    if (r == CLOUD_DAMAGED)
        scope_damaged(s, "approval", BYTES(a->id, ID_LEN), SHOWN_DAMAGED);
    return r;
}

/* ---- the request ---- */

/* An array of one, or of none for NULL. */
static void put_text(struct cbor_w *w, const char *text, size_t *total)
{
    cbor_put_array(w, text != NULL);
    if (text == NULL)
        return;
    cbor_put_bytes(w, BYTES_STR(text));
    *total += strlen(text);
}

static void put_request(struct cbor_w *w, const struct approval_asked *q, size_t *ret_total)
{
    const char *const texts[] = {q->method, q->path, q->type, q->if_match, q->if_none_match};
    size_t total = 0;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        put_text(w, texts[i], &total);
    cbor_put_array(w, q->n_query * 2);
    for (size_t i = 0; i < q->n_query; i++) {
        put_text(w, q->query[i].name, &total);
        put_text(w, q->query[i].value, &total);
    }
    cbor_put_bytes(w, q->has_token ? BYTES(q->token, TOKEN_ID_LEN) : BYTES("", 0));
    cbor_put_uint(w, q->body.n);
    *ret_total = total;
}

int approval_seal_head(const struct scope *s, const struct approval *a, const struct approval_asked *q, struct buf *ret)
{
    uint8_t mem[SEAL_PLAIN_MAX];
    size_t total = 0;
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    if (q->n_query > APPROVAL_QUERY_MAX)
        return CLOUD_INVALID;
    cbor_put_array(&w, 10);
    cbor_put_uint(&w, 1);
    cbor_put_int(&w, a->requested);
    put_request(&w, q, &total);
    int r = total > APPROVAL_HEAD_MAX ? CLOUD_INVALID : seal(s, a, &w, ret);
    crypto_wipe(mem, sizeof mem);
    return r;
}

/* Into ret->text from *used on, NUL-terminated. Each has a byte or more before it in what was sealed, so all fit. */
static const char *get_text(struct cbor_r *c, struct approval_request *ret, size_t *used)
{
    if (cbor_get_array(c, 0, 1) == 0)
        return NULL;
    struct bytes b = cbor_get_bytes(c, 0, APPROVAL_HEAD_MAX);
    char *to = ret->text + *used;
    if (c->bad || b.n + 1 > sizeof ret->text - *used)
        return NULL;
    if (b.n > 0)
        memcpy(to, b.p, b.n);
    to[b.n] = '\0';
    *used += b.n + 1;
    return to;
}

static bool get_request(struct cbor_r *c, struct approval_request *ret)
{
    size_t used = 0;
    struct approval_asked *q = &ret->asked;
    *q = (struct approval_asked){0};
    q->method = get_text(c, ret, &used);
    q->path = get_text(c, ret, &used);
    q->type = get_text(c, ret, &used);
    q->if_match = get_text(c, ret, &used);
    q->if_none_match = get_text(c, ret, &used);
    q->n_query = cbor_get_array(c, 0, (size_t)APPROVAL_QUERY_MAX * 2) / 2;
    for (size_t i = 0; i < q->n_query; i++) {
        q->query[i].name = get_text(c, ret, &used);
        q->query[i].value = get_text(c, ret, &used);
    }
    struct bytes token = cbor_get_bytes(c, 0, TOKEN_ID_LEN);
    q->has_token = token.n == TOKEN_ID_LEN;
    if (q->has_token)
        memcpy(q->token, token.p, TOKEN_ID_LEN);
    ret->body_n = cbor_get_uint(c, SIZE_MAX);
    return cbor_done(c) && q->method != NULL && q->path != NULL;
}

int approval_open_head(const struct scope *s, struct approval *a, struct bytes sealed, struct approval_request *ret)
{
    uint8_t plain[SEAL_PLAIN_MAX];
    struct approval_request request;
    size_t n = 0;
    int r = unseal(s, a, sealed, plain, &n);
    if (r == 0) {
        struct cbor_r c = cbor_reader(BYTES(plain, n));
        cbor_get_array(&c, 10, 10);
        cbor_get_uint(&c, 1);
        int64_t requested = cbor_get_int(&c);
        if (get_request(&c, ret != NULL ? ret : &request))
            a->requested = requested;
        else
            r = CLOUD_DAMAGED;
    }
    crypto_wipe(plain, sizeof plain);
    crypto_wipe(&request, sizeof request);
    return told(s, a, r);
}

/* ---- what became of it ---- */

int approval_seal_outcome(const struct scope *s, const struct approval *a, const char *answer, struct buf *ret)
{
    uint8_t mem[APPROVAL_ANSWER_MAX + 256];
    struct cbor_w w = CBOR_W(mem, sizeof mem);
    cbor_put_array(&w, 5);
    cbor_put_uint(&w, 2);
    cbor_put_int(&w, a->requested);
    cbor_put_int(&w, a->decided);
    cbor_put_text(&w, a->location);
    cbor_put_text(&w, answer != NULL ? answer : "");
    int r = seal(s, a, &w, ret);
    crypto_wipe(mem, sizeof mem);
    return r;
}

int approval_open_outcome(const struct scope *s, struct approval *a, struct bytes sealed, struct buf *ret_answer)
{
    uint8_t plain[SEAL_PLAIN_MAX];
    size_t n = 0;
    int r = unseal(s, a, sealed, plain, &n);
    if (r == 0) {
        struct cbor_r c = cbor_reader(BYTES(plain, n));
        cbor_get_array(&c, 5, 5);
        bool good = cbor_get_uint(&c, 2) == 2;
        a->requested = cbor_get_int(&c);
        a->decided = cbor_get_int(&c);
        struct bytes location = cbor_get_text(&c, 0, APPROVAL_LOCATION_MAX - 1);
        struct bytes answer = cbor_get_text(&c, 0, APPROVAL_ANSWER_MAX);
        if (!good || !cbor_done(&c)) {
            r = CLOUD_DAMAGED;
        } else {
            memset(a->location, 0, sizeof a->location);
            if (location.n > 0)
                memcpy(a->location, location.p, location.n);
            if (ret_answer != NULL)
                r = buf_add(ret_answer, answer.p, answer.n);
        }
    }
    crypto_wipe(plain, sizeof plain);
    return told(s, a, r);
}

/* ---- the body ---- */

static struct seal_place part_place(const struct scope *s, const uint8_t id[ID_LEN], const uint8_t part[8])
{
    return (struct seal_place){
        .table = "approval_part", .tenant = s->tenant, .key = {BYTES(id, ID_LEN), BYTES(part, 8)}};
}

static int put_part(const struct scope *s, const struct approval *a, const struct row_keys *keys, uint64_t n,
                    struct bytes plain)
{
    struct db_stmt *st;
    uint8_t part[8];
    struct buf CLEANUP(buf_done) sealed;
    buf_init(&sealed, 8192);
    be_put(part, n, sizeof part);
    struct seal_place at = part_place(s, a->id, part);
    int r = seal_put(keys->seal, &at, plain, UNIT, &sealed);
    if (r == 0)
        r = scope_stmt(s, "INSERT INTO approval_part(tenant_id, id, n, sealed) VALUES(?1, ?2, ?3, ?4)", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(a->id, ID_LEN));
    db_bind_int(st, 3, (int64_t)n);
    db_bind_blob(st, 4, buf_bytes(&sealed));
    return db_must(st);
}

int approval_put_body(const struct scope *s, const struct approval *a, struct bytes body)
{
    struct row_keys keys;
    int r = take_keys(s, a->key, &keys);
    for (size_t at = 0; r == 0 && at < body.n; at += PART)
        r = put_part(s, a, &keys, at / PART, BYTES(body.p + at, body.n - at < PART ? body.n - at : PART));
    crypto_wipe(&keys, sizeof keys);
    return r;
}

static int add_part(const struct scope *s, const struct approval *a, const struct row_keys *keys, struct db_stmt *st,
                    struct buf *ret)
{
    uint8_t part[8], plain[SEAL_PLAIN_MAX];
    size_t n = 0;
    be_put(part, (uint64_t)db_int(st, 0), sizeof part);
    struct seal_place at = part_place(s, a->id, part);
    int r = seal_get(keys->seal, &at, db_blob(st, 1), plain, sizeof plain, &n);
    if (r == 0)
        r = buf_add(ret, plain, n);
    crypto_wipe(plain, sizeof plain);
    return r == SEAL_BAD ? CLOUD_DAMAGED : r;
}

int approval_body(const struct scope *s, const struct approval *a, uint64_t part, struct buf *ret)
{
    struct db_stmt *st;
    struct row_keys keys;
    bool any = false;
    int r = scope_stmt(
        s, "SELECT n, sealed FROM approval_part WHERE tenant_id = ?1 AND id = ?2 AND n >= ?3 ORDER BY n LIMIT ?4", &st);
    if (r == 0)
        r = take_keys(s, a->key, &keys);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(a->id, ID_LEN));
    db_bind_int(st, 3, (int64_t)part);
    db_bind_int(st, 4, APPROVAL_PARTS);
    while (r == 0 && (r = db_step(st)) == DB_ROW) {
        any = true;
        r = add_part(s, a, &keys, st, ret);
    }
    db_done(st);
    crypto_wipe(&keys, sizeof keys);
    return told(s, a, r == 0 && !any ? CLOUD_ABSENT : r);
}

int approval_forget_body(const struct scope *s, const uint8_t id[ID_LEN])
{
    struct db_stmt *st;
    int r = scope_stmt(s, "DELETE FROM approval_part WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(id, ID_LEN));
    return db_must(st);
}
