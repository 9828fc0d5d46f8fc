/* Permissions and reaches; see rights.h. */
#include "cloud/rights.h"

#include <string.h>

static const struct {
    const char *name, *help;
} perms[PERM_COUNT] = {
#define PERM_ROW(id, name, help) [id] = {name, help},
    PERMS(PERM_ROW)
#undef PERM_ROW
};

_Static_assert(PERM_COUNT < 64, "a set of permissions is 64 bits");

const char *perm_name(enum perm p)
{
    return p < PERM_COUNT ? perms[p].name : "-";
}

const char *perm_help(enum perm p)
{
    return p < PERM_COUNT ? perms[p].help : "-";
}

bool perm_find(const char *name, enum perm *ret_perm)
{
    for (size_t i = 0; i < PERM_COUNT; i++) {
        if (strcmp(perms[i].name, name) != 0)
            continue;
        *ret_perm = (enum perm)i;
        return true;
    }
    return false;
}

const char *reach_name(enum reach_kind k)
{
    static const char *const names[] = {
        [REACH_TENANT] = "tenant", [REACH_SITE] = "site", [REACH_UNIT] = "unit", [REACH_PERSON] = "person"};
    return k >= REACH_TENANT && k <= REACH_PERSON ? names[k] : "-";
}

bool rights_add(struct rights *r, uint64_t p, enum reach_kind kind, const uint8_t id[ID_LEN])
{
    if (r->n == RIGHTS_MAX)
        return false;
    struct right *e = &r->items[r->n++];
    *e = (struct right){.perms = p, .kind = kind};
    if (kind != REACH_TENANT)
        memcpy(e->id, id, ID_LEN);
    return true;
}

bool rights_any(const struct rights *r, enum perm p)
{
    return (rights_all(r) & PERM_BIT(p)) != 0;
}

bool rights_everywhere(const struct rights *r, enum perm p)
{
    return rights_reach(r, p, REACH_TENANT, NULL);
}

bool rights_reach(const struct rights *r, enum perm p, enum reach_kind kind, const uint8_t id[ID_LEN])
{
    for (size_t i = 0; i < r->n; i++) {
        const struct right *e = &r->items[i];
        if ((e->perms & PERM_BIT(p)) == 0)
            continue;
        if (e->kind == REACH_TENANT || (kind != REACH_TENANT && e->kind == kind && memcmp(e->id, id, ID_LEN) == 0))
            return true;
    }
    return false;
}

uint64_t rights_all(const struct rights *r)
{
    uint64_t all = 0;
    for (size_t i = 0; i < r->n; i++)
        all |= r->items[i].perms;
    return all;
}
