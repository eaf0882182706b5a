/* address.c -- POD on the command line: a uid, NAMESPACE/NAME, or NAME in namespace default. A uid wins over a name. */
#include "base/buf.h"
#include "base/mem.h"
#include "ctl.h"
#include <string.h>

struct search {
    const char *wanted, *name;
    size_t namespace_len; /* of wanted; its namespace is there, or "default" */
    char *uid;            /* found by uid, or the first by name */
    size_t by_name;
    struct dm_buf uids; /* of all by name */
};

static int look_at(void *arg, const devmgr_held_pod *p) {
    struct search *s = arg;
    const char *ns = s->namespace_len ? s->wanted : "default";
    size_t ns_len = s->namespace_len ? s->namespace_len : strlen(ns);
    if (!strcmp(p->uid, s->wanted)) {
        free(s->uid);
        s->uid = dm_strdup(p->uid);
        s->by_name = 0;
        return 1;
    }
    if (strcmp(p->name, s->name) || strncmp(p->namespace_, ns, ns_len) || p->namespace_[ns_len])
        return 0;
    dm_buf_printf(&s->uids, "%s%s", s->by_name++ ? ", " : "", p->uid);
    if (!s->uid)
        s->uid = dm_strdup(p->uid);
    return 0;
}

int ctl_find_pod(struct ctl *c, const char *pod, char **ret_uid, devmgr_error *reterr) {
    const char *slash = strchr(pod, '/');
    struct search s = {
        .wanted = pod, .name = slash ? slash + 1 : pod, .namespace_len = slash ? (size_t)(slash - pod) : 0};
    *ret_uid = NULL;
    int r = dm_client_each_pod(c->client, NULL, look_at, &s, reterr);
    DM_CLEANUP(dm_buf_free) struct dm_buf uids = s.uids;
    DM_FREE char *uid = s.uid;
    if (r < 0)
        return r;
    if (s.by_name > 1)
        return dm_error_set(reterr, -EEXIST, "%s: %zu pods have that name; say which by its uid: %s", pod,
                            s.by_name, uids.data);
    *ret_uid = DM_MOVE(uid);
    return 0;
}

char *ctl_pod_label(const char *uid, const char *namespace_, const char *name) {
    return name && *name ? dm_printf("%s/%s", namespace_, name) : dm_strdup(uid);
}
