/* GET /v1/changes: what changed since a position, so that a consumer can keep a replica.
 *
 * A position is "<epoch>.<began>.<after>". After a restore the numbers begin again where the backup ended, and what a
 * consumer holds from behind that point never was: the epoch, which a restore raises, tells such a position from one of
 * ours. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_impl.h"
#include "base/str.h"
#include "cloud/feed.h"

struct page {
    struct buf *body;
    bool begun; /* an item stands before */
    struct shown shown;
};

static json_t *gateway_json(const struct gateway *g)
{
    return json_pack("{s:o, s:I, s:o}", "id", json_hex(g->gw, GW_LEN), "generation", (json_int_t)g->gen, "site",
                     jsontext_of(g->site));
}

/* The consumer keeps what it has of it. */
static void write_damaged(struct buf *b, const char *what, const uint8_t id[ID_LEN])
{
    text_raw(b, "\"damaged\",\"what\":\"");
    text_raw(b, what);
    text_raw(b, "\",\"id\":");
    text_hex(b, id, ID_LEN);
}

static void write_change(struct buf *b, const struct feed_item *item)
{
    if (item->person.damaged) {
        write_damaged(b, "person", item->person.id);
        return;
    }
    if (item->credential.damaged) {
        write_damaged(b, "credential", item->credential.id);
        return;
    }
    if (item->correction.damaged) {
        write_damaged(b, "correction", item->correction.id);
        return;
    }
    if (item->reader.damaged) {
        write_damaged(b, "reader", item->reader.id);
        return;
    }
    switch (item->entry.kind) {
    case CHANGE_PUNCH:
    case CHANGE_PENDING:
    case CHANGE_ADDED:
        text_raw(b, "\"punch\",\"punch\":");
        text_punch(b, &item->punch, false);
        break;
    case CHANGE_PERSON:
        text_raw(b, "\"person\",\"person\":");
        jsontext_put(b, api_person_json(&item->person));
        break;
    case CHANGE_CREDENTIAL:
        text_raw(b, "\"credential\",\"credential\":");
        jsontext_put(b, api_credential_json(&item->credential));
        break;
    case CHANGE_CORRECTION:
        text_raw(b, "\"correction\",\"correction\":");
        jsontext_put(b, api_correction_json(&item->correction, item->corrected.id));
        break;
    case CHANGE_GATEWAY:
        text_raw(b, "\"gateway\",\"gateway\":");
        jsontext_put(b, gateway_json(&item->gateway));
        break;
    case CHANGE_READER:
        text_raw(b, "\"reader\",\"reader\":");
        jsontext_put(b, api_reader_json(&item->reader));
        break;
    case CHANGE_REMOVED:
        text_raw(b, "\"punch.removed\",\"id\":");
        text_punch_id(b, item->entry.id, (uint64_t)item->entry.number);
        break;
    case CHANGE_ERASED:
        text_raw(b, "\"person.erased\",\"id\":");
        text_hex(b, item->entry.id, ID_LEN);
        break;
    }
}

void change_shown(struct shown *s, const struct feed_item *item)
{
    const uint8_t *of = item->entry.kind == CHANGE_PERSON                                    ? item->person.id
                        : item->entry.kind == CHANGE_CORRECTION                              ? item->corrected.id
                        : item->entry.kind == CHANGE_CREDENTIAL && !item->credential.damaged ? item->credential.person
                        : item->punch.has_person                                             ? item->punch.person
                                                                                             : NULL;
    if (of)
        shown_add(s, of, NULL);
}

void text_change(struct buf *b, const struct feed_item *item)
{
    text_raw(b, "{\"seq\":");
    text_int(b, item->entry.seq);
    text_raw(b, ",\"type\":");
    write_change(b, item);
    text_raw(b, "}");
}

static int on_item(void *arg, const struct feed_item *item)
{
    struct page *p = arg;
    change_shown(&p->shown, item);
    text_raw(p->body, p->begun ? "," : "");
    text_change(p->body, item);
    p->begun = true;
    return p->body->failed ? -ENOMEM : 0;
}

static void restarted(struct api_call *k)
{
    problem_reply(
        k->r, PROBLEM_FEED_RESTARTED,
        "the store was set back, or somebody was erased whose punches changed hands since this position; empty "
        "the replica and begin with after=0");
}

/* One number up to `end`, which is passed over. */
static bool read_number(const char **at, char end, uint64_t *ret)
{
    char text[24] = "";
    size_t n = strcspn(*at, ".");
    if (n >= sizeof text || (*at)[n] != end)
        return false;
    memcpy(text, *at, n);
    *at += end == '\0' ? n : n + 1;
    return str_u64(text, 0, INT64_MAX, ret) == 0;
}

void position_text(const struct api_call *k, const struct feed_pos *pos, char ret[POSITION_TEXT])
{
    snprintf(ret, POSITION_TEXT, "%llu.%lld.%lld", (unsigned long long)cloud_epoch(k->cloud), (long long)pos->began,
             (long long)pos->after);
}

bool call_position(struct api_call *k, const char *s, struct feed_pos *ret_pos)
{
    const char *at = s;
    uint64_t epoch, began, after;
    if (strcmp(s, "0") == 0)
        return true;
    if (!read_number(&at, '.', &epoch) || !read_number(&at, '.', &began) || !read_number(&at, '\0', &after)) {
        problem_reply(k->r, PROBLEM_BAD_PARAMETER, "after is \"%.60s\"; send what `next` said, or 0 for everything", s);
        return false;
    }
    if (epoch != cloud_epoch(k->cloud)) {
        restarted(k);
        return false;
    }
    *ret_pos = (struct feed_pos){.began = (int64_t)began, .after = (int64_t)after};
    return true;
}

void api_changes_list(struct api_call *k)
{
    struct feed_pos pos = {0};
    size_t limit = 0;
    bool more = false;
    char next[POSITION_TEXT];
    const char *after = call_query(k, "after");
    if (!call_limit(k, &limit) || (after && !call_position(k, after, &pos)))
        return;
    struct page page = {.body = &k->r->body};
    text_raw(page.body, "{\"items\":[");
    int r = feed_read(k->cloud, k->db, k->tenant, limit, on_item, &page, &pos, &more);
    if (r != 0) {
        free(page.shown.items);
        if (r == CHANGES_LOST)
            restarted(k);
        else
            call_outcome(k, r, "list of changes");
        return;
    }
    if (!call_saw_those(k, "person credential punch correction", &page.shown))
        return;
    position_text(k, &pos, next);
    text_raw(page.body, "],\"next\":");
    text_string(page.body, next);
    text_raw(page.body, more ? ",\"more\":true}\n" : ",\"more\":false}\n");
    k->r->status = 200;
    k->r->type = "application/json";
}
