/* Links that are used once: an invitation, a new password. 256 random bits of which the store has the SHA-256; whoever
 * has the text is taken for the person whose mailbox it went to. */
#pragma once

#include "cloud/account.h"

#define LINK_TEXT 44                                    /* with NUL */
enum link_kind { LINK_INVITATION = 1, LINK_RESET = 2 }; /* the numbers stand in the store */
#define LINK_INVITATION_US (INT64_C(7) * 24 * 3600 * 1000000)
#define LINK_RESET_US (INT64_C(3600) * 1000000)

struct link {
    char tenant[TENANT_MAX + 1];
    uint8_t account[ID_LEN];
    int64_t expires; /* us */
};

/* Inside the caller's transaction; an earlier one of that kind and account is good for nothing then. */
int link_make(const struct scope *s, const uint8_t account[ID_LEN], enum link_kind kind, int64_t now,
              char ret_text[LINK_TEXT], int64_t *ret_expires);
/* The address that a browser is sent to with it: api.public_url, else the API's own name and port. */
void link_url(const struct cloud *c, enum link_kind kind, const char *text, char *ret, size_t size);
/* Whose it is. CLOUD_ABSENT: unknown, used, replaced or expired; one answer for all. */
int link_find(struct db *db, enum link_kind kind, const char *text, int64_t now, struct link *ret_link);
/* Inside the caller's transaction: from here on it is used. CLOUD_ABSENT, as above. */
int link_use(struct db *db, enum link_kind kind, const char *text, int64_t now);
/* All of an account. */
int link_end_all(const struct scope *s, const uint8_t account[ID_LEN]);
/* Deletes what has expired. Own transaction, none when there is nothing to do. */
int link_sweep(struct cloud *c, struct db *db, int64_t now);
