/* A webhook's address, as a customer writes it: what is taken leads by https to a public address or a name, however its
 * host is spelt, and shows nobody's password. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "cloud/address.h"
#include "cloud/courier.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The host by itself, without libcurl; IPv4 in all spellings that inet_aton(3) knows, which are those of URLs. */
static void taken(const char *url)
{
    char host[1024];
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct address a;
    ASSERT(strncasecmp(url, "https://", 8) == 0 && strlen(url) < sizeof host && strpbrk(url, "# \t\r\n") == NULL);
    const char *p = url + 8;
    size_t n = strcspn(p, "/?");
    ASSERT(memchr(p, '@', n) == NULL);
    memcpy(host, p, n);
    host[n] = '\0';
    if (host[0] == '[') {
        char *end = strchr(host, ']');
        ASSERT(end != NULL && address_parse(host + 1, (size_t)(end - host) - 1, &a) == 0 && !address_special(&a));
        return;
    }
    host[strcspn(host, ":")] = '\0';
    ASSERT(host[0] != '\0');
    if (inet_aton(host, &in.sin_addr))
        ASSERT(address_of((const struct sockaddr *)&in, sizeof in, &a) == 0 && !address_special(&a));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct settings set;
    static bool ready;
    char why[COURIER_ERROR] = "", *url = malloc(size + 1);
    if (!ready)
        ASSERT(courier_init() == 0);
    ready = true;
    if (!url)
        return 0;
    memcpy(url, data, size);
    url[size] = '\0';
    if (courier_refuses(&set, url, why) == NULL)
        taken(url);
    else
        ASSERT(why[0] != '\0' && strlen(why) < sizeof why);
    free(url);
    return 0;
}
