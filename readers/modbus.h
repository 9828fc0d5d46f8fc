/* Links to Modbus devices: a serial line (RTU) or a host (TCP), one implementation with two openers. The only owner
 * of libmodbus. */
#pragma once

#include "readers/port.h"

/* The settings outlive the link, the strings in them too. `stop_fd` (readable: stop) ends every wait. */
int modbus_rtu_link_new(const struct port_settings *s, int stop_fd, struct link **ret_link);
/* `where` is host:port. */
int modbus_tcp_link_new(const char *where, int stop_fd, struct link **ret_link);
