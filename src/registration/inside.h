/* inside.h -- how these hang together, each calling only those below it. Private to this folder.
 *
 *   registration.c   life              registrar.c   the Register service       plugin.c   one endpoint
 *   calls.c          RPCs to it        reply.c       answers to Register        later.c    the next turn, and the end
 *
 *   Register ──► registrar.c: checks ──► plugin.c: CONNECTING ──► ASKING ──► LIVE ──► CLOSING ──► (freed)
 *                                            dial       options     │  stream
 *                                   reply.c: the answer ◄───────────┴─ or a failure on the way
 *
 * Invariants
 *   (1) `current` has for a resource the LIVE plugin that was connected last, if it still lives.
 *   (2) A plugin that fails before LIVE was never in `current`: who is there stays untouched.
 *   (3) Events may call in again, also dm_registration_close: after one, look at the state anew. Nothing is freed in
 *       such a call, because dial, channel and timers end in turns of their own.
 *   (4) dm_finish_close ends it all when nothing is left. */
#ifndef DM_REGISTRATION_INSIDE_H
#define DM_REGISTRATION_INSIDE_H
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "registration/folder.h"
#include "registration/metrics.h"
#include "registration/registration.h"
#include "rpc/client.h"
#include "rpc/server.h"

struct dm_registration {
    struct dm_rpc *rpc;
    const struct dm_settings *settings;
    const struct dm_registration_events *events;
    void *self; /* of the events */
    struct dm_folder *folder;

    struct dm_server *server; /* NULL before serve */
    void *listener;           /* NULL: not serving (any more) */
    devmgr_error trouble;     /* code < 0: what keeps plugins from registering */
    void (*folder_moved)(void *self);

    struct dm_list plugins; /* dm_plugin, in the order they began */
    struct dm_map current;  /* resource -> dm_plugin */
    size_t registering;     /* plugins that are CONNECTING or ASKING */
    uint64_t generations;   /* the last one given out */
    struct dm_metrics metrics;

    struct dm_list calls;  /* dm_open_call with a plugin */
    struct dm_list unsent; /* dm_open_call to nobody: answered when `soon` fires */
    struct dm_list lines;  /* for the log, from inside serve */

    uv_timer_t watch, soon;
    uv_timer_cb on_soon; /* answers what waits in `unsent` and `lines` */
    bool closing, server_open, handles_closing;
    int handles; /* uv handles not closed yet */
    void (*closed)(void *arg);
    void *closed_arg;
};

enum dm_plugin_state { DM_PLUGIN_CONNECTING, DM_PLUGIN_ASKING, DM_PLUGIN_LIVE, DM_PLUGIN_CLOSING };
struct dm_plugin {
    struct dm_registration *r;
    struct dm_list in_registration;
    enum dm_plugin_state state;
    char *resource, *socket;
    uint64_t generation;       /* 0 before LIVE */
    struct dm_incoming *asker; /* the Register call; NULL: answered */
    uint64_t deadline;         /* uv_now: when the asker stops waiting; UINT64_MAX: never */
    uint64_t limit;            /* ms that the step going on may take */
    bool gave_up;              /* the asker went away first */
    bool prestart, preferred;
    struct dm_dial *dial;       /* CONNECTING */
    struct dm_channel *channel; /* from ASKING on */
    struct dm_rpc_call *call;   /* ASKING: the options; LIVE: the stream */
    char *why;                  /* the stream's end is ours, for this reason */
    bool listed;
    uint64_t fingerprint; /* of the last list that was reported */
    unsigned noted;       /* causes that were told once */
};

/* registrar.c */
int dm_registrar_open(struct dm_registration *r, devmgr_error *reterr); /* makes the server */

/* plugin.c */
void dm_plugin_start(struct dm_registration *r, const char *resource, const char *socket,
                     struct dm_incoming *asker);
void dm_plugin_close(struct dm_plugin *p); /* no events any more; freed later */

/* calls.c */
void dm_calls_answer_unsent(struct dm_registration *r);

/* reply.c */
void dm_reply_refuse(struct dm_registration *r, struct dm_incoming *in, const char *resource, int code,
                     const char *text);
/* Answers the plugin's Register call, if it waits still. `text` NULL: success. */
void dm_reply_plugin(struct dm_plugin *p, int code, const char *text);

/* later.c */
void dm_soon(struct dm_registration *r);         /* `on_soon`, on a turn of the loop of its own */
void dm_finish_close(struct dm_registration *r); /* when closing and nothing is left; else nothing */
#endif
