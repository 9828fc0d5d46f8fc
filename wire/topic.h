/* Topics: punch/v1/<p>/<gw>/<leaf>, <p> the first hex digit of the gateway id. */
#pragma once

#include "wire/segment.h"

enum topic_leaf { TOPIC_UP, TOPIC_ACK, TOPIC_STATUS, TOPIC_CMD, TOPIC_RESULT };
#define TOPIC_MAX 48
void topic_make(const uint8_t gw[GW_LEN], enum topic_leaf leaf, char ret[TOPIC_MAX]);
/* TOPIC_BAD: not ours, or <p> does not match <gw>, or not lower-case hex. */
enum { TOPIC_BAD = 1 };
int topic_parse(const char *topic, uint8_t ret_gw[GW_LEN], enum topic_leaf *ret_leaf);
