/* calls.h -- one call of the client, described. Private to client.c and calls.c. */
#ifndef DM_CONTROL_CALLS_H
#define DM_CONTROL_CALLS_H
#include "control/client.h"
#include "control/convert.h"

struct dm_exchange {
    const char *method; /* "Admit" */
    const void *request;
    const ProtobufCMessageDescriptor *response;
    bool streaming;
    int64_t timeout_ms; /* 0: none */
    /* One response. *bad: it holds what it may not. Non-zero ends the call and is returned. */
    int (*take)(void *arg, struct dm_arena *a, const void *response, bool *bad);
    void *arg;
};
int dm_client_exchange(struct dm_client *c, const struct dm_exchange *x, devmgr_error *reterr);
#endif
