/* thread.c -- a loop and a thread of our own, for an embedder who has no loop.
 *
 * The opener waits until the instance is open or has failed; after that the thread owns everything in here, and ends by
 * itself when the loop runs empty: when the instance is closed. */
#include "base/mem.h"
#include "instance.h"
#include <string.h>

struct dm_own_thread {
    uv_loop_t loop;
    const struct dm_settings *settings;
    devmgr_event_cb cb;
    void *arg;
    devmgr **ret;
    devmgr_error *reterr;
    int status;
    uv_sem_t opened;
};

static void *own_thread(void *arg) {
    struct dm_own_thread *own = arg;
    int rc = uv_loop_init(&own->loop);
    if (rc < 0)
        own->status = dm_error_set(own->reterr, rc, "a loop of our own: %s", strerror(-rc));
    else
        own->status = dm_instance_start(&own->loop, own->settings, own->cb, own->arg, own->ret, own->reterr);
    if (own->status == 0)
        uv_sem_post(&own->opened);
    if (rc == 0) {
        uv_run(&own->loop, UV_RUN_DEFAULT);
        uv_loop_close(&own->loop);
    }
    if (own->status < 0)
        uv_sem_post(&own->opened); /* only now: the caller may end the process */
    else
        free(own);
    return NULL;
}

int dm_own_thread_open(const struct dm_settings *settings, devmgr_event_cb cb, void *arg, devmgr **ret,
                       devmgr_error *reterr) {
    struct dm_own_thread *own = DM_NEW(struct dm_own_thread);
    pthread_t thread;
    pthread_attr_t attr;
    *own = (struct dm_own_thread){.settings = settings, .cb = cb, .arg = arg, .ret = ret, .reterr = reterr};
    uv_sem_init(&own->opened, 0);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int rc = -pthread_create(&thread, &attr, own_thread, own);
    pthread_attr_destroy(&attr);
    if (rc < 0) {
        free(own);
        return dm_error_set(reterr, rc, "a thread for the loop: %s", strerror(-rc));
    }
    uv_sem_wait(&own->opened);
    rc = own->status;
    if (rc < 0)
        free(own);
    return rc;
}
