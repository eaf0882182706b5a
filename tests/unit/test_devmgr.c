/* The library as its embedder sees it: open, calls, callbacks, close -- on a loop of the caller's and on its own. */
#include "base/mem.h"
#include "check.h"
#include "devmgr.h"
#include "entries.h"
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

struct world {
    uv_loop_t loop;
    char root[64];
    devmgr_config *config;
    devmgr *m;
    bool in_call; /* we are inside a call into the library: no callback may come now */
    int admitted, verdict, cause, released, closed, other;
    char text[1100];
};

static void world_open(struct world *w) {
    devmgr_error err;
    if (!*w->root) {
        strcpy(w->root, "/tmp/devmgr-test-XXXXXX");
        CHECK(mkdtemp(w->root));
        w->config = devmgr_config_new();
        CHECK_INT(devmgr_config_set(w->config, "root", w->root, &err), 0);
        uv_loop_init(&w->loop);
    }
    int rc = devmgr_open(&w->loop, w->config, NULL, NULL, &w->m, &err);
    CHECK_STR(rc < 0 ? err.message : "opened", "opened");
}

static void on_closed(void *arg) {
    struct world *w = arg;
    CHECK_INT(w->in_call, 0);
    w->closed++;
}

static void world_close(struct world *w) {
    w->in_call = true;
    devmgr_close(w->m, on_closed, w);
    w->in_call = false;
    uv_run(&w->loop, UV_RUN_DEFAULT);
}

static void world_end(struct world *w) {
    DM_FREE char *cmd = dm_printf("rm -rf '%s'", w->root);
    CHECK_INT(uv_loop_close(&w->loop), 0); /* no handle of ours is left */
    devmgr_config_free(w->config);
    CHECK_INT(system(cmd), 0);
}

static void on_admitted(void *arg, const devmgr_admission *a) {
    struct world *w = arg;
    CHECK_INT(w->in_call, 0);
    w->admitted++;
    w->verdict = a->verdict;
    w->cause = a->cause;
    snprintf(w->text, sizeof w->text, "%s", a->detail ? a->detail : "");
}

static int admit(struct world *w, const char *uid, const char *resource, uint64_t wait_ms) {
    devmgr_error err;
    devmgr_pod *pod = devmgr_pod_new(uid, "default", uid);
    devmgr_pod_container(pod, "main", DEVMGR_APP);
    if (resource)
        devmgr_pod_limit(pod, "main", resource, 1);
    devmgr_pod_wait(pod, wait_ms);
    w->in_call = true;
    int rc = devmgr_admit(w->m, pod, on_admitted, w, &err);
    w->in_call = false;
    devmgr_pod_free(pod); /* the library keeps its own copy */
    return rc;
}

static void until(struct world *w, const int *counter, int value) {
    while (*counter < value)
        uv_run(&w->loop, UV_RUN_ONCE);
}

TEST(a_pod_without_devices_is_admitted_with_no_plugin_there) {
    struct world w = {0};
    world_open(&w);
    CHECK_INT(admit(&w, "p1", NULL, 0), 0);
    until(&w, &w.admitted, 1);
    CHECK_INT(w.verdict, DEVMGR_ADMITTED);
    world_close(&w);
    CHECK_INT(w.closed, 1);
    world_end(&w);
}

static int never_written(void *arg, const char *text, size_t n) {
    (void)arg, (void)text, (void)n;
    return -EPIPE;
}

TEST(metrics_of_nothing_are_no_text) {
    struct world w = {0};
    world_open(&w);
    CHECK_INT(devmgr_metrics(w.m, never_written, NULL), 0);
    w.in_call = true;
    devmgr_close(w.m, on_closed, &w);
    w.in_call = false;
    CHECK_INT(devmgr_metrics(w.m, never_written, NULL), -ECANCELED);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    world_end(&w);
}

TEST(a_resource_that_nobody_registered_is_not_yet_and_named) {
    struct world w = {0};
    world_open(&w);
    CHECK_INT(admit(&w, "p1", "example.com/gpu", 0), 0);
    until(&w, &w.admitted, 1);
    CHECK_INT(w.verdict, DEVMGR_NOT_YET);
    CHECK_INT(w.cause, DEVMGR_NO_PLUGIN);
    CHECK(strstr(w.text, "example.com/gpu"));
    CHECK(strstr(w.text, "default/p1"));
    world_close(&w);
    world_end(&w);
}

TEST(one_admission_of_a_pod_at_a_time_and_close_cancels_it) {
    struct world w = {0};
    world_open(&w);
    CHECK_INT(admit(&w, "p1", "example.com/gpu", 60000), 0);
    CHECK_INT(admit(&w, "p1", "example.com/gpu", 0), -EALREADY);
    world_close(&w);
    CHECK_INT(w.admitted, 1);
    CHECK_INT(w.verdict, DEVMGR_CANCELED);
    CHECK_INT(w.closed, 1);
    world_end(&w);
}

static void on_released(void *arg, int status, const char *const *uids, size_t n, const devmgr_error *err) {
    struct world *w = arg;
    (void)uids, (void)n, (void)err;
    CHECK_INT(w->in_call, 0);
    CHECK_INT(status, 0);
    w->released++;
}

TEST(release_ends_a_waiting_admission_canceled) {
    struct world w = {0};
    world_open(&w);
    CHECK_INT(admit(&w, "p1", "example.com/gpu", 60000), 0);
    CHECK_INT(devmgr_release(w.m, "p1", on_released, &w), 0);
    until(&w, &w.released, 1);
    CHECK_INT(w.verdict, DEVMGR_CANCELED);
    CHECK_INT(devmgr_release(w.m, "never-seen", on_released, &w), 0);
    until(&w, &w.released, 2);
    world_close(&w);
    world_end(&w);
}

TEST(a_second_manager_on_the_folder_is_told_who_serves_and_leaves_nothing_behind) {
    struct world w = {0};
    devmgr_error err;
    devmgr *second = NULL;
    uv_loop_t loop;
    world_open(&w);
    uv_loop_init(&loop);
    CHECK_INT(devmgr_open(&loop, w.config, NULL, NULL, &second, &err), DEVMGR_EBUSY);
    DM_FREE char *who = dm_printf("(pid %d)", getpid());
    CHECK(strstr(err.message, who));
    CHECK(!second);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&loop), 0);
    world_close(&w);
    world_end(&w);
}

TEST(opening_and_closing_leaves_no_descriptor_and_no_thread) {
    struct world w = {0};
    world_open(&w);
    world_close(&w);
    int fds = entries("/proc/self/fd"), threads = entries("/proc/self/task");
    for (int i = 0; i < 20; i++) {
        world_open(&w);
        world_close(&w);
    }
    CHECK_INT(entries("/proc/self/fd"), fds);
    CHECK_INT(entries("/proc/self/task"), threads);
    world_end(&w);
}

TEST(a_setting_that_cannot_work_stops_the_start_with_its_name) {
    struct world w = {0};
    devmgr_error err;
    devmgr *m = NULL;
    world_open(&w);
    world_close(&w);
    CHECK_INT(
        devmgr_config_set(
            w.config, "root",
            "/tmp/"
            "a-folder-whose-name-is-much-too-long-for-a-unix-socket-to-stand-in-it-as-people-find-out-late",
            &err),
        0);
    CHECK(devmgr_open(&w.loop, w.config, NULL, NULL, &m, &err) < 0);
    CHECK(strstr(err.message, "107"));
    uv_run(&w.loop, UV_RUN_DEFAULT);
    world_end(&w);
}

/* ---- a loop of its own ------------------------------------------------------------------------------------------ */

struct own {
    sem_t done;
    int ran;
};

static void on_ring(devmgr *m, void *arg) {
    struct own *o = arg;
    (void)m;
    o->ran++;
    sem_post(&o->done);
}

static void on_own_closed(void *arg) {
    sem_post(&((struct own *)arg)->done);
}

static void close_own(devmgr *m, void *arg) {
    devmgr_close(m, on_own_closed, arg);
}

TEST(without_a_loop_it_has_a_thread_and_devmgr_call_reaches_it) {
    struct own o = {.ran = 0};
    devmgr_error err;
    devmgr *m;
    char root[] = "/tmp/devmgr-test-XXXXXX";
    devmgr_config *c = devmgr_config_new();
    sem_init(&o.done, 0, 0);
    CHECK(mkdtemp(root));
    CHECK_INT(devmgr_config_set(c, "root", root, NULL), 0);
    CHECK_INT(devmgr_open(NULL, c, NULL, NULL, &m, &err), 0);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(devmgr_call(m, on_ring, &o), 0);
    for (int i = 0; i < 1000; i++)
        sem_wait(&o.done);
    CHECK_INT(o.ran, 1000);
    CHECK_INT(devmgr_call(m, close_own, &o), 0);
    sem_wait(&o.done);
    devmgr_config_free(c);
    DM_FREE char *cmd = dm_printf("rm -rf '%s'", root);
    CHECK_INT(system(cmd), 0);
}

struct caller {
    devmgr *m;
    struct own own;
    int taken, refused;
};

static void *call_until_refused(void *arg) {
    struct caller *c = arg;
    while ((c->refused = devmgr_call(c->m, on_ring, &c->own)) == 0)
        c->taken++;
    return NULL;
}

TEST(a_call_that_was_taken_runs_and_none_is_taken_once_closing) {
    struct world w = {0};
    struct caller c = {.taken = 0};
    pthread_t thread;
    world_open(&w);
    c.m = w.m;
    sem_init(&c.own.done, 0, 0);
    CHECK_INT(pthread_create(&thread, NULL, call_until_refused, &c), 0);
    until(&w, &c.own.ran, 100);
    devmgr_close(w.m, on_closed, &w);
    pthread_join(thread, NULL); /* refused at once: the loop has not turned since */
    CHECK_INT(c.refused, -ECANCELED);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    CHECK_INT(w.closed, 1);
    CHECK_INT(c.own.ran, c.taken);
    world_end(&w);
}

TEST(words_for_numbers_are_those_of_the_documents) {
    CHECK_STR(devmgr_cause_name(DEVMGR_INSUFFICIENT_DEVICES), "InsufficientDevices");
    CHECK_STR(devmgr_cause_name(DEVMGR_INVALID_POD), "InvalidPod");
    CHECK_STR(devmgr_cause_name(99), "other");
    CHECK_STR(devmgr_verdict_name(DEVMGR_NOT_YET), "not_yet");
    CHECK_STR(devmgr_error_name(-ENOENT), "ENOENT");
    CHECK_STR(devmgr_error_name(DEVMGR_EBUSY), "DEVMGR_EBUSY");
}

static int no_hints(void *arg, const char *uid, const char *container, devmgr_hint_cb add, void *add_arg) {
    (void)uid, (void)container, (void)add, (void)add_arg;
    ++*(int *)arg;
    return 0;
}

static int see_hint(void *arg, const devmgr_hint *hint) {
    (void)hint;
    ++*(int *)arg;
    return 0;
}

TEST(a_hint_provider_joins_and_a_policy_is_taken_from_the_settings) {
    struct world w = {0};
    int asked = 0, seen = 0;
    devmgr_provider p = {sizeof p, &asked, no_hints, NULL, NULL}, small = {8, NULL, NULL, NULL, NULL};
    devmgr_error err;
    world_open(&w);
    world_close(&w);
    CHECK_INT(devmgr_config_set(w.config, "topology-policy", "best-effort", &err), 0);
    CHECK_INT(devmgr_config_set(w.config, "numa", "0;1", &err), 0);
    world_open(&w);
    CHECK_INT(devmgr_add_provider(w.m, &small), DEVMGR_EINVALID);
    CHECK_INT(devmgr_add_provider(w.m, &p), 0);
    CHECK_INT(admit(&w, "p1", NULL, 0), 0);
    until(&w, &w.admitted, 1);
    CHECK_INT(w.verdict, DEVMGR_ADMITTED);
    CHECK_INT(asked, 1);
    devmgr_pod *pod = devmgr_pod_new("p2", NULL, "p2");
    CHECK_INT(devmgr_pod_container(pod, "main", DEVMGR_APP), 0);
    CHECK_INT(devmgr_hints(w.m, pod, "main", see_hint, &seen), 0);
    CHECK_INT(devmgr_hints(w.m, pod, "other", see_hint, &seen), -ENOENT);
    CHECK_INT(seen, 0); /* it asks for no device */
    devmgr_pod_free(pod);
    world_close(&w);
    world_end(&w);
}

TEST(a_policy_that_the_machine_cannot_have_does_not_open) {
    devmgr_config *c = devmgr_config_new();
    devmgr_error err;
    devmgr *m;
    uv_loop_t loop;
    uv_loop_init(&loop);
    CHECK_INT(devmgr_config_set(c, "topology-policy", "strictest", &err), 0);
    CHECK_INT(devmgr_open(&loop, c, NULL, NULL, &m, &err), DEVMGR_EINVALID);
    CHECK(strstr(err.message, "unknown policy: \"strictest\""));
    CHECK_INT(devmgr_config_check(c, &err), DEVMGR_EINVALID);
    devmgr_config_free(c);
    CHECK_INT(uv_loop_close(&loop), 0);
}
