/* The kubelet's rules of the plugin folder, registration and the plugin client one by one (LIFE-*, REG-*, DEV-*,
 * tests/contract/rows.tsv), as far as the tests of the single files do not carry their ids. */
#include "registration/folder.h"
#include "registration_world.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sys/xattr.h>

/* ---- the folder ---------------------------------------------------------------------------------------------------- */

TEST(LIFE_01_an_empty_root_is_refused) {
    struct dm_folder *f;
    devmgr_error err;
    CHECK_INT(dm_folder_open("", &f, &err), DEVMGR_EINVALID);
    CHECK_HAS(err.message, "failed to create plugin server: bad socketPath, must be an absolute path: ");
}

static char label_log[500];
static void keep_log(void *arg, int level, const char *text) {
    (void)arg, (void)level;
    snprintf(label_log, sizeof label_log, "%s", text);
}

static int serve_folder(const char *root) {
    struct dm_folder *f;
    devmgr_error err;
    *label_log = 0;
    if (dm_folder_open(root, &f, &err) < 0 || dm_folder_listen(f, keep_log, NULL, &err) < 0)
        return printf("# %s\n", err.message), -1;
    return 0;
}

enum { NO_RIGHTS = 77 };

/* In a process of its own: makes believe that SELinux is on, on a file system with labels and on one without. */
static int label_in_a_namespace(const char *root) {
    static const char label[] = "system_u:object_r:container_file_t:s0";
    char dir[200], got[200] = "";
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", "/sys/fs", "tmpfs", 0, NULL) < 0 || mkdir("/sys/fs/selinux", 0755) < 0 ||
        close(open("/sys/fs/selinux/enforce", O_CREAT | O_WRONLY, 0644)) < 0 ||
        mount("none", root, "tmpfs", 0, NULL) < 0)
        return NO_RIGHTS;
    snprintf(dir, sizeof dir, "%s/device-plugins", root);
    if (serve_folder(root) < 0 || *label_log)
        return 1;
    if (getxattr(dir, "security.selinux", got, sizeof got) < 0 || strcmp(got, label))
        return printf("# label \"%s\"\n", got), 2;
    if (mount("none", root, "ramfs", 0, NULL) < 0)
        return NO_RIGHTS;
    if (serve_folder(root) < 0)
        return 3; /* a label that cannot be set is no reason not to serve */
    return strstr(label_log, "cannot set the SELinux label") ? 0 : 4;
}

TEST(LIFE_09_where_SELinux_is_on_the_folder_gets_the_containers_label) {
    char root[] = "/tmp/devmgr-test.XXXXXX";
    int status;
    CHECK(mkdtemp(root));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(label_in_a_namespace(root));
    CHECK(waitpid(child, &status, 0) == child);
    rmdir(root);
    if (status == NO_RIGHTS << 8)
        CHECK_SKIP("no right to mount here");
    CHECK_INT(status, 0);
}

TEST(LIFE_12_closing_twice_ends_once) {
    struct world w;
    world_open(&w);
    dm_registration_close(w.r, on_world_closed, &w);
    dm_registration_close(w.r, on_world_closed, &w);
    run_until(&w, &w.closed, 1);
    run_a_while(&w, 20);
    CHECK_INT(w.closed, 1);
    w.r = NULL;
    world_close(&w);
}

TEST(LIFE_13_the_health_check_is_good_until_serving_fails_and_after_a_new_start) {
    struct world w;
    devmgr_error err;
    world_prepare(&w);
    CHECK_INT(dm_registration_new(w.rpc, &w.settings, world_events(), &w, &w.r, &err), 0);
    CHECK_INT(dm_registration_check(w.r, &err), 0);
    CHECK_INT(dm_registration_serve(w.r, on_moved, &err), 0);
    CHECK_INT(unlink(w.socket), 0);
    int other = dm_socket_listen(w.socket, &err);
    run_until(&w, &w.n_logs, 1);
    CHECK_INT(dm_registration_check(w.r, &err), DEVMGR_EBUSY);
    world_close_registration(&w);
    close(other);
    unlink(w.socket);
    world_serve(&w);
    CHECK_INT(dm_registration_check(w.r, &err), 0);
    w.closed = 0;
    world_close(&w);
}

/* ---- registering --------------------------------------------------------------------------------------------------- */

/* A plugin that only listens: what comes first on its connection is read as bytes. */
struct bytes {
    uv_poll_t poll;
    int client, got_it;
    char wanted[64];
    struct dm_buf in;
};
static void on_bytes(uv_poll_t *poll, int status, int events) {
    struct bytes *b = poll->data;
    uv_os_fd_t fd;
    (void)status, (void)events;
    uv_fileno((uv_handle_t *)poll, &fd);
    if (b->client < 0)
        b->client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    ssize_t n = recv(b->client, dm_buf_reserve(&b->in, 4096), 4096, MSG_DONTWAIT);
    b->in.len += n > 0 ? (size_t)n : 0;
    b->got_it = b->in.len && memmem(b->in.data, b->in.len, b->wanted, strlen(b->wanted));
}

TEST(REG_19_calls_to_a_plugin_carry_the_authority_localhost) {
    struct world w;
    struct asked a;
    devmgr_error err;
    char path[200];
    struct bytes b = {.client = -1};
    snprintf(b.wanted, sizeof b.wanted, "\x0a:authority\x09localhost"); /* as HPACK writes plain texts */
    world_open(&w);
    snprintf(path, sizeof path, "%s/raw.sock", w.dir);
    int fd = dm_socket_listen(path, &err);
    uv_poll_init(&w.loop, &b.poll, fd);
    b.poll.data = &b;
    uv_poll_start(&b.poll, UV_READABLE, on_bytes);
    ask(&a, &w, "v1beta1", "raw.sock", GPU, PATIENCE_MS);
    while (b.client < 0 ||
           !b.got_it) { /* the poll wakes for the listener alone: look at the connection too */
        run_a_while(&w, 5);
        if (b.client >= 0)
            on_bytes(&b.poll, 0, 0);
        if (a.done)
            CHECK_FAIL("ended: %s; %zu bytes came", a.text, b.in.len);
    }
    CHECK(memmem(b.in.data, b.in.len, "/v1beta1.DevicePlugin/GetDevicePluginOptions", 44));
    uv_close((uv_handle_t *)&b.poll, NULL);
    world_close_registration(&w);
    answered_now(&a);
    close(b.client), close(fd), unlink(path);
    dm_buf_free(&b.in);
    world_close(&w);
}

TEST(REG_14_the_dial_is_no_longer_than_the_caller_waits) {
    struct world w;
    struct asked a;
    world_open(&w); /* dial-timeout is 10 s */
    ask(&a, &w, "v1beta1", "missing.sock", GPU, 60);
    run_until(&w, &w.n_notes, 1);
    answered_now(&a);
    const char *said = events(&w);
    CHECK_HAS(said, "failed to dial device plugin: context ");
    CHECK(!strstr(said, "tried for 10s"));
    world_close(&w);
}

TEST(REG_15_16_18_options_come_first_and_no_list_follows_their_failure) {
    struct world w;
    struct fake good, bad;
    world_open(&w);
    fake_open(&bad, &w, "bad.sock");
    bad.options_error = DM_UNKNOWN;
    CHECK_HAS(registered(&w, "v1beta1", "bad.sock", GPU).text,
              "failed to get device plugin options: rpc error: code = Unknown desc = no options today");
    run_a_while(&w, 20);
    CHECK_STR(bad.order, "o");
    fake_open(&good, &w, "good.sock");
    fake_register(&good, GPU);
    CHECK_STR(good.order, "ol");
    fake_register(&good, GPU); /* one of each for each registration */
    CHECK_STR(good.order, "olol");
    world_close_registration(&w);
    fake_die(&bad), fake_die(&good);
    world_close(&w);
}

/* ---- lists and ends ------------------------------------------------------------------------------------------------ */

TEST(DEV_05_a_list_of_more_than_four_mebibytes_is_a_list) {
    struct world w;
    struct fake f;
    struct dm_buf list = {0};
    char id[900];
    world_open(&w);
    fake_open(&f, &w, "gpu.sock");
    fake_register(&f, GPU);
    memset(id, 'x', sizeof id);
    for (int i = 0; i < 6000; i++) {
        snprintf(id + sizeof id - 8, 8, "%07u", (unsigned)i % 10000000u);
        put_device(&list, id, "Healthy", -2);
    }
    CHECK(list.len > 4 << 20);
    fake_send(&f, 0, &list);
    run_until(&w, &w.n_listed, 1);
    CHECK_INT(w.last_n, 6000);
    CHECK_INT(w.n_gone, 0);
    world_close_registration(&w);
    fake_die(&f);
    world_close(&w);
}

TEST(DEV_06_after_the_end_of_a_stream_nobody_dials_again) {
    struct world w;
    struct fake f;
    world_open(&w);
    fake_open(&f, &w, "gpu.sock");
    fake_register(&f, GPU);
    fake_end_stream(&f, 0, DM_OK, "");
    run_until(&w, &w.n_gone, 1);
    run_a_while(&w, 300);
    CHECK_STR(f.order, "ol"); /* it still listens, and is left alone */
    fake_register(&f, GPU);
    CHECK_STR(f.order, "olol");
    world_close_registration(&w);
    fake_die(&f);
    world_close(&w);
}

TEST(DEV_07_a_call_to_a_stopped_endpoint_does_not_reach_the_plugin) {
    static const enum dm_rpc_kind kinds[] = {DM_RPC_ALLOCATE, DM_RPC_PREFERRED, DM_RPC_PRESTART};
    struct world w;
    struct fake f;
    world_open(&w);
    fake_open(&f, &w, "gpu.sock");
    fake_register(&f, GPU);
    fake_end_stream(&f, 0, DM_OK, "");
    run_until(&w, &w.n_gone, 1);
    EACH(kind, kinds) {
        call_now(&w, 1, *kind);
        CHECK_INT(w.code, DM_UNAVAILABLE);
        CHECK_STR(w.text, "endpoint of " GPU " has been stopped");
    }
    CHECK_INT(f.n_calls, 0);
    world_close_registration(&w);
    fake_die(&f);
    world_close(&w);
}
