/* mem.c -- see mem.h. */
#include "base/mem.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void *must(void *p, size_t n) {
    if (!p && n) {
        fprintf(stderr, "devmgr: out of memory (%zu bytes)\n", n);
        abort();
    }
    return p;
}

void *dm_alloc(size_t n) {
    return must(calloc(1, n ? n : 1), n ? n : 1);
}

void *dm_alloc_array(size_t n, size_t size) {
    if (size && n > SIZE_MAX / size)
        must(NULL, SIZE_MAX);
    return dm_alloc(n * size);
}

void *dm_realloc(void *p, size_t n) {
    return must(realloc(p, n ? n : 1), n ? n : 1);
}

void *dm_try_realloc(void *p, size_t n) {
    return realloc(p, n ? n : 1);
}

char *dm_strdup(const char *s) {
    return s ? dm_strndup(s, strlen(s)) : NULL;
}

char *dm_strndup(const char *s, size_t n) {
    char *copy = dm_realloc(NULL, n + 1);
    if (n)
        memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

void *dm_memdup(const void *p, size_t n) {
    void *copy = dm_realloc(NULL, n);
    if (n)
        memcpy(copy, p, n);
    return copy;
}

char *dm_printf(const char *format, ...) {
    va_list ap;
    char *text = NULL;
    va_start(ap, format);
    int n = vasprintf(&text, format, ap);
    va_end(ap);
    return must(n < 0 ? NULL : text, 1);
}

void dm_freep(void *pp) {
    free(*(void **)pp);
}
