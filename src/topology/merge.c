/* merge.c -- see merge.h.
 *
 * The kubelet walks the product of all lists. A tuple gives (m, p): m = the machine's nodes AND all masks of the tuple,
 * p = every hint preferred and all masks equal. Tuples with empty m do not count; of the rest the best wins.
 *
 * Why the order of tuples does not matter: "best" is a total order of the pairs (m, p). Preferred before not preferred.
 * Among preferred: the fitter. Among the others, with T the target: |m| = T first, then |m| < T from large to small,
 * then |m| > T from small to large, and the fitter among equal |m|. Fitter: with prefer-closest the smaller mean
 * distance, else nothing, then the smaller number -- total, since m is a number. The kubelet's pairwise comparison
 * chooses by exactly this order, so its result is the largest pair, whichever comes first.
 *
 * Why folding finds the winner: is there a preferred tuple at all? All its masks are one raw mask r (or it has none), so
 * it is enough to keep, list after list, the r that every list has as a preferred hint or passes by with a preferred
 * hint without mask. If there is none, every pair is (m, false), and the m that occur are the family of all ANDs: that
 * of the first lists AND each set of the next, whatever tuple led there. Distinct sets only; with few nodes the AND of
 * two families is a convolution: zeta transform over supersets, multiply, Moebius back. An m that becomes empty never
 * counts again and is dropped. */
#include "topology/merge.h"
#include "base/mem.h"
#include <string.h>

struct masks { /* a family of distinct sets */
    size_t n, cap;
    uint64_t *sets;
};

struct fold {
    uint64_t all; /* the machine */
    uint64_t named,
        beyond; /* its nodes that some hint names; the others, which only `all` has: they act as one */
    bool start; /* every list so far has a preferred hint without mask */
    struct masks equal; /* raw masks that a preferred tuple may have */
    struct masks ands;  /* within `all`, none empty */
    uint64_t steps;
    bool exhaustive;
};

struct list {                  /* one resource's hints as the policy sees them */
    bool any, any_preferred;   /* a hint without mask, not preferred; preferred */
    struct masks plain, liked; /* raw masks not preferred; preferred */
};

static void add(struct masks *f, uint64_t set) {
    DM_GROW(f->sets, f->n, f->cap);
    f->sets[f->n++] = set;
}

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void make_distinct(struct masks *f) {
    size_t n = 0;
    if (f->n)
        qsort(f->sets, f->n, sizeof *f->sets, ascending);
    for (size_t i = 0; i < f->n; i++)
        if (!n || f->sets[n - 1] != f->sets[i])
            f->sets[n++] = f->sets[i];
    f->n = n;
}

static bool contains(const struct masks *f, uint64_t set) {
    return f->n && bsearch(&set, f->sets, f->n, sizeof *f->sets, ascending);
}

static void free_masks(struct masks *f) {
    free(f->sets);
    *f = (struct masks){0};
}

/* ---- AND of every set of one family with every set of the other ----------------------------------------------------- */

/* The bits that can differ: the named nodes, and the lowest of the others for all of them. */
static uint64_t places(const struct fold *f) {
    return f->named | (f->beyond & -f->beyond);
}

/* Bits of `set` at those places, packed together; and back. */
static uint64_t pack(uint64_t set, uint64_t at) {
    uint64_t out = 0;
    for (unsigned i = 0; at; at &= at - 1, i++)
        out |= (set >> __builtin_ctzll(at) & 1) << i;
    return out;
}

static uint64_t unpack(const struct fold *f, uint64_t packed) {
    uint64_t out = 0;
    for (uint64_t at = places(f); at; at &= at - 1, packed >>= 1)
        out |= packed & 1 ? at & -at : 0;
    return out & f->beyond ? out | f->beyond : out;
}

/* f[m] = sum of f over all supersets of m; with `sign` -1 the way back. */
static void over_supersets(uint64_t *f, unsigned bits, bool back) {
    for (unsigned b = 0; b < bits; b++)
        for (size_t m = 0; m < (size_t)1 << bits; m++)
            if (!(m >> b & 1))
                f[m] = back ? f[m] - f[m | (size_t)1 << b] : f[m] + f[m | (size_t)1 << b];
}

/* Numbers of pairs fit: at most 2^16 sets on each side. */
static void and_dense(const struct fold *f, struct masks *out, const struct masks *a, const struct masks *b) {
    uint64_t at = places(f);
    unsigned bits = (unsigned)__builtin_popcountll(at);
    size_t n = (size_t)1 << bits;
    DM_FREE uint64_t *fa = dm_alloc_array(n, sizeof *fa), *fb = dm_alloc_array(n, sizeof *fb);
    for (size_t i = 0; i < a->n; i++)
        fa[pack(a->sets[i], at)] = 1;
    for (size_t i = 0; i < b->n; i++)
        fb[pack(b->sets[i], at)] = 1;
    over_supersets(fa, bits, false);
    over_supersets(fb, bits, false);
    for (size_t i = 0; i < n; i++)
        fa[i] *= fb[i];
    over_supersets(fa, bits, true);
    for (size_t i = 1; i < n; i++) /* 0: empty, does not count */
        if (fa[i])
            add(out, unpack(f, i));
}

static void and_sparse(struct fold *f, struct masks *out, const struct masks *a, const struct masks *b) {
    for (size_t i = 0; i < a->n; i++)
        for (size_t k = 0; k < b->n; k++) {
            if (++f->steps > DM_MERGE_BUDGET) {
                f->exhaustive = false;
                return;
            }
            uint64_t m = a->sets[i] & b->sets[k];
            if (out->n && out->n == out->cap) /* about to grow: perhaps it need not */
                make_distinct(out);
            if (m)
                add(out, m);
        }
    make_distinct(out);
}

static void and_families(struct fold *f, struct masks *out, const struct masks *a, const struct masks *b) {
    if (!a->n || !b->n)
        return;
    if (__builtin_popcountll(places(f)) <= DM_MERGE_DENSE && a->n * b->n > 64)
        and_dense(f, out, a, b);
    else
        and_sparse(f, out, a, b);
}

/* ---- one list ------------------------------------------------------------------------------------------------------- */

static void read_list(const struct dm_hints *h, bool single, struct list *l) {
    *l = (struct list){.any_preferred = h->kind == DM_HINTS_ANY,
                       .any = h->kind == DM_HINTS_IMPOSSIBLE && !single};
    for (size_t i = 0; h->kind == DM_HINTS_LIST && i < h->n; i++) {
        const struct dm_hint *x = &h->hints[i];
        if (single && (!x->preferred || (!x->any && __builtin_popcountll(x->mask) != 1)))
            continue;
        if (x->any)
            *(x->preferred ? &l->any_preferred : &l->any) = true;
        else
            add(x->preferred ? &l->liked : &l->plain, x->mask);
    }
    make_distinct(&l->liked);
    make_distinct(&l->plain);
}

static void free_list(struct list *l) {
    free_masks(&l->liked);
    free_masks(&l->plain);
}

/* All that a hint of the list can AND with: its masks within the machine, the whole machine for one without. */
static struct masks effects(const struct fold *f, const struct list *l) {
    struct masks out = {0};
    for (size_t i = 0; i < l->liked.n; i++)
        add(&out, l->liked.sets[i] & f->all);
    for (size_t i = 0; i < l->plain.n; i++)
        add(&out, l->plain.sets[i] & f->all);
    if (l->any || l->any_preferred)
        add(&out, f->all);
    make_distinct(&out);
    return out;
}

static void fold_preferred(struct fold *f, const struct list *l) {
    struct masks equal = {0};
    for (size_t i = 0; i < f->equal.n; i++)
        if (l->any_preferred || contains(&l->liked, f->equal.sets[i]))
            add(&equal, f->equal.sets[i]);
    for (size_t i = 0; f->start && i < l->liked.n; i++)
        add(&equal, l->liked.sets[i]);
    make_distinct(&equal);
    f->start &= l->any_preferred;
    free_masks(&f->equal);
    f->equal = equal;
}

static void fold_list(struct fold *f, const struct list *l) {
    struct masks effect = effects(f, l), ands = {0};
    and_families(f, &ands, &f->ands, &effect);
    free_masks(&effect);
    free_masks(&f->ands);
    f->ands = ands;
    fold_preferred(f, l);
}

/* ---- the winner ------------------------------------------------------------------------------------------------------ */

/* Largest over the lists of the size of the narrowest mask. */
static int target(const struct dm_hints *lists, size_t n, bool single) {
    int most = 0;
    for (size_t i = 0; i < n; i++) {
        struct list l;
        int least = 65;
        read_list(&lists[i], single, &l);
        for (size_t k = 0; k < l.liked.n; k++)
            least =
                __builtin_popcountll(l.liked.sets[k]) < least ? __builtin_popcountll(l.liked.sets[k]) : least;
        for (size_t k = 0; k < l.plain.n; k++)
            least =
                __builtin_popcountll(l.plain.sets[k]) < least ? __builtin_popcountll(l.plain.sets[k]) : least;
        free_list(&l);
        most = least < 65 && least > most ? least : most;
    }
    return most;
}

/* Where a size stands among non-preferred ones: smaller is better. */
static int rank(int size, int t) {
    return size == t ? 0 : size < t ? t - size : DM_NUMA_NODES + size;
}

static bool fitter(const struct dm_topology *t, uint64_t a, uint64_t b) {
    if (t->prefer_closest && t->policy != DM_POLICY_SINGLE_NUMA_NODE &&
        __builtin_popcountll(a) == __builtin_popcountll(b)) {
        double da = dm_numa_average(&t->numa, a), db = dm_numa_average(&t->numa, b);
        return da != db ? da < db : a < b;
    }
    return dm_numa_narrower(a, b);
}

static bool best_preferred(const struct dm_topology *t, const struct fold *f, uint64_t *best) {
    *best = f->start ? f->all : 0;
    for (size_t i = 0; i < f->equal.n; i++) {
        uint64_t m = f->equal.sets[i] & f->all;
        if (m && (!*best || fitter(t, m, *best)))
            *best = m;
    }
    return *best;
}

static bool best_other(const struct dm_topology *t, const struct fold *f, int size, uint64_t *best) {
    *best = 0;
    for (size_t i = 0; i < f->ands.n; i++) {
        uint64_t m = f->ands.sets[i];
        int a = rank(__builtin_popcountll(m), size), b = rank(__builtin_popcountll(*best), size);
        if (!*best || a < b || (a == b && fitter(t, m, *best)))
            *best = m;
    }
    return *best;
}

static uint64_t named(const struct dm_hints *lists, size_t n) {
    uint64_t used = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; lists[i].kind == DM_HINTS_LIST && k < lists[i].n; k++)
            used |= lists[i].hints[k].any ? 0 : lists[i].hints[k].mask;
    return used;
}

struct dm_affinity dm_topology_merge(const struct dm_topology *t, const struct dm_hints *lists, size_t n) {
    bool single = t->policy == DM_POLICY_SINGLE_NUMA_NODE;
    struct fold f = {.all = t->numa.all, .start = true, .exhaustive = true};
    struct dm_affinity a = {.any = true, .admit = true, .exhaustive = true};
    if (t->policy == DM_POLICY_NONE)
        return a;
    f.named = named(lists, n) & f.all;
    f.beyond = f.all & ~f.named;
    add(&f.ands, f.all);
    for (size_t i = 0; i < n; i++) {
        struct list l;
        read_list(&lists[i], single, &l);
        fold_list(&f, &l);
        free_list(&l);
        f.exhaustive &= lists[i].kind != DM_HINTS_LIST || lists[i].exhaustive;
    }
    a.preferred = best_preferred(t, &f, &a.mask);
    if (!a.preferred && !best_other(t, &f, target(lists, n, single), &a.mask))
        a.mask = f.all;
    a.any = single && a.mask == f.all;
    a.mask = a.any ? 0 : a.mask;
    a.admit = t->policy == DM_POLICY_BEST_EFFORT || a.preferred;
    a.exhaustive = f.exhaustive;
    free_masks(&f.equal);
    free_masks(&f.ands);
    return a;
}
