/* People, for the store's own modules. */
#pragma once

#include "cloud/people.h"
#include "cloud/scope.h"

int people_find(const struct scope *s, const uint8_t id[ID_LEN], struct person *ret_person);    /* CLOUD_ABSENT */
int people_by_key(const struct scope *s, const uint8_t key[ID_LEN], struct person *ret_person); /* CLOUD_ABSENT */
