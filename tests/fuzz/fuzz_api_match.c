/* If-Match and If-None-Match, as a client sends them. */
#include <stdlib.h>
#include <string.h>

#include "api/api_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char tag[] = "0123456789abcdefghijkl.ABCDEFGHIJKLMNOPQRSTUV";
    const size_t part = 22;
    char *list = malloc(size + 1);
    if (!list)
        return 0;
    memcpy(list, data, size);
    list[size] = '\0';
    bool strong = call_tag_listed(list, tag, part, true), weak = call_tag_listed(list, tag, part, false);
    bool whole = call_tag_listed(list, tag, sizeof tag - 1, false);
    ASSERT(!strong || weak); /* each test is no weaker than the one before */
    ASSERT(!whole || weak);
    ASSERT(!strong || strchr(list, '*') || strstr(list, "0123456789abcdefghijkl"));
    free(list);
    return 0;
}
