/* service.h -- how the handlers hang together. Private to src/control.
 *
 *   control.c   start and end, the table of methods
 *   admit.c     Admit, AdmitEach
 *   change.c    ContainerOptions, the releases, Sync, Adopt, ForgetResource
 *   look.c      what only looks: Info, lists, Check, Metrics ...
 *   watch.c     Watch and its watchers
 *   request.c   what comes in and what is answered; all of these use it
 *
 * (1) A request lives from its arrival until it was answered, whatever its client does meanwhile; callbacks of devmgr.h
 *     find it alive. A client that goes away only makes the answer go nowhere.
 * (2) Once closing, devmgr is not called any more. */
#ifndef DM_CONTROL_SERVICE_H
#define DM_CONTROL_SERVICE_H
#include "base/list.h"
#include "control/control.h"
#include "control/convert.h"
#include "control/listen.h"
#include "rpc/server.h"

struct dm_control {
    devmgr *m;
    struct dm_rpc *rpc;
    struct dm_server *server;
    void *listener;
    struct dm_socket_file file;
    struct dm_list requests;                /* being served */
    struct dm_list watchers;                /* of watch.c */
    void (*answered)(struct dm_control *c); /* after each request */
    bool closing, draining;
    uv_timer_t drain; /* while the last answers go out */
    int drain_turns;
    void (*closed)(void *arg);
    void *closed_arg;
};

struct dm_request {
    struct dm_list in_control;
    struct dm_control *control;
    struct dm_incoming *in;
    struct dm_arena arena; /* of the message that came, and of answers */
    const void *message;   /* read by the descriptor of the method */
};

/* ---- answering; each ends the request and frees it */
void dm_request_reply(struct dm_request *r, const void *message);
/* `code` is devmgr.h's; `err` NULL or without a message: `what` says what was asked for. */
void dm_request_fail(struct dm_request *r, int code, const devmgr_error *err, const char *what);
void dm_request_refuse(struct dm_request *r, int status, const char *message);
void dm_request_reply_bytes(struct dm_request *r, const struct dm_buf *packed);
/* Streaming: the end of it. */
void dm_request_finish(struct dm_request *r, const struct dm_status *status);
/* A text of the request. NULL: it is bad, or empty though `required`; the request is refused and gone. */
const char *dm_request_text(struct dm_request *r, ProtobufCBinaryData text, const char *field, bool required);
/* gRPC's number for a negative code of devmgr.h. */
int dm_control_status(int code);

typedef void dm_handler(struct dm_request *r);
dm_handler dm_serve_info, dm_serve_admit, dm_serve_admit_each, dm_serve_container_options, dm_serve_init_done,
    dm_serve_release_container, dm_serve_release, dm_serve_sync, dm_serve_claim_record, dm_serve_adopt,
    dm_serve_list_resources, dm_serve_list_devices, dm_serve_list_pods, dm_serve_health_history,
    dm_serve_node_allocatable, dm_serve_explain, dm_serve_hints, dm_serve_forget_resource, dm_serve_check,
    dm_serve_metrics, dm_serve_watch;
/* watch.c: ends all watchers; the daemon closes. */
void dm_watch_end_all(struct dm_control *c);
#endif
