/* Mail to those of a tenant's people who have to know: whoever holds a permission. */
#pragma once

#include "cloud/account.h"
#include "cloud/mail.h"
#include "cloud/rights.h"

/* Inside the caller's transaction, to each active account with an address that holds `perm` anywhere now. `args` are
 * the template's but for `name` and `company`, which are filled in; `but`: an account that knows already, or NULL. A
 * mail that cannot be queued is passed over, and the log tells: what it says stands in the audit trail, too. */
int tell_holders(const struct scope *s, enum perm perm, const uint8_t *but, enum mail_template template,
                 const struct mail_arg *args, size_t n_args);
/* The same to one account of the scope's tenant; company: whose data it is about. */
int tell_account(const struct scope *s, const uint8_t account[ID_LEN], const char *company, enum mail_template template,
                 const struct mail_arg *args, size_t n_args);
