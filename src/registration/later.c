/* later.c -- what is not done inside a call of the owner: the next turn of the loop, and the end of it all. */
#include "registration/inside.h"

void dm_soon(struct dm_registration *r) {
    uv_timer_start(&r->soon, r->on_soon, 0, 0);
}

static void on_handle_closed(uv_handle_t *handle) {
    struct dm_registration *r = handle->data;
    if (--r->handles > 0)
        return;
    void (*closed)(void *arg) = r->closed;
    void *arg = r->closed_arg;
    dm_folder_free(r->folder); /* the lock */
    dm_map_free(&r->current);
    dm_metrics_free(&r->metrics);
    free(r);
    if (closed)
        closed(arg);
}

void dm_finish_close(struct dm_registration *r) {
    if (!r->closing || r->handles_closing || r->server_open || !dm_list_empty(&r->plugins) ||
        !dm_list_empty(&r->calls) || !dm_list_empty(&r->unsent) || !dm_list_empty(&r->lines))
        return;
    r->handles_closing = true;
    uv_close((uv_handle_t *)&r->watch, on_handle_closed);
    uv_close((uv_handle_t *)&r->soon, on_handle_closed);
}
