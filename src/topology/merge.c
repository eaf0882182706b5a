/* merge.c -- see merge.h.
 *
 * The kubelet walks the product of all lists. A tuple, one hint of each list, gives a pair (m, p): m = the machine's nodes
 * AND all masks of the tuple, p = all its hints are preferred and all its masks equal. Tuples with empty m do not count; of
 * the rest the best pair wins.
 *
 * Why the order of tuples does not matter. With T the largest over the lists of the size of the list's narrowest mask, the
 * kubelet keeps of two pairs the one that comes first in this order:
 *   p before not p; then, where p is not, |m| = T, then |m| < T from large to small, then |m| > T from small to large;
 *   then fewer nodes; then, with prefer-closest and a policy other than single-numa-node, the smaller mean distance;
 *   then the smaller number.
 * Each step compares a value of one pair with the same value of the other, and the last tells any two sets apart: so it is
 * a total order of pairs. What one keeps of a sequence by comparing two at a time is then its first element in that order,
 * however the sequence is arranged, and only which pairs occur matters, not how often.
 *
 * Why folding finds the winner. A tuple with p has one raw mask r in all its hints that have a mask, or no mask at all. So
 * p occurs with m = r AND machine just when each list has r as a preferred hint, or a preferred hint without mask, and not
 * all of them the latter (then m is the machine). Those r are kept list after list, best_preferred(). When none has
 * a node of the machine, all pairs that count have p false, and the first is found among the m that occur: all ANDs of one
 * mask from each list. The ANDs over lists 1 ... i are the ANDs over 1 ... i-1, each AND each mask of list i, whatever tuple
 * led there; so a set is kept once, and one that became empty stays empty and is dropped: best_other(), family.c.
 *
 * With single-numa-node only preferred hints of one node or none count, so that tuples without p have masks of different
 * nodes, and none counts. */
#include "topology/merge.h"
#include "base/mem.h"
#include "topology/family.h"
#include <string.h>

enum { NO_MASK = DM_NUMA_NODES + 1 };

struct list { /* one resource's hints */
    const struct dm_hints *hints;
    size_t n;                /* of them; 0: what kind says */
    bool any, any_preferred; /* there is a hint without mask, not preferred; preferred */
    uint64_t named;          /* nodes in its masks */
    int least;               /* size of the narrowest mask; NO_MASK: it has none */
};

struct masks { /* distinct, ascending */
    size_t n, cap;
    uint64_t *sets;
};

static int count(uint64_t set) {
    return __builtin_popcountll(set);
}

/* ---- lists ------------------------------------------------------------------------------------------------------------- */

static void read_list(struct list *l, const struct dm_hints *h) {
    *l = (struct list){.hints = h,
                       .n = h->kind == DM_HINTS_LIST ? h->n : 0,
                       .any = h->kind == DM_HINTS_IMPOSSIBLE,
                       .any_preferred = h->kind == DM_HINTS_ANY,
                       .least = NO_MASK};
    for (size_t i = 0; i < l->n; i++) {
        const struct dm_hint *x = &h->hints[i];
        int size = count(x->mask);
        if (x->any)
            *(x->preferred ? &l->any_preferred : &l->any) = true;
        else {
            l->named |= x->mask;
            l->least = size < l->least ? size : l->least;
        }
    }
}

/* ---- is there a preferred tuple? --------------------------------------------------------------------------------------- */

struct preferred {
    bool start;         /* every list so far has a preferred hint without mask */
    struct masks equal; /* raw masks that a preferred tuple may have */
};

static void add(struct masks *m, uint64_t set) {
    DM_GROW(m->sets, m->n, m->cap);
    m->sets[m->n++] = set;
}

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void make_distinct(struct masks *m) {
    size_t n = 0;
    if (m->n)
        qsort(m->sets, m->n, sizeof(*m->sets), ascending);
    for (size_t i = 0; i < m->n; i++)
        if (!n || m->sets[n - 1] != m->sets[i])
            m->sets[n++] = m->sets[i];
    m->n = n;
}

static bool contains(const struct masks *m, uint64_t set) {
    return m->n && bsearch(&set, m->sets, m->n, sizeof(*m->sets), ascending);
}

static void fold_preferred(struct preferred *p, const struct list *l, bool single) {
    struct masks liked = {0}, equal = {0};
    for (size_t i = 0; i < l->n; i++) {
        const struct dm_hint *x = &l->hints->hints[i];
        if (x->preferred && !x->any && (!single || count(x->mask) == 1))
            add(&liked, x->mask);
    }
    make_distinct(&liked);
    for (size_t i = 0; i < p->equal.n; i++)
        if (l->any_preferred || contains(&liked, p->equal.sets[i]))
            add(&equal, p->equal.sets[i]);
    for (size_t i = 0; p->start && i < liked.n; i++)
        add(&equal, liked.sets[i]);
    make_distinct(&equal);
    p->start &= l->any_preferred;
    free(p->equal.sets), free(liked.sets);
    p->equal = equal;
}

/* ---- all other tuples -------------------------------------------------------------------------------------------------- */

/* All that a hint of the list can AND with: its mask; the whole machine for one without. */
static void fold_other(struct dm_family *f, const struct list *l) {
    size_t n = 0;
    DM_FREE uint64_t *sets = dm_alloc_array(l->n + 1, sizeof *sets);
    for (size_t i = 0; i < l->n; i++)
        if (!l->hints->hints[i].any)
            sets[n++] = l->hints->hints[i].mask & f->all;
    if (!n && (l->any || l->any_preferred))
        return; /* says nothing */
    if (l->any || l->any_preferred)
        sets[n++] = f->all;
    dm_family_cut(f, sets, n);
}

/* ---- the winner -------------------------------------------------------------------------------------------------------- */

/* Where a size stands among non-preferred ones: smaller is better. */
static int rank(int size, int t) {
    return size == t ? 0 : size < t ? t - size : DM_NUMA_NODES + size;
}

static bool fitter(const struct dm_topology *t, uint64_t a, uint64_t b) {
    if (t->prefer_closest && t->policy != DM_POLICY_SINGLE_NUMA_NODE && count(a) == count(b)) {
        double da = dm_numa_average(&t->numa, a), db = dm_numa_average(&t->numa, b);
        return da != db ? da < db : a < b;
    }
    return dm_numa_narrower(a, b);
}

/* 0: no tuple that counts is preferred. */
static uint64_t best_preferred(const struct dm_topology *t, const struct list *lists, size_t n) {
    struct preferred p = {.start = true};
    for (size_t i = 0; i < n; i++)
        fold_preferred(&p, &lists[i], t->policy == DM_POLICY_SINGLE_NUMA_NODE);
    uint64_t best = p.start ? t->numa.all : 0;
    for (size_t i = 0; i < p.equal.n; i++) {
        uint64_t m = p.equal.sets[i] & t->numa.all;
        if (m && (!best || fitter(t, m, best)))
            best = m;
    }
    free(p.equal.sets);
    return best;
}

/* 0: no tuple has a node. The target: largest over the lists of the size of the narrowest mask. */
static uint64_t best_other(const struct dm_topology *t, const struct list *lists, size_t n,
                           bool *exhaustive) {
    struct dm_family f;
    uint64_t named = 0, best = 0;
    int target = 0;
    for (size_t i = 0; i < n; i++) {
        named |= lists[i].named;
        if (lists[i].least != NO_MASK && lists[i].least > target)
            target = lists[i].least;
    }
    dm_family_init(&f, t->numa.all, named);
    for (size_t i = 0; i < n; i++)
        fold_other(&f, &lists[i]);
    dm_family_members(&f);
    for (size_t i = 0; i < f.n; i++) {
        int a = rank(count(f.sets[i]), target), b = rank(count(best), target);
        if (!best || a < b || (a == b && fitter(t, f.sets[i], best)))
            best = f.sets[i];
    }
    *exhaustive &= f.exhaustive;
    dm_family_free(&f);
    return best;
}

struct dm_affinity dm_topology_merge(const struct dm_topology *t, const struct dm_hints *hints, size_t n) {
    bool single = t->policy == DM_POLICY_SINGLE_NUMA_NODE;
    struct dm_affinity a = {.any = true, .admit = true, .exhaustive = true};
    if (t->policy == DM_POLICY_NONE)
        return a;
    DM_FREE struct list *lists = dm_alloc_array(n, sizeof *lists);
    for (size_t i = 0; i < n; i++) {
        read_list(&lists[i], &hints[i]);
        a.exhaustive &= hints[i].kind != DM_HINTS_LIST || hints[i].exhaustive;
    }
    a.mask = best_preferred(t, lists, n);
    a.preferred = a.mask;
    if (!a.preferred && !single)
        a.mask = best_other(t, lists, n, &a.exhaustive);
    if (!a.mask)
        a.mask = t->numa.all;
    a.any = single && a.mask == t->numa.all;
    a.mask = a.any ? 0 : a.mask;
    a.admit = t->policy == DM_POLICY_BEST_EFFORT || a.preferred;
    return a;
}
