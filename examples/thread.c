/* thread.c -- devmgr in a program without a loop: it gets a thread of its own, and calls from here are blocking ones.
 *
 *   cc thread.c $(pkg-config --cflags --libs libdevmgr) -o thread && ./thread /tmp/node example.com/gpu
 *
 * Everything but devmgr_call happens on the manager's thread: calls are carried there, and callbacks run there. What a
 * callback shows ends with it, so it copies what the waiting thread is to have. */
#include <devmgr.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

struct request { /* in the frame of a thread that waits */
    sem_t done;
    const devmgr_pod *pod; /* nobody else uses it meanwhile */
    int status;            /* 0; else an error (negative) or a verdict, and `text` says why */
    char text[2048];
};

static void finish(struct request *r, int status, const char *text) {
    r->status = status;
    snprintf(r->text, sizeof r->text, "%s", text);
    sem_post(&r->done); /* the last touch: the waiting thread may return now */
}

/* ---- on the manager's thread ------------------------------------------------------------------------------------------ */

static void on_admitted(void *arg, const devmgr_admission *result) {
    char text[2048] = "holds";
    for (size_t i = 0; i < result->n_claims; i++) {
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, " %s", result->claims[i]->device);
    }
    finish(arg, result->verdict, result->verdict == DEVMGR_ADMITTED ? text : result->detail);
}

static void admit(devmgr *m, void *arg) {
    struct request *r = arg;
    devmgr_error err;
    int rc = devmgr_admit(m, r->pod, on_admitted, r, &err);
    if (rc < 0)
        finish(r, rc, err.message);
}

static void on_released(void *arg, int status, const char *const *uids, size_t n, const devmgr_error *err) {
    finish(arg, status, status < 0 ? err->message : n ? uids[0] : "nothing");
}

static void release(devmgr *m, void *arg) {
    struct request *r = arg;
    int rc = devmgr_release(m, devmgr_pod_uid(r->pod), on_released, r);
    if (rc < 0)
        finish(r, rc, devmgr_error_name(rc));
}

static void on_closed(void *arg) {
    finish(arg, 0, "closed");
}

static void shut(devmgr *m, void *arg) {
    devmgr_close(m, on_closed, arg);
}

/* ---- on any other ------------------------------------------------------------------------------------------------------ */

static int call(devmgr *m, void (*run)(devmgr *, void *), struct request *r) {
    sem_init(&r->done, 0, 0);
    int rc = devmgr_call(m, run, r);
    while (rc == 0 && sem_wait(&r->done) < 0)
        continue; /* a signal */
    sem_destroy(&r->done);
    return rc < 0 ? rc : r->status;
}

int main(int argc, char **argv) {
    devmgr *manager;
    devmgr_error err;
    devmgr_config *config = devmgr_config_new();
    if (argc != 3 || devmgr_config_set(config, "root", argv[1], &err) < 0)
        return fprintf(stderr, "usage: thread ROOT RESOURCE\n"), 2;
    if (devmgr_open(NULL, config, NULL, NULL, &manager, &err) < 0)
        return fprintf(stderr, "thread: %s\n", err.message), 1;
    devmgr_config_free(config);

    devmgr_pod *pod = devmgr_pod_new("uid-1", "default", "example");
    devmgr_pod_container(pod, "main", DEVMGR_APP);
    devmgr_pod_limit(pod, "main", argv[2], 1);
    devmgr_pod_wait(pod, 20000); /* until a plugin has registered */
    struct request r = {.pod = pod};
    int failed = call(manager, admit, &r) != 0;
    printf("%s\n", r.text);
    failed |= call(manager, release, &r) < 0;
    printf("released %s\n", r.text);
    call(manager, shut, &r);
    devmgr_pod_free(pod);
    return failed;
}
