/* watch.c -- notices that the manager came (back), as real plugins do, by looking at two files again and again.
 *
 * A manager that starts sweeps all plugin sockets away and makes kubelet.sock anew; either is the sign to listen again
 * (when our socket is gone) and to register again. Looking beats inotify here: it also sees a folder that was replaced. */
#include "base/mem.h"
#include "plugin.h"

enum { TICK_MS = 50 };

/* Our socket: there and ours? Makes it again when it is gone; *remade then. */
static bool keep_socket(struct fp_plugin *p, bool *remade) {
    struct fp_identity now = fp_identify(p->path);
    if (now.there && !fp_identity_same(&now, &p->own)) {
        if (!p->usurped)
            fp_complain(p->path, "another process has put its socket in place of ours; waiting for it to go");
        p->usurped = true;
        return false;
    }
    p->usurped = false;
    if (now.there)
        return true;
    if (fp_service_listen(p, NULL) < 0) /* the folder is gone too: it will come back */
        return false;
    fp_say(json_pack("{s:s}", "event", "listening"));
    *remade = true;
    return true;
}

static void on_tick(uv_timer_t *timer) {
    struct fp_plugin *p = timer->data;
    bool remade = false, ready = keep_socket(p, &remade);
    struct fp_identity kubelet = fp_identify(p->kubelet);
    if (!kubelet.there)
        p->registered_at = kubelet;
    else if (ready && (remade || !fp_identity_same(&kubelet, &p->registered_at)))
        p->registered_at = kubelet, fp_enrol(p, NULL);
}

void fp_watch_start(struct fp_plugin *p) {
    uv_timer_start(&p->tick, on_tick, 0, TICK_MS);
}
