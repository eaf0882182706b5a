/* buf.c -- see buf.h. */
#include "base/buf.h"
#include "base/mem.h"
#include <stdio.h>
#include <string.h>

void dm_buf_free(struct dm_buf *b) {
    free(b->data);
    *b = (struct dm_buf){0};
}

static char *reserve(struct dm_buf *b, size_t n, void *(*resize)(void *p, size_t n)) {
    if (b->cap - b->len <= n || !b->data) {
        size_t want = b->cap ? b->cap : 64;
        while (want - b->len <= n)
            want *= 2;
        char *data = resize(b->data, want);
        if (!data)
            return NULL;
        b->data = data;
        b->cap = want;
        b->data[b->len] = 0;
    }
    return b->data + b->len;
}

char *dm_buf_reserve(struct dm_buf *b, size_t n) {
    return reserve(b, n, dm_realloc);
}

char *dm_buf_try_reserve(struct dm_buf *b, size_t n) {
    return reserve(b, n, dm_try_realloc);
}

void dm_buf_add(struct dm_buf *b, const void *p, size_t n) {
    char *at = dm_buf_reserve(b, n);
    if (n)
        memcpy(at, p, n);
    b->len += n;
    b->data[b->len] = 0;
}

void dm_buf_puts(struct dm_buf *b, const char *s) {
    dm_buf_add(b, s, strlen(s));
}

void dm_buf_putc(struct dm_buf *b, char c) {
    dm_buf_add(b, &c, 1);
}

void dm_buf_printf(struct dm_buf *b, const char *format, ...) {
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (n > 0) {
        vsnprintf(dm_buf_reserve(b, (size_t)n + 1), (size_t)n + 1, format, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

char *dm_buf_steal(struct dm_buf *b) {
    dm_buf_reserve(b, 0);
    char *data = b->data;
    *b = (struct dm_buf){0};
    return data;
}
