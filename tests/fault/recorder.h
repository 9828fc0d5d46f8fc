/* Stands between liblmdb and the kernel: logs every write to one watched file and every sync of it, in order, and can
 * make the k-th of them fail. pwrite, pwrite64, pwritev, write, writev, fsync, fdatasync, msync and ftruncate of the
 * whole program go through it; the work is done by raw system calls. One thread only. */
#pragma once

#include "base/error.h"

enum rec_kind { REC_WRITE, REC_SYNC, REC_SIZE, REC_MARK };

struct rec_event {
    enum rec_kind kind;
    uint64_t off;  /* REC_WRITE; REC_SIZE: the new size */
    size_t n;      /* REC_WRITE */
    uint8_t *data; /* REC_WRITE, owned by the recorder */
    bool durable;  /* REC_WRITE on an O_SYNC or O_DSYNC descriptor: on disk once it has returned */
    uint64_t mark; /* REC_MARK */
};

/* From now on, writes to this file (by device and inode) are logged, failed or both. */
void recorder_watch(const char *path, bool keep_log);
void recorder_stop(void); /* frees the log */
void recorder_mark(uint64_t value);
size_t recorder_count(void);
const struct rec_event *recorder_at(size_t i);

enum rec_fault {
    REC_FAIL_EIO,     /* nothing happens, EIO */
    REC_FAIL_ENOSPC,  /* nothing happens, ENOSPC (a sync: EIO) */
    REC_FAIL_SHORT,   /* half is written (a sync: EIO) */
    REC_FAIL_UNKNOWN, /* it happens, and EIO is returned all the same */
    REC_FAULTS
};
/* The k-th call from now (1, 2, ...) fails once; 0: none. */
void recorder_fail(uint64_t k, enum rec_fault how);
bool recorder_failed(void); /* the fault was hit */
