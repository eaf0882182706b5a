/* The table of devices by id, against dm_map. */
#include "check.h"
#include "manager/devices.h"
#include "manager/state.h"

static struct dm_device *device(unsigned i) {
    struct dm_device *d = dm_alloc(sizeof *d + 16);
    sprintf(d->id, "d%u", i);
    return d;
}

TEST(random_adds_and_removes_find_what_a_map_finds) {
    struct dm_devices ids = {0};
    struct dm_map map = {0};
    unsigned seed = 7;
    for (int step = 0; step < 50000; step++) {
        seed = seed * 1664525u + 1013904223u;
        char id[16];
        snprintf(id, sizeof id, "d%u", (seed >> 8) % 500);
        struct dm_device *d = dm_devices_get(&ids, id);
        CHECK(d == dm_map_get(&map, id));
        if (d && (seed >> 20) % 2) {
            dm_devices_remove(&ids, d);
            dm_map_remove(&map, id);
            free(d);
        } else if (!d) {
            d = device((seed >> 8) % 500);
            dm_devices_add(&ids, d);
            dm_map_put(&map, id, d);
        }
        CHECK_INT((int)ids.n, (int)map.n);
    }
    dm_devices_free(&ids);
    size_t it = 0;
    for (struct dm_device *d; (d = dm_map_next(&map, &it, NULL));)
        free(d);
    dm_map_free(&map);
}

TEST(an_empty_table_has_nothing) {
    struct dm_devices ids = {0};
    CHECK(dm_devices_get(&ids, "x") == NULL);
    CHECK(dm_devices_get(&ids, "") == NULL);
}
