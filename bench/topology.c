/* topology.c -- what the topology decision costs, beside the kubelet's own code on the same input. See README.md.
 *
 *   topology [-o json] [--quick] [--limit SECONDS] [KUBELET]
 *
 *   KUBELET   interop/kubelet-topology, built; without it its columns stay empty
 *   --limit   how long it may take for a cell (10);  --quick   a few cells, once each: does the program work?
 *
 * A cell is an object of the recordings' form (tests/data/topology). It is built once, given to our code, and right after
 * that, on a line, to the other program. What counts is the least time of all runs: what else the machine does only adds. */
#include "checkpoint/store.h"
#include "peer.h"
#include "vectors/world.h"
#include <getopt.h>
#include <time.h>

struct row {
    const char *what, *policy;
    int nodes, bearing; /* of the machine; those that devices or hints name */
    int most;           /* merge: nodes in the largest set; 0: all that bear */
    int from, to;       /* resources: a cell each */
    int devices;        /* of each resource */
    bool closest, quick;
};
static const struct row rows[] = {
    {"merge", "best-effort", 2, 2, 0, 1, 6, 0},
    {"merge", "best-effort", 4, 4, 0, 1, 6, 0, .quick = true},
    {"merge", "best-effort", 8, 8, 0, 1, 6, 0},
    {"merge", "restricted", 8, 8, 0, 4, 4, 0},
    {"merge", "single-numa-node", 8, 8, 0, 4, 4, 0},
    {"merge", "best-effort", 8, 8, 0, 4, 4, 0, .closest = true},
    {"merge", "best-effort", 16, 16, 0, 1, 6, 0},
    {"merge", "best-effort", 16, 16, 0, 4, 4, 0, .closest = true},
    {"merge", "best-effort", 36, 8, 0, 1, 6, 0},
    {"merge", "best-effort", 36, 36, 2, 1, 6, 0},
    {"merge", "best-effort", 36, 18, 0, 2, 2, 0},
    {"hints", "best-effort", 8, 8, 0, 1, 1, 1000, .quick = true},
    {"hints", "best-effort", 8, 8, 0, 1, 1, 100000},
    {"hints", "best-effort", 16, 16, 0, 1, 1, 1000},
    {"hints", "best-effort", 36, 8, 0, 1, 1, 1000},
    {"hints", "best-effort", 36, 8, 0, 1, 1, 100000},
    {"hints", "best-effort", 36, 36, 0, 1, 1, 1000},
    {"admit", "restricted", 2, 2, 0, 1, 1, 8, .quick = true},
    {"admit", "restricted", 8, 8, 0, 1, 1, 64},
    {"admit", "restricted", 8, 8, 0, 1, 4, 1000},
    {"admit", "best-effort", 8, 8, 0, 1, 1, 100000},
    {"admit", "restricted", 36, 8, 0, 1, 4, 64},
    {"admit", "restricted", 36, 36, 0, 1, 4, 360},
    {"admit", "best-effort", 36, 36, 0, 4, 4, 360, .closest = true},
};

/* ---- the input -------------------------------------------------------------------------------------------------------- */

static json_t *numa_of(const struct row *r) {
    json_t *list = json_array();
    for (int i = 0; i < r->nodes; i++) {
        json_t *row = json_array();
        for (int k = 0; k < r->nodes; k++)
            json_array_append_new(row, json_integer(i == k ? 10 : i / 2 == k / 2 ? 12 : 20 + abs(i - k)));
        json_array_append_new(list, json_pack("{s:i, s:o}", "id", i, "distances", row));
    }
    return list;
}

/* All sets of `size` of the nodes from `first` on, each with those in `begun`. */
static void add_sets(json_t *list, const struct row *r, json_t *begun, int first, int size, bool preferred) {
    if (size == 0)
        json_array_append_new(list,
                              json_pack("{s:o, s:b}", "numa", json_copy(begun), "preferred", preferred));
    for (int i = first; size > 0 && i < r->bearing; i++) {
        json_array_append_new(begun, json_integer(i));
        add_sets(list, r, begun, i + 1, size - 1, preferred);
        json_array_remove(begun, json_array_size(begun) - 1);
    }
}

/* Smaller ones first, as a provider has them. */
static json_t *hints_of(const struct row *r, int least) {
    json_t *list = json_array();
    json_auto_t *begun = json_array();
    for (int size = least; size <= (r->most ? r->most : r->bearing); size++)
        add_sets(list, r, begun, 0, size, size == least);
    return list;
}

/* The lists differ in the least size that they prefer: 1, 2, 3, 1 ..., as far as there are sets of it. */
static json_t *providers_of(const struct row *r, int resources) {
    json_t *hints = json_object();
    int most = r->most ? r->most : r->bearing;
    for (int i = 0; i < resources; i++) {
        DM_FREE char *name = dm_printf("bench.example.com/r%d", i);
        json_object_set_new(hints, name, hints_of(r, 1 + i % 3 < most ? 1 + i % 3 : most));
    }
    return json_pack("[o]", hints);
}

static json_t *devices_of(const struct row *r, int resources) {
    json_t *all = json_object();
    for (int i = 0; i < resources; i++) {
        DM_FREE char *name = dm_printf("bench.example.com/r%d", i);
        json_t *list = json_array();
        for (int k = 0; k < r->devices; k++) {
            DM_FREE char *id = dm_printf("dev-%05d", k);
            json_array_append_new(
                list, json_pack("{s:s, s:s, s:[i]}", "id", id, "health", "Healthy", "numa", k % r->bearing));
        }
        json_object_set_new(all, name, list);
    }
    return all;
}

static json_t *pod_of(int resources, int each) {
    json_t *limits = json_object();
    for (int i = 0; i < resources; i++) {
        DM_FREE char *name = dm_printf("bench.example.com/r%d", i);
        json_object_set_new(limits, name, json_integer(each));
    }
    return json_pack("{s:s, s:[{s:s, s:o}]}", "uid", "p", "containers", "name", "c", "limits", limits);
}

static json_t *input(const struct row *r, int resources) {
    json_t *v = json_pack("{s:s, s:s, s:s, s:o}", "type", r->what, "policy", r->policy, "scope", "container",
                          "numa", numa_of(r));
    json_t *options = json_object();
    if (r->nodes > 8)
        json_object_set_new(options, "max-allowable-numa-nodes", json_string("64"));
    if (r->closest)
        json_object_set_new(options, "prefer-closest-numa-nodes", json_string("true"));
    json_object_set_new(v, "options", options);
    if (!strcmp(r->what, "merge")) {
        json_object_set_new(v, "providers", providers_of(r, resources));
    } else {
        json_object_set_new(v, "devices", devices_of(r, resources));
        json_object_set_new(v, "pod", pod_of(resources, !strcmp(r->what, "hints") ? 4 : 2));
    }
    return v;
}

/* ---- ours ------------------------------------------------------------------------------------------------------------- */

enum { LEAST_RUNS = 20, MOST_RUNS = 400, LEAST_NS = 200000000 };

struct cell { /* and what was measured */
    const struct row *row;
    int resources;
    size_t each; /* hints or devices of each resource */
    uint64_t ns, median_ns;
    bool all_sets; /* we looked at all of them */
    struct peer_answer kubelet;
    bool implied; /* ... of an easier cell, which did not end */
};

struct job { /* something that can be run again and again */
    void (*run)(struct job *j);
    void (*before)(struct job *j); /* not timed; or NULL */
    bool once;
    struct world w;
    struct dm_hints *lists;
    size_t n;
    devmgr_pod *pod;
    struct dm_store *store;
    bool all_sets;
};

static void die(const char *why) {
    fprintf(stderr, "topology: %s\n", why);
    exit(1);
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int ascending_ns(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void measure_job(struct job *j, struct cell *c) {
    uint64_t ns[MOST_RUNS], begin = now();
    size_t n = 0;
    while (n < (j->once ? 1 : MOST_RUNS) && (n < LEAST_RUNS || now() - begin < LEAST_NS)) {
        if (j->before)
            j->before(j);
        uint64_t t = now();
        j->run(j);
        ns[n++] = now() - t;
    }
    qsort(ns, n, sizeof *ns, ascending_ns);
    c->ns = ns[0], c->median_ns = ns[n / 2];
}

static void run_merge(struct job *j) {
    j->all_sets = dm_topology_merge(&j->w.topology, j->lists, j->n).exhaustive;
}

static int see_hint(void *arg, const devmgr_hint *h) {
    (void)arg, (void)h;
    return 0;
}

static void run_hints(struct job *j) {
    dm_manager_hints(j->w.m, j->pod, "c", see_hint, NULL);
}

static void settle(struct job *j) {
    struct dm_action a;
    while (dm_manager_next(j->w.m, &a)) {
        if (a.kind == DM_DO_CALL)
            reply(&j->w, a.call);
        else if (a.kind == DM_DO_ANSWER)
            dm_answer_deliver(a.answer);
        else if (a.kind == DM_DO_SAVE) {
            dm_manager_saved(j->w.m, dm_store_write(j->store, a.snapshot, a.durable, NULL), NULL);
            dm_snapshot_free(a.snapshot);
        }
    }
}

static void let_go(struct job *j) {
    dm_manager_release(j->w.m, "p", NULL, NULL, NULL);
    settle(j);
    answer_free(&j->w.answer);
}

static void run_admit(struct job *j) {
    dm_manager_admit(j->w.m, j->pod, on_answer, &j->w.answer, NULL);
    settle(j);
    if (!j->w.answer.told || j->w.answer.verdict != DEVMGR_ADMITTED)
        die(j->w.answer.told ? j->w.answer.detail : "an admission was not answered");
}

static void measure_merge(struct job *j, json_t *v, struct cell *c) {
    json_t *lists = json_array_get(json_object_get(v, "providers"), 0), *hints;
    const char *name;
    j->lists = dm_alloc_array(json_object_size(lists), sizeof(*j->lists));
    json_object_foreach(lists, name, hints) j->lists[j->n++] = json_hints(hints, "numa");
    c->each = j->lists[0].n;
    j->run = run_merge;
    measure_job(j, c);
    c->all_sets = j->all_sets;
    while (j->n)
        dm_hints_free(&j->lists[--j->n]);
    free(j->lists);
}

static int see_all_sets(void *arg, const char *json, size_t n) {
    *(bool *)arg = !memmem(json, n, "\"exhaustive\":false", strlen("\"exhaustive\":false"));
    return 0;
}

static void measure_pod(struct job *j, json_t *v, const char *folder, struct cell *c) {
    devmgr_error err;
    world_begin(&j->w, &j->w.topology);
    world_plugins(&j->w, json_object_get(v, "devices"), false);
    j->pod = json_pod(json_object_get(v, "pod"));
    j->run = strcmp(c->row->what, "hints") ? run_admit : run_hints;
    j->before = j->run == run_admit ? let_go : NULL;
    c->each = (size_t)c->row->devices;
    if (dm_store_open(folder, &j->store, &err) < 0)
        die(err.message);
    dm_manager_explain(j->w.m, j->pod, see_all_sets, &c->all_sets, NULL);
    measure_job(j, c);
    dm_store_close(j->store);
    devmgr_pod_free(j->pod);
    world_end(&j->w);
}

static void measure(json_t *v, const char *folder, bool once, struct cell *c) {
    struct job j = {.once = once};
    devmgr_error err = {0};
    if (json_topology(v, &j.w.topology, &err) < 0)
        die(err.message);
    if (!strcmp(c->row->what, "merge"))
        measure_merge(&j, v, c);
    else
        measure_pod(&j, v, folder, c);
}

/* ---- what is said ----------------------------------------------------------------------------------------------------- */

struct show {
    bool json, any;
    int limit_s;
};

static void show_begin(const struct show *s) {
    if (s->json)
        printf("{\"limit_s\":%d,\"memory_gib\":%d,\"cells\":[", s->limit_s, PEER_MEMORY_GIB);
    else
        printf("%-5s %-20s %5s %7s %9s %7s %4s %10s %12s %10s\n", "what", "policy", "nodes", "bearing",
               "resources", "of each", "sets", "devmgr us", "kubelet us", "ratio");
}

static void show_json(struct show *s, const struct cell *c) {
    static const char *const ends[] = {"not asked", "answered", "out of time", "out of memory"};
    const struct row *r = c->row;
    json_auto_t *o = json_object();
    json_object_set_new(o, "what", json_string(r->what));
    json_object_set_new(o, "policy", json_string(r->policy));
    json_object_set_new(o, "closest", json_boolean(r->closest));
    json_object_set_new(o, "nodes", json_integer(r->nodes));
    json_object_set_new(o, "bearing", json_integer(r->bearing));
    json_object_set_new(o, "resources", json_integer(c->resources));
    json_object_set_new(o, "of_each", json_integer((json_int_t)c->each));
    json_object_set_new(o, "all_sets", json_boolean(c->all_sets));
    json_object_set_new(o, "devmgr_ns", json_integer((json_int_t)c->ns));
    json_object_set_new(o, "devmgr_median_ns", json_integer((json_int_t)c->median_ns));
    json_object_set_new(o, "kubelet", json_string(ends[c->kubelet.end]));
    json_object_set_new(o, "implied", json_boolean(c->implied));
    if (c->kubelet.end == PEER_ANSWERED) {
        json_object_set_new(o, "kubelet_ns", json_integer((json_int_t)c->kubelet.ns));
        json_object_set_new(o, "kubelet_median_ns", json_integer((json_int_t)c->kubelet.median_ns));
        json_object_set_new(o, "ratio", json_real((double)c->kubelet.ns / (double)c->ns));
    }
    printf(s->any ? ",\n" : "\n");
    s->any = true;
    json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
}

static char *kubelet_time(const struct show *s, const struct cell *c) {
    const char *open = c->implied ? "(" : "", *close = c->implied ? ")" : "";
    switch (c->kubelet.end) {
    case PEER_ANSWERED:
        return dm_printf("%.1f", (double)c->kubelet.ns / 1000);
    case PEER_TOO_LONG:
        return dm_printf("%s> %d s%s", open, s->limit_s, close);
    case PEER_DIED:
        return dm_printf("%s> %d GiB%s", open, PEER_MEMORY_GIB, close);
    default:
        return dm_strdup("-");
    }
}

/* Where the kubelet does not end, ours is at least so much faster. */
static char *ratio(const struct show *s, const struct cell *c) {
    if (c->kubelet.end == PEER_ANSWERED)
        return dm_printf("%.1f", (double)c->kubelet.ns / (double)c->ns);
    return c->kubelet.end == PEER_TOO_LONG ? dm_printf("> %.0f", s->limit_s * 1e9 / (double)c->ns)
                                           : dm_strdup("");
}

static void show_line(const struct show *s, const struct cell *c) {
    const struct row *r = c->row;
    DM_FREE char *policy = dm_printf("%s%s", r->policy, r->closest ? ", closest" : "");
    DM_FREE char *kubelet = kubelet_time(s, c), *times = ratio(s, c);
    printf("%-5s %-20s %5d %7d %9d %7zu %4s %10.1f %12s %10s\n", r->what, policy, r->nodes, r->bearing,
           c->resources, c->each, c->all_sets ? "all" : "some", (double)c->ns / 1000, kubelet, times);
    fflush(stdout);
}

/* ---- all cells -------------------------------------------------------------------------------------------------------- */

static void run_row(const struct row *r, const char *folder, struct peer *kubelet, bool quick,
                    struct show *s) {
    struct peer_answer last = {.end = PEER_ANSWERED};
    for (int resources = r->from; resources <= r->to; resources++) {
        struct cell c = {.row = r, .resources = resources, .implied = last.end > PEER_ANSWERED};
        json_auto_t *v = input(r, resources);
        measure(v, folder, quick, &c);
        c.kubelet = last = c.implied ? last : peer_ask(kubelet, v);
        if (s->json)
            show_json(s, &c);
        else
            show_line(s, &c);
    }
}

static void run_all(const char *folder, struct peer *kubelet, bool quick, struct show *s) {
    signal(SIGPIPE, SIG_IGN); /* the kubelet's program may end while it is asked */
    show_begin(s);
    for (size_t i = 0; i < DM_COUNT(rows); i++)
        if (!quick || rows[i].quick)
            run_row(&rows[i], folder, kubelet, quick, s);
    if (s->json)
        puts("\n]}");
    peer_end(kubelet, false);
}

/* A tmpfs if there is one: the disk is not what is measured. */
static char *make_folder(void) {
    const char *places[] = {"/dev/shm", getenv("TMPDIR"), "/tmp"};
    for (size_t i = 0; i < DM_COUNT(places); i++) {
        char *folder = dm_printf("%s/devmgr-bench-XXXXXX", places[i] ? places[i] : "");
        if (places[i] && mkdtemp(folder))
            return folder;
        free(folder);
    }
    die("no folder to write a checkpoint in: TMPDIR?");
    return NULL;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"quick", no_argument, NULL, 'q'}, {"limit", required_argument, NULL, 'l'}, {0}};
    struct peer kubelet = {.limit_s = 10};
    struct show show = {0};
    bool quick = false;
    for (int o; (o = getopt_long(argc, argv, "o:", options, NULL)) != -1;) {
        if (o == 'q')
            quick = true;
        else if (o == 'l' && atoi(optarg) > 0)
            kubelet.limit_s = atoi(optarg);
        else if (o == 'o' && !strcmp(optarg, "json"))
            show.json = true;
        else
            die("usage: topology [-o json] [--quick] [--limit SECONDS] [KUBELET]");
    }
    kubelet.program = argv[optind];
    show.limit_s = kubelet.limit_s;
    DM_FREE char *folder = make_folder();
    run_all(folder, &kubelet, quick, &show);
    DM_FREE char *command = dm_printf("rm -rf '%s'", folder);
    return system(command) != 0;
}
