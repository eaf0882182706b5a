/* pages.c -- see pages.h. */
#include "manager/pages.h"

enum { PAGE = 2048 };
struct dm_page {
    struct dm_page *before;
    size_t used, size;
    _Alignas(max_align_t) char bytes[];
};

void *dm_pages_alloc(struct dm_pages *p, size_t n) {
    size_t want = (n + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    if (!p->last || p->last->size - p->last->used < want) {
        size_t size = want > PAGE ? want : PAGE;
        struct dm_page *page = dm_alloc(sizeof *page + size);
        page->size = size;
        page->before = p->last;
        p->last = page;
    }
    void *at = p->last->bytes + p->last->used;
    p->last->used += want;
    return at;
}

char *dm_pages_text(struct dm_pages *p, const char *s) {
    return s ? memcpy(dm_pages_alloc(p, strlen(s) + 1), s, strlen(s) + 1) : NULL;
}

void dm_pages_free(struct dm_pages *p) {
    while (p->last) {
        struct dm_page *page = p->last;
        p->last = page->before;
        free(page);
    }
}
