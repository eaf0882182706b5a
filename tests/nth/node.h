/* node.h -- a node in a scratch folder: devmgrd with faults, two fake plugins, a client. One run of one life is one
 * process: what goes wrong ends it, by lost(). */
#ifndef NTH_NODE_H
#define NTH_NODE_H
#include "board.h"
#include "control/client.h"
#include <sys/types.h>

enum { PLUGINS = 2, TRIES = 4 };

struct plugin {
    const char *resource;
    int devices;
    pid_t pid;
    int in, out;
    char line[4096]; /* the last one it said */
};
struct node {
    struct nth_board *board;
    char folder[64], root[80], log[80];
    pid_t pid; /* the daemon's; 0: none runs */
    int out;   /* its stdout */
    struct plugin plugins[PLUGINS];
    struct dm_client *client; /* NULL: not connected */
};

/* This run has failed: says why and ends the process. */
void lost(const struct node *n, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
/* What was told to people while things went wrong: kept for `nth -v`. */
void said(const char *who, const char *text);
void step(struct node *n, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Is a call failing now, or could one still? Then what does not work is no surprise. */
bool trouble(const struct node *n);
/* As long as the fault is one that goes on. */
bool outage(const struct node *n);
void calm(struct node *n); /* from now on nothing fails */
uint64_t now_ms(void);
void nap(unsigned ms);

/* `folder` is there, and has the file `board`. */
void node_open(struct node *n, struct nth_board *board, const char *folder);
/* True: it serves. False: it has ended because of the fault, and said so. */
bool daemon_start(struct node *n);
void daemon_kill(struct node *n);
void daemon_stop(struct node *n); /* SIGTERM; it ends with 0 */
void daemon_look(struct node *n); /* it has not ended by itself */
int daemon_descriptors(const struct node *n);
/* The other program, embedded.c: how often of two it opened the library. It ends well. */
int embedded_run(struct node *n, bool armed);

void plugin_start(struct node *n, struct plugin *p, const char *const *options);
void plugin_kill(struct plugin *p);
/* True: the manager took it. */
bool plugin_register(struct node *n, struct plugin *p);

/* Calls `call` over a connection, again over a new one when that was lost. True: it was answered OK. False: not, and
 * that is no surprise. *err: the last answer. */
bool talk(struct node *n, const char *what, int (*call)(struct dm_client *c, void *arg, devmgr_error *err),
          void *arg, devmgr_error *err);
void hang_up(struct node *n);
#endif
