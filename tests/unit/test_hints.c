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

/* ---- the plain way, as the kubelet does it ----------------------------------------------------------------------------- */

static uint64_t state = 7;
static uint64_t draw(uint64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
}

static struct dm_hints plain_hints(const struct dm_numa *numa, const struct dm_device_group *g, size_t n,
                                   uint64_t count) {
    struct dm_hints h = {.kind = DM_HINTS_LIST, .exhaustive = true};
    uint64_t bearing = 0;
    for (size_t i = 0; i < n; i++)
        bearing |= g[i].nodes & numa->all;
    bearing = bearing ? bearing : numa->all;
    size_t least = (size_t)__builtin_popcountll(bearing);
    for (int size = 1; size <= 64; size++)
        for (uint64_t m = 1; m <= numa->all; m++) {
            uint64_t known = 0, match = 0, strays = 0;
            if (m & ~bearing || __builtin_popcountll(m) != size)
                continue;
            for (size_t i = 0; i < n; i++) {
                known += g[i].nodes & m ? g[i].known : 0;
                match += g[i].nodes & m ? g[i].candidates + g[i].reusable : 0;
                strays += g[i].topology && !(g[i].nodes & m) ? g[i].reusable : 0;
            }
            if (known >= count && (size_t)size < least)
                least = (size_t)size;
            if (!strays && match >= count)
                dm_hints_add(&h, (struct dm_hint){.mask = m});
        }
    for (size_t i = 0; i < h.n; i++)
        h.hints[i].preferred = (size_t)__builtin_popcountll(h.hints[i].mask) == least;
    h.kind = h.n ? DM_HINTS_LIST : DM_HINTS_IMPOSSIBLE;
    return h;
}

static int by_mask(const void *a, const void *b) {
    const struct dm_hint *x = a, *y = b;
    return (x->mask > y->mask) - (x->mask < y->mask);
}

static char *show_sorted(struct dm_hints *h) { /* the plain way has another order */
    if (h->n)
        qsort(h->hints, h->n, sizeof *h->hints, by_mask);
    return show_hints(h);
}

TEST(TOPO_03_to_09_random_devices_have_the_hints_that_looking_at_every_set_finds) {
    for (int round = 0; round < 20000; round++) {
        struct dm_numa numa = {.n = 1 + draw(6)};
        struct dm_device_group groups[12];
        struct dm_hints got;
        size_t n = 1 + draw(12);
        for (size_t i = 0; i < numa.n; i++)
            numa.ids[i] = (uint8_t)i, numa.all |= UINT64_C(1) << i;
        for (size_t i = 0; i < n; i++) {
            uint64_t nodes = draw(5) ? UINT64_C(1) << draw(numa.n + 1) : draw(UINT64_C(1) << numa.n);
            uint64_t known = 1 + draw(4), free_ones = draw(known + 1);
            groups[i] = (struct dm_device_group){nodes, nodes || !draw(4), known, free_ones,
                                                 draw(8) ? 0 : known - free_ones};
        }
        uint64_t count = draw(12);
        dm_hints_generate(&numa, groups, n, count, &got);
        struct dm_hints want = plain_hints(&numa, groups, n, count);
        CHECK_INT(got.exhaustive, 1);
        DM_FREE char *g = show_sorted(&got), *w = show_sorted(&want);
        CHECK_STR(g, w);
        dm_hints_free(&got), dm_hints_free(&want);
    }
}

TEST(W37_devices_on_any_number_of_nodes_each_cost_no_more_than_the_table) {
    struct dm_numa numa = {.n = 16, .all = 0xffff};
    struct dm_device_group *groups = dm_alloc_array(65535, sizeof *groups);
    struct dm_hints h;
    for (uint64_t i = 0; i < 65535; i++)
        groups[i] = (struct dm_device_group){i + 1, true, 1, 1, 0};
    for (size_t i = 0; i < 16; i++)
        numa.ids[i] = (uint8_t)i;
    dm_hints_generate(&numa, groups, 65535, 32768, &h);
    CHECK_INT(h.exhaustive, 1);
    CHECK_INT(h.n, 65535); /* on one node there are 32768 */
    dm_hints_free(&h);
    free(groups);
}

TEST(on_many_nodes_there_is_a_preferred_hint_where_the_richest_nodes_suffice) {
    struct dm_numa numa = {.n = 64, .all = ~UINT64_C(0)};
    struct dm_device_group groups[64];
    struct dm_hints h;
    for (unsigned i = 0; i < 64; i++) {
        numa.ids[i] = (uint8_t)i;
        groups[i] = (struct dm_device_group){UINT64_C(1) << i, true, 1 + i, 1 + i, 0};
    }
    dm_hints_generate(&numa, groups, 64, 64 + 63 + 62 + 61 + 60 + 59 + 58 + 57,
                      &h); /* eight nodes, and these only */
    CHECK_INT(h.exhaustive, 0);
    CHECK_INT(h.hints[0].preferred, 1);
    CHECK(h.hints[0].mask == UINT64_C(255) << 56);
    CHECK(h.hints[h.n - 1].mask == numa.all);
    dm_hints_free(&h);
}

TEST(TOPO_12_on_many_nodes_too_what_must_be_reused_lies_in_each_set_and_no_set_comes_twice) {
    struct dm_numa numa = {.n = 64, .all = ~UINT64_C(0)};
    struct dm_device_group groups[64];
    struct dm_hints h;
    for (unsigned i = 0; i < 64; i++) {
        numa.ids[i] = (uint8_t)i;
        groups[i] = (struct dm_device_group){UINT64_C(1) << i, true, 8, i < 60 ? 8 : 0, i < 60 ? 0 : 8};
    }
    dm_hints_generate(&numa, groups, 64, 32, &h); /* the last four nodes are in use, by the pod itself */
    CHECK_INT(h.exhaustive, 0);
    CHECK_INT(h.n, 2);
    CHECK(h.hints[0].mask == UINT64_C(15) << 60);
    CHECK_INT(h.hints[0].preferred, 1);
    CHECK(h.hints[1].mask == numa.all);
    dm_hints_free(&h);
    for (unsigned i = 0; i < 64; i++)
        groups[i] = (struct dm_device_group){UINT64_C(1) << i, true, 8, 8, 0};
    dm_hints_generate(&numa, groups, 64, 17, &h); /* {0,1,2} is looked at, and the best there is */
    CHECK_INT(h.exhaustive, 0);
    for (size_t i = 1; i < h.n; i++)
        CHECK(h.hints[i].mask != h.hints[0].mask);
    CHECK(h.hints[h.n - 1].mask == numa.all);
    dm_hints_free(&h);
}
