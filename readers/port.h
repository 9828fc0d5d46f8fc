/* One serial line: opened raw by termios, a tty and a pty by the same code, never by libserialport, which cannot
 * open a pty; that library only finds a USB adapter by its identity, whatever its ttyUSBn is today. */
#pragma once

#include "readers/driver.h"

enum port_frame { PORT_8N1, PORT_8E1, PORT_8O1, PORT_8N2 };

struct port_settings {
    const char *serial; /* device path, symlinks are followed at each open; or */
    const char *usb;    /* vvvv:pppp[:serial number] */
    uint64_t baud;
    enum port_frame frame;
    bool rs485; /* let the kernel's driver switch the transmitter, where it can */
};

bool port_baud_known(uint64_t baud);
/* A text of the form vvvv:pppp[:serial]; *ret_serial points into it, NULL without one. -EINVAL. */
int port_usb_parse(const char *usb, int *ret_vendor, int *ret_product, const char **ret_serial);
/* The device path of that adapter now; LINK_ABSENT. */
int port_usb_find(const char *usb, char *ret_path, size_t size);

enum port_rs485 { PORT_RS485_NOT_ASKED, PORT_RS485_ON, PORT_RS485_UNKNOWN };
/* LINK_ABSENT when there is no such device, else -errno. Exclusive, non-blocking, input flushed: a read must not be
 * stamped later than it happened. */
int port_open(const struct port_settings *s, int *ret_fd, enum port_rs485 *ret_rs485);

/* Time of one character on the line in nanoseconds, all its bits counted. */
uint64_t port_char_ns(uint64_t baud, enum port_frame frame);

/* A link to a device that speaks by itself. The settings outlive it. */
int port_link_new(const struct port_settings *s, struct link **ret_link);
