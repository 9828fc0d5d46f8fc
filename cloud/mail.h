/* What punchcloud says by mail: templates in three languages, and the message as it goes to the server. Plain text; no
 * more of anybody's data than the recipient's name, the company's and what the message is about. Knows nothing of
 * queues and servers. */
#pragma once

#include "base/buf.h"

enum mail_template {
    MAIL_INVITATION,       /* name company link until */
    MAIL_RESET,            /* name company link until */
    MAIL_LOCKED,           /* name company time until: failed logins, the next one has to wait */
    MAIL_SUPPORT_REQUEST,  /* name company ticket from until */
    MAIL_SUPPORT_APPROVED, /* name company ticket until */
    MAIL_SUPPORT_DENIED,   /* name company ticket */
    MAIL_SUPPORT_SUMMARY,  /* name company ticket from until reads changes */
    MAIL_BREAKGLASS,       /* name company ticket from until */
    MAIL_CHECKPOINT,       /* company time events checkpoint */
    MAIL_APPROVAL,         /* name company what until */
    MAIL_ERASED,           /* name company erasure time */
    MAIL_EMERGENCY,        /* name company what reason time: done on the host, past the company's own people */
    MAIL_SECURITY,         /* report time: to the operator's own contact */
    MAIL_TEMPLATES
};

enum mail_lang { MAIL_EN, MAIL_DE, MAIL_RO, MAIL_LANGS };
const char *mail_lang_name(enum mail_lang l);         /* "en" */
enum mail_lang mail_lang(const char *name);           /* of "de", "de-AT"; MAIL_EN for NULL and for every other */
const char *mail_template_name(enum mail_template t); /* "invitation" */
bool mail_template_find(const char *name, enum mail_template *ret_template);

struct mail_arg {
    const char *name, *value;
};
#define MAIL_ARGS_MAX 8
#define MAIL_ARG_MAX 1024 /* bytes; more is cut off */
#define MAIL_ADDRESS_MAX 254
#define MAIL_TIME 24

/* local@domain in ASCII, without anything that means something to a mail server or in a header. */
bool mail_address_valid(const char *s);
/* "2026-11-23 14:05 UTC", for arguments. */
char *mail_time(int64_t us, char ret[MAIL_TIME]);
/* The template's names, NULL-terminated. */
const char *const *mail_args(enum mail_template t);
/* As it stands in the table: {name} for each argument. */
struct mail_text {
    const char *subject, *body;
};
const struct mail_text *mail_text(enum mail_template t, enum mail_lang l);

struct mail_message {
    enum mail_template template;
    enum mail_lang lang;
    const struct mail_arg *args;
    size_t n_args;
    const char *from, *to; /* valid addresses */
    const char *id;        /* the same whenever this message is sent: makes its Message-ID */
    int64_t created;       /* us */
};
/* Appends RFC 5322, CRLF, seven bits. -EINVAL: an argument that the template wants is missing, or an address is none.
 * What an argument holds reaches no header but the subject, as an encoded word; control characters become blanks. */
int mail_compose(const struct mail_message *m, struct buf *ret_message);
