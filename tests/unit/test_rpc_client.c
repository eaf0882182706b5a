/* test_rpc_client.c -- dialling, and calls to servers that are well, late, silent, broken or odd. */
#include "rpc_raw.h"

/* ---- dialling ------------------------------------------------------------------------------------------------ */

TEST(a_dial_waits_for_a_server_that_comes_later) {
    struct world w;
    struct dialled d = {0};
    world_open(&w);
    dm_dial_start(w.rpc, w.path, TEST_PATIENCE_MS, TEST_MAX_RECEIVE, on_dialled, &d);
    for (int i = 0; i < 5; i++)
        raw_turn(&w);
    CHECK_INT(d.done, 0);
    world_serve(&w, NULL);
    run_until(&w, &d.done, 1);
    CHECK_STR(d.message, "");
    CHECK_STR(unary(&w, d.channel, "/test.T/Echo", "hi").first, "hi");
    channel_close_now(&w, d.channel);
    world_close(&w);
}

TEST(a_dial_that_gives_up_says_what_it_met) {
    struct world w;
    struct dialled d = {0};
    char want[256];
    world_open(&w);
    dm_dial_start(w.rpc, w.path, 30, TEST_MAX_RECEIVE, on_dialled, &d);
    CHECK_INT(d.done, 0);
    run_until(&w, &d.done, 1);
    snprintf(want, sizeof want, "gave up after 30 ms: %s: connect: No such file or directory", w.path);
    CHECK_STR(d.message, want);
    CHECK_INT(d.code, -ENOENT);
    CHECK(!d.channel);
    world_close(&w);
}

TEST(a_dead_socket_refuses) {
    struct world w;
    struct dialled d = {0};
    world_open(&w);
    close(dm_socket_listen(w.path, NULL));
    dm_dial_start(w.rpc, w.path, 0, TEST_MAX_RECEIVE, on_dialled, &d);
    run_until(&w, &d.done, 1);
    CHECK_INT(d.code, -ECONNREFUSED);
    world_close(&w);
}

TEST(what_cannot_get_better_is_not_tried_again) {
    struct world w;
    struct dialled d = {0};
    char path[200];
    world_open(&w);
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = 0;
    dm_dial_start(w.rpc, path, TEST_PATIENCE_MS, TEST_MAX_RECEIVE, on_dialled, &d);
    CHECK_INT(d.done, 0); /* not even this one inside the call */
    run_until(&w, &d.done, 1);
    CHECK_INT(d.code, -ENAMETOOLONG);
    world_close(&w);
}

TEST(a_dial_can_be_cancelled) {
    struct world w;
    struct dialled d = {0};
    world_open(&w);
    struct dm_dial *dial = dm_dial_start(w.rpc, w.path, TEST_PATIENCE_MS, TEST_MAX_RECEIVE, on_dialled, &d);
    for (int i = 0; i < 3; i++)
        raw_turn(&w);
    dm_dial_cancel(dial);
    dm_dial_cancel(dial);
    CHECK_INT(d.done, 0);
    run_until(&w, &d.done, 1);
    CHECK_INT(d.code, -ECANCELED);
    world_close(&w);
    CHECK_INT(d.done, 1);
}

TEST(a_bridge_may_be_released_while_a_dial_is_on) {
    struct world w;
    struct dialled d = {0};
    world_open(&w);
    struct dm_dial *dial = dm_dial_start(w.rpc, w.path, TEST_PATIENCE_MS, TEST_MAX_RECEIVE, on_dialled, &d);
    dm_rpc_release(w.rpc, count_closed, &w.closed);
    for (int i = 0; i < 5; i++)
        raw_turn(&w);
    CHECK_INT(w.closed, 0);
    dm_dial_cancel(dial);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    CHECK_INT(d.code, -ECANCELED);
    CHECK_INT(w.closed, 1);
    CHECK_INT(uv_loop_close(&w.loop), 0);
    CHECK_INT(rmdir(w.dir), 0);
}

TEST(sixty_four_dials_at_once) {
    enum { N = 64 };
    struct world w;
    struct dialled d[N] = {0};
    struct outcome o[N];
    int closed = 0;
    world_open(&w);
    world_serve(&w, NULL);
    for (int i = 0; i < N; i++)
        dm_dial_start(w.rpc, w.path, TEST_PATIENCE_MS, TEST_MAX_RECEIVE, on_dialled, &d[i]);
    for (int i = 0; i < N; i++) {
        run_until(&w, &d[i].done, 1);
        start_unary(&o[i], d[i].channel, "/test.T/Echo", "hi", TEST_PATIENCE_MS);
    }
    for (int i = 0; i < N; i++) {
        run_until(&w, &o[i].done, 1);
        CHECK_STR(o[i].first, "hi");
        dm_channel_close(d[i].channel, count_closed, &closed);
    }
    run_until(&w, &closed, N);
    CHECK_INT(w.handled, N);
    world_close(&w);
}

TEST(a_full_backlog_is_waited_out) {
    struct world w;
    struct dialled d = {0};
    int fds[4], n = 0, fd;
    world_open(&w);
    int l = dm_socket_listen(w.path, NULL);
    CHECK_INT(listen(l, 1), 0);
    while (n < 4 && (fd = dm_socket_connect(w.path, NULL)) >= 0)
        fds[n++] = fd;
    dm_dial_start(w.rpc, w.path, TEST_PATIENCE_MS, TEST_MAX_RECEIVE, on_dialled, &d);
    for (int i = 0; i < 5; i++)
        raw_turn(&w);
    CHECK_INT(d.done, 0);
    close(accept(l, NULL, NULL));
    run_until(&w, &d.done, 1);
    CHECK_STR(d.message, "");
    channel_close_now(&w, d.channel);
    while (n > 0)
        close(fds[--n]);
    close(l);
    world_close(&w);
}

TEST(a_channel_knows_who_listens) {
    struct world w;
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w);
    CHECK_INT(dm_channel_peer(channel).pid, getpid());
    CHECK_INT(dm_channel_peer(channel).uid, getuid());
    channel_close_now(&w, channel);
    world_close(&w);
}

TEST(an_fd_that_is_no_socket_is_refused_and_closed) {
    struct world w;
    struct dm_channel *channel = NULL;
    devmgr_error err = {0};
    world_open(&w);
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    CHECK_INT(dm_channel_from_fd(w.rpc, fd, 1000, &channel, &err) < 0, 1);
    CHECK_INT(fcntl(fd, F_GETFD), -1);
    CHECK(!channel);
    world_close(&w);
}

/* ---- deadlines and cancelling --------------------------------------------------------------------------------- */

TEST(a_deadline_ends_a_call_on_both_sides) {
    struct world w;
    struct outcome o;
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w);
    start_unary(&o, channel, "/test.T/Hold", "", 50);
    run_until(&w, &o.done, 1);
    CHECK_INT(o.code, DM_DEADLINE_EXCEEDED);
    run_until(&w, &w.cancelled, 1);
    CHECK(w.timeout_ms >= 0 && w.timeout_ms <= 50);
    CHECK(dm_incoming_cancelled(w.held));
    dm_incoming_reply(w.held, NULL, text_span("too late"));
    channel_close_now(&w, channel);
    world_close(&w);
}

TEST(no_timeout_is_for_ever) {
    struct world w;
    struct outcome o;
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w);
    start_unary(&o, channel, "/test.T/Hold", "", DM_NO_TIMEOUT);
    run_until(&w, &w.handled, 1);
    CHECK_INT(w.timeout_ms, DM_FOREVER);
    dm_incoming_reply(w.held, NULL, text_span("at last"));
    run_until(&w, &o.done, 1);
    CHECK_STR(o.first, "at last");
    channel_close_now(&w, channel);
    world_close(&w);
}

TEST(a_cancelled_call_ends_CANCELLED_once_and_later) {
    struct world w;
    struct outcome o;
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w);
    start_unary(&o, channel, "/test.T/Hold", "", TEST_PATIENCE_MS);
    run_until(&w, &w.handled, 1);
    dm_rpc_cancel(o.call);
    dm_rpc_cancel(o.call);
    CHECK_INT(o.done, 0);
    run_until(&w, &o.done, 1);
    CHECK_INT(o.code, DM_CANCELLED);
    run_until(&w, &w.cancelled, 1);
    dm_incoming_reply(w.held, NULL, (struct dm_span){0});
    channel_close_now(&w, channel);
    world_close(&w);
    CHECK_INT(o.done, 1);
}

TEST(a_call_cancelled_before_it_was_sent) {
    struct world w;
    struct outcome o;
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w);
    start_unary(&o, channel, "/test.T/Echo", "x", TEST_PATIENCE_MS);
    dm_rpc_cancel(o.call);
    run_until(&w, &o.done, 1);
    CHECK_INT(o.code, DM_CANCELLED);
    CHECK_INT(o.bytes, 0);
    channel_close_now(&w, channel);
    world_close(&w);
}

TEST(a_stream_cancelled_inside_its_message_callback_brings_no_more) {
    struct world w;
    struct outcome o = {.cancel_at = 3};
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w);
    start_stream(&o, channel, "/test.T/Many", "1000 1000", TEST_PATIENCE_MS);
    run_until(&w, &o.done, 1);
    CHECK_INT(o.messages, 3);
    CHECK_INT(o.code, DM_CANCELLED);
    channel_close_now(&w, channel);
    world_close(&w);
}

struct closer {
    struct outcome o;
    struct dm_channel *channel;
    int closed;
};

static void close_inside(void *arg, const struct dm_status *status, struct dm_span response) {
    struct closer *c = arg;
    on_unary(&c->o, status, response);
    dm_channel_close(c->channel, count_closed, &c->closed);
    CHECK_INT(c->closed, 0);
}

TEST(a_channel_closed_inside_a_callback) {
    struct world w;
    struct closer c = {0};
    struct outcome other;
    world_open(&w);
    world_serve(&w, NULL);
    c.channel = dial_now(&w);
    start_unary(&other, c.channel, "/test.T/Hold", "", TEST_PATIENCE_MS);
    dm_unary_start(c.channel, "/test.T/Echo", text_span("x"), TEST_PATIENCE_MS, close_inside, &c);
    run_until(&w, &c.closed, 1);
    CHECK_INT(other.done, 1); /* `closed` is the last word of a channel */
    CHECK_INT(other.code, DM_CANCELLED);
    CHECK_INT(c.o.code, DM_OK);
    run_until(&w, &w.cancelled, 1);
    dm_incoming_reply(w.held, NULL, (struct dm_span){0});
    world_close(&w);
}

TEST(a_channel_closed_with_calls_open_ends_them_first) {
    enum { N = 5 };
    struct world w;
    struct outcome o[N] = {0};
    int closed = 0;
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w);
    for (int i = 0; i < N; i++)
        start_stream(&o[i], channel, "/test.T/Many", "1000 1000", TEST_PATIENCE_MS);
    run_until(&w, &o[0].messages, 1);
    dm_channel_close(channel, count_closed, &closed);
    run_until(&w, &closed, 1);
    for (int i = 0; i < N; i++) {
        CHECK_INT(o[i].done, 1);
        CHECK_INT(o[i].code, DM_CANCELLED);
    }
    world_close(&w);
}

/* ---- sizes ----------------------------------------------------------------------------------------------------- */

TEST(a_response_of_60_MiB_arrives_in_one_piece) {
    struct world w;
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w);
    struct outcome o = unary(&w, channel, "/test.T/Big", "62914560");
    CHECK_STR(o.text, "");
    CHECK_INT(o.code, DM_OK);
    CHECK_INT(o.bytes, 60 << 20);
    channel_close_now(&w, channel);
    world_close(&w);
}

TEST(an_empty_response_is_a_response) {
    struct world w;
    world_open(&w);
    world_serve(&w, NULL);
    struct dm_channel *channel = dial_now(&w);
    struct outcome o = unary(&w, channel, "/test.T/Big", "0");
    CHECK_INT(o.code, DM_OK);
    CHECK_INT(o.bytes, 0);
    channel_close_now(&w, channel);
    world_close(&w);
}

TEST(a_message_over_the_limit_ends_its_call_alone) {
    struct world w;
    struct dialled d = {0};
    world_open(&w);
    world_serve(&w, NULL);
    dm_dial_start(w.rpc, w.path, TEST_PATIENCE_MS, 1000, on_dialled, &d);
    run_until(&w, &d.done, 1);
    CHECK_INT(unary(&w, d.channel, "/test.T/Big", "1000").code, DM_OK);
    struct outcome o = unary(&w, d.channel, "/test.T/Big", "1001");
    CHECK_INT(o.code, DM_RESOURCE_EXHAUSTED);
    CHECK_STR(o.text, "Received message larger than max (1001 vs. 1000)");
    o = (struct outcome){0};
    start_stream(&o, d.channel, "/test.T/Many", "2 5000000", TEST_PATIENCE_MS);
    run_until(&w, &o.done, 1);
    CHECK_INT(o.code, DM_RESOURCE_EXHAUSTED);
    CHECK_INT(o.messages, 0);
    CHECK_INT(unary(&w, d.channel, "/test.T/Echo", "x").code, DM_OK);
    channel_close_now(&w, d.channel);
    world_close(&w);
}

TEST(a_request_over_the_servers_limit_is_refused) {
    struct world w;
    const struct dm_server_limits limits = {.max_receive = 8};
    world_open(&w);
    world_serve(&w, &limits);
    struct dm_channel *channel = dial_now(&w);
    CHECK_INT(unary(&w, channel, "/test.T/Echo", "12345678").code, DM_OK);
    struct outcome o = unary(&w, channel, "/test.T/Echo", "123456789");
    CHECK_INT(o.code, DM_RESOURCE_EXHAUSTED);
    CHECK_STR(o.text, "Received message larger than max (9 vs. 8)");
    CHECK_INT(unary(&w, channel, "/test.T/Echo", "x").code, DM_OK);
    CHECK_INT(w.handled, 2);
    channel_close_now(&w, channel);
    world_close(&w);
}

/* ---- servers that are not well ------------------------------------------------------------------------------ */

TEST(a_server_that_accepts_and_never_speaks_costs_a_deadline) {
    struct world w;
    struct outcome o;
    struct dm_channel *channel;
    world_open(&w);
    int server = raw_pair(&w, 1000, &channel);
    start_unary(&o, channel, "/test.T/Echo", "x", 50);
    run_until(&w, &o.done, 1);
    CHECK_INT(o.code, DM_DEADLINE_EXCEEDED);
    channel_close_now(&w, channel);
    close(server);
    world_close(&w);
}

TEST(a_server_that_speaks_something_else_ends_the_call_and_the_channel) {
    static const struct {
        const char *says;
        size_t len;
        int code;
    } rows[] = {
        {"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", 47, DM_INTERNAL},
        {"SSH-2.0-OpenSSH_9.2p1 Debian\r\n", 30, DM_UNAVAILABLE},
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20, DM_UNAVAILABLE},
    };
    EACH(row, rows) {
        struct world w;
        struct outcome o;
        struct dm_channel *channel;
        DM_CLEANUP(dm_buf_free) struct dm_buf b = {0};
        world_open(&w);
        int server = raw_pair(&w, 1000, &channel);
        start_unary(&o, channel, "/test.T/Echo", "x", TEST_PATIENCE_MS);
        dm_buf_add(&b, row->says, row->len);
        raw_write(&w, server, &b);
        run_until(&w, &o.done, 1);
        CHECK_INT(o.code, row->code);
        CHECK_INT(unary(&w, channel, "/test.T/Echo", "x").code, DM_UNAVAILABLE);
        channel_close_now(&w, channel);
        close(server);
        world_close(&w);
    }
}

/* C core compares a length with its limit when the whole message has come: what is bounded is what it keeps. */
TEST(a_message_that_never_ends_is_cut_off_when_memory_runs_out) {
    struct world w;
    struct outcome o;
    struct dm_channel *channel;
    struct raw_flow flow = RAW_FLOW_INIT;
    DM_CLEANUP(dm_buf_free) struct dm_buf b = {0};
    enum { CHUNK = 16000, LIMIT = 100 << 20 };
    static uint8_t chunk[CHUNK];
    size_t sent = 0;
    world_open(&w);
    int server = raw_pair(&w, 1000, &channel);
    start_unary(&o, channel, "/test.T/Echo", "x", TEST_PATIENCE_MS);
    raw_await(&w, server, RAW_HEADERS);
    raw_response(&b, NULL);
    raw_message(&b, 0, 0, 4u << 28, NULL, 0);
    raw_write(&w, server, &b);
    b.len = 0;
    raw_frame(&b, RAW_DATA, 0, 1, chunk, CHUNK);
    while (!o.done && sent < LIMIT) {
        raw_flow_read(&w, server, &flow);
        if (raw_flow_take(&flow, CHUNK)) {
            raw_write(&w, server, &b);
            sent += CHUNK;
        }
    }
    CHECK_INT(o.done, 1);
    CHECK_INT(o.code, DM_RESOURCE_EXHAUSTED);
    dm_buf_free(&flow.got);
    channel_close_now(&w, channel);
    close(server);
    world_close(&w);
}

TEST(a_lost_connection_ends_calls_UNAVAILABLE_and_later_ones_at_once) {
    struct world w;
    struct outcome stream = {0}, call;
    struct dm_channel *channel;
    world_open(&w);
    int server = raw_pair(&w, 1000, &channel);
    start_stream(&stream, channel, "/test.T/Many", "", DM_NO_TIMEOUT);
    start_unary(&call, channel, "/test.T/Echo", "x", DM_NO_TIMEOUT);
    raw_await(&w, server, RAW_HEADERS);
    close(server);
    run_until(&w, &stream.done, 1);
    run_until(&w, &call.done, 1);
    CHECK_INT(stream.code, DM_UNAVAILABLE);
    CHECK_INT(call.code, DM_UNAVAILABLE);
    start_unary(&call, channel, "/test.T/Echo", "x", DM_NO_TIMEOUT);
    CHECK_INT(call.done, 0);
    run_until(&w, &call.done, 1);
    CHECK_INT(call.code, DM_UNAVAILABLE);
    start_stream(&stream, channel, "/test.T/Many", "", DM_NO_TIMEOUT);
    run_until(&w, &stream.done, 1);
    CHECK_INT(stream.code, DM_UNAVAILABLE);
    channel_close_now(&w, channel);
    world_close(&w);
}

static void answer_compressed(struct dm_buf *b) {
    raw_message(b, 0, 1, RAW_GZIP_HELLO, raw_gzip_hello, RAW_GZIP_HELLO);
    raw_trailers(b, "0", NULL);
}

/* What a server may answer to a unary call of /test.T/Echo, written by hand. */
static struct outcome odd_answer(void (*answer)(struct dm_buf *b)) {
    struct world w;
    struct outcome o;
    struct dm_channel *channel;
    DM_CLEANUP(dm_buf_free) struct dm_buf b = {0};
    world_open(&w);
    int server = raw_pair(&w, 1000, &channel);
    start_unary(&o, channel, "/test.T/Echo", "x", 200); /* only some run into it */
    raw_await(&w, server, RAW_HEADERS);
    raw_response(&b, answer == answer_compressed ? "gzip" : NULL);
    answer(&b);
    raw_write(&w, server, &b);
    run_until(&w, &o.done, 1);
    channel_close_now(&w, channel);
    close(server);
    world_close(&w);
    return o;
}

static void answer_well(struct dm_buf *b) {
    raw_message(b, 0, 0, 3, "yes", 3);
    raw_trailers(b, "0", NULL);
}

static void answer_without_message(struct dm_buf *b) {
    raw_trailers(b, "0", NULL);
}

static void answer_twice(struct dm_buf *b) {
    raw_message(b, 0, 0, 3, "one", 3);
    raw_message(b, 0, 0, 3, "two", 3);
    raw_trailers(b, "0", NULL);
}

static void answer_binary_text(struct dm_buf *b) {
    raw_trailers(b, "9", "a%00b%FFc%E2%82%ACd%C3");
}

static void answer_unknown_code(struct dm_buf *b) {
    raw_trailers(b, "42", "beyond");
}

static void answer_huge_claim(struct dm_buf *b) {
    raw_message(b, 0, 0, 0xfffffff0u, "x", 1);
}

static void answer_half(struct dm_buf *b) {
    raw_message(b, RAW_END_STREAM, 0, 100, "half", 4);
}

static void answer_nothing_and_end(struct dm_buf *b) {
    raw_frame(b, RAW_DATA, RAW_END_STREAM, 1, NULL, 0);
}

static void answer_goaway(struct dm_buf *b) {
    static const uint8_t body[8] = {0, 0, 0, 0, 0, 0, 0, 0}; /* last stream 0: yours was not begun */
    raw_frame(b, RAW_GOAWAY, 0, 0, body, sizeof body);
}

TEST(odd_answers_end_the_call_with_a_code_and_a_clean_text) {
    static const struct {
        const char *what;
        void (*answer)(struct dm_buf *b);
        int code;
        const char *text; /* NULL: gRPC's own words */
    } rows[] = {
        {"well", answer_well, DM_OK, ""},
        {"no message", answer_without_message, DM_INTERNAL, "the server answered OK, but without a message"},
        {"two messages", answer_twice, DM_INTERNAL, "the server answered with more than one message"},
        {"binary text", answer_binary_text, DM_FAILED_PRECONDITION,
         "a\xef\xbf\xbd"
         "b\xef\xbf\xbd"
         "c\xe2\x82\xac"
         "d\xef\xbf\xbd"},
        {"unknown code", answer_unknown_code, 42, "beyond"},
        {"claims 4 GiB and waits", answer_huge_claim, DM_DEADLINE_EXCEEDED, NULL},
        {"half a message", answer_half, DM_UNAVAILABLE, "the server hung up without a status"},
        {"compressed", answer_compressed, DM_UNIMPLEMENTED, NULL},
        {"end without status", answer_nothing_and_end, DM_UNAVAILABLE, "the server hung up without a status"},
        {"goaway", answer_goaway, DM_UNAVAILABLE, NULL},
    };
    EACH(row, rows) {
        struct outcome o = odd_answer(row->answer);
        printf("# %s: %d %s %zu %s\n", row->what, o.code, o.text, o.bytes, o.first);
        CHECK_INT(o.code, row->code);
        if (row->text)
            CHECK_STR(o.text, row->text);
        CHECK_INT(o.done, 1);
    }
}
