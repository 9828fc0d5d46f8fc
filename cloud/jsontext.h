/* What jansson leaves to its callers: how deep a text goes, strings of any bytes, values written into a buffer. */
#pragma once

#include <jansson.h>

#include "base/buf.h"

/* How deep the brackets of a text go, those in strings not counted. Before jansson, which recurses. */
size_t jsontext_depth(struct bytes text);
/* The value of a text, any, no member twice. -ENOMEM; -EBADMSG: it is none, and *ret_error (may be NULL) says where. */
int jsontext_read(struct bytes text, json_error_t *ret_error, json_t **ret_value);
/* A string whatever its bytes are: what is not UTF-8 becomes '?'. NULL: memory. */
json_t *jsontext_of(const char *s);
/* Appends `value` (stolen, may be NULL) as compact text. Memory short or the buffer full: its failed is set. */
void jsontext_put(struct buf *b, json_t *value);
