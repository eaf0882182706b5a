/* enrol.c -- calls Register on kubelet.sock, once at a time, and says how it went.
 *
 *   fp_enrol -> (delay) -> dial -> send -> answer -> channel closed -> timer closed -> report     [begin ... report]
 *
 * A manager that nobody serves any more (a dead kubelet.sock) and one that ended while we asked are tried again after a
 * second; one that said no is not, until kubelet.sock is another one (watch.c) or `register` is typed. */
#include "base/mem.h"
#include "plugin.h"
#include <string.h>
#include <unistd.h>

enum {
    DIAL_MS = 10000,
    REGISTER_MS = 60000,
    RETRY_MS = 1000,
    REPEAT_MS = 100,
    CRASH_MS = 100,
    MAX_ANSWER = 64 << 10
};

struct fp_enrolment {
    struct fp_plugin *plugin;
    fp_enrolled_cb cb;
    struct fp_plan plan;
    uv_timer_t timer; /* the delay, or the time to crash */
    bool waiting;     /* for the delay */
    struct dm_dial *dial;
    struct dm_channel *channel;
    struct dm_rpc_call *calls[2];
    int pending;
    uint64_t t0_ns, t1_ns; /* around the RPC */
    char *error;           /* NULL: none so far */
    bool retry;            /* it may work later */
    bool again;            /* asked for while this one was in progress */
};

/* ---- the end ---------------------------------------------------------------------------------------------------- */

/* A failure that goes on is told once. */
static void complain_once(struct fp_plugin *p, const char *error) {
    if (error && (!p->last_failure || strcmp(p->last_failure, error))) {
        DM_FREE char *what = dm_printf("registering %s at %s", p->config.resource, p->kubelet);
        fp_complain(what, error);
    }
    free(p->last_failure);
    p->last_failure = dm_strdup(error);
}

static void on_again(uv_timer_t *timer) {
    struct fp_plugin *p = timer->data;
    struct fp_identity kubelet = fp_identify(p->kubelet);
    if (kubelet.there) /* else watch.c sees it come */
        fp_enrol(p, NULL);
}

static void report(uv_handle_t *handle) {
    struct fp_enrolment *e = handle->data;
    struct fp_plugin *p = e->plugin;
    p->enrolment = NULL;
    if (!p->ending) {
        fp_say(json_pack("{s:s, s:I, s:I, s:s}", "event", "registered", "t0_ns", (json_int_t)e->t0_ns,
                         "t1_ns", (json_int_t)e->t1_ns, "err", e->error ? e->error : ""));
        if (!p->config.manual)
            complain_once(p, e->error);
        if (e->cb)
            e->cb(p);
        if (e->again)
            fp_enrol(p, NULL);
        else if (!e->error && e->plan.what == FP_REPEAT)
            uv_timer_start(&p->again, on_again, REPEAT_MS, 0);
        else if (e->error && e->retry && !p->config.manual)
            uv_timer_start(&p->again, on_again, RETRY_MS, 0);
    }
    free(e->error);
    free(e);
    fp_drop(p);
}

static void finish(void *arg) {
    struct fp_enrolment *e = arg;
    uv_close((uv_handle_t *)&e->timer, report);
}

static void fail(struct fp_enrolment *e, bool retry, const char *error) {
    if (!e->error)
        e->error = dm_strdup(error), e->retry = retry;
}

/* ---- Register --------------------------------------------------------------------------------------------------- */

static void pack_request(const struct fp_enrolment *e, struct dm_buf *out) {
    const struct fp_config *config = &e->plugin->config;
    V1beta1__RegisterRequest q = V1BETA1__REGISTER_REQUEST__INIT;
    V1beta1__DevicePluginOptions options = V1BETA1__DEVICE_PLUGIN_OPTIONS__INIT;
    options.pre_start_required = config->prestart;
    options.get_preferred_allocation_available = config->offer_preferred;
    bool garbage = e->plan.what == FP_GARBAGE;
    if (e->plan.what != FP_EMPTY) {
        q.version = fp_wire_text(garbage ? "v0garbage" : "v1beta1");
        q.endpoint = fp_wire_text(garbage ? "../garbage.sock" : config->socket);
        q.resource_name = fp_wire_text(garbage ? "garbage" : config->resource);
        q.options = &options;
    }
    fp_wire_pack(&q.base, out);
    if (e->plan.what == FP_HUGE)
        fp_wire_pad(out);
}

static void on_answer(void *arg, const struct dm_status *status, struct dm_span response) {
    struct fp_enrolment *e = arg;
    (void)response;
    if (e->plan.what == FP_CRASH)
        fp_die();
    if (status->code != DM_OK) {
        DM_FREE char *text =
            dm_printf("rpc error: code = %s desc = %s", dm_code_name(status->code), status->message);
        fail(e, status->code == DM_UNAVAILABLE, text);
    }
    if (--e->pending > 0)
        return;
    e->calls[0] = e->calls[1] = NULL;
    e->t1_ns = fp_now_ns();
    dm_channel_close(DM_MOVE(e->channel), finish, e);
}

static void on_crash(uv_timer_t *timer) {
    (void)timer;
    fp_die();
}

static void send_register(struct fp_enrolment *e) {
    DM_CLEANUP(dm_buf_free) struct dm_buf request = {0};
    pack_request(e, &request);
    if (e->plan.what == FP_CRASH) {
        fp_service_unlisten(e->plugin);
        uv_timer_start(&e->timer, on_crash, CRASH_MS, 0);
    }
    e->pending = e->plan.what == FP_TWO ? 2 : 1;
    e->t0_ns = fp_now_ns();
    for (int i = 0; i < e->pending; i++) {
        e->plugin->counts[FP_REGISTER]++;
        e->calls[i] = dm_unary_start(e->channel, "/v1beta1.Registration/Register", dm_buf_span(&request),
                                     REGISTER_MS, on_answer, e);
    }
}

static void on_dialled(void *arg, struct dm_channel *channel, const devmgr_error *err) {
    struct fp_enrolment *e = arg;
    e->dial = NULL;
    e->channel = channel;
    if (!channel) {
        fail(e, true, err->message);
        finish(e);
    } else if (e->plugin->ending) {
        dm_channel_close(DM_MOVE(e->channel), finish, e);
    } else {
        send_register(e);
    }
}

/* register:hang: a connection on which nothing is ever said. */
static void stay_mute(struct fp_enrolment *e) {
    devmgr_error err;
    if (e->plugin->mute_fd >= 0)
        close(e->plugin->mute_fd);
    e->plugin->mute_fd = dm_socket_connect(e->plugin->kubelet, &err);
    fail(e, false,
         e->plugin->mute_fd < 0 ? err.message : "--fault register:hang: connected, Register is never sent");
    finish(e);
}

static void begin(struct fp_enrolment *e) {
    e->waiting = false;
    if (e->plan.what == FP_HANG)
        stay_mute(e);
    else
        e->dial = dm_dial_start(e->plugin->rpc, e->plugin->kubelet, DIAL_MS, MAX_ANSWER, on_dialled, e);
}

static void on_delay_over(uv_timer_t *timer) {
    begin(timer->data);
}

void fp_enrol(struct fp_plugin *p, fp_enrolled_cb cb) {
    uv_timer_stop(&p->again);
    if (p->enrolment) {
        p->enrolment->again = true;
        return;
    }
    struct fp_enrolment *e = DM_NEW(struct fp_enrolment);
    e->plugin = p, e->cb = cb;
    e->plan = fp_faults_next(&p->faults, FP_REGISTER);
    fp_say_fault(p, FP_REGISTER, &e->plan);
    uv_timer_init(&p->loop, &e->timer);
    e->timer.data = e;
    p->enrolment = e;
    fp_hold(p);
    if (e->plan.delay_ms)
        e->waiting = true, uv_timer_start(&e->timer, on_delay_over, e->plan.delay_ms, 0);
    else
        begin(e);
}

void fp_enrol_stop(struct fp_plugin *p) {
    struct fp_enrolment *e = p->enrolment;
    if (p->mute_fd >= 0)
        close(p->mute_fd);
    p->mute_fd = -1;
    if (!e)
        return;
    if (e->waiting)
        finish(e);
    if (e->dial)
        dm_dial_cancel(e->dial);
    for (int i = 0; e->channel && i < 2; i++)
        if (e->calls[i])
            dm_rpc_cancel(e->calls[i]);
}
