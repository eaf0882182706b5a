/* The control socket as a file: who may use it, who serves there already, what is left behind. */
#include "control_world.h"
#include "rpc/socket.h"

static int mode_of(const char *path) {
    struct stat st;
    return stat(path, &st) < 0 ? -1 : (int)(st.st_mode & 0777);
}

TEST(only_the_owner_may_use_it) {
    static struct world w;
    world_open(&w);
    CHECK_INT(mode_of(w.path), 0600);
    world_close(&w);
}

TEST(a_group_may_use_it_when_one_is_given) {
    static struct world w;
    struct stat st;
    char number[16];
    world_make(&w);
    snprintf(number, sizeof number, "%d", (int)getgid());
    w.group = number;
    world_start(&w);
    CHECK_INT(mode_of(w.path), 0660);
    CHECK_INT(stat(w.path, &st), 0);
    CHECK_INT(st.st_gid, getgid());
    world_close(&w);
}

TEST(an_unknown_group_is_an_error_and_leaves_nothing) {
    static struct world w;
    world_make(&w);
    w.group = "no-such-group";
    world_start(&w);
    pthread_join(w.thread, NULL);
    CHECK_INT(w.started, DEVMGR_EINVALID);
    CHECK_STR(w.err.message, "socket-group: \"no-such-group\": no such group on this system");
    CHECK_INT(rmdir(w.dir), 0);
}

TEST(a_living_server_is_named_and_left_alone) {
    static struct world w, second;
    char want[256];
    struct dm_info info;
    world_open(&w);
    second = (struct world){0};
    snprintf(second.path, sizeof second.path, "%s", w.path);
    world_start(&second);
    pthread_join(second.thread, NULL);
    CHECK_INT(second.started, DEVMGR_EBUSY);
    snprintf(want, sizeof want, "%s: in use by test_control_so (pid %d); stop it or choose another --socket",
             w.path, (int)getpid());
    CHECK_STR(second.err.message, want);
    struct dm_client *c = world_client(&w);
    CHECK_INT(dm_client_info(c, &info, NULL), 0);
    dm_client_close(c);
    world_close(&w);
}

TEST(a_dead_servers_socket_is_replaced) {
    static struct world w;
    world_make(&w);
    close(dm_socket_listen(w.path, NULL));
    CHECK_INT(access(w.path, F_OK), 0);
    world_start(&w);
    CHECK_INT(w.started, 0);
    world_close(&w);
}

TEST(a_file_that_is_no_socket_is_left_alone) {
    static struct world w;
    world_make(&w);
    FILE *f = fopen(w.path, "w");
    CHECK(f);
    fclose(f);
    world_start(&w);
    pthread_join(w.thread, NULL);
    CHECK_INT(w.started, -EEXIST);
    CHECK(strstr(w.err.message, "not a socket; remove it or choose another --socket"));
    CHECK_INT(unlink(w.path), 0);
    CHECK_INT(rmdir(w.dir), 0);
}

TEST(closing_removes_only_its_own_socket) {
    static struct world w;
    world_open(&w);
    CHECK_INT(unlink(w.path), 0);
    int other = dm_socket_listen(w.path, NULL);
    world_stop(&w);
    CHECK_INT(access(w.path, F_OK), 0);
    close(other);
    unlink(w.path);
    CHECK_INT(rmdir(w.dir), 0);
}

TEST(the_folder_is_made) {
    static struct world w;
    world_make(&w);
    snprintf(w.path, sizeof w.path, "%s/new/devmgr.sock", w.dir);
    world_start(&w);
    CHECK_INT(w.started, 0);
    world_stop(&w);
    snprintf(w.path, sizeof w.path, "%s/new", w.dir);
    CHECK_INT(rmdir(w.path), 0);
    CHECK_INT(rmdir(w.dir), 0);
}

TEST(a_client_is_told_that_nobody_serves) {
    struct dm_client *c = NULL;
    devmgr_error err = {0};
    CHECK_INT(dm_client_open("/tmp/devmgr-test-nobody.sock", 0, &c, &err), -ENOENT);
    CHECK_STR(err.message, "/tmp/devmgr-test-nobody.sock: nobody serves there (is devmgrd running?)");
}
