/* A request at the control socket, cut at its NULs as base/ctl.c does: a command with what it demands, or a reason. */
#include <stdlib.h>
#include <string.h>

#include "api/admin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *argv[CTL_ARGS_MAX + 1];
    int argc = 0;
    struct admin_args a = {0};
    struct buf CLEANUP(buf_done) err;
    char *text = malloc(size + 1);
    buf_init(&err, 65536);
    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    for (size_t at = 0; at <= size && argc < CTL_ARGS_MAX; at += strlen(text + at) + 1)
        argv[argc++] = text + at;
    argv[argc] = NULL;
    if (admin_parse(argc, argv, &a, &err) != 0) {
        ASSERT(err.len > 0 && !err.failed && a.cmd == NULL);
    } else {
        ASSERT(a.cmd != NULL && (a.operand != NULL) == (a.cmd->operand != NULL));
        for (size_t k = 0; k < ADMIN_OPTS_MAX && a.cmd->opts[k].name; k++)
            ASSERT(!a.cmd->opts[k].required || a.opts[k] != NULL);
    }
    free(text);
    return 0;
}
