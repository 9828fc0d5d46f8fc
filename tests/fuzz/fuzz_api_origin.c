/* Where a request says it comes from: networks of settings and tokens, a Cookie header, Punch-CSRF, the connection's
 * address, values of X-Forwarded-For, a line each. Nobody is taken for whom he only claims to be. */
#include <stdlib.h>
#include <string.h>

#include "api/frontdoor.h"
#include "base/str.h"
#include "cloud/session.h"
#include "cloud/token.h"

#define NETS 8
#define VALUES 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_v4(const struct address *a)
{
    char text[ADDRESS_TEXT];
    return strchr(address_text(a, text), ':') == NULL;
}

/* What was read can be written and read again, holds its first address, and is found by a token that names it. */
static bool read_net(const char *text, struct address_net *ret)
{
    char base[ADDRESS_TEXT], again[ADDRESS_TEXT + 8];
    struct address_net net;
    struct token t = {0};
    if (address_net(text, ret) != 0)
        return false;
    ASSERT(ret->bits <= 128 && address_in(&ret->base, ret));
    snprintf(again, sizeof again, "%s/%u", address_text(&ret->base, base), ret->bits - (is_v4(&ret->base) ? 96 : 0));
    ASSERT(address_net(again, &net) == 0 && net.bits == ret->bits && address_equal(&net.base, &ret->base));
    ASSERT(str_copy(t.ranges, sizeof t.ranges, again) == 0 && token_from(&t, base));
    return true;
}

static size_t read_nets(char *line, struct address_net nets[NETS])
{
    size_t n = 0;
    for (char *p = strtok(line, " "); p && n < NETS; p = strtok(NULL, " "))
        n += read_net(p, &nets[n]);
    return n;
}

/* Whoever is believed is no proxy, or all were; and what he wrote to the left changes nothing. */
static void forwarded(const struct address *peer, const struct address_net *nets, size_t n_nets,
                      const char *const *values, size_t n)
{
    const char *more[VALUES + 1] = {"192.0.2.99"};
    memcpy(more + 1, values, n * sizeof *values);
    struct address a = frontdoor_client(peer, nets, n_nets, values, n);
    if (!frontdoor_is_proxy(peer, nets, n_nets))
        ASSERT(address_equal(&a, peer));
    if (!frontdoor_is_proxy(&a, nets, n_nets)) {
        struct address b = frontdoor_client(peer, nets, n_nets, more, n + 1);
        ASSERT(address_equal(&a, &b));
    }
    ASSERT(n > 0 || address_equal(&a, peer));
}

static void cookies(const char *header, const char *csrf)
{
    char value[SESSION_TEXT] = "", want[SESSION_TEXT];
    if (!session_cookie(header, SESSION_COOKIE, value, sizeof value)) {
        ASSERT(value[0] == '\0');
        return;
    }
    ASSERT(strlen(value) < sizeof value && strpbrk(value, "; \t") == NULL);
    ASSERT(strstr(header, SESSION_COOKIE "=") != NULL && strstr(header, value) != NULL);
    bool known = session_csrf(value, want) == 0;
    ASSERT(session_csrf_fits(value, csrf) == (known && strcmp(csrf, want) == 0));
    ASSERT(!session_csrf_fits(value, NULL));
    if (known)
        ASSERT(session_csrf_fits(value, want));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    struct address_net nets[NETS];
    struct address peer;
    char *lines[4 + VALUES], *text = malloc(size + 1);
    size_t n = 0;
    if (!ready)
        ASSERT(crypto_init() == 0);
    ready = true;
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    for (char *p = text; p && n < ARRAY_LEN(lines); lines[n++] = strsep(&p, "\n"))
        ;
    if (n >= 3) {
        size_t n_nets = read_nets(lines[0], nets);
        cookies(lines[1], lines[2]);
        if (n > 3 && address_parse(lines[3], strlen(lines[3]), &peer) == 0)
            forwarded(&peer, nets, n_nets, (const char *const *)lines + 4, n - 4);
    }
    free(text);
    return 0;
}
