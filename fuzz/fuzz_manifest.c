/* Any bytes as the manifests of pods, read as callers read them: every call eats something, a pod is whole and keeps to
 * what devmgr_pod_* allow, a mistake is one line that begins with its place, and the same bytes read the same again. */
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "manager/pod.h"
#include "manifest.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *name, size_t most) {
    assert(*name && strlen(name) <= most && !strpbrk(name, " \t\r\n\x7f"));
}

static void check_container(const devmgr_pod *p, const struct dm_pod_container *c) {
    check_name(c->name, 253);
    assert(dm_pod_find(p, c->name) == c); /* no other has its name */
    for (size_t i = 0; i < c->n_limits; i++) {
        const char *resource = c->limits[i].resource;
        check_name(resource, 317);
        assert(strchr(resource, '/') && !strstr(resource, "kubernetes.io/"));
        assert(i == 0 || strcmp(c->limits[i - 1].resource, resource) < 0);
        assert(c->limits[i].count <= INT64_MAX);
    }
}

static void check_pod(const devmgr_pod *p) {
    check_name(devmgr_pod_uid(p), 253);
    check_name(devmgr_pod_namespace(p), 253);
    check_name(devmgr_pod_name(p), 253);
    for (size_t i = 0; i < p->n_containers; i++)
        check_container(p, &p->containers[i]);
}

static void check_error(int code, const devmgr_error *err) {
    size_t line;
    assert(code == DEVMGR_EINVALID && err->code == code);
    assert(sscanf(err->message, "line %zu", &line) == 1 && line > 0);
    assert(!strpbrk(err->message, "\r\n"));
}

/* All that was read, as one text. */
static char *read_all(const char *text, size_t n) {
    struct dm_buf said = {0};
    for (size_t at = 0, used; at < n; at += used) {
        devmgr_pod *p = NULL;
        devmgr_error err = {0};
        int code = devmgr_pod_from_manifest(text + at, n - at, &used, &p, &err);
        assert(used > 0 && used <= n - at);
        if (code < 0) {
            assert(!p);
            check_error(code, &err);
        } else if (p) {
            check_pod(p);
        } else {
            assert(at + used == n);
        }
        dm_buf_printf(&said, "%s;", p ? devmgr_pod_uid(p) : err.message);
        devmgr_pod_free(p);
    }
    return dm_buf_steal(&said);
}

static void check_quantity(const char *text) {
    uint64_t value = 0;
    int code = dm_quantity_parse(text, &value);
    assert(code == 0 || code == -EINVAL || code == -EDOM || code == -ERANGE);
    assert(value <= INT64_MAX && (code == 0 || value == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    DM_FREE char *text = dm_strndup((const char *)data, size);
    DM_FREE char *once = read_all((const char *)data, size);
    DM_FREE char *twice = read_all((const char *)data, size);
    assert(!strcmp(once, twice));
    check_quantity(text);
    return 0;
}
