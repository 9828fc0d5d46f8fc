/* Roles; see role.h. */
#include "cloud/role.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/str.h"
#include "cloud/rows.h"
#include "cloud/scope.h"
#include "cloud/tenant.h"

#define INSPECTOR_US (31 * DAY_US)

bool role_name_valid(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return n >= 1 && n <= ROLE_NAME_MAX;
}

#define B(p) PERM_BIT(PERM_##p)
/* What the shipped roles hold; Owner everything. */
static const struct {
    const char *kind, *name;
    uint64_t perms;
} shipped[ROLE_KINDS] = {
    [ROLE_OWN] = {"own", "", 0},
    [ROLE_OWNER] = {"owner", "Owner", PERM_ALL},
    [ROLE_DPO] = {"dpo", "DPO",
                  B(PEOPLE_READ) | B(PEOPLE_EXPORT) | B(PEOPLE_ERASE) | B(CREDENTIALS_READ) | B(PUNCHES_READ) |
                      B(SITES_READ) | B(WEBHOOKS_READ) | B(ACCOUNTS_READ) | B(AUDIT_READ) | B(SETTINGS_READ) |
                      B(SUPPORT_READ) | B(SUPPORT_APPROVE)},
    [ROLE_HR] = {"hr", "HR",
                 B(PEOPLE_READ) | B(PEOPLE_CHANGE) | B(PEOPLE_EXPORT) | B(CREDENTIALS_READ) | B(CREDENTIALS_CHANGE) |
                     B(PUNCHES_READ) | B(CORRECTIONS_REQUEST) | B(CORRECTIONS_APPROVE) | B(PRESENCE_READ) |
                     B(SITES_READ)},
    [ROLE_TEAM_LEAD] = {"team-lead", "Team lead",
                        B(PEOPLE_READ) | B(PUNCHES_READ) | B(CORRECTIONS_REQUEST) | B(CORRECTIONS_APPROVE) |
                            B(PRESENCE_READ) | B(SITES_READ)},
    [ROLE_AUDITOR] = {"auditor", "Auditor", B(AUDIT_READ)},
    [ROLE_INSPECTOR] = {"inspector", "Inspector", B(PEOPLE_READ) | B(PUNCHES_READ) | B(SITES_READ)},
    [ROLE_TECHNICIAN] = {"technician", "Technician",
                         B(GATEWAYS_READ) | B(GATEWAYS_CHANGE) | B(READERS_READ) | B(READERS_CHANGE) | B(SITES_READ)},
    [ROLE_EMPLOYEE] = {"employee", "Employee",
                       B(PEOPLE_READ) | B(PEOPLE_EXPORT) | B(CREDENTIALS_READ) | B(PUNCHES_READ) |
                           B(CORRECTIONS_REQUEST)},
    [ROLE_SUPPORT] = {"support", "Support", B(SUPPORT_REQUEST) | B(BREAKGLASS_REQUEST) | B(SUPPORT_READ)},
};
/* What there is to do in the vendor's own tenant: its people's accounts, and what they ask of customers. */
#define VENDORS_OWN                                                                                            \
    (PERM_VENDORS | B(SUPPORT_READ) | B(PEOPLE_READ) | B(PEOPLE_CHANGE) | B(PEOPLE_EXPORT) | B(PEOPLE_ERASE) | \
     B(ACCOUNTS_READ) | B(ACCOUNTS_CHANGE) | B(GRANTS_CHANGE) | B(AUDIT_READ) | B(SETTINGS_READ) | B(SETTINGS_CHANGE))

const char *role_kind_name(enum role_kind kind)
{
    return shipped[kind].kind;
}

uint64_t role_perms_of_tenant(const char *tenant)
{
    return tenant_is_customer(tenant) ? PERM_ALL & ~PERM_VENDORS : VENDORS_OWN;
}

uint64_t role_kind_perms(enum role_kind kind, const char *tenant)
{
    uint64_t fixed = kind == ROLE_AUDITOR ? shipped[ROLE_AUDITOR].perms : PERM_ALL;
    return fixed & role_perms_of_tenant(tenant);
}

const char *role_kind_refuses(enum role_kind kind, const struct grant_reach *reach, bool own, int64_t starts,
                              int64_t ends)
{
    if (kind == ROLE_INSPECTOR && reach->kind != REACH_SITE)
        return "an Inspector is granted one site";
    if (kind == ROLE_INSPECTOR && (ends == 0 || ends - starts > INSPECTOR_US))
        return "an Inspector is granted for at most 31 days";
    if (kind == ROLE_EMPLOYEE && !own)
        return "an Employee is granted the account's own person";
    return NULL;
}

uint64_t role_holds(enum role_kind kind, uint64_t row, const char *tenant)
{
    return (kind == ROLE_OWNER ? PERM_ALL : row) & role_kind_perms(kind, tenant);
}

#define COLUMNS "id, kind, name, perms, created, archived"

/* arg: the tenant's name. */
static int from_row(struct db_stmt *s, void *arg, void *item)
{
    const char *tenant = arg;
    struct role *t = item;
    int64_t kind = db_int(s, 1);
    if (db_fixed(s, 0, t->id, ID_LEN) != 0 || kind < 0 || kind >= ROLE_KINDS ||
        str_copy(t->name, sizeof t->name, db_text(s, 2)) != 0)
        return -EBADMSG;
    t->kind = (enum role_kind)kind;
    t->perms = role_holds(t->kind, (uint64_t)db_int(s, 3), tenant);
    t->created = db_int(s, 4);
    t->archived = db_int(s, 5);
    return 0;
}

static void *borrowed(const char *tenant)
{
    return (void *)(uintptr_t)tenant; /* from_row() only reads it */
}

static int one(struct db_stmt *s, const char *tenant, struct role *ret)
{
    struct role t = {0};
    int r = db_step(s);
    r = r == DB_ROW ? from_row(s, borrowed(tenant), &t) : r == 0 ? CLOUD_ABSENT : r;
    db_done(s);
    if (r == 0)
        *ret = t;
    return r;
}

int role_get(struct db *db, const char *tenant, const uint8_t id[ID_LEN], struct role *ret_role)
{
    struct db_stmt *s;
    int r = db_stmt(db, "SELECT " COLUMNS " FROM role WHERE tenant_id = ?1 AND id = ?2", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_blob(s, 2, BYTES(id, ID_LEN));
    return one(s, tenant, ret_role);
}

int role_of_kind(struct db *db, const char *tenant, enum role_kind kind, struct role *ret_role)
{
    struct db_stmt *s;
    int r = db_stmt(db, "SELECT " COLUMNS " FROM role WHERE tenant_id = ?1 AND kind = ?2", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_int(s, 2, kind);
    return one(s, tenant, ret_role);
}

int role_list(struct db *db, const char *tenant, struct role_list *ret_list)
{
    struct db_stmt *s;
    struct rows l;
    int r = db_stmt(db, "SELECT " COLUMNS " FROM role WHERE tenant_id = ?1 ORDER BY id", &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    r = rows_collect(s, 0, sizeof(struct role), from_row, borrowed(tenant), &l);
    if (r == 0)
        *ret_list = (struct role_list){.items = l.items, .n = l.n};
    return r;
}

void role_list_done(struct role_list *l)
{
    free(l->items);
    *l = (struct role_list){0};
}

/* An archived role's name is free again. */
static int look_around(struct db *db, const char *tenant, const struct role *role)
{
    struct role_list l = {0};
    int r = role_list(db, tenant, &l);
    bool is_new = true;
    for (size_t i = 0; r == 0 && i < l.n; i++) {
        bool same = memcmp(l.items[i].id, role->id, ID_LEN) == 0;
        is_new = is_new && !same;
        if (!same && l.items[i].archived == 0 && role->archived == 0 && strcmp(l.items[i].name, role->name) == 0)
            r = CLOUD_CONFLICT;
    }
    if (r == 0 && is_new && l.n >= ROLES_MAX)
        r = CLOUD_INVALID;
    role_list_done(&l);
    return r;
}

int role_put(struct db *db, const char *tenant, const struct role *role)
{
    struct db_stmt *s;
    if (!role_name_valid(role->name) || (role->perms & ~role_kind_perms(role->kind, tenant)) != 0)
        return CLOUD_INVALID;
    int r = look_around(db, tenant, role);
    if (r == 0)
        r = db_stmt(db,
                    "INSERT INTO role(tenant_id, id, kind, name, perms, created, archived)"
                    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(tenant_id, id) DO UPDATE SET"
                    " name = excluded.name, perms = excluded.perms, archived = excluded.archived",
                    &s);
    if (r != 0)
        return r;
    db_bind_text(s, 1, tenant);
    db_bind_blob(s, 2, BYTES(role->id, ID_LEN));
    db_bind_int(s, 3, role->kind);
    db_bind_text(s, 4, role->name);
    db_bind_int(s, 5, (int64_t)role->perms);
    db_bind_int(s, 6, role->created);
    db_bind_int(s, 7, role->archived);
    return db_must(s);
}

static bool ships(enum role_kind kind, const char *tenant)
{
    return tenant_is_customer(tenant) ? kind != ROLE_SUPPORT
                                      : kind == ROLE_OWNER || kind == ROLE_AUDITOR || kind == ROLE_SUPPORT;
}

static const char *shipped_name(enum role_kind kind, const char *tenant)
{
    return kind == ROLE_OWNER && !tenant_is_customer(tenant) ? "Vendor administrator" : shipped[kind].name;
}

int role_ship(struct db *db, const char *tenant, int64_t now)
{
    struct role there;
    int r = 0;
    for (int kind = ROLE_OWN + 1; r == 0 && kind < ROLE_KINDS; kind++) {
        struct role t = {.kind = (enum role_kind)kind, .perms = shipped[kind].perms, .created = now};
        if (!ships(t.kind, tenant))
            continue;
        t.perms &= role_kind_perms(t.kind, tenant);
        r = role_of_kind(db, tenant, t.kind, &there);
        if (r != CLOUD_ABSENT)
            continue;
        r = str_copy(t.name, sizeof t.name, shipped_name(t.kind, tenant));
        if (r == 0)
            r = crypto_random(t.id, ID_LEN);
        if (r == 0)
            r = role_put(db, tenant, &t);
    }
    return r;
}

int role_ship_all(struct db *db)
{
    struct tenant_list l = {0};
    int r = tenant_list(db, &l);
    for (size_t i = 0; r == 0 && i < l.n; i++)
        r = role_ship(db, l.items[i].id, clock_real());
    tenant_list_done(&l);
    return r;
}
