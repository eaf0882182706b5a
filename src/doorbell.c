/* doorbell.c -- the one door from other threads, and the loop of our own for who has none.
 *
 * An eventfd watched by uv_poll, not uv_async: that one spins in libuv 1.44 when both threads share a processor. A ring
 * means "some", never "one": the drain takes all. */
#include "base/mem.h"
#include "instance.h"
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct dm_ring *take_all(struct dm_doorbell *b) {
    pthread_mutex_lock(&b->lock);
    struct dm_ring *all = b->first;
    b->first = NULL;
    b->last = &b->first;
    pthread_mutex_unlock(&b->lock);
    return all;
}

void dm_doorbell_answer(devmgr *m) {
    for (struct dm_ring *r = take_all(&m->bell), *next; r; r = next) {
        next = r->next;
        r->run(m, r->arg);
        free(r);
    }
}

static void on_ring(uv_poll_t *poll, int status, int events) {
    devmgr *m = poll->data;
    uint64_t rings;
    (void)status, (void)events;
    if (read(m->bell.fd, &rings, sizeof rings) > 0) /* else: a spurious wake */
        dm_doorbell_answer(m);
}

int devmgr_call(devmgr *m, void (*run)(devmgr *m, void *arg), void *arg) {
    struct dm_ring *r = DM_NEW(struct dm_ring);
    uint64_t one = 1;
    r->run = run;
    r->arg = arg;
    pthread_mutex_lock(&m->bell.lock);
    if (m->bell.closed) {
        pthread_mutex_unlock(&m->bell.lock);
        free(r);
        return -ECANCELED;
    }
    *m->bell.last = r;
    m->bell.last = &r->next;
    ssize_t written =
        write(m->bell.fd, &one, sizeof one); /* under the lock: the fd cannot be closed meanwhile */
    (void)written;                           /* full counter: the loop is awake anyway */
    pthread_mutex_unlock(&m->bell.lock);
    return 0;
}

int dm_doorbell_open(devmgr *m, devmgr_error *reterr) {
    struct dm_doorbell *b = &m->bell;
    pthread_mutex_init(&b->lock, NULL);
    b->last = &b->first;
    b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->fd < 0)
        return dm_error_errno(reterr, "eventfd");
    uv_poll_init(m->loop, &b->poll, b->fd);
    b->poll.data = m;
    uv_poll_start(&b->poll, UV_READABLE, on_ring);
    uv_unref((uv_handle_t *)&b->poll); /* waits for strangers: alone it keeps no loop turning */
    m->handles++;
    return 0;
}

void dm_doorbell_refuse(devmgr *m) {
    pthread_mutex_lock(&m->bell.lock);
    m->bell.closed = true;
    pthread_mutex_unlock(&m->bell.lock);
}

void dm_doorbell_close(devmgr *m, uv_close_cb closed) {
    if (m->bell.fd < 0)
        return;
    uv_poll_stop(&m->bell.poll);
    uv_close((uv_handle_t *)&m->bell.poll, closed);
}

void dm_doorbell_free(devmgr *m) {
    if (m->bell.fd >= 0)
        close(m->bell.fd);
    pthread_mutex_destroy(&m->bell.lock);
}

/* ---- a loop of our own ------------------------------------------------------------------------------------------- */

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
    uv_loop_init(&own->loop);
    own->status = dm_instance_start(&own->loop, own->settings, own->cb, own->arg, own->ret, own->reterr);
    if (own->status == 0)
        uv_sem_post(&own->opened);
    uv_run(&own->loop, UV_RUN_DEFAULT);
    uv_loop_close(&own->loop);
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
