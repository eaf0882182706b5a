/* mem.h -- memory that aborts when it runs out (as gRPC does), and scope-bound freeing.
 *
 * Sizes that come from outside are limited before they reach these functions; what strangers may still make large (a
 * checkpoint, a list, an answer, a request) asks dm_try_realloc first, and there is a way to say no. */
#ifndef DM_BASE_MEM_H
#define DM_BASE_MEM_H
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

void *dm_alloc(size_t n);                    /* zeroed */
void *dm_alloc_array(size_t n, size_t size); /* zeroed; aborts on overflow */
void *dm_realloc(void *p, size_t n);
void *dm_try_realloc(void *p, size_t n);   /* NULL: there is none, and p is as it was */
char *dm_strdup(const char *s);            /* NULL stays NULL */
char *dm_strndup(const char *s, size_t n); /* copies n bytes and adds a NUL */
void *dm_memdup(const void *p, size_t n);  /* n 0: a block that can be freed */
char *dm_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void dm_freep(void *pp); /* for DM_CLEANUP: frees *(void **)pp */

#define DM_NEW(type)   ((type *)dm_alloc(sizeof(type)))
#define DM_CLEANUP(fn) __attribute__((cleanup(fn)))
#define DM_FREE        DM_CLEANUP(dm_freep)
/* Moves ownership out of a variable: returns its value and leaves NULL. */
#define DM_MOVE(p)                                                                                           \
    ({                                                                                                       \
        __typeof__(p) moved_ = (p);                                                                          \
        (p) = NULL;                                                                                          \
        moved_;                                                                                              \
    })
#define DM_COUNT(a)                     (sizeof(a) / sizeof *(a))
#define DM_CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
/* Makes room for one more element; `cap` is the current capacity. */
#define DM_GROW(array, n, cap)                                                                               \
    do {                                                                                                     \
        if ((n) >= (cap)) {                                                                                  \
            (cap) = (cap) ? (cap)*2 : 8;                                                                     \
            (array) = dm_realloc((array), (cap) * sizeof *(array));                                          \
        }                                                                                                    \
    } while (0)
/* The same; false when there is no memory, and all is as it was. */
#define DM_TRY_GROW(array, n, cap)                                                                           \
    ({                                                                                                       \
        size_t more_ = (n) < (cap) ? 0 : (cap) ? (cap)*2 : 8;                                                \
        void *grown_ = more_ ? dm_try_realloc((array), more_ * sizeof *(array)) : NULL;                      \
        if (grown_)                                                                                          \
            (array) = grown_, (cap) = more_;                                                                 \
        !more_ || grown_;                                                                                    \
    })
#endif
