/* plugin.h -- the running plugin: its parts, and how they are started and ended.
 *
 *   main      options                             life      start, end, signals
 *   common    what all of these need              watch     polls both sockets: make ours again, register again
 *   service   serves the DevicePlugin service     commands  --manual: lines on stdin
 *   enrol     calls Register on kubelet.sock      answer, devices, faults, wire: what is said; no I/O
 *
 * Everything runs on one loop. What has to be closed before the bridge to gRPC may go holds the plugin (fp_hold); when
 * it ends and the last hold is dropped, the bridge is released and the loop runs empty. */
#ifndef FP_PLUGIN_H
#define FP_PLUGIN_H
#include "answer.h"
#include "base/list.h"
#include "devices.h"
#include "rpc/client.h"
#include "rpc/rpc.h"
#include "rpc/server.h"
#include <jansson.h>
#include <sys/types.h>
#include <time.h>
#include <uv.h>

#define FP_PROGRAM "devmgr-fakeplugin"

struct fp_config {
    const char *resource;
    char *folder, *socket; /* ROOT/device-plugins; file name in there */
    size_t devices, numa;
    bool prestart, offer_preferred, manual;
    int preference; /* enum fp_preference */
    uint64_t latency_ms;
};

/* A file, told from another one that later has the same name. */
struct fp_identity {
    bool there;
    dev_t device;
    ino_t inode;
    struct timespec made; /* inode numbers are used again; a socket's mtime is when it was bound */
};

struct fp_plugin {
    struct fp_config config;
    struct fp_faults faults;
    struct fp_answer answer;
    struct fp_devices devices;
    char *path, *kubelet; /* of the two sockets */
    uv_loop_t loop;
    struct dm_rpc *rpc;
    int holds;
    void (*stop)(struct fp_plugin *p); /* life.c: all parts */
    bool ending;
    int failure; /* exit code */
    /* service */
    struct dm_server *server;
    void *listener;           /* NULL: not listening */
    struct fp_identity own;   /* the socket we made */
    struct dm_list calls;     /* all open ones */
    uint64_t counts[FP_RPCS]; /* as served, or for FP_REGISTER as sent */
    json_t *log;              /* calls since the last `calls` command */
    /* enrol */
    struct fp_enrolment *enrolment; /* the Register in progress, NULL: none */
    uv_timer_t again;               /* when to try again */
    int mute_fd;                    /* register:hang's connection, -1: none */
    char *last_failure;             /* told already */
    /* watch */
    uv_timer_t tick;
    struct fp_identity registered_at; /* the kubelet.sock that was last tried */
    bool usurped;                     /* somebody else's socket is in our place; said once */
    /* commands */
    struct fp_commands *commands;
    uv_signal_t terminate, interrupt;
};

/* life */
int fp_run(struct fp_plugin *p); /* until the end; the exit code */

/* common */
void fp_hold(struct fp_plugin *p);
void fp_drop(struct fp_plugin *p);
void fp_end(struct fp_plugin *p); /* stops everything; twice is harmless */
void fp_say(json_t *event);       /* one line on stdout; steals the reference */
void fp_say_fault(const struct fp_plugin *p, enum fp_rpc rpc, const struct fp_plan *plan); /* if it is one */
void fp_complain(const char *what, const char *why); /* one line on stderr */
void fp_die(void) __attribute__((noreturn));         /* as if killed from outside */
uint64_t fp_now_ns(void);                            /* CLOCK_MONOTONIC */
struct fp_identity fp_identify(const char *path);
bool fp_identity_same(const struct fp_identity *a, const struct fp_identity *b);

/* service */
int fp_service_start(struct fp_plugin *p, devmgr_error *reterr);
int fp_service_listen(struct fp_plugin *p, devmgr_error *reterr); /* (again); takes a dead socket's place */
void fp_service_unlisten(struct fp_plugin *p);
void fp_service_unlink(struct fp_plugin *p); /* the socket file, if it is still ours */
void fp_service_stop(struct fp_plugin *p);
/* Sends a list on every stream that has had its first one. Returns the time just before that, 0: there is no stream. */
uint64_t fp_service_send(struct fp_plugin *p, struct dm_span list);
size_t
fp_service_queued(const struct fp_plugin *p); /* bytes of lists not yet taken, of the stream that has most */

/* enrol */
typedef void (*fp_enrolled_cb)(struct fp_plugin *p);
/* Registers and says how it went; while one is in progress: once more after it. `cb` (or NULL) runs at the end. */
void fp_enrol(struct fp_plugin *p, fp_enrolled_cb cb);
void fp_enrol_stop(struct fp_plugin *p);

/* watch */
void fp_watch_start(struct fp_plugin *p);

/* commands */
void fp_commands_start(struct fp_plugin *p);
void fp_commands_stop(struct fp_plugin *p);
#endif
