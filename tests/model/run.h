/* run.h -- lives of a manager, each in a process of its own, so that a crash or a hang is a result like any other. */
#ifndef RUN_H
#define RUN_H
#include "world.h"

enum { LIFE = 1500 }; /* events, at most */
struct life {
    size_t n;    /* events that were begun */
    bool ending; /* all of them are through: it is brought to its end */
    struct event events[LIFE];
    unsigned counts[COUNTS];
    char complaint[COMPLAINT]; /* its kind; "": a crash, or none */
};
/* Shared with the processes that live them. */
struct life *life_new(void);
/* False: it failed; life->events[0 .. n) is what happened. */
bool life_random(struct life *life, uint64_t seed, size_t steps);
bool life_again(struct life *life, const struct event *events, size_t n, bool loud);
/* Leaves away what is not needed for the same complaint, then makes the rest simpler. Returns how many events are left. */
size_t life_shrink(struct life *scratch, struct event *events, size_t n);
#endif
