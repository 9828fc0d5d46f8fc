/* Verifying an exported trail; see audit_check.h. */
#include "cloud/audit_check.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cloud/jsontext.h"

#define DEPTH_MAX 8

struct audit_check {
    uint8_t point[CRYPTO_POINT];
    const struct checkpoint *newer;
    uint64_t line;
    bool begun;
    char tenant[TENANT_MAX + 1];
    uint64_t from, to, seq; /* seq: of the last event taken */
    uint8_t head[CRYPTO_HASH];
    bool has_last;
    struct checkpoint last;
    size_t n_damaged;
    uint64_t damaged[AUDIT_DAMAGED_NAMED];
    struct buf why;
};

static PRINTF_LIKE(2, 3) int wrong(struct audit_check *k, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_reset(&k->why);
    buf_addf(&k->why, "line %llu: %s", (unsigned long long)k->line, text);
    return AUDIT_WRONG;
}

int audit_check_new(const uint8_t point[CRYPTO_POINT], const struct checkpoint *newer, struct audit_check **ret_check)
{
    struct audit_check *k = calloc(1, sizeof *k);
    if (k == NULL)
        return -ENOMEM;
    memcpy(k->point, point, CRYPTO_POINT);
    k->newer = newer;
    buf_init(&k->why, 1024);
    *ret_check = k;
    return 0;
}

void audit_check_free(struct audit_check *k)
{
    if (k == NULL)
        return;
    buf_done(&k->why);
    free(k);
}

const char *audit_check_why(struct audit_check *k)
{
    return buf_str(&k->why);
}

void audit_check_proof(const struct audit_check *k, struct audit_proof *ret)
{
    struct audit_proof p = {.from = k->from, .n_damaged = k->n_damaged, .damaged = k->damaged};
    memcpy(p.tenant, k->tenant, sizeof p.tenant);
    if (k->has_last) {
        p.seq = k->last.seq;
        p.time = k->last.time;
        p.epoch = k->last.epoch;
    }
    *ret = p;
}

/* ---- members ---- */

static bool hex_of(const json_t *o, const char *name, void *ret, size_t n)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s != NULL && str_unhex(s, ret, n) == 0;
}

static bool number_of(const json_t *o, const char *name, uint64_t *ret)
{
    const json_t *v = json_object_get(o, name);
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return false;
    *ret = (uint64_t)json_integer_value(v);
    return true;
}

/* ---- the first line ---- */

static int take_header(struct audit_check *k, const json_t *o)
{
    static const char *const foreign = "this is not the first line of a trail that this program knows";
    const json_t *format = json_object_get(o, "format");
    const char *name = json_string_value(json_object_get(format, "name"));
    const char *tenant = json_string_value(json_object_get(o, "tenant"));
    uint8_t genesis[CRYPTO_HASH];
    uint64_t version = 0;
    if (name == NULL || strcmp(name, "punchline-audit") != 0 || !number_of(format, "version", &version) || version != 1)
        return wrong(k, "%s", foreign);
    if (tenant == NULL || !audit_form_plain(tenant) || str_copy(k->tenant, sizeof k->tenant, tenant) != 0 ||
        !number_of(o, "from", &k->from) || k->from == 0 || !number_of(o, "to", &k->to) ||
        !hex_of(o, "head", k->head, sizeof k->head))
        return wrong(k, "%s", foreign);
    k->seq = k->from - 1;
    k->begun = true;
    int r = audit_form_genesis(k->tenant, genesis);
    if (r == 0 && k->from == 1 && memcmp(genesis, k->head, sizeof genesis) != 0)
        r = wrong(k, "the head before event 1 is not that of %s's trail", k->tenant);
    return r;
}

/* ---- an event ---- */

static int read_whose(struct audit_check *k, const json_t *list, uint64_t seq, struct audit_parts *p)
{
    uint8_t salt[AUDIT_SALT], person[ID_LEN];
    size_t i;
    const json_t *v;
    int r = 0;
    if (!json_is_array(list) || json_array_size(list) > AUDIT_SUBJECTS)
        return wrong(k, "event %llu: \"whose\" is no list of at most %d", (unsigned long long)seq, AUDIT_SUBJECTS);
    p->n_whose = json_array_size(list);
    json_array_foreach(list, i, v)
    {
        if (hex_of(v, "tag", p->whose[i], AUDIT_TAG))
            continue;
        if (!hex_of(v, "person", person, ID_LEN) || !hex_of(v, "salt", salt, AUDIT_SALT))
            return wrong(k, "event %llu: whose[%zu] is neither a tag nor person and salt", (unsigned long long)seq, i);
        if ((r = audit_form_tag(salt, person, p->whose[i])) != 0)
            break;
    }
    return r;
}

static int commit_text(const uint8_t salt[AUDIT_SALT], const char *text, size_t n, uint8_t ret[CRYPTO_HASH])
{
    struct buf b;
    buf_init(&b, AUDIT_SALT + AUDIT_LINE_MAX);
    int r = buf_add(&b, salt, AUDIT_SALT);
    if (r == 0)
        r = buf_add(&b, text, n);
    if (r == 0)
        r = audit_form_commit(buf_bytes(&b), ret);
    buf_done(&b);
    return r;
}

static int read_details(struct audit_check *k, const json_t *list, uint64_t seq, struct audit_parts *p)
{
    uint8_t salt[AUDIT_SALT];
    size_t i;
    const json_t *v;
    int r = 0;
    if (!json_is_array(list) || json_array_size(list) > AUDIT_DETAILS)
        return wrong(k, "event %llu: \"details\" is no list of at most %d", (unsigned long long)seq, AUDIT_DETAILS);
    p->n_details = json_array_size(list);
    json_array_foreach(list, i, v)
    {
        const json_t *text = json_object_get(v, "text");
        if (hex_of(v, "commitment", p->details[i], CRYPTO_HASH))
            continue;
        if (!json_is_string(text) || !hex_of(v, "salt", salt, AUDIT_SALT))
            return wrong(k, "event %llu: details[%zu] is neither a commitment nor salt and text",
                         (unsigned long long)seq, i);
        if ((r = commit_text(salt, json_string_value(text), json_string_length(text), p->details[i])) != 0)
            break;
    }
    return r;
}

static int in_order(struct audit_check *k, uint64_t seq)
{
    unsigned long long next = (unsigned long long)k->seq + 1, got = (unsigned long long)seq;
    if (got > next)
        return wrong(k, "event %llu stands here, event %llu is missing: dropped, or moved elsewhere", got, next);
    if (got < next)
        return wrong(k, "event %llu stands here a second time, or out of its order; event %llu is due", got, next);
    return seq > k->to ? wrong(k, "event %llu is beyond the last that the first line announces", got) : 0;
}

/* Where a checkpoint from elsewhere has its place. */
static int meet_newer(struct audit_check *k)
{
    const struct checkpoint *n = k->newer;
    if (n == NULL || n->seq != k->seq)
        return 0;
    if (strcmp(n->tenant, k->tenant) != 0)
        return wrong(k, "the checkpoint given is of %s, this trail of %s", n->tenant, k->tenant);
    if (memcmp(n->head, k->head, sizeof n->head) != 0)
        return wrong(k, "the checkpoint given says otherwise about the events up to %llu: one of them was changed",
                     (unsigned long long)k->seq);
    if (!k->has_last || k->last.seq <= n->seq) {
        k->last = *n;
        k->has_last = true;
    }
    return 0;
}

/* The text that its leaf was made of; the caller frees it. */
static int core_text(struct audit_check *k, const json_t *core, uint64_t *ret_seq, char **ret_text)
{
    if (!json_is_object(core) || !number_of(core, "seq", ret_seq))
        return wrong(k, "neither an event nor a checkpoint");
    *ret_text = json_dumps(core, JSON_COMPACT | JSON_SORT_KEYS);
    if (*ret_text == NULL)
        return -ENOMEM;
    return strlen(*ret_text) > AUDIT_CORE_MAX
               ? wrong(k, "event %llu: its core is too long", (unsigned long long)*ret_seq)
               : 0;
}

static int take_leaf(struct audit_check *k, const json_t *o, uint64_t seq, const char *core)
{
    uint8_t leaf[CRYPTO_HASH], said[CRYPTO_HASH];
    ASSERT(core);
    struct audit_parts p = {.core = BYTES_STR(core)};
    int r = read_whose(k, json_object_get(o, "whose"), seq, &p);
    if (r == 0)
        r = read_details(k, json_object_get(o, "details"), seq, &p);
    if (r == 0)
        r = audit_form_leaf(&p, leaf);
    if (r != 0)
        return r;
    if (!hex_of(o, "leaf", said, sizeof said) || memcmp(said, leaf, sizeof leaf) != 0)
        return wrong(k, "event %llu was changed: what it shows does not give its leaf", (unsigned long long)seq);
    return audit_form_chain(k->head, leaf);
}

static int take_whole(struct audit_check *k, const json_t *o, uint64_t *ret_seq)
{
    char *core = NULL;
    int r = core_text(k, json_object_get(o, "core"), ret_seq, &core);
    if (r == 0)
        r = in_order(k, *ret_seq);
    if (r == 0)
        r = take_leaf(k, o, *ret_seq, core);
    free(core);
    return r;
}

/* Nothing but its leaf is known any more: what it said is not proven, but that it stood here is. */
static int take_damaged(struct audit_check *k, const json_t *o, uint64_t *ret_seq)
{
    uint8_t leaf[CRYPTO_HASH];
    if (!number_of(o, "seq", ret_seq))
        return wrong(k, "neither an event nor a checkpoint");
    int r = in_order(k, *ret_seq);
    if (r != 0)
        return r;
    if (!hex_of(o, "leaf", leaf, sizeof leaf))
        return wrong(k, "event %llu is lost with its leaf: nothing is proven from here to the next checkpoint",
                     (unsigned long long)*ret_seq);
    return audit_form_chain(k->head, leaf);
}

static int take_event(struct audit_check *k, const json_t *o)
{
    uint64_t seq = 0;
    bool damaged = json_is_true(json_object_get(o, "damaged")), whole = json_object_get(o, "core") != NULL;
    int r = damaged && !whole ? take_damaged(k, o, &seq) : take_whole(k, o, &seq);
    if (r != 0)
        return r;
    k->seq = seq;
    if (damaged && k->n_damaged < AUDIT_DAMAGED_NAMED)
        k->damaged[k->n_damaged] = seq;
    k->n_damaged += damaged;
    return meet_newer(k);
}

/* ---- a checkpoint ---- */

static int take_checkpoint(struct audit_check *k, const char *text)
{
    uint8_t raw[CHECKPOINT_MAX];
    struct checkpoint p;
    size_t n = 0;
    int r = str_unb64url(text, strlen(text), raw, sizeof raw, &n) != 0 ? CHECKPOINT_BAD
                                                                       : checkpoint_read(BYTES(raw, n), k->point, &p);
    if (r < 0)
        return r;
    if (r != 0)
        return wrong(k,
                     r == CHECKPOINT_BAD ? "this is no checkpoint" : "the checkpoint is not signed by the key given");
    if (strcmp(p.tenant, k->tenant) != 0)
        return wrong(k, "this checkpoint is of %s, the trail of %s", p.tenant, k->tenant);
    if (p.seq != k->seq)
        return wrong(k, "a checkpoint of event %llu stands behind event %llu: events are missing or were added",
                     (unsigned long long)p.seq, (unsigned long long)k->seq);
    if (memcmp(p.head, k->head, sizeof p.head) != 0)
        return wrong(k, "the checkpoint says otherwise about the events up to %llu: one behind event %llu was changed",
                     (unsigned long long)p.seq, (unsigned long long)(k->has_last ? k->last.seq : k->from - 1));
    k->last = p;
    k->has_last = true;
    return 0;
}

/* ---- lines ---- */

static int take(struct audit_check *k, const json_t *o)
{
    const char *checkpoint = json_string_value(json_object_get(o, "checkpoint"));
    if (k->begun)
        return checkpoint != NULL ? take_checkpoint(k, checkpoint) : take_event(k, o);
    int r = take_header(k, o);
    return r != 0 ? r : meet_newer(k);
}

int audit_check_line(struct audit_check *k, const char *line, size_t n)
{
    k->line++;
    if (n > AUDIT_LINE_MAX || jsontext_depth(BYTES(line, n)) > DEPTH_MAX)
        return wrong(k, "this is no line of a trail");
    json_t *o = NULL;
    int r = jsontext_read(BYTES(line, n), NULL, &o);
    if (r == -ENOMEM)
        return r;
    if (!json_is_object(o)) {
        json_decref(o);
        return wrong(k, k->begun ? "this is no line of a trail; was the file cut here?" : "this is no trail");
    }
    r = take(k, o);
    json_decref(o);
    return r;
}

int audit_check_end(struct audit_check *k)
{
    unsigned long long seq = (unsigned long long)k->seq;
    k->line++;
    if (!k->begun)
        return wrong(k, "the file is empty");
    if (k->seq != k->to)
        return wrong(k, "the trail ends behind event %llu, event %llu should be its last: it was cut", seq,
                     (unsigned long long)k->to);
    if (!k->has_last || k->last.seq != k->seq)
        return wrong(k, "the trail ends behind event %llu without a checkpoint: it was cut", seq);
    if (k->newer != NULL && k->newer->seq > k->seq)
        return wrong(k, "the trail ends behind event %llu, but the checkpoint given proves that there were %llu: %s",
                     seq, (unsigned long long)k->newer->seq,
                     k->newer->epoch < k->last.epoch ? "they were lost in a restore between the two" : "it was cut");
    return 0;
}

/* ---- checkpoints from elsewhere ---- */

static int parse_one(const char *text, size_t len, const uint8_t point[CRYPTO_POINT], struct checkpoint *best)
{
    uint8_t raw[CHECKPOINT_MAX];
    struct checkpoint p;
    size_t n = 0;
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r' || text[len - 1] == ' '))
        len--;
    if (str_unb64url(text, len, raw, sizeof raw, &n) != 0)
        return CHECKPOINT_BAD;
    int r = checkpoint_read(BYTES(raw, n), point, &p);
    if (r == 0 && (best->tenant[0] == '\0' || p.seq > best->seq))
        *best = p;
    return r;
}

static int parse_json(const json_t *o, const uint8_t point[CRYPTO_POINT], struct checkpoint *best)
{
    const json_t *items = json_object_get(o, "items"), *event = json_object_get(o, "data"), *v;
    const char *text = json_string_value(json_object_get(event != NULL ? event : o, "checkpoint"));
    size_t i;
    int r = text != NULL ? parse_one(text, strlen(text), point, best) : items != NULL ? 0 : CHECKPOINT_BAD;
    json_array_foreach(items, i, v)
    {
        text = json_string_value(json_object_get(v, "checkpoint"));
        r = text != NULL ? parse_one(text, strlen(text), point, best) : CHECKPOINT_BAD;
        if (r != 0)
            break;
    }
    return r;
}

int audit_check_parse(struct bytes text, const uint8_t point[CRYPTO_POINT], struct checkpoint *ret)
{
    struct checkpoint best = {0};
    int r;
    if (text.n > 0 && text.p[0] == '{') {
        json_t *o = NULL;
        r = jsontext_depth(text) > DEPTH_MAX ? -EBADMSG : jsontext_read(text, NULL, &o);
        r = r == -EBADMSG ? CHECKPOINT_BAD : r != 0 ? r : parse_json(o, point, &best);
        json_decref(o);
    } else {
        r = parse_one((const char *)text.p, text.n, point, &best);
    }
    if (r == 0 && best.tenant[0] == '\0')
        r = CHECKPOINT_BAD;
    if (r == 0)
        *ret = best;
    return r;
}
