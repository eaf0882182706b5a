/* Rules of registration.h: the life of the socket, the close. */
#include "registration_world.h"
#include <syslog.h>

/* ---- the socket ---------------------------------------------------------------------------------------------------- */

TEST(a_second_manager_is_told_who_is_there) {
    struct world w;
    struct dm_registration *second;
    devmgr_error err;
    world_open(&w);
    CHECK_INT(dm_registration_new(w.rpc, &w.settings, world_events(), &w, &second, &err), DEVMGR_EBUSY);
    CHECK_HAS(err.message, "kubelet.sock: in use by ");
    world_close(&w);
}

TEST(LIFE_12_closing_without_serving_touches_nothing) {
    struct world w;
    devmgr_error err;
    char path[200];
    struct stat st;
    world_prepare(&w);
    CHECK_INT(mkdir(w.dir, 0755), 0);
    snprintf(path, sizeof path, "%s/gpu.sock", w.dir);
    close(dm_socket_listen(path, &err));
    CHECK_INT(dm_registration_new(w.rpc, &w.settings, world_events(), &w, &w.r, &err), 0);
    world_close_registration(&w);
    CHECK_INT(stat(path, &st), 0);
    world_close(&w);
}

TEST(LIFE_04_what_the_sweep_cannot_see_through_is_logged_later) {
    struct world w;
    char path[200];
    world_prepare(&w);
    CHECK_INT(mkdir(w.dir, 0755), 0);
    snprintf(path, sizeof path, "%s/dangling", w.dir);
    CHECK_INT(symlink("nowhere", path), 0);
    world_serve(&w);
    CHECK_INT(w.n_logs, 0); /* never inside the call */
    run_until(&w, &w.n_logs, 1);
    CHECK_HAS(events(&w), "dangling: left alone: No such file or directory");
    world_close(&w);
}

TEST(a_socket_or_folder_that_is_removed_is_made_again) {
    struct world w;
    struct fake f;
    devmgr_error err;
    char moved[200];
    world_open(&w);
    fake_open(&f, &w, "gpu.sock");
    fake_register(&f, GPU);
    CHECK_INT(unlink(w.socket), 0);
    run_until(&w, &w.n_moved, 1);
    CHECK_INT(dm_registration_check(w.r, &err), 0);
    snprintf(moved, sizeof moved, "%s/moved", w.root);
    CHECK_INT(rename(w.dir, moved), 0);
    run_until(&w, &w.n_moved, 2);
    CHECK_INT(registered(&w, "", "x", GPU).code, DM_INVALID_ARGUMENT); /* it answers */
    call_now(&w, 1, DM_RPC_ALLOCATE);
    CHECK_INT(w.code, DM_OK); /* who was connected still is */
    CHECK_HAS(events(&w), "kubelet.sock was removed or replaced; made again, plugins can register\nmoved\n");
    world_close_registration(&w);
    fake_die(&f);
    world_close(&w);
}

TEST(LIFE_13_another_process_in_our_place_is_named_and_left_alone) {
    struct world w;
    devmgr_error err;
    world_open(&w);
    CHECK_INT(dm_registration_check(w.r, &err), 0);
    CHECK_INT(unlink(w.socket), 0);
    int other = dm_socket_listen(w.socket, &err);
    run_until(&w, &w.n_logs, 1);
    CHECK_INT(w.last_level, LOG_ERR);
    CHECK_HAS(events(&w), "log: kubelet.sock: in use by ");
    CHECK_INT(dm_registration_check(w.r, &err), DEVMGR_EBUSY);
    CHECK_HAS(err.message,
              "device registration error: device plugin registration gRPC server failed and no device "
              "plugins can register: kubelet.sock: in use by ");
    world_close_registration(&w);
    CHECK_INT(access(w.socket, F_OK), 0); /* theirs */
    close(other);
    unlink(w.socket);
    world_close(&w);
}

TEST(what_keeps_the_socket_from_being_made_is_said_once_and_tried_again) {
    struct world w;
    devmgr_error err;
    world_open(&w);
    CHECK_INT(unlink(w.socket), 0);
    CHECK_INT(mkdir(w.socket, 0755), 0);
    run_until(&w, &w.n_logs, 1);
    CHECK_INT(dm_registration_check(w.r, &err), -EADDRINUSE);
    run_a_while(&w, 1200);
    CHECK_INT(w.n_logs, 1);
    CHECK_INT(rmdir(w.socket), 0);
    run_until(&w, &w.n_moved, 1);
    CHECK_INT(dm_registration_check(w.r, &err), 0);
    world_close(&w);
}

/* ---- the close ------------------------------------------------------------------------------------------------------- */

TEST(LIFE_11_a_close_with_all_kinds_of_things_open_ends_them_all) {
    struct world w;
    struct fake live, older, asking;
    struct asked registering[2];
    world_open(&w);
    fake_open(&older, &w, "older.sock");
    fake_register(&older, GPU);
    fake_open(&live, &w, "live.sock");
    fake_register(&live, GPU);
    fake_open(&asking, &w, "asking.sock");
    asking.hang_options = true;
    ask(&registering[0], &w, "v1beta1", "asking.sock", "example.com/asking", PATIENCE_MS);
    ask(&registering[1], &w, "v1beta1", "missing.sock", "example.com/missing", PATIENCE_MS);
    live.hang_calls = true;
    call(&w, 1, DM_RPC_ALLOCATE, PATIENCE_MS);
    run_until(&w, &asking.n_options, 1);
    run_until(&w, &live.n_calls, 1);
    w.generation = 1;
    call(&w, 2, DM_RPC_ALLOCATE, PATIENCE_MS); /* to nobody */
    events(&w);
    world_close_registration(&w);
    CHECK_INT(w.n_answered, 2);
    const char *said = events(&w);
    CHECK_HAS(said, "answered 1 Unavailable\n");
    CHECK_HAS(said, "answered 2 Unavailable\n");
    CHECK(!strstr(said, "gone") && !strstr(said, "note"));
    answered_now(&registering[0]), answered_now(&registering[1]);
    fake_die(&live), fake_die(&older), fake_die(&asking);
    world_close(&w);
}

TEST(a_close_from_inside_any_event_is_safe) {
    for (int at = 1; at <= 6; at++) {
        struct world w;
        struct fake f;
        struct asked a;
        world_open(&w);
        fake_open(&f, &w, "gpu.sock");
        put_device(&f.first_list, "d", "Healthy", 64); /* a note: node 64 */
        w.close_in = at; /* note (refused), connected, note, listed, answered, gone */
        ask(&a, &w, "v0", "gpu.sock", GPU, PATIENCE_MS);
        answered_now(&a);
        if (!w.closed && w.close_in) {
            ask(&a, &w, "v1beta1", "gpu.sock", GPU, PATIENCE_MS);
            answered_now(&a);
        }
        if (!w.closed && w.close_in)
            run_until(&w, &w.n_listed, w.close_in == 1 ? 0 : 1);
        if (!w.closed && w.close_in && w.n_listed)
            call_now(&w, 1, DM_RPC_ALLOCATE);
        fake_die(&f);
        run_until(&w, &w.closed, 1);
        w.r = NULL;
        world_close(&w);
    }
}

TEST(a_close_from_inside_the_log_is_the_last_that_is_heard) {
    struct world w;
    world_open(&w);
    CHECK_INT(unlink(w.socket), 0);
    w.close_in = 1;
    run_until(&w, &w.closed, 1);
    CHECK_INT(w.n_logs, 1);
    CHECK_INT(w.n_moved, 0);
    w.r = NULL;
    world_close(&w);
}
