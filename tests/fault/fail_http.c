/* libmicrohttpd: responses and headers are allocated. */
#include <microhttpd.h>

#include "tests/fault/strike.h"

FAIL(STRIKE_OTHER, struct MHD_Response *, MHD_create_response_from_buffer,
     (size_t n, void *p, enum MHD_ResponseMemoryMode mode), (n, p, mode), NULL)
FAIL(STRIKE_OTHER, struct MHD_Response *, MHD_create_response_from_callback,
     (uint64_t size, size_t block, MHD_ContentReaderCallback fn, void *arg, MHD_ContentReaderFreeCallback done),
     (size, block, fn, arg, done), NULL)
FAIL(STRIKE_OTHER, enum MHD_Result, MHD_add_response_header, (struct MHD_Response * r, const char *name, const char *v),
     (r, name, v), MHD_NO)
FAIL(STRIKE_OTHER, enum MHD_Result, MHD_queue_response,
     (struct MHD_Connection * c, unsigned code, struct MHD_Response *r), (c, code, r), MHD_NO)
