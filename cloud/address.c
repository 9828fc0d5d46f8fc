/* Which addresses are public; see address.h. Two tables, the first entry that fits counts. */
#include "cloud/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/str.h"

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

int address_of(const struct sockaddr *sa, size_t n, struct address *ret_address)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    if (n >= sizeof in && sa->sa_family == AF_INET) {
        memcpy(&in, sa, sizeof in);
        memcpy(ret_address->b, mapped, sizeof mapped);
        memcpy(ret_address->b + sizeof mapped, &in.sin_addr, 4);
        return 0;
    }
    if (n >= sizeof in6 && sa->sa_family == AF_INET6) {
        memcpy(&in6, sa, sizeof in6);
        memcpy(ret_address->b, &in6.sin6_addr, 16);
        return 0;
    }
    return -EAFNOSUPPORT;
}

static bool is_v4(const struct address *a)
{
    return memcmp(a->b, mapped, sizeof mapped) == 0;
}

char *address_text(const struct address *a, char ret[ADDRESS_TEXT])
{
    bool v4 = is_v4(a);
    if (!inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->b + sizeof mapped : a->b, ret, ADDRESS_TEXT))
        ret[0] = '\0';
    return ret;
}

int address_parse(const char *text, size_t n, struct address *ret_address)
{
    char s[ADDRESS_TEXT];
    struct address a = {0};
    if (n >= sizeof s || memchr(text, '\0', n))
        return -EINVAL;
    memcpy(s, text, n);
    s[n] = '\0';
    if (inet_pton(AF_INET, s, a.b + sizeof mapped) == 1)
        memcpy(a.b, mapped, sizeof mapped);
    else if (inet_pton(AF_INET6, s, a.b) != 1)
        return -EINVAL;
    *ret_address = a;
    return 0;
}

bool address_equal(const struct address *a, const struct address *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

struct address address_share(const struct address *a)
{
    struct address r = *a;
    if (!is_v4(a))
        memset(r.b + 8, 0, 8);
    return r;
}

int address_net(const char *text, struct address_net *ret_net)
{
    struct address_net net = {.bits = 128};
    uint64_t bits = 0;
    size_t n = strcspn(text, "/");
    if (address_parse(text, n, &net.base) != 0)
        return -EINVAL;
    if (text[n] == '/') {
        unsigned skip = memchr(text, ':', n) ? 0 : 96; /* what is written is IPv4's own */
        if (str_u64(text + n + 1, 0, 128 - skip, &bits) != 0)
            return -EINVAL;
        net.bits = (unsigned)bits + skip;
    }
    for (unsigned i = net.bits; i < 128; i++)
        if (net.base.b[i / 8] >> (7 - i % 8) & 1)
            return -EINVAL;
    *ret_net = net;
    return 0;
}

bool address_in(const struct address *a, const struct address_net *net)
{
    unsigned whole = net->bits / 8, rest = net->bits % 8;
    if (memcmp(a->b, net->base.b, whole) != 0)
        return false;
    return rest == 0 || (a->b[whole] ^ net->base.b[whole]) >> (8 - rest) == 0;
}

struct range {
    uint8_t b[4];
    unsigned bits;
    const char *what;
};

static const struct range v4[] = {
    {{0}, 8, "unspecified"},
    {{10}, 8, "private"},
    {{100, 64}, 10, "a provider's own (100.64.0.0/10)"},
    {{127}, 8, "loopback"},
    {{169, 254}, 16, "link-local"},
    {{172, 16}, 12, "private"},
    {{192, 0, 0}, 24, "reserved"},
    {{192, 0, 2}, 24, "for documentation"},
    {{192, 88, 99}, 24, "a tunnel's (6to4)"},
    {{192, 168}, 16, "private"},
    {{198, 18}, 15, "for benchmarks"},
    {{198, 51, 100}, 24, "for documentation"},
    {{203, 0, 113}, 24, "for documentation"},
    {{224}, 4, "multicast"},
    {{240}, 4, "reserved"},
};

/* By the first 32 bits. */
static const struct range v6[] = {
    {{0xfc}, 7, "private"},
    {{0xfe, 0x80}, 10, "link-local"},
    {{0xff}, 8, "multicast"},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, "for documentation"},
    {{0x20, 0x01, 0x00, 0x00}, 32, "a tunnel's (Teredo)"},
    {{0x20, 0x01, 0x00}, 23, "reserved"},
    {{0x20, 0x02}, 16, "a tunnel's (6to4)"},
    {{0x3f, 0xff}, 20, "for documentation"},
};

static const char *look_up(const struct range *t, size_t n, const uint8_t *p)
{
    uint32_t v = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    for (size_t i = 0; i < n; i++) {
        const uint8_t *b = t[i].b;
        uint32_t base = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
        if ((v ^ base) >> (32 - t[i].bits) == 0)
            return t[i].what;
    }
    return NULL;
}

const char *address_special(const struct address *a)
{
    static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b}, zeros[15];
    if (is_v4(a) || memcmp(a->b, nat64, sizeof nat64) == 0)
        return look_up(v4, ARRAY_LEN(v4), a->b + 12);
    if (memcmp(a->b, zeros, sizeof zeros) == 0 && a->b[15] < 2)
        return a->b[15] ? "loopback" : "unspecified";
    const char *what = look_up(v6, ARRAY_LEN(v6), a->b);
    return what ? what : a->b[0] >> 5 == 1 ? NULL : "reserved";
}
