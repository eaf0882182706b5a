/* error.h -- fill a devmgr_error. It has no owner: plain memory of the caller, written on failure only.
 *
 * Every function that can fail takes `devmgr_error *reterr` last (NULL: no interest) and returns 0 or a negative
 * code; these helpers return the code, so that a failing line reads `return dm_error_set(reterr, -EIO, "...")`. */
#ifndef DM_BASE_ERROR_H
#define DM_BASE_ERROR_H
#include "devmgr.h"
#include <errno.h>

int dm_error_set(devmgr_error *reterr, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As above, then ": " and the system's text for errno; the code is -errno. */
int dm_error_errno(devmgr_error *reterr, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts "what: " before the message that is already there; keeps and returns its code. */
int dm_error_wrap(devmgr_error *reterr, const char *format, ...) __attribute__((format(printf, 2, 3)));
#endif
