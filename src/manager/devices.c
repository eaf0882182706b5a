/* devices.c -- open addressing, linear probing; removing moves later entries up, so there are no graves. */
#include "manager/devices.h"
#include "manager/state.h"

static uint32_t hash(const char *id) {
    return (uint32_t)dm_map_hash(id, strlen(id)); /* seeded: a plugin cannot choose ids that collide */
}

struct dm_device *dm_devices_get(const struct dm_devices *t, const char *id) {
    uint32_t h = hash(id);
    for (size_t i = h & (t->cap - 1); t->cap && t->slots[i]; i = (i + 1) & (t->cap - 1))
        if (t->slots[i]->hash == h && !strcmp(t->slots[i]->id, id))
            return t->slots[i];
    return NULL;
}

static void place(struct dm_devices *t, struct dm_device *d) {
    size_t i = d->hash & (t->cap - 1);
    while (t->slots[i])
        i = (i + 1) & (t->cap - 1);
    t->slots[i] = d;
}

static void grow(struct dm_devices *t) {
    struct dm_devices old = *t;
    t->cap = old.cap ? old.cap * 2 : 16;
    t->slots = dm_alloc_array(t->cap, sizeof(*t->slots));
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i])
            place(t, old.slots[i]);
    free(old.slots);
}

void dm_devices_add(struct dm_devices *t, struct dm_device *d) {
    if ((t->n + 1) * 3 > t->cap * 2)
        grow(t);
    d->hash = hash(d->id);
    place(t, d);
    t->n++;
}

void dm_devices_remove(struct dm_devices *t, struct dm_device *d) {
    size_t mask = t->cap - 1, hole = d->hash & mask;
    while (t->slots[hole] != d)
        hole = (hole + 1) & mask;
    for (size_t i = (hole + 1) & mask; t->slots[i]; i = (i + 1) & mask)
        if (((i - t->slots[i]->hash) & mask) >= ((i - hole) & mask)) { /* it may stand in the hole */
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    t->slots[hole] = NULL;
    t->n--;
}

void dm_devices_free(struct dm_devices *t) {
    free(t->slots);
    *t = (struct dm_devices){0};
}
