/* Any bytes as a profile: never a crash; what is accepted can be used for every read of its device. The bytes after a
 * NUL are such a read. */
#include <stdlib.h>
#include <string.h>

#include "readers/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *nul = n ? memchr(data, 0, n) : NULL;
    size_t text = nul ? (size_t)(nul - data) : n;
    struct profile p;
    char *why = NULL;
    uint16_t *v;
    struct cred c;

    int r = profile_parse("fuzz", BYTES(data, text), &p, &why);
    if (r != 0) {
        ASSERT(r == PROFILE_BAD && strlen(why) > 0);
        free(why);
        return 0;
    }
    ASSERT(p.read.n >= 1 && p.read.n <= ASK_MAX && p.n_init <= PROFILE_INIT_MAX);
    ASSERT(p.read.n_layouts >= 1 && p.read.n_layouts <= PROFILE_LAYOUTS_MAX);
    ASSERT(p.presence == PROFILE_LATCHED ? p.flag.fc && p.clear.at.fc : !p.flag.fc && !p.clear.at.fc && !p.n_init);
    v = calloc(p.read.n, sizeof(*v)); /* exactly so many: reading beyond is seen */
    ASSERT(v);
    if (nul)
        memcpy(v, nul, n - text < 2u * p.read.n ? n - text : 2u * p.read.n);
    r = profile_cred(&p, v, &c);
    ASSERT(r != 0 || (cred_valid(&c) && c.bits == 8 * profile_length(&p, v)));
    free(v);
    return 0;
}
