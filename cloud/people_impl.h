/* People, for the store's own modules. */
#pragma once

#include "cloud/people.h"
#include "cloud/scope.h"

/* CLOUD_ABSENT. CLOUD_DAMAGED: *ret_person has id and key, which is all that some need. */
int people_find(const struct scope *s, const uint8_t id[ID_LEN], struct person *ret_person);
int people_by_key(const struct scope *s, const uint8_t key[ID_LEN], struct person *ret_person);
