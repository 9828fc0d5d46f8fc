/* Repeats (design section 4): after a power cut a reader may report again what it had reported before; ext.repeat names
 * the record whose acknowledgement is unknown. It is folded into that one when gateway, generation, reader and
 * credential match, whichever of the two arrives first. */
#pragma once

#include "cloud/holder.h"

/* What one upload may spend on the search for what repeats what, since nothing but opening rows tells. Power cuts make
 * a repeat a reader, so that an honest gateway never comes near; for one that names repeats without end the search
 * ends, and its punches are filed as they are. */
struct fold_budget {
    unsigned searches, rows;
};
#define FOLD_SEARCHES 64
#define FOLD_ROWS 50000

/* Files f, or folds it, or folds into it what waited for it. *ret_folded counts folded rows. HOLDER_ERASED: nowhere. */
int fold_file(const struct scope *s, struct filed *f, struct fold_budget *budget, uint64_t *ret_folded);
