/* `punchcloud audit verify`: an exported trail and a public key, and nothing else: no installation, no settings. */
#pragma once

#include <stdbool.h>

/* checkpoint NULL: none. Prints what is proven, or which line is wrong; returns the exit code: EXIT_TAMPERED for the
 * latter, EXIT_DAMAGED when the chain is proven but some of its events are damaged. */
int audit_cli_verify(const char *file, const char *key_file, const char *checkpoint_file, bool json);
