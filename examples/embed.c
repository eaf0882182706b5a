/* embed.c -- a kubelet in one page: admit a pod, print its container's options, release it. On a loop of its own.
 *
 *   cc embed.c $(pkg-config --cflags --libs libdevmgr) -o embed && ./embed /tmp/node example.com/gpu
 */
#include <devmgr.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

static devmgr *manager;
static devmgr_pod *pod;
static int failed = 1;

static void fail(const char *what, const char *why) {
    fprintf(stderr, "embed: %s: %s\n", what, why);
    devmgr_close(manager, NULL, NULL);
}

static void on_released(void *arg, int status, const char *const *uids, size_t n, const devmgr_error *err) {
    (void)arg;
    if (status < 0)
        return fail("release", err->message);
    printf("released %s\n", n ? uids[0] : "nothing");
    failed = 0;
    devmgr_close(manager, NULL, NULL); /* the loop ends when all is closed */
}

static void on_options(void *arg, int status, const devmgr_options *o, const devmgr_error *err) {
    (void)arg;
    if (status < 0)
        return fail("options", err->message);
    for (size_t i = 0; i < o->n_envs; i++)
        printf("env %s=%s\n", o->envs[i]->name, o->envs[i]->value);
    for (size_t i = 0; i < o->n_devices; i++)
        printf("device %s\n", o->devices[i]->host_path);
    devmgr_release(manager, "uid-1", on_released, NULL);
}

static void on_admitted(void *arg, const devmgr_admission *result) {
    (void)arg;
    if (result->verdict != DEVMGR_ADMITTED)
        return fail(devmgr_verdict_name(result->verdict), result->detail);
    for (size_t i = 0; i < result->n_claims; i++)
        printf("holds %s %s\n", result->claims[i]->resource, result->claims[i]->device);
    devmgr_container_options(manager, "uid-1", "main", 0, on_options, NULL);
}

int main(int argc, char **argv) {
    uv_loop_t loop;
    devmgr_error err;
    devmgr_config *config = devmgr_config_new();
    if (argc != 3 || devmgr_config_set(config, "root", argv[1], &err) < 0)
        return fprintf(stderr, "usage: embed ROOT RESOURCE\n"), 2;
    uv_loop_init(&loop);
    if (devmgr_open(&loop, config, NULL, NULL, &manager, &err) < 0)
        return fprintf(stderr, "embed: %s\n", err.message), 1;
    pod = devmgr_pod_new("uid-1", "default", "example");
    devmgr_pod_container(pod, "main", DEVMGR_APP);
    devmgr_pod_limit(pod, "main", argv[2], 1);
    devmgr_pod_wait(pod, 20000); /* until a plugin has registered */
    if (devmgr_admit(manager, pod, on_admitted, NULL, &err) < 0)
        fail("admit", err.message);
    uv_run(&loop, UV_RUN_DEFAULT);
    devmgr_pod_free(pod);
    devmgr_config_free(config);
    return uv_loop_close(&loop) || failed;
}
