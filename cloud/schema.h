/* The tables of design section 6, and the epoch. */
#pragma once

#include "cloud/db.h"

#define SCHEMA_VERSION 4
/* From one version to a later one, 0 being an empty store; inside the caller's transaction. */
int schema_apply(struct db *db, int from, int to);
/* To SCHEMA_VERSION, in one transaction. CLOUD_NEWER: the store is beyond it; nothing was changed. */
int schema_upgrade(struct db *db);
/* meta: small integers by name. CLOUD_ABSENT when there is none. */
int meta_get(struct db *db, const char *name, int64_t *ret_v);
int meta_put(struct db *db, const char *name, int64_t v);
