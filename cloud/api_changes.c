/* GET /v1/changes: what changed since a position, so that a consumer can keep a replica.
 *
 * A position is "<epoch>.<began>.<after>". After a restore the numbers begin again where the backup ended, and what a
 * consumer holds from behind that point never was: the epoch, which a restore raises, tells such a position from one of
 * ours. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cloud/api_impl.h"
#include "cloud/feed.h"

static json_t *with(const struct feed_item *item, const char *type, const char *member, json_t *value)
{
    return json_pack("{s:I, s:s, s:o}", "seq", (json_int_t)item->entry.seq, "type", type, member, value);
}

static json_t *item_json(const struct feed_item *item)
{
    const struct gateway *g = &item->gateway;
    switch (item->entry.kind) {
    case CHANGE_PUNCH:
    case CHANGE_PENDING:
        return with(item, "punch", "punch", api_punch_json(&item->punch));
    case CHANGE_PERSON:
        return with(item, "person", "person", api_person_json(&item->person));
    case CHANGE_CREDENTIAL:
        return with(item, "credential", "credential", api_credential_json(&item->credential));
    case CHANGE_GATEWAY:
        return with(item, "gateway", "gateway",
                    json_pack("{s:o, s:I, s:o}", "id", json_hex(g->gw, GW_LEN), "generation", (json_int_t)g->gen,
                              "site", problem_text(g->site)));
    case CHANGE_REMOVED:
        return with(item, "punch.removed", "id", api_punch_id(item->entry.id, (uint64_t)item->entry.number));
    case CHANGE_ERASED:
        return with(item, "person.erased", "id", json_hex(item->entry.id, ID_LEN));
    }
    return NULL;
}

static int on_item(void *arg, const struct feed_item *item)
{
    json_t *o = item_json(item);
    return o && json_array_append_new(arg, o) == 0 ? 0 : -ENOMEM;
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

/* False: the reply is made. */
static bool read_after(struct api_call *k, struct feed_pos *ret_pos)
{
    const char *s = call_query(k, "after"), *at = s;
    uint64_t epoch, began, after;
    if (!s || strcmp(s, "0") == 0)
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
    char next[80];
    if (!call_limit(k, &limit) || !read_after(k, &pos))
        return;
    json_t *items = json_array();
    int r = feed_read(k->cloud, k->db, k->tenant, limit, on_item, items, &pos, &more);
    if (r != 0) {
        json_decref(items);
        if (r == CHANGES_LOST)
            restarted(k);
        else
            call_outcome(k, r, "list of changes");
        return;
    }
    snprintf(next, sizeof next, "%llu.%lld.%lld", (unsigned long long)cloud_epoch(k->cloud), (long long)pos.began,
             (long long)pos.after);
    problem_json(k->r, 200, json_pack("{s:o, s:s, s:b}", "items", items, "next", next, "more", (int)more));
}
