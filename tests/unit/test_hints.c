/* Hints against the real device manager's answers. */
#include "check.h"
#include "topology_json.h"

static bool listed(json_t *names, const char *id) {
    size_t i;
    json_t *x;
    json_array_foreach(names, i, x) if (!strcmp(json_string_value(x), id)) return true;
    return json_is_object(names) && json_object_get(names, id);
}

/* The rules around the generator (contract 05 §2) in their plainest form. */
static struct dm_hints hints_vector(json_t *c) {
    json_t *unhealthy = json_object_get(c, "unhealthy"),
           *other = json_object_get(c, "allocated_to_other_pod"),
           *own = json_object_get(c, "allocated_to_this_container"), *nodes;
    uint64_t count = (uint64_t)json_integer_value(json_object_get(c, "request")), free_devices = 0;
    struct dm_numa numa = {0};
    struct dm_device_group groups[64];
    struct dm_hints h = {.kind = DM_HINTS_ANY};
    size_t n = 0, i;
    bool topology = false;
    const char *id;
    json_t *x;
    json_array_foreach(json_object_get(c, "machine_nodes"), i, x) {
        numa.ids[numa.n++] = (uint8_t)json_integer_value(x);
        numa.all |= UINT64_C(1) << json_integer_value(x);
    }
    json_object_foreach(json_object_get(c, "devices"), id, nodes) {
        bool mine = listed(own, id),
             candidate = json_array_size(own) ? mine : !listed(unhealthy, id) && !listed(other, id);
        groups[n++] =
            (struct dm_device_group){json_nodes(nodes), json_array_size(nodes) > 0, 1, candidate, 0};
        topology |= json_array_size(nodes) > 0;
        free_devices += candidate;
    }
    if (!topology)
        return h;
    h.kind = DM_HINTS_IMPOSSIBLE;
    if (json_array_size(own) ? json_array_size(own) != count : free_devices < count)
        return h;
    dm_hints_generate(&numa, groups, n, count, &h);
    return h;
}

TEST(TOPO_01_to_13_all_vectors_of_the_real_hints_match) {
    FILE *in = fopen("tests/data/topology/hints.jsonl", "r");
    static char line[1 << 16];
    int n = 0;
    CHECK(in);
    while (fgets(line, sizeof line, in)) {
        json_t *c = json_loads(line, 0, NULL);
        struct dm_hints got = hints_vector(c), want = json_hints(json_object_get(c, "hints"), "mask");
        DM_FREE char *g = show_hints(&got), *w = show_hints(&want);
        n++;
        if (strcmp(g, w))
            printf("# %s\n", json_string_value(json_object_get(c, "name")));
        CHECK_STR(g, w);
        dm_hints_free(&got), dm_hints_free(&want), json_decref(c);
    }
    fclose(in);
    CHECK_INT(n, 21);
}

TEST(TOPO_12_reusable_devices_must_all_lie_in_the_set) {
    struct dm_numa numa;
    struct dm_hints h;
    CHECK_INT(dm_numa_parse("0;1;2", &numa, NULL), 0);
    struct dm_device_group groups[] = {{1, true, 2, 1, 1}, {2, true, 2, 2, 0}, {4, true, 2, 2, 0}};
    dm_hints_generate(&numa, groups, 3, 2, &h);
    DM_FREE char *got = show_hints(&h);
    CHECK_STR(got, "[0]+ [0,1] [0,2] [0,1,2]");
    dm_hints_free(&h);
}

TEST(sixty_four_nodes_that_all_bear_devices_end_within_the_budget_and_say_so) {
    struct dm_numa numa = {.n = 64, .all = ~UINT64_C(0)};
    struct dm_device_group groups[64];
    struct dm_hints h;
    for (unsigned i = 0; i < 64; i++) {
        numa.ids[i] = (uint8_t)i;
        groups[i] = (struct dm_device_group){UINT64_C(1) << i, true, 8, 8, 0};
    }
    dm_hints_generate(&numa, groups, 64, 8, &h);
    CHECK_INT(h.exhaustive, 0);
    CHECK_INT(h.hints[0].preferred, 1);
    dm_hints_free(&h);
    dm_hints_generate(&numa, groups, 64, 256, &h); /* no set below 32 nodes can do: they are passed over */
    CHECK_INT(h.exhaustive, 0);
    CHECK_INT(h.n > 0, 1);
    dm_hints_free(&h);
}
