/* The listening socket, made here and not by libmicrohttpd, which would tell neither why it failed nor its port. */
#pragma once

#include "base/error.h"

/* "127.0.0.1:8443", "[::]:8443"; both parts are mandatory. */
int http_listen(const char *listen, int *ret_fd, unsigned *ret_port);
/* Room for so many connections; short of descriptors, the store would suffer before the listener does. -EMFILE. */
int http_descriptors(unsigned connections);
