/* error.c -- see error.h. A message is one line of UTF-8: what a stranger put into a value cannot begin another, or
 * steer a terminal. One that does not fit is cut, never overrun. */
#include "base/error.h"
#include "base/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int dm_error_set(devmgr_error *reterr, int code, const char *format, ...) {
    va_list ap;
    if (!reterr)
        return code;
    reterr->code = code;
    va_start(ap, format);
    vsnprintf(reterr->message, sizeof reterr->message, format, ap);
    va_end(ap);
    dm_text_one_line(reterr->message);
    return code;
}

int dm_error_errno(devmgr_error *reterr, const char *format, ...) {
    int code = -errno;
    char text[1020];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return dm_error_set(reterr, code, "%s: %s", text, strerror(-code));
}

int dm_error_wrap(devmgr_error *reterr, const char *format, ...) {
    char text[1020], inner[1020];
    va_list ap;
    if (!reterr)
        return -EIO; /* nobody asked for the code; callers return their own */
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    memcpy(inner, reterr->message, sizeof inner);
    inner[sizeof inner - 1] = 0;
    return dm_error_set(reterr, reterr->code, "%s: %s", text, inner);
}
