/* address.c -- POD on the command line: a uid, NAMESPACE/NAME, or NAME in namespace default. A uid wins over a name. */
#include "base/buf.h"
#include "base/mem.h"
#include "ctl.h"
#include <string.h>

struct search {
    const char *wanted, *name;
    size_t namespace_len; /* of wanted; its namespace is there, or "default" */
    char *uid;            /* found by uid, or the first by name */
    bool by_uid;
    size_t by_name;
    struct dm_buf uids; /* of all by name */
};

struct searches {
    struct search *all;
    size_t n;
};

static void compare(struct search *s, const devmgr_held_pod *p) {
    const char *ns = s->namespace_len ? s->wanted : "default";
    size_t ns_len = s->namespace_len ? s->namespace_len : strlen(ns);
    if (s->by_uid)
        return;
    if (!strcmp(p->uid, s->wanted)) {
        free(s->uid);
        s->uid = dm_strdup(p->uid);
        s->by_uid = true;
    } else if (!strcmp(p->name, s->name) && !strncmp(p->namespace_, ns, ns_len) && !p->namespace_[ns_len]) {
        dm_buf_printf(&s->uids, "%s%s", s->by_name++ ? ", " : "", p->uid);
        if (!s->uid)
            s->uid = dm_strdup(p->uid);
    }
}

static int look_at(void *arg, const devmgr_held_pod *p) {
    struct searches *s = arg;
    for (size_t i = 0; i < s->n; i++)
        compare(&s->all[i], p);
    return 0;
}

static int ambiguous(const struct search *s, devmgr_error *reterr) {
    return dm_error_set(reterr, -EEXIST, "%s: %zu pods have that name; say which by its uid: %s", s->wanted,
                        s->by_name, s->uids.data);
}

int ctl_find_pods(struct ctl *c, const char *const *pods, size_t n, char **ret_uids, devmgr_error *reterr) {
    DM_FREE struct search *all = dm_alloc_array(n, sizeof *all);
    struct searches s = {all, n};
    for (size_t i = 0; i < n; i++) {
        const char *slash = strchr(pods[i], '/');
        all[i].wanted = pods[i], all[i].name = slash ? slash + 1 : pods[i];
        all[i].namespace_len = slash ? (size_t)(slash - pods[i]) : 0;
    }
    int r = n ? dm_client_each_pod(c->client, NULL, look_at, &s, reterr) : 0;
    for (size_t i = 0; i < n; i++) {
        if (r == 0 && !all[i].by_uid && all[i].by_name > 1)
            r = ambiguous(&all[i], reterr);
        dm_buf_free(&all[i].uids);
        ret_uids[i] = all[i].uid;
    }
    for (size_t i = 0; r < 0 && i < n; i++)
        free(DM_MOVE(ret_uids[i]));
    return r < 0 ? r : 0;
}

int ctl_find_pod(struct ctl *c, const char *pod, char **ret_uid, devmgr_error *reterr) {
    return ctl_find_pods(c, &pod, 1, ret_uid, reterr);
}

char *ctl_pod_label(const char *uid, const char *namespace_, const char *name) {
    return name && *name ? dm_printf("%s/%s", namespace_, name) : dm_strdup(uid);
}
