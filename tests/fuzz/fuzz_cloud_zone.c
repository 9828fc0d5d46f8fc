/* A file of zoneinfo (TZif): whatever it holds, nothing is further from UTC than a day and a bit, days begin where
 * the days before end, and asking ends. The bytes behind the magic, which mean nothing in such a file, say when. */
#include <string.h>

#include "base/be.h"
#include "cloud/zone.h"

#define RESERVED 5 /* of the header's 44 bytes */
#define FURTHEST (26 * 3600)

static void ask(const struct zone *z, int64_t day)
{
    int64_t begins = zone_day_start(z, day);
    ASSERT(zone_day(z, begins) >= day && zone_day(z, begins - 1) < day);
    ASSERT(zone_day_start(z, day + 1) >= begins);
    for (int64_t s = day * 86400 - 7200; s <= day * 86400 + 86400; s += 3599) {
        int32_t offset = zone_offset(z, s);
        ASSERT(offset >= -FURTHEST && offset <= FURTHEST);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t days[] = {-800000, -25567, 0, 19997, 20453, 60000, 2000000};
    struct zone *z = NULL;
    int r = zone_read(BYTES(data, size), &z);
    ASSERT(r == 0 || r == ZONE_UNKNOWN);
    if (r != 0)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(days); i++)
        ask(z, days[i]);
    ask(z, (int64_t)be_get(data + RESERVED, 4) % 4000000 - 2000000);
    zone_free(z);
    return 0;
}
