/* Topics (docs/WIRE.md section 1). */
#include "wire/topic.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define PREFIX "punch/v1/"
#define GW_DIGITS ((size_t)2 * GW_LEN)
static const char *const leaves[] = {
    [TOPIC_UP] = "up", [TOPIC_ACK] = "ack", [TOPIC_STATUS] = "status", [TOPIC_CMD] = "cmd", [TOPIC_RESULT] = "result",
};

void topic_make(const uint8_t gw[GW_LEN], enum topic_leaf leaf, char ret[TOPIC_MAX])
{
    char hex[GW_DIGITS + 1];

    str_hex(gw, GW_LEN, hex);
    snprintf(ret, TOPIC_MAX, PREFIX "%c/%s/%s", hex[0], hex, leaves[leaf]);
}

/* Compared with what topic_make() would say: one opinion on what a topic looks like. */
int topic_parse(const char *topic, uint8_t ret_gw[GW_LEN], enum topic_leaf *ret_leaf)
{
    const size_t hex_at = sizeof PREFIX - 1 + 2;
    char hex[GW_DIGITS + 1], want[TOPIC_MAX];
    uint8_t gw[GW_LEN];

    if (strnlen(topic, TOPIC_MAX) <= hex_at + GW_DIGITS || strnlen(topic, TOPIC_MAX) == TOPIC_MAX)
        return TOPIC_BAD;
    memcpy(hex, topic + hex_at, GW_DIGITS);
    hex[GW_DIGITS] = '\0';
    if (str_unhex(hex, gw, GW_LEN) != 0)
        return TOPIC_BAD;
    for (size_t leaf = 0; leaf < ARRAY_LEN(leaves); leaf++) {
        topic_make(gw, (enum topic_leaf)leaf, want);
        if (strcmp(topic, want) == 0) {
            memcpy(ret_gw, gw, GW_LEN);
            *ret_leaf = (enum topic_leaf)leaf;
            return 0;
        }
    }
    return TOPIC_BAD;
}
