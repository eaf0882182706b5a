/* test_rpc_bridge.c -- the bridge itself: one per loop, counted, and nothing left when the last one is gone. */
#include "entries.h"
#include "rpc/bridge.h"
#include "rpc_world.h"
#include <pthread.h>
#include <signal.h>

static int descriptors(void) {
    return entries("/proc/self/fd");
}

/* A thread that gRPC told to end, and the transport it still destroys, may last a moment longer than the bridge. What
 * is left for good ends in the runner's timeout. */
static void await_entries(const char *dir, int want) {
    int n;
    for (int i = 0; (n = entries(dir)) != want; i++) {
        if (i % 1000 == 999)
            printf("# %s: %d, waiting for %d\n", dir, n, want);
        usleep(1000);
    }
}

static void await_own_threads(void) {
#ifdef DM_TSAN
    await_entries("/proc/self/task", 2 + 2); /* TSan has one of its own; and . and .. */
#else
    await_entries("/proc/self/task", 1 + 2);
#endif
}

TEST(one_bridge_per_loop_counted) {
    struct world w;
    struct dm_rpc *again = NULL;
    int closed = 0;
    world_open(&w);
    CHECK_INT(dm_rpc_acquire(&w.loop, &again, NULL), 0);
    CHECK(again == w.rpc);
    CHECK(dm_rpc_loop(again) == &w.loop);
    dm_rpc_release(again, count_closed, &closed);
    CHECK_INT(closed, 0);
    run_until(&w, &closed, 1);
    world_serve(&w, NULL); /* the other reference still works */
    struct dm_channel *channel = dial_now(&w);
    CHECK_INT(unary(&w, channel, "/test.T/Echo", "x").code, DM_OK);
    channel_close_now(&w, channel);
    world_close(&w);
}

TEST(two_loops_have_two_bridges) {
    struct world a, b;
    world_open(&a);
    world_open(&b);
    CHECK(a.rpc != b.rpc);
    world_serve(&b, NULL);
    world_close(&a);
    struct dm_channel *channel = dial_now(&b);
    CHECK_INT(unary(&b, channel, "/test.T/Echo", "x").code, DM_OK);
    channel_close_now(&b, channel);
    world_close(&b);
}

TEST(a_bridge_on_its_way_out_is_not_handed_out_again) {
    struct world w;
    struct dm_rpc *next = NULL;
    int closed = 0;
    world_open(&w);
    dm_rpc_release(w.rpc, count_closed, &w.closed);
    CHECK_INT(dm_rpc_acquire(&w.loop, &next, NULL), 0);
    CHECK(next != w.rpc);
    dm_rpc_release(next, count_closed, &closed);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    CHECK_INT(closed, 1);
    CHECK_INT(w.closed, 1);
    CHECK_INT(uv_loop_close(&w.loop), 0);
    rmdir(w.dir);
}

static void one_life(void) {
    struct world w;
    struct outcome o = {0};
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w);
    CHECK_INT(unary(&w, channel, "/test.T/Echo", "x").code, DM_OK);
    start_stream(&o, channel, "/test.T/Many", "100 10000", TEST_PATIENCE_MS);
    run_until(&w, &o.messages, 3);
    channel_close_now(&w, channel);
    world_close(&w);
}

TEST(fifty_lives_leave_no_descriptor_and_no_thread) {
    one_life(); /* what is made once and kept: libuv's signal pipe, /dev/urandom and the like */
    await_own_threads();
    int before = descriptors();
    for (int i = 0; i < 50; i++)
        one_life();
    await_own_threads();
    await_entries("/proc/self/fd", before);
    CHECK_INT(grpc_is_initialized(), 0);
}

static void *live_ten_times(void *arg) {
    int *lived = arg;
    for (int i = 0; i < 10; i++) {
        struct world w;
        int closed = 0;
        struct dialled d = {0};
        struct outcome o;
        /* no CHECK here: its longjmp belongs to the main thread */
        w = (struct world){.dir = "/tmp/devmgr-test.XXXXXX"};
        if (!mkdtemp(w.dir) || uv_loop_init(&w.loop) || dm_rpc_acquire(&w.loop, &w.rpc, NULL))
            return NULL;
        snprintf(w.path, sizeof w.path, "%s/t.sock", w.dir);
        dm_server_new(w.rpc, test_methods, DM_COUNT(test_methods), &w, NULL, &w.server, NULL);
        dm_server_listen(w.server, dm_socket_listen(w.path, NULL), &w.listener, NULL);
        dm_dial_start(w.rpc, w.path, TEST_PATIENCE_MS, TEST_MAX_RECEIVE, on_dialled, &d);
        run_until(&w, &d.done, 1);
        start_unary(&o, d.channel, "/test.T/Echo", "x", TEST_PATIENCE_MS);
        run_until(&w, &o.done, 1);
        dm_channel_close(d.channel, count_closed, &closed);
        dm_server_close(w.server, count_closed, &closed);
        dm_rpc_release(w.rpc, count_closed, &closed);
        uv_run(&w.loop, UV_RUN_DEFAULT);
        unlink(w.path);
        rmdir(w.dir);
        if (uv_loop_close(&w.loop) == 0 && closed == 3 && o.code == DM_OK)
            ++*lived;
    }
    return NULL;
}

TEST(loops_on_several_threads_live_side_by_side) {
    enum { N = 3 };
    pthread_t threads[N];
    int lived[N] = {0};
    for (int i = 0; i < N; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, live_ten_times, &lived[i]), 0);
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        CHECK_INT(lived[i], 10);
    }
}

/* A line of a thread's status file, without its name. */
static void status_line(const char *task, const char *name, char *out, size_t size) {
    char path[300], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
    FILE *f = fopen(path, "r");
    *out = 0;
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name)))
            snprintf(out, size, "%.*s", (int)strcspn(line + strlen(name), "\n"), line + strlen(name));
    if (f)
        fclose(f);
}

TEST(the_pump_leaves_signals_to_the_embedders_threads) {
    struct world w;
    struct dirent *e;
    char name[64], mask[64];
    uint64_t blocked = 0;
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w); /* it runs by now */
    CHECK_INT(unary(&w, channel, "/test.T/Echo", "x").code, DM_OK);
    DIR *d = opendir("/proc/self/task");
    while ((e = readdir(d))) {
        status_line(e->d_name, "Name:\t", name, sizeof name);
        status_line(e->d_name, "SigBlk:\t", mask, sizeof mask);
        if (!strcmp(name, "devmgr-grpc"))
            blocked = strtoull(mask, NULL, 16);
    }
    closedir(d);
    CHECK_INT(blocked >> (SIGTERM - 1) & 1, 1);
    CHECK_INT(blocked >> (SIGCHLD - 1) & 1, 1);
    CHECK_INT(blocked >> (SIGSEGV - 1) & 1, 0);
    channel_close_now(&w, channel);
    world_close(&w);
}

/* ---- status texts ------------------------------------------------------------------------------------------------ */

TEST(status_texts_are_printable_and_short) {
    static const struct {
        const char *in;
        size_t len;
        const char *want;
    } rows[] = {
        {"", 0, ""},
        {"plain", 5, "plain"},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"a\0b", 3,
         "a\xef\xbf\xbd"
         "b"},
        {"a\xff", 2, "a\xef\xbf\xbd"},
        {"\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate */
        {"\xf0\x9f\x98", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* cut off */
        {"two\nlines", 9, "two\nlines"},
    };
    EACH(row, rows) {
        DM_FREE char *got = dm_status_text(row->in, row->len);
        CHECK_STR(got, row->want);
    }
}

TEST(status_texts_are_cut_at_a_character) {
    char in[3 * DM_STATUS_TEXT_MAX];
    memset(in, 'x', sizeof in);
    DM_FREE char *whole = dm_status_text(in, DM_STATUS_TEXT_MAX);
    CHECK_INT(strlen(whole), DM_STATUS_TEXT_MAX);
    CHECK_STR(whole + DM_STATUS_TEXT_MAX - 4, "xxxx");
    DM_FREE char *cut = dm_status_text(in, DM_STATUS_TEXT_MAX + 1);
    CHECK_INT(strlen(cut), DM_STATUS_TEXT_MAX);
    CHECK_STR(cut + DM_STATUS_TEXT_MAX - 4, "x...");
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = "\xe2\x82\xac"[i % 3];
    DM_FREE char *euros = dm_status_text(in, sizeof in);
    CHECK(strlen(euros) <= DM_STATUS_TEXT_MAX);
    CHECK_STR(euros + strlen(euros) - 6, "\xe2\x82\xac...");
    memset(in, '\xff', sizeof in);
    DM_FREE char *bad = dm_status_text(in, sizeof in);
    CHECK(strlen(bad) <= DM_STATUS_TEXT_MAX);
}
