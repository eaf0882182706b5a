/* pages.h -- memory that is freed as a whole: what an answer or event shows outlives the state it was made from. */
#ifndef DM_MANAGER_PAGES_H
#define DM_MANAGER_PAGES_H
#include "base/mem.h"
#include <string.h>

struct dm_page;
struct dm_pages { /* zero-initialise */
    struct dm_page *last;
};
void *dm_pages_alloc(struct dm_pages *p, size_t n);     /* zeroed, aligned for anything */
char *dm_pages_text(struct dm_pages *p, const char *s); /* NULL stays NULL */
void dm_pages_free(struct dm_pages *p);                 /* also for DM_CLEANUP */
#endif
