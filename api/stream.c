/* GET /v1/stream: the changes feed as it grows, as events (text/event-stream of the HTML standard, 9.2).
 *
 * Each event has its position in the feed as its id, so that a client that comes back with Last-Event-ID misses none
 * and sees none twice. Before each piece everything is asked anew: who it is, what he may, how far that reaches. What
 * he may not see is left out; a client without right any more gets an event `end` with the reason, and the stream ends.
 * What a piece shows of people is on record before it leaves. */
#include <stdlib.h>
#include <string.h>

#include "api/api_impl.h"
#include "cloud/feed.h"
#include "cloud/people.h"

#define BATCH 100
#define EVENTS_TEXT_MAX (1u << 20)

struct stream {
    struct api *api;
    struct cloud *cloud;
    const struct api_route *route;
    struct http_request q; /* who asks; the strings are ours */
    char *texts[6];
    struct feed_pos pos;
    bool begun, ended;
};

static void stream_free(void *arg)
{
    struct stream *s = arg;
    for (size_t i = 0; i < ARRAY_LEN(s->texts); i++) {
        if (s->texts[i])
            crypto_wipe(s->texts[i], strlen(s->texts[i]));
        free(s->texts[i]);
    }
    free(s);
}

/* What api_authorised() looks at, for as long as the stream lives. */
static bool copy_request(struct stream *s, const struct http_request *q)
{
    const char *const from[] = {q->authorization, q->cookie, q->tenant, q->address, q->user_agent, q->path};
    for (size_t i = 0; i < ARRAY_LEN(from); i++)
        if (from[i] && !(s->texts[i] = strdup(from[i])))
            return false;
    s->q = (struct http_request){
        .method = "GET",
        .path = s->texts[5],
        .authorization = s->texts[0],
        .cookie = s->texts[1],
        .tenant = s->texts[2],
        .address = s->texts[3],
        .user_agent = s->texts[4],
    };
    return true;
}

/* ---- what may be seen ---- */

static bool reaches_person_id(struct api_call *k, const uint8_t id[ID_LEN])
{
    struct person p;
    int r = call_sure(k, people_get(k->cloud, k->db, k->tenant, id, &p));
    bool yes = (r == 0 || r == CLOUD_DAMAGED) && call_reaches_person(k, k->route->perm, &p);
    crypto_wipe(&p, sizeof p);
    return yes;
}

static bool may_see(struct api_call *k, const struct feed_item *item)
{
    if (call_everywhere(k, k->route->perm))
        return true;
    switch (item->entry.kind) {
    case CHANGE_PUNCH:
    case CHANGE_PENDING:
    case CHANGE_ADDED:
        return (item->punch.has_site && call_reaches_site(k, k->route->perm, item->punch.site_id)) ||
               (item->punch.has_person && reaches_person_id(k, item->punch.person));
    case CHANGE_PERSON:
        return call_reaches_person(k, k->route->perm, &item->person);
    case CHANGE_CORRECTION:
        return call_reaches_person(k, k->route->perm, &item->corrected);
    case CHANGE_CREDENTIAL:
        return !item->credential.damaged && reaches_person_id(k, item->credential.person);
    case CHANGE_GATEWAY:
        return call_reaches_site(k, k->route->perm, item->gateway.site_id);
    case CHANGE_READER:
        return call_reaches_site(k, k->route->perm, item->reader.site_id);
    case CHANGE_REMOVED: /* ids alone, which say nothing to who has not seen what they name */
    case CHANGE_ERASED:
        return true;
    }
    return false;
}

/* ---- a piece ---- */

struct piece {
    struct api_call *k;
    struct buf text; /* the events' data, one behind the other */
    size_t n;
    struct {
        int64_t seq;
        size_t end; /* in text */
    } events[BATCH];
    struct shown shown;
};

static int on_item(void *arg, const struct feed_item *item)
{
    struct piece *p = arg;
    if (!may_see(p->k, item))
        return 0;
    change_shown(&p->shown, item);
    text_change(&p->text, item);
    p->events[p->n].seq = item->entry.seq;
    p->events[p->n++].end = p->text.len;
    return p->text.failed ? -ENOMEM : 0;
}

static void write_id(const struct api_call *k, const struct feed_pos *pos, struct buf *out)
{
    char id[POSITION_TEXT];
    position_text(k, pos, id);
    buf_addf(out, "id: %s\n", id);
}

static void write_events(const struct piece *p, int64_t began, struct buf *out)
{
    size_t at = 0;
    for (size_t i = 0; i < p->n; i++) {
        write_id(p->k, &(struct feed_pos){.began = began, .after = p->events[i].seq}, out);
        text_raw(out, "event: change\ndata: ");
        buf_add(out, p->text.p + at, p->events[i].end - at);
        text_raw(out, "\n\n");
        at = p->events[i].end;
    }
}

/* The slug of the problem that would answer such a request now. */
static int end(struct stream *s, const struct http_reply *why, struct buf *out)
{
    json_t *problem = json_loadb((const char *)why->body.p, why->body.len, 0, NULL);
    const char *type = json_string_value(json_object_get(problem, "type")), *slug = type ? strrchr(type, ':') : NULL;
    buf_addf(out, "event: end\ndata: {\"reason\":\"%s\"}\n\n", slug ? slug + 1 : "internal");
    json_decref(problem);
    s->ended = true;
    return out->failed ? -ENOMEM : HTTP_LAST;
}

static int read_feed(struct stream *s, struct api_call *k, struct piece *p, struct buf *out)
{
    bool more = false;
    struct feed_pos pos = s->pos;
    int r = feed_read(k->cloud, k->db, k->tenant, BATCH, on_item, p, &pos, &more);
    if (r == CHANGES_LOST) {
        problem_reply(k->r, PROBLEM_FEED_RESTARTED, "begin again with after=0");
        return end(s, k->r, out);
    }
    if (r != 0 || *k->unsure != 0)
        return r < 0 ? r : -EIO;
    if ((p->shown.n > 0 || p->shown.failed) && !call_saw_those(k, "person credential punch correction", &p->shown))
        return -EIO; /* nothing is shown that is not on record; the client comes back with its last id */
    write_events(p, pos.began, out);
    if (!s->begun || (p->n == 0 && pos.after != s->pos.after)) { /* where to come back to */
        write_id(k, &pos, out);
        text_raw(out, "\n");
    }
    s->begun = true;
    s->pos = pos;
    return out->failed ? -ENOMEM : more ? 0 : HTTP_LATER;
}

static int fill(struct stream *s, struct api_call *k, struct buf *out)
{
    struct piece *p = calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    p->k = k;
    buf_init(&p->text, EVENTS_TEXT_MAX);
    int r = 0;
    if (api_authorised(k)) {
        r = read_feed(s, k, p, out);
    } else {
        api_refused(k);
        r = end(s, k->r, out);
    }
    buf_wipe(&p->text);
    free(p->shown.items);
    free(p);
    return r;
}

static int more(void *arg, struct buf *out)
{
    struct stream *s = arg;
    struct http_reply scratch = {0};
    int unsure = 0;
    struct api_call k = {.api = s->api,
                         .cloud = s->cloud,
                         .q = &s->q,
                         .r = &scratch,
                         .route = s->route,
                         .unsure = &unsure,
                         .watching = true};
    if (s->ended)
        return HTTP_LAST;
    int r = cloud_db_take(s->cloud, &k.db);
    if (r != 0)
        return r < 0 ? r : -EIO;
    buf_init(&scratch.body, HTTP_REPLY_MAX);
    r = fill(s, &k, out);
    buf_wipe(&scratch.body);
    cloud_db_give(s->cloud, k.db);
    return r;
}

/* ---- its beginning ---- */

/* Last-Event-ID is what a browser sends when it comes back, with the address it was first given. */
static bool begin_at(struct api_call *k, struct feed_pos *ret_pos)
{
    const char *at = k->q->last_event_id && *k->q->last_event_id ? k->q->last_event_id : call_query(k, "after");
    if (at)
        return call_position(k, at, ret_pos);
    int r = feed_now(k->cloud, k->db, k->tenant, ret_pos);
    if (r != 0)
        call_outcome(k, r, "stream");
    return r == 0;
}

void api_stream(struct api_call *k)
{
    struct feed_pos pos = {0};
    if (!begin_at(k, &pos) || !call_saw(k, "stream", NULL, 0))
        return;
    struct stream *s = calloc(1, sizeof *s);
    if (!s || !copy_request(s, k->q)) {
        if (s)
            stream_free(s);
        call_outcome(k, -ENOMEM, "stream");
        return;
    }
    s->api = k->api;
    s->cloud = k->cloud;
    s->route = k->route;
    s->pos = pos;
    if (http_stream(k->r, k->tenant, more, stream_free, s)) {
        k->r->status = 200;
        return;
    }
    stream_free(s);
    http_header(k->r, "Retry-After", "30");
    problem_reply(k->r, PROBLEM_UNAVAILABLE, "as many streams are open as may be; use /v1/changes meanwhile");
}
