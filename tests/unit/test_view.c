/* Visitors and copies: in order, stoppable, and still whole when a callback changes the state. */
#include "manager_rig.h"

static struct rig *some(void) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/b", "b0 b1", "");
    rig_plugin(g, "x.y/a", "a0 a1 a2", "");
    rig_admit(g, "q", "c x.y/a=1");
    rig_admit(g, "p", "c x.y/a=1 x.y/b=1; d x.y/a=1");
    return g;
}

static int stop_resource(void *arg, const devmgr_resource *r) {
    (void)r;
    return ++*(int *)arg == 2 ? 42 : 0;
}
static int stop_device(void *arg, const devmgr_device *d) {
    (void)d;
    return ++*(int *)arg == 2 ? 42 : 0;
}
static int stop_claim(void *arg, const devmgr_claim *c) {
    (void)c;
    return ++*(int *)arg == 2 ? 42 : 0;
}
static int stop_pod(void *arg, const devmgr_held_pod *p) {
    (void)p;
    return ++*(int *)arg == 2 ? 42 : 0;
}

TEST(a_visitor_that_returns_something_ends_the_visit) {
    struct rig *g = some();
    int n[5] = {0};
    CHECK_INT(dm_manager_each_resource(g->m, stop_resource, &n[0]), 42);
    CHECK_INT(dm_manager_each_device(g->m, NULL, stop_device, &n[1]), 42);
    CHECK_INT(dm_manager_each_claim(g->m, NULL, stop_claim, &n[2]), 42);
    CHECK_INT(dm_manager_each_claim(g->m, "p", stop_claim, &n[3]), 42);
    CHECK_INT(dm_manager_each_pod(g->m, stop_pod, &n[4]), 42);
    EACH(count, n)
    CHECK_INT(*count, 2);
    CHECK_INT(dm_manager_each_claim(g->m, "nobody", stop_claim, &n[0]), 0);
    CHECK_INT(n[0], 2);
    rig_free(g);
}

TEST(everything_is_shown_in_a_stable_order) {
    struct rig *g = some();
    CHECK_STR(rig_resources(g),
              "x.y/a 3/3 held 3 reserved 0 connected; x.y/b 2/2 held 1 reserved 0 connected");
    CHECK_STR(rig_held(g), "p/c a1; p/c b0; p/d a2; q/c a0");
    rig_free(g);
}

/* ---- callbacks that change what they are shown ---------------------------------------------------------------------- */

static struct rig *world;
static char seen[500];

static void release_in_admission(void *arg, const devmgr_admission *r) {
    (void)arg;
    dm_manager_release(world->m, "p", NULL, NULL, NULL);
    rig_add(seen, sizeof seen, "%s %s %s %s %s; ", r->claims[0]->pod_uid, r->claims[0]->device, r->pod->name,
            r->pod->containers[0]->claims[0]->resource, r->pod->containers[0]->name);
}

TEST(a_callback_may_release_the_pod_it_is_told_about) {
    struct rig *g = world = rig_new(NULL);
    devmgr_pod *p = rig_pod("p", "c x.y/a=1", 0);
    rig_plugin(g, "x.y/a", "a0", "");
    seen[0] = 0;
    CHECK_INT(dm_manager_admit(g->m, p, release_in_admission, NULL, NULL), 0);
    devmgr_pod_free(p);
    rig_drain(g);
    CHECK_STR(seen, "p a0 p x.y/a c; ");
    CHECK_STR(rig_held(g), "");
    rig_free(g);
}

static void admit_again(void *arg, const devmgr_admission *r) {
    int *left = arg;
    devmgr_pod *p = rig_pod("p", "c x.y/none=1", 0);
    CHECK_INT(r->cause, DEVMGR_NO_PLUGIN);
    if ((*left)--)
        CHECK_INT(dm_manager_admit(world->m, p, admit_again, left, NULL), 0);
    devmgr_pod_free(p);
}

TEST(a_callback_may_admit_again) {
    struct rig *g = world = rig_new(NULL);
    devmgr_pod *p = rig_pod("p", "c x.y/none=1", 0);
    int left = 5;
    CHECK_INT(dm_manager_admit(g->m, p, admit_again, &left, NULL), 0);
    devmgr_pod_free(p);
    rig_drain(g);
    CHECK_INT(left, -1);
    rig_free(g);
}

TEST(an_event_outlives_what_it_is_about) {
    struct rig *g = some();
    struct dm_action a;
    rig_pass(g, 2000);
    rig_list(g, "x.y/a", "a0- a1 a2"); /* drained: nothing is due now */
    struct dm_listed_device d[] = {{"a0", true, false, 0}, {"a1", true, false, 0}};
    dm_manager_listed(g->m, "x.y/a", g->generations, &(struct dm_device_list){2, d});
    CHECK(dm_manager_next(g->m, &a));
    CHECK_INT((int)a.kind, DM_DO_EVENT);
    CHECK_INT(a.event->type, DEVMGR_EV_CLAIM_HEALTH);
    dm_manager_release(g->m, a.event->pod_uid, NULL, NULL, NULL); /* as its callback might */
    CHECK_STR(a.event->claim->device, "a0");
    CHECK_STR(a.event->pod_uid, "q");
    CHECK_STR(a.event->claim->resource, "x.y/a");
    rig_drain(g);
    rig_free(g);
}

TEST(a_released_claim_has_no_health_to_tell) {
    struct rig *g = some();
    struct dm_listed_device d[] = {{"a0", false, false, 0}, {"a1", true, false, 0}, {"a2", true, false, 0}};
    g->events[0] = 0;
    dm_manager_listed(g->m, "x.y/a", g->generations, &(struct dm_device_list){3, d});
    dm_manager_release(g->m, "q", NULL, NULL, NULL);
    rig_drain(g);
    CHECK_STR(g->events, "resource x.y/a 3/2 connected; released q; ");
    rig_free(g);
}
