/* family.c -- see family.h.
 *
 * Nodes that no list names are in every member or in none: they act as one, the lowest of them. Sets are packed to the
 * places that are left. The ANDs of two families are a convolution: f'[m] = number of members that contain m; the product
 * of both is the number of pairs whose AND contains m; and back. At most (2^16 - 1)^2 pairs make one set, so 32 bits
 * that wrap around on the way tell zero from not zero. */
#include "topology/family.h"
#include "base/mem.h"
#include <string.h>

static int count(uint64_t set) {
    return __builtin_popcountll(set);
}

/* ---- dense: by packed set ---------------------------------------------------------------------------------------------- */

static bool is_low(uint64_t at) {
    return !(at & (at + 1));
}

static uint64_t pack(uint64_t set, uint64_t at) {
    uint64_t out = 0;
    if (is_low(at))
        return set & at;
    for (unsigned i = 0; at; at &= at - 1, i++)
        out |= (set >> __builtin_ctzll(at) & 1) << i;
    return out;
}

static uint64_t unpack(const struct dm_family *f, uint64_t packed) {
    uint64_t out = 0;
    for (uint64_t at = f->at; at; at &= at - 1, packed >>= 1)
        out |= packed & 1 ? at & -at : 0;
    return out & f->others ? out | f->others : out;
}

static size_t size_of(const struct dm_family *f) {
    return (size_t)1 << count(f->at);
}

/* x[m] = sum of x over all sets that contain m; with `back` the way back. */
static void over_supersets(uint32_t *x, size_t n, bool back) {
    for (size_t h = 1; h < n; h *= 2)
        for (size_t i = 0; i < n; i += 2 * h) {
            uint32_t *low = x + i, *high = x + i + h;
            if (back)
                for (size_t k = 0; k < h; k++)
                    low[k] -= high[k];
            else
                for (size_t k = 0; k < h; k++)
                    low[k] += high[k];
        }
}

static void cut_dense(struct dm_family *f, const uint64_t *sets, size_t n) {
    size_t size = size_of(f);
    DM_FREE uint32_t *other = dm_alloc_array(size, sizeof *other);
    for (size_t i = 0; i < n; i++)
        other[pack(sets[i] & f->all, f->at)] = 1;
    over_supersets(other, size, false);
    over_supersets(f->present, size, false);
    for (size_t i = 0; i < size; i++)
        f->present[i] *= other[i];
    over_supersets(f->present, size, true);
    for (size_t i = 0; i < size; i++)
        f->present[i] = f->present[i] != 0;
    f->present[0] = 0; /* an empty set never counts again */
}

/* ---- sparse: one by one ------------------------------------------------------------------------------------------------ */

/* Keeps `most` of the sets, smaller ones first. */
static size_t keep_small(uint64_t *sets, size_t n, size_t most) {
    size_t room[65] = {0}, kept = 0;
    for (size_t i = 0; i < n; i++)
        room[count(sets[i])]++;
    for (size_t i = 0, left = most; i < 65; i++) {
        room[i] = room[i] < left ? room[i] : left;
        left -= room[i];
    }
    for (size_t i = 0; i < n; i++)
        if (room[count(sets[i])] && room[count(sets[i])]--)
            sets[kept++] = sets[i];
    return kept;
}

/* So few of each that the product is within the budget: the smaller ones, they decide more. */
static void limit(struct dm_family *f, uint64_t *sets, size_t *n) {
    size_t side = 1;
    if (!*n || f->n <= DM_FAMILY_BUDGET / *n)
        return;
    while (side * side < DM_FAMILY_BUDGET)
        side *= 2;
    f->exhaustive = false;
    if (*n > side)
        *n = keep_small(sets, *n, f->n > side ? side : DM_FAMILY_BUDGET / f->n);
    f->n = keep_small(f->sets, f->n, DM_FAMILY_BUDGET / *n);
}

struct table { /* of sets, by hash; 0: free */
    uint64_t *slots;
    size_t n, mask;
};

static uint64_t *slot(const struct table *t, uint64_t set) {
    size_t i = (set * UINT64_C(0x9e3779b97f4a7c15) >> 20) & t->mask;
    while (t->slots[i] && t->slots[i] != set)
        i = (i + 1) & t->mask;
    return &t->slots[i];
}

static void grow(struct table *t) {
    struct table bigger = {.mask = t->mask ? t->mask * 2 + 1 : 255};
    bigger.slots = dm_alloc_array(bigger.mask + 1, sizeof *bigger.slots);
    for (size_t i = 0; t->mask && i <= t->mask; i++)
        if (t->slots[i])
            *slot(&bigger, t->slots[i]) = t->slots[i];
    bigger.n = t->n;
    free(t->slots);
    *t = bigger;
}

static void put(struct table *t, uint64_t set) {
    uint64_t *at;
    if (!set)
        return;
    if (2 * t->n >= t->mask)
        grow(t);
    at = slot(t, set);
    t->n += !*at;
    *at = set;
}

static void cut_sparse(struct dm_family *f, uint64_t *sets, size_t n) {
    struct table t = {0};
    limit(f, sets, &n);
    for (size_t i = 0; i < f->n; i++)
        for (size_t k = 0; k < n; k++)
            put(&t, f->sets[i] & sets[k]);
    free(f->sets);
    f->sets = dm_alloc_array(t.n, sizeof(*f->sets));
    f->n = 0;
    for (size_t i = 0; t.mask && i <= t.mask; i++)
        if (t.slots[i])
            f->sets[f->n++] = t.slots[i];
    free(t.slots);
}

/* ---- both -------------------------------------------------------------------------------------------------------------- */

void dm_family_init(struct dm_family *f, uint64_t all, uint64_t named) {
    *f = (struct dm_family){.all = all, .others = all & ~named, .exhaustive = true};
    f->at = (all & named) | (f->others & -f->others);
    if (count(f->at) <= DM_FAMILY_DENSE) {
        f->present = dm_alloc_array(size_of(f), sizeof(*f->present));
        f->present[size_of(f) - 1] = all != 0;
        return;
    }
    f->sets = dm_alloc(sizeof(*f->sets));
    f->sets[f->n++] = all;
}

void dm_family_cut(struct dm_family *f, uint64_t *sets, size_t n) {
    if (f->present)
        cut_dense(f, sets, n);
    else
        cut_sparse(f, sets, n);
}

void dm_family_members(struct dm_family *f) {
    for (size_t i = 0; f->present && i < size_of(f); i++)
        if (f->present[i]) {
            DM_GROW(f->sets, f->n, f->cap);
            f->sets[f->n++] = unpack(f, i);
        }
}

void dm_family_free(struct dm_family *f) {
    free(f->sets), free(f->present);
    *f = (struct dm_family){0};
}
