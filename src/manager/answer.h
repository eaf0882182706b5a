/* answer.h -- callbacks that are due, each with its own copy of what it will be told. */
#ifndef DM_MANAGER_ANSWER_H
#define DM_MANAGER_ANSWER_H
#include "manager/options.h"
#include "manager/pages.h"
#include "manager/state.h"

struct dm_answer_due {
    struct dm_act act;
    enum { DM_ANSWER_ADMISSION, DM_ANSWER_OPTIONS, DM_ANSWER_DONE } kind;
    struct dm_pages pages;
    devmgr_admit_cb admit_cb;
    devmgr_options_cb options_cb;
    devmgr_done_cb done_cb;
    void *arg;
    devmgr_admission admission;
    struct dm_merged *merged; /* OPTIONS with status 0 */
    int status;
    devmgr_error error;
    const char *const *uids; /* in pages */
    size_t n_uids;
};

/* An admission's answer. Made while its claims still say that they are the txn's (is_new); dm_act_queue is the caller's. */
struct dm_answer_due *dm_answer_admitted(struct dm_txn *t);
void dm_answer_refused(struct dm_txn *t, const struct dm_verdict *v, uint64_t retry_after_ms);
void dm_answer_options(struct dm_manager *m, devmgr_options_cb cb, void *arg,
                       struct dm_merged *merged); /* owns it */
void dm_answer_options_failed(struct dm_manager *m, devmgr_options_cb cb, void *arg, int status,
                              const char *text);
/* cb NULL: nothing. `text`: of a failure. uids are copied. */
void dm_answer_done(struct dm_manager *m, devmgr_done_cb cb, void *arg, int status, const char *text,
                    char *const *uids, size_t n);
void dm_answer_drop(struct dm_answer_due *a); /* untold: only at the end */
#endif
