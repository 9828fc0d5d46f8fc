/* Page cursors: opaque to the client, made and checked here. A cursor is a position with a MAC over what it belongs to
 * (route, tenant, filters) and the position, so it fits only the list it came from and cannot be edited. The position
 * is authenticated, not hidden: put nothing in it that the items themselves do not show. */
#pragma once

#include "base/crypto.h"

#define CURSOR_POS_MAX 160
#define CURSOR_MAC 16
#define CURSOR_TEXT_MAX (((1 + CURSOR_POS_MAX + CURSOR_MAC) * 4 + 2) / 3 + 1)

/* What a cursor belongs to: each part is added with its length, so that no two lists look alike. */
struct cursor_binding {
    uint8_t hash[CRYPTO_HASH];
};
int cursor_bind(const char *const *parts, size_t n, struct cursor_binding *ret);

int cursor_make(const uint8_t key[CRYPTO_KEY], const struct cursor_binding *b, struct bytes pos,
                char ret[CURSOR_TEXT_MAX]);
/* CURSOR_BAD: not made by cursor_make() with this key and binding. */
enum { CURSOR_BAD = 1 };
int cursor_open(const uint8_t key[CRYPTO_KEY], const struct cursor_binding *b, const char *text,
                uint8_t ret_pos[CURSOR_POS_MAX], size_t *ret_n);
