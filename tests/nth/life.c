/* life.c -- see life.h.
 *
 * What holds in each run
 *   (1) A pod that was answered ADMITTED holds the same devices until it is released, over a kill and a restart.
 *   (2) No device is two pods'.
 *   (3) Whatever was not admitted holds nothing, and nothing is reserved when nothing is in flight. Only what was
 *       answered NotDurable may be in the file after a kill: until the next write or the caller's sync.
 *   (4) What fails says so, in words that name what it was about.
 *   (5) When the fault is over, and after a single one at once, all works again without a restart.
 *   (6) The file is one that the reader takes, at the end it holds nothing, and no other file is left beside it. */
#include "life.h"
#include "base/mem.h"
#include "pods.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The pods: one for the plugin that prefers, one for the one with PreStartContainer, one with all kinds of containers,
 * one that asks for nothing, one that asks for too much; the last two come after the restart. */
#define C(name, limits) "{name: " name ", image: i, resources: {limits: {" limits "}}}"
static const struct pod all_pods[PODS] = {
    [TWO] = {"two", "containers: [" C("main", GPU ": 2") "]", {"main"}, ABSENT, "", {""}},
    [NIC_ONE] = {"nic", "containers: [" C("main", NIC ": 1") "]", {"main"}, ABSENT, "", {""}},
    [ALL_KINDS] = {"kinds",
                   "initContainers: [" C("init", GPU ": 1") ", {name: side, image: i, restartPolicy: Always, "
                                                            "resources: {limits: {" NIC
                                                            ": 1}}}], containers: [" C("app", GPU ": 1, " NIC
                                                                                                  ": 1") "]",
                   {"init", "side", "app"},
                   ABSENT,
                   "",
                   {""}},
    [NOTHING] = {"nothing", "containers: [" C("main", "cpu: 1") "]", {"main"}, ABSENT, "", {""}},
    [TOO_MUCH] = {"much", "containers: [" C("main", NIC ": 1, " GPU ": 99") "]", {"main"}, ABSENT, "", {""}},
    [AFTER] = {"after", "containers: [" C("main", GPU ": 1, " NIC ": 1") "]", {"main"}, ABSENT, "", {""}},
    [LATER] = {"later", "containers: [" C("main", GPU ": 1") "]", {"main"}, ABSENT, "", {""}},
};
/* ---- the life ---------------------------------------------------------------------------------------------------- */

/* It runs at the end, whatever failed. */
static void start(struct life *l) {
    for (int i = 0; i < TRIES; i++) {
        step(l->n, "starting");
        if (i > 1)
            calm(l->n); /* whoever starts it has waited until the trouble was over */
        if (daemon_start(l->n))
            return;
        if (i > 0 && !l->n->board->forever)
            break;
    }
    lost(l->n, "it does not start after one failure");
}

/* A kill forgets what was never in the file: pods without devices. */
static void end_first(struct life *l) {
    bool hard = (l->n->board->n + l->n->board->forever) % 2;
    step(l->n, hard ? "killing it" : "ending it");
    if (hard)
        daemon_kill(l->n);
    else
        daemon_stop(l->n);
    check_disk(l);
    for (int i = 0; i < PODS; i++)
        if (l->pods[i].is == HELD && !*l->pods[i].devices)
            l->pods[i].is = ABSENT;
}

static void put(const struct node *n, const char *name, const char *text) {
    DM_FREE char *path = dm_printf("%s/%s", n->folder, name);
    FILE *f = fopen(path, "we");
    if (!f || fputs(text, f) < 0 || fclose(f))
        lost(n, "%s: %s", path, strerror(errno));
}

/* A machine of two NUMA nodes. */
static void make_nodes(const struct node *n) {
    static const char *const folders[] = {"", "/node0", "/node1"};
    for (size_t i = 0; i < DM_COUNT(folders); i++) {
        DM_FREE char *path = dm_printf("%s/numa%s", n->folder, folders[i]);
        mkdir(path, 0700);
    }
    put(n, "numa/online", "0-1\n");
    put(n, "numa/node0/distance", "10 20\n");
    put(n, "numa/node1/distance", "20 10\n");
}

/* A file with what the plugin answers: one variable with the ids, one device node. Its path. */
static char *answers(const struct node *n, const char *name) {
    DM_FREE char *file = dm_printf("%s.json", name);
    DM_FREE char *text =
        dm_printf("{\"envs\": {\"%s\": \"{ids}\"}, \"devices\": "
                  "[{\"container\": \"/dev/%s/{id}\", \"host\": \"/dev/null\", \"perm\": \"rw\"}]}",
                  name, name);
    put(n, file, text);
    return dm_printf("%s/%s", n->folder, file);
}

/* They need the folder, so they come after the daemon. */
static void start_plugins(struct node *n) {
    DM_FREE char *gpu = answers(n, "gpu"), *nic = answers(n, "nic");
    step(n, "starting the plugins");
    n->plugins[0] = (struct plugin){.resource = GPU, .devices = GPUS};
    n->plugins[1] = (struct plugin){.resource = NIC, .devices = NICS};
    plugin_start(n, &n->plugins[0],
                 (const char *const[]){"--preferred", "last", "--numa", "2", "--answer", gpu, NULL});
    plugin_start(n, &n->plugins[1], (const char *const[]){"--prestart", "--answer", nic, NULL});
}

static void first_half(struct life *l) {
    start(l);
    start_plugins(l->n);
    enrol_all(l);
    admit(l, TWO);
    admit(l, NIC_ONE);
    admit(l, ALL_KINDS);
    admit(l, NOTHING);
    refuse(l, TOO_MUCH);
    tell_options(l, TWO, "main");
    tell_options(l, NIC_ONE, "main");
    tell_options(l, ALL_KINDS, "app");
    look_around(l);
    let_go(l, NIC_ONE);
    sync_all(l, false);
    end_first(l);
}

/* Somebody cleans up too much: the socket is made again. */
static void lose_the_socket(struct life *l) {
    DM_FREE char *path = dm_printf("%s/device-plugins/kubelet.sock", l->n->root);
    step(l->n, "removing kubelet.sock");
    unlink(path);
    for (uint64_t end = now_ms() + SETTLE_MS; access(path, F_OK) < 0; nap(2)) {
        daemon_look(l->n);
        if (outage(l->n) && now_ms() + SETTLE_MS > end + 3 * NTH_LOOK_MS)
            return;
        if (now_ms() > end)
            lost(l->n, "it is not made again");
    }
}

static void second_half(struct life *l) {
    struct admission a;
    int held;
    start(l);
    step(l->n, "looking after the restart");
    plugins_there(l, &held); /* what was found at the start is told by the loop's first turn */
    if (was_set_aside(l)) {  /* nobody could read the file: those who live say what they have */
        adopt_all(l);
        sync_all(l, false);
    }
    check_books(l);
    if (l->pods[TWO].is == HELD)
        ask(l, &l->pods[TWO], &a); /* no plugin is there, and none is needed */
    admit(l, AFTER);
    tell_options(l, TWO, "main");
    lose_the_socket(l);
}

/* The fault is over: everything works again, within the time that it looks at things in. */
static void recover(struct life *l) {
    devmgr_error err = {0};
    bool well = false;
    calm(l->n);
    l->n->board->forever = false; /* calls may be tried again */
    check_books(l);
    step(l->n, "healthy again");
    for (uint64_t end = now_ms() + SETTLE_MS; !well && now_ms() < end; nap(well ? 0 : 10))
        well = healthy(l, &err);
    if (!well)
        lost(l->n, "nothing fails any more, but: %s", err.message);
    if (was_set_aside(l)) {
        adopt_all(l);
        sync_all(l, false);
    }
    for (int i = 0; i < PODS; i++)
        if (i != TOO_MUCH)
            admit(l, i);
    refuse(l, TOO_MUCH);
    step(l->n, "registering at the end");
    for (int i = 0; i < PLUGINS; i++)
        if (!plugin_register(l->n, &l->n->plugins[i]))
            lost(l->n, "Register fails when nothing fails any more: %s", l->n->plugins[i].line);
    enrol_all(l);
    tell_options(l, ALL_KINDS, "app");
    sync_all(l, true);
}

/* Nothing but our own connection is left open: as many descriptors as in a life without a fault. */
static void check_descriptors(struct life *l, int wanted) {
    uint64_t end = now_ms() + SETTLE_MS;
    int n, there, held;
    step(l->n, "counting descriptors");
    for (int i = 0; i < PLUGINS; i++)
        plugin_kill(&l->n->plugins[i]);
    hang_up(l->n);
    do {
        there = plugins_there(l, &held);
        n = daemon_descriptors(l->n);
    } while ((there || (wanted && n > wanted)) && now_ms() < end);
    if (there || held)
        lost(l->n, "%d plugins connected and %d devices held at the end", there, held);
    if (wanted && n > wanted)
        lost(l->n, "%d descriptors at the end, %d when nothing fails", n, wanted);
    if (!wanted) /* the first life: wait until it has settled */
        for (uint64_t t = now_ms() + 300; now_ms() < t; nap(10))
            n = daemon_descriptors(l->n);
    l->n->board->descriptors = n;
}

void live(struct node *n, int descriptors) {
    struct life l = {.n = n};
    memcpy(l.pods, all_pods, sizeof l.pods);
    make_nodes(n);
    atomic_store(&n->board->armed, true);
    first_half(&l);
    second_half(&l);
    recover(&l);
    check_descriptors(&l, descriptors);
    step(n, "ending it for good");
    daemon_stop(n);
    for (int i = 0; i < PODS; i++)
        if (l.pods[i].is != ABSENT)
            lost(n, "%s is left", l.pods[i].name);
    check_disk(&l);
    check_litter(&l);
}

void live_embedded(struct node *n) {
    step(n, "embedded");
    int opened = embedded_run(n, true);
    if (opened < 2 && !trouble(n))
        lost(n, "it was opened %d times of 2, and nothing had failed", opened);
    if (opened < 1 && !n->board->forever)
        lost(n, "neither open worked, and only one call had failed");
    calm(n);
    if (embedded_run(n, false) != 2)
        lost(n, "nothing fails any more, and it does not open");
}
