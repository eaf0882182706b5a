/* map.c -- open addressing with linear probing; removed entries leave a grave that the next growth clears. */
#include "base/map.h"
#include "base/mem.h"
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

struct dm_map_slot {
    char *key; /* NULL: never used; GRAVE: removed */
    void *value;
    uint64_t hash;
    size_t len;
};
static char grave_mark;
#define GRAVE (&grave_mark)

static uint64_t seed(void) {
    static uint64_t value; /* a race writes the same kind of value twice at worst: set before threads start */
    if (!value && getrandom(&value, sizeof value, GRND_NONBLOCK) != sizeof value)
        value = (uint64_t)(uintptr_t)&value ^ 0x9e3779b97f4a7c15u;
    return value;
}

static uint64_t mix(uint64_t h) {
    h ^= h >> 32, h *= 0xd6e8feb86659fd93u;
    h ^= h >> 32, h *= 0xd6e8feb86659fd93u;
    return h ^ h >> 32;
}

uint64_t dm_map_hash(const void *data, size_t len) {
    const char *key = data;
    uint64_t h = seed() ^ len * 0x9e3779b97f4a7c15u, word;
    for (; len >= 8; key += 8, len -= 8) {
        memcpy(&word, key, 8);
        h = mix(h ^ word);
    }
    word = 0;
    if (len)
        memcpy(&word, key, len);
    return mix(h ^ word);
}

static struct dm_map_slot *find(const struct dm_map *m, const char *key, size_t len, uint64_t h) {
    if (!m->cap)
        return NULL;
    for (size_t i = h & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct dm_map_slot *s = &m->slots[i];
        if (!s->key)
            return NULL;
        if (s->key != GRAVE && s->hash == h && s->len == len && !memcmp(s->key, key, len))
            return s;
    }
}

static void place(struct dm_map *m, struct dm_map_slot slot) {
    size_t i = slot.hash & (m->cap - 1);
    while (m->slots[i].key)
        i = (i + 1) & (m->cap - 1);
    m->slots[i] = slot;
}

typedef void *resize(void *p, size_t n);

static bool grow(struct dm_map *m, resize *how) {
    struct dm_map old = *m;
    size_t cap = m->n * 4 >= old.cap ? (old.cap ? old.cap * 2 : 16) : old.cap;
    struct dm_map_slot *slots = how(NULL, cap * sizeof *slots);
    if (!slots)
        return false;
    memset(slots, 0, cap * sizeof *slots);
    m->cap = cap, m->slots = slots;
    m->used = m->n;
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].key && old.slots[i].key != GRAVE)
            place(m, old.slots[i]);
    free(old.slots);
    return true;
}

void *dm_map_get_n(const struct dm_map *m, const char *key, size_t len) {
    struct dm_map_slot *s = find(m, key, len, dm_map_hash(key, len));
    return s ? s->value : NULL;
}

void *dm_map_get(const struct dm_map *m, const char *key) {
    return dm_map_get_n(m, key, strlen(key));
}

static char *copy_key(const char *key, size_t len, resize *how) {
    char *copy = how(NULL, len + 1);
    if (copy && len)
        memcpy(copy, key, len);
    if (copy)
        copy[len] = 0;
    return copy;
}

/* 1: new; 0: another value; -ENOMEM. */
static int put(struct dm_map *m, const char *key, size_t len, void *value, resize *how) {
    uint64_t h = dm_map_hash(key, len);
    struct dm_map_slot *s = find(m, key, len, h);
    if (s) {
        s->value = value;
        return 0;
    }
    if ((m->used + 1) * 4 > m->cap * 3 && !grow(m, how))
        return -ENOMEM;
    char *copy = copy_key(key, len, how);
    if (!copy)
        return -ENOMEM;
    place(m, (struct dm_map_slot){copy, value, h, len});
    m->n++, m->used++;
    return 1;
}

bool dm_map_put_n(struct dm_map *m, const char *key, size_t len, void *value) {
    return put(m, key, len, value, dm_realloc) > 0;
}

int dm_map_try_put(struct dm_map *m, const char *key, void *value) {
    return put(m, key, strlen(key), value, dm_try_realloc);
}

bool dm_map_put(struct dm_map *m, const char *key, void *value) {
    return dm_map_put_n(m, key, strlen(key), value);
}

void *dm_map_remove(struct dm_map *m, const char *key) {
    size_t len = strlen(key);
    struct dm_map_slot *s = find(m, key, len, dm_map_hash(key, len));
    if (!s)
        return NULL;
    void *value = s->value;
    free(s->key);
    s->key = GRAVE, s->value = NULL;
    m->n--;
    return value;
}

void dm_map_free(struct dm_map *m) {
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].key != GRAVE)
            free(m->slots[i].key);
    free(m->slots);
    *m = (struct dm_map){0};
}

void *dm_map_next(const struct dm_map *m, size_t *it, const char **key) {
    while (*it < m->cap) {
        struct dm_map_slot *s = &m->slots[(*it)++];
        if (s->key && s->key != GRAVE) {
            if (key)
                *key = s->key;
            return s->value;
        }
    }
    return NULL;
}
