/* Rules of src/registration/plugin.c and calls.c: lists, ends, take-overs, calls. */
#include "registration/registration.h"
#include "registration_world.h"
#include <syslog.h>

static void set(struct world *w, const char *key, const char *value) {
    devmgr_error err;
    if (dm_settings_set(&w->settings, key, value, &err) < 0)
        CHECK_STR(err.message, "");
}

static void open_both(struct world *w, struct fake *f) {
    world_open(w);
    fake_open(f, w, "gpu.sock");
    fake_register(f, GPU);
    events(w);
}

static void close_both(struct world *w, struct fake *f) {
    world_close_registration(w);
    fake_die(f);
    world_close(w);
}

static void send_devices(struct fake *f, int stream, const char *const *ids, size_t n) {
    struct dm_buf list = {0};
    for (size_t i = 0; i < n; i++)
        put_device(&list, ids[i], "Healthy", -2);
    fake_send(f, stream, &list);
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

TEST(DEV_01_each_message_is_the_whole_list) {
    struct world w;
    struct fake f;
    open_both(&w, &f);
    send_devices(&f, 0, (const char *[]){"a", "b"}, 2);
    send_devices(&f, 0, (const char *[]){"b"}, 1);
    send_devices(&f, 0, NULL, 0);
    run_until(&w, &w.n_listed, 3);
    CHECK_STR(events(&w), "listed " GPU " 1: a+ b+\nlisted " GPU " 1: b+\nlisted " GPU " 1:\n");
    close_both(&w, &f);
}

TEST(DEV_03_a_first_list_may_be_empty) {
    struct world w;
    struct fake f;
    open_both(&w, &f);
    send_devices(&f, 0, NULL, 0);
    run_until(&w, &w.n_listed, 1);
    CHECK_STR(events(&w), "listed " GPU " 1:\n");
    close_both(&w, &f);
}

TEST(the_same_devices_again_are_not_reported_in_any_order) {
    struct world w;
    struct fake f;
    open_both(&w, &f);
    for (int i = 0; i < 10; i++) {
        send_devices(&f, 0, (const char *[]){"a", "b"}, 2);
        send_devices(&f, 0, (const char *[]){"b", "a"}, 2);
    }
    send_devices(&f, 0, (const char *[]){"c"}, 1);
    run_until(&w, &w.n_listed, 2);
    CHECK_STR(events(&w), "listed " GPU " 1: a+ b+\nlisted " GPU " 1: c+\n");
    close_both(&w, &f);
}

TEST(doubles_and_odd_nodes_are_noted_once_per_endpoint) {
    struct world w;
    struct fake f;
    struct dm_buf list = {0};
    open_both(&w, &f);
    for (int i = 0; i < 3; i++) {
        put_device(&list, "a", i % 2 ? "Healthy" : "bad", -1);
        put_device(&list, "a", i % 2 ? "Healthy" : "bad", -2);
        put_device(&list, "b", "Healthy", 64);
        fake_send(&f, 0, &list);
    }
    run_until(&w, &w.n_listed, 3);
    CHECK_INT(w.n_notes, 3);
    CHECK_HAS(events(&w), "note " GPU ": the plugin lists 1 devices under an id that another one has too");
    close_both(&w, &f);
}

TEST(W39_a_hundred_thousand_devices_are_one_list) {
    struct world w;
    struct fake f;
    struct dm_buf list = {0};
    char id[64];
    open_both(&w, &f);
    for (int i = 0; i < 100000; i++) {
        snprintf(id, sizeof id, "GPU-6f1d6f4e-54c5-4a3e-8c1b-%012d", i);
        put_device(&list, id, "Healthy", i % 2);
    }
    CHECK(list.len > 4 << 20); /* the kubelet's limit */
    fake_send(&f, 0, &list);
    run_until(&w, &w.n_listed, 1);
    CHECK_INT(w.last_n, 100000);
    close_both(&w, &f);
}

TEST(a_list_over_a_limit_is_refused_and_the_good_one_stays) {
    struct world w;
    struct fake f;
    world_prepare(&w);
    set(&w, "max-devices@" GPU, "2");
    world_serve(&w);
    fake_open(&f, &w, "gpu.sock");
    fake_register(&f, GPU);
    send_devices(&f, 0, (const char *[]){"a", "b"}, 2);
    send_devices(&f, 0, (const char *[]){"a", "b", "c"}, 3);
    send_devices(&f, 0, (const char *[]){"a", "b", "c", "d"}, 4);
    send_devices(&f, 0, (const char *[]){"d"}, 1);
    run_until(&w, &w.n_listed, 2);
    CHECK_STR(events(&w),
              "connected " GPU " 1\nlisted " GPU " 1: a+ b+\nnote " GPU ": a device list was refused whole, "
              "the devices listed before stay: more than 2 devices (limit max-devices)\nlisted " GPU
              " 1: d+\n");
    CHECK_INT(w.n_gone, 0);
    close_both(&w, &f);
}

static void put_many(struct dm_buf *list) {
    char id[32];
    for (int i = 0; i <= 200000; i++) {
        snprintf(id, sizeof id, "d%d", i);
        put_device(list, id, "Healthy", -2);
    }
}
static void put_long_id(struct dm_buf *list) {
    char id[1026];
    memset(id, 'x', 1025);
    id[1025] = 0;
    put_device(list, id, "Healthy", -2);
}
static void put_nul(struct dm_buf *list) {
    struct dm_buf device = {0};
    put_bytes(&device, 1, "a\0b", 3);
    put_message(list, 1, &device);
}
static void put_empty_id(struct dm_buf *list) {
    put_device(list, "", "Healthy", -2);
    put_device(list, "b", "Healthy", -2);
}
static void put_double(struct dm_buf *list) {
    put_device(list, "a", "Healthy", -2);
    put_device(list, "b", "Healthy", -2);
    put_device(list, "a", "Unhealthy", -2);
}
static void put_below(struct dm_buf *list) {
    put_device(list, "a", "Healthy", -1);
}
static void put_64(struct dm_buf *list) {
    put_device(list, "a", "Healthy", 64);
}
static void put_huge_node(struct dm_buf *list) {
    put_device(list, "a", "Healthy", INT64_C(1) << 40);
}
static void put_not_utf8(struct dm_buf *list) {
    put_device(list, "a", "Healthy", -2);
    put_device(list, "b\xff", "Healthy", -2);
}

#define LISTED(what)  "listed " GPU " 1: " what "\n"
#define NOTED(what)   "note " GPU ": " what "\n"
#define REFUSED(what) NOTED("a device list was refused whole, the devices listed before stay: " what)
#define GONE(what)    "gone " GPU " 1: ListAndWatch sent what is no device list: " what "\n"

/* Good, bad, bad again, good: what is heard, and what is left. */
TEST(each_bad_list_is_told_once_and_good_devices_are_used_where_that_is_safe) {
    static const struct {
        void (*put)(struct dm_buf *list);
        const char *heard;
        int live;
    } rows[] = {
        {put_double,
         NOTED("the plugin lists 1 devices under an id that another one has too; the last of each counts")
             LISTED("a- b+") LISTED("g+"),
         1},
        {put_empty_id,
         NOTED("the plugin lists a device without an id; it is used as it is, and nobody can name it")
             LISTED("+ b+") LISTED("g+"),
         1},
        {put_long_id, REFUSED("device 1 has an id of 1025 bytes, more than 1024 (limit max-id)"), 1},
        {put_nul, REFUSED("device 1 has a NUL byte in its id"), 1},
        {put_many, REFUSED("more than 200000 devices (limit max-devices)"), 1},
        {put_below,
         NOTED("the plugin names a negative NUMA node for 1 devices; that counts as no topology") LISTED("a+")
             LISTED("g+"),
         1},
        {put_64,
         NOTED("the plugin names a NUMA node above 63 for 1 devices; that node is left out") LISTED("a+")
             LISTED("g+"),
         1},
        {put_huge_node,
         NOTED("the plugin names a NUMA node above 63 for 1 devices; that node is left out") LISTED("a+")
             LISTED("g+"),
         1},
        {put_not_utf8, GONE("Device.ID is not valid UTF-8 (device 2 of the list)"), 0},
    };
    EACH(row, rows) {
        struct world w;
        struct fake f;
        struct dm_buf list = {0};
        open_both(&w, &f);
        send_devices(&f, 0, (const char *[]){"g"}, 1);
        run_until(&w, &w.n_listed, 1);
        CHECK_STR(events(&w), LISTED("g+"));
        for (int i = 0; i < 2; i++) {
            row->put(&list);
            fake_send(&f, 0, &list);
        }
        send_devices(&f, 0, (const char *[]){"g"}, 1); /* known already, unless a bad one came between */
        send_devices(&f, 0, (const char *[]){"h"}, 1);
        if (row->live)
            while (!strstr(w.events.data ? w.events.data : "", "h+"))
                uv_run(&w.loop, UV_RUN_ONCE);
        else
            run_until(&w, &w.n_gone, 1);
        DM_FREE char *want = dm_printf("%s%s", row->heard, row->live ? LISTED("h+") : "");
        CHECK_STR(events(&w), want);
        close_both(&w, &f);
    }
}

/* ---- ends ---------------------------------------------------------------------------------------------------------- */

TEST(DEV_06_the_text_of_gone_says_how_the_stream_ended) {
    static const struct {
        int code;
        const char *text, *want;
    } rows[] = {
        {DM_OK, "", "gone " GPU " 1: the plugin ended its stream\n"},
        {DM_UNAVAILABLE, "going down", "gone " GPU " 1: connection lost: going down\n"},
        {DM_INTERNAL, "oops",
         "gone " GPU " 1: the plugin's stream ended: rpc error: code = Internal desc = oops\n"},
        {DM_UNIMPLEMENTED, "no",
         "gone " GPU " 1: the plugin's stream ended: rpc error: code = Unimplemented desc = no\n"},
    };
    EACH(row, rows) {
        struct world w;
        struct fake f;
        open_both(&w, &f);
        fake_end_stream(&f, 0, row->code, row->text);
        run_until(&w, &w.n_gone, 1);
        CHECK_STR(events(&w), row->want);
        call_now(&w, 5, DM_RPC_ALLOCATE);
        CHECK_INT(w.code, DM_UNAVAILABLE);
        CHECK_STR(w.text, "endpoint of " GPU " has been stopped"); /* DEV-07 */
        CHECK_INT(f.n_calls, 0);
        close_both(&w, &f);
    }
}

TEST(a_message_over_max_message_ends_the_endpoint) {
    struct world w;
    struct fake f;
    char id[512];
    struct dm_buf list = {0};
    world_prepare(&w);
    set(&w, "max-message@" GPU, "4096");
    world_serve(&w);
    fake_open(&f, &w, "gpu.sock");
    fake_register(&f, GPU);
    events(&w);
    memset(id, 'x', sizeof id - 1);
    id[sizeof id - 1] = 0;
    for (int i = 0; i < 10; i++)
        put_device(&list, id, "Healthy", -2);
    fake_send(&f, 0, &list);
    run_until(&w, &w.n_gone, 1);
    CHECK_HAS(events(&w),
              "gone " GPU " 1: the plugin sent a message of more than 4096 bytes (limit max-message): ");
    close_both(&w, &f);
}

TEST(a_message_that_is_no_list_ends_the_endpoint) {
    struct world w;
    struct fake f;
    struct dm_buf list = {0};
    open_both(&w, &f);
    dm_buf_add(&list, "\x0a\x7f", 2);
    fake_send(&f, 0, &list);
    send_devices(&f, 0, (const char *[]){"a"}, 1); /* not looked at any more */
    run_until(&w, &w.n_gone, 1);
    CHECK_STR(events(&w),
              "gone " GPU " 1: ListAndWatch sent what is no device list: not a ListAndWatchResponse (device "
              "1 of the list)\n");
    CHECK_INT(w.n_listed, 0);
    close_both(&w, &f);
}

TEST(a_plugin_that_dies_is_gone_and_can_come_back) {
    struct world w;
    struct fake f;
    open_both(&w, &f);
    fake_die(&f);
    run_until(&w, &w.n_gone, 1);
    CHECK_HAS(events(&w), "gone " GPU " 1: ");
    fake_open(&f, &w, "gpu.sock");
    fake_register(&f, GPU);
    CHECK_STR(events(&w), "connected " GPU " 2\n");
    call_now(&w, 1, DM_RPC_ALLOCATE);
    CHECK_INT(w.code, DM_OK);
    close_both(&w, &f);
}

/* ---- one resource, several plugins ----------------------------------------------------------------------------------- */

TEST(REG_20_23_W03_W05_a_later_plugin_takes_over_and_the_end_of_the_old_one_is_its_own) {
    struct world w;
    struct fake old, new;
    open_both(&w, &old);
    fake_open(&new, &w, "new.sock");
    new.prestart = true;
    fake_register(&new, GPU);
    CHECK_STR(events(&w), "connected " GPU " 2 prestart\n");
    CHECK_INT(dm_incoming_cancelled(old.streams[0]), 0); /* a live plugin's stream is left alone */
    send_devices(&old, 0, (const char *[]){"o"}, 1);
    run_until(&w, &w.n_listed, 1);
    CHECK_STR(events(&w), "listed " GPU " 1: o+\n"); /* with its own generation */
    call_now(&w, 1, DM_RPC_ALLOCATE);
    CHECK_INT(w.code, DM_OK);
    CHECK_INT(new.n_calls, 1);
    fake_die(&old);
    run_until(&w, &w.n_gone, 1);
    CHECK_HAS(events(&w), "gone " GPU " 1: ");
    call_now(&w, 2, DM_RPC_ALLOCATE);
    CHECK_INT(w.code, DM_OK);
    CHECK_INT(new.n_calls, 2);
    close_both(&w, &new);
}

TEST(a_call_to_a_former_generation_is_told_that_it_is_stopped) {
    struct world w;
    struct fake f;
    open_both(&w, &f);
    fake_register(&f, GPU); /* the same plugin again */
    w.generation = 1;
    call_now(&w, 1, DM_RPC_ALLOCATE);
    CHECK_INT(w.code, DM_UNAVAILABLE);
    CHECK_INT(f.n_calls, 0);
    close_both(&w, &f);
}

TEST(superseded_streams_are_bounded) {
    struct world w;
    struct fake f;
    open_both(&w, &f);
    for (int i = 2; i <= 9; i++)
        fake_register(&f, GPU);
    CHECK_INT(w.n_gone, 0);
    CHECK_INT(w.n_notes, 0);
    fake_register(&f, GPU);
    run_until(&w, &w.n_gone, 1);
    CHECK_INT(w.n_notes, 1);
    const char *said = events(&w);
    CHECK_HAS(said, "note " GPU ": the plugin registers again and again without ending its former streams");
    CHECK_HAS(said, "gone " GPU " 1: closed: 9 later registrations of the resource were open beside it\n");
    call_now(&w, 1, DM_RPC_ALLOCATE);
    CHECK_INT(w.code, DM_OK);
    close_both(&w, &f);
}

TEST(two_registrations_of_one_plugin_in_flight_both_succeed) {
    struct world w;
    struct fake f;
    struct asked a, b;
    world_open(&w);
    fake_open(&f, &w, "gpu.sock");
    ask(&a, &w, "v1beta1", "gpu.sock", GPU, PATIENCE_MS);
    ask(&b, &w, "v1beta1", "gpu.sock", GPU, PATIENCE_MS);
    answered_now(&a), answered_now(&b);
    CHECK_INT(a.code, DM_OK);
    CHECK_INT(b.code, DM_OK);
    run_until(&w, &f.n_lists, 2);
    CHECK_INT(w.generation, 2);
    call_now(&w, 1, DM_RPC_ALLOCATE);
    CHECK_INT(w.code, DM_OK);
    close_both(&w, &f);
}

/* ---- calls ----------------------------------------------------------------------------------------------------------- */

TEST(allocate_brings_the_first_containers_bytes_verbatim) {
    struct world w;
    struct fake f;
    struct dm_buf container = {0}, env = {0};
    open_both(&w, &f);
    put_text(&env, 1, "KEY");
    put_text(&env, 2, "value");
    put_message(&container, 1, &env);
    put_text(&container, 99, "from the future");
    char *bytes = dm_memdup(container.data, container.len);
    size_t len = container.len;
    put_message(&f.response, 1, &container);
    put_bytes(&f.response, 1, "", 0);
    call_now(&w, 42, DM_RPC_ALLOCATE);
    CHECK_STR(events(&w), "answered 42 OK\n");
    CHECK_INT(w.n_containers, 2);
    CHECK_INT(w.answer.len, len);
    CHECK(!memcmp(w.answer.data, bytes, len));
    CHECK_INT(f.last_request.len, 16);
    CHECK(!memcmp(f.last_request.data,
                  "\x0a\x0e\x0a\x05"
                  "dev-1\x0a\x05"
                  "dev-2",
                  16));
    free(bytes);
    close_both(&w, &f);
}

TEST(allocate_that_answers_for_nobody_is_ok_with_no_container) {
    struct world w;
    struct fake f;
    open_both(&w, &f);
    call_now(&w, 1, DM_RPC_ALLOCATE);
    CHECK_INT(w.code, DM_OK);
    CHECK_INT(w.n_containers, 0);
    close_both(&w, &f);
}

TEST(preferred_brings_ids_prestart_nothing) {
    struct world w;
    struct fake f;
    struct dm_buf container = {0};
    open_both(&w, &f);
    call_now(&w, 1, DM_RPC_PRESTART);
    CHECK_INT(w.code, DM_OK);
    put_text(&container, 1, "dev-2");
    put_text(&container, 1, "what was never asked for");
    put_message(&f.response, 1, &container);
    call_now(&w, 2, DM_RPC_PREFERRED);
    CHECK_INT(w.n_ids, 2);
    CHECK_STR(w.ids.data, "dev-2 what was never asked for");
    close_both(&w, &f);
}

TEST(an_answer_that_cannot_be_decoded_is_internal_as_in_go) {
    static const enum dm_rpc_kind kinds[] = {DM_RPC_ALLOCATE, DM_RPC_PREFERRED, DM_RPC_PRESTART};
    EACH(kind, kinds) {
        struct world w;
        struct fake f;
        open_both(&w, &f);
        dm_buf_add(&f.response, "\x0a\x7f", 2);
        call_now(&w, 1, *kind);
        CHECK_INT(w.code, DM_INTERNAL);
        CHECK_HAS(w.text, "grpc: failed to unmarshal the received message: ");
        CHECK(w.unusable);
        close_both(&w, &f);
    }
}

TEST(an_answer_over_max_message_is_told_from_an_error_of_the_plugin) {
    static const struct {
        const char *limit;
        bool unusable;
    } rows[] = {{"4096", true}, {"67108864", false}};
    EACH(row, rows) {
        struct world w;
        struct fake f;
        char text[8192];
        world_prepare(&w);
        set(&w, "max-message@" GPU, row->limit);
        world_serve(&w);
        fake_open(&f, &w, "gpu.sock");
        fake_register(&f, GPU);
        memset(text, 'x', sizeof text);
        put_bytes(&f.response, 99, text, sizeof text);
        call_now(&w, 1, DM_RPC_ALLOCATE);
        CHECK_INT(w.unusable, row->unusable);
        CHECK_INT(w.code, row->unusable ? DM_RESOURCE_EXHAUSTED : DM_OK);
        close_both(&w, &f);
    }
}

TEST(the_plugins_own_limit_is_the_plugins_error) {
    struct world w;
    struct fake f;
    open_both(&w, &f);
    f.call_error = DM_RESOURCE_EXHAUSTED;
    call_now(&w, 1, DM_RPC_ALLOCATE);
    CHECK_INT(w.unusable, false);
    close_both(&w, &f);
}

TEST(an_error_of_the_plugin_comes_through) {
    struct world w;
    struct fake f;
    open_both(&w, &f);
    f.call_error = DM_RESOURCE_EXHAUSTED;
    call_now(&w, 1, DM_RPC_ALLOCATE);
    CHECK_INT(w.code, DM_RESOURCE_EXHAUSTED);
    CHECK_STR(w.text, "the device is on fire");
    close_both(&w, &f);
}

TEST(W30_a_call_that_hangs_ends_at_its_deadline) {
    struct world w;
    struct fake f;
    open_both(&w, &f);
    f.hang_calls = true;
    call(&w, 1, DM_RPC_ALLOCATE, 50);
    run_until(&w, &w.n_answered, 1);
    CHECK_INT(w.code, DM_DEADLINE_EXCEEDED);
    CHECK_STR(w.text, "context deadline exceeded");
    CHECK_INT(w.n_gone, 0); /* the endpoint stays */
    close_both(&w, &f);
}

TEST(a_cancelled_call_is_answered_once) {
    struct world w;
    struct fake f;
    open_both(&w, &f);
    f.hang_calls = true;
    call(&w, 1, DM_RPC_ALLOCATE, PATIENCE_MS);
    run_until(&w, &f.n_calls, 1);
    dm_registration_cancel(w.r, 1);
    dm_registration_cancel(w.r, 1);
    dm_registration_cancel(w.r, 99);
    CHECK_INT(w.n_answered, 0);
    run_until(&w, &w.n_answered, 1);
    CHECK_INT(w.code, DM_CANCELLED);
    w.generation = 77;
    call(&w, 2, DM_RPC_ALLOCATE, PATIENCE_MS); /* to nobody, and cancelled before it was told */
    dm_registration_cancel(w.r, 2);
    run_until(&w, &w.n_answered, 2);
    CHECK_INT(w.code, DM_CANCELLED);
    close_both(&w, &f);
}

TEST(a_call_open_when_the_stream_ends_is_stopped) {
    struct world w;
    struct fake f;
    open_both(&w, &f);
    f.hang_calls = true;
    call(&w, 1, DM_RPC_ALLOCATE, PATIENCE_MS);
    run_until(&w, &f.n_calls, 1);
    fake_end_stream(&f, 0, DM_OK, "");
    run_until(&w, &w.n_answered, 1);
    CHECK_INT(w.code, DM_UNAVAILABLE);
    CHECK_STR(w.text, "endpoint of " GPU " has been stopped");
    CHECK_STR(events(&w), "gone " GPU " 1: the plugin ended its stream\nanswered 1 Unavailable\n");
    close_both(&w, &f);
}

TEST(a_call_to_an_unknown_resource_is_answered_later) {
    struct world w;
    world_open(&w);
    call_now(&w, 9, DM_RPC_ALLOCATE);
    CHECK_STR(events(&w), "answered 9 Unavailable\n");
    world_close(&w);
}
