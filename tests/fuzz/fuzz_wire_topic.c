/* Topics as a broker sends them: what is taken is what we would have written. */
#include <stdlib.h>
#include <string.h>

#include "wire/topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t gw[GW_LEN];
    enum topic_leaf leaf;
    char made[TOPIC_MAX], *s = malloc(size + 1);
    if (s == NULL)
        return 0;
    memcpy(s, data, size);
    s[size] = '\0';
    if (topic_parse(s, gw, &leaf) == 0) {
        topic_make(gw, leaf, made);
        ASSERT(strcmp(made, s) == 0);
    }
    free(s);
    return 0;
}
