/* What each of the vendor's people signs before anything of a customer can be reached. A new version of the statement
 * is signed anew; what was signed before stays on record. */
#pragma once

#include "cloud/cloud.h"

struct scope;

#define CONFIDENTIALITY_VERSION 1 /* of the text below; one more with each change */
const char *confidentiality_text(void);

/* Within the caller's transaction, in the scope of the vendor's tenant. CLOUD_CONFLICT: that version is signed. */
int confidentiality_sign(const struct scope *s, const uint8_t account[ID_LEN], int64_t now);
/* When the account signed this version; CLOUD_ABSENT: not yet. */
int confidentiality_signed(struct db *db, const uint8_t account[ID_LEN], int64_t *ret_time);
/* With its person the account is erased. */
int confidentiality_forget(const struct scope *s, const uint8_t account[ID_LEN]);
