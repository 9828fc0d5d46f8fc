/* 125 kHz modules that speak by themselves: RDM6300, EM-18, ID-2/12/20(LA), 7941E and relatives. A push parser: any
 * bytes in, credentials out. The line is untrusted: a frame may come in any pieces, glued to another, begun in the
 * middle. It has no clock: who reads the line tells it when there was a gap. */
#pragma once

#include "readers/driver.h"

/* Ten digits are the card's, two more their check.
 *   A  02, 12 digits, 03                     RDM6300, RDM630, Seeed
 *   B  02, 12 digits, 0D 0A 03               ID-2/12/20(LA)
 *   C  12 digits, no frame                   EM-18
 *   D  02, 10 digits, 0D 0A 03               RS-232 and USB readers without a check
 *   E  02, length, type, id, check, 03       7941E: binary; EM4100, or an ISO 14443 id of 4, 7 or 10 bytes
 */
enum ascii125_layout { ASCII125_AUTO, ASCII125_A, ASCII125_B, ASCII125_C, ASCII125_D, ASCII125_E };
/* How the reader turned the id round before it sent it: the order of its bytes, of the bits in each byte, or of the
 * two halves of each byte. It is turned back, so that the credential is the card's whatever reader read it. A check
 * is one of the bytes as they were sent. */
enum ascii125_reverse { ASCII125_AS_IS, ASCII125_BYTES, ASCII125_BITS, ASCII125_NIBBLES };
#define ASCII125_FRAME_MAX 16

struct ascii125 {
    enum ascii125_layout layout;
    enum ascii125_reverse reverse;
    uint8_t buf[ASCII125_FRAME_MAX]; /* empty, or the beginning of a frame */
    size_t n;
    bool lost;         /* C: nothing counts before the next gap */
    bool checked;      /* auto: a frame of B came, so this reader sends no D */
    bool junk;         /* bytes were dropped since the last good frame or gap, and counted */
    uint64_t bad;      /* runs of such bytes */
    uint64_t unusable; /* good frames whose id names no card: cred_usable() */
};

void ascii125_init(struct ascii125 *p, enum ascii125_layout layout, enum ascii125_reverse reverse);
/* One byte; true when it completes a frame: *ret_cred is TECH_EM4100, 40 bits, or with layout E TECH_ISO14443. */
bool ascii125_push(struct ascii125 *p, uint8_t byte, struct cred *ret_cred);
/* The line was silent for ascii125_gap_ms(): what is buffered will not become a frame. True when there was a whole one
 * within what had looked like the beginning of a longer one. */
bool ascii125_gap(struct ascii125 *p, struct cred *ret_cred);
int ascii125_gap_ms(enum ascii125_layout layout);
