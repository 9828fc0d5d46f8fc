/* A Modbus RFID reader as data: how it tells that a card is there, where the number is, what acknowledges it. One YAML
 * file a device family, in config/profiles; every fact in it names its source. Only what a shipped profile needs can be
 * said in one. */
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

/* Latched: a read waits, flagged, until it is cleared. Level: the number is there while the card is. */
enum profile_presence { PROFILE_LATCHED, PROFILE_LEVEL };

/* Where each byte of a number is: 2 * register + 1 for its low half, the registers counted from read.from. */
#define PROFILE_LAYOUTS_MAX 4
struct profile_layout {
    uint8_t n, at[CRED_MAX];
};

struct profile {
    char title[64];
    uint8_t tech;
    enum profile_presence presence;
    unsigned absent_polls;   /* level: good polls in a row without a card that make it gone */
    struct profile_at flag;  /* latched: 1 while a read waits to be cleared */
    struct profile_at reset; /* 1 after the device started; of the flag's kind, within one request */
    struct {
        enum ask_fc fc;                 /* ASK_HOLDING or ASK_INPUT */
        uint16_t from, n;               /* the registers of one request: one consistent snapshot */
        struct profile_at flag, length; /* may be absent */
        struct profile_layout layouts[PROFILE_LAYOUTS_MAX];
        size_t n_layouts;
        bool shorter; /* the one layout also serves for every shorter number */
    } read;
    struct profile_write clear; /* latched: the acknowledgement */
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

/* A read's registers (v[0] is register read.from). PROFILE_NONE: nothing there: the flag is not set in this snapshot,
 * or, of a level device, length or number is zero. PROFILE_BAD: there is something, but no number: a length that the
 * profile has no bytes for, or all zero. PROFILE_UNUSABLE: an id that names no card, cred_usable(). */
enum { PROFILE_NONE = 2, PROFILE_UNUSABLE = 3 };
int profile_cred(const struct profile *p, const uint16_t *v, struct cred *ret_cred);
/* The length that a read's registers tell, or that every number has: for the log. */
unsigned profile_length(const struct profile *p, const uint16_t *v);
