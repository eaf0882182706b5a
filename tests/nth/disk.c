/* disk.c -- what the daemon left on disk. */
#include "base/mem.h"
#include "checkpoint/checkpoint.h"
#include "pods.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- the disk ---------------------------------------------------------------------------------------------------- */

/* The checkpoint as its reader takes it; NULL: there is none. */
static struct dm_snapshot *read_disk(struct life *l) {
    DM_CLEANUP(dm_buf_free) struct dm_buf text = {0};
    DM_FREE char *path = dm_printf("%s/device-plugins/kubelet_internal_checkpoint", l->n->root);
    struct dm_checkpoint_report report;
    struct dm_snapshot *s = NULL;
    devmgr_error err;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    while ((n = read(fd, dm_buf_reserve(&text, 4096), 4096)) > 0)
        text.len += (size_t)n;
    close(fd);
    if (dm_checkpoint_parse(dm_buf_span(&text), NULL, &s, &report, &err) < 0)
        lost(l->n, "the file on disk: %s", err.message);
    if (*report.warning)
        lost(l->n, "the file on disk: %s", report.warning);
    return s;
}

static bool on_disk(const struct dm_snapshot *s, const char *name) {
    DM_FREE char *uid = dm_printf("default_%s", name);
    for (size_t i = 0; s && i < s->n_claims; i++)
        if (!strcmp(s->claims[i]->pod_uid, uid))
            return true;
    return false;
}

/* With no daemon there: all that is held is in the file, and nothing else. */
void check_disk(struct life *l) {
    struct dm_snapshot *s = read_disk(l);
    for (int i = 0; i < PODS; i++) {
        struct pod *p = &l->pods[i];
        bool there = on_disk(s, p->name), wanted = p->is == HELD && *p->devices;
        if (p->is == UNSURE)
            continue;
        if (there != wanted)
            lost(l->n, "%s is %sin the file, and should%s be", p->name, there ? "" : "not ",
                 wanted ? "" : " not");
    }
    dm_snapshot_free(s);
}

void check_litter(struct life *l) {
    DM_FREE char *path = dm_printf("%s/device-plugins", l->n->root);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        if (*e->d_name != '.' || strstr(e->d_name, ".tmp") || strstr(e->d_name, ".old") ||
            !strcmp(e->d_name, ".kubelet.sock"))
            if (strcmp(e->d_name, "kubelet_internal_checkpoint") && !strstr(e->d_name, "example.com_"))
                lost(l->n, "%s is left in the folder", e->d_name);
    if (d)
        closedir(d);
}

bool was_set_aside(const struct life *l) {
    char line[2048];
    bool found = false;
    FILE *log = fopen(l->n->log, "re");
    while (log && !found && fgets(line, sizeof line, log))
        found = strstr(line, "it is set aside as") != NULL;
    if (log)
        fclose(log);
    return found;
}
