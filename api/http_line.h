/* A line: work that waits, first come, first served, and the threads that do it. It is bounded, and each address has no
 * more than its share of the places; so nobody takes another's. All functions are thread-safe. */
#pragma once

#include "cloud/address.h"

/* Embedded by its owner. */
struct line_item {
    struct line_item *next;
    struct address who; /* address_share() of the client; set before line_join(), as is the next */
    bool known;         /* it may take one of the places that are kept */
};

struct line_options {
    unsigned threads;
    unsigned waiting;      /* at most; those that are being done do not count */
    unsigned waiting_each; /* at most, of one address; 0: no limit */
    unsigned kept;         /* places beside `waiting`, for who is known */
    int nice;              /* so much nicer are its threads than who starts them, 0 .. 19 */
    /* Does one, on a thread of the line. `closing`: it is not to be done, only to be sent away. */
    void (*fn)(void *arg, struct line_item *item, bool closing);
    void *arg;
};

struct line;
int line_new(const struct line_options *o, struct line **ret_line);
/* True: the item is the line's until its fn is called. */
bool line_join(struct line *l, struct line_item *item);
/* From within fn, for work that takes long: who waits now gets his turn on this thread, before it returns. Those may
 * not do the same. False: the line is about to close. */
bool line_others(struct line *l);
/* Who waits is sent away, who comes is not taken; returns when nothing of it runs. */
void line_close(struct line *l);
void line_free(struct line *l); /* closed; takes NULL */
