/* ASCII 125 kHz modules: RDM6300, EM-18 on a start byte, ID-2/12/20(LA) and relatives. A push parser: any bytes in,
 * credentials out. The line is untrusted: a frame may come in any pieces, glued to another, begun in the middle. */
#pragma once

#include "readers/driver.h"

/* A: 02, ten hex digits, two of check, 03 (RDM6300, RDM630, Seeed). B: 0D 0A before the 03 (ID-12LA family). */
enum ascii125_layout { ASCII125_AUTO, ASCII125_A, ASCII125_B };
#define ASCII125_FRAME_MAX 16

struct ascii125 {
    enum ascii125_layout layout;
    uint8_t buf[ASCII125_FRAME_MAX];
    size_t n;
    bool junk;    /* inside a run of bytes that are no frame, already counted */
    uint64_t bad; /* frames and runs of bytes dropped */
};

void ascii125_init(struct ascii125 *p, enum ascii125_layout layout);
/* One byte; true when it completes a frame: *ret_cred is TECH_EM4100, 40 bits. */
bool ascii125_push(struct ascii125 *p, uint8_t byte, struct cred *ret_cred);
/* The line was silent for longer than a frame can pause: what is buffered will not become one. */
void ascii125_gap(struct ascii125 *p);
