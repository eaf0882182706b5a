/* admit.c -- Admit and AdmitEach.
 *
 * Cancelling a call does not undo an admission: nobody could know whether it came before the answer. So the pod's owner
 * looks (ListPods) or releases, and a client that goes away only ends what was not begun. */
#include "base/mem.h"
#include "control/service.h"
#include <string.h>

enum { MOST_PODS = 1000 }; /* of one manifest: what a node can run, and more */

struct admit {
    struct dm_request *request;
    struct dm_pods pods;
    size_t next; /* pods[next - 1] is in flight */
    bool each;   /* AdmitEach: stream the results */
    bool gone;   /* the client went away */
};

static void free_admit(struct admit *a) {
    dm_pods_free(&a->pods);
    free(a);
}

static void finish(struct admit *a, const struct dm_status *status) {
    struct dm_request *r = a->request;
    free_admit(a);
    dm_request_finish(r, status);
}

static void answer(struct admit *a, const devmgr_admission *result) {
    const devmgr_pod *pod = a->pods.pods[a->next - 1];
    const struct dm_admission admission = {result, devmgr_pod_uid(pod), devmgr_pod_namespace(pod),
                                           devmgr_pod_name(pod), devmgr_cause_name(result->cause)};
    DM_CLEANUP(dm_buf_free) struct dm_buf out = {0};
    DM_CLEANUP(dm_arena_free) struct dm_arena arena = {0};
    dm_message_write(dm_encode_admission(&arena, &admission), &out);
    if (a->each) {
        dm_incoming_send(a->request->in, dm_buf_span(&out));
        return;
    }
    struct dm_request *r = a->request;
    free_admit(a);
    dm_request_reply_bytes(r, &out);
}

static void admit_next(struct admit *a);

static void on_admission(void *arg, const devmgr_admission *result) {
    struct admit *a = arg;
    bool each = a->each;
    answer(a, result); /* Admit: ends it */
    if (each)
        admit_next(a);
}

static void admit_next(struct admit *a) {
    static const struct dm_status closing = {DM_UNAVAILABLE, "closing; the other pods were not begun"};
    struct dm_control *c = a->request->control;
    devmgr_error err = {0};
    if (a->gone || a->next == a->pods.n) {
        finish(a, NULL);
        return;
    }
    if (c->closing) {
        finish(a, &closing);
        return;
    }
    devmgr_pod *pod = a->pods.pods[a->next++];
    int r = devmgr_admit(c->m, pod, on_admission, a, &err);
    if (r < 0) {
        DM_FREE char *what = dm_printf("pod %s/%s", devmgr_pod_namespace(pod), devmgr_pod_name(pod));
        struct dm_request *request = a->request;
        free_admit(a);
        dm_request_fail(request, r, &err, what);
    }
}

static void on_gone(void *arg) {
    ((struct admit *)arg)->gone = true;
}

static void serve(struct dm_request *r, bool each) {
    const PB(AdmitRequest) *m = r->message;
    devmgr_error err = {0};
    struct admit *a = DM_NEW(struct admit);
    a->request = r;
    a->each = each;
    int rc = dm_decode_pods(m->pod, each ? MOST_PODS : 1, &a->pods, &err);
    if (rc < 0) {
        free_admit(a);
        dm_request_fail(r, rc, &err, "pod");
        return;
    }
    dm_incoming_on_cancel(r->in, on_gone, a);
    admit_next(a);
}

void dm_serve_admit(struct dm_request *r) {
    serve(r, false);
}

void dm_serve_admit_each(struct dm_request *r) {
    serve(r, true);
}
