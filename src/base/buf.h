/* buf.h -- a growing byte buffer, always NUL-terminated. Zero-initialise it; dm_buf_free (or DM_CLEANUP) ends it. */
#ifndef DM_BASE_BUF_H
#define DM_BASE_BUF_H
#include <stddef.h>
#include <stdint.h>

struct dm_buf {
    char *data; /* NULL until the first byte; else NUL-terminated */
    size_t len, cap;
};
/* Bytes that somebody else owns. */
struct dm_span {
    const uint8_t *data;
    size_t len;
};

void dm_buf_free(struct dm_buf *b);               /* also for DM_CLEANUP; leaves it empty */
char *dm_buf_reserve(struct dm_buf *b, size_t n); /* room for n more; returns where they go, len unchanged */
char *dm_buf_try_reserve(struct dm_buf *b, size_t n); /* NULL: no memory */
void dm_buf_add(struct dm_buf *b, const void *p, size_t n);
void dm_buf_puts(struct dm_buf *b, const char *s);
void dm_buf_putc(struct dm_buf *b, char c);
void dm_buf_printf(struct dm_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *dm_buf_steal(struct dm_buf *b); /* never NULL; the caller frees it */
static inline struct dm_span dm_buf_span(const struct dm_buf *b) {
    return (struct dm_span){(const uint8_t *)b->data, b->len};
}
#endif
