/* Rules of registration.h: who may register, and what Register answers. */
#include "entries.h"
#include "registration_world.h"
#include <sys/socket.h>
#include <syslog.h>

static void set(struct world *w, const char *key, const char *value) {
    devmgr_error err;
    if (dm_settings_set(&w->settings, key, value, &err) < 0)
        CHECK_STR(err.message, "");
}

/* ---- what is asked before the plugin is ------------------------------------------------------------------------ */

TEST(REG_02_04_a_wrong_version_is_refused_before_the_name) {
    struct world w;
    world_open(&w);
    struct asked a = registered(&w, "v1alpha1", "x.sock", "not a name");
    CHECK_INT(a.code, DM_INVALID_ARGUMENT);
    CHECK_STR(a.text, "requested API version \"v1alpha1\" is not supported by kubelet. Supported version is "
                      "[\"v1beta1\"]");
    a = registered(&w, "", "x.sock", GPU);
    CHECK_STR(a.text,
              "requested API version \"\" is not supported by kubelet. Supported version is [\"v1beta1\"]");
    CHECK_INT(w.last_level, LOG_WARNING);
    CHECK_HAS(events(&w), "note not a name: Register by ");
    world_close(&w);
}

TEST(REG_05_an_invalid_name_is_refused_in_the_kubelets_words) {
    static const struct {
        const char *name, *text;
    } rows[] = {
        {"gpu", "the ResourceName \"gpu\" is invalid"},
        {"", "the ResourceName \"\" is invalid"},
        {"a\"b\\c/x", "the ResourceName \"a\\\"b\\\\c/x\" is invalid"},
        {"a/\n\t\x07\x01\x7f", "the ResourceName \"a/\\n\\t\\a\\x01\\x7f\" is invalid"},
        {"a/\xc3\xbc\xe2\x82\xac\xc2\x85\xf0\x9f\x98\x80",
         "the ResourceName \"a/\xc3\xbc\xe2\x82\xac\\u0085\xf0\x9f\x98\x80\" is invalid"},
    };
    struct world w;
    world_open(&w);
    EACH(row, rows) {
        struct asked a = registered(&w, "v1beta1", "x.sock", row->name);
        CHECK_STR(a.text, row->text);
        CHECK_INT(a.code, DM_INVALID_ARGUMENT);
    }
    world_close(&w);
}

TEST(a_name_with_a_NUL_is_no_other_name) {
    struct world w;
    struct asked a;
    struct dm_buf m = {0};
    world_open(&w);
    put_text(&m, 1, "v1beta1");
    put_text(&m, 2, "x.sock");
    put_bytes(&m, 3, GPU "\0x", sizeof GPU + 1);
    ask_bytes(&a, &w, dm_buf_span(&m), PATIENCE_MS);
    dm_buf_free(&m);
    answered_now(&a);
    CHECK_STR(a.text, "the ResourceName \"" GPU "\\x00x\" is invalid");
    CHECK_HAS(events(&w), "note : Register by "); /* and no stain on the other */
    world_close(&w);
}

TEST(REG_11_12_an_endpoint_is_a_file_name_in_the_folder) {
    static const char *const bad[] = {"../x.sock", "/x.sock", "a/b", "", ".", "..", "kubelet.sock"};
    struct world w;
    world_open(&w);
    EACH(name, bad) {
        struct asked a = registered(&w, "v1beta1", *name, GPU);
        char want[400];
        snprintf(
            want, sizeof want,
            GPU
            ": the endpoint \"%s\" is not allowed: it must be the file name of the plugin's socket in %s, "
            "without \"/\", and not empty, \".\", \"..\" or \"kubelet.sock\"",
            *name, w.dir);
        CHECK_STR(a.text, want);
        CHECK_INT(a.code, DM_INVALID_ARGUMENT);
    }
    char longer[200];
    memset(longer, 'x', 150);
    longer[150] = 0;
    struct asked a = registered(&w, "v1beta1", longer, GPU);
    CHECK_INT(a.code, DM_INVALID_ARGUMENT);
    CHECK_HAS(a.text, "that of a socket may have 107; give the plugin's socket a shorter name");
    world_close(&w);
}

TEST(a_request_that_is_none_is_refused) {
    struct world w;
    struct asked a;
    world_open(&w);
    ask_bytes(&a, &w, (struct dm_span){(const uint8_t *)"\x0a\x7f", 2}, PATIENCE_MS);
    answered_now(&a);
    CHECK_INT(a.code, DM_INVALID_ARGUMENT);
    CHECK_STR(a.text, "not a RegisterRequest");
    world_close(&w);
}

/* ---- a plugin that is well ------------------------------------------------------------------------------------- */

TEST(REG_01_15_18_options_first_then_one_stream_without_deadline) {
    struct world w;
    struct fake f;
    world_open(&w);
    fake_open(&f, &w, "gpu.sock");
    f.preferred = true;
    put_device(&f.first_list, "dev-1", "Healthy", 0);
    fake_register(&f, GPU);
    run_until(&w, &w.n_listed, 1);
    CHECK_STR(f.order, "ol");
    CHECK_INT(f.list_timeout, DM_FOREVER);
    CHECK_STR(events(&w), "connected " GPU " 1 preferred\nlisted " GPU " 1: dev-1+\n");
    CHECK_INT(w.pid, getpid());
    fake_die(&f);
    run_until(&w, &w.n_gone, 1);
    CHECK_HAS(events(&w), "gone " GPU " 1: ");
    world_close(&w);
}

TEST(connected_is_told_before_Register_is_answered) {
    struct world w;
    struct fake f;
    struct asked a;
    world_open(&w);
    fake_open(&f, &w, "gpu.sock");
    ask(&a, &w, "v1beta1", "gpu.sock", GPU, PATIENCE_MS);
    run_until(&w, &w.n_connected, 1);
    CHECK_INT(a.done, 0);
    CHECK_INT(f.n_lists, 0);
    answered_now(&a);
    CHECK_INT(a.code, DM_OK);
    world_close_registration(&w);
    fake_die(&f);
    world_close(&w);
}

TEST(the_manager_may_refuse_a_plugin_with_its_own_words) {
    struct world w;
    struct fake f;
    world_open(&w);
    fake_open(&f, &w, "gpu.sock");
    w.refuse = 1;
    struct asked a = registered(&w, "v1beta1", "gpu.sock", GPU);
    CHECK_INT(a.code, DM_RESOURCE_EXHAUSTED);
    CHECK_STR(a.text, "too many resources: 4096 (limit max-resources)");
    CHECK_INT(f.n_lists, 0);
    fake_die(&f);
    world_close(&w);
}

/* ---- a plugin that cannot be reached ----------------------------------------------------------------------------- */

TEST(REG_13_each_way_of_not_being_there_has_its_own_text) {
    static const struct {
        const char *name, *text;
    } rows[] = {
        {"missing.sock",
         "stat: No such file or directory: the plugin has not made its socket, or made it elsewhere"},
        {"dead.sock",
         "connect: the file is there, but nobody listens: it is left over from a plugin that ended"},
        {"plain", "stat: this is not a socket"},
        {"full.sock", "connect: the backlog is full: the plugin does not accept connections"},
    };
    struct world w;
    char path[200], want[500];
    devmgr_error err;
    world_prepare(&w);
    set(&w, "dial-timeout", "50ms");
    world_serve(&w);
    snprintf(path, sizeof path, "%s/dead.sock", w.dir);
    close(dm_socket_listen(path, &err));
    snprintf(path, sizeof path, "%s/plain", w.dir);
    close(open(path, O_CREAT | O_WRONLY, 0644));
    snprintf(path, sizeof path, "%s/full.sock", w.dir);
    int full = dm_socket_listen(path, &err);
    listen(full, 0);
    int client = dm_socket_connect(path, &err);
    EACH(row, rows) {
        struct asked a = registered(&w, "v1beta1", row->name, GPU);
        snprintf(want, sizeof want,
                 "failed to dial device plugin: context deadline exceeded: " GPU
                 " at %s/%s, tried for 50ms: ",
                 w.dir, row->name);
        CHECK_HAS(a.text, want);
        CHECK_HAS(a.text, row->text);
        CHECK_INT(a.code, DM_DEADLINE_EXCEEDED);
        CHECK_HAS(events(&w), row->text);
    }
    CHECK_INT(w.n_connected, 0);
    close(full), close(client);
    world_close(&w);
}

TEST(REG_14_a_caller_that_waits_shorter_shortens_the_dial) {
    struct world w;
    struct asked a;
    world_open(&w); /* dial-timeout is 10 s */
    ask(&a, &w, "v1beta1", "missing.sock", GPU, 60);
    run_until(&w, &w.n_notes, 1);
    answered_now(&a);
    CHECK_INT(a.code, DM_DEADLINE_EXCEEDED);
    CHECK_HAS(events(&w), "failed to dial device plugin: context ");
    world_close(&w);
}

TEST(a_caller_that_goes_away_ends_the_registration) {
    struct world w;
    struct asked a;
    struct fake f;
    world_open(&w);
    struct dm_rpc_call *register_call = ask(&a, &w, "v1beta1", "missing.sock", GPU, PATIENCE_MS);
    run_a_while(&w, 30);
    dm_rpc_cancel(register_call);
    run_until(&w, &w.n_notes, 1);
    CHECK_HAS(events(&w), "failed to dial device plugin: context canceled: ");
    answered_now(&a);

    fake_open(&f, &w, "gpu.sock");
    f.hang_options = true;
    register_call = ask(&a, &w, "v1beta1", "gpu.sock", GPU, PATIENCE_MS);
    run_until(&w, &f.n_options, 1);
    dm_rpc_cancel(register_call);
    run_until(&w, &w.n_notes, 2);
    CHECK_HAS(events(&w),
              "failed to get device plugin options: rpc error: code = Canceled desc = context canceled: ");
    answered_now(&a);
    fake_die(&f);
    world_close(&w);
}

TEST(REG_16_failing_options_fail_Register_and_no_stream_is_opened) {
    struct world w;
    struct fake f;
    char want[500];
    world_open(&w);
    fake_open(&f, &w, "gpu.sock");
    f.options_error = DM_UNIMPLEMENTED;
    struct asked a = registered(&w, "v1beta1", "gpu.sock", GPU);
    snprintf(want, sizeof want,
             "failed to get device plugin options: rpc error: code = Unimplemented desc = no options "
             "today: " GPU " at %s: connected to ",
             f.path);
    CHECK_HAS(a.text, want);
    CHECK_INT(a.code, DM_FAILED_PRECONDITION);
    CHECK_INT(f.n_lists, 0);
    f.options_error = 0, f.options_bytes = "\x0a";
    a = registered(&w, "v1beta1", "gpu.sock", GPU);
    CHECK_INT(a.code, DM_FAILED_PRECONDITION);
    CHECK_HAS(a.text, "not DevicePluginOptions");
    CHECK_INT(f.n_lists, 0);
    CHECK_INT(w.n_connected, 0);
    fake_die(&f);
    world_close(&w);
}

TEST(hanging_options_end_at_their_limit) {
    struct world w;
    struct fake f;
    world_prepare(&w);
    set(&w, "options-timeout", "80ms");
    world_serve(&w);
    fake_open(&f, &w, "gpu.sock");
    f.hang_options = true;
    struct asked a = registered(&w, "v1beta1", "gpu.sock", GPU);
    CHECK_INT(a.code, DM_DEADLINE_EXCEEDED);
    CHECK_HAS(a.text,
              "failed to get device plugin options: rpc error: code = DeadlineExceeded desc = context "
              "deadline exceeded: ");
    CHECK_HAS(a.text, "GetDevicePluginOptions took longer than 80ms: who listens there does not answer");
    fake_die(&f);
    world_close(&w);
}

TEST(W32_who_accepts_and_says_nothing_holds_nobody_else_up) {
    struct world w;
    struct fake f;
    struct asked silent;
    char path[200];
    devmgr_error err;
    world_open(&w);
    snprintf(path, sizeof path, "%s/silent.sock", w.dir);
    int fd = dm_socket_listen(path, &err); /* the kernel accepts for it */
    ask(&silent, &w, "v1beta1", "silent.sock", "example.com/silent", PATIENCE_MS);
    fake_open(&f, &w, "gpu.sock");
    fake_register(&f, GPU);
    CHECK_INT(silent.done, 0);
    close(fd); /* the connection breaks */
    answered_now(&silent);
    CHECK_INT(silent.code, DM_UNAVAILABLE);
    CHECK_HAS(silent.text, "failed to get device plugin options: rpc error: code = Unavailable desc = ");
    CHECK_HAS(silent.text, "the connection broke: who listens there ended, or does not speak gRPC");
    world_close_registration(&w);
    fake_die(&f);
    world_close(&w);
}

static void on_junk_connection(uv_poll_t *poll, int status, int revents) {
    static const char junk[] = "SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n";
    uv_os_fd_t fd;
    (void)status, (void)revents;
    uv_fileno((uv_handle_t *)poll, &fd);
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (client >= 0 && write(client, junk, sizeof junk) > 0)
        *(int *)poll->data = client;
}

TEST(who_speaks_something_else_is_told_apart) {
    struct world w;
    char path[200];
    devmgr_error err;
    uv_poll_t poll;
    int client = -1;
    world_open(&w);
    snprintf(path, sizeof path, "%s/ssh.sock", w.dir);
    int fd = dm_socket_listen(path, &err);
    uv_poll_init(&w.loop, &poll, fd);
    poll.data = &client;
    uv_poll_start(&poll, UV_READABLE, on_junk_connection);
    struct asked a = registered(&w, "v1beta1", "ssh.sock", GPU);
    CHECK_HAS(a.text, "failed to get device plugin options: rpc error: code = ");
    CHECK_INT(w.n_connected, 0);
    CHECK(a.code != DM_OK);
    uv_close((uv_handle_t *)&poll, NULL);
    close(client), close(fd);
    world_close(&w);
}

TEST(REG_24_W04_a_failed_registration_leaves_the_live_plugin_alone) {
    struct world w;
    struct fake f, bad;
    world_prepare(&w);
    set(&w, "dial-timeout", "20ms");
    world_serve(&w);
    fake_open(&f, &w, "gpu.sock");
    fake_register(&f, GPU);
    fake_open(&bad, &w, "bad.sock");
    bad.options_error = DM_INTERNAL;
    CHECK_INT(registered(&w, "v1beta1", "bad.sock", GPU).code, DM_FAILED_PRECONDITION);
    CHECK_INT(registered(&w, "v1beta1", "missing.sock", GPU).code, DM_DEADLINE_EXCEEDED);
    w.refuse = 1;
    bad.options_error = 0;
    CHECK_INT(registered(&w, "v1beta1", "bad.sock", GPU).code, DM_RESOURCE_EXHAUSTED);
    CHECK_INT(w.n_connected, 1);
    CHECK_INT(w.n_gone, 0);
    call_now(&w, 7, DM_RPC_ALLOCATE);
    CHECK_INT(w.code, DM_OK);
    CHECK_INT(f.n_calls, 1);
    events(&w);
    fake_die(&f); /* and its later death is seen */
    run_until(&w, &w.n_gone, 1);
    CHECK_HAS(events(&w), "gone " GPU " 1: ");
    fake_die(&bad);
    world_close(&w);
}

/* ---- many ------------------------------------------------------------------------------------------------------ */

enum { MANY = 64 };

TEST(sixty_four_plugins_register_at_once) {
    static struct fake fakes[MANY];
    struct asked asked[MANY];
    struct world w;
    char name[64];
    world_open(&w);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "p%d.sock", i);
        fake_open(&fakes[i], &w, name);
        put_device(&fakes[i].first_list, "d", "Healthy", -2);
    }
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "example.com/r%d", i);
        ask(&asked[i], &w, "v1beta1", fakes[i].name, name, PATIENCE_MS);
    }
    for (int i = 0; i < MANY; i++) {
        answered_now(&asked[i]);
        CHECK_STR(asked[i].text, "");
    }
    run_until(&w, &w.n_listed, MANY);
    CHECK_INT(w.n_connected, MANY);
    CHECK_INT(w.generation, MANY);
    world_close_registration(&w);
    for (int i = 0; i < MANY; i++)
        fake_die(&fakes[i]);
    world_close(&w);
}

TEST(max_registering_at_once_then_no_more) {
    struct world w;
    struct asked waiting[3];
    world_prepare(&w);
    set(&w, "max-registering", "3");
    world_serve(&w);
    for (int i = 0; i < 3; i++)
        ask(&waiting[i], &w, "v1beta1", "missing.sock", GPU, PATIENCE_MS);
    run_a_while(&w, 30);
    struct asked a = registered(&w, "v1beta1", "missing.sock", GPU);
    CHECK_INT(a.code, DM_RESOURCE_EXHAUSTED);
    CHECK_STR(a.text,
              GPU ": 3 plugins are registering already (limit max-registering); register again later");
    CHECK_INT(waiting[0].done, 0);
    world_close_registration(&w);
    for (int i = 0; i < 3; i++) {
        answered_now(&waiting[i]);
        CHECK(waiting[i].code != DM_OK);
    }
    world_close(&w);
}

TEST(W06_no_connection_stays_behind) {
    struct world w;
    struct fake f, bad;
    int before = 0;
    world_open(&w);
    fake_open(&bad, &w, "bad.sock");
    bad.options_error = DM_INTERNAL;
    for (int i = 0; i < 40; i++) {
        fake_open(&f, &w, "gpu.sock");
        fake_register(&f, GPU);
        CHECK_INT(registered(&w, "v1beta1", "bad.sock", GPU).code, DM_FAILED_PRECONDITION);
        fake_die(&f);
        run_until(&w, &w.n_gone, i + 1);
        run_a_while(&w, 5);
        if (i == 4)
            before = entries("/proc/self/fd");
    }
    CHECK_INT(entries("/proc/self/fd"), before);
    fake_die(&bad);
    world_close(&w);
}
