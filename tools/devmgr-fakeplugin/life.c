/* life.c -- the plugin's start and end; signals. */
#include "base/mem.h"
#include "plugin.h"
#include <signal.h>

static void stop(struct fp_plugin *p) {
    uv_handle_t *const handles[] = {(uv_handle_t *)&p->tick, (uv_handle_t *)&p->again,
                                    (uv_handle_t *)&p->terminate, (uv_handle_t *)&p->interrupt};
    for (size_t i = 0; i < DM_COUNT(handles); i++)
        uv_close(handles[i], NULL);
    fp_commands_stop(p);
    fp_enrol_stop(p);
    fp_service_unlink(p);
    fp_service_stop(p);
    fp_drop(p);
}

static void on_signal(uv_signal_t *handle, int number) {
    (void)number;
    fp_end(handle->data);
}

static void init_loop(struct fp_plugin *p) {
    uv_loop_init(&p->loop);
    uv_timer_init(&p->loop, &p->tick);
    uv_timer_init(&p->loop, &p->again);
    uv_signal_init(&p->loop, &p->terminate);
    uv_signal_init(&p->loop, &p->interrupt);
    p->tick.data = p->again.data = p->terminate.data = p->interrupt.data = p;
    uv_signal_start(&p->terminate, on_signal, SIGTERM);
    uv_signal_start(&p->interrupt, on_signal, SIGINT);
    uv_unref((uv_handle_t *)&p->terminate); /* a signal alone is no reason to stay */
    uv_unref((uv_handle_t *)&p->interrupt);
}

static int start(struct fp_plugin *p, devmgr_error *reterr) {
    int r = dm_rpc_acquire(&p->loop, &p->rpc, reterr);
    if (r < 0)
        return r;
    if ((r = fp_service_start(p, reterr)) < 0) {
        if (r == -ENOENT)
            dm_error_set(reterr, r, "%s: no such folder; start devmgrd first, or give another --root",
                         p->config.folder);
        return r;
    }
    fp_say(json_pack("{s:s}", "event", "listening"));
    if (p->config.manual)
        fp_commands_start(p);
    else
        fp_watch_start(p);
    return 0;
}

int fp_run(struct fp_plugin *p) {
    devmgr_error err;
    p->path = dm_printf("%s/%s", p->config.folder, p->config.socket);
    p->kubelet = dm_printf("%s/kubelet.sock", p->config.folder);
    p->stop = stop;
    p->mute_fd = -1;
    dm_list_init(&p->calls);
    fp_devices_init(&p->devices, p->config.devices, p->config.numa);
    init_loop(p);
    fp_hold(p);
    if (start(p, &err) < 0) {
        fp_complain(NULL, err.message);
        p->failure = 1;
        fp_end(p);
    }
    uv_run(&p->loop, UV_RUN_DEFAULT);
    uv_loop_close(&p->loop);
    fp_devices_free(&p->devices);
    json_decref(p->log);
    free(p->path), free(p->kubelet), free(p->last_failure);
    return p->failure;
}
