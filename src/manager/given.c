/* given.c -- see given.h. A list that nothing but IMPOSSIBLE was told of stays so; ANY is a hint without nodes. */
#include "manager/given.h"
#include "base/mem.h"
#include <errno.h>
#include <string.h>

enum { MAX_RESOURCES = 64, MAX_HINTS = 1 << 16 };

void dm_hints_tell(struct dm_hints *h, const devmgr_hint *hint) {
    bool any = hint->kind == DEVMGR_HINT_ANY || !hint->numa;
    if (hint->kind == DEVMGR_HINT_IMPOSSIBLE)
        return;
    if (hint->kind == DEVMGR_HINT_MORE) {
        h->exhaustive = false;
        return;
    }
    h->kind = DM_HINTS_LIST;
    dm_hints_add(h, (struct dm_hint){.mask = any ? 0 : hint->numa,
                                     .any = any,
                                     .preferred = hint->kind == DEVMGR_HINT_ANY || hint->preferred});
}

struct dm_hints dm_hints_copy(const struct dm_hints *h) {
    struct dm_hints copy = *h;
    copy.hints = dm_memdup(h->hints, h->n * sizeof *h->hints);
    copy.cap = h->n;
    return copy;
}

/* NULL: no more resources. Those of one resource come one after another, as a rule. */
static struct dm_given_list *list_of(struct dm_given *g, const char *resource) {
    for (size_t i = g->n; i > 0; i--)
        if (!strcmp(g->lists[i - 1].resource, resource))
            return &g->lists[i - 1];
    if (g->n == MAX_RESOURCES)
        return NULL;
    g->lists = dm_realloc(g->lists, (g->n + 1) * sizeof *g->lists);
    g->lists[g->n] = (struct dm_given_list){dm_strdup(resource), DM_HINTS_NOT_TOLD};
    return &g->lists[g->n++];
}

int dm_given_add(struct dm_given *g, const devmgr_hint *hint) {
    struct dm_given_list *list = g->told < MAX_HINTS ? list_of(g, hint->resource) : NULL;
    if (!list)
        return -ENOSPC;
    dm_hints_tell(&list->hints, hint);
    g->told++;
    return 0;
}

struct dm_given dm_given_copy(const struct dm_given *g) {
    struct dm_given copy = *g;
    copy.lists = dm_alloc_array(g->n, sizeof *copy.lists);
    for (size_t i = 0; i < g->n; i++)
        copy.lists[i] =
            (struct dm_given_list){dm_strdup(g->lists[i].resource), dm_hints_copy(&g->lists[i].hints)};
    return copy;
}

void dm_given_free(struct dm_given *g) {
    for (size_t i = 0; i < g->n; i++) {
        free(g->lists[i].resource);
        dm_hints_free(&g->lists[i].hints);
    }
    free(g->lists);
    *g = (struct dm_given){0};
}
