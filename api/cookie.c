/* Who asks by the cookie of a session: for people at a browser, where a token is for programs. A cookie travels with
 * every request that a browser makes, also with those that another site has it make, so one that changes something has
 * to show that it was made by our own page: by the header Punch-CSRF. */
#include <string.h>

#include "api/api_impl.h"
#include "base/clock.h"
#include "base/str.h"
#include "cloud/session.h"
#include "cloud/settings_of.h"

static bool refuse(struct api_call *k, enum problem p, const char *detail)
{
    problem_reply(k->r, p, "%s", detail);
    return false;
}

static void take(struct api_call *k, const struct session *t)
{
    struct who *w = &k->who;
    *w = (struct who){.is = WHO_ACCOUNT, .has_session = true, .factor = t->factor, .stepped = t->stepped};
    str_copy(w->home, sizeof w->home, t->tenant);
    memcpy(w->account, t->account, ID_LEN);
    memcpy(w->person, t->person, ID_LEN);
    memcpy(w->session, t->id, ID_LEN);
    str_copy(w->address, sizeof w->address, k->q->address ? k->q->address : "");
    k->tenant = w->home;
}

bool api_by_cookie(struct api_call *k)
{
    char cookie[SESSION_TEXT] = "";
    struct session t;
    int64_t now = clock_real();
    session_cookie(k->q->cookie, SESSION_COOKIE, cookie, sizeof cookie);
    int r = session_check(k->cloud, k->db, cookie, now, &t);
    bool fits = k->route->effect == READS || session_csrf_fits(cookie, k->q->csrf);
    crypto_wipe(cookie, sizeof cookie);
    if (r == CLOUD_ABSENT || (r == 0 && t.half)) {
        http_header(k->r, "WWW-Authenticate", "Bearer realm=\"punchcloud\"");
        return refuse(k, PROBLEM_SESSION, "the session is unknown or over; log in");
    }
    if (r == 0 && !fits)
        return refuse(k, PROBLEM_CSRF, "send Punch-CSRF with the value of csrf in GET /v1/session");
    if (r != 0) {
        call_outcome(k, r, "session");
        return false;
    }
    take(k, &t);
    if (!k->watching) /* an open window is no work at it */
        session_saw(k->cloud, &t, now);
    return api_enter(k, PERM_ALL);
}

bool api_factor_given(struct api_call *k)
{
    struct who *w = &k->who;
    struct tenant_settings set;
    if (w->is != WHO_ACCOUNT || w->factor || (k->route->flags & ENROL))
        return true;
    int r = tenant_settings_get(k->db, k->tenant, &set);
    if (r != 0) {
        call_outcome(k, r, "settings");
        return false;
    }
    bool needed = k->route->scope == SCOPE_TENANT ? settings_second_factor_needed(&set, k->route->perm)
                                                  : set.second_factor == SECOND_FACTOR_ALL;
    /* a handler may look at another permission than its route's */
    for (size_t i = 0; i < w->rights.n; i++)
        w->rights.items[i].perms &= ~set.second_factor;
    return needed ? refuse(k, PROBLEM_SECOND_FACTOR,
                           "the company wants a second factor for this; enrol one, or log in with it")
                  : true;
}
