/* answer.h -- AllocateResponse: take the first container's answer out of it, untouched. dm_answer_decode (which reads
 * such bytes) is in registration.h, because the checkpoint's entries are the same bytes. Pure. */
#ifndef DM_REGISTRATION_ANSWER_H
#define DM_REGISTRATION_ANSWER_H
#include "base/buf.h"
#include "base/error.h"

enum { DM_ANSWER_MAX_ENTRIES = 1 << 20 }; /* envs, mounts, devices, annotations and CDI names together */

/* *first borrows from `response`: the bytes as sent, unknown fields included. *n_containers 0: *first is empty.
 * -EBADMSG: the response or its first container cannot be decoded. */
int dm_answer_first(struct dm_span response, size_t *n_containers, struct dm_span *first,
                    devmgr_error *reterr);
#endif
