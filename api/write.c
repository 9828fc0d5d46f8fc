/* A request that changes something is one transaction: what its preconditions look at, its effect and the note that it
 * was done under an Idempotency-Key commit together or not at all. A repeat waits at the writers' gate for the first
 * and then finds the note, so two at once need no answer of their own. */
#include <stdio.h>
#include <string.h>

#include "api/api_impl.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/str.h"
#include "cloud/once.h"
#include "cloud/scope.h"

#define KEY_MAX 128

/* draft-ietf-httpapi-idempotency-key-header: the value is opaque. Visible ASCII, quotes included if there are some. */
static bool key_valid(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (s[i] < 0x21 || s[i] > 0x7e)
            return false;
    return n >= 1 && n <= KEY_MAX;
}

static bool take_key(struct api_call *k, struct once *ret)
{
    const struct http_request *q = k->q;
    if (!key_valid(q->idempotency_key)) {
        problem_reply(k->r, PROBLEM_BAD_REQUEST, "Idempotency-Key has 1 to %d visible ASCII characters", KEY_MAX);
        return false;
    }
    const struct once_request asked = {.who = k->who.is == WHO_ACCOUNT ? BYTES(k->who.account, ID_LEN) : BYTES_NONE,
                                       .key = q->idempotency_key,
                                       .method = q->method,
                                       .path = q->path,
                                       .body = q->body};
    int r = once_hash(k->cloud, k->db, k->tenant, &asked, ret);
    if (r != 0)
        call_outcome(k, r, "tenant");
    return r == 0;
}

/* The same status and Location; the resource as it is now, for who may read it. */
static void replay(struct api_call *k, const struct once *done)
{
    http_header(k->r, "Idempotency-Replayed", "true");
    if ((done->status == 201 || done->status == 202) && done->location[0])
        http_header(k->r, "Location", "%s", done->location);
    if (!done->location[0] || !api_get(k, done->location)) {
        k->r->status = done->status == 200 && done->location[0] ? 204 : done->status;
        return;
    }
    if (k->r->status == 200)
        k->r->status = done->status;
    else if (k->r->status == 404)
        problem_reply(k->r, PROBLEM_GONE, "this was done before; what it made or changed has been removed since");
}

/* In the transaction; false: answered, nothing is to be committed. */
static bool first_time(struct api_call *k, const struct once *o)
{
    struct once done;
    int r = once_find(k->db, k->tenant, o, clock_real(), &done);
    if (r == CLOUD_ABSENT)
        return true;
    if (r != 0)
        call_outcome(k, r, "idempotency key");
    else if (!crypto_equal(o->fingerprint, done.fingerprint, sizeof done.fingerprint))
        problem_reply(k->r, PROBLEM_IDEMPOTENCY,
                      "this Idempotency-Key came with another request before; use a new one");
    else
        replay(k, &done);
    return false;
}

/* Who may change something and not read it learns that it is done, and no more. */
static void unread(struct api_call *k)
{
    struct http_reply *r = k->r;
    const char *path = k->location[0] ? k->location : k->q->path; /* a PATCH changes what it names */
    if (r->status > 299 || !r->type || (k->route->flags & ISSUES) || api_readable(k, path))
        return;
    if (r->status == 200)
        r->status = 204;
    r->type = NULL;
    buf_reset(&r->body);
}

static int note_done(struct api_call *k, struct once *o)
{
    o->status = k->r->status;
    int r = str_copy(o->location, sizeof o->location, k->location);
    return r != 0 ? r : once_put(k->db, k->tenant, o, clock_real());
}

void api_write(struct api_call *k)
{
    struct once o;
    /* PATCH and DELETE say what shall be: a repeat changes nothing more. */
    bool keyed = k->q->idempotency_key && strcmp(k->q->method, "POST") == 0;
    if (keyed && !take_key(k, &o))
        return;
    int r = cloud_begin(k->cloud, k->db);
    if (r != 0) {
        call_outcome(k, r, "store");
        return;
    }
    bool first = !keyed || first_time(k, &o);
    bool asked = first && api_asked(k);
    if (first && !asked)
        k->route->fn(k);
    if (!first || k->r->status > 299 || k->r->body.failed || *k->unsure != 0) {
        cloud_rollback(k->cloud, k->db);
        return;
    }
    r = call_noted(k);
    if (r == 0 && keyed)
        r = note_done(k, &o);
    if (r == 0 && !asked)
        unread(k);
    FAULT_KILL("api-before-commit");
    r = cloud_end(k->cloud, k->db, r);
    FAULT_KILL("api-after-commit");
    if (r == 0 && k->then)
        k->then(k);
    if (r != 0) {
        k->r->n_headers = k->r->header_used = 0; /* what the handler answered did not come to be */
        call_outcome(k, r, "request");
    }
}
