/* pick.c -- see pick.h (ALLOC-17 to ALLOC-31). The order is stable: the same state gives the same ids. */
#include "manager/pick.h"
#include <errno.h>

struct pick {
    const struct dm_choice *c;
    size_t words;
    struct dm_bits free, taken, mask; /* mask: on a node of the affinity */
    size_t left;                      /* still needed */
};

static size_t count(const struct dm_bits *b, size_t words) {
    size_t sum = 0;
    for (size_t w = 0; w < words; w++)
        sum += (size_t)__builtin_popcountll(dm_bits_word(b, w));
    return sum;
}

static uint32_t *list(const struct dm_bits *b, size_t words, size_t *n) {
    uint32_t *ids = dm_alloc_array(count(b, words), sizeof *ids);
    *n = 0;
    for (size_t w = 0; w < words; w++)
        for (uint64_t left = dm_bits_word(b, w); left; left &= left - 1)
            ids[(*n)++] = (uint32_t)(w * 64 + (size_t)__builtin_ctzll(left));
    return ids;
}

static struct dm_bits sized(size_t words) {
    return (struct dm_bits){dm_alloc_array(words, sizeof(uint64_t)), words};
}

static void take(struct pick *p, uint32_t i) {
    dm_bits_set(&p->taken, i);
    dm_bits_clear(&p->free, i);
    p->left--;
}

/* The first ones of `from`, as many as are needed. */
static void take_first(struct pick *p, const struct dm_bits *from) {
    for (size_t w = 0; w < p->words && p->left; w++)
        for (uint64_t left = dm_bits_word(from, w) & ~p->taken.words[w]; left && p->left; left &= left - 1)
            take(p, (uint32_t)(w * 64 + (size_t)__builtin_ctzll(left)));
}

static void take_wished(struct pick *p, const struct dm_bits *from) {
    for (size_t i = 0; i < p->c->n_wish && p->left; i++)
        if (dm_bits_get(from, p->c->wish[i]) && dm_bits_get(&p->free, p->c->wish[i]))
            take(p, p->c->wish[i]);
}

static bool has_node(const struct dm_choice *c, uint32_t i) {
    for (size_t k = 0; c->nodes && k < 64; k++)
        if (dm_bits_get(&c->nodes[k], i))
            return true;
    return false;
}

/* Those near the wanted nodes first; among equals in natural order. True: one was on other nodes. */
static bool take_reusable(struct pick *p) {
    bool spilled = false;
    for (int near = 1; near >= 0; near--)
        for (size_t i = 0; i < p->c->n_reuse && p->left; i++)
            if (dm_bits_get(&p->mask, p->c->reuse[i]) == near && !dm_bits_get(&p->taken, p->c->reuse[i])) {
                take(p, p->c->reuse[i]);
                spilled |= !near && p->c->affinity && has_node(p->c, p->c->reuse[i]);
            }
    return spilled;
}

/* result = a ∩ b, or a \ b */
static struct dm_bits combine(const struct pick *p, const struct dm_bits *a, const struct dm_bits *b,
                              bool minus) {
    struct dm_bits result = sized(p->words);
    for (size_t w = 0; w < p->words; w++)
        result.words[w] = dm_bits_word(a, w) & (minus ? ~dm_bits_word(b, w) : dm_bits_word(b, w));
    return result;
}

static void start(struct pick *p) {
    p->free = sized(p->words), p->taken = sized(p->words), p->mask = sized(p->words);
    for (size_t w = 0; w < p->words; w++) {
        p->free.words[w] =
            dm_bits_word(p->c->healthy, w) & ~(dm_bits_word(p->c->held, w) | dm_bits_word(p->c->reserved, w));
        for (uint64_t left = p->c->nodes ? p->c->affinity : 0; left; left &= left - 1)
            p->mask.words[w] |= dm_bits_word(&p->c->nodes[__builtin_ctzll(left)], w);
    }
}

/* What a GetPreferredAllocation would carry now: what is taken must be in, `from` is what it may choose from. */
static void offer(struct pick *p, const struct dm_bits *from, struct dm_picked *ret) {
    ret->ask = true;
    if (!p->c->offers)
        return;
    struct dm_bits both = sized(p->words);
    for (size_t w = 0; w < p->words; w++)
        both.words[w] = from->words[w] | p->taken.words[w];
    ret->offer = list(&both, p->words, &ret->n_offer);
    ret->must = list(&p->taken, p->words, &ret->n_must);
    dm_bits_free(&both);
}

static void take_rest(struct pick *p, struct dm_picked *ret) {
    struct dm_bits somewhere = sized(p->words);
    for (size_t k = 0; p->c->nodes && p->c->affinity && k < 64; k++)
        for (size_t w = 0; w < p->words; w++)
            somewhere.words[w] |= dm_bits_word(&p->c->nodes[k], w);
    offer(p, &p->free, ret);
    take_wished(p, &p->free);
    struct dm_bits unaligned = combine(p, &p->free, &somewhere, false);
    take_first(p, &unaligned);
    struct dm_bits nowhere = combine(p, &p->free, &unaligned, true);
    take_first(p, &nowhere);
    dm_bits_free(&unaligned), dm_bits_free(&nowhere), dm_bits_free(&somewhere);
}

static void take_free(struct pick *p, struct dm_picked *ret) {
    struct dm_bits aligned = combine(p, &p->free, &p->mask, false);
    if (p->left < count(&aligned, p->words)) {
        offer(p, &aligned, ret);
        take_wished(p, &aligned);
        take_first(p, &aligned);
    } else {
        take_first(p, &aligned);
        ret->spilled |= p->left && p->c->nodes && p->c->affinity;
        if (p->left)
            take_rest(p, ret);
    }
    dm_bits_free(&aligned);
}

int dm_pick(const struct dm_choice *c, struct dm_picked *ret) {
    struct pick p = {.c = c, .words = (c->n + 63) / 64, .left = c->needed};
    *ret = (struct dm_picked){0};
    start(&p);
    ret->spilled = take_reusable(&p);
    ret->available = count(&p.free, p.words);
    bool enough = p.left <= ret->available;
    if (enough && p.left)
        take_free(&p, ret);
    ret->devices = list(&p.taken, p.words, &ret->n);
    dm_bits_free(&p.free), dm_bits_free(&p.taken), dm_bits_free(&p.mask);
    return enough ? 0 : -ENODEV;
}

void dm_picked_free(struct dm_picked *p) {
    free(p->devices), free(p->offer), free(p->must);
    *p = (struct dm_picked){0};
}
