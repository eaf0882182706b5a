/* beside_grpc.c -- a program that uses a gRPC of its own beside libdevmgr, `before` or `after` devmgr_open.
 *
 * Two gRPC cores with visible symbols in one process hang in grpc_init; libdevmgr's must not be seen from outside. Both
 * are made to work at once: a server of ours runs while the manager is open. */
#include <devmgr.h>
#include <grpc/grpc.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

static grpc_completion_queue *queue;
static grpc_server *server;

static void start_own_grpc(void) {
    grpc_init();
    queue = grpc_completion_queue_create_for_next(NULL);
    server = grpc_server_create(NULL, NULL);
    grpc_server_register_completion_queue(server, queue, NULL);
    grpc_server_start(server);
}

static void stop_own_grpc(void) {
    gpr_timespec forever = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    grpc_server_shutdown_and_notify(server, queue, &server);
    grpc_completion_queue_next(queue, forever, NULL);
    grpc_server_destroy(server);
    grpc_completion_queue_shutdown(queue);
    while (grpc_completion_queue_next(queue, forever, NULL).type != GRPC_QUEUE_SHUTDOWN)
        ;
    grpc_completion_queue_destroy(queue);
    grpc_shutdown_blocking();
}

static void on_closed(void *arg) {
    *(int *)arg = 1;
}

int main(int argc, char **argv) {
    devmgr *m;
    devmgr_error err;
    int closed = 0, before = argc == 3 && !strcmp(argv[1], "before");
    devmgr_config *config = devmgr_config_new();
    if (before)
        start_own_grpc();
    if (argc != 3 || devmgr_config_set(config, "root", argv[2], &err) < 0 ||
        devmgr_open(uv_default_loop(), config, NULL, NULL, &m, &err) < 0) {
        fprintf(stderr, "beside_grpc: %s\n", argc == 3 ? err.message : "usage: before|after DIR");
        return 1;
    }
    devmgr_config_free(config);
    if (!before)
        start_own_grpc();
    uv_run(uv_default_loop(), UV_RUN_NOWAIT);
    devmgr_close(m, on_closed, &closed);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    stop_own_grpc();
    return !closed;
}
