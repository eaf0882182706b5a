/* rpc.c -- the bridge: one pump thread waits on gRPC's completion queue and hands tags to the loop.
 *
 *   pump:  grpc_completion_queue_next --push--> `posted` (a stack) --first one writes--> eventfd
 *   loop:  uv_poll on the eventfd --> takes the whole stack --> runs it in the order of arrival
 *
 * (1) Only the loop's thread touches anything but `posted`, `stage` and the eventfd.
 * (2) Life: RUNNING --last reference and last user gone--> queue shut down --pump has emptied it--> DRAINED --a thread
 *     gives gRPC back: it may wait--> DISMANTLED --> handle closed --> `closed` told, freed.
 * (3) An eventfd and uv_poll instead of uv_async: uv_async_send of libuv 1.44 spins for many microseconds when the
 *     woken loop shares the sender's CPU. */
#include "base/mem.h"
#include "rpc/bridge.h"
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/support/log.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct release { /* a reference on its way out */
    struct dm_tag tag;
    void (*closed)(void *arg);
    void *arg;
};

enum { RUNNING, DRAINED /* the pump has returned */, DISMANTLED /* gRPC has been given back */ };
enum { SMALL_TALK = 64 * 1024, MESSAGE_COST = 1024, KICK_MS = 20 };

struct dm_rpc {
    uv_loop_t *loop;
    uv_poll_t wake;
    int wake_fd;
    grpc_completion_queue *queue;
    pthread_t thread;  /* the pump, in the end the dismantler */
    size_t sent;       /* roughly, of socket buffers */
    size_t references; /* acquire and release */
    size_t users;      /* dm_bridge_hold and _drop */
    struct release *last;
    int stage_seen;
    _Atomic(struct dm_tag *) posted; /* newest first */
    atomic_int stage;
};

static void nudge(struct dm_rpc *rpc) {
    static const uint64_t one = 1;
    while (write(rpc->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void push(struct dm_rpc *rpc, struct dm_tag *tag) {
    struct dm_tag *top = atomic_load_explicit(&rpc->posted, memory_order_relaxed);
    do
        tag->next = top;
    while (!atomic_compare_exchange_weak_explicit(&rpc->posted, &top, tag, memory_order_release,
                                                  memory_order_relaxed));
    if (!top)
        nudge(rpc); /* whoever pushed the first has woken the loop already */
}

static void reach(struct dm_rpc *rpc, int stage) {
    atomic_store_explicit(&rpc->stage, stage, memory_order_release);
    nudge(rpc);
}

static void *pump(void *arg) {
    struct dm_rpc *rpc = arg;
    gpr_timespec never = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    for (;;) {
        grpc_event ev = grpc_completion_queue_next(rpc->queue, never, NULL);
        if (ev.type == GRPC_QUEUE_SHUTDOWN)
            break;
        if (ev.type != GRPC_OP_COMPLETE)
            continue;
        struct dm_tag *tag = ev.tag;
        DM_CAME_BACK(tag);
        tag->ok = ev.success != 0;
        push(rpc, tag);
    }
    reach(rpc, DRAINED);
    return NULL;
}

/* ---- giving gRPC back -------------------------------------------------------------------------------------------- */

/* A write that met a full socket makes C core poll on a thread of its own, for 10 s at a time even when there is
 * nothing left to write, and grpc_shutdown waits for it. So give that poll an event: a short-lived channel whose peer
 * speaks nonsense. Hung up on us: somebody has polled. (tcp_posix.cc, backup_poller, gRPC 1.51) */
static void kick_poller(void) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        return;
    struct pollfd hung_up = {.fd = pair[1], .events = POLLRDHUP};
    grpc_channel_credentials *creds = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create_from_fd("kick", pair[0], creds, NULL);
    grpc_channel_credentials_release(creds);
    if (send(pair[1], "nonsense, to be refused", 23, MSG_NOSIGNAL) > 0)
        poll(&hung_up, 1, KICK_MS);
    grpc_channel_destroy(channel);
    close(pair[1]);
}

static void *dismantle(void *arg) {
    struct dm_rpc *rpc = arg;
    grpc_completion_queue_destroy(rpc->queue);
    if (rpc->sent > SMALL_TALK) /* else no socket was ever full */
        kick_poller();
    grpc_shutdown_blocking();
    reach(rpc, DISMANTLED);
    return NULL;
}

void dm_bridge_note_sent(struct dm_rpc *rpc, size_t bytes) {
    rpc->sent += bytes + MESSAGE_COST;
}

/* ---- the loop's side ---------------------------------------------------------------------------------------------- */

void dm_bridge_post(struct dm_rpc *rpc, struct dm_tag *tag) {
    tag->ok = true;
    push(rpc, tag);
}

bool dm_bridge_batch(grpc_call *call, const grpc_op *ops, size_t n, struct dm_tag *tag) {
    DM_HANDED_OUT(tag);
    return grpc_call_start_batch(call, ops, n, tag, NULL) == GRPC_CALL_OK;
}

static void tell_closed(struct release *r) {
    if (r->closed)
        r->closed(r->arg);
    free(r);
}

static void on_handle_closed(uv_handle_t *handle) {
    struct dm_rpc *rpc = handle->data;
    struct release *last = rpc->last;
    close(rpc->wake_fd);
    free(rpc);
    tell_closed(last);
}

static void run_posted(struct dm_rpc *rpc) {
    struct dm_tag *tag = atomic_exchange_explicit(&rpc->posted, NULL, memory_order_acquire), *first = NULL;
    for (struct dm_tag *next; tag; tag = next)
        next = tag->next, tag->next = first, first = tag;
    for (struct dm_tag *next; first; first = next)
        next = first->next, first->run(first, first->ok);
}

static int start_thread(struct dm_rpc *rpc, void *(*run)(void *arg));

static void on_stage(struct dm_rpc *rpc, int stage) {
    rpc->stage_seen = stage;
    pthread_join(rpc->thread, NULL);
    if (stage == DISMANTLED)
        uv_close((uv_handle_t *)&rpc->wake, on_handle_closed);
    else if (start_thread(rpc, dismantle) != 0) {
        dismantle(rpc); /* no threads to be had: it may take a moment here */
        rpc->stage_seen = DISMANTLED;
        uv_close((uv_handle_t *)&rpc->wake, on_handle_closed);
    }
}

static void on_wake(uv_poll_t *handle, int status, int events) {
    struct dm_rpc *rpc = handle->data;
    uint64_t count;
    (void)status, (void)events;
    while (read(rpc->wake_fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
    int stage = atomic_load_explicit(&rpc->stage, memory_order_acquire); /* before the last tags, not after */
    run_posted(rpc);
    if (stage != rpc->stage_seen)
        on_stage(rpc, stage);
}

/* ---- references ---------------------------------------------------------------------------------------------- */

/* gRPC's log lines go to stderr, which is not ours; what matters comes back as a status. But it dies by abort() after a
 * failed assertion, and that text is all there is then. */
static void log_nothing(gpr_log_func_args *args) {
    if (strstr(args->message, "assertion failed"))
        fprintf(stderr, "grpc: %s:%d: %s\n", args->file, args->line, args->message);
}

static void start_grpc(void) {
    if (!grpc_is_initialized() && !getenv("GRPC_VERBOSITY"))
        gpr_set_log_function(log_nothing);
    grpc_init();
}

/* Threads inherit the mask: an embedder's signal handlers stay on its own threads. (Those that gRPC starts later, from
 * the loop's thread, are another matter.) Left out is what a thread does to itself, or crash handlers would be passed
 * over. */
static void block_signals(sigset_t *before) {
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF};
    sigset_t set;
    sigfillset(&set);
    for (size_t i = 0; i < DM_COUNT(own); i++)
        sigdelset(&set, own[i]);
    pthread_sigmask(SIG_SETMASK, &set, before);
}

static int start_thread(struct dm_rpc *rpc, void *(*run)(void *arg)) {
    sigset_t before;
    block_signals(&before);
    int r = pthread_create(&rpc->thread, NULL, run, rpc);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0)
        pthread_setname_np(rpc->thread, "devmgr-grpc");
    return r;
}

static int start(struct dm_rpc *rpc, devmgr_error *reterr) {
    sigset_t before;
    rpc->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (rpc->wake_fd < 0)
        return dm_error_errno(reterr, "starting gRPC: eventfd");
    block_signals(&before);
    start_grpc();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    rpc->queue = grpc_completion_queue_create_for_next(NULL);
    int r = start_thread(rpc, pump);
    bool pumping = r == 0;
    if (r == 0)
        r = -uv_poll_init(rpc->loop, &rpc->wake, rpc->wake_fd);
    if (r == 0)
        return 0;
    grpc_completion_queue_shutdown(rpc->queue);
    if (pumping)
        pthread_join(rpc->thread, NULL);
    grpc_completion_queue_destroy(rpc->queue);
    grpc_shutdown_blocking();
    close(rpc->wake_fd);
    return dm_error_set(reterr, -r, "starting gRPC: %s: %s", pumping ? "watching its queue" : "a thread",
                        strerror(r));
}

/* The loop itself remembers its bridge: no table of loops, no lock. `poll_cb` is a field of libuv's public struct. */
static void find_ours(uv_handle_t *handle, void *arg) {
    struct dm_rpc **found = arg;
    if (handle->type != UV_POLL || uv_is_closing(handle) || ((uv_poll_t *)handle)->poll_cb != on_wake)
        return;
    struct dm_rpc *rpc = handle->data;
    if (rpc->references > 0) /* else it is on its way out */
        *found = rpc;
}

int dm_rpc_acquire(uv_loop_t *loop, struct dm_rpc **ret, devmgr_error *reterr) {
    struct dm_rpc *rpc = NULL;
    uv_walk(loop, find_ours, &rpc);
    if (!rpc) {
        rpc = DM_NEW(struct dm_rpc);
        rpc->loop = loop;
        int r = start(rpc, reterr);
        if (r < 0) {
            free(rpc);
            return r;
        }
        rpc->wake.data = rpc;
        uv_poll_start(&rpc->wake, UV_READABLE, on_wake);
    }
    rpc->references++;
    *ret = rpc;
    return 0;
}

static void on_released(struct dm_tag *tag, bool ok) {
    (void)ok;
    tell_closed(DM_CONTAINER(tag, struct release, tag));
}

static void stop_if_unused(struct dm_rpc *rpc) {
    if (rpc->references == 0 && rpc->users == 0)
        grpc_completion_queue_shutdown(rpc->queue);
}

void dm_rpc_release(struct dm_rpc *rpc, void (*closed)(void *arg), void *arg) {
    struct release *r = DM_NEW(struct release);
    r->tag.run = on_released, r->closed = closed, r->arg = arg;
    if (--rpc->references > 0) {
        dm_bridge_post(rpc, &r->tag);
        return;
    }
    rpc->last = r;
    stop_if_unused(rpc);
}

void dm_bridge_hold(struct dm_rpc *rpc) {
    rpc->users++;
}

void dm_bridge_drop(struct dm_rpc *rpc) {
    rpc->users--;
    stop_if_unused(rpc);
}

grpc_completion_queue *dm_bridge_queue(struct dm_rpc *rpc) {
    return rpc->queue;
}

uv_loop_t *dm_rpc_loop(struct dm_rpc *rpc) {
    return rpc->loop;
}
