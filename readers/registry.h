/* The readers as the daemon sees them: settings tables, one worker thread a bus, sights out, answers in.
 *
 * Workers push struct sight into the queue given at start and touch nothing else of the daemon. A reader whose
 * `acked` is true (its device latches a read until it is cleared) stops at each SIGHT_CARD until it is answered:
 *   ANSWER_STORED   the punch is committed and synced: clear the flag, then SIGHT_ACKED once the device confirms.
 *                   A clear that got no answer is settled by reading the flag: 0 is cleared; 1 with the same id is the
 *                   same presentation and is cleared again without a second sight.
 *   ANSWER_REFUSED  not stored: leave the flag, look again after a second (a new SIGHT_CARD follows).
 * SIGHT_IDLE is sent when the first good poll after (re)connecting finds no latched read. One-way readers are
 * answered too; their driver ignores it.
 *
 * A reader that shows a card for as long as it is there sends one SIGHT_CARD when it comes and SIGHT_LEFT, with the
 * same credential, when it is gone or the device is: `hold` then counts from when the card was last seen.
 */
#pragma once

#include <stdatomic.h>

#include "base/conf.h"
#include "base/queue.h"
#include "readers/light.h"
#include "wire/punch.h"

#define READERS_MAX 64
#define BUSES_MAX 32

struct bus_settings {
    char *name;
    char *serial; /* device path, /dev/serial/by-id/... preferred */
    char *usb;    /* or "vvvv:pppp[:serial number]", found by libserialport */
    char *tcp;    /* or host:port of a Modbus TCP server */
    uint64_t baud;
    int frame; /* enum port_frame: 8N1 8E1 8O1 8N2 */
};

struct reader_settings {
    char *name; /* 1..24 bytes of UTF-8, unique */
    char *bus;
    int driver;    /* enum reader_driver */
    int layout;    /* ascii125: enum ascii125_layout */
    int reverse;   /* ascii125: enum ascii125_reverse */
    int number;    /* enum rendering: how the customer's cards are printed */
    char *profile; /* modbus: name of a file in config/profiles, or a path */
    uint64_t unit; /* modbus: 1..247 (TCP: 0..255) */
    uint64_t poll_ms, timeout_ms, hold_ms;
    int direction;             /* enum punch_dir: unknown, in, out */
    int feedback;              /* enum reader_feedback */
    char *lights[LIGHT_ROLES]; /* with FEEDBACK_HOST: places (light_out.h) by role, some may be NULL */
};

/* Who tells the person at the reader that the punch is stored; only after the commit in every case. A latched read is
 * cleared after the commit whatever it is: until then the device takes no other card. */
enum reader_feedback {
    FEEDBACK_READER, /* the reader itself, as far as it can be told */
    FEEDBACK_HOST,   /* a light or buzzer of the gateway */
    FEEDBACK_NONE,
};

extern const struct conf_table bus_table;    /* of struct bus_settings */
extern const struct conf_table reader_table; /* of struct reader_settings */

enum sight_kind { SIGHT_CARD, SIGHT_LEFT, SIGHT_IDLE, SIGHT_ACKED, SIGHT_DOWN, SIGHT_UP };
struct sight {
    enum sight_kind kind;
    unsigned reader; /* index in the settings list */
    uint64_t token;  /* of a SIGHT_CARD: goes back in readers_answer and in SIGHT_ACKED */
    struct cred cred;
    int64_t real; /* clock_both() at the moment the frame was complete; of SIGHT_LEFT: of the last one with the card */
    uint64_t mono;
};

enum answer { ANSWER_STORED, ANSWER_REFUSED };

/* Counters of one reader, written by its worker, readable any time. */
struct reader_stats {
    _Atomic uint64_t reads; /* SIGHT_CARD sent */
    _Atomic uint64_t polls;
    _Atomic uint64_t unusable;   /* well read, but an id that names no card: cred_usable() */
    _Atomic uint64_t bad;        /* frames dropped: wrong check, garbage, truncated, too long */
    _Atomic uint64_t exceptions; /* Modbus exceptions */
    _Atomic uint64_t timeouts;
    _Atomic uint64_t late; /* replies that came after their time-out, dropped */
    _Atomic bool up;
};

/* Does the device of such a reader wait for our answer? */
bool reader_acked(const struct reader_settings *s, const char *profile_dir);

struct readers;
/* Checks what tables cannot (bus exists, driver fits the bus, profile loads); mistakes are reported through
 * conf_mistake(conf, field). Returns the number of mistakes. profile_dir: where profile names are looked up. */
int readers_check(struct conf *conf, const struct conf_list *buses, const struct conf_list *readers,
                  const char *profile_dir);
/* Starts every worker; a device that is absent is retried for ever by its worker. Settings must outlive it. */
int readers_start(const struct conf_list *buses, const struct conf_list *readers, const char *profile_dir,
                  struct queue *sights, struct readers **ret);
void readers_stop(struct readers *r); /* joins the workers, at most some 2 s; frees */
bool readers_acked(const struct readers *r, unsigned reader);
void readers_answer(struct readers *r, unsigned reader, uint64_t token, enum answer a); /* any thread, never blocks */
const struct reader_stats *readers_stats(const struct readers *r, unsigned reader);
