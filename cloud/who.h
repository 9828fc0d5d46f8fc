/* Who a request comes from, and with which rights in the tenant that it is about. Made anew for each request, and for
 * each piece of a stream: nothing of it is kept. */
#pragma once

#include "cloud/rights.h"
#include "cloud/token.h"

/* The vendor is a tenant of its own, with a keyring and an audit trail: its people's accounts are there, and what is no
 * customer's is recorded there. tenant_valid() refuses the name, so no request can choose it. */
#define VENDOR_TENANT "_vendor"

enum who_class {
    WHO_NOBODY,    /* no token, no session */
    WHO_SYSTEM,    /* punchcloud itself */
    WHO_OPERATOR,  /* the operator's token or command line: administers, reaches no people and no punches */
    WHO_BOOTSTRAP, /* a tenant's token without an account, until the tenant has an Owner */
    WHO_ACCOUNT,   /* a human being, by session or by a token of theirs */
};

struct who {
    enum who_class is;
    char home[TENANT_MAX +
              1]; /* where account, token and session are; VENDOR_TENANT for the vendor's and for the operator */
    uint8_t account[ID_LEN], person[ID_LEN]; /* of WHO_ACCOUNT */
    bool has_token, has_session;
    uint8_t token[TOKEN_ID_LEN], session[ID_LEN];
    bool factor;      /* the session was begun with a second factor */
    int64_t stepped;  /* us: when password and code were last asked for in this session; 0 = never */
    char address[48]; /* the client's, as text; "" = none (command line) */
    bool has_support;
    uint8_t support[ID_LEN]; /* of the vendor\'s people in a customer\'s tenant: what lets them in (support.h) */
    struct rights rights;
};
