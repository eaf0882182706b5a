/* registration_world.h -- a loop, a registration in a scratch folder that writes down its events, and device plugins made
 * of src/rpc/server.h that do as they are told. For the tests of src/registration. */
#ifndef REGISTRATION_WORLD_H
#define REGISTRATION_WORLD_H
#include "base/mem.h"
#include "check.h"
#include "messages.h"
#include "registration/registration.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000, MAX_STREAMS = 32 };
#define GPU "example.com/gpu"

struct world {
    uv_loop_t loop;
    struct dm_rpc *rpc;
    struct dm_settings settings;
    struct dm_registration *r;
    char root[64], dir[80], socket[96];
    struct dm_buf events; /* a line each, in order */
    int n_connected, n_listed, n_gone, n_notes, n_answered, n_logs, n_moved, closed;
    uint64_t generation; /* of the last connected */
    int pid, last_level;
    size_t last_n; /* devices of the last list */
    int refuse;    /* connected says no */
    int close_in;  /* close at the n-th event from now */
    /* the last answer to a call */
    int code;
    char text[1100];
    bool unusable;
    size_t n_containers, n_ids;
    struct dm_buf answer, ids;
};

/* ---- events ---------------------------------------------------------------------------------------------------- */

static inline void on_world_closed(void *arg) {
    struct world *w = arg;
    w->closed++;
}

static inline void world_event(struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static inline void world_event(struct world *w, const char *format, ...) {
    char line[1400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    dm_buf_printf(&w->events, "%s\n", line);
    if (w->close_in && --w->close_in == 0)
        dm_registration_close(w->r, on_world_closed, w);
}

static inline int on_connected(void *self, const struct dm_endpoint_info *info, devmgr_error *reterr) {
    struct world *w = self;
    if (w->refuse)
        return dm_error_set(reterr, -ENOSPC, "too many resources: 4096 (limit max-resources)");
    w->n_connected++, w->generation = info->generation, w->pid = info->pid;
    world_event(w, "connected %s %" PRIu64 "%s%s", info->resource, info->generation,
                info->prestart ? " prestart" : "", info->preferred ? " preferred" : "");
    return 0;
}

static inline void on_listed(void *self, const char *resource, uint64_t generation,
                             const struct dm_device_list *list) {
    struct world *w = self;
    struct dm_buf ids = {0};
    w->n_listed++, w->last_n = list->n;
    for (size_t i = 0; i < list->n && i < 4; i++)
        dm_buf_printf(&ids, " %s%c", list->devices[i].id, list->devices[i].healthy ? '+' : '-');
    world_event(w, "listed %s %" PRIu64 ":%s%s", resource, generation, ids.len ? ids.data : "",
                list->n > 4 ? " ..." : "");
    dm_buf_free(&ids);
}

static inline void on_gone(void *self, const char *resource, uint64_t generation, const char *why) {
    struct world *w = self;
    w->n_gone++;
    world_event(w, "gone %s %" PRIu64 ": %s", resource, generation, why);
}

static inline void on_note(void *self, const char *resource, int level, const char *text) {
    struct world *w = self;
    w->n_notes++, w->last_level = level;
    world_event(w, "note %s: %s", resource, text);
}

static inline void on_answered(void *self, const struct dm_call_result *result) {
    struct world *w = self;
    w->n_answered++;
    w->code = result->status.code, w->unusable = result->status.unusable;
    snprintf(w->text, sizeof w->text, "%s", result->status.message);
    w->n_containers = result->n_containers, w->n_ids = result->n_ids;
    dm_buf_free(&w->answer), dm_buf_free(&w->ids);
    dm_buf_add(&w->answer, result->answer.data, result->answer.len);
    for (size_t i = 0; i < result->n_ids; i++)
        dm_buf_printf(&w->ids, "%s%s", i ? " " : "", result->ids[i]);
    world_event(w, "answered %" PRIu64 " %s", result->id, dm_code_name(result->status.code));
}

static inline void on_log(void *self, int level, const char *text) {
    struct world *w = self;
    w->n_logs++, w->last_level = level;
    world_event(w, "log: %s", text);
}

static inline void on_moved(void *self) {
    struct world *w = self;
    w->n_moved++;
    world_event(w, "moved");
}

/* ---- the world ------------------------------------------------------------------------------------------------- */

/* Turns the loop until `*counter` is at least `want`. A test that waits in vain is ended by the runner's timeout. */
static inline void run_until(struct world *w, const int *counter, int want) {
    while (*counter < want && (uv_run(&w->loop, UV_RUN_NOWAIT), *counter < want))
        uv_run(&w->loop,
               UV_RUN_ONCE); /* not at once: after a due timer it would still wait for the next thing */
}

static inline void on_turned(uv_timer_t *timer) {
    uv_close((uv_handle_t *)timer, (uv_close_cb)free);
    *(int *)timer->data = 1;
}

/* Lets the loop turn for a moment, for things that must NOT happen. */
static inline void run_a_while(struct world *w, uint64_t ms) {
    uv_timer_t *timer = dm_alloc(sizeof *timer);
    int over = 0;
    uv_timer_init(&w->loop, timer);
    timer->data = &over;
    uv_timer_start(timer, on_turned, ms, 0);
    run_until(w, &over, 1);
}

static inline const struct dm_registration_events *world_events(void) {
    static const struct dm_registration_events events = {on_connected, on_listed,   on_gone,
                                                         on_note,      on_answered, on_log};
    return &events;
}

/* Without the registration, so that settings can be changed first. */
static inline void world_prepare(struct world *w) {
    devmgr_error err;
    *w = (struct world){0};
    snprintf(w->root, sizeof w->root, "/tmp/devmgr-test.XXXXXX");
    CHECK(mkdtemp(w->root));
    snprintf(w->dir, sizeof w->dir, "%s/device-plugins", w->root);
    snprintf(w->socket, sizeof w->socket, "%s/kubelet.sock", w->dir);
    CHECK_INT(uv_loop_init(&w->loop), 0);
    CHECK_INT(dm_rpc_acquire(&w->loop, &w->rpc, &err), 0);
    dm_settings_init(&w->settings);
    CHECK_INT(dm_settings_set(&w->settings, "root", w->root, &err), 0);
}

static inline void world_serve(struct world *w) {
    devmgr_error err;
    if (dm_registration_new(w->rpc, &w->settings, world_events(), w, &w->r, &err) < 0 ||
        dm_registration_serve(w->r, on_moved, &err) < 0)
        CHECK_STR(err.message, "");
}

static inline void world_open(struct world *w) {
    world_prepare(w);
    world_serve(w);
}

static inline void world_close_registration(struct world *w) {
    if (!w->r)
        return;
    dm_registration_close(w->r, on_world_closed, w);
    CHECK_INT(w->closed, 0);
    run_until(w, &w->closed, 1);
    w->r = NULL;
}

/* Everything must be gone: the loop has nothing left to do and closes; kubelet.sock is not there. */
static inline void world_close(struct world *w) {
    char command[128];
    world_close_registration(w);
    CHECK(access(w->socket, F_OK) < 0);
    dm_rpc_release(w->rpc, on_world_closed, w);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    CHECK_INT(w->closed, 2);
    CHECK_INT(uv_loop_close(&w->loop), 0);
    dm_settings_free(&w->settings);
    dm_buf_free(&w->events), dm_buf_free(&w->answer), dm_buf_free(&w->ids);
    snprintf(command, sizeof command, "rm -rf %s", w->root);
    CHECK_INT(system(command), 0);
}

/* The events so far, and forgets them. */
static inline const char *events(struct world *w) {
    static char text[65536];
    snprintf(text, sizeof text, "%s", w->events.len ? w->events.data : "");
    dm_buf_free(&w->events);
    return text;
}

#define CHECK_HAS(text, part)                                                                                \
    do {                                                                                                     \
        const char *t_ = (text), *p_ = (part);                                                               \
        if (!strstr(t_, p_))                                                                                 \
            CHECK_FAIL("got \"%s\", want in it \"%s\"", t_, p_);                                             \
    } while (0)

/* ---- a plugin -------------------------------------------------------------------------------------------------- */

struct fake {
    struct world *w;
    char name[128], path[256];
    struct dm_server *server;
    void *listener;
    bool hang_options, prestart, preferred;
    int options_error;               /* code, 0: none */
    const char *options_bytes;       /* what to answer instead */
    int n_options, n_lists, n_calls; /* calls so far */
    int64_t list_timeout;
    struct dm_incoming *streams[MAX_STREAMS], *held; /* open ListAndWatch; a call that hangs */
    struct dm_buf first_list;                        /* sent when a stream opens; empty: none */
    struct dm_buf response, last_request;            /* of Allocate and the others */
    bool hang_calls;
    int call_error;
    int closed;
    char order[64]; /* "o" options, "l" list, "a" call */
};

static inline void fake_order(struct fake *f, const char *letter) {
    if (strlen(f->order) < sizeof f->order - 1)
        strcat(f->order, letter);
}

static inline void fake_options(void *self, struct dm_incoming *in) {
    struct fake *f = self;
    struct dm_buf b = {0};
    const struct dm_status error = {f->options_error, "no options today"};
    f->n_options++, fake_order(f, "o");
    if (f->hang_options) {
        f->held = in;
        return;
    }
    if (f->prestart)
        put_number(&b, 1, 1);
    if (f->preferred)
        put_number(&b, 2, 1);
    if (f->options_bytes)
        dm_buf_puts(&b, f->options_bytes);
    dm_buf_reserve(&b, 0);
    dm_incoming_reply(in, f->options_error ? &error : NULL, dm_buf_span(&b));
    dm_buf_free(&b);
}

static inline void fake_stream_gone(void *arg) {
    struct fake *f = arg;
    for (int i = 0; i < f->n_lists && i < MAX_STREAMS; i++)
        if (f->streams[i] && dm_incoming_cancelled(f->streams[i])) {
            dm_incoming_finish(f->streams[i], NULL);
            f->streams[i] = NULL;
        }
}

static inline void fake_list(void *self, struct dm_incoming *in) {
    struct fake *f = self;
    f->list_timeout = dm_incoming_timeout_ms(in);
    if (f->n_lists < MAX_STREAMS)
        f->streams[f->n_lists] = in;
    f->n_lists++, fake_order(f, "l");
    dm_incoming_on_cancel(in, fake_stream_gone, f);
    if (f->first_list.data)
        dm_incoming_send(in, dm_buf_span(&f->first_list));
}

static inline void fake_call(void *self, struct dm_incoming *in) {
    struct fake *f = self;
    const struct dm_status error = {f->call_error, "the device is on fire"};
    struct dm_span request = dm_incoming_request(in);
    f->n_calls++, fake_order(f, "a");
    dm_buf_free(&f->last_request);
    dm_buf_add(&f->last_request, request.data, request.len);
    dm_buf_reserve(&f->response, 0);
    if (f->hang_calls)
        f->held = in;
    else
        dm_incoming_reply(in, f->call_error ? &error : NULL, dm_buf_span(&f->response));
}

static inline void fake_open(struct fake *f, struct world *w, const char *name) {
    static const struct dm_method methods[] = {
        {"/v1beta1.DevicePlugin/GetDevicePluginOptions", false, fake_options},
        {"/v1beta1.DevicePlugin/ListAndWatch", true, fake_list},
        {"/v1beta1.DevicePlugin/GetPreferredAllocation", false, fake_call},
        {"/v1beta1.DevicePlugin/Allocate", false, fake_call},
        {"/v1beta1.DevicePlugin/PreStartContainer", false, fake_call},
    };
    devmgr_error err;
    *f = (struct fake){.w = w};
    snprintf(f->name, sizeof f->name, "%s", name);
    snprintf(f->path, sizeof f->path, "%s/%s", w->dir, name);
    CHECK_INT(dm_server_new(w->rpc, methods, DM_COUNT(methods), f, NULL, &f->server, &err), 0);
    int fd = dm_socket_listen(f->path, &err);
    if (fd < 0)
        CHECK_STR(err.message, "");
    CHECK_INT(dm_server_listen(f->server, fd, &f->listener, &err), 0);
}

static inline void fake_count_closed(void *arg) {
    ((struct fake *)arg)->closed++;
}

/* The process dies: connections break. */
static inline void fake_die(struct fake *f) {
    if (f->held)
        dm_incoming_reply(DM_MOVE(f->held), &(struct dm_status){DM_UNAVAILABLE, "dying"},
                          (struct dm_span){0});
    dm_server_close(f->server, fake_count_closed, f);
    run_until(f->w, &f->closed, 1);
    unlink(f->path);
    dm_buf_free(&f->first_list), dm_buf_free(&f->response), dm_buf_free(&f->last_request);
}

/* Sends what `list` holds on stream `i`, and empties it. */
static inline void fake_send(struct fake *f, int i, struct dm_buf *list) {
    dm_buf_reserve(list, 0);
    dm_incoming_send(f->streams[i], dm_buf_span(list));
    dm_buf_free(list);
}

static inline void fake_end_stream(struct fake *f, int i, int code, const char *text) {
    const struct dm_status status = {code, text};
    dm_incoming_finish(DM_MOVE(f->streams[i]), &status);
}

/* ---- registering ----------------------------------------------------------------------------------------------- */

struct asked { /* a Register call */
    struct world *w;
    struct dm_channel *channel;
    int done, code, closed;
    char text[1100];
};

static inline void on_asked_closed(void *arg) {
    ((struct asked *)arg)->closed++;
}

static inline void on_register_answer(void *arg, const struct dm_status *status, struct dm_span response) {
    struct asked *a = arg;
    (void)response;
    a->done++, a->code = status->code;
    snprintf(a->text, sizeof a->text, "%s", status->message);
    dm_channel_close(a->channel, on_asked_closed, a);
}

static inline struct dm_rpc_call *ask_bytes(struct asked *a, struct world *w, struct dm_span request,
                                            int64_t timeout_ms) {
    devmgr_error err;
    *a = (struct asked){.w = w};
    int fd = dm_socket_connect(w->socket, &err);
    if (fd < 0)
        CHECK_STR(err.message, "");
    CHECK_INT(dm_channel_from_fd(w->rpc, fd, 1 << 20, &a->channel, &err), 0);
    return dm_unary_start(a->channel, "/v1beta1.Registration/Register", request, timeout_ms,
                          on_register_answer, a);
}

static inline struct dm_rpc_call *ask(struct asked *a, struct world *w, const char *version,
                                      const char *endpoint, const char *resource, int64_t timeout_ms) {
    struct dm_buf m = {0};
    put_text(&m, 1, version);
    put_text(&m, 2, endpoint);
    put_text(&m, 3, resource);
    struct dm_rpc_call *call = ask_bytes(a, w, dm_buf_span(&m), timeout_ms);
    dm_buf_free(&m);
    return call;
}

static inline void answered_now(struct asked *a) {
    run_until(a->w, &a->closed, 1);
    CHECK_INT(a->done, 1);
}

static inline struct asked registered(struct world *w, const char *version, const char *endpoint,
                                      const char *resource) {
    struct asked a;
    ask(&a, w, version, endpoint, resource, PATIENCE_MS);
    answered_now(&a);
    return a;
}

/* Registers the plugin and waits until its stream is there. */
static inline void fake_register(struct fake *f, const char *resource) {
    int before = f->n_lists;
    struct asked a = registered(f->w, "v1beta1", f->name, resource);
    CHECK_STR(a.text, "");
    CHECK_INT(a.code, DM_OK);
    run_until(f->w, &f->n_lists, before + 1);
}

/* A call to the endpoint connected last. */
static inline void call(struct world *w, uint64_t id, enum dm_rpc_kind rpc, uint64_t timeout_ms) {
    static const char *const ids[] = {"dev-1", "dev-2"};
    const struct dm_call c = {.id = id,
                              .rpc = rpc,
                              .resource = GPU,
                              .generation = w->generation,
                              .n_ids = 2,
                              .ids = ids,
                              .size = 1,
                              .timeout_ms = timeout_ms};
    int before = w->n_answered;
    dm_registration_call(w->r, &c);
    CHECK_INT(w->n_answered, before);
}

static inline void call_now(struct world *w, uint64_t id, enum dm_rpc_kind rpc) {
    int before = w->n_answered;
    call(w, id, rpc, PATIENCE_MS);
    run_until(w, &w->n_answered, before + 1);
}
#endif
