/* One bus and its worker thread: the line is opened and re-opened here, readers take turns, answers come in. */
#pragma once

#include "readers/driver.h"

struct bus;
#define BUS_READERS_MAX READERS_MAX

/* `name`, and `where` the line is (a device, a host; for the log), outlive the bus. The link is made between new and
 * start, since it needs the stop descriptor. */
int bus_new(const char *name, const char *where, struct queue *sights, struct bus **ret_bus);
int bus_stop_fd(const struct bus *b);             /* readable once the bus is to stop */
void bus_set_link(struct bus *b, struct link *l); /* the bus owns it from here */
/* Adds a reader; *ret_slot names it in bus_answer. env's link and outbox are set here. */
int bus_add(struct bus *b, const struct driver *d, const struct driver_env *env, unsigned *ret_slot);
int bus_start(struct bus *b);
/* From any thread, never blocks. BUS_FULL cannot happen while each reader has one question open. */
enum { BUS_FULL = 1 };
int bus_answer(struct bus *b, unsigned slot, uint64_t token, enum answer a);
void bus_ask_stop(struct bus *b); /* returns at once */
void bus_free(struct bus *b);     /* stops and joins first; takes NULL */
