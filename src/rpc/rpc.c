/* rpc.c -- the bridge: one pump thread waits on gRPC's completion queue and hands tags to the loop.
 *
 *   pump:  grpc_completion_queue_next --push--> `posted` (a stack) --first one writes--> eventfd
 *   loop:  uv_poll on the eventfd --> takes the whole stack --> runs it in the order of arrival
 *
 * (1) Only the loop's thread touches anything but `posted`, `drained` and the eventfd.
 * (2) Life: RUNNING --last reference and last user gone--> queue shut down --pump has emptied it--> `drained` -->
 *     thread joined, queue destroyed --> handle closed --> gRPC shut down, `closed` told, freed.
 * (3) An eventfd and uv_poll instead of uv_async: uv_async_send of libuv 1.44 spins for many microseconds when the
 *     woken loop shares the sender's CPU. */
#include "base/mem.h"
#include "rpc/bridge.h"
#include <grpc/support/log.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct release { /* a reference on its way out */
    struct dm_tag tag;
    void (*closed)(void *arg);
    void *arg;
};

struct dm_rpc {
    uv_loop_t *loop;
    uv_poll_t wake;
    int wake_fd;
    grpc_completion_queue *queue;
    pthread_t pump;
    size_t references; /* acquire and release */
    size_t users;      /* dm_bridge_hold and _drop */
    struct release *last;
    bool joined;
    _Atomic(struct dm_tag *) posted; /* newest first */
    atomic_bool drained;             /* the pump has returned and pushes no more */
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
    atomic_store_explicit(&rpc->drained, true, memory_order_release);
    nudge(rpc);
    return NULL;
}

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
    grpc_shutdown_blocking();
    tell_closed(last);
}

static void on_wake(uv_poll_t *handle, int status, int events) {
    struct dm_rpc *rpc = handle->data;
    uint64_t count;
    (void)status, (void)events;
    while (read(rpc->wake_fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
    bool drained = atomic_load_explicit(&rpc->drained, memory_order_acquire);
    struct dm_tag *tag = atomic_exchange_explicit(&rpc->posted, NULL, memory_order_acquire), *first = NULL;
    for (struct dm_tag *next; tag; tag = next)
        next = tag->next, tag->next = first, first = tag;
    for (struct dm_tag *next; first; first = next)
        next = first->next, first->run(first, first->ok);
    if (drained && !rpc->joined) {
        rpc->joined = true;
        pthread_join(rpc->pump, NULL);
        grpc_completion_queue_destroy(rpc->queue);
        uv_close((uv_handle_t *)&rpc->wake, on_handle_closed);
    }
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

void dm_signals_block(sigset_t *before) {
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF};
    sigset_t set;
    sigfillset(&set);
    for (size_t i = 0; i < DM_COUNT(own); i++)
        sigdelset(&set, own[i]);
    pthread_sigmask(SIG_SETMASK, &set, before);
}

void dm_signals_restore(const sigset_t *before) {
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

static int start(struct dm_rpc *rpc, devmgr_error *reterr) {
    sigset_t before;
    rpc->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (rpc->wake_fd < 0)
        return dm_error_errno(reterr, "starting gRPC: eventfd");
    dm_signals_block(&before);
    start_grpc();
    rpc->queue = grpc_completion_queue_create_for_next(NULL);
    int r = pthread_create(&rpc->pump, NULL, pump, rpc);
    dm_signals_restore(&before);
    bool pumping = r == 0;
    if (r == 0)
        r = -uv_poll_init(rpc->loop, &rpc->wake, rpc->wake_fd);
    if (r == 0)
        return 0;
    grpc_completion_queue_shutdown(rpc->queue);
    if (pumping)
        pthread_join(rpc->pump, NULL);
    grpc_completion_queue_destroy(rpc->queue);
    grpc_shutdown_blocking();
    close(rpc->wake_fd);
    return dm_error_set(reterr, -r, "starting gRPC: %s", strerror(r));
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
