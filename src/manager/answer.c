/* answer.c -- see answer.h. */
#include "manager/answer.h"
#include "base/error.h"
#include "manager/events.h"
#include "manager/verdict.h"
#include "manager/view.h"

static struct dm_answer_due *due(int kind, void *arg) {
    struct dm_answer_due *a = DM_NEW(struct dm_answer_due);
    a->act.kind = DM_ACT_ANSWER;
    a->kind = kind;
    a->arg = arg;
    return a;
}

struct dm_answer_due *dm_answer_admitted(struct dm_txn *t) {
    struct dm_answer_due *a = due(DM_ANSWER_ADMISSION, t->arg);
    devmgr_admission *x = &a->admission;
    a->admit_cb = t->cb;
    x->verdict = DEVMGR_ADMITTED;
    x->detail = t->conflict ? dm_pages_text(&a->pages, t->conflict) : "";
    x->reason = x->message = "";
    x->pod = dm_view_pod(&a->pages, t->pod, t, true);
    x->claims = dm_view_claims(&a->pages, x->pod, &x->n_claims);
    return a;
}

void dm_answer_refused(struct dm_txn *t, const struct dm_verdict *v, uint64_t retry_after_ms) {
    struct dm_answer_due *a = due(DM_ANSWER_ADMISSION, t->arg);
    a->admit_cb = t->cb;
    a->admission = (devmgr_admission){.verdict = v->verdict,
                                      .cause = v->cause,
                                      .detail = dm_pages_text(&a->pages, v->detail),
                                      .reason = dm_verdict_reason(v),
                                      .message = dm_pages_text(&a->pages, v->message),
                                      .container = dm_pages_text(&a->pages, v->container),
                                      .resource = dm_pages_text(&a->pages, v->resource),
                                      .retry_after_ms = retry_after_ms};
    dm_act_queue(t->manager, &a->act);
}

void dm_answer_options(struct dm_manager *m, devmgr_options_cb cb, void *arg, struct dm_merged *merged) {
    struct dm_answer_due *a = due(DM_ANSWER_OPTIONS, arg);
    a->options_cb = cb;
    a->merged = merged;
    dm_act_queue(m, &a->act);
}

void dm_answer_options_failed(struct dm_manager *m, devmgr_options_cb cb, void *arg, int status,
                              const char *text) {
    struct dm_answer_due *a = due(DM_ANSWER_OPTIONS, arg);
    a->options_cb = cb;
    a->status = dm_error_set(&a->error, status, "%s", text);
    dm_act_queue(m, &a->act);
}

void dm_answer_done(struct dm_manager *m, devmgr_done_cb cb, void *arg, int status, const char *text,
                    char *const *uids, size_t n) {
    if (!cb)
        return;
    struct dm_answer_due *a = due(DM_ANSWER_DONE, arg);
    const char **copy = dm_pages_alloc(&a->pages, n * sizeof *copy);
    for (size_t i = 0; i < n; i++)
        copy[i] = dm_pages_text(&a->pages, uids[i]);
    a->done_cb = cb;
    a->uids = copy;
    a->n_uids = n;
    a->status = status < 0 ? dm_error_set(&a->error, status, "%s", text) : 0;
    dm_act_queue(m, &a->act);
}

void dm_answer_drop(struct dm_answer_due *a) {
    dm_pages_free(&a->pages);
    dm_merged_free(a->merged);
    free(a);
}

void dm_answer_deliver(struct dm_answer_due *a) {
    const devmgr_error *err = a->status < 0 ? &a->error : NULL;
    if (a->kind == DM_ANSWER_ADMISSION)
        a->admit_cb(a->arg, &a->admission);
    else if (a->kind == DM_ANSWER_OPTIONS)
        a->options_cb(a->arg, a->status, a->merged ? &a->merged->options : NULL, err);
    else
        a->done_cb(a->arg, a->status, a->uids, a->n_uids, err);
    dm_answer_drop(a);
}
