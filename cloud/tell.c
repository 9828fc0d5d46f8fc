/* Mail to those who have to know; see tell.h. */
#include "cloud/tell.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cloud/granted.h"
#include "cloud/outbox.h"
#include "cloud/people_impl.h"

#define PAGE 100

struct telling {
    const char *company;
    enum mail_template template;
    const struct mail_arg *args;
    size_t n_args;
};

static int tell(const struct scope *s, const struct account *a, const struct telling *t)
{
    struct person person = {0};
    struct mail_arg args[MAIL_ARGS_MAX];
    if (a->damaged || a->state != ACCOUNT_ACTIVE || a->mail[0] == '\0')
        return 0;
    int r = people_by_key(s, a->key, &person);
    if (r == CLOUD_ABSENT || r == CLOUD_DAMAGED || (r == 0 && person.until <= clock_real()))
        return 0;
    if (r != 0)
        return r;
    ASSERT(t->n_args + 2 <= ARRAY_LEN(args));
    args[0] = (struct mail_arg){.name = "name", .value = person.name};
    args[1] = (struct mail_arg){.name = "company", .value = t->company};
    memcpy(&args[2], t->args, t->n_args * sizeof *t->args);
    const struct mail m = {.key = a->key,
                           .to = a->mail,
                           .lang = a->language,
                           .template = t->template,
                           .args = args,
                           .n_args = t->n_args + 2};
    r = outbox_mail(s, &m);
    crypto_wipe(&person, sizeof person);
    if (r == -EAGAIN || r == CLOUD_INVALID) {
        log_warn("mail.unqueued", "tenant=%s template=%s reason=%s", s->tenant, mail_template_name(t->template),
                 r == -EAGAIN ? "\"too many wait\"" : "\"address or text not possible\"");
        r = 0;
    }
    return r;
}

static int tell_if_holder(const struct scope *s, const struct account *a, enum perm perm, const struct telling *t)
{
    struct rights rights;
    int64_t now = clock_real();
    int r = granted_rights(s->db, s->tenant, a->id, now, now, &rights);
    return r == 0 && rights_any(&rights, perm) ? tell(s, a, t) : r;
}

int tell_holders(const struct scope *s, enum perm perm, const uint8_t *but, enum mail_template template,
                 const struct mail_arg *args, size_t n_args)
{
    const struct telling t = {.company = s->tenant, .template = template, .args = args, .n_args = n_args};
    uint8_t last[ID_LEN];
    bool more = true, begun = false;
    int r = 0;
    while (r == 0 && more) {
        struct account_list l = {0};
        r = account_list(s, begun ? last : NULL, PAGE, &l);
        for (size_t i = 0; r == 0 && i < l.n; i++)
            if (!but || memcmp(l.items[i].id, but, ID_LEN) != 0)
                r = tell_if_holder(s, &l.items[i], perm, &t);
        more = l.more && l.n > 0;
        if (more)
            memcpy(last, l.items[l.n - 1].id, ID_LEN);
        begun = true;
        account_list_done(&l);
    }
    return r;
}

int tell_account(const struct scope *s, const uint8_t account[ID_LEN], const char *company, enum mail_template template,
                 const struct mail_arg *args, size_t n_args)
{
    const struct telling t = {.company = company, .template = template, .args = args, .n_args = n_args};
    struct account a;
    int r = account_find(s, account, &a);
    if (r == 0)
        r = tell(s, &a, &t);
    account_wipe(&a);
    return r == CLOUD_ABSENT || r == CLOUD_DAMAGED ? 0 : r; /* archived and erased meanwhile, perhaps */
}
