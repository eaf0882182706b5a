/* args.c -- the gRPC arguments that channels and servers have in common, and the bound on what a peer may make us keep.
 *
 * C core compares a message with max_receive_message_length only when all of it has come (grpc/grpc#43012): a peer that
 * announces 4 GiB is given window and memory for 4 GiB. So each connection has a resource quota of its own; who drives
 * gRPC over it loses a call with RESOURCE_EXHAUSTED, "Buffers full". And it unpacks compressed messages without
 * any bound: we offer no compression, switch the unpacking off, and refuse what comes compressed all the same. Never GRPC_ARG_MINIMAL_STACK: it drops deadlines and all limits silently. */
#include "rpc/bridge.h"
#include <limits.h>

grpc_arg dm_arg_integer(const char *key, uint64_t value) {
    return (grpc_arg){.type = GRPC_ARG_INTEGER,
                      .key = (char *)key,
                      .value.integer = value > INT_MAX ? INT_MAX : (int)value};
}

size_t dm_args_common(grpc_arg *list, size_t max_receive, grpc_resource_quota *quota) {
    size_t n = 0;
    list[n++] = dm_arg_integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, max_receive);
    list[n++] = dm_arg_integer(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE);
    list[n++] = dm_arg_integer(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
    list[n++] = dm_arg_integer(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    list[n++] = dm_arg_integer(GRPC_ARG_ENABLE_CHANNELZ, 0);
    list[n++] = (grpc_arg){.type = GRPC_ARG_POINTER,
                           .key = (char *)GRPC_ARG_RESOURCE_QUOTA,
                           .value.pointer = {quota, grpc_resource_quota_arg_vtable()}};
    return n;
}

grpc_resource_quota *dm_quota_new(size_t bytes) {
    grpc_resource_quota *quota = grpc_resource_quota_create("devmgr");
    grpc_resource_quota_resize(quota, bytes);
    return quota;
}
