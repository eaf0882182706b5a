/* status.c -- see status.h. */
#include "base/status.h"
#include <stddef.h>
#include <strings.h>

static const char *const names[] = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

const char *dm_code_name(int code) {
    return code >= 0 && (size_t)code < sizeof names / sizeof *names ? names[code] : "Code";
}

static int same(const char *a, const char *b) {
    for (;; a++, b++) {
        while (*b == '_')
            b++;
        char x[2] = {*a, 0}, y[2] = {*b, 0};
        if (strcasecmp(x, y))
            return 0;
        if (!*a)
            return 1;
    }
}

int dm_code_from_name(const char *name) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (same(names[i], name))
            return (int)i;
    return same("Cancelled", name) ? DM_CANCELLED : -1;
}
