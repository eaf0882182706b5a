/* test_rpc_server.c -- servers: methods, peers, clients that go away or are slow, closing. */
#include "rpc/serving.h"
#include "rpc_raw.h"
#include <sys/wait.h>

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

TEST(whoever_calls_while_a_server_closes_is_told_that_it_is_not_there) {
    enum { TIMES = 20, CALLS = 16 };
    for (int i = 0; i < TIMES; i++) {
        struct world w;
        struct outcome o[CALLS];
        world_open(&w);
        world_serve(&w, NULL);
        struct dm_channel *channel = dial_now(&w);
        CHECK_INT(unary(&w, channel, "/test.T/Echo", "x").code, DM_OK);
        for (int k = 0; k < CALLS; k++)
            start_stream(&o[k], channel, "/test.T/Wait", "", TEST_PATIENCE_MS);
        for (int k = 0; k < i; k++) /* some have come, or none, or all */
            uv_run(&w.loop, UV_RUN_NOWAIT);
        world_stop_serving(&w);
        for (int k = 0; k < CALLS; k++) {
            run_until(&w, &o[k].done, 1);
            CHECK_INT(o[k].code, DM_UNAVAILABLE);
        }
        channel_close_now(&w, channel);
        world_close(&w);
    }
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
