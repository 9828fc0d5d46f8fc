/* People, for the store's own modules. */
#pragma once

#include "cloud/people.h"
#include "cloud/scope.h"

/* CLOUD_ABSENT. CLOUD_DAMAGED: *ret_person has id and key, which is all that some need. */
int people_find(const struct scope *s, const uint8_t id[ID_LEN], struct person *ret_person);
int people_by_key(const struct scope *s, const uint8_t key[ID_LEN], struct person *ret_person);
/* Whether the person of that key is one of the company's people at `now`: CLOUD_ABSENT when their time is over, or they
 * are erased. Of a damaged one nobody can tell: they stay. */
int people_here(const struct scope *s, const uint8_t key[ID_LEN], int64_t now);
int people_find_number(const struct scope *s, const char *personnel_number, struct person *ret_person);
/* The blind index by which a personnel number is found. */
int people_number_index(const struct scope *s, const char *personnel_number, uint8_t ret_index[16]);
/* Whether the person, with what is set, is one; it is then in *p. The store is not touched. */
bool people_apply(struct person *p, const struct person_set *set);
/* In the caller's write transaction: a new one with id and key of its own (p->name .. p->until are the caller's), or a
 * known one anew. CLOUD_CONFLICT: another has the personnel number; the transaction lives on. */
int people_add(const struct scope *s, struct person *p);
int people_put(const struct scope *s, const struct person *p);
