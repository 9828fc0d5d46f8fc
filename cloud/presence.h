/* Who is in: at one site, by the punches of its own day up to now. Whoever's last punch was one in, is in; at midnight
 * everybody is out. Nothing of it is kept. */
#pragma once

#include "cloud/people.h"
#include "cloud/zone.h"
#include "wire/punch.h"

struct present {
    struct person person;
    int64_t since; /* us: of the punch that said so */
    char reader[READER_NAME_MAX + 1];
};
struct presence {
    int64_t day; /* local days since 1970-01-01 */
    struct present *items;
    size_t n;
};
/* In the order of the people's ids. A punch says itself whether it is in or out; else its reader's setting does; at a
 * reader of both ways it is the other way than the one before. Readers for access do not count. -E2BIG: more than
 * PRESENCE_PUNCHES_MAX punches of the day count. */
#define PRESENCE_PUNCHES_MAX 131072
int presence_read(struct cloud *c, struct db *db, const char *tenant, const uint8_t site[ID_LEN], const struct zone *z,
                  int64_t now, struct presence *ret_presence);
void presence_done(struct presence *p);
