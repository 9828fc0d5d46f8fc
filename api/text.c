/* JSON as text, without a tree: for what is answered by the hundred, of which jansson's objects were half the work. The
 * text is what jsontext_put() would write. */
#include <string.h>

#include "api/api_impl.h"
#include "base/str.h"
#include "cloud/query.h"

void text_raw(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

/* What is not plain ASCII is jansson's to check and to escape. */
void text_string(struct buf *b, const char *s)
{
    size_t n = 0;
    while (s[n] >= 0x20 && s[n] < 0x7f && s[n] != '"' && s[n] != '\\')
        n++;
    if (s[n]) {
        jsontext_put(b, jsontext_of(s));
        return;
    }
    buf_add(b, "\"", 1);
    buf_add(b, s, n);
    buf_add(b, "\"", 1);
}

void text_int(struct buf *b, int64_t v)
{
    char digits[20];
    size_t at = sizeof digits;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        digits[--at] = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0)
        digits[--at] = '-';
    buf_add(b, digits + at, sizeof digits - at);
}

void text_hex(struct buf *b, const void *p, size_t n)
{
    char hex[2 * TEXT_HEX_MAX + 1];
    ASSERT(n <= TEXT_HEX_MAX);
    text_string(b, str_hex(p, n, hex));
}

void text_time(struct buf *b, int64_t us)
{
    char time[32];
    text_string(b, str_time(us, time));
}

const char *text_number_end(const struct cred *c, unsigned rendering, char mem[CRED_TEXT_MAX])
{
    cred_render(c, rendering, mem);
    size_t n = strlen(mem), shown = n / 2 < 4 ? n / 2 : 4;
    return mem + n - shown;
}

static void cred(struct buf *b, const struct cred *c, unsigned rendering, bool whole)
{
    char data[2 * CRED_MAX + 1], number[CRED_TEXT_MAX];
    const char *tech = tech_name(c->tech), *shown = rendering_name(rendering);
    const char *last = text_number_end(c, rendering, number);
    text_raw(b, "{\"tech\":");
    text_string(b, tech ? tech : "unknown");
    text_raw(b, ",\"bits\":");
    text_int(b, c->bits);
    if (whole) {
        text_raw(b, ",\"data\":");
        text_string(b, str_hex_upper(c->data, cred_len(c), data));
    }
    text_raw(b, whole ? ",\"number\":" : ",\"number_last4\":");
    text_string(b, whole ? number : last);
    text_raw(b, ",\"rendering\":");
    text_string(b, shown ? shown : "hex");
    text_raw(b, "}");
}

/* Whole hex ids and index: what design section 1 calls the identity of a record. */
void text_punch_id(struct buf *b, const uint8_t *segid, uint64_t index)
{
    char id[2 * SEGID_LEN + 1];
    text_raw(b, "\"");
    text_raw(b, str_hex(segid, SEGID_LEN, id));
    text_raw(b, "-");
    text_int(b, (int64_t)index);
    text_raw(b, "\"");
}

static void count_or_null(struct buf *b, bool null, uint64_t n)
{
    if (null)
        text_raw(b, "null");
    else
        text_int(b, (int64_t)n);
}

static void uncertainty(struct buf *b, uint64_t us)
{
    if (us == CK_UNBOUNDED)
        text_raw(b, "null");
    else
        text_int(b, (int64_t)us);
}

static void original_members(struct buf *b, int64_t real, uint64_t mono, uint8_t ck)
{
    static const char *const clocks[] = {"never", "rtc", "synchronised", "free"};
    unsigned state = ck_state(ck);
    text_raw(b, "{\"time\":");
    text_time(b, real);
    text_raw(b, ",\"real_us\":");
    text_int(b, real);
    text_raw(b, ",\"mono_us\":");
    text_int(b, (int64_t)mono);
    text_raw(b, ",\"clock\":");
    text_string(b, state < ARRAY_LEN(clocks) ? clocks[state] : "never");
    text_raw(b, ",\"uncertainty_us\":");
    uncertainty(b, ck_uncertainty(ck));
}

static void original(struct buf *b, int64_t real, uint64_t mono, uint8_t ck)
{
    original_members(b, real, mono, ck);
    text_raw(b, "}");
}

/* An original, and what else is known of a repeat, left open. */
static void repeat(struct buf *b, const struct punch_repeat *p)
{
    original_members(b, p->real, p->mono, p->ck);
    text_raw(b, ",\"gseq\":");
    text_int(b, (int64_t)p->gseq);
    text_raw(b, ",\"received\":");
    text_time(b, p->received);
}

/* The first repeat; further ones, of a gateway that lost power again, in "others". */
static void repeats(struct buf *b, const struct punch_row *p)
{
    if (p->n_repeats == 0) {
        text_raw(b, "null");
        return;
    }
    repeat(b, &p->repeats[0]);
    text_raw(b, ",\"others\":[");
    for (size_t i = 1; i < p->n_repeats; i++) {
        text_raw(b, i > 1 ? "," : "");
        repeat(b, &p->repeats[i]);
        text_raw(b, "}");
    }
    text_raw(b, "]}");
}

static void person(struct buf *b, const struct punch_row *p)
{
    if (!p->has_person) {
        text_raw(b, "null");
        return;
    }
    text_raw(b, "{\"id\":");
    text_hex(b, p->person, ID_LEN);
    text_raw(b, ",\"name\":");
    if (p->person_name[0])
        text_string(b, p->person_name);
    else
        text_raw(b, "null"); /* damaged */
    text_raw(b, "}");
}

static const char *state_text(enum punch_state s)
{
    return s == PUNCH_ASSIGNED ? "assigned" : s == PUNCH_UNASSIGNED ? "unassigned" : "pending";
}

/* With what, where: nobody knows of one that was added. */
static void no_reader(struct buf *b, const struct punch_row *p)
{
    text_raw(b, ",\"credential\":null,\"gateway\":null,\"site\":");
    if (p->site[0])
        text_string(b, p->site);
    else
        text_raw(b, "null");
    text_raw(b, ",\"reader\":null");
}

static void reader(struct buf *b, const struct punch_row *p, bool whole)
{
    text_raw(b, ",\"credential\":");
    cred(b, &p->cred, p->rendering, whole);
    text_raw(b, ",\"gateway\":");
    text_hex(b, p->gw, GW_LEN);
    text_raw(b, ",\"site\":");
    text_string(b, p->site);
    text_raw(b, ",\"reader\":");
    text_string(b, p->reader);
}

/* Who, with what, where. */
static void punch_head(struct buf *b, const struct punch_row *p, bool whole)
{
    const char *dir = dir_name(p->dir != DIR_UNKNOWN ? p->dir : p->by_reader);
    text_raw(b, "{\"id\":");
    text_punch_id(b, p->segid, p->index);
    text_raw(b, ",\"state\":");
    text_string(b, state_text(p->state));
    text_raw(b, ",\"person\":");
    person(b, p);
    if (p->added)
        no_reader(b, p);
    else
        reader(b, p, whole);
    text_raw(b, ",\"direction\":");
    text_string(b, dir ? dir : "unknown");
    text_raw(b, ",\"gseq\":");
    count_or_null(b, p->added, p->gseq);
    text_raw(b, ",\"generation\":");
    count_or_null(b, p->added, p->gen);
    text_raw(b, ",\"function\":");
    if (p->dir >= 16)
        text_int(b, p->dir - 16);
    else
        text_raw(b, "null");
}

static void correction(struct buf *b, const struct punch_correction *c)
{
    const char *dir = dir_name(c->dir);
    if (!c->is) {
        text_raw(b, "null");
        return;
    }
    text_raw(b, "{\"id\":");
    text_hex(b, c->id, ID_LEN);
    text_raw(b, c->voids ? ",\"void\":true,\"time\":" : ",\"void\":false,\"time\":");
    if (c->has_time)
        text_time(b, c->time);
    else
        text_raw(b, "null");
    text_raw(b, ",\"direction\":");
    if (c->has_dir)
        text_string(b, dir ? dir : "unknown");
    else
        text_raw(b, "null");
    text_raw(b, "}");
}

void text_punch(struct buf *b, const struct punch_row *p, bool whole)
{
    punch_head(b, p, whole);
    text_raw(b, ",\"time\":");
    if (p->state == PUNCH_PENDING) {
        text_raw(b, "null,\"uncertainty_us\":null");
    } else {
        text_time(b, p->time);
        text_raw(b, ",\"uncertainty_us\":");
        uncertainty(b, p->added ? CK_UNBOUNDED : p->uncertainty);
    }
    text_raw(b, p->estimated ? ",\"estimated\":true" : ",\"estimated\":false");
    text_raw(b, p->impossible ? ",\"impossible\":true" : ",\"impossible\":false");
    text_raw(b, p->added ? ",\"added\":true" : ",\"added\":false");
    text_raw(b, ",\"original\":");
    if (p->added)
        text_raw(b, "null");
    else
        original(b, p->real, p->mono, p->ck);
    text_raw(b, ",\"repeat\":");
    repeats(b, p);
    text_raw(b, ",\"received\":");
    text_time(b, p->received);
    text_raw(b, ",\"correction\":");
    correction(b, &p->correction);
    text_raw(b, "}");
}

/* ---- the same as trees, where a tree is needed ---- */

static json_t *tree(struct buf *b)
{
    json_t *o = b->failed ? NULL : json_loadb((const char *)b->p, b->len, JSON_DECODE_ANY, NULL);
    buf_wipe(b);
    return o;
}

json_t *api_punch_id(const uint8_t *segid, uint64_t index)
{
    struct buf b;
    buf_init(&b, 128);
    text_punch_id(&b, segid, index);
    return tree(&b);
}

json_t *api_original_json(int64_t real, uint64_t mono, uint8_t ck)
{
    struct buf b;
    buf_init(&b, 512);
    original(&b, real, mono, ck);
    return tree(&b);
}
