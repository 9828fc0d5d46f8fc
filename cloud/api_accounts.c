/* /v1/accounts: who has an account, and what is held about it. */
#include "base/clock.h"
#include "base/whole.h"
#include "cloud/api_impl.h"
#include "cloud/session.h"

json_t *api_account_json(const struct account *a)
{
    if (a->damaged)
        return json_damaged(a->id);
    return json_pack("{s:o, s:o, s:s, s:o, s:s, s:s, s:b, s:i, s:o}", "id", json_hex(a->id, ID_LEN), "person",
                     json_hex(a->person, ID_LEN), "login", a->login, "mail", json_text_or_null(a->mail), "language",
                     a->language, "state", account_state_name(a->state), "second_factor", a->has_totp, "recovery_codes",
                     (int)a->n_recovery, "created", json_time(a->created));
}

json_t *api_session_json(const struct session *t)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "id", json_hex(t->id, ID_LEN), "created",
                     json_time(t->created), "seen", json_time(t->seen), "until", json_time(session_until(t)), "address",
                     json_text_or_null(t->address), "agent", json_text_or_null(t->agent), "second_factor", t->factor);
}

json_t *api_sessions_json(const struct session_list *l)
{
    json_t *items = json_array();
    for (size_t i = 0; i < l->n; i++)
        whole_append(&items, api_session_json(&l->items[i]));
    return items;
}

int api_account_export(const struct scope *s, const uint8_t key[KEY_ID_LEN], json_t **ret)
{
    struct account CLEANUP(account_wipe) a = {0};
    struct session_list l = {0};
    int r = account_by_key(s, key, &a);
    if (r == CLOUD_ABSENT) {
        *ret = json_null();
        return 0;
    }
    if (r == 0)
        r = session_list(s, &a, clock_real(), &l);
    if (r != 0 && r != CLOUD_DAMAGED)
        return r;
    json_t *o = api_account_json(&a);
    if (r == 0)
        whole_set(&o, "sessions", api_sessions_json(&l));
    session_list_done(&l);
    *ret = o;
    return o ? 0 : -ENOMEM;
}
