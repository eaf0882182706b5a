/* epoll.c -- devmgr in a program whose loop is its own epoll: libuv's loop is one more file descriptor in it.
 *
 *   cc epoll.c $(pkg-config --cflags --libs libdevmgr) -o epoll && ./epoll /tmp/node example.com/gpu
 *
 * The rule is one line: run libuv without waiting before each wait of yours, and wait no longer than it allows. It is
 * needed before each wait, not only when libuv's descriptor is readable: what you called since may have made it busy. */
#include <devmgr.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <uv.h>

static devmgr *manager;

static void on_released(void *arg, int status, const char *const *uids, size_t n, const devmgr_error *err) {
    (void)arg, (void)err;
    printf("released %s\n", status == 0 && n ? uids[0] : "nothing");
    devmgr_close(manager, NULL, NULL);
}

static void on_admitted(void *arg, const devmgr_admission *result) {
    (void)arg;
    printf("%s %s\n", devmgr_verdict_name(result->verdict), result->detail);
    for (size_t i = 0; i < result->n_claims; i++)
        printf("holds %s %s\n", result->claims[i]->resource, result->claims[i]->device);
    devmgr_release(manager, "uid-1", on_released, NULL);
}

static void admit(const char *resource) {
    devmgr_error err;
    devmgr_pod *pod = devmgr_pod_new("uid-1", "default", "example");
    devmgr_pod_container(pod, "main", DEVMGR_APP);
    devmgr_pod_limit(pod, "main", resource, 1);
    devmgr_pod_wait(pod, 20000); /* until a plugin has registered */
    if (devmgr_admit(manager, pod, on_admitted, NULL, &err) < 0)
        fprintf(stderr, "epoll: %s\n", err.message);
    devmgr_pod_free(pod);
}

static void watch(int epoll, int fd) {
    struct epoll_event interest = {EPOLLIN, {.fd = fd}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &interest);
}

int main(int argc, char **argv) {
    uv_loop_t loop;
    devmgr_error err;
    devmgr_config *config = devmgr_config_new();
    if (argc != 3 || devmgr_config_set(config, "root", argv[1], &err) < 0)
        return fprintf(stderr, "usage: epoll ROOT RESOURCE\n"), 2;
    uv_loop_init(&loop);
    if (devmgr_open(&loop, config, NULL, NULL, &manager, &err) < 0)
        return fprintf(stderr, "epoll: %s\n", err.message), 1;
    devmgr_config_free(config);

    int epoll = epoll_create1(EPOLL_CLOEXEC), clock = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec soon = {.it_value = {.tv_nsec = 100000000}};
    timerfd_settime(clock, 0, &soon, NULL);
    watch(epoll, clock); /* stands for all that your program waits for */
    watch(epoll, uv_backend_fd(&loop));
    while (uv_run(&loop, UV_RUN_NOWAIT)) { /* 0: the manager is closed, nothing of libuv is left */
        struct epoll_event events[8];
        int n = epoll_wait(epoll, events, 8, uv_backend_timeout(&loop));
        uint64_t ticks;
        for (int i = 0; i < n; i++)
            if (events[i].data.fd == clock && read(clock, &ticks, sizeof ticks) > 0)
                admit(argv[2]);
    }
    close(clock), close(epoll);
    return uv_loop_close(&loop) != 0;
}
