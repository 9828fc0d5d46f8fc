/* Gateways: who may send, under which generation, with which signing key, for which tenant and site. */
#pragma once

#include "cloud/cloud.h"
#include "wire/enrol.h"
#include "wire/status.h"

#define VERSION_MAX_LEN 31
/* Without a status for three of its intervals (docs/WIRE.md section 9) nobody knows whether it still is what it said.
 */
#define GATEWAY_SILENT_US (INT64_C(15) * 60 * 1000000)

struct gateway {
    char tenant[TENANT_MAX + 1];
    uint8_t gw[GW_LEN];
    uint64_t gen;
    uint8_t site_id[ID_LEN];
    char site[SITE_MAX_LEN + 1]; /* its name */
    uint8_t sign_point[CRYPTO_POINT];
    char serial[64];                   /* of the TLS certificate, hex */
    int64_t expires;                   /* that certificate; us, 0 = not known */
    int64_t added;                     /* us */
    int64_t revoked;                   /* us, 0 = not */
    char version[VERSION_MAX_LEN + 1]; /* what it runs, by its newest start; "" = it has not said */
    /* What its last signed status said; has_status false: none yet. */
    bool has_status;
    bool online;
    bool has_counts; /* false: damaged, until its next status */
    bool has_clock;  /* real and ck: what its clock said then */
    uint8_t ck;
    int64_t status_received;
    uint64_t counts[COUNT_MAX];
    int64_t real;
    int64_t last_upload; /* us, 0 = never */
    /* Of gateway_add() only: whose the generation before was; "" when there is none. */
    char before[TENANT_MAX + 1];
};
struct gateway_list {
    struct gateway *items;
    size_t n;
    bool more; /* of gateway_page(): behind the last one there are others */
};

/* Checks the request (self-signature, CSR's CN = gateway id), signs the certificate, gives the generation previous + 1
 * (across tenants: a gateway that changes its tenant gets a new generation) and appends the bundle's text. A site of a
 * name that is new is made.
 * CLOUD_ABSENT: no such tenant; CLOUD_INVALID: request or site; CLOUD_CONFLICT: the id is known with another signing
 * key. Own transaction. */
int gateway_add(struct cloud *c, struct db *db, const char *tenant, const char *site, struct bytes request,
                struct buf *ret_bundle, struct gateway *ret_gateway);
/* Every generation of it, in all tenants; then writes the broker's list. CLOUD_ABSENT. GATEWAY_UNLISTED: it is revoked,
 * and only the list could not be written; whoever asks again writes it, and so does the next start. Own transaction. */
enum { GATEWAY_UNLISTED = 16 };
int gateway_revoke(struct cloud *c, struct db *db, const uint8_t gw[GW_LEN]);
/* The same for one tenant, without the list: gateway_write_crl() is due after the commit. CLOUD_ABSENT. CLOUD_CONFLICT:
 * another tenant has it by now. Own transaction. */
int gateway_revoke_of(struct cloud *c, struct db *db, const char *tenant, const uint8_t gw[GW_LEN]);
/* pki/ca.crl, which the broker reads: the certificates of all that are revoked, as the store says. Logs what goes
 * wrong. Outside a transaction. */
int gateway_write_crl(struct cloud *c, struct db *db);
/* The newest generation in this tenant. CLOUD_ABSENT. */
int gateway_get(struct db *db, const char *tenant, const uint8_t gw[GW_LEN], struct gateway *ret_gateway);
/* tenant NULL: all tenants. The newest generation of each, by id. */
int gateway_list(struct db *db, const char *tenant, struct gateway_list *ret_list);
/* The same in pages: those behind `after` (NULL: from the first), at most `limit`. */
int gateway_page(struct db *db, const char *tenant, const uint8_t *after, size_t limit, struct gateway_list *ret_list);
/* Its generations in this tenant, newest first, at most `limit`. */
int gateway_generations(struct db *db, const char *tenant, const uint8_t gw[GW_LEN], size_t limit,
                        struct gateway_list *ret_list);
void gateway_list_done(struct gateway_list *l);
enum gateway_state { GATEWAY_NEVER_SEEN, GATEWAY_ONLINE, GATEWAY_SILENT, GATEWAY_REVOKED };
enum gateway_state gateway_state(const struct gateway *g, int64_t now);
const char *gateway_state_name(enum gateway_state s);
int64_t gateway_last_seen(const struct gateway *g); /* us; 0 = never */
int gateway_set_site(
    struct cloud *c, struct db *db, const char *tenant, const uint8_t gw[GW_LEN],
    const char *site); /* By name, made when it is new. CLOUD_ABSENT, CLOUD_INVALID. Own transaction. */

/* The tenant of its newest generation. CLOUD_ABSENT. */
int gateway_tenant(struct db *db, const uint8_t gw[GW_LEN], char ret_tenant[TENANT_MAX + 1]);
/* Its newest generation, in any tenant; 0: it is not known. */
int gateway_newest(struct db *db, const uint8_t gw[GW_LEN], uint64_t *ret_gen);
/* For ingest: that very generation, whichever tenant's, revoked or not; *ret_latest: no higher generation exists.
 * CLOUD_ABSENT. */
int gateway_find(struct db *db, const uint8_t gw[GW_LEN], uint64_t gen, struct gateway *ret_gateway, bool *ret_latest);
/* What it said at a start, gseq of that event; an older event than the one known tells nothing new. Inside the caller's
 * transaction. */
int gateway_put_version(struct db *db, const struct gateway *g, uint64_t gseq, struct bytes version);
/* Stores the latest status; inside the caller's transaction. */
int gateway_put_status(struct db *db, const struct gateway *g, const struct status *s, int64_t now);
