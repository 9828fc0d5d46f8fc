/* Cursor texts: nothing that we did not make opens, and positions of any bytes parse or are refused. */
#include <stdlib.h>
#include <string.h>

#include "api/cursor.h"
#include "cloud/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[CRYPTO_KEY] = {7};
    static const char *const parts[] = {"/v1/punches", "acme"};
    static struct cursor_binding b;
    static bool ready;
    uint8_t pos[CURSOR_POS_MAX];
    char made[CURSOR_TEXT_MAX];
    struct punch_pos p;
    size_t n = 0;
    if (!ready) {
        ASSERT(crypto_init() == 0 && cursor_bind(parts, 2, &b) == 0);
        ready = true;
    }
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    /* 128 bits of MAC stand between a fuzzer and an answer of 0 */
    ASSERT(cursor_open(key, &b, text, pos, &n) == CURSOR_BAD);
    (void)punch_pos_parse(text, &p);
    free(text);
    if (size <= CURSOR_POS_MAX) {
        ASSERT(cursor_make(key, &b, BYTES(data, size), made) == 0);
        ASSERT(cursor_open(key, &b, made, pos, &n) == 0 && n == size && memcmp(pos, data, size) == 0);
    }
    return 0;
}
