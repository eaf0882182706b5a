/* Random steps against the manager, its invariants checked after each, and what a pod was told held against the state:
 * who was told ADMITTED keeps exactly its devices until it is released, over restarts, failed writes and lost plugins. */
#include "manager_rig.h"

enum { PODS = 12, RESOURCES = 3, DEVICES = 6 };
static const char *const resources[RESOURCES] = {"x.y/a", "x.y/b", "x.y/c"};

struct pod {
    char uid[16];
    struct outcome *pending; /* admission in flight */
    int seen;                /* its outcome was looked at */
    int admitted;
    char claims[2000]; /* as told, without "+" */
};
struct world {
    struct rig *g;
    struct pod pods[PODS];
    uint64_t generation[RESOURCES];
    unsigned seed;
    int admitted, refused, waited, canceled, restarts;
};

static unsigned rnd(struct world *w, unsigned n) {
    w->seed = w->seed * 1664525u + 1013904223u;
    return (w->seed >> 8) % n;
}

static void strip(char *s) {
    char *to = s;
    for (; *s; s++)
        if (*s != '+')
            *to++ = *s;
    *to = 0;
}

struct shown {
    char text[2000];
    size_t n;
    const devmgr_claim *rows[500];
    devmgr_claim claims[500];
};
static int see(void *arg, const devmgr_claim *c) {
    struct shown *s = arg;
    s->claims[s->n] = *c;
    s->rows[s->n] = &s->claims[s->n];
    s->n++;
    return 0;
}

/* What restricted and single-numa-node promise: who was admitted has devices on the nodes that it was told. */
static int check_nodes(void *arg, const devmgr_held_pod *pod) {
    for (size_t i = 0; i < pod->n_containers; i++)
        for (size_t k = 0; k < pod->containers[i]->n_claims; k++) {
            const devmgr_claim *c = pod->containers[i]->claims[k];
            if (pod->containers[i]->affinity && c->numa && !(c->numa & pod->containers[i]->affinity))
                CHECK_FAIL("%s/%s has %s", c->pod_uid, c->container, c->device);
        }
    (void)arg;
    return 0;
}

static void check_told(struct world *w) {
    if (w->g->topology.policy >= DM_POLICY_RESTRICTED)
        dm_manager_each_pod(w->g->m, check_nodes, NULL);
    for (int i = 0; i < PODS; i++) {
        struct pod *p = &w->pods[i];
        struct outcome *o = p->pending;
        if (o && o->told) {
            CHECK_INT(o->told, 1);
            p->pending = NULL;
            w->admitted += o->verdict == DEVMGR_ADMITTED, w->refused += o->verdict == DEVMGR_REFUSED;
            w->waited += o->verdict == DEVMGR_NOT_YET, w->canceled += o->verdict == DEVMGR_CANCELED;
            CHECK((o->verdict == DEVMGR_ADMITTED) == !*o->message);
            if (o->verdict == DEVMGR_ADMITTED) {
                strip(o->claims);
                snprintf(p->claims, sizeof p->claims, "%s", o->claims);
                p->admitted = 1;
            }
        }
        struct shown s = {.n = 0};
        dm_manager_each_claim(w->g->m, p->uid, see, &s);
        rig_claims(s.text, sizeof s.text, s.rows, s.n);
        CHECK_STR(s.text, p->admitted ? p->claims : "");
    }
}

static void admit(struct world *w) {
    struct pod *p = &w->pods[rnd(w, PODS)];
    char spec[500] = "";
    if (p->pending)
        return;
    static const char *const kinds[] = {"init:i", "init:j", "side:s", "a", "b"};
    unsigned shape = (unsigned)(p - w->pods); /* a pod asks for the same each time, mostly */
    for (unsigned k = 0; k < 5; k++) {
        if ((shape * 7 + k * 3) % 4 == 0 || (k > 2 && !rnd(w, 4)))
            continue;
        rig_add(spec, sizeof spec, "%s%s", *spec ? ";" : "", kinds[k]);
        for (unsigned r = 0; r < RESOURCES; r++)
            if ((shape + k + r) % 3 == 0)
                rig_add(spec, sizeof spec, " %s=%u", resources[r], 1 + (shape + k) % 2 + (rnd(w, 100) == 0));
    }
    if (*spec)
        p->pending = rig_admit_waiting(w->g, p->uid, spec, rnd(w, 3) ? 0 : rnd(w, 20000));
}

static void forget_claims(struct pod *p) {
    p->admitted = 0;
    p->claims[0] = 0;
}

/* One part of a pod goes: what is left is what is shown; the model follows. */
static void part_goes(struct world *w, struct pod *p) {
    struct shown s = {.n = 0};
    dm_manager_each_claim(w->g->m, p->uid, see, &s);
    p->claims[0] = 0;
    rig_claims(p->claims, sizeof p->claims, s.rows, s.n);
}

static void answer(struct world *w) {
    struct rig *g = w->g;
    static const int codes[] = {DM_UNAVAILABLE, DM_DEADLINE_EXCEEDED, DM_UNKNOWN, DM_RESOURCE_EXHAUSTED,
                                DM_CANCELLED};
    size_t open[1024], n = 0;
    for (size_t i = 0; i < g->n_calls; i++)
        if (g->calls[i].open)
            open[n++] = i;
    if (!n)
        return;
    struct rig_call *c = &g->calls[open[rnd(w, (unsigned)n)]];
    if (c->canceled || rnd(w, 12) == 0)
        rig_answer(g, c, c->canceled ? DM_CANCELLED : codes[rnd(w, 5)], "no");
    else if (c->rpc == DM_RPC_ALLOCATE)
        rig_answer(g, c, 0, rnd(w, 40) == 0 ? NULL : rnd(w, 40) == 0 ? "bad" : "env A=1");
    else
        rig_answer(g, c, 0, c->rpc == DM_RPC_PREFERRED && rnd(w, 2) ? "d3 d1 d5 zz" : "");
    for (n = 0; n < g->n_calls && !g->calls[n].open; n++)
        ;
    if (n == g->n_calls)
        g->n_calls = 0; /* room for more */
}

static void change_list(struct world *w) {
    unsigned r = rnd(w, RESOURCES);
    char list[200] = "";
    for (int d = 0; d < DEVICES; d++)
        if (rnd(w, 8))
            rig_add(list, sizeof list, "%sd%d%s@%u", *list ? " " : "", d, rnd(w, 6) ? "" : "-", rnd(w, 2));
    if (w->generation[r])
        rig_list_as(w->g, resources[r], w->generation[r], list);
}

static void save(struct world *w) {
    if (w->g->saving) {
        rig_saved(w->g, rnd(w, 5) ? 0 : -ENOSPC);
        rig_drain(w->g);
    }
}

static int is_saved(struct rig *g, const char *uid) {
    for (size_t i = 0; g->disk && i < g->disk->n_claims; i++)
        if (!strcmp(g->disk->claims[i]->pod_uid, uid))
            return 1;
    return 0;
}

/* Nothing that was told may be lost. What was released but not saved yet may be back; it is released again. */
static void restart(struct world *w) {
    for (int i = 0; i < PODS; i++) {
        w->pods[i].pending = NULL; /* its callback died with the process */
        if (w->pods[i].admitted && *w->pods[i].claims)
            CHECK(is_saved(w->g, w->pods[i].uid));
    }
    rig_restart(w->g, DM_START_LOADED);
    memset(w->generation, 0, sizeof w->generation);
    for (int i = 0; i < PODS; i++) {
        struct pod *p = &w->pods[i];
        if (!p->admitted || !*p->claims) {
            forget_claims(p);
            rig_release(w->g, p->uid, NULL);
        } else {
            char told[2000], *save = NULL;
            snprintf(told, sizeof told, "%s", p->claims);
            part_goes(w, p);
            for (char *part = strtok_r(told, ";", &save); part; part = strtok_r(NULL, ";", &save))
                CHECK(strstr(p->claims, part + strspn(part, " ")));
        }
    }
    w->restarts++;
}

static void sync_some(struct world *w) {
    char live[200] = "";
    for (int i = 0; i < PODS; i++)
        if (rnd(w, 4) || w->pods[i].pending)
            rig_add(live, sizeof live, "%s ", w->pods[i].uid);
        else
            forget_claims(&w->pods[i]);
    rig_sync(w->g, live, UINT64_MAX, 0);
}

static void step(struct world *w) {
    struct pod *p = &w->pods[rnd(w, PODS)];
    unsigned r = rnd(w, RESOURCES);
    switch (rnd(w, 48)) {
    case 0 ... 9:
        admit(w);
        break;
    case 10 ... 27:
        answer(w);
        break;
    case 28 ... 35:
        save(w);
        break;
    case 36 ... 37:
        rig_release(w->g, p->uid, NULL);
        forget_claims(p);
        break;
    case 38:
        change_list(w);
        break;
    case 39 ... 40:
        w->generation[r] = rig_connect(w->g, resources[r], rnd(w, 2) ? "preferred" : "prestart");
        if (rnd(w, 4))
            rig_list_as(w->g, resources[r], w->generation[r], "d0@0 d1@0 d2@0 d3@1 d4@1 d5@1");
        break;
    case 41:
        if (!rnd(w, 4))
            rig_gone(w->g, resources[r], w->generation[r] - rnd(w, 2));
        break;
    case 42:
        rig_pass(w->g, rnd(w, 10) ? rnd(w, 3000) : rnd(w, 400000));
        break;
    case 43:
        rig_options(w->g, p->uid, "a", rnd(w, 2));
        break;
    case 44:
        if (p->admitted && !p->pending) {
            if (rnd(w, 2))
                rig_init_done(w->g, p->uid);
            else
                rig_release(w->g, p->uid, "b");
            part_goes(w, p);
        }
        break;
    case 45:
        if (!rnd(w, 40))
            restart(w);
        break;
    case 46:
        if (!rnd(w, 10))
            dm_manager_forget_resource(w->g->m, resources[r]), rig_drain(w->g);
        break;
    default:
        if (!rnd(w, 10))
            sync_some(w);
    }
}

/* Those in flight write into their outcomes: let all end before the room is used again. */
static void begin_again(struct world *w) {
    struct rig *g = w->g;
    for (int i = 0; i < PODS; i++) {
        rig_release(g, w->pods[i].uid, NULL);
        forget_claims(&w->pods[i]);
    }
    check_told(w);
    while (g->saving)
        rig_saved(g, 0), rig_drain(g);
    for (size_t k = 0; k < g->n_calls; k++)
        if (g->calls[k].open)
            rig_answer(g, &g->calls[k], DM_CANCELLED, "end");
    memset(g->outcomes, 0, sizeof g->outcomes);
    g->n_outcomes = 0;
}

static void run(unsigned seed, int steps, const char *settings) {
    struct world w = {.g = rig_new(settings), .seed = seed};
    w.g->hold_calls = w.g->hold_saves = 1;
    for (int i = 0; i < PODS; i++)
        snprintf(w.pods[i].uid, sizeof w.pods[i].uid, "p%d", i);
    for (int i = 0; i < steps; i++) {
        step(&w);
        check_told(&w);
        if (w.g->n_outcomes > 900)
            begin_again(&w);
    }
    printf("# seed %u: %d admitted, %d not yet, %d refused, %d canceled, %d restarts\n", seed, w.admitted,
           w.waited, w.refused, w.canceled, w.restarts);
    CHECK(w.admitted > 50 && w.waited > 20 && w.refused > 5 && w.canceled > 5);
    dm_manager_close(w.g->m);
    rig_drain(w.g);
    check_told(&w);
    rig_free(w.g);
}

TEST(twenty_thousand_random_steps_keep_the_invariants) {
    const char *seeds = getenv("MODEL_SEEDS"); /* more, to search for trouble */
    for (unsigned seed = 1; seed <= (seeds ? strtoul(seeds, NULL, 10) : 4); seed++)
        run(seed, 5000, NULL);
}

TEST(random_steps_with_each_topology_policy_and_scope) {
    static const char *const settings[] = {"numa=0;1 topology-policy=best-effort",
                                           "numa=0;1 topology-policy=best-effort topology-scope=pod",
                                           "numa=0;1 topology-policy=restricted",
                                           "numa=0;1 topology-policy=restricted topology-scope=pod",
                                           "numa=0;1 topology-policy=single-numa-node",
                                           "numa=0;1 topology-policy=single-numa-node topology-scope=pod"};
    const char *seeds = getenv("MODEL_SEEDS");
    for (unsigned seed = 1; seed <= (seeds ? strtoul(seeds, NULL, 10) : 1); seed++)
        EACH(row, settings)
    run(seed, 5000, *row);
}

TEST(random_steps_with_one_call_per_node) {
    run(99, 5000, "serial=node");
}
