/* test_rpc_server.c -- what a server and its clients see of each other. */
#include "rpc_world.h"

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
    channel_close_now(&w, channel);
    world_close(&w);
}
