/* Repeats (design section 4): after a power cut a reader may report again what it had reported before; ext.repeat names
 * the record whose acknowledgement is unknown. It is folded into that one when gateway, generation, reader and
 * credential match, whichever of the two arrives first. */
#pragma once

#include "cloud/holder.h"

/* Files f, or folds it, or folds into it what waited for it. *ret_folded counts folded rows. */
int fold_file(const struct scope *s, struct filed *f, uint64_t *ret_folded);
