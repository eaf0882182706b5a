/* registration.c -- the life of it all: folder, server, the look that the socket is still ours, the close. */
#include "registration/inside.h"
#include <string.h>
#include <syslog.h>

enum { LOOK_EVERY_MS = 1000 };

/* ---- later ------------------------------------------------------------------------------------------------------- */

struct line { /* for the log, from inside a call of the owner */
    struct dm_list node;
    int level;
    char *text;
};

static void on_soon(uv_timer_t *timer) {
    struct dm_registration *r = timer->data;
    struct line *line;
    while ((line = DM_LIST_FIRST(&r->lines, struct line, node))) {
        dm_list_remove(&line->node);
        if (!r->closing)
            r->events->log(r->self, line->level, line->text);
        free(line->text), free(line);
    }
    dm_calls_answer_unsent(r);
    dm_finish_close(r);
}

static void log_later(void *arg, int level, const char *text) {
    struct dm_registration *r = arg;
    struct line *line = DM_NEW(struct line);
    line->level = level, line->text = dm_strdup(text);
    dm_list_append(&r->lines, &line->node);
    dm_soon(r);
}

/* ---- new, serve -------------------------------------------------------------------------------------------------- */

int dm_registration_new(struct dm_rpc *rpc, const struct dm_settings *settings,
                        const struct dm_registration_events *events, void *self, struct dm_registration **ret,
                        devmgr_error *reterr) {
    struct dm_folder *folder;
    int bad = dm_folder_open(settings->root, &folder, reterr);
    if (bad < 0)
        return bad;
    struct dm_registration *r = DM_NEW(struct dm_registration);
    *r = (struct dm_registration){.rpc = rpc,
                                  .settings = settings,
                                  .events = events,
                                  .self = self,
                                  .folder = folder,
                                  .on_soon = on_soon,
                                  .handles = 2};
    r->metrics.max = settings->max_resources;
    dm_list_init(&r->plugins), dm_list_init(&r->calls);
    dm_list_init(&r->unsent), dm_list_init(&r->lines);
    uv_timer_init(dm_rpc_loop(rpc), &r->watch);
    uv_timer_init(dm_rpc_loop(rpc), &r->soon);
    r->watch.data = r->soon.data = r;
    *ret = r;
    return 0;
}

static void on_look(uv_timer_t *timer);

int dm_registration_serve(struct dm_registration *r, void (*folder_moved)(void *self), devmgr_error *reterr) {
    int bad = dm_registrar_open(r, reterr);
    if (bad < 0)
        return bad;
    r->folder_moved = folder_moved;
    /* From the first socket removed to the first connection accepted there must be no gap: plugins see the one, call
     * Register once, and some exit when nobody answers. So all that can take time or fail is done before. */
    int fd = dm_folder_listen(r->folder, log_later, r, reterr);
    if (fd < 0)
        return fd;
    bad = dm_server_listen(r->server, fd, &r->listener, reterr);
    if (bad == 0)
        uv_timer_start(&r->watch, on_look, LOOK_EVERY_MS, LOOK_EVERY_MS);
    return bad;
}

/* LIFE-13: the kubelet's words, then ours. */
int dm_registration_check(struct dm_registration *r, devmgr_error *reterr) {
    if (r->trouble.code == 0)
        return 0;
    return dm_error_set(
        reterr, r->trouble.code,
        "device registration error: device plugin registration gRPC server failed and no device plugins "
        "can register: %.800s",
        r->trouble.message);
}

void dm_registration_metrics(const struct dm_registration *r, struct dm_buf *out) {
    dm_metrics_write(&r->metrics, out);
}

/* ---- is the socket still ours? ------------------------------------------------------------------------------------- */

static void stop_listening(struct dm_registration *r) {
    if (r->listener)
        dm_server_unlisten(r->server, r->listener);
    r->listener = NULL;
}

/* Another process has taken the place. To fight for it would leave a node with two managers. */
static void give_up(struct dm_registration *r, const devmgr_error *err) {
    uv_timer_stop(&r->watch);
    stop_listening(r);
    dm_error_set(&r->trouble, err->code,
                 "%.900s; no plugin can register here until this process is started again", err->message);
    r->events->log(r->self, LOG_ERR, r->trouble.message);
}

static void say_trouble(struct dm_registration *r, const devmgr_error *err) {
    bool known = r->trouble.code && !strcmp(r->trouble.message, err->message);
    r->trouble = *err;
    if (!known)
        r->events->log(r->self, LOG_ERR, err->message);
}

static void serve_again(struct dm_registration *r, int fd) {
    devmgr_error err;
    stop_listening(r);
    if (dm_server_listen(r->server, fd, &r->listener, &err) < 0) {
        say_trouble(r, &err);
        return;
    }
    r->trouble = (devmgr_error){0};
    DM_FREE char *text = dm_printf("%s was removed or replaced; made again, plugins can register",
                                   dm_folder_socket(r->folder));
    r->events->log(r->self, LOG_WARNING, text);
    if (!r->closing && r->folder_moved)
        r->folder_moved(r->self);
}

/* By the clock, not by inotify: three system calls a second, and nothing that an overflow or a missing watch can lose. */
static void on_look(uv_timer_t *timer) {
    struct dm_registration *r = timer->data;
    devmgr_error err;
    int intact = dm_folder_intact(r->folder, &err);
    if (intact <
        0) { /* not to be taken for a loss: we would find ourselves in our own place, and give it up */
        say_trouble(r, &err);
        return;
    }
    if (r->listener && intact) {
        r->trouble = (devmgr_error){0};
        return;
    }
    int fd = dm_folder_listen_again(r->folder, log_later, r, &err);
    if (fd == DEVMGR_EBUSY)
        give_up(r, &err);
    else if (fd < 0)
        say_trouble(r, &err);
    else
        serve_again(r, fd);
}

/* ---- close --------------------------------------------------------------------------------------------------------- */

static void on_server_closed(void *arg) {
    struct dm_registration *r = arg;
    r->server_open = false;
    dm_finish_close(r);
}

void dm_registration_close(struct dm_registration *r, void (*closed)(void *arg), void *arg) {
    struct dm_plugin *p;
    if (r->closing)
        return;
    r->closing = true, r->closed = closed, r->closed_arg = arg;
    uv_timer_stop(&r->watch);
    dm_folder_unlink(r->folder);
    DM_LIST_EACH(p, &r->plugins, struct dm_plugin, in_registration)
    dm_plugin_close(p);
    if (r->server)
        dm_server_close(r->server, on_server_closed, r);
    dm_soon(r); /* at the earliest there it ends: never inside this call */
}
