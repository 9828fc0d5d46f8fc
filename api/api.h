/* The HTTPS API: one table of routes over the store's functions. docs/API.md describes it to its users. */
#pragma once

#include "cloud/cloud.h"
#include "cloud/ingest.h"

struct api;
/* Listens where the settings say. `in` may be NULL: then the broker counts as not connected. Both are borrowed until
 * api_stop(). -EADDRINUSE, ... */
int api_start(struct cloud *c, struct ingest *in, struct api **ret_api);
void api_stop(struct api *a); /* waits for requests that run; takes NULL */
/* There may be something new for who listens to a stream. From any thread; takes NULL. */
void api_wake(struct api *a);
unsigned api_port(const struct api *a);
/* Requests since the start, by route and class of status (2 for 2xx). Behind the last route stands "-" for what fitted
 * none; behind that NULL. */
uint64_t api_requests(const struct api *a, size_t route, unsigned status_class, const char **ret_method,
                      const char **ret_pattern);
