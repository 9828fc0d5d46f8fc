/* Any bytes from a 125 kHz reader: never a crash, nothing but what its own check allows, and a good frame that follows
 * is always found. The first byte chooses the layout; a byte FF stands for a gap now and then. */
#include <string.h>

#include "readers/ascii125.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char good[] = "\x02"
                               "67003B51C6CB"
                               "\x03";
    static const char good_b[] = "\x02"
                                 "67003B51C6CB"
                                 "\r\n\x03";
    struct ascii125 p;
    struct cred c;

    if (n == 0)
        return 0;
    ascii125_init(&p, (enum ascii125_layout)(data[0] % 3));
    for (size_t i = 1; i < n; i++) {
        if (data[i] == 0xFF && i % 2)
            ascii125_gap(&p);
        if (ascii125_push(&p, data[i], &c))
            ASSERT(cred_valid(&c) && c.tech == TECH_EM4100 && c.bits == 40 && p.n == 0);
        ASSERT(p.n < ASCII125_FRAME_MAX);
    }
    const char *f = p.layout == ASCII125_B ? good_b : good;
    unsigned found = 0;
    for (; *f; f++)
        found += ascii125_push(&p, (uint8_t)*f, &c);
    ASSERT(found == 1 && memcmp(c.data, "\x67\x00\x3B\x51\xC6", 5) == 0);
    return 0;
}
