/* Accounts: each belongs to one person, whose key seals what is personal in it; with the key it dies. A login is unique
 * within its tenant and found by a blind index. All inside the caller's transaction where something is written. */
#pragma once

#include "cloud/password.h"
#include "cloud/scope.h"
#include "cloud/totp.h"

#define LOGIN_MAX 100 /* characters, ASCII */
#define ACCOUNT_MAIL_MAX 254
#define ACCOUNT_LANGUAGE_MAX 2

/* The numbers stand in the store. */
enum account_state {
    ACCOUNT_INVITED = 1, /* has no password yet, or may not use it */
    ACCOUNT_ACTIVE = 2,
    ACCOUNT_ARCHIVED = 3, /* cannot log in; what it did keeps its author */
};
const char *account_state_name(enum account_state s);

struct account {
    uint8_t id[ID_LEN], person[ID_LEN];
    uint8_t key[KEY_ID_LEN]; /* of the person */
    enum account_state state;
    char login[LOGIN_MAX + 1];               /* canonical */
    char mail[ACCOUNT_MAIL_MAX + 1];         /* "" = none */
    char language[ACCOUNT_LANGUAGE_MAX + 1]; /* of mails to this person */
    bool has_password, has_totp, has_new_totp;
    struct password_hash password;
    uint8_t totp[TOTP_SECRET];
    uint8_t new_totp[TOTP_SECRET]; /* shown, and not confirmed by a code yet */
    uint64_t totp_step;            /* the last one accepted; no code of it or before counts again */
    size_t n_recovery;             /* codes left */
    uint8_t recovery[RECOVERY_CODES][RECOVERY_HASH];
    int64_t created, changed; /* us; changed: the password */
    bool damaged;             /* its row does not open: only id, key and state are known */
};
/* Two accounts that get their mail at one address are one human being, whatever persons they were made for. */
bool account_one_being(const struct account *a, const struct account *b);
void account_wipe(struct account *a);
void account_drop_factor(struct account *a); /* authenticator and recovery codes */

/* Lower case of what a person typed. False: no login can be so: letters, digits and . _ @ + - of ASCII, so that no two
 * look alike. */
bool login_canonical(const char *text, char ret[LOGIN_MAX + 1]);

/* CLOUD_ABSENT. CLOUD_DAMAGED: id, key and state are known. */
int account_find(const struct scope *s, const uint8_t id[ID_LEN], struct account *ret_account);
int account_by_login(const struct scope *s, const char *login, struct account *ret_account); /* canonical */
int account_by_key(const struct scope *s, const uint8_t key[KEY_ID_LEN], struct account *ret_account);
/* Inserts (with an id and created that are set), or replaces all but id, key and created. CLOUD_CONFLICT: another
 * account has the login, or the person has another account. */
int account_put(const struct scope *s, const struct account *a);
/* The account of the person with that key, if there is one, with its sessions and links. */
int account_forget(const struct scope *s, const uint8_t key[KEY_ID_LEN]);

struct account_list {
    struct account *items;
    size_t n;
    bool more;
};
/* Damaged ones, too, in the order of ids, beginning after `after` (NULL: from the start), at most limit. */
int account_list(const struct scope *s, const uint8_t *after, size_t limit, struct account_list *ret_list);
void account_list_done(struct account_list *l);
