/* test_rpc_server.c -- servers: methods, peers, limits, clients that go away, stall, flood or speak nonsense. */
#include "rpc/serving.h"
#include "rpc_raw.h"
#include <sys/resource.h>
#include <sys/wait.h>

static void run_until_connections(struct world *w, size_t want) {
    while (w->server->n_connections != want)
        uv_run(&w->loop, UV_RUN_ONCE);
}

/* ---- calls --------------------------------------------------------------------------------------------------- */

TEST(a_unary_call_is_answered) {
    struct world w;
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w);
    struct outcome o = unary(&w, channel, "/test.T/Echo", "hello");
    CHECK_INT(o.code, DM_OK);
    CHECK_STR(o.first, "hello");
    channel_close_now(&w, channel);
    world_close(&w);
}

TEST(an_error_comes_back_with_its_code_and_text) {
    struct world w;
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w);
    struct outcome o = unary(&w, channel, "/test.T/Fail", "");
    CHECK_INT(o.code, DM_FAILED_PRECONDITION);
    CHECK_STR(o.text, "no such luck: \xc3\xa4");
    channel_close_now(&w, channel);
    world_close(&w);
}

TEST(an_unknown_method_is_unimplemented) {
    struct world w;
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w);
    struct outcome o = unary(&w, channel, "/test.T/Nope", "x");
    CHECK_INT(o.code, DM_UNIMPLEMENTED);
    CHECK_STR(o.text, "unknown method /test.T/Nope");
    channel_close_now(&w, channel);
    world_close(&w);
}

TEST(a_stream_of_1000_messages_arrives_in_order_and_ends) {
    struct world w;
    struct outcome o = {0};
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w);
    start_stream(&o, channel, "/test.T/Many", "1000 10", TEST_PATIENCE_MS);
    run_until(&w, &o.done, 1);
    CHECK_INT(o.code, DM_OK);
    CHECK_INT(o.messages, 1000);
    CHECK_STR(o.first, "aaaaaaaaaa");
    CHECK_STR(o.last, "llllllllll"); /* 999 % 26 */
    channel_close_now(&w, channel);
    world_close(&w);
}

TEST(a_stream_may_end_without_a_message_and_with_an_error) {
    const struct dm_status full = {DM_RESOURCE_EXHAUSTED, "full"};
    struct world w;
    struct outcome o = {0};
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w);
    start_stream(&o, channel, "/test.T/Many", "0 0", TEST_PATIENCE_MS);
    run_until(&w, &o.done, 1);
    CHECK_INT(o.code, DM_OK);
    CHECK_INT(o.messages, 0);
    start_stream(&o, channel, "/test.T/HoldStream", "", TEST_PATIENCE_MS);
    run_until(&w, &w.handled, 2);
    dm_incoming_send(w.held, text_span("one"));
    run_until(&w, &o.messages, 1);
    dm_incoming_finish(w.held, &full);
    run_until(&w, &o.done, 1);
    CHECK_INT(o.code, DM_RESOURCE_EXHAUSTED);
    CHECK_STR(o.text, "full");
    CHECK_STR(o.first, "one");
    channel_close_now(&w, channel);
    world_close(&w);
}

TEST(calls_side_by_side_on_one_connection) {
    enum { N = 60 };
    struct world w;
    struct outcome o[N];
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w);
    for (int i = 0; i < N; i++)
        start_unary(&o[i], channel, "/test.T/Echo", i % 2 ? "odd" : "even", TEST_PATIENCE_MS);
    for (int i = 0; i < N; i++) {
        run_until(&w, &o[i].done, 1);
        CHECK_STR(o[i].first, i % 2 ? "odd" : "even");
    }
    channel_close_now(&w, channel);
    world_close(&w);
}

/* ---- who calls ------------------------------------------------------------------------------------------------- */

/* A child that connects, says a request and waits to be killed. */
static pid_t spawn_client(const char *path, const char *method) {
    pid_t pid = fork();
    if (pid == 0) {
        struct dm_buf b = {0};
        int fd = dm_socket_connect(path, NULL);
        raw_request(&b, method, NULL);
        raw_message(&b, RAW_END_STREAM, 0, 1, "x", 1);
        if (write(fd, b.data, b.len) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    return pid;
}

TEST(each_call_knows_the_process_that_made_it) {
    struct world w;
    pid_t children[3];
    world_open(&w);
    world_serve(&w, NULL);
    for (int i = 0; i < 3; i++) {
        children[i] = spawn_client(w.path, "/test.T/Echo");
        run_until(&w, &w.handled, i + 1);
        CHECK_INT(w.peer.pid, children[i]);
        CHECK_INT(w.peer.uid, getuid());
    }
    struct dm_channel *channel = dial_now(&w);
    unary(&w, channel, "/test.T/Echo", "x");
    CHECK_INT(w.peer.pid, getpid());
    channel_close_now(&w, channel);
    for (int i = 0; i < 3; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    run_until_connections(&w, 0);
    world_close(&w);
}

TEST(a_killed_client_cancels_its_call_and_frees_its_connection) {
    struct world w;
    world_open(&w);
    world_serve(&w, NULL);
    pid_t child = spawn_client(w.path, "/test.T/Hold");
    run_until(&w, &w.handled, 1);
    CHECK(!dm_incoming_cancelled(w.held));
    kill(child, SIGKILL);
    run_until(&w, &w.cancelled, 1);
    CHECK_INT(waitpid(child, NULL, 0), child);
    CHECK(dm_incoming_cancelled(w.held));
    CHECK_INT(w.server->n_connections, 1); /* until its call has been ended */
    dm_incoming_reply(w.held, NULL, text_span("nobody reads this"));
    run_until_connections(&w, 0);
    CHECK_INT(w.server->n_calls, 0);
    world_close(&w);
}

static void on_late_cancel(void *arg) {
    ++*(int *)arg;
}

TEST(a_cancel_callback_set_too_late_still_runs_once_and_later) {
    struct world w;
    int late = 0;
    world_open(&w);
    world_serve(&w, NULL);
    pid_t child = spawn_client(w.path, "/test.T/Hold");
    run_until(&w, &w.handled, 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    run_until(&w, &w.cancelled, 1);
    dm_incoming_on_cancel(w.held, on_late_cancel, &late);
    CHECK_INT(late, 0);
    run_until(&w, &late, 1);
    dm_incoming_reply(w.held, NULL, (struct dm_span){0});
    world_close(&w);
    CHECK_INT(late, 1);
    CHECK_INT(w.cancelled, 1);
}

static void end_inside_cancel(void *arg) {
    struct world *w = arg;
    w->cancelled++;
    dm_incoming_finish(w->held, NULL);
}

TEST(a_call_may_be_ended_inside_its_cancel_callback) {
    struct world w;
    world_open(&w);
    world_serve(&w, NULL);
    pid_t child = spawn_client(w.path, "/test.T/HoldStream");
    run_until(&w, &w.handled, 1);
    dm_incoming_on_cancel(w.held, end_inside_cancel, &w);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    run_until(&w, &w.cancelled, 1);
    run_until_connections(&w, 0);
    world_close(&w);
}

/* ---- slow readers ----------------------------------------------------------------------------------------------- */

TEST(what_a_slow_reader_owes_is_counted_and_paid_when_it_reads) {
    struct world w;
    struct outcome o;
    enum { N = 100, SIZE = 10000 };
    static uint8_t body[SIZE];
    DM_CLEANUP(dm_buf_free) struct dm_buf b = {0};
    size_t queued = 0, before;
    world_open(&w);
    world_serve(&w, NULL);
    int client = raw_connect(w.path);
    raw_request(&b, "/test.T/HoldStream", NULL);
    raw_message(&b, RAW_END_STREAM, 0, 0, NULL, 0);
    raw_write(&w, client, &b);
    run_until(&w, &w.handled, 1);
    for (int i = 0; i < N; i++) {
        before = queued;
        queued = dm_incoming_send(w.held, (struct dm_span){body, SIZE});
        CHECK(queued <= before + SIZE);
        raw_turn(&w);
    }
    CHECK(queued > SIZE * (N - 20)); /* 64 KiB of window and as much of buffer went out */
    CHECK(queued < SIZE * N);
    close(client);
    run_until(&w, &w.cancelled, 1);
    CHECK_INT(dm_incoming_send(w.held, (struct dm_span){body, SIZE}), 0);
    dm_incoming_finish(w.held, NULL);
    run_until_connections(&w, 0);

    struct dm_channel *channel = dial_now(&w); /* and one that reads gets all of it */
    o = (struct outcome){0};
    start_stream(&o, channel, "/test.T/Many", "100 10000", TEST_PATIENCE_MS);
    run_until(&w, &o.done, 1);
    CHECK_INT(o.bytes, N * SIZE);
    CHECK(w.most_queued > SIZE * (N - 20));
    channel_close_now(&w, channel);
    world_close(&w);
}

TEST(a_client_that_never_takes_its_answer_loses_the_call) {
    struct world w;
    const struct dm_server_limits limits = {.stall_ms = 100};
    DM_CLEANUP(dm_buf_free) struct dm_buf b = {0};
    world_open(&w);
    world_serve(&w, &limits);
    int client = raw_connect(w.path);
    raw_request(&b, "/test.T/Big", NULL);
    raw_message(&b, RAW_END_STREAM, 0, 7, "1000000", 7);
    raw_write(&w, client, &b);
    run_until(&w, &w.handled, 1);
    CHECK_INT(w.server->n_calls, 1);
    while (w.server->n_calls > 0)
        uv_run(&w.loop, UV_RUN_ONCE);
    CHECK_INT(w.server->n_connections, 1); /* it may call again */
    close(client);
    world_close(&w);
}

TEST(a_client_that_never_sends_its_request_loses_the_call) {
    struct world w;
    const struct dm_server_limits limits = {.stall_ms = 50};
    DM_CLEANUP(dm_buf_free) struct dm_buf b = {0};
    world_open(&w);
    world_serve(&w, &limits);
    int client = raw_connect(w.path);
    raw_request(&b, "/test.T/Echo", NULL);
    raw_write(&w, client, &b);
    while (w.server->n_calls == 0)
        uv_run(&w.loop, UV_RUN_ONCE);
    while (w.server->n_calls > 0)
        uv_run(&w.loop, UV_RUN_ONCE);
    CHECK_INT(w.handled, 0);
    close(client);
    world_close(&w);
}

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

TEST(calls_over_the_limit_are_refused_alone) {
    struct world w;
    const struct dm_server_limits limits = {.max_calls = 2};
    struct outcome a, b, c;
    world_open(&w);
    world_serve(&w, &limits);
    struct dm_channel *one = dial_now(&w), *other = dial_now(&w);
    start_unary(&a, one, "/test.T/Hold", "", TEST_PATIENCE_MS);
    run_until(&w, &w.handled, 1);
    struct dm_incoming *first = w.held;
    start_unary(&b, one, "/test.T/Hold", "", TEST_PATIENCE_MS);
    run_until(&w, &w.handled, 2);
    c = unary(&w, other, "/test.T/Echo", "x");
    CHECK_INT(c.code, DM_RESOURCE_EXHAUSTED);
    CHECK_STR(c.text, "too many open calls; try again later");
    dm_incoming_reply(first, NULL, text_span("a"));
    run_until(&w, &a.done, 1);
    while (w.server->n_calls > 1)
        uv_run(&w.loop, UV_RUN_ONCE);
    CHECK_INT(unary(&w, other, "/test.T/Echo", "x").code, DM_OK);
    dm_incoming_reply(w.held, NULL, text_span("b"));
    run_until(&w, &b.done, 1);
    CHECK_STR(b.first, "b");
    channel_close_now(&w, one);
    channel_close_now(&w, other);
    world_close(&w);
}

TEST(connections_over_the_limit_are_closed_and_make_room_again) {
    struct world w;
    const struct dm_server_limits limits = {.max_connections = 2};
    world_open(&w);
    world_serve(&w, &limits);
    struct dm_channel *one = dial_now(&w), *two = dial_now(&w);
    CHECK_INT(unary(&w, one, "/test.T/Echo", "x").code, DM_OK);
    CHECK_INT(unary(&w, two, "/test.T/Echo", "x").code, DM_OK);
    struct dm_channel *three = dial_now(&w);
    CHECK_INT(unary(&w, three, "/test.T/Echo", "x").code, DM_UNAVAILABLE);
    channel_close_now(&w, three);
    channel_close_now(&w, two);
    run_until_connections(&w, 1);
    three = dial_now(&w);
    CHECK_INT(unary(&w, three, "/test.T/Echo", "x").code, DM_OK);
    channel_close_now(&w, three);
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

/* ---- the end ------------------------------------------------------------------------------------------------------ */

TEST(a_server_closes_with_calls_open) {
    struct world w;
    struct outcome call, stream = {0};
    int closed = 0;
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w);
    start_unary(&call, channel, "/test.T/Hold", "", DM_NO_TIMEOUT);
    run_until(&w, &w.handled, 1);
    struct dm_incoming *first = w.held;
    start_stream(&stream, channel, "/test.T/HoldStream", "", DM_NO_TIMEOUT);
    run_until(&w, &w.handled, 2);
    dm_incoming_send(w.held, text_span("x"));
    run_until(&w, &stream.messages, 1);
    dm_server_close(w.server, count_closed, &closed);
    run_until(&w, &w.cancelled, 2);
    run_until(&w, &call.done, 1);
    run_until(&w, &stream.done, 1);
    CHECK_INT(call.code, DM_UNAVAILABLE);
    CHECK_INT(stream.code, DM_UNAVAILABLE);
    for (int i = 0; i < 20; i++)
        raw_turn(&w);
    CHECK_INT(closed, 0); /* handlers have their say first */
    dm_incoming_reply(first, NULL, text_span("x"));
    dm_incoming_finish(w.held, NULL);
    run_until(&w, &closed, 1);
    w.server = NULL;
    channel_close_now(&w, channel);
    world_close(&w);
}

TEST(a_server_that_never_listened_closes_later_too) {
    struct world w;
    int closed = 0;
    world_open(&w);
    CHECK_INT(dm_server_new(w.rpc, test_methods, 1, &w, NULL, &w.server, NULL), 0);
    dm_server_close(w.server, count_closed, &closed);
    CHECK_INT(closed, 0);
    run_until(&w, &closed, 1);
    w.server = NULL;
    world_close(&w);
}

TEST(unlisten_keeps_connections_and_frees_the_path) {
    struct world w;
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w);
    CHECK_INT(unary(&w, channel, "/test.T/Echo", "x").code, DM_OK);
    dm_server_unlisten(w.server, w.listener);
    CHECK_INT(dm_socket_connect(w.path, NULL), -ECONNREFUSED);
    CHECK_INT(unary(&w, channel, "/test.T/Echo", "x").code, DM_OK);
    CHECK_INT(access(w.path, F_OK), 0);
    unlink(w.path);
    int fd = dm_socket_listen(w.path, NULL);
    CHECK_INT(dm_server_listen(w.server, fd, &w.listener, NULL), 0);
    struct dm_channel *again = dial_now(&w);
    CHECK_INT(unary(&w, again, "/test.T/Echo", "x").code, DM_OK);
    channel_close_now(&w, again);
    channel_close_now(&w, channel);
    world_close(&w);
}

TEST(any_order_of_closing_is_fine) {
    for (int order = 0; order < 6; order++) {
        struct world w;
        struct outcome o = {0};
        int done = 0, expected = 3;
        world_open(&w);
        world_serve(&w, NULL);
        struct dm_channel *channel = dial_now(&w);
        start_stream(&o, channel, "/test.T/Many", "10000 100", DM_NO_TIMEOUT);
        run_until(&w, &o.messages, 5);
        static const char *const orders[] = {"scr", "src", "csr", "crs", "rsc", "rcs"};
        for (const char *p = orders[order]; *p; p++) {
            if (*p == 's')
                dm_server_close(w.server, count_closed, &done);
            else if (*p == 'c')
                dm_channel_close(channel, count_closed, &done);
            else
                dm_rpc_release(w.rpc, count_closed, &done);
        }
        CHECK_INT(done, 0);
        uv_run(&w.loop, UV_RUN_DEFAULT);
        CHECK_INT(done, expected);
        CHECK_INT(o.done, 1);
        CHECK_INT(uv_loop_close(&w.loop), 0);
        unlink(w.path);
        rmdir(w.dir);
    }
}
