/* embedded.c -- the library with a thread of its own, with faults: opens, admits, closes, twice over.
 *
 * The other half of what a daemon's life does not see. Exit 0: all was as it must be, or an error said why not. It is
 * linked with faults.c; what must hold: nothing is left open after a close or a failed open, and after a single failure one
 * of the two works. Prints how many did. */
#include "board.h"
#include "devmgr.h"
#include "entries.h"
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct asked {
    sem_t done;
    int rc, verdict;
    devmgr_error err;
};

static void fail(const char *what, const char *why) {
    fprintf(stderr, "embedded: %s: %s\n", what, why);
    _exit(2);
}

static void wait_for(sem_t *done, const char *what) {
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 20;
    if (sem_timedwait(done, &end) < 0)
        fail(what, "no answer in 20 s");
}

static void on_admitted(void *arg, const devmgr_admission *a) {
    struct asked *q = arg;
    q->verdict = a->verdict;
    sem_post(&q->done);
}

static void admit(devmgr *m, void *arg) {
    struct asked *q = arg;
    devmgr_pod *pod = devmgr_pod_new("uid-1", "default", "one");
    devmgr_pod_container(pod, "main", DEVMGR_APP);
    q->rc = devmgr_admit(m, pod, on_admitted, q, &q->err);
    devmgr_pod_free(pod);
    if (q->rc < 0)
        sem_post(&q->done);
}

static void on_closed(void *arg) {
    sem_post(&((struct asked *)arg)->done);
}

static void end(devmgr *m, void *arg) {
    devmgr_close(m, on_closed, arg);
}

/* False: it cannot be opened, and says so. */
static int live(const devmgr_config *config) {
    struct asked q = {.rc = 0};
    devmgr *m = NULL;
    sem_init(&q.done, 0, 0);
    if (devmgr_open(NULL, config, NULL, NULL, &m, &q.err) < 0) {
        fprintf(stderr, "embedded: %s\n", q.err.message);
        if (strlen(q.err.message) < 20)
            fail("open", "no word for what failed");
        return 0;
    }
    devmgr_call(m, admit, &q);
    wait_for(&q.done, "admit");
    if (q.rc < 0 || q.verdict != DEVMGR_ADMITTED)
        fail("admit", q.rc < 0 ? q.err.message : devmgr_verdict_name(q.verdict));
    devmgr_call(m, end, &q);
    wait_for(&q.done, "close");
    return 1;
}

/* A thread that has told its end, and gRPC's, may have something open for a moment longer. */
static int settled(int most) {
    int n = entries("/proc/self/fd");
    for (int i = 0; i < 5000 && n > most; i++, n = entries("/proc/self/fd"))
        usleep(1000);
    return n;
}

int main(int argc, char **argv) {
    devmgr_config *config = devmgr_config_new();
    devmgr_error err;
    if (argc < 2 || devmgr_config_set(config, "root", argv[1], &err) < 0)
        fail("usage", "embedded ROOT [armed]");
    if (!live(config)) /* gRPC and libuv keep something open from their first use on */
        fail("open", "it does not, and nothing fails");
    int fds = entries("/proc/self/fd");
    if (argc > 2)
        nth_arm();
    int opened = live(config) + live(config);
    devmgr_config_free(config);
    if (settled(fds) > fds)
        fail("descriptors", "some are left");
    printf("%d\n", opened);
    return 0;
}
