/* JSON that is whole or not there. jansson's own calls leave out what they have no memory for and go on, so that a list
 * or an object would lack a part without a word. Here the whole is freed and *to is NULL, which every later call,
 * json_pack()'s "o" and whoever is to send it take as it is. */
#pragma once

#include <jansson.h>

/* The value is stolen, and may be NULL for want of memory. */
static inline void whole_append(json_t **to, json_t *value)
{
    if (json_array_append_new(*to, value) != 0) {
        json_decref(*to);
        *to = NULL;
    }
}

static inline void whole_set(json_t **to, const char *name, json_t *value)
{
    if (json_object_set_new(*to, name, value) != 0) {
        json_decref(*to);
        *to = NULL;
    }
}
