/* board.h -- what the driver and the daemon under test share: which call is to fail, and what became of it.
 *
 * One page of a file that both map, so that it outlives a daemon that is killed: calls are counted on over a restart. */
#ifndef NTH_BOARD_H
#define NTH_BOARD_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The classes of calls that can fail. A class is what fails for the same reasons. */
enum nth_class {
    NTH_OPEN,
    NTH_READ,  /* of files; not of eventfds: they cannot fail */
    NTH_WRITE, /* the same */
    NTH_SHORT, /* a write that takes one byte */
    NTH_SYNC,
    NTH_CLOSE, /* of a file that was written; it is closed, and says that it failed */
    NTH_RENAME,
    NTH_LINK,
    NTH_UNLINK,
    NTH_MKDIR,
    NTH_STAT,
    NTH_OWNER,      /* mode, group, lock, label */
    NTH_DESCRIPTOR, /* a new one that is not a file: socket, eventfd, duplicate */
    NTH_BIND,
    NTH_LISTEN,
    NTH_CONNECT,
    NTH_PEER, /* who is at the other end */
    NTH_ACCEPT,
    NTH_THREAD,
    NTH_LOOP,    /* what libuv cannot set up */
    NTH_RPC,     /* starting a batch of operations of a call, or waiting for the next call */
    NTH_CHANNEL, /* taking a connection over */
    NTH_MEMORY,  /* sizes from outside */
    NTH_CLASSES
};
enum { NTH_SITES = 24, NTH_LOOK_MS = 100 };

struct nth_board {
    int class, n, error; /* the n-th call of the class (from 1) fails with that error */
    bool forever;        /* and all later ones of the class */
    atomic_bool armed;
    atomic_int counts[NTH_CLASSES]; /* calls so far, while armed */
    atomic_int failed;              /* calls that were made to fail */
    char call[32], on[160];         /* the first of them: its name, and the file where there is one */
    int sites;
    uintptr_t site[NTH_SITES]; /* its callers, innermost first, relative to the program's start */

    char step
        [80]; /* the driver's own: what it is doing, which daemon runs, how many descriptors that has at the end */
    int daemon, descriptors;
};
#define NTH_ENV "NTH_BOARD" /* path of the file */
void nth_arm(void);         /* faults.c: for a program that arms by itself */
#endif
