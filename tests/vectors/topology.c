/* topology.c -- answers recordings of the kubelet's Device and Topology Manager and compares.
 *
 *   topology FILE|FOLDER...   one JSON object a line; of a folder all *.jsonl. Ends "N passed, N failed".
 *   topology                  the recordings in tests/data/topology, as TAP
 *
 *   merge   hints of providers, policy, machine ──► node set, admitted or not, or why the kubelet does not start
 *   hints   devices, who holds what, a pod      ──► hints of each container and of the pod
 *   admit   devices, pods one after the other   ──► verdict, texts, node set and devices of each
 *
 * A line of another type is passed over. Where the kubelet crashed, an answer is enough. Where it has several outcomes,
 * because it goes through maps, one of those that were seen is. Two differences are on purpose (docs/differences.md) and
 * counted apart: an init container's device that became unhealthy is not handed on (ALLOC-20), and a node id above 63
 * is no node (W17). */
#include "vectors/world.h"
#include <dirent.h>
#include <sys/stat.h>

static const char *place; /* "file:line" */
static size_t passed, failed, skipped, on_purpose;

static bool differs(const char *what, const char *got, const char *want) {
    if (!strcmp(got, want))
        return false;
    printf("# %s: %s\n#   got  %s\n#   want %s\n", place, what, got, want);
    return true;
}

/* ---- merge ------------------------------------------------------------------------------------------------------------ */

/* All lists of hints there are; a provider without any has no preference. */
static size_t merge_lists(json_t *providers, const char *key, struct dm_hints *lists) {
    size_t n = 0, i;
    const char *resource;
    json_t *p, *hints;
    json_array_foreach(providers, i, p) {
        if (json_is_array(p))
            lists[n++] = json_hints(p, key);
        else if (!json_object_size(p))
            lists[n++] = (struct dm_hints){.exhaustive = true};
        json_object_foreach(p, resource, hints) lists[n++] = json_hints(hints, key);
    }
    return n;
}

static bool compare_merge(json_t *v, const struct dm_topology *t, const char *key, bool any, json_t *nodes,
                          json_t *preferred) {
    struct dm_hints lists[64];
    size_t n = merge_lists(json_object_get(v, "providers"), key, lists);
    struct dm_affinity got = dm_topology_merge(t, lists, n);
    struct dm_affinity want = {.any = any,
                               .mask = any ? 0 : json_nodes(nodes),
                               .preferred = json_is_true(preferred),
                               .admit = json_is_true(json_object_get(v, "admit"))};
    DM_FREE char *g = show_affinity(&got), *w = show_affinity(&want);
    while (n)
        dm_hints_free(&lists[--n]);
    if (!got.exhaustive)
        return !differs("merge", "not all sets were looked at", "an answer that is sure");
    return json_object_get(v, "panic") || !differs("merge", g, w);
}

static bool merge(json_t *v) {
    struct dm_topology t;
    devmgr_error err = {0};
    json_t *hint = json_object_get(v, "hint"), *nodes = json_object_get(hint, "numa");
    json_topology(v, &t, &err);
    if (*err.message || json_object_get(v, "error"))
        return !differs("error", err.message, word(v, "error"));
    return compare_merge(v, &t, "numa", !json_is_array(nodes), nodes, json_object_get(hint, "preferred"));
}

/* The older form: {"nodes", "distances": {id: row}, "prefer_closest", "providers": [hints], "result_mask"}. */
static bool merge_plain(json_t *v) {
    struct dm_topology t;
    struct dm_numa numa = {0};
    size_t i;
    json_t *id, *nodes = json_object_get(v, "nodes"), *mask = json_object_get(v, "result_mask");
    json_array_foreach(nodes, i, id) {
        numa.ids[numa.n++] = (uint8_t)json_integer_value(id);
        numa.all |= UINT64_C(1) << json_integer_value(id);
    }
    for (i = 0; i < numa.n * numa.n; i++) {
        unsigned a = numa.ids[i / numa.n], b = numa.ids[i % numa.n];
        DM_FREE char *key = dm_printf("%u", a);
        json_t *row = json_object_get(json_object_get(v, "distances"), key);
        numa.distances = json_is_array(row);
        numa.distance[a][b] = (uint32_t)json_integer_value(json_array_get(row, i % numa.n));
    }
    bool closest = json_is_true(json_object_get(v, "prefer_closest"));
    if (dm_topology_parse(word(v, "policy"), "container", closest ? "prefer-closest-numa-nodes=1" : "", &numa,
                          &t, NULL) < 0)
        return !differs("settings", "refused", "accepted");
    return compare_merge(v, &t, "mask", !json_is_array(mask), mask, json_object_get(v, "result_preferred"));
}

/* ---- hints ------------------------------------------------------------------------------------------------------------ */

static const char *kind_names[] = {
    [DEVMGR_APP] = "app", [DEVMGR_PLAIN_INIT] = "init", [DEVMGR_SIDECAR] = "restartable"};

static int kind_of(const char *name) {
    for (int i = 0; i < (int)DM_COUNT(kind_names); i++)
        if (!strcmp(kind_names[i], name))
            return i;
    return DEVMGR_APP;
}

static struct dm_saved_pod *saved_pod(struct dm_snapshot *s, const char *uid) {
    for (size_t i = 0; i < s->n_pods; i++)
        if (!strcmp(s->pods[i]->uid, uid))
            return s->pods[i];
    s->pods = dm_realloc(s->pods, (s->n_pods + 1) * sizeof(*s->pods));
    return s->pods[s->n_pods++] = dm_saved_pod_new(uid);
}

/* Who holds what, as a checkpoint. */
static struct dm_snapshot *snapshot_of(json_t *allocated) {
    struct dm_snapshot *s = dm_snapshot_new();
    size_t i, k;
    const char *resource;
    json_t *a, *ids, *id;
    json_array_foreach(allocated, i, a) {
        const char *pod = word(a, "Pod"), *container = word(a, "Container");
        struct dm_saved_pod *p = saved_pod(s, pod);
        dm_saved_pod_add(p, container, kind_of(word(a, "Kind")), 0);
        json_object_foreach(json_object_get(a, "IDs"), resource, ids) {
            struct dm_saved_claim *c = dm_saved_claim_new(pod, container, resource, (struct dm_span){0});
            json_array_foreach(ids, k, id) dm_saved_claim_add(c, -1, json_string_value(id));
            s->claims = dm_realloc(s->claims, (s->n_claims + 1) * sizeof(*s->claims));
            s->claims[s->n_claims++] = c;
        }
    }
    return s;
}

static int add_hint(void *arg, const devmgr_hint *h) {
    json_t *o = arg, *list = json_object_get(o, h->resource);
    if (h->kind == DEVMGR_HINT_ANY)
        return json_object_set_new(o, h->resource, json_null());
    if (!list)
        json_object_set_new(o, h->resource, list = json_array());
    if (h->kind == DEVMGR_HINT_IMPOSSIBLE)
        return 0;
    json_t *nodes = json_array();
    for (uint64_t left = h->numa; left; left &= left - 1)
        json_array_append_new(nodes, json_integer(__builtin_ctzll(left)));
    return json_array_append_new(list, json_pack("{s:o, s:b}", "numa", nodes, "preferred", h->preferred));
}

static bool has_id(json_t *list, const char *id) {
    size_t i;
    json_t *x;
    json_array_foreach(list, i, x) if (!strcmp(json_string_value(x), id)) return true;
    return false;
}

static bool holds_unhealthy(json_t *held, json_t *devices) {
    const char *resource;
    size_t i;
    json_t *ids, *d;
    json_object_foreach(held, resource, ids) {
        json_array_foreach(json_object_get(devices, resource), i, d) {
            if (has_id(ids, word(d, "id")) && strcmp(word(d, "health"), "Healthy"))
                return true;
        }
    }
    return false;
}

/* Does an init container of the pod hold a device that is not healthy any more? */
static bool unhealthy_init(json_t *v) {
    size_t i;
    json_t *a;
    json_array_foreach(json_object_get(v, "allocated"), i, a) {
        if (!strcmp(word(a, "Pod"), word(json_object_get(v, "pod"), "uid")) &&
            !strcmp(word(a, "Kind"), "init") &&
            holds_unhealthy(json_object_get(a, "IDs"), json_object_get(v, "devices")))
            return true;
    }
    return false;
}

static bool compare_hints(json_t *v, struct world *w, const devmgr_pod *pod, const char *container,
                          json_t *want) {
    json_t *got = json_object();
    int rc = dm_manager_hints(w->m, pod, container, add_hint, got);
    char *g = json_dumps(got, JSON_SORT_KEYS | JSON_COMPACT);
    char *x = json_dumps(json_object_get(want, "hints"), JSON_SORT_KEYS | JSON_COMPACT);
    bool ok = rc == 0, crashed = json_object_get(want, "panic") != NULL;
    if (ok && !crashed && strcmp(g, x) && unhealthy_init(v))
        on_purpose++;
    else if (ok && !crashed)
        ok = !differs(container ? container : "the pod", g, x);
    json_decref(got), free(g), free(x);
    return ok;
}

static bool hints(json_t *v) {
    struct world w;
    struct dm_topology topology = {.policy = DM_POLICY_NONE, .numa = json_numa(json_object_get(v, "numa"))};
    struct dm_snapshot *held = snapshot_of(json_object_get(v, "allocated"));
    devmgr_pod *pod = json_pod(json_object_get(v, "pod"));
    bool ok = true;
    const char *container;
    json_t *want;
    world_begin(&w, &topology);
    dm_manager_restore(w.m, held, DM_START_LOADED);
    world_plugins(&w, json_object_get(v, "devices"), true);
    json_object_foreach(json_object_get(v, "container_hints"), container, want) ok &=
        compare_hints(v, &w, pod, container, want);
    want = json_object_get(v, "pod_hints");
    ok &= !want || compare_hints(v, &w, pod, NULL, want);
    dm_snapshot_free(held);
    devmgr_pod_free(pod);
    world_end(&w);
    return ok;
}

/* A list of ids, or an object with ids for keys. */
static json_t *ids_of(json_t *x) {
    json_t *list = json_array(), *value;
    const char *id;
    json_array_extend(list, x);
    json_object_foreach(x, id, value) json_array_append_new(list, json_string(id));
    return list;
}

/* A world in the other form: one resource "ex.com/r", a container "c" of pod "q" that asks for it. */
static json_t *whole_world(json_t *v) {
    json_t *numa = json_array(), *devices = json_array(), *nodes, *x;
    json_t *own = ids_of(json_object_get(v, "allocated_to_this_container")),
           *other = ids_of(json_object_get(v, "allocated_to_other_pod"));
    size_t i;
    const char *id;
    json_array_foreach(json_object_get(v, "machine_nodes"), i, x)
        json_array_append_new(numa, json_pack("{s:O}", "id", x));
    json_object_foreach(json_object_get(v, "devices"), id, nodes) {
        bool bad = false;
        json_array_foreach(json_object_get(v, "unhealthy"), i, x) bad |= !strcmp(json_string_value(x), id);
        json_array_append_new(devices, json_pack("{s:s, s:s, s:O}", "id", id, "health",
                                                 bad ? "Unhealthy" : "Healthy", "numa", nodes));
    }
    return json_pack("{s:o, s:{s:o}, s:[{s:s, s:s, s:s, s:{s:o}}, {s:s, s:s, s:s, s:{s:o}}],"
                     " s:{s:s, s:[{s:s, s:{s:O}}]}, s:{s:{s:{s:O}}}}",
                     "numa", numa, "devices", "ex.com/r", devices, "allocated", "Pod", "other", "Container",
                     "c", "Kind", "app", "IDs", "ex.com/r", other, "Pod", "q", "Container", "c", "Kind",
                     "app", "IDs", "ex.com/r", own, "pod", "uid", "q", "containers", "name", "c", "limits",
                     "ex.com/r", json_object_get(v, "request"), "container_hints", "c", "hints", "ex.com/r",
                     json_object_get(v, "hints"));
}

static bool hints_plain(json_t *v) {
    json_t *world = whole_world(v), *want = json_object_get(world, "container_hints");
    json_t *list = json_object_get(json_object_get(json_object_get(want, "c"), "hints"), "ex.com/r"), *x;
    size_t i;
    json_array_foreach(list, i, x) {
        json_object_set(x, "numa", json_object_get(x, "mask"));
        json_object_del(x, "mask");
    }
    bool ok = hints(world);
    json_decref(world);
    return ok;
}

/* ---- admit ------------------------------------------------------------------------------------------------------------ */

static json_t *held_by(const struct answer *a, const char *container, const char *resource,
                       uint64_t affinity) {
    json_t *ids = json_array(), *per_numa = json_object();
    int count = 0, aligned = 0, on[65] = {0};
    for (size_t i = 0; i < a->n; i++) {
        const struct held *h = &a->held[i];
        if (strcmp(h->container, container) || strcmp(h->resource, resource))
            continue;
        json_array_append_new(ids, json_string(h->id));
        count++;
        aligned += (h->numa & affinity) != 0;
        for (unsigned n = 0; n < 64; n++)
            on[n] += h->numa >> n & 1;
        on[64] += !h->numa;
    }
    for (int n = 0; n < 65; n++) {
        DM_FREE char *key = dm_printf("%d", n == 64 ? -1 : n);
        if (on[n])
            json_object_set_new(per_numa, key, json_integer(on[n]));
    }
    return json_pack("{s:i, s:i, s:o, s:o}", "count", count, "aligned", aligned, "ids", ids, "per_numa",
                     per_numa);
}

/* Every key of `want` is in `got` with that value. */
static bool matches(json_t *got, json_t *want) {
    const char *key;
    json_t *x;
    if (!json_is_object(want))
        return json_equal(got, want);
    json_object_foreach(want, key, x) if (!matches(json_object_get(got, key), x)) return false;
    return true;
}

static json_t *container_as_json(const struct answer *a, size_t i) {
    json_t *nodes = a->affinity[i] ? json_array() : json_null(), *held = json_object();
    for (uint64_t left = a->affinity[i]; left; left &= left - 1)
        json_array_append_new(nodes, json_integer(__builtin_ctzll(left)));
    for (size_t k = 0; k < a->n; k++)
        if (!strcmp(a->held[k].container, a->containers[i]))
            json_object_set_new(held, a->held[k].resource,
                                held_by(a, a->containers[i], a->held[k].resource, a->affinity[i]));
    return json_pack("{s:{s:o}, s:o}", "affinity", "numa", nodes, "held", held);
}

/* In the recordings' form; of a refused pod nothing is kept here, so nothing of it is told. */
static json_t *answer_as_json(const struct answer *a) {
    if (a->verdict != DEVMGR_ADMITTED)
        return json_pack("{s:b, s:s, s:s}", "admit", 0, "reason", a->reason, "message", a->message);
    json_t *containers = json_object();
    for (size_t i = 0; i < a->n_containers; i++)
        json_object_set_new(containers, a->containers[i], container_as_json(a, i));
    return json_pack("{s:b, s:o}", "admit", 1, "containers", containers);
}

/* Nodes above 63 are none. */
static void fold_high_nodes(json_t *held) {
    const char *resource, *node;
    json_t *h, *n;
    void *next;
    json_object_foreach(held, resource, h) {
        json_t *per_numa = json_object_get(h, "per_numa");
        json_int_t none = json_integer_value(json_object_get(per_numa, "-1")), before = none;
        json_object_foreach_safe(per_numa, next, node, n) {
            if (strtol(node, NULL, 10) < 64)
                continue;
            none += json_integer_value(n);
            json_object_del(per_numa, node);
        }
        if (none == before)
            continue;
        json_object_set_new(per_numa, "-1", json_integer(none));
        on_purpose++;
    }
}

/* What is comparable of a recorded step: `preferred` of an affinity is not shown by us. */
static json_t *wanted(json_t *step) {
    json_t *copy = json_deep_copy(step), *c;
    const char *name;
    json_object_del(copy, "pod");
    if (!json_is_true(json_object_get(step, "admit")))
        json_object_del(copy, "containers");
    json_object_foreach(json_object_get(copy, "containers"), name, c) {
        json_object_del(json_object_get(c, "affinity"), "preferred");
        fold_high_nodes(json_object_get(c, "held"));
    }
    return copy;
}

static bool one_of(json_t *got, json_t *step) {
    json_t *outcomes = json_object_get(step, "outcomes"), *x;
    size_t i;
    bool found = false;
    json_array_foreach(outcomes, i, x) {
        json_t *want = wanted(x);
        found |= matches(got, want);
        json_decref(want);
    }
    return found;
}

static bool admit_step(struct world *w, json_t *step) {
    json_t *pod = json_object_get(step, "pod");
    if (json_object_get(step, "panic")) {
        world_admit(w, pod);
        return w->answer.told == 1;
    }
    world_admit(w, pod);
    json_t *got = answer_as_json(&w->answer), *want = wanted(step);
    bool ok = json_object_get(step, "outcomes") ? one_of(got, step) : matches(got, want);
    if (!ok) {
        char *g = json_dumps(got, JSON_SORT_KEYS | JSON_COMPACT),
             *x = json_dumps(want, JSON_SORT_KEYS | JSON_COMPACT);
        differs(word(pod, "uid"), g, x);
        printf("#   %s\n", w->answer.detail);
        free(g), free(x);
    }
    json_decref(got), json_decref(want);
    return ok;
}

static bool admit(json_t *v) {
    struct world w;
    struct dm_topology topology;
    devmgr_error err = {0};
    bool ok = true;
    size_t i;
    json_t *step;
    json_topology(v, &topology, &err);
    if (*err.message || json_object_get(v, "error")) {
        const char *want = strchr(word(v, "error"), ' '); /* after who says it */
        return !differs("error", err.message, want ? want + 1 : "");
    }
    world_begin(&w, &topology);
    world_plugins(&w, json_object_get(v, "devices"), json_is_true(json_object_get(v, "preferred")));
    json_array_foreach(json_object_get(v, "steps"), i, step) if (ok) ok = admit_step(&w, step);
    world_end(&w);
    return ok;
}

/* ---- files ------------------------------------------------------------------------------------------------------------ */

static void run_line(json_t *v) {
    const char *type = word(v, "type");
    bool (*run)(json_t *) = !strcmp(type, "merge")                             ? merge
                            : !strcmp(type, "hints")                           ? hints
                            : !strcmp(type, "admit")                           ? admit
                            : !*type && json_object_get(v, "result_preferred") ? merge_plain
                            : !*type && json_object_get(v, "machine_nodes")    ? hints_plain
                                                                               : NULL;
    if (!run)
        skipped++;
    else if (run(v))
        passed++;
    else
        failed++;
}

static void run_file(const char *path, bool tap) {
    size_t before = failed, number = 0, cap = 0;
    char *line = NULL;
    FILE *in = fopen(path, "re");
    while (in && getline(&line, &cap, in) > 0) {
        DM_FREE char *here = dm_printf("%s:%zu", path, ++number);
        json_t *v = json_loads(line, JSON_ALLOW_NUL, NULL);
        place = here;
        if (v)
            run_line(v);
        else
            failed += !differs("line", "not JSON", "JSON") + 1U;
        json_decref(v);
    }
    if (!in)
        failed++, perror(path);
    else
        fclose(in);
    free(line);
    if (tap)
        printf("%sok %s\n", failed > before ? "not " : "", path);
}

static int by_path(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t run_path(const char *path, bool tap) {
    char **files = NULL;
    size_t n = 0, cap = 0;
    struct dirent *e;
    DIR *d = opendir(path);
    if (!d) {
        run_file(path, tap);
        return 1;
    }
    while ((e = readdir(d))) {
        size_t len = strlen(e->d_name);
        if (len < 6 || strcmp(e->d_name + len - 6, ".jsonl"))
            continue;
        DM_GROW(files, n, cap);
        files[n++] = dm_printf("%s/%s", path, e->d_name);
    }
    closedir(d);
    if (n)
        qsort(files, n, sizeof *files, by_path);
    for (size_t i = 0; i < n; i++) {
        run_file(files[i], tap);
        free(files[i]);
    }
    free(files);
    return n;
}

int main(int argc, char **argv) {
    size_t files = 0;
    if (argc < 2)
        files = run_path("tests/data/topology", true);
    for (int i = 1; i < argc; i++)
        files += run_path(argv[i], false);
    if (argc < 2)
        printf("1..%zu\n# ", files);
    if (skipped)
        printf("%zu lines of other kinds%s", skipped, argc < 2 ? "; " : "\n");
    if (on_purpose)
        printf("%zu differ on purpose%s", on_purpose,
               argc < 2 ? "; " : " (ALLOC-20, W17: docs/differences.md)\n");
    printf("%zu passed, %zu failed\n", passed, failed);
    return failed > 0 || !passed;
}
