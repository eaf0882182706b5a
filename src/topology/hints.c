/* hints.c -- see hints.h.
 *
 * A set is a hint when reusable devices all lie in it and reusable plus candidates on it are enough. It is preferred
 * when no smaller set would do with all known devices, free or not: so all hints may be non-preferred, and that is
 * right, the best sets are merely in use.
 *
 * Devices on a set = all that are on some node, less those whose nodes all lie outside of it. The latter are a sum over
 * the subsets of the complement: with few nodes it is tabulated for all sets at once. */
#include "topology/hints.h"
#include "base/mem.h"
#include <string.h>

struct counts { /* of devices in a group, on a set of nodes, or in all */
    uint64_t known;
    uint64_t takers; /* candidates and reusable */
    uint64_t bound;  /* reusable: a set that serves has them all */
};

struct search {
    const struct dm_device_group *groups;
    size_t n_groups;
    uint64_t count;
    uint8_t nodes[DM_NUMA_NODES]; /* to build sets of, in order */
    size_t n_nodes;
    uint64_t within; /* as a set */
    size_t least;
    uint64_t steps, step; /* work so far; that of one set */
    struct counts all;
    struct counts *outside; /* by packed set: devices whose nodes all lie in it; NULL: no table */
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

/* ---- how many devices are on a set ----------------------------------------------------------------------------------- */

/* Reusable ones without any topology are on no set and in nobody's way. */
static struct counts counts_of(const struct dm_device_group *g) {
    return (struct counts){g->known, g->candidates + g->reusable, g->topology ? g->reusable : 0};
}

static void add(struct counts *to, struct counts x) {
    to->known += x.known, to->takers += x.takers, to->bound += x.bound;
}

static uint64_t pack(const struct search *s, uint64_t set) {
    uint64_t out = 0, at = s->within;
    for (unsigned i = 0; at; at &= at - 1, i++)
        out |= (set >> __builtin_ctzll(at) & 1) << i;
    return out;
}

static void tabulate(struct search *s) {
    size_t size = (size_t)1 << s->n_nodes;
    s->outside = dm_alloc_array(size, sizeof(*s->outside));
    for (size_t i = 0; i < s->n_groups; i++)
        add(&s->outside[pack(s, s->groups[i].nodes)], counts_of(&s->groups[i]));
    for (size_t h = 1; h < size; h *= 2)
        for (size_t i = 0; i < size; i += 2 * h)
            for (size_t k = i; k < i + h; k++)
                add(&s->outside[k + h], s->outside[k]);
}

/* Devices on `set`, those on several of its nodes once. */
static struct counts counts_on(const struct search *s, uint64_t set) {
    struct counts sum = {0};
    if (s->outside) {
        struct counts out = s->outside[pack(s, s->within & ~set)];
        return (struct counts){s->all.known - out.known, s->all.takers - out.takers,
                               s->all.bound - out.bound};
    }
    for (size_t i = 0; i < s->n_groups; i++)
        if (s->groups[i].nodes & set)
            add(&sum, counts_of(&s->groups[i]));
    return sum;
}

/* ---- which sets to look at ------------------------------------------------------------------------------------------- */

static bool look_at(struct search *s, uint64_t set, size_t size) {
    struct counts on = counts_on(s, set);
    bool serves = on.bound == s->all.bound && on.takers >= s->count;
    if (size < s->least && on.known >= s->count)
        s->least = size;
    if (serves)
        dm_hints_add(s->out, (struct dm_hint){.mask = set});
    return serves;
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
        if ((s->steps += s->step) > DM_HINT_BUDGET)
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

struct node { /* one, and the devices on it: those on several nodes count on each */
    uint64_t set;
    struct counts on;
};

/* In all, and on each node. */
static void count_devices(struct search *s, struct node *nodes) {
    size_t at[DM_NUMA_NODES];
    for (size_t i = 0; i < s->n_nodes; i++) {
        at[s->nodes[i]] = i;
        nodes[i] = (struct node){.set = UINT64_C(1) << s->nodes[i]};
    }
    for (size_t i = 0; i < s->n_groups; i++) {
        struct counts c = counts_of(&s->groups[i]);
        add(&s->all, c);
        for (uint64_t left = s->groups[i].nodes & s->within; left; left &= left - 1)
            add(&nodes[at[__builtin_ctzll(left)]].on, c);
    }
}

/* Devices of the kind that is more: no set gets more of either kind from the node. */
static uint64_t richness(const struct node *x) {
    return x->on.takers > x->on.known ? x->on.takers : x->on.known;
}

static int richest_first(const void *a, const void *b) {
    uint64_t x = richness(a), y = richness(b);
    return (x < y) - (x > y);
}

/* The least size of a set that could do, or lower `least`: fewer than that of the richest nodes have too few devices. */
static size_t least_size(const struct search *s, struct node *nodes) {
    uint64_t sum = 0;
    size_t size = 0;
    qsort(nodes, s->n_nodes, sizeof *nodes, richest_first);
    while (size < s->n_nodes && (sum < s->count || !size))
        sum += richness(&nodes[size++]);
    return sum >= s->count ? size : s->n_nodes + 1;
}

/* Nodes that a set must have come first, then those that bring most; on a tie the lower. */
static int most_wanted_first(const void *a, const void *b) {
    const struct node *x = a, *y = b;
    uint64_t wx = 2 * x->on.takers + x->on.known, wy = 2 * y->on.takers + y->on.known;
    if (x->on.bound != y->on.bound)
        return x->on.bound < y->on.bound ? 1 : -1;
    return wx != wy ? (wx < wy ? 1 : -1) : (x->set > y->set) - (x->set < y->set);
}

static bool is_hint(const struct dm_hints *h, uint64_t set) {
    for (size_t i = 0; i < h->n; i++)
        if (h->hints[i].mask == set)
            return true;
    return false;
}

/* Sets of `from` nodes and more were not all looked at: adds one that is made of the most wanted nodes, as few as serve,
 * and the widest, so that what is possible stays possible. */
static void add_good_ones(struct search *s, struct node *nodes, size_t from) {
    uint64_t set = 0;
    bool serves = false;
    qsort(nodes, s->n_nodes, sizeof *nodes, most_wanted_first);
    for (size_t size = 1; size <= s->n_nodes && !serves; size++) {
        set |= nodes[size - 1].set;
        serves = size >= from && (is_hint(s->out, set) || look_at(s, set, size));
    }
    if (set != s->within)
        look_at(s, s->within, s->n_nodes);
}

/* The nodes that bear devices, ascending; where there are none, all of the machine in its own order. */
static void choose_nodes(struct search *s, const struct dm_numa *numa) {
    for (size_t i = 0; i < s->n_groups; i++)
        s->within |= s->groups[i].known ? s->groups[i].nodes & numa->all : 0;
    for (uint64_t left = s->within; left; left &= left - 1)
        s->nodes[s->n_nodes++] = (uint8_t)__builtin_ctzll(left);
    if (s->within)
        return;
    s->within = numa->all;
    memcpy(s->nodes, numa->ids, s->n_nodes = numa->n);
}

void dm_hints_generate(const struct dm_numa *numa, const struct dm_device_group *groups, size_t n,
                       uint64_t count, struct dm_hints *ret) {
    struct search s = {.groups = groups, .n_groups = n, .count = count, .step = n + 1, .out = ret};
    struct node nodes[DM_NUMA_NODES];
    *ret = (struct dm_hints){.kind = DM_HINTS_LIST, .exhaustive = true};
    choose_nodes(&s, numa);
    count_devices(&s, nodes);
    s.least = s.n_nodes;
    if (s.n_nodes <= DM_HINT_TABLE && n > 4) {
        tabulate(&s);
        s.step = 1;
    }
    size_t size = least_size(&s, nodes);
    while (size <= s.n_nodes && each_set(&s, size))
        size++;
    ret->exhaustive = size > s.n_nodes;
    if (!ret->exhaustive)
        add_good_ones(&s, nodes, size);
    free(s.outside);
    ret->least = s.least;
    for (size_t i = 0; i < ret->n; i++)
        ret->hints[i].preferred = (size_t)__builtin_popcountll(ret->hints[i].mask) == s.least;
    if (!ret->n)
        ret->kind = DM_HINTS_IMPOSSIBLE;
}
