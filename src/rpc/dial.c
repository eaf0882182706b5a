/* dial.c -- connect to a unix socket, again and again until it works or the time is over.
 *
 * One timer carries it: each turn is one attempt, the first in the turn of the loop after the start, so that no
 * callback runs inside dm_dial_start. The struct goes with the timer's handle. */
#include "base/mem.h"
#include "rpc/bridge.h"
#include "rpc/client.h"
#include <string.h>
#include <unistd.h>

enum { FIRST_PAUSE_MS = 10, LONGEST_PAUSE_MS = 500, NS_PER_MS = 1000000 };

struct dm_dial {
    struct dm_rpc *rpc;
    uv_timer_t timer;
    char *path;
    size_t max_receive;
    uint64_t started, timeout_ms, pause_ms;
    bool cancelled;
    dm_dial_cb cb;
    void *arg;
};

static void on_timer_closed(uv_handle_t *handle) {
    struct dm_dial *dial = handle->data;
    dm_bridge_drop(dial->rpc);
    free(dial->path);
    free(dial);
}

static void end(struct dm_dial *dial, struct dm_channel *channel, const devmgr_error *err) {
    uv_close((uv_handle_t *)&dial->timer, on_timer_closed);
    dial->cb(dial->arg, channel, err);
}

/* What may be over soon: the server is not there yet, or is busy. */
static bool worth_waiting(int code) {
    return code == -ENOENT || code == -ECONNREFUSED || code == -EAGAIN || code == -EINTR;
}

static void attempt(uv_timer_t *timer);

static void wait_or_fail(struct dm_dial *dial, devmgr_error *err) {
    uint64_t past = (uv_hrtime() - dial->started) / NS_PER_MS;
    if (!worth_waiting(err->code)) {
        end(dial, NULL, err);
    } else if (past >= dial->timeout_ms) {
        dm_error_wrap(err, "gave up after %llu ms", (unsigned long long)dial->timeout_ms);
        end(dial, NULL, err);
    } else {
        uint64_t left = dial->timeout_ms - past;
        uv_timer_start(&dial->timer, attempt, dial->pause_ms < left ? dial->pause_ms : left, 0);
        dial->pause_ms = dial->pause_ms * 2 < LONGEST_PAUSE_MS ? dial->pause_ms * 2 : LONGEST_PAUSE_MS;
    }
}

static void attempt(uv_timer_t *timer) {
    struct dm_dial *dial = timer->data;
    struct dm_channel *channel = NULL;
    devmgr_error err = {0};
    if (dial->cancelled) {
        dm_error_set(&err, -ECANCELED, "%s: connecting was cancelled", dial->path);
        end(dial, NULL, &err);
        return;
    }
    int fd = dm_socket_connect(dial->path, &err);
    if (fd < 0)
        wait_or_fail(dial, &err);
    else if (dm_channel_from_fd(dial->rpc, fd, dial->max_receive, &channel, &err) < 0)
        end(dial, NULL, &err);
    else
        end(dial, channel, NULL);
}

struct dm_dial *dm_dial_start(struct dm_rpc *rpc, const char *path, uint64_t timeout_ms, size_t max_receive,
                              dm_dial_cb cb, void *arg) {
    struct dm_dial *dial = DM_NEW(struct dm_dial);
    *dial = (struct dm_dial){.rpc = rpc,
                             .path = dm_strdup(path),
                             .max_receive = max_receive,
                             .started = uv_hrtime(),
                             .timeout_ms = timeout_ms,
                             .pause_ms = FIRST_PAUSE_MS,
                             .cb = cb,
                             .arg = arg};
    dm_bridge_hold(rpc);
    uv_timer_init(dm_rpc_loop(rpc), &dial->timer);
    dial->timer.data = dial;
    uv_timer_start(&dial->timer, attempt, 0, 0);
    return dial;
}

void dm_dial_cancel(struct dm_dial *dial) {
    dial->cancelled = true;
    uv_timer_start(&dial->timer, attempt, 0, 0);
}
