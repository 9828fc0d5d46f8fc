/* The tables of design section 6, and the epoch. */
#pragma once

#include "cloud/db.h"

#define SCHEMA_VERSION 1
int schema_create(struct db *db); /* inside the caller's transaction */
/* meta: small integers by name. CLOUD_ABSENT when there is none. */
int meta_get(struct db *db, const char *name, int64_t *ret_v);
int meta_put(struct db *db, const char *name, int64_t v);
