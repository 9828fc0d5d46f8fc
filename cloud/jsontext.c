/* See jsontext.h. */
#include "cloud/jsontext.h"

size_t jsontext_depth(struct bytes text)
{
    size_t depth = 0, most = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            most = ++depth > most ? depth : most;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return most;
}

/* jansson says "invalid" where malloc() failed, too; malloc() says so in errno. */
int jsontext_read(struct bytes text, json_error_t *ret_error, json_t **ret_value)
{
    errno = 0;
    json_t *value = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, ret_error);
    if (!value)
        return errno == ENOMEM ? -ENOMEM : -EBADMSG;
    *ret_value = value;
    return 0;
}

json_t *jsontext_of(const char *s)
{
    errno = 0;
    json_t *j = json_string(s);
    if (j || errno == ENOMEM)
        return j;
    char ascii[512];
    size_t n = 0;
    for (; n < sizeof ascii - 1 && s[n]; n++)
        ascii[n] = (signed char)s[n] > 0 ? s[n] : '?';
    ascii[n] = '\0';
    return json_string(ascii);
}

static int dump_chunk(const char *p, size_t n, void *arg)
{
    return buf_add(arg, p, n) < 0 ? -1 : 0;
}

void jsontext_put(struct buf *b, json_t *value)
{
    if (!value || json_dump_callback(value, dump_chunk, b, JSON_COMPACT | JSON_ENCODE_ANY) < 0)
        b->failed = true;
    json_decref(value);
}
