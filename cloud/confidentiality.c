/* The statement of confidentiality and who signed it; see confidentiality.h. */
#include "cloud/confidentiality.h"

#include "cloud/scope.h"
#include "cloud/who.h"

const char *confidentiality_text(void)
{
    return "I keep secret what I learn about people, companies and buildings through my work on customers' data. I use "
           "it only for the task for which the customer let me in, under the reason that is on record, and for no "
           "longer. I copy no personal data out of the service. I tell the data-protection officer at once when I "
           "notice that data was seen, changed or lost that should not have been. I know that all my access is "
           "recorded and shown to the customer. This duty goes on after my work here ends (Regulation (EU) 2016/679, "
           "Articles 28(3)(b) and 29).";
}

int confidentiality_sign(const struct scope *s, const uint8_t account[ID_LEN], int64_t now)
{
    struct db_stmt *st;
    int r =
        scope_stmt(s, "INSERT INTO confidentiality(tenant_id, account, version, signed) VALUES(?1, ?2, ?3, ?4)", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(account, ID_LEN));
    db_bind_int(st, 3, CONFIDENTIALITY_VERSION);
    db_bind_int(st, 4, now);
    r = db_run(st);
    return r == DB_CONFLICT ? CLOUD_CONFLICT : r;
}

int confidentiality_signed(struct db *db, const uint8_t account[ID_LEN], int64_t *ret_time)
{
    struct db_stmt *st;
    int r =
        db_stmt(db, "SELECT signed FROM confidentiality WHERE tenant_id = ?1 AND account = ?2 AND version = ?3", &st);
    if (r != 0)
        return r;
    db_bind_text(st, 1, VENDOR_TENANT);
    db_bind_blob(st, 2, BYTES(account, ID_LEN));
    db_bind_int(st, 3, CONFIDENTIALITY_VERSION);
    r = db_step(st);
    if (r == DB_ROW)
        *ret_time = db_int(st, 0);
    db_done(st);
    return r == DB_ROW ? 0 : r == 0 ? CLOUD_ABSENT : r;
}

int confidentiality_forget(const struct scope *s, const uint8_t account[ID_LEN])
{
    struct db_stmt *st;
    int r = scope_stmt(s, "DELETE FROM confidentiality WHERE tenant_id = ?1 AND account = ?2", &st);
    if (r != 0)
        return r;
    db_bind_blob(st, 2, BYTES(account, ID_LEN));
    return db_must(st);
}
