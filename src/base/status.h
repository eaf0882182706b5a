/* status.h -- the outcome of an RPC in gRPC's numbers (grpc/status.h), for those who may not see gRPC.
 * Names are spelled as in Go, because the kubelet's texts carry them: "rpc error: code = Unavailable desc = ...". */
#ifndef DM_BASE_STATUS_H
#define DM_BASE_STATUS_H
#include <stdbool.h>

enum dm_code {
    DM_OK,
    DM_CANCELLED,
    DM_UNKNOWN,
    DM_INVALID_ARGUMENT,
    DM_DEADLINE_EXCEEDED,
    DM_NOT_FOUND,
    DM_ALREADY_EXISTS,
    DM_PERMISSION_DENIED,
    DM_RESOURCE_EXHAUSTED,
    DM_FAILED_PRECONDITION,
    DM_ABORTED,
    DM_OUT_OF_RANGE,
    DM_UNIMPLEMENTED,
    DM_INTERNAL,
    DM_UNAVAILABLE,
    DM_DATA_LOSS,
    DM_UNAUTHENTICATED
};
struct dm_status {
    int code;            /* enum dm_code; other numbers as received */
    const char *message; /* never NULL; valid UTF-8, at most 1 KiB when it came from a plugin */
    bool unusable;       /* our word, not the plugin's: it answered, with what is no answer or too large */
};
const char *dm_code_name(int code);      /* "OK", "Canceled", "Unknown", ...; "Code(42)" reads "Code" */
int dm_code_from_name(const char *name); /* any case, with or without '_'; -1: none */
#endif
