/* Delays after failed attempts; see throttle.h. All counters are the vendor's tenant's: a source is nobody's customer,
 * and a login that does not exist is counted as one that does. */
#include "cloud/throttle.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/str.h"
#include "cloud/holder.h"
#include "cloud/who.h"

enum { LOGIN = 1, FACTOR, DEVICE, RESET, SOURCE };

/* Failures up to `free` delay nothing; then 1, 2, 4 ... s up to `cap`. One is forgiven every `forgive` s. */
static const struct {
    unsigned free, cap, forgive;
} rules[] = {
    [LOGIN] = {4, 30, 3600}, [FACTOR] = {4, 900, 3600}, [DEVICE] = {4, 900, 3600},
    [RESET] = {2, 900, 900}, [SOURCE] = {20, 900, 600},
};
#define FORGOTTEN_US (INT64_C(24) * 3600 * 1000000) /* longer than any rule takes to forgive all */

static unsigned delay_of(unsigned kind, unsigned failures)
{
    unsigned beyond = failures > rules[kind].free ? failures - rules[kind].free : 0;
    if (beyond == 0)
        return 0;
    return beyond > 16 || (1u << (beyond - 1)) > rules[kind].cap ? rules[kind].cap : 1u << (beyond - 1);
}

/* ---- whose ---- */

static int key_of(struct cloud *c, struct db *db, uint8_t ret[CRYPTO_KEY])
{
    struct scope s;
    uint8_t prk[CRYPTO_KEY];
    uint64_t gen;
    int r = scope_fenced(c, db, VENDOR_TENANT, &s, &gen);
    if (r == 0)
        r = holder_tenant_key(&s, prk);
    if (r == 0)
        r = crypto_hkdf_expand(BYTES(prk, sizeof prk), BYTES_STR("punch throttle"), ret, CRYPTO_KEY);
    crypto_wipe(prk, sizeof prk);
    return r;
}

static int counter(const uint8_t key[CRYPTO_KEY], uint8_t kind, struct bytes first, struct bytes second,
                   struct attempt *a)
{
    uint8_t mac[CRYPTO_HASH];
    const struct bytes parts[] = {BYTES(&kind, 1), first, second};
    int r = crypto_hmac(BYTES(key, CRYPTO_KEY), parts, ARRAY_LEN(parts), mac);
    if (r != 0)
        return r;
    struct attempt_counter *to = &a->at[a->n++];
    to->kind = kind;
    memcpy(to->id, mac, sizeof to->id);
    return 0;
}

/* The network that one customer of a provider has: an IPv4 address, or 64 bits of an IPv6 one. */
static struct bytes network_of(const char *address, uint8_t ret[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (inet_pton(AF_INET, address, ret) == 1)
        return BYTES(ret, 4);
    if (inet_pton(AF_INET6, address, ret) != 1)
        return BYTES_STR("?");
    return memcmp(ret, mapped, sizeof mapped) == 0 ? BYTES(ret + 12, 4) : BYTES(ret, 8);
}

#define DEVICE_ID 16

/* id || HMAC("device", tenant NUL login NUL id)[16] */
static int device_mac(const uint8_t key[CRYPTO_KEY], struct bytes tenant, struct bytes login,
                      const uint8_t id[DEVICE_ID], uint8_t ret[16])
{
    uint8_t mac[CRYPTO_HASH];
    const struct bytes parts[] = {BYTES_STR("device cookie"), tenant, login, BYTES(id, DEVICE_ID)};
    int r = crypto_hmac(BYTES(key, CRYPTO_KEY), parts, ARRAY_LEN(parts), mac);
    if (r == 0)
        memcpy(ret, mac, 16);
    return r;
}

int device_make(struct cloud *c, struct db *db, const char *tenant, const char *login, char ret[DEVICE_TEXT])
{
    uint8_t key[CRYPTO_KEY], value[DEVICE_ID + 16];
    int r = key_of(c, db, key);
    if (r == 0)
        r = crypto_random(value, DEVICE_ID);
    if (r == 0)
        r = device_mac(key, BYTES(tenant, strlen(tenant) + 1), BYTES(login, strlen(login) + 1), value,
                       value + DEVICE_ID);
    if (r == 0)
        str_b64url(value, sizeof value, ret);
    crypto_wipe(key, sizeof key);
    return r;
}

static int check_device(const uint8_t key[CRYPTO_KEY], struct bytes tenant, struct bytes login, const char *cookie,
                        struct attempt *a)
{
    uint8_t value[DEVICE_ID + 16], mac[16];
    size_t n = 0;
    if (!cookie || str_unb64url(cookie, strlen(cookie), value, sizeof value, &n) != 0 || n != sizeof value)
        return 0;
    int r = device_mac(key, tenant, login, value, mac);
    if (r == 0 && crypto_equal(mac, value + DEVICE_ID, sizeof mac)) {
        a->known_device = true;
        r = counter(key, DEVICE, BYTES(value, DEVICE_ID), BYTES_NONE, a);
    }
    return r;
}

int attempt_init(struct cloud *c, struct db *db, enum attempt_at at, const char *tenant, const char *login,
                 const char *device, const char *address, struct attempt *ret_attempt)
{
    uint8_t key[CRYPTO_KEY], net[16];
    struct attempt a = {0};
    const struct bytes t = BYTES(tenant, strlen(tenant) + 1), l = BYTES(login, strlen(login) + 1);
    int r = key_of(c, db, key);
    if (r == 0 && (at == ATTEMPT_PASSWORD || at == ATTEMPT_FACTOR))
        r = check_device(key, t, l, device, &a);
    if (r == 0 && !a.known_device && at != ATTEMPT_LINK)
        r = counter(key, at == ATTEMPT_FACTOR ? FACTOR : at == ATTEMPT_RESET ? RESET : LOGIN, t, l, &a);
    if (r == 0 && !a.known_device)
        r = counter(key, SOURCE, network_of(address, net), BYTES_NONE, &a);
    crypto_wipe(key, sizeof key);
    if (r == 0)
        *ret_attempt = a;
    return r;
}

/* ---- rows ---- */

struct row {
    unsigned failures; /* what is left of them at `now` */
    int64_t until;     /* us */
};

static int read_row(struct db *db, const struct attempt_counter *at, int64_t now, struct row *ret)
{
    struct db_stmt *st;
    int r = db_stmt(db, "SELECT failures, last, until FROM throttle WHERE tenant_id = ?1 AND id = ?2", &st);
    if (r != 0)
        return r;
    db_bind_text(st, 1, VENDOR_TENANT);
    db_bind_blob(st, 2, BYTES(at->id, sizeof at->id));
    r = db_step(st);
    *ret = (struct row){0};
    if (r == DB_ROW) {
        int64_t n = db_int(st, 0), passed = (now - db_int(st, 1)) / 1000000;
        int64_t longest = now + (int64_t)rules[at->kind].cap * 1000000; /* whatever the clock did since */
        n -= passed > 0 ? passed / rules[at->kind].forgive : 0;
        ret->failures = n > 0 && n < 1000 ? (unsigned)n : 0;
        ret->until = db_int(st, 2) < longest ? db_int(st, 2) : longest;
    }
    db_done(st);
    return r == DB_ROW ? 0 : r;
}

int attempt_wait(struct db *db, const struct attempt *a, int64_t now, unsigned *ret_s)
{
    int64_t most = 0;
    for (size_t i = 0; i < a->n; i++) {
        struct row row;
        int r = read_row(db, &a->at[i], now, &row);
        if (r != 0)
            return r;
        most = row.until - now > most ? row.until - now : most;
    }
    *ret_s = (unsigned)((most + 999999) / 1000000);
    return 0;
}

static int write_row(struct db *db, const struct attempt_counter *at, unsigned failures, int64_t now)
{
    struct db_stmt *st;
    int r = db_stmt(db,
                    "INSERT INTO throttle(tenant_id, id, failures, last, until) VALUES(?1, ?2, ?3, ?4, ?5)"
                    " ON CONFLICT(tenant_id, id) DO UPDATE SET failures = excluded.failures, last = excluded.last,"
                    " until = excluded.until",
                    &st);
    if (r != 0)
        return r;
    db_bind_text(st, 1, VENDOR_TENANT);
    db_bind_blob(st, 2, BYTES(at->id, sizeof at->id));
    db_bind_int(st, 3, failures);
    db_bind_int(st, 4, now);
    db_bind_int(st, 5, now + (int64_t)delay_of(at->kind, failures) * 1000000);
    return db_must(st);
}

int attempt_failed(struct db *db, const struct attempt *a, int64_t now, bool *ret_alarm)
{
    bool alarm = false;
    for (size_t i = 0; i < a->n; i++) {
        const unsigned kind = a->at[i].kind;
        struct row row;
        int r = read_row(db, &a->at[i], now, &row);
        if (r != 0)
            return r;
        /* No more are counted than it takes for the longest delay, so that forgiving does not take for ever. */
        bool full = delay_of(kind, row.failures) == rules[kind].cap;
        r = write_row(db, &a->at[i], row.failures + !full, now);
        if (r != 0)
            return r;
        alarm = alarm || (kind != SOURCE && !full && delay_of(kind, row.failures + 1) == rules[kind].cap);
    }
    *ret_alarm = alarm;
    return 0;
}

int attempt_succeeded(struct db *db, const struct attempt *a)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < a->n; i++) {
        struct db_stmt *st;
        if (a->at[i].kind == SOURCE)
            continue;
        r = db_stmt(db, "DELETE FROM throttle WHERE tenant_id = ?1 AND id = ?2", &st);
        if (r != 0)
            break;
        db_bind_text(st, 1, VENDOR_TENANT);
        db_bind_blob(st, 2, BYTES(a->at[i].id, sizeof a->at[i].id));
        r = db_must(st);
    }
    return r;
}

int throttle_sweep(struct cloud *c, struct db *db, int64_t now)
{
    return cloud_sweep(c, db, SWEEP("throttle WHERE last < ?1 AND tenant_id = ?2"), now - FORGOTTEN_US, VENDOR_TENANT);
}
