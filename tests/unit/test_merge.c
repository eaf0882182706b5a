/* The merge against the real Topology Manager's answers, and against a plain walk of the product. */
#include "check.h"
#include "topology_json.h"

static struct dm_numa machine(json_t *nodes, json_t *distances) {
    struct dm_numa numa = {.distances = json_is_object(distances)};
    size_t i, k;
    json_t *x, *y;
    json_array_foreach(nodes, i, x) {
        unsigned id = (unsigned)json_integer_value(x);
        char key[8];
        numa.ids[numa.n++] = (uint8_t)id;
        numa.all |= UINT64_C(1) << id;
        snprintf(key, sizeof key, "%u", id);
        json_array_foreach(json_object_get(distances, key), k, y) numa.distance[id][k] =
            (uint32_t)json_integer_value(y);
    }
    return numa;
}

static enum dm_policy policy_of(const char *name) {
    enum dm_policy p = DM_POLICY_NONE;
    while (strcmp(dm_policy_name(p), name))
        p++;
    return p;
}

static char *merge_vector(json_t *c, char **want) {
    struct dm_topology t = {.policy = policy_of(json_string_value(json_object_get(c, "policy"))),
                            .prefer_closest = json_is_true(json_object_get(c, "prefer_closest")),
                            .numa = machine(json_object_get(c, "nodes"), json_object_get(c, "distances"))};
    json_t *providers = json_object_get(c, "providers"), *result = json_object_get(c, "result_mask"), *p;
    struct dm_hints lists[16];
    size_t n;
    json_array_foreach(providers, n, p) lists[n] = json_hints(p, "mask");
    struct dm_affinity a = dm_topology_merge(&t, lists, n);
    struct dm_affinity expect = {.any = !json_is_array(result),
                                 .mask = json_nodes(result),
                                 .preferred = json_is_true(json_object_get(c, "result_preferred")),
                                 .admit = json_is_true(json_object_get(c, "admit"))};
    for (size_t i = 0; i < n; i++)
        dm_hints_free(&lists[i]);
    *want = show_affinity(&expect);
    return show_affinity(&a);
}

TEST(TOPO_16_to_22_all_vectors_of_the_real_merge_match) {
    FILE *in = fopen("tests/data/topology/merge.jsonl", "r");
    static char line[1 << 16];
    int n = 0;
    CHECK(in);
    while (fgets(line, sizeof line, in)) {
        json_t *c = json_loads(line, 0, NULL);
        char *want, *got = merge_vector(c, &want);
        n++;
        if (strcmp(got, want))
            printf("# %s", line);
        CHECK_STR(got, want);
        free(got), free(want), json_decref(c);
    }
    fclose(in);
    CHECK_INT(n, 600);
}

/* ---- the plain way: walk the product and compare pair by pair, as the kubelet does ------------------------------------ */

struct pair {
    uint64_t m;
    bool preferred;
};

static bool fits_better(const struct dm_topology *t, uint64_t cand, uint64_t best) {
    int a = __builtin_popcountll(cand), b = __builtin_popcountll(best);
    if (cand == best)
        return false;
    if (t->prefer_closest && t->policy != DM_POLICY_SINGLE_NUMA_NODE && a == b) {
        double da = dm_numa_average(&t->numa, cand), db = dm_numa_average(&t->numa, best);
        return da == db ? cand < best : da < db;
    }
    return dm_numa_narrower(cand, best);
}

static bool better(const struct dm_topology *t, struct pair cand, struct pair best, int target) {
    int cc = __builtin_popcountll(cand.m), cb = __builtin_popcountll(best.m);
    if (cand.preferred != best.preferred)
        return cand.preferred;
    if (cand.preferred || cb > target)
        return fits_better(t, cand.m, best.m);
    if (cb == target)
        return cc == target && fits_better(t, cand.m, best.m);
    if (cc > target)
        return false;
    return cc == target || cc > cb || (cc == cb && fits_better(t, cand.m, best.m));
}

static struct dm_affinity plain_merge(const struct dm_topology *t, const struct dm_hints *lists, size_t n) {
    size_t at[8] = {0};
    bool single = t->policy == DM_POLICY_SINGLE_NUMA_NODE, found = false;
    struct dm_hints filtered[8];
    struct pair best = {t->numa.all, false};
    int target = 0;
    bool empty = false;
    for (size_t i = 0; i < n; i++) {
        filtered[i] = (struct dm_hints){.kind = DM_HINTS_LIST};
        struct dm_hint any = {.any = true, .preferred = lists[i].kind == DM_HINTS_ANY};
        const struct dm_hint *h = lists[i].kind == DM_HINTS_LIST ? lists[i].hints : &any;
        size_t len = lists[i].kind == DM_HINTS_LIST ? lists[i].n : 1;
        int least = 65;
        for (size_t k = 0; k < len; k++)
            if (!single || (h[k].preferred && (h[k].any || __builtin_popcountll(h[k].mask) == 1))) {
                dm_hints_add(&filtered[i], h[k]);
                if (!h[k].any && __builtin_popcountll(h[k].mask) < least)
                    least = __builtin_popcountll(h[k].mask);
            }
        if (least < 65 && least > target)
            target = least;
        empty |= !filtered[i].n;
    }
    for (bool more = !empty; more;) {
        struct pair p = {t->numa.all, true};
        uint64_t first = 0;
        for (size_t i = 0; i < n; i++) {
            const struct dm_hint *h = &filtered[i].hints[at[i]];
            p.preferred &= h->preferred && (h->any || !first || h->mask == first);
            first = h->any || first ? first : h->mask;
            p.m &= h->any ? t->numa.all : h->mask;
        }
        if (p.m && (!found || better(t, p, best, target)))
            best = p, found = true;
        size_t i = n;
        while (i > 0 && ++at[i - 1] == filtered[i - 1].n)
            at[--i] = 0;
        more = i > 0;
    }
    for (size_t i = 0; i < n; i++)
        dm_hints_free(&filtered[i]);
    return (struct dm_affinity){.any = single && best.m == t->numa.all,
                                .mask = single && best.m == t->numa.all ? 0 : best.m,
                                .preferred = best.preferred,
                                .admit = t->policy == DM_POLICY_BEST_EFFORT || best.preferred};
}

static uint64_t state = 42;
static uint64_t draw(uint64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
}

static struct dm_hints random_list(size_t nodes) {
    struct dm_hints h = {.exhaustive = true,
                         .kind = (enum dm_hints_kind)(draw(10) < 8 ? DM_HINTS_LIST : draw(2))};
    size_t n = h.kind == DM_HINTS_LIST ? 1 + draw(7) : 0;
    uint64_t some = draw(UINT64_C(1) << (nodes < 30 ? nodes : 30)); /* hints of one list are alike */
    for (size_t i = 0; i < n; i++) {
        uint64_t mask = (1 + draw((UINT64_C(1) << (nodes < 30 ? nodes : 30)) - 1))
                        << (nodes > 30 ? draw(nodes - 30) : 0);
        if (!draw(3) && some)
            mask = some;
        dm_hints_add(&h, (struct dm_hint){.mask = draw(12) ? mask << draw(2) : 0, .preferred = draw(3) > 0});
        h.hints[i].any = !h.hints[i].mask && draw(4); /* an embedder may name no node at all */
    }
    return h;
}

static void compare_random(int round, size_t most_nodes) {
    struct dm_topology t = {.policy = (enum dm_policy)(1 + draw(3)), .prefer_closest = draw(2)};
    struct dm_hints lists[4] = {{0}};
    size_t n = draw(5), nodes = 1 + draw(most_nodes);
    for (size_t i = 0; i < nodes; i++) {
        t.numa.ids[t.numa.n++] = (uint8_t)i;
        t.numa.all |= UINT64_C(1) << i;
        for (size_t k = 0; k < nodes; k++)
            t.numa.distance[i][k] = i == k ? 10 : (uint32_t)(11 + draw(4));
    }
    for (size_t i = 0; i < n; i++)
        lists[i] = random_list(nodes);
    struct dm_affinity a = dm_topology_merge(&t, lists, n), b = plain_merge(&t, lists, n);
    DM_FREE char *got = show_affinity(&a), *want = show_affinity(&b);
    if (strcmp(got, want))
        for (size_t i = 0; i < n; i++) {
            DM_FREE char *list = show_hints(&lists[i]);
            printf("# round %d, %s, list %zu: %s\n", round, dm_policy_name(t.policy), i, list);
        }
    CHECK_INT(a.exhaustive, 1);
    CHECK_STR(got, want);
    for (size_t i = 0; i < n; i++)
        dm_hints_free(&lists[i]);
}

TEST(TOPO_17_to_22_folding_finds_what_the_product_finds_on_random_lists) {
    for (int round = 0; round < 120000; round++)
        compare_random(round, 6);
}

TEST(folding_finds_it_as_well_on_machines_of_up_to_64_nodes) {
    for (int round = 0; round < 20000; round++)
        compare_random(round, 63);
}

TEST(a_machine_of_36_nodes_merges_exactly_when_few_of_them_bear_devices) {
    struct dm_topology t = {.policy = DM_POLICY_RESTRICTED};
    struct dm_hints lists[4] = {{0}};
    for (unsigned i = 0; i < 36; i++) {
        t.numa.ids[t.numa.n++] = (uint8_t)i;
        t.numa.all |= UINT64_C(1) << i;
    }
    for (size_t i = 0; i < 4; i++) {
        lists[i] = (struct dm_hints){.kind = DM_HINTS_LIST, .exhaustive = true};
        for (uint64_t m = 1; m < 256; m++)
            dm_hints_add(
                &lists[i],
                (struct dm_hint){.mask = m << 20, .preferred = __builtin_popcountll(m) == 1 && m != 1u << i});
    }
    struct dm_affinity a = dm_topology_merge(&t, lists, 4);
    DM_FREE char *got = show_affinity(&a);
    CHECK_STR(got, "[24]+ admitted");
    CHECK_INT(a.exhaustive, 1);
    for (size_t i = 0; i < 4; i++)
        dm_hints_free(&lists[i]);
}

TEST(lists_that_are_too_long_for_all_their_sets_are_marked_and_the_answer_is_a_good_one) {
    struct dm_topology t = {.policy = DM_POLICY_BEST_EFFORT, .numa = {.n = 20, .all = (1 << 20) - 1}};
    struct dm_hints lists[3] = {{0}};
    for (size_t i = 0; i < 3; i++) {
        lists[i] = (struct dm_hints){.kind = DM_HINTS_LIST, .exhaustive = true};
        for (uint64_t m = 1; m < 1 << 20; m += 7)
            dm_hints_add(&lists[i], (struct dm_hint){.mask = m | (UINT64_C(1) << 3)});
    }
    struct dm_affinity a = dm_topology_merge(&t, lists, 3);
    CHECK_INT(a.exhaustive, 0);
    CHECK_INT(a.admit, 1);
    CHECK(a.mask >> 3 & 1);
    for (size_t i = 0; i < 3; i++)
        dm_hints_free(&lists[i]);
}
