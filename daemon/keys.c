#include "daemon/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/csr.h"
#include "base/file.h"
#include "base/str.h"

#define PEM_MAX 16384u

static int path_of(const char *state, const char *leaf, char ret[KEYS_PATH])
{
    return (size_t)snprintf(ret, KEYS_PATH, "%s/%s", state, leaf) < KEYS_PATH ? 0 : -ENAMETOOLONG;
}

static int slurp(const char *state, const char *leaf, size_t max, struct buf *ret)
{
    char path[KEYS_PATH];
    buf_init(ret, max);
    int r = path_of(state, leaf, path);
    return r != 0 ? r : file_read(path, ret);
}

static int dump(const char *state, const char *leaf, struct bytes data)
{
    char path[KEYS_PATH];
    int r = path_of(state, leaf, path);
    return r != 0 ? r : file_write(path, data, 0600);
}

/* n bytes kept as hex and a newline. KEYS_ABSENT, KEYS_BAD. */
static int read_hex(const char *state, const char *leaf, void *ret, size_t n)
{
    struct buf b CLEANUP(buf_done);
    int r = slurp(state, leaf, 1024, &b);
    if (r == -ENOENT)
        return KEYS_ABSENT;
    if (r != 0)
        return r;
    if (b.len > 0 && b.p[b.len - 1] == '\n')
        b.len--;
    return str_unhex(buf_str(&b), ret, n) == 0 ? 0 : KEYS_BAD;
}

static int write_hex(const char *state, const char *leaf, const void *p, size_t n)
{
    char hex[2 * CRYPTO_POINT + 1], text[2 * CRYPTO_POINT + 2];
    snprintf(text, sizeof(text), "%s\n", str_hex(p, n, hex));
    return dump(state, leaf, BYTES_STR(text));
}

static int read_key(const char *state, const char *leaf, struct crypto_key **ret)
{
    struct buf b CLEANUP(buf_wipe);
    int r = slurp(state, leaf, PEM_MAX, &b);
    if (r != 0)
        return r == -ENOENT ? KEYS_ABSENT : r;
    r = csr_key_parse(buf_bytes(&b), ret);
    return r > 0 ? KEYS_BAD : r;
}

static int make_key(const char *state, const char *leaf, struct crypto_key **ret)
{
    struct crypto_key *k = NULL;
    struct buf pem CLEANUP(buf_wipe);
    buf_init(&pem, PEM_MAX);
    int r = crypto_key_new(CRYPTO_ECDSA, &k);
    if (r == 0)
        r = csr_key_pem(k, &pem);
    if (r == 0)
        r = dump(state, leaf, buf_bytes(&pem));
    if (r != 0) {
        crypto_key_free(k);
        return r;
    }
    *ret = k;
    return 0;
}

int keys_broker(const char *broker, char *ret_host, size_t size, uint16_t *ret_port)
{
    const char *colon = strrchr(broker, ':');
    uint64_t port;
    char host[256];
    if (!colon || colon == broker || str_u64(colon + 1, 1, 65535, &port) != 0)
        return -EINVAL;
    size_t n = (size_t)(colon - broker);
    if (broker[0] == '[' && n > 2 && broker[n - 1] == ']') { /* an IPv6 address */
        broker++;
        n -= 2;
    }
    if (n >= sizeof(host))
        return -EINVAL;
    memcpy(host, broker, n);
    host[n] = '\0';
    if (str_copy(ret_host, size, host) != 0)
        return -EINVAL;
    *ret_port = (uint16_t)port;
    return 0;
}

/* ---- loading ---- */

static int load_bundle(const char *state, struct keys *k, const char **ret_problem)
{
    uint8_t pinned[CRYPTO_POINT], root[CRYPTO_POINT];
    struct buf text CLEANUP(buf_done);
    int r = slurp(state, "bundle", ENROL_FILE_MAX, &text);
    if (r == -ENOENT)
        return 0; /* not enrolled yet */
    *ret_problem = "bundle: cannot be read";
    if (r != 0)
        return r;
    *ret_problem = "keys/root.pub: missing or damaged, enrol again";
    if ((r = read_hex(state, "keys/root.pub", pinned, sizeof(pinned))) != 0)
        return r > 0 ? KEYS_BAD : r;
    *ret_problem = "bundle: not signed by the pinned root, or damaged";
    if ((r = bundle_read(buf_bytes(&text), pinned, &k->bundle, root)) != 0)
        return r > 0 ? KEYS_BAD : r;
    *ret_problem = "bundle: belongs to another gateway";
    if (memcmp(k->bundle.gw, k->gw, GW_LEN) != 0)
        return KEYS_BAD;
    *ret_problem = "bundle: the broker's address is not host:port";
    if (keys_broker(k->bundle.broker, k->host, sizeof(k->host), &k->port) != 0)
        return KEYS_BAD;
    k->enrolled = true;
    return 0;
}

int keys_load(const char *state, struct keys *ret, char *ret_problem, size_t size)
{
    struct keys *k = calloc(1, sizeof(*k)); /* a bundle is large for a stack */
    struct crypto_key *tls = NULL;
    if (!k)
        return -ENOMEM;
    const char *problem = "keys/gateway.id: damaged";
    int r = read_hex(state, "keys/gateway.id", k->gw, GW_LEN);
    if (r == 0) {
        problem = "keys/sign.key: missing or damaged";
        r = read_key(state, "keys/sign.key", &k->sign);
        if (r == 0) {
            problem = "keys/tls.key: missing or damaged";
            r = read_key(state, "keys/tls.key", &tls);
        }
        if (r == KEYS_ABSENT)
            r = KEYS_BAD; /* an id without its keys */
    }
    if (r == 0)
        r = load_bundle(state, k, &problem);
    if (r == 0)
        r = path_of(state, "keys/tls.key", k->tls_key);
    if (r == 0)
        r = path_of(state, "keys/tls.crt", k->tls_crt);
    if (r == 0)
        r = path_of(state, "keys/ca.crt", k->ca_crt);
    crypto_key_free(tls);
    if (r == 0)
        *ret = *k;
    else
        crypto_key_free(k->sign);
    if (r != 0)
        snprintf(ret_problem, size, "%s/%s", state, problem);
    free(k);
    return r;
}

void keys_done(struct keys *k)
{
    crypto_key_free(k->sign);
    k->sign = NULL;
}

static int export_one(const char *path, const char *text)
{
    struct buf b CLEANUP(buf_done);
    buf_init(&b, PEM_MAX);
    if (file_read(path, &b) == 0 && bytes_equal(buf_bytes(&b), BYTES_STR(text)))
        return 0;
    return file_write(path, BYTES_STR(text), 0600);
}

int keys_export(const struct keys *k)
{
    int r = export_one(k->tls_crt, k->bundle.tls_cert);
    return r != 0 ? r : export_one(k->ca_crt, k->bundle.ca);
}

/* ---- making and installing ---- */

static int request_of(const uint8_t gw[GW_LEN], struct crypto_key *tls, struct crypto_key *sign, struct buf *ret)
{
    struct enrol_request q;
    struct buf csr CLEANUP(buf_done);
    char cn[2 * GW_LEN + 1];
    buf_init(&csr, sizeof(q.csr));
    memset(&q, 0, sizeof(q));
    memcpy(q.gw, gw, GW_LEN);
    int r = csr_make(tls, str_hex(gw, GW_LEN, cn), &csr);
    if (r == 0)
        r = str_copy(q.csr, sizeof(q.csr), buf_str(&csr));
    if (r == 0)
        r = crypto_key_point(sign, q.sign_point);
    return r != 0 ? r : enrol_request_write(&q, sign, ret);
}

int keys_make(const char *state, struct buf *ret_request)
{
    char dir[KEYS_PATH], id[KEYS_PATH];
    uint8_t gw[GW_LEN];
    struct crypto_key *tls = NULL, *sign = NULL;
    int r = path_of(state, "keys", dir);
    if (r == 0)
        r = path_of(state, "keys/gateway.id", id);
    if (r == 0 && file_exists(id))
        return -EEXIST;
    if (r == 0)
        r = file_mkdir(state, 0700);
    if (r == 0)
        r = file_mkdir(dir, 0700);
    if (r == 0)
        r = make_key(state, "keys/tls.key", &tls);
    if (r == 0)
        r = make_key(state, "keys/sign.key", &sign);
    if (r == 0)
        r = crypto_random(gw, sizeof(gw));
    if (r == 0)
        r = request_of(gw, tls, sign, ret_request);
    if (r == 0) /* last: with it the identity exists */
        r = write_hex(state, "keys/gateway.id", gw, sizeof(gw));
    crypto_key_free(tls);
    crypto_key_free(sign);
    return r;
}

int keys_request(const char *state, struct buf *ret_request)
{
    uint8_t gw[GW_LEN];
    struct crypto_key *tls = NULL, *sign = NULL;
    int r = read_hex(state, "keys/gateway.id", gw, sizeof(gw));
    if (r == 0)
        r = read_key(state, "keys/tls.key", &tls);
    if (r == 0)
        r = read_key(state, "keys/sign.key", &sign);
    if (r == 0)
        r = request_of(gw, tls, sign, ret_request);
    crypto_key_free(tls);
    crypto_key_free(sign);
    return r > 0 ? -EUCLEAN : r;
}

/* The order matters when the power goes: the root before the bundle that it signed, the bundle last. `run` writes the
 * certificate files again and sets an older generation's spool aside. */
int keys_install(const char *state, struct bytes text, struct bundle *ret, bool *ret_raised)
{
    uint8_t gw[GW_LEN], pinned[CRYPTO_POINT], root[CRYPTO_POINT];
    int r = read_hex(state, "keys/gateway.id", gw, sizeof(gw));
    if (r != 0)
        return r;
    int pin = read_hex(state, "keys/root.pub", pinned, sizeof(pinned));
    if (pin != 0 && pin != KEYS_ABSENT)
        return pin;
    struct bundle *b = calloc(2, sizeof(*b));
    struct buf old CLEANUP(buf_done);
    buf_init(&old, 0);
    if (!b)
        return -ENOMEM;
    r = bundle_read(text, pin == 0 ? pinned : NULL, &b[0], root);
    char host[256];
    uint16_t port;
    if (r == 0 && keys_broker(b[0].broker, host, sizeof(host), &port) != 0)
        r = KEYS_BAD;
    if (r == 0 && memcmp(b[0].gw, gw, GW_LEN) != 0)
        r = KEYS_OTHER_GATEWAY;
    bool raised = false;
    if (r == 0 && pin == 0 && slurp(state, "bundle", ENROL_FILE_MAX, &old) == 0 &&
        bundle_read(buf_bytes(&old), pinned, &b[1], root) == 0) {
        if (b[0].gen < b[1].gen)
            r = KEYS_OLDER;
        raised = b[0].gen > b[1].gen;
    }
    if (r == 0 && pin == KEYS_ABSENT)
        r = write_hex(state, "keys/root.pub", root, sizeof(root));
    if (r == 0)
        r = dump(state, "bundle", text);
    if (r == 0) {
        *ret = b[0];
        *ret_raised = raised;
    }
    free(b);
    return r;
}
