/* The head of a request for metrics, as it grows: what is decided stays decided. */
#include <stdlib.h>
#include <string.h>

#include "daemon/scrape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t step = size / 16 + 1;
    int decided = SCRAPE_MORE;
    if (size > SCRAPE_REQUEST)
        size = SCRAPE_REQUEST;
    for (size_t n = 0;; n = n + step < size ? n + step : size) {
        uint8_t *p = malloc(n ? n : 1); /* exactly its size */
        ASSERT(p);
        if (n > 0)
            memcpy(p, data, n);
        int r = scrape_judge(p, n);
        free(p);
        ASSERT(r == SCRAPE_MORE || r == 200 || r == 400 || r == 404 || r == 405 || r == 431);
        ASSERT(decided == SCRAPE_MORE || r == decided);
        decided = r;
        if (n == size)
            return 0;
    }
}
