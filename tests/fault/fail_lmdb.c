/* LMDB as it fails: a transaction whose commit fails is over, and what it wrote may be there all the same. */
#include <errno.h>
#include <lmdb.h>

#include "tests/fault/strike.h"

static int code(int a, int b)
{
    return strike_pick(2) == 0 ? a : b;
}

#define LMDB(name, params, args, a, b) FAIL(STRIKE_LMDB, int, name, params, args, code(a, b))

LMDB(mdb_env_create, (MDB_env * *env), (env), ENOMEM, ENOMEM)
LMDB(mdb_env_open, (MDB_env * env, const char *path, unsigned flags, mdb_mode_t mode), (env, path, flags, mode), EIO,
     ENOMEM)
LMDB(mdb_env_set_maxdbs, (MDB_env * env, MDB_dbi n), (env, n), EINVAL, EINVAL)
LMDB(mdb_env_set_mapsize, (MDB_env * env, size_t n), (env, n), ENOMEM, EINVAL)
LMDB(mdb_env_get_fd, (MDB_env * env, mdb_filehandle_t *ret), (env, ret), EINVAL, EINVAL)
LMDB(mdb_env_info, (MDB_env * env, MDB_envinfo *ret), (env, ret), EINVAL, EINVAL)
LMDB(mdb_env_stat, (MDB_env * env, MDB_stat *ret), (env, ret), EINVAL, EINVAL)
LMDB(mdb_dbi_open, (MDB_txn * txn, const char *name, unsigned flags, MDB_dbi *ret), (txn, name, flags, ret), ENOMEM,
     MDB_DBS_FULL)
LMDB(mdb_txn_begin, (MDB_env * env, MDB_txn *parent, unsigned flags, MDB_txn **ret), (env, parent, flags, ret), ENOMEM,
     MDB_PANIC)
LMDB(mdb_get, (MDB_txn * txn, MDB_dbi dbi, MDB_val *k, MDB_val *v), (txn, dbi, k, v), EIO, MDB_CORRUPTED)
LMDB(mdb_put, (MDB_txn * txn, MDB_dbi dbi, MDB_val *k, MDB_val *v, unsigned flags), (txn, dbi, k, v, flags),
     MDB_MAP_FULL, ENOMEM)
LMDB(mdb_del, (MDB_txn * txn, MDB_dbi dbi, MDB_val *k, MDB_val *v), (txn, dbi, k, v), MDB_MAP_FULL, ENOMEM)
LMDB(mdb_cursor_open, (MDB_txn * txn, MDB_dbi dbi, MDB_cursor **ret), (txn, dbi, ret), ENOMEM, EINVAL)
LMDB(mdb_cursor_get, (MDB_cursor * c, MDB_val *k, MDB_val *v, MDB_cursor_op op), (c, k, v, op), EIO, MDB_CORRUPTED)
LMDB(mdb_cursor_del, (MDB_cursor * c, unsigned flags), (c, flags), MDB_MAP_FULL, ENOMEM)

int fail_mdb_txn_commit(MDB_txn *txn);
int fail_mdb_txn_commit(MDB_txn *txn)
{
    if (!strike_now(STRIKE_LMDB, "mdb_txn_commit"))
        return mdb_txn_commit(txn);
    static const int codes[] = {EIO, ENOSPC, ENOMEM, EIO};
    unsigned how = strike_pick(ARRAY_LEN(codes));
    if (how == 3)
        (void)mdb_txn_commit(txn);
    else
        mdb_txn_abort(txn);
    return codes[how];
}
