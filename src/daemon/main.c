/* main.c -- devmgrd: libdevmgr on a loop, the control API beside it.
 *
 *   options ──► devmgr_open ──► control ──► "ready" ──► ... ──SIGTERM──► both close, writes done ──► exit 0
 *
 * A second SIGTERM or SIGINT while closing ends at once. Everything that is said goes to stderr, but for "ready". */
#include "base/mem.h"
#include "control/control.h"
#include "daemon/log.h"
#include "daemon/options.h"
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include <uv.h>

enum { TRIM_EVERY_MS = 5000 };

struct daemon {
    uv_loop_t loop;
    struct dm_log log;
    devmgr *manager;
    struct dm_control *control;
    uv_signal_t term, interrupt;
    uv_timer_t watchdog, trim;
    bool closing;
    int open; /* of manager and control */
};

static void on_event(void *arg, const devmgr_event *ev) {
    struct daemon *d = arg;
    dm_log_event(&d->log, ev);
    dm_control_event(d->control, ev);
}

static void close_handles(struct daemon *d) {
    uv_handle_t *all[] = {(uv_handle_t *)&d->term, (uv_handle_t *)&d->interrupt, (uv_handle_t *)&d->watchdog,
                          (uv_handle_t *)&d->trim};
    for (size_t i = 0; i < DM_COUNT(all); i++)
        if (all[i]->data) /* else it never came to be */
            uv_close(all[i], NULL);
}

static void on_closed(void *arg) {
    struct daemon *d = arg;
    if (--d->open == 0)
        close_handles(d);
}

static void on_signal(uv_signal_t *handle, int number) {
    struct daemon *d = handle->data;
    DM_FREE char *text = dm_printf("%s: finishing", strsignal(number));
    if (d->closing)
        _exit(1); /* asked twice: whoever asks does not want to wait for a last write */
    d->closing = true;
    dm_log_line(&d->log, 6, text);
    sd_notify(0, "STOPPING=1");
    dm_control_close(DM_MOVE(d->control), on_closed, d);
    devmgr_close(d->manager, on_closed, d);
}

/* systemd's watchdog, when it asks for one: alive is who turns the loop and can register plugins and save state. */
static void on_watchdog(uv_timer_t *timer) {
    struct daemon *d = timer->data;
    devmgr_error err;
    if (d->closing || devmgr_check(d->manager, &err) == 0) {
        sd_notify(0, "WATCHDOG=1");
        return;
    }
    dm_log_line(&d->log, 3, err.message);
}

static void start_watchdog(struct daemon *d) {
    uint64_t us = 0;
    if (sd_watchdog_enabled(0, &us) > 0 && us > 2000)
        uv_timer_start(&d->watchdog, on_watchdog, us / 2000, us / 2000);
}

/* What a message of 64 MiB was read into is free afterwards, but glibc keeps it: each thread has a heap of its own, and one
 * small block at its end holds all of it. With a dozen threads that is most of a gigabyte, after one bad plugin. */
static void on_trim(uv_timer_t *timer) {
    (void)timer;
    malloc_trim(0);
}

static void start_trimming(struct daemon *d) {
    uv_timer_start(&d->trim, on_trim, TRIM_EVERY_MS, TRIM_EVERY_MS);
}

/* Before anything is open: what has no handles cannot be ended. */
static int init_handles(struct daemon *d, devmgr_error *reterr) {
    uv_signal_t *signals[] = {&d->term, &d->interrupt};
    uv_timer_init(&d->loop, &d->watchdog);
    uv_timer_init(&d->loop, &d->trim);
    d->watchdog.data = d->trim.data = d;
    for (size_t i = 0; i < DM_COUNT(signals); i++) {
        int r = uv_signal_init(&d->loop, signals[i]);
        if (r < 0)
            return dm_error_set(reterr, r, "preparing to be ended by a signal: %s", strerror(-r));
        signals[i]->data = d;
    }
    return 0;
}

static int start_signals(struct daemon *d, devmgr_error *reterr) {
    int r = uv_signal_start(&d->term, on_signal, SIGTERM);
    if (r == 0)
        r = uv_signal_start(&d->interrupt, on_signal, SIGINT);
    return r < 0 ? dm_error_set(reterr, r, "waiting for SIGTERM and SIGINT: %s", strerror(-r)) : 0;
}

/* A connection takes two descriptors, and the usual soft limit of 1024 is for programs that use select. */
static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int fail(const devmgr_error *err) {
    fprintf(stderr, "devmgrd: %s\n", err->message);
    return 1;
}

/* It does not come to serving: what was started ends. */
static int fail_to_serve(struct daemon *d, const devmgr_error *err) {
    dm_control_close(DM_MOVE(d->control), NULL, NULL);
    if (d->manager)
        devmgr_close(d->manager, NULL, NULL);
    close_handles(d);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    return fail(err);
}

static int serve(struct daemon *d, const struct dm_daemon_options *o) {
    devmgr_error err;
    if (init_handles(d, &err) < 0 || devmgr_open(&d->loop, o->config, on_event, d, &d->manager, &err) < 0 ||
        dm_control_start(&d->loop, d->manager, o->socket, o->socket_group, &d->control, &err) < 0 ||
        start_signals(d, &err) < 0)
        return fail_to_serve(d, &err);
    d->open = 2;
    start_watchdog(d);
    start_trimming(d);
    puts("ready");
    fflush(stdout);
    sd_notify(0, "READY=1");
    uv_run(&d->loop, UV_RUN_DEFAULT);
    return 0;
}

/* Settings that contradict each other or the machine are a mistake of whoever wrote them, as a misspelt one is. */
static int check(const struct dm_daemon_options *o) {
    devmgr_error err;
    if (devmgr_config_check(o->config, &err) == 0)
        return 0;
    fail(&err);
    return err.code == DEVMGR_EINVALID ? 2 : 1;
}

int main(int argc, char **argv) {
    DM_CLEANUP(dm_daemon_options_free) struct dm_daemon_options options;
    struct daemon d = {0};
    int status = dm_daemon_options_read(argc, argv, &options);
    if (status >= 0)
        return status;
    if (options.print_config)
        dm_daemon_options_print(&options);
    if (options.print_config && !options.check_config)
        return 0;
    status = check(&options);
    if (status || options.check_config)
        return status;
    dm_log_init(&d.log, options.log_level, options.log_format);
    raise_descriptor_limit();
    signal(SIGPIPE, SIG_IGN);
    status = uv_loop_init(&d.loop);
    if (status < 0) {
        fprintf(stderr, "devmgrd: preparing the loop: %s\n", strerror(-status));
        return 1;
    }
    status = serve(&d, &options);
    uv_loop_close(&d.loop);
    return status;
}
