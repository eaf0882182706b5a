/* pod.c -- a request's Pod message to devmgr_pods: structured, or the text of a manifest.
 *
 * Nothing is begun before all is read, so that a mistake anywhere in a request changes nothing. Errors name the field
 * as a client wrote it ("pod.containers[0].limits[1].count") or the line and field of the manifest. */
#include "base/mem.h"
#include "base/text.h"
#include "control/convert.h"
#include <string.h>

/* A wait longer than that is the same as without end, and no clock runs over. */
#define LONGEST_WAIT_MS (UINT64_C(100) * 365 * 24 * 3600 * 1000)

void dm_pods_free(struct dm_pods *pods) {
    for (size_t i = 0; i < pods->n; i++)
        devmgr_pod_free(pods->pods[i]);
    free(pods->pods);
    *pods = (struct dm_pods){0};
}

static int text_field(struct dm_arena *a, ProtobufCBinaryData text, const char *field, const char **ret,
                      devmgr_error *reterr) {
    bool bad = false;
    *ret = dm_decode_text(a, text, &bad);
    return bad ? dm_error_set(reterr, DEVMGR_EINVALID, "%s: must be UTF-8 without NUL", field) : 0;
}

/* ---- structured ------------------------------------------------------------------------------------------------ */

static int add_limit(struct dm_arena *a, devmgr_pod *pod, const char *container, const PB(Limit) * l,
                     const char *path, devmgr_error *reterr) {
    const char *resource;
    DM_FREE char *field = dm_printf("%s.resource", path);
    int r = text_field(a, l->resource, field, &resource, reterr);
    if (r < 0)
        return r;
    r = devmgr_pod_limit(pod, container, resource, l->count);
    if (r == -EEXIST)
        return dm_error_set(reterr, DEVMGR_EINVALID, "%s: \"%.100s\": given twice", field, resource);
    return r < 0 ? dm_error_set(reterr, DEVMGR_EINVALID, "%s: \"%.100s\": must be a resource name", field,
                                resource)
                 : 0;
}

static int add_container(struct dm_arena *a, devmgr_pod *pod, const PB(Container) * c, const char *path,
                         devmgr_error *reterr) {
    const char *name;
    DM_FREE char *field = dm_printf("%s.name", path);
    int r = text_field(a, c->name, field, &name, reterr);
    if (r < 0)
        return r;
    if ((int)c->kind < DEVMGR_APP || (int)c->kind > DEVMGR_SIDECAR)
        return dm_error_set(reterr, DEVMGR_EINVALID, "%s.kind: %d: must be a ContainerKind", path, c->kind);
    r = devmgr_pod_container(pod, name, (int)c->kind);
    if (r == -EEXIST)
        return dm_error_set(reterr, DEVMGR_EINVALID, "%s: \"%.100s\": given twice", field, name);
    if (r < 0)
        return dm_error_set(reterr, DEVMGR_EINVALID, "%s: \"%.100s\": must be a container name", field, name);
    for (size_t i = 0; r == 0 && i < c->n_limits; i++) {
        DM_FREE char *limit = dm_printf("%s.limits[%zu]", path, i);
        r = add_limit(a, pod, name, c->limits[i], limit, reterr);
    }
    return r;
}

static int read_nodes(const uint32_t *numa, size_t n, const char *path, uint64_t *ret, devmgr_error *reterr) {
    for (size_t i = 0; i < n; i++)
        if (numa[i] > 63)
            return dm_error_set(reterr, DEVMGR_EINVALID, "%s.numa[%zu]: %u: must be a NUMA node from 0 to 63",
                                path, i, numa[i]);
    *ret = dm_decode_numa(numa, n);
    return 0;
}

/* `container` NULL: the pod's. */
static int add_hint(struct dm_arena *a, devmgr_pod *pod, const char *container, const PB(Hint) * h,
                    const char *path, devmgr_error *reterr) {
    devmgr_hint hint = {.kind = (int)h->kind, .preferred = h->preferred};
    DM_FREE char *field = dm_printf("%s.resource", path);
    int r = text_field(a, h->resource, field, &hint.resource, reterr);
    if (r == 0)
        r = read_nodes(h->numa, h->n_numa, path, &hint.numa, reterr);
    if (r < 0)
        return r;
    if (hint.kind < DEVMGR_HINT || hint.kind > DEVMGR_HINT_MORE)
        return dm_error_set(reterr, DEVMGR_EINVALID, "%s.kind: %d: must be a HintKind", path, hint.kind);
    if ((hint.kind == DEVMGR_HINT) != (hint.numa != 0))
        return dm_error_set(reterr, DEVMGR_EINVALID, "%s.numa: %s", path,
                            hint.numa ? "only HINT_NODES has nodes" : "empty: HINT_NODES wants nodes");
    r = devmgr_pod_hint(pod, container, &hint);
    if (r == -ENOENT)
        return r;
    if (r == -ENOSPC)
        return dm_error_set(reterr, DEVMGR_EINVALID, "%s: too many: 65536 hints of 64 resources are allowed",
                            path);
    return r < 0 ? dm_error_set(reterr, DEVMGR_EINVALID, "%s: \"%.100s\": must be a resource name", field,
                                hint.resource)
                 : 0;
}

static int add_hints(struct dm_arena *a, devmgr_pod *pod, const char *container, PB(Hint) * *hints, size_t n,
                     const char *path, devmgr_error *reterr) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        DM_FREE char *at = dm_printf("%s.hints[%zu]", path, i);
        r = add_hint(a, pod, container, hints[i], at, reterr);
    }
    return r;
}

static int add_decision(struct dm_arena *a, devmgr_pod *pod, const char *container, const PB(Container) * c,
                        const char *path, devmgr_error *reterr) {
    DM_FREE char *at = dm_printf("%s.affinity", path);
    uint64_t numa = 0;
    if (!c->affinity)
        return add_hints(a, pod, container, c->hints, c->n_hints, path, reterr);
    if (c->n_hints)
        return dm_error_set(reterr, DEVMGR_EINVALID,
                            "%s.hints: affinity says what was decided; give one of them", path);
    int r = read_nodes(c->affinity->numa, c->affinity->n_numa, at, &numa, reterr);
    return r < 0 ? r : devmgr_pod_affinity(pod, container, numa);
}

/* What says how a container is now; the container itself is there already. */
static int add_state(struct dm_arena *a, devmgr_pod *pod, const PB(Container) * c, const char *path,
                     devmgr_error *reterr) {
    const char *name;
    DM_FREE char *field = dm_printf("%s.name", path);
    int r = text_field(a, c->name, field, &name, reterr);
    if (r < 0)
        return r;
    if (c->running)
        r = devmgr_pod_running(pod, name);
    if (r == 0)
        r = add_decision(a, pod, name, c, path, reterr);
    return r == -ENOENT ? dm_error_set(reterr, DEVMGR_EINVALID,
                                       "%s: \"%.100s\": the pod has no such container", field, name)
                        : r;
}

static int add_states(struct dm_arena *a, devmgr_pod *pod, const PB(Pod) * m, devmgr_error *reterr) {
    int r = add_hints(a, pod, NULL, m->hints, m->n_hints, "pod", reterr);
    for (size_t i = 0; r == 0 && i < m->n_containers; i++) {
        DM_FREE char *path = dm_printf("pod.containers[%zu]", i);
        r = add_state(a, pod, m->containers[i], path, reterr);
    }
    return r;
}

static int structured(struct dm_arena *a, const PB(Pod) * m, struct dm_pods *ret, devmgr_error *reterr) {
    const char *uid = "", *ns = "", *name = "";
    int r = text_field(a, m->uid, "pod.uid", &uid, reterr);
    if (r == 0)
        r = text_field(a, m->namespace_, "pod.namespace", &ns, reterr);
    if (r == 0)
        r = text_field(a, m->name, "pod.name", &name, reterr);
    if (r < 0)
        return r;
    if (!*uid || !*name)
        return dm_error_set(reterr, DEVMGR_EINVALID, "%s: missing; give uid and name, or a manifest",
                            *uid ? "pod.name" : "pod.uid");
    devmgr_pod *pod = devmgr_pod_new(uid, ns, name);
    if (!pod)
        return dm_error_set(reterr, DEVMGR_EINVALID,
                            "pod: uid, namespace and name must be printable, without blanks, at most 253 "
                            "bytes each");
    DM_GROW(ret->pods, ret->n, ret->cap);
    ret->pods[ret->n++] = pod;
    for (size_t i = 0; r == 0 && i < m->n_containers; i++) {
        DM_FREE char *path = dm_printf("pod.containers[%zu]", i);
        r = add_container(a, pod, m->containers[i], path, reterr);
    }
    return r < 0 ? r : add_states(a, pod, m, reterr);
}

/* ---- a manifest ------------------------------------------------------------------------------------------------ */

static size_t count_lines(const char *text, size_t n) {
    size_t lines = 0;
    for (size_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    return lines;
}

/* The document at `start` is bad. Its error counts lines from there; read it once more behind as many empty lines as
 * came before, so that it names the line of the whole text. */
static int complain_from_the_top(const char *text, size_t n, size_t start, devmgr_error *reterr) {
    DM_CLEANUP(dm_buf_free) struct dm_buf padded = {0};
    size_t lines = count_lines(text, start), used;
    devmgr_pod *pod = NULL;
    memset(dm_buf_reserve(&padded, lines), '\n', lines);
    padded.len = lines;
    dm_buf_add(&padded, text + start, n - start);
    int r = devmgr_pod_from_manifest(padded.data, padded.len, &used, &pod, reterr);
    devmgr_pod_free(pod);
    if (r == 0)
        return dm_error_set(reterr, DEVMGR_EINVALID, "cannot be read");
    return r;
}

static int manifest(const char *text, size_t n, size_t most, struct dm_pods *ret, devmgr_error *reterr) {
    for (size_t at = 0, used = 0;; at += used) {
        devmgr_pod *pod = NULL;
        int r = devmgr_pod_from_manifest(text + at, n - at, &used, &pod, reterr);
        if (r < 0)
            return at ? complain_from_the_top(text, n, at, reterr) : r;
        if (!pod)
            break;
        DM_GROW(ret->pods, ret->n, ret->cap);
        ret->pods[ret->n++] = pod;
        if (ret->n > most)
            return most == 1
                       ? dm_error_set(reterr, DEVMGR_EINVALID,
                                      "more than one pod in the manifest; AdmitEach takes several")
                       : dm_error_set(reterr, DEVMGR_EINVALID, "more than %zu pods in the manifest", most);
    }
    return ret->n ? 0 : dm_error_set(reterr, DEVMGR_EINVALID, "no Pod in the manifest");
}

static int from_manifest(struct dm_arena *a, const PB(Pod) * m, size_t most, struct dm_pods *ret,
                         devmgr_error *reterr) {
    if (m->uid.len || m->namespace_.len || m->name.len)
        return dm_error_set(reterr, DEVMGR_EINVALID,
                            "pod: give a manifest, or uid, namespace and name, not both");
    int r = manifest((const char *)m->manifest.data, m->manifest.len, most, ret, reterr);
    if (r < 0)
        return r;
    if ((m->n_containers || m->n_hints) && ret->n > 1)
        return dm_error_set(reterr, DEVMGR_EINVALID,
                            "pod.%s: of which pod? The manifest has %zu; send one at a time",
                            m->n_containers ? "containers" : "hints", ret->n);
    return add_states(a, ret->pods[0], m, reterr);
}

int dm_decode_pods(const PB(Pod) * m, size_t most, struct dm_pods *ret, devmgr_error *reterr) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    const char *tag;
    *ret = (struct dm_pods){0};
    if (!m)
        return dm_error_set(reterr, DEVMGR_EINVALID, "pod: missing");
    int r = text_field(&a, m->tag, "pod.tag", &tag, reterr);
    if (r == 0)
        r = m->manifest.len ? from_manifest(&a, m, most, ret, reterr) : structured(&a, m, ret, reterr);
    for (size_t i = 0; r == 0 && i < ret->n; i++) {
        devmgr_pod_wait(ret->pods[i], m->wait_ms < LONGEST_WAIT_MS ? m->wait_ms : LONGEST_WAIT_MS);
        if (devmgr_pod_tag(ret->pods[i], tag) < 0)
            r = dm_error_set(reterr, DEVMGR_EINVALID,
                             "pod.tag: must be one printable line of at most 256 bytes");
    }
    if (r < 0)
        dm_pods_free(ret);
    return r;
}
