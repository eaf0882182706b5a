/* Any bytes as what two plugins answer to Allocate, GetPreferredAllocation and PreStartContainer, on the way from the wire
 * through the decoders of registration into the manager, while pods come and go, lists change, plugins end and disks
 * fail. After each step the manager's invariants hold; each caller is told once; who is admitted is on disk, with an answer
 * that is taken again after a restart; at the end nothing is reserved.
 *
 * The input is a script: a letter, its arguments, no separators; what is no letter of these is passed over.
 *   A p s   admit pod p (0-3) with the spec s (0-7, below)   L r l h  list of resource r (0-1): devices l, healthy h (bits)
 *   R p     release pod p                                    C r o    r's plugin connects: o 1 prestart, 2 preferred
 *   O p     options of its container main                    G r      r's plugin ends
 *   S c     the write in progress ends, c 0: well            T s      s seconds pass
 *   B n     restart with what is on disk, policy n (0-4, below) from then on; plugins have to come again
 *   M n     there is no memory for the n-th answer from now on that is decoded
 *   P c n m.. the oldest call is answered with status c; 0: and n (two bytes, the lower first) bytes of message */
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "manager/manager.h"
#include "registration/answer.h"
#include "registration/convert.h"
#include "registration/registration.h"
#include "topology/policy.h"
#include <assert.h>
#include <string.h>

enum { PODS = 4, RESOURCES = 2, DEVICES = 8, MAX_CALLS = 32, MAX_STEPS = 2000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const resources[RESOURCES] = {"a.b/gpu", "a.b/nic"};
static const char *const pods[PODS] = {"p0", "p1", "p2", "p3"};
static const char *const policies[] = {"none", "best-effort", "restricted", "single-numa-node", "restricted"};
static const char *const scopes[] = {"container", "container", "container", "container", "pod"};
static const char *const ids[DEVICES] = {"", "d1", "d2", "d3", "d4", "d5", "d6", "d7"};

struct world {
    const uint8_t *at, *end;
    struct dm_settings settings;
    struct dm_topology topology;
    struct dm_manager *m;
    uint64_t mono, generations[RESOURCES];
    struct open {
        uint64_t id;
        enum dm_rpc_kind rpc;
    } calls[MAX_CALLS];
    size_t n_calls;
    struct dm_snapshot *saving, *disk;
    int asked, told;
};

static unsigned no_memory_in; /* how many answers are decoded before; 0: there is enough */

static int decode(struct dm_span bytes, struct dm_answer **ret, devmgr_error *reterr) {
    if (no_memory_in && --no_memory_in == 0)
        return dm_error_set(reterr, -ENOMEM, "no memory");
    return dm_answer_decode(bytes, ret, reterr);
}

static uint8_t byte(struct world *w) {
    return w->at < w->end ? *w->at++ : 0;
}

/* ---- who is told -------------------------------------------------------------------------------------------------- */

static bool on_disk(const struct world *w, const devmgr_claim *c) {
    for (size_t i = 0; w->disk && i < w->disk->n_claims; i++) {
        const struct dm_saved_claim *s = w->disk->claims[i];
        if (strcmp(s->pod_uid, c->pod_uid) || strcmp(s->container, c->container) ||
            strcmp(s->resource, c->resource))
            continue;
        for (size_t k = 0; k < s->n_nodes; k++)
            for (size_t j = 0; j < s->nodes[k].n; j++)
                if (!strcmp(s->nodes[k].ids[j], c->device))
                    return dm_answer_is_message((struct dm_span){s->answer, s->answer_len});
    }
    return false;
}

static void on_admission(void *arg, const devmgr_admission *a) {
    struct world *w = arg;
    w->told++;
    assert((a->verdict == DEVMGR_ADMITTED) == (a->pod != NULL));
    for (size_t i = 0; i < a->n_claims; i++)
        assert(on_disk(w, a->claims[i]));
    if (a->verdict == DEVMGR_NOT_YET || a->verdict == DEVMGR_REFUSED)
        assert(a->cause != DEVMGR_NO_CAUSE && *a->detail && *a->message && !strchr(a->detail, '\n'));
}

static void check_text(const char *text) {
    assert(dm_text_utf8(text, strlen(text)));
}

static void on_options(void *arg, int status, const devmgr_options *o, const devmgr_error *err) {
    struct world *w = arg;
    struct dm_map seen = {0};
    w->told++;
    assert((status == 0) == (o != NULL) && (status == 0 || *err->message));
    for (size_t i = 0; o && i < o->n_envs; i++) {
        assert(dm_map_put(&seen, o->envs[i]->name, w));
        check_text(o->envs[i]->name), check_text(o->envs[i]->value);
    }
    for (size_t i = 0; o && i < o->n_mounts; i++)
        check_text(o->mounts[i]->container_path), check_text(o->mounts[i]->host_path);
    for (size_t i = 0; o && i < o->n_cdi_devices; i++)
        check_text(o->cdi_devices[i]);
    dm_map_free(&seen);
}

static void on_done(void *arg, int status, const char *const *uids, size_t n, const devmgr_error *err) {
    struct world *w = arg;
    (void)uids, (void)n;
    w->told++;
    assert((status == 0) == (err == NULL));
}

/* ---- what the manager asks for ------------------------------------------------------------------------------------ */

static void drain(struct world *w);

static void answer(struct world *w, struct dm_call_result *result) {
    dm_manager_answered(w->m, result);
    drain(w);
}

static void take_call(struct world *w, const struct dm_call *c) {
    DM_CLEANUP(dm_buf_free) struct dm_buf request = {0};
    dm_convert_request(c, &request);
    assert(c->n_ids <= DEVICES && c->timeout_ms > 0);
    if (w->n_calls < MAX_CALLS)
        w->calls[w->n_calls++] = (struct open){c->id, c->rpc};
    else
        answer(w, &(struct dm_call_result){.id = c->id, .status = {DM_UNAVAILABLE, "too many", false}});
}

static void drain(struct world *w) {
    struct dm_action a;
    while (dm_manager_next(w->m, &a))
        if (a.kind == DM_DO_CALL)
            take_call(w, a.call);
        else if (a.kind == DM_DO_ANSWER)
            dm_answer_deliver(a.answer);
        else if (a.kind == DM_DO_SAVE) {
            assert(!w->saving);
            w->saving = a.snapshot;
        }
    dm_manager_check(w->m);
}

/* As registration does it with a response from the wire. */
static void answer_message(struct world *w, const struct open *c, struct dm_span message) {
    struct dm_call_result r = {.id = c->id, .status = {DM_OK, "", false}};
    DM_CLEANUP(dm_ids_free) struct dm_ids wish = {0};
    devmgr_error err = {0};
    int bad = 0;
    if (c->rpc == DM_RPC_PREFERRED)
        bad = dm_convert_preferred(message, DEVICES, &wish, &err);
    else if (c->rpc == DM_RPC_ALLOCATE)
        bad = dm_answer_first(message, &r.n_containers, &r.answer, &err);
    r.n_ids = wish.n, r.ids = wish.ids;
    if (bad)
        r = (struct dm_call_result){.id = c->id, .status = {DM_INTERNAL, err.message, true}};
    answer(w, &r);
}

static void answer_oldest(struct world *w, int code, struct dm_span message) {
    if (!w->n_calls)
        return;
    const struct open c = w->calls[0];
    memmove(w->calls, w->calls + 1, --w->n_calls * sizeof *w->calls);
    if (code)
        answer(w, &(struct dm_call_result){.id = c.id, .status = {code, "not today", false}});
    else
        answer_message(w, &c, message);
}

static void saved(struct world *w, bool good) {
    struct dm_snapshot *s = DM_MOVE(w->saving);
    const devmgr_error err = {-ENOSPC, "no space left on device"};
    if (!s)
        return;
    if (good) { /* whoever is told next must find it there */
        dm_snapshot_free(w->disk);
        w->disk = s;
    }
    dm_manager_saved(w->m, good ? 0 : err.code, good ? NULL : &err);
    if (!good)
        dm_snapshot_free(s);
    drain(w);
}

/* ---- what happens -------------------------------------------------------------------------------------------------- */

static devmgr_pod *make_pod(const char *uid, unsigned spec) {
    static const unsigned counts[4][RESOURCES] = {{1, 0}, {2, 1}, {DEVICES, 0}, {0, 2}};
    devmgr_pod *p = devmgr_pod_new(uid, "default", uid);
    if (spec & 4) {
        devmgr_pod_container(p, "setup", DEVMGR_PLAIN_INIT);
        devmgr_pod_limit(p, "setup", resources[0], 1);
        devmgr_pod_wait(p, 5000);
    }
    devmgr_pod_container(p, "main", DEVMGR_APP);
    for (int i = 0; i < RESOURCES; i++)
        devmgr_pod_limit(p, "main", resources[i], counts[spec & 3][i]);
    return p;
}

static void admit(struct world *w, const char *uid, unsigned spec) {
    devmgr_pod *p = make_pod(uid, spec);
    if (dm_manager_admit(w->m, p, on_admission, w, NULL) == 0)
        w->asked++;
    devmgr_pod_free(p);
}

static void list(struct world *w, int r, unsigned listed, unsigned healthy) {
    struct dm_listed_device rows[DEVICES];
    struct dm_device_list l = {0, rows};
    for (unsigned i = 0; i < DEVICES; i++)
        if (listed >> i & 1)
            rows[l.n++] = (struct dm_listed_device){ids[i], healthy >> i & 1, i % 3 != 0, i % 3};
    dm_manager_listed(w->m, resources[r], w->generations[r], &l);
}

static void come(struct world *w, int r, unsigned options) {
    const struct dm_endpoint_info info = {
        resources[r], w->generations[0] + w->generations[1] + 1, "p.sock", 7, options & 1, options & 2};
    if (dm_manager_connected(w->m, &info, NULL) == 0)
        w->generations[r] = info.generation;
}

static void pass(struct world *w, unsigned seconds) {
    w->mono += seconds * 1000;
    dm_manager_time(w->m, w->mono, w->mono * 1000);
    dm_manager_tick(w->m);
}

static struct dm_span message(struct world *w) {
    size_t n = byte(w), left;
    n |= (size_t)byte(w) << 8;
    left = (size_t)(w->end - w->at);
    const struct dm_span m = {w->at, n < left ? n : left};
    w->at += m.len;
    return m;
}

static void begin(struct world *w, unsigned policy) {
    struct dm_numa three;
    int bad = dm_numa_parse("0:10,20,20;1:20,10,20;2:20,20,10", &three, NULL) |
              dm_topology_parse(policies[policy], scopes[policy], "", &three, &w->topology, NULL);
    assert(!bad);
    w->m = dm_manager_new(&w->settings, decode, w->mono, w->mono * 1000);
    dm_manager_topology(w->m, &w->topology);
    if (w->disk)
        dm_manager_restore(w->m, w->disk, DM_START_LOADED);
}

static void end(struct world *w) {
    dm_manager_close(w->m);
    drain(w);
    while (w->n_calls)
        answer_oldest(w, DM_CANCELLED, (struct dm_span){0});
    assert(w->told == w->asked);
}

static void restart(struct world *w, unsigned policy) {
    end(w);
    dm_manager_free(w->m);
    dm_snapshot_free(DM_MOVE(w->saving)); /* the write did not come through */
    begin(w, policy);
}

static void step(struct world *w) {
    uint8_t letter = byte(w), first = byte(w), second;
    int r = first % RESOURCES;
    const char *pod = pods[first % PODS];
    switch (letter) {
    case 'A':
        admit(w, pod, byte(w));
        break;
    case 'R':
        w->asked += dm_manager_release(w->m, pod, NULL, on_done, w) == 0;
        break;
    case 'O':
        w->asked += dm_manager_options(w->m, pod, "main", 0, on_options, w) == 0;
        break;
    case 'L':
        second = byte(w);
        list(w, r, second, byte(w));
        break;
    case 'C':
        come(w, r, byte(w));
        break;
    case 'G':
        dm_manager_gone(w->m, resources[r], w->generations[r], "end of stream");
        break;
    case 'T':
        pass(w, first);
        break;
    case 'S':
        saved(w, first == 0);
        break;
    case 'B':
        restart(w, first % (sizeof policies / sizeof *policies));
        break;
    case 'M':
        no_memory_in = first;
        break;
    case 'P':
        answer_oldest(w, first % 17, first % 17 ? (struct dm_span){0} : message(w));
        break;
    default:
        return;
    }
    drain(w);
}

static int nothing_reserved(void *arg, const devmgr_resource *r) {
    (void)arg;
    assert(r->reserved == 0);
    return 0;
}

static void finish(struct world *w) {
    end(w);
    saved(w, true);
    dm_manager_each_resource(w->m, nothing_reserved, NULL);
    dm_manager_free(w->m);
    dm_snapshot_free(w->saving), dm_snapshot_free(w->disk);
    dm_settings_free(&w->settings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct world w = {.at = data, .end = data + size, .mono = 1000000};
    no_memory_in = 0;
    dm_settings_init(&w.settings);
    begin(&w, 0);
    for (int r = 0; r < RESOURCES; r++) {
        come(&w, r, r == 0 ? 2 : 1);
        list(&w, r, 0xff, 0xff);
    }
    drain(&w);
    for (int i = 0; w.at < w.end && i < MAX_STEPS; i++)
        step(&w);
    finish(&w);
    return 0;
}
