/* doorbell.c -- devmgr_call: the one door from other threads.
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
        return dm_error_errno(reterr, "preparing calls from other threads: eventfd");
    int rc = uv_poll_init(m->loop, &b->poll, b->fd);
    if (rc < 0) {
        close(b->fd);
        b->fd = -1;
        return dm_error_set(reterr, rc, "preparing calls from other threads: %s", strerror(-rc));
    }
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
