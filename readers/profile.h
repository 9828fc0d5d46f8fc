/* A Modbus RFID reader as data: where its flag, number and acknowledgement are. One YAML file a device family, in
 * config/profiles; every fact in it names its source. Only what a shipped profile needs can be said in one. */
#pragma once

#include "base/conf.h"
#include "readers/driver.h"

/* A coil, input or register: the wire address, counted from 0. */
struct profile_at {
    enum ask_fc fc; /* ASK_COILS .. ASK_INPUT; 0: the profile does not have it */
    uint16_t addr;
};
struct profile_write {
    struct profile_at at; /* ASK_COILS or ASK_HOLDING */
    uint16_t value;
};
#define PROFILE_INIT_MAX 16

enum profile_order { PROFILE_HIGH_FIRST, PROFILE_LOW_FIRST };

struct profile {
    char title[64];
    uint8_t tech;
    struct profile_at flag;  /* latched: 1 while a read waits to be cleared */
    struct profile_at reset; /* 1 after the device started; of the flag's kind, within one request */
    struct {
        struct profile_at flag, length, id; /* flag and length may be absent */
        uint16_t from, n;                   /* the registers of one request: one consistent snapshot */
        uint16_t max;                       /* bytes of an id; its length when there is no length register */
        enum profile_order order;           /* of the two bytes in a register */
    } read;
    struct profile_write clear; /* the acknowledgement */
    struct profile_write init[PROFILE_INIT_MAX];
    size_t n_init;
};

/* The file's keys, for `check`, the example and the manual page. */
extern const struct conf_table profile_table;

/* `name`: a file name without .yaml in `dir`, or a path when it has a slash. PROFILE_BAD: *ret_text (heap, owned by
 * the caller) tells every mistake with file, line and column. -ENOENT, ... when it cannot be read. */
enum { PROFILE_BAD = 1 };
int profile_load(const char *dir, const char *name, struct profile *ret_profile, char **ret_text);
int profile_parse(const char *name, struct bytes text, struct profile *ret_profile, char **ret_text);

/* A read's registers (v[0] is register read.from). PROFILE_NONE: the flag is not set in this snapshot; PROFILE_BAD:
 * no number in it (length 0 or beyond max, or all zero). */
enum { PROFILE_NONE = 2 };
int profile_cred(const struct profile *p, const uint16_t *v, struct cred *ret_cred);
