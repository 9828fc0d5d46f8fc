/* What punchcloud.yaml says. settings.c holds the key table and loads it; everything here is borrowed from its conf. */
#pragma once

#include "base/metrics.h"

enum settings_tls {
    MAIL_STARTTLS, /* a connection in the clear that turns to TLS before anything is said */
    MAIL_TLS,      /* TLS from the first byte */
};

struct settings {
    char *state;             /* pki/, store.db, keyring/, punchcloud.sock */
    struct conf_list escrow; /* char *: folders that hold a second copy of every ring and KEK; at least one */
    int log;                 /* enum log_level by the table's order: error warn note info debug */
    struct {
        char *listen;              /* host:port */
        struct conf_list names;    /* char *: DNS names and addresses in the API's certificate */
        char *public_url;          /* of links in mails, without a slash at the end; NULL: names[0] and the port */
        uint64_t threads;          /* of the HTTPS listener */
        uint64_t connections;      /* at most, all together */
        uint64_t per_address;      /* at most, from one address; 0: no limit */
        uint64_t password_threads; /* that check passwords; 0: half of the cores */
        uint64_t streams;          /* at most, all together */
        uint64_t request_timeout;  /* ms; for each of handshake, request, reply */
        uint64_t idle;             /* ms between a reply and the next request */
        struct conf_list proxies;  /* char *: networks of proxies that are believed about their clients' addresses */
        char *proxy_ca;            /* NULL: TLS clients need no certificate */
        uint64_t hsts;             /* ms; 0: not said */
    } api;
    struct {
        uint64_t source; /* requests a minute; 0: no limit */
        uint64_t token;
        uint64_t tenant;
    } limits;
    struct {
        struct conf_list security; /* char *: URIs; none: no security.txt */
        char *languages;           /* of who reads what comes there */
        char *canonical;           /* URI of security.txt; NULL: not said */
        char *dpo;                 /* the operator's data-protection officer; NULL: not said */
    } contact;
    struct {
        char *address;          /* host:port, for punchcloud and for the gateways' bundles */
        struct conf_list names; /* char *: in the broker's certificate */
    } broker;
    struct {
        uint64_t queue;       /* messages waiting for the ingest thread; beyond it they are dropped and counted */
        uint64_t batch_ms;    /* a transaction is committed at least this often */
        uint64_t backoff_min; /* ms between connection attempts to the broker */
        uint64_t backoff_max;
    } ingest;
    struct {
        uint64_t memory; /* bytes */
        uint64_t passes;
        uint64_t lanes;
    } passwords;
    struct {
        char *server;        /* host:port; NULL: no mail */
        int tls;             /* enum settings_tls by the table's order */
        char *from;          /* address */
        char *user;          /* NULL: no login */
        char *password_file; /* its first line */
        char *ca_file;       /* NULL: the system's */
    } mail;
    struct {
        struct conf_list allow; /* char *: networks that are reached though they are not public */
        char *ca_file;          /* NULL: the system's */
    } webhooks;
    struct metrics_settings metrics;
};

extern const struct conf_table settings_table;
#define SETTINGS_DEFAULT "/etc/punchcloud.yaml"
/* 0; CONF_BAD: conf_text(*ret_conf) tells. *ret_conf owns what `ret` points to. */
int settings_load(const char *path, struct settings *ret, struct conf **ret_conf);
