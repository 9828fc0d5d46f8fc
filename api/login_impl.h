/* What the handlers around logging in share: login.c, sessions.c, links.c, profile.c, accounts.c.
 */
#pragma once

#include "api/api_impl.h"
#include "cloud/link.h"
#include "cloud/session.h"
#include "cloud/throttle.h"

#define PASSWORD_TYPED_MAX 1024 /* characters of a password as it is sent; one that is set is shorter */

/* ---- between HTTP_LINE_PASSWORD and HTTP_LINE_WRITE, in q->carry ---- */

/* A password is compared with the account as it was then; in the transaction the account must be the same still. */
struct proof {
    uint8_t right, made;
    uint8_t tag[8];                                   /* of the hash that it was compared with */
    uint8_t salt[PASSWORD_SALT], hash[PASSWORD_HASH]; /* made: of the new password, or of the same at today's cost */
};
_Static_assert(sizeof(struct proof) <= HTTP_CARRY, "a request's carry holds a proof");

struct password_cost login_cost(const struct cloud *c);
/* Argon2, always once: a is NULL for an account that there is not. Fills the carry's right and tag. */
int login_prove(struct api_call *k, const struct account *a, const char *password);
/* Once more: the hash of a password that is to be set. */
int login_hash(struct api_call *k, const char *password);
/* In the transaction. */
bool login_proven(const struct api_call *k, const struct account *a);
void login_take_hash(const struct api_call *k, struct account *a);

/* Whether the code, of the authenticator or for recovery, is the account's; it is used up in *a then. TOTP_WRONG. */
int login_code(struct account *a, const char *code, int64_t now);

/* ---- replies ---- */

/* For SCOPE_OPEN, whose calls have no connection yet. False: the reply is made. */
bool login_open(struct api_call *k);
/* 429 when the next attempt has to wait: true, the reply is made. */
bool login_waits(struct api_call *k, const struct attempt *a);
void login_refuse(struct api_call *k, enum problem p, const char *detail); /* 401 */
/* What failed is nobody's whom we know, so there is no subject: it is counted like a refusal, in that tenant's trail.
 * "": the vendor's. kind: a constant. */
void login_missed(struct api_call *k, const char *tenant, const char *kind);
/* In the transaction, which it commits: counts it, tells the account's owner if it is the one too many, notes it in the
 * trail of the tenant (s NULL: the vendor's) and answers 401. a NULL: there is no such account; login_missed(). */
void login_failed(struct api_call *k, const struct scope *s, const struct account *a, const struct attempt *at,
                  const char *kind);
void login_set_cookie(struct api_call *k, const char *cookie); /* NULL: the browser forgets it */
void login_set_device(struct api_call *k, const struct account *a, const char *tenant);
/* A new session of *a, with cookies and the reply; in the transaction. stepped: when all that the account has, password
 * and code, was last given, us. */
int login_begin(struct api_call *k, const struct scope *s, const struct account *a, bool factor, int64_t stepped);
/* Ends the transaction with r: commits, or rolls back and answers r. True: committed. */
bool login_end(struct api_call *k, int r, const char *what);
/* What GET /v1/session shows; NULL: memory. */
json_t *login_session_json(const struct api_call *k, const struct account *a, const struct session *t,
                           const char *cookie);

/* ---- who has a session, and gives the password again (sessions.c) ---- */

/* What counts and delays his wrong passwords and codes: one and the same wherever he gives them. */
int login_attempt(struct api_call *k, const struct scope *s, const struct account *a, struct attempt *ret);
/* On HTTP_LINE_PASSWORD. False: the reply is made. */
bool login_prove_self(struct api_call *k, const char *password, struct scope *ret_s, struct account *ret_a);
/* Begins the transaction, and reads the account anew. False: the reply is made, the transaction over. */
bool login_begin_self(struct api_call *k, struct scope *ret_s, struct account *ret_a);
/* Whether password (proven) and, where there is a second factor, code are right. The same. */
bool login_confirm(struct api_call *k, const struct scope *s, struct account *a, const char *code);

/* ---- trail and mail ---- */

int login_audit(struct api_call *k, const struct scope *s, const struct account *a, const char *kind,
                enum audit_outcome outcome);
enum login_mail { LOGIN_MAIL_INVITATION, LOGIN_MAIL_RESET, LOGIN_MAIL_LOCKED };
/* To the account's address, if there is one and mail is set up: *ret_sent. link: the text, or NULL. */
int login_mail(const struct scope *s, const struct account *a, enum login_mail what, const char *link, int64_t until,
               bool *ret_sent);
/* 400 when mail or language are none; else what is set goes into *a. */
bool api_account_texts(struct api_call *k, const struct body_value *mail, const struct body_value *language,
                       struct account *a);
/* 400 when that password may not be that account's: `member` names it. */
bool login_password_fits(struct api_call *k, const struct scope *s, const struct account *a, const char *password,
                         const char *member);
