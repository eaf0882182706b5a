/* hints.c -- see hints.h.
 *
 * A set is a hint when reusable devices all lie in it and reusable plus candidates on it are enough. It is preferred
 * when no smaller set would do with all known devices, free or not: so all hints may be non-preferred, and that is
 * right, the best sets are merely in use. */
#include "topology/hints.h"
#include "base/mem.h"
#include <string.h>

struct search {
    const struct dm_device_group *groups;
    size_t n_groups;
    uint64_t count;
    uint8_t nodes[DM_NUMA_NODES]; /* to build sets of, in order */
    size_t n_nodes;
    size_t least;
    uint64_t looked;
    struct dm_hints *out;
};

void dm_hints_free(struct dm_hints *h) {
    free(h->hints);
    *h = (struct dm_hints){0};
}

void dm_hints_add(struct dm_hints *h, struct dm_hint hint) {
    DM_GROW(h->hints, h->n, h->cap);
    h->hints[h->n++] = hint;
}

static uint64_t known_on(const struct search *s, uint64_t set) {
    uint64_t sum = 0;
    for (size_t i = 0; i < s->n_groups; i++)
        sum += s->groups[i].nodes & set ? s->groups[i].known : 0;
    return sum;
}

/* Can `set` serve the request? */
static bool serves(const struct search *s, uint64_t set) {
    uint64_t match = 0;
    for (size_t i = 0; i < s->n_groups; i++) {
        const struct dm_device_group *g = &s->groups[i];
        bool on = g->nodes & set;
        if (g->reusable && g->topology && !on)
            return false;
        match += on ? g->candidates + g->reusable : 0;
    }
    return match >= s->count;
}

static void look_at(struct search *s, uint64_t set, size_t size) {
    s->looked++;
    if (size < s->least && known_on(s, set) >= s->count)
        s->least = size;
    if (serves(s, set))
        dm_hints_add(s->out, (struct dm_hint){.mask = set});
}

/* All sets of `size` nodes, lexicographic in the order of the nodes. false: the budget is used up. */
static bool each_set(struct search *s, size_t size) {
    size_t pick[DM_NUMA_NODES];
    for (size_t i = 0; i < size; i++)
        pick[i] = i;
    for (;;) {
        uint64_t set = 0;
        for (size_t i = 0; i < size; i++)
            set |= UINT64_C(1) << s->nodes[pick[i]];
        if (s->looked >= DM_HINT_BUDGET)
            return false;
        look_at(s, set, size);
        size_t i = size;
        while (i > 0 && pick[i - 1] == s->n_nodes - size + i - 1)
            i--;
        if (i == 0)
            return true;
        for (pick[i - 1]++; i < size; i++)
            pick[i] = pick[i - 1] + 1;
    }
}

static int descending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Could any set of `size` nodes do, or lower `least`? Not when the richest nodes together have too few devices. */
static bool may_serve(const struct search *s, size_t size) {
    uint64_t rich[DM_NUMA_NODES], sum = 0;
    for (size_t i = 0; i < s->n_nodes; i++) {
        rich[i] = 0;
        for (size_t k = 0; k < s->n_groups; k++) {
            const struct dm_device_group *g = &s->groups[k];
            uint64_t most = g->candidates + g->reusable > g->known ? g->candidates + g->reusable : g->known;
            rich[i] += g->nodes >> s->nodes[i] & 1 ? most : 0;
        }
    }
    qsort(rich, s->n_nodes, sizeof *rich, descending);
    for (size_t i = 0; i < size; i++)
        sum += rich[i];
    return sum >= s->count;
}

/* The nodes that bear devices, ascending; where there are none, all of the machine in its own order. */
static void choose_nodes(struct search *s, const struct dm_numa *numa) {
    uint64_t bearing = 0;
    for (size_t i = 0; i < s->n_groups; i++)
        bearing |= s->groups[i].known ? s->groups[i].nodes & numa->all : 0;
    for (uint64_t left = bearing; left; left &= left - 1)
        s->nodes[s->n_nodes++] = (uint8_t)__builtin_ctzll(left);
    if (!bearing)
        memcpy(s->nodes, numa->ids, s->n_nodes = numa->n);
}

void dm_hints_generate(const struct dm_numa *numa, const struct dm_device_group *groups, size_t n,
                       uint64_t count, struct dm_hints *ret) {
    struct search s = {.groups = groups, .n_groups = n, .count = count, .out = ret};
    *ret = (struct dm_hints){.kind = DM_HINTS_LIST, .exhaustive = true};
    choose_nodes(&s, numa);
    s.least = s.n_nodes;
    for (size_t size = 1; size <= s.n_nodes && ret->exhaustive; size++)
        if (may_serve(&s, size))
            ret->exhaustive = each_set(&s, size);
    if (!ret->exhaustive &&
        serves(&s, numa->all)) /* at least the widest one, so that "possible" stays true */
        dm_hints_add(ret, (struct dm_hint){.mask = numa->all});
    for (size_t i = 0; i < ret->n; i++)
        ret->hints[i].preferred = (size_t)__builtin_popcountll(ret->hints[i].mask) == s.least;
    if (!ret->n)
        ret->kind = DM_HINTS_IMPOSSIBLE;
}
