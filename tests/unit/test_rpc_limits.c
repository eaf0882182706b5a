/* test_rpc_limits.c -- what a server does to clients that speak nonsense or want too much: each is dealt with alone. */
#include "rpc/serving.h"
#include "rpc_raw.h"
#include <sys/resource.h>

/* ---- odd requests ----------------------------------------------------------------------------------------------- */

/* Writes it and waits until the server has dealt with it: no call open, the connection open or not. */
static void odd_request(void (*say)(struct dm_buf *b)) {
    struct world w;
    const struct dm_server_limits limits = {.idle_ms = 100};
    DM_CLEANUP(dm_buf_free) struct dm_buf b = {0};
    world_open(&w);
    world_serve(&w, &limits);
    int client = raw_connect(w.path);
    say(&b);
    raw_write(&w, client, &b);
    raw_await_close(&w, client);
    CHECK_INT(w.handled, 0);
    run_until_connections(&w, 0);
    close(client);
    struct dm_channel *channel = dial_now(&w); /* and others do not notice */
    CHECK_INT(unary(&w, channel, "/test.T/Echo", "x").code, DM_OK);
    channel_close_now(&w, channel);
    world_close(&w);
}

static void say_nothing(struct dm_buf *b) {
    (void)b;
}

static void say_http1(struct dm_buf *b) {
    dm_buf_puts(b, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

static void say_zeros(struct dm_buf *b) {
    static const char zeros[4096];
    dm_buf_add(b, zeros, sizeof zeros);
}

static void say_preface_only(struct dm_buf *b) {
    dm_buf_puts(b, raw_preface);
}

static void say_settings_only(struct dm_buf *b) {
    dm_buf_puts(b, raw_preface);
    raw_frame(b, RAW_SETTINGS, 0, 0, NULL, 0);
}

static void say_no_message(struct dm_buf *b) {
    raw_request(b, "/test.T/Echo", NULL);
    raw_frame(b, RAW_DATA, RAW_END_STREAM, 1, NULL, 0);
}

static void say_half_a_message(struct dm_buf *b) {
    raw_request(b, "/test.T/Echo", NULL);
    raw_message(b, RAW_END_STREAM, 0, 100, "half", 4);
}

static void say_compressed(struct dm_buf *b) {
    raw_request(b, "/test.T/Echo", "gzip");
    raw_message(b, RAW_END_STREAM, 1, RAW_GZIP_HELLO, raw_gzip_hello, RAW_GZIP_HELLO);
}

static void say_too_much(struct dm_buf *b) {
    DM_FREE char *big = dm_alloc(16000);
    raw_request(b, "/test.T/Echo", NULL);
    raw_message(b, 0, 0, 80000, big, 16000);
    for (int i = 0; i < 3; i++)
        raw_frame(b, RAW_DATA, 0, 1, big, 16000);
    raw_frame(b, RAW_DATA, RAW_END_STREAM, 1, big, 16000);
}

static void say_bad_frame(struct dm_buf *b) {
    raw_request(b, "/test.T/Echo", NULL);
    raw_frame(b, RAW_SETTINGS, 0, 7, "x", 1);
}

TEST(odd_clients_are_dropped_and_nobody_else_notices) {
    static const struct {
        const char *what;
        void (*say)(struct dm_buf *b);
    } rows[] = {
        {"nothing", say_nothing},
        {"HTTP/1.1", say_http1},
        {"zeros", say_zeros},
        {"a preface and no more", say_preface_only},
        {"settings and no more", say_settings_only},
        {"a call without a message", say_no_message},
        {"half a message", say_half_a_message},
        {"a compressed request", say_compressed},
        {"a request over the limit", say_too_much},
        {"a broken frame", say_bad_frame},
    };
    EACH(row, rows) {
        printf("# %s\n", row->what);
        odd_request(row->say);
    }
}

TEST(a_request_that_never_ends_is_cut_off_when_memory_runs_out) {
    struct world w;
    struct raw_flow flow = RAW_FLOW_INIT;
    DM_CLEANUP(dm_buf_free) struct dm_buf b = {0};
    enum { CHUNK = 16000, LIMIT = 50 << 20 };
    static uint8_t chunk[CHUNK];
    size_t sent = 0;
    world_open(&w);
    world_serve(&w, NULL);
    int client = raw_connect(w.path);
    raw_request(&b, "/test.T/Echo", NULL);
    raw_message(&b, 0, 0, 4u << 28, NULL, 0);
    raw_write(&w, client, &b);
    while (w.server->n_calls == 0)
        uv_run(&w.loop, UV_RUN_ONCE);
    b.len = 0;
    raw_frame(&b, RAW_DATA, 0, 1, chunk, CHUNK);
    while (w.server->n_calls > 0 && sent < LIMIT) {
        raw_flow_read(&w, client, &flow);
        if (raw_flow_take(&flow, CHUNK)) {
            raw_write(&w, client, &b);
            sent += CHUNK;
        }
    }
    CHECK_INT(w.server->n_calls, 0);
    CHECK_INT(w.handled, 0);
    dm_buf_free(&flow.got);
    close(client);
    world_close(&w);
}

/* ---- limits ------------------------------------------------------------------------------------------------------ */

TEST(who_opens_too_many_calls_is_refused_alone) {
    struct world w;
    const struct dm_server_limits limits = {.max_calls = 2};
    struct outcome hold[DM_OWN_CALLS], o;
    struct dm_incoming *held[DM_OWN_CALLS];
    world_open(&w);
    world_serve(&w, &limits);
    struct dm_channel *one = dial_now(&w), *other = dial_now(&w);
    for (int i = 0; i < DM_OWN_CALLS; i++) {
        start_unary(&hold[i], one, "/test.T/Hold", "", TEST_PATIENCE_MS);
        run_until(&w, &w.handled, i + 1);
        held[i] = w.held;
    }
    o = unary(&w, one, "/test.T/Echo", "x");
    CHECK_INT(o.code, DM_RESOURCE_EXHAUSTED);
    CHECK_STR(o.text, "too many open calls; try again later");
    CHECK_INT(unary(&w, other, "/test.T/Echo", "x").code, DM_OK);
    for (int i = 0; i < DM_OWN_CALLS; i++) {
        dm_incoming_reply(held[i], NULL, text_span("a"));
        run_until(&w, &hold[i].done, 1);
        CHECK_STR(hold[i].first, "a");
    }
    while (w.server->n_calls > 0)
        uv_run(&w.loop, UV_RUN_ONCE);
    CHECK_INT(unary(&w, one, "/test.T/Echo", "x").code, DM_OK);
    channel_close_now(&w, one);
    channel_close_now(&w, other);
    world_close(&w);
}

TEST(an_idle_connection_gives_way_to_one_over_the_limit) {
    struct world w;
    const struct dm_server_limits limits = {.max_connections = 2};
    struct outcome o;
    world_open(&w);
    world_serve(&w, &limits);
    struct dm_channel *idle = dial_now(&w), *busy = dial_now(&w);
    CHECK_INT(unary(&w, idle, "/test.T/Echo", "x").code, DM_OK);
    start_unary(&o, busy, "/test.T/Hold", "", TEST_PATIENCE_MS);
    run_until(&w, &w.handled, 2);
    struct dm_channel *late = dial_now(&w);
    CHECK_INT(unary(&w, late, "/test.T/Echo", "x").code, DM_OK);
    CHECK_INT(unary(&w, idle, "/test.T/Echo", "x").code, DM_UNAVAILABLE);
    CHECK_INT(o.done, 0);
    dm_incoming_reply(w.held, NULL, text_span("a"));
    run_until(&w, &o.done, 1);
    CHECK_STR(o.first, "a");
    channel_close_now(&w, idle);
    channel_close_now(&w, busy);
    channel_close_now(&w, late);
    world_close(&w);
}

TEST(connections_over_the_limit_are_closed_when_all_others_are_busy) {
    struct world w;
    const struct dm_server_limits limits = {.max_connections = 2};
    struct outcome one_call, two_call;
    world_open(&w);
    world_serve(&w, &limits);
    struct dm_channel *one = dial_now(&w), *two = dial_now(&w);
    start_unary(&one_call, one, "/test.T/Hold", "", TEST_PATIENCE_MS);
    run_until(&w, &w.handled, 1);
    start_unary(&two_call, two, "/test.T/Hold", "", TEST_PATIENCE_MS);
    run_until(&w, &w.handled, 2);
    struct dm_channel *three = dial_now(&w);
    CHECK_INT(unary(&w, three, "/test.T/Echo", "x").code, DM_UNAVAILABLE);
    channel_close_now(&w, three);
    channel_close_now(&w, two);
    run_until(&w, &w.cancelled, 1);
    dm_incoming_reply(w.held, NULL, text_span("a"));
    run_until_connections(&w, 1);
    three = dial_now(&w);
    CHECK_INT(unary(&w, three, "/test.T/Echo", "x").code, DM_OK);
    channel_close_now(&w, three);
    dm_incoming_reply(w.first_held, NULL, text_span("a"));
    run_until(&w, &one_call.done, 1);
    channel_close_now(&w, one);
    world_close(&w);
}

TEST(streams_over_the_limit_of_a_connection_wait) {
    struct world w;
    const struct dm_server_limits limits = {.max_streams = 2};
    struct outcome o[3];
    world_open(&w);
    world_serve(&w, &limits);
    struct dm_channel *channel = dial_now(&w);
    CHECK_INT(unary(&w, channel, "/test.T/Echo", "x").code, DM_OK); /* now the client knows the limit */
    for (int i = 0; i < 3; i++)
        start_unary(&o[i], channel, "/test.T/Hold", "", TEST_PATIENCE_MS);
    run_until(&w, &w.handled, 3);
    for (int i = 0; i < 20; i++)
        raw_turn(&w);
    CHECK_INT(w.handled, 3); /* Echo and two */
    dm_incoming_reply(w.held, NULL, text_span("x"));
    run_until(&w, &w.handled, 4);
    dm_incoming_reply(w.held, NULL, text_span("x"));
    channel_close_now(&w, channel); /* the first one is cancelled */
    run_until(&w, &w.cancelled, 1);
    CHECK_INT(o[0].done + o[1].done + o[2].done, 3);
    dm_incoming_reply(w.first_held, NULL, text_span("x"));
    world_close(&w);
}

static void take_back(struct world *w, struct dm_channel *channel, int times, uint64_t after_ms) {
    for (int i = 0; i < times; i++) {
        struct outcome o;
        int handled = w->handled, cancelled = w->cancelled;
        start_unary(&o, channel, "/test.T/Hold", "", TEST_PATIENCE_MS);
        run_until(w, &w->handled, handled + 1);
        for (uint64_t since = uv_now(&w->loop); uv_now(&w->loop) - since < after_ms;)
            uv_run(&w->loop, UV_RUN_NOWAIT);
        dm_rpc_cancel(o.call);
        run_until(w, &o.done, 1);
        run_until(w, &w->cancelled, cancelled + 1);
        dm_incoming_reply(w->held, NULL, text_span(""));
    }
}

TEST(who_takes_back_call_after_call_is_hung_up_on) {
    struct world w;
    const struct dm_server_limits limits = {.max_streams = 2, .hasty_ms = TEST_PATIENCE_MS};
    world_open(&w);
    world_serve(&w, &limits);
    struct dm_channel *one = dial_now(&w), *other = dial_now(&w);
    for (int i = 0; i < 2; i++) {
        take_back(&w, one, 4, 0);
        CHECK_INT(unary(&w, one, "/test.T/Echo", "x").code, DM_OK); /* counts anew */
    }
    take_back(&w, one, 5, 0);
    CHECK_INT(unary(&w, one, "/test.T/Echo", "x").code, DM_UNAVAILABLE);
    CHECK_INT(unary(&w, other, "/test.T/Echo", "x").code, DM_OK);
    channel_close_now(&w, one);
    channel_close_now(&w, other);
    world_close(&w);
}

TEST(who_gives_up_after_a_while_may_do_so_for_ever) {
    struct world w;
    const struct dm_server_limits limits = {.max_streams = 1, .hasty_ms = 1};
    world_open(&w);
    world_serve(&w, &limits);
    struct dm_channel *channel = dial_now(&w);
    take_back(&w, channel, 6, 2);
    CHECK_INT(unary(&w, channel, "/test.T/Echo", "x").code, DM_OK);
    channel_close_now(&w, channel);
    world_close(&w);
}

TEST(who_owes_most_is_hung_up_on_when_too_much_waits_to_be_taken) {
    struct world w;
    const struct dm_server_limits limits = {.max_queued = 2 << 20};
    struct outcome small = {0}, big = {0};
    world_open(&w);
    world_serve(&w, &limits);
    struct dm_channel *one = dial_now(&w), *other = dial_now(&w);
    start_stream(&small, one, "/test.T/Many", "10 100000", TEST_PATIENCE_MS);
    start_stream(&big, other, "/test.T/Many", "40 100000", TEST_PATIENCE_MS);
    run_until(&w, &small.done, 1);
    run_until(&w, &big.done, 1);
    CHECK_INT(small.code, DM_OK);
    CHECK_INT(small.messages, 10);
    CHECK_INT(big.code, DM_UNAVAILABLE);
    while (w.server->queued) /* the last send is told a moment after its message is here */
        uv_run(&w.loop, UV_RUN_ONCE);
    CHECK_INT(unary(&w, one, "/test.T/Echo", "x").code, DM_OK);
    channel_close_now(&w, one);
    channel_close_now(&w, other);
    world_close(&w);
}

static size_t resident_kib(void) {
    char line[256];
    size_t kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %zu", &kib) == 1)
            break;
    fclose(f);
    return kib;
}

TEST(a_thousand_idle_connections_are_cheap_and_go_away) {
    enum { N = 1000, KIB_EACH = 256 };
    struct world w;
    static int fds[N];
    struct rlimit files = {.rlim_cur = 0};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max < 8192 ? files.rlim_max : 8192;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < 4 * N)
        return; /* three descriptors each, here where both ends are ours */
    world_open(&w);
    world_serve(&w, NULL);
    size_t before = resident_kib();
    for (int i = 0; i < N; i++)
        fds[i] = raw_connect(w.path);
    run_until_connections(&w, N);
    size_t grown = resident_kib() - before;
    printf("# %zu KiB each\n", grown / N);
    CHECK(grown < (size_t)N * KIB_EACH);
    for (int i = 0; i < N; i++)
        close(fds[i]);
    run_until_connections(&w, 0);
    world_close(&w);
}

TEST(accepting_goes_on_after_descriptors_ran_out) {
    struct world w;
    struct rlimit before, tight;
    int hogs[64], n = 0, client;
    world_open(&w);
    world_serve(&w, NULL);
    client = raw_connect(w.path);
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)client + 8;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &tight), 0);
    while (n < 64 && (hogs[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        n++;
    close(hogs[--n]); /* one for accept, none for the duplicate */
    for (int i = 0; i < 20; i++)
        raw_turn(&w);
    CHECK_INT(w.server->n_connections, 0);
    while (n > 0)
        close(hogs[--n]);
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &before), 0);
    close(client); /* that one was refused */
    struct dm_channel *channel = dial_now(&w);
    CHECK_INT(unary(&w, channel, "/test.T/Echo", "x").code, DM_OK);
    channel_close_now(&w, channel);
    world_close(&w);
}
