/* disk.c -- the checkpoint's file, the copy before it, and what a restart finds, through the real writer and reader.
 *
 *   write     the file becomes the copy, if it was durable; the new one takes its place
 *   restart   the file; after a power cut perhaps the durable one before it; damaged: the copy, and recovery
 *
 * Every snapshot is held against the model when it is handed out: all that was told is in it, and nothing that nobody
 * asked for. So what a restart finds is what was told, or more. */
#include "world.h"
#include <stdio.h>
#include <string.h>

/* ---- what a snapshot says --------------------------------------------------------------------------------------------- */

static unsigned serial_of(const struct dm_saved_claim *c) {
    char letter;
    unsigned serial;
    DM_FREE char *text = dm_strndup((const char *)c->answer, c->answer_len);
    if (sscanf(text, "%c %u", &letter, &serial) != 2 || resource_number(c->resource) != letter - 'a')
        complain("the file has another answer than the plugin's: %s", text);
    return serial;
}

static void read_claim(struct image *image, const struct dm_saved_claim *c) {
    int p = pod_number(c->pod_uid), k = container_number(c->container), r = resource_number(c->resource);
    struct grant *g = &image->holds[p][k][r];
    if (g->devices)
        complain("the file has %s/%s, %s twice", c->pod_uid, c->container, c->resource);
    for (size_t i = 0; i < c->n_nodes; i++)
        for (size_t j = 0; j < c->nodes[i].n; j++) {
            int d = device_number(c->nodes[i].ids[j]);
            g->devices |= 1u << d;
            g->numa[d] |= (uint8_t)(c->nodes[i].node >= 0 ? 1u << c->nodes[i].node : 0);
        }
    g->serial = serial_of(c);
    for (int q = 0; q < PODS; q++)
        for (int x = 0; x < CONTAINERS && q != p; x++)
            if (image->holds[q][x][r].devices & g->devices)
                complain("the file gives a device of %s to %s and to %s", c->resource, pod_name(q),
                         c->pod_uid);
}

static void read_snapshot(struct image *image, const struct dm_snapshot *s) {
    memset(image->holds, 0, sizeof image->holds);
    memset(image->kind, -1, sizeof image->kind);
    image->init_done = 0;
    for (size_t i = 0; i < s->n_claims; i++)
        read_claim(image, s->claims[i]);
    for (size_t i = 0; i < s->n_pods; i++) {
        int p = pod_number(s->pods[i]->uid);
        image->init_done |= s->pods[i]->init_done ? 1u << p : 0;
        for (size_t k = 0; k < s->pods[i]->n_containers; k++)
            image->kind[p][container_number(s->pods[i]->containers[k].name)] = s->pods[i]->containers[k].kind;
    }
}

static bool same_grant(const struct grant *a, const struct grant *b) {
    bool same = a->devices == b->devices && a->serial == b->serial;
    for (int d = 0; d < DEVICES; d++)
        same &= !(a->devices >> d & 1) || a->numa[d] == b->numa[d];
    return same;
}

static void check_snapshot(const struct world *w, const struct image *image) {
    for (int p = 0; p < PODS; p++)
        for (int c = 0; c < CONTAINERS; c++)
            for (int r = 0; r < RESOURCES; r++) {
                const struct grant *kept = &w->model.kept[p][c][r], *saved = &image->holds[p][c][r];
                const struct model_pod *pod = &w->model.pods[p];
                if (kept->devices && !same_grant(kept, saved))
                    complain("a snapshot without what %s/%s holds of %s", pod_name(p), container_names[c],
                             resource_names[r]);
                if (!kept->devices && saved->devices &&
                    !(pod->pending && same_grant(saved, &pod->grants[c][r]) && saved->serial))
                    complain("a snapshot in which %s/%s has %#x of %s, which nobody gave it", pod_name(p),
                             container_names[c], saved->devices, resource_names[r]);
                if (saved->devices && image->kind[p][c] != model_kind(&w->model, p, c) &&
                    w->model.pods[p].kind[c] >= 0)
                    complain("a snapshot in which %s/%s is of kind %d", pod_name(p), container_names[c],
                             image->kind[p][c]);
            }
}

/* ---- images ------------------------------------------------------------------------------------------------------------- */

static void drop(struct image *image) {
    free(image->text);
    *image = (struct image){0};
}

static struct image copy_of(const struct image *image) {
    struct image copy = *image;
    copy.text = image->text ? dm_memdup(image->text, image->len) : NULL;
    return copy;
}

static void put(struct image *to, const struct image *from) {
    struct image copy = copy_of(from);
    drop(to);
    *to = copy;
}

/* ---- writing -------------------------------------------------------------------------------------------------------------- */

void disk_begin(struct world *w, struct dm_snapshot *s, bool durable) {
    struct dm_buf text = {0};
    if (w->saving)
        complain("two writes at once");
    w->saving = s;
    w->saving_durable = durable;
    drop(&w->to_save);
    read_snapshot(&w->to_save, s);
    check_snapshot(w, &w->to_save);
    dm_checkpoint_render(w->writer, s, &text);
    w->to_save.len = text.len;
    w->to_save.text = dm_buf_steal(&text);
}

static void take_place(struct world *w) {
    if (w->file_durable && !w->damaged)
        put(&w->copy, &w->file);
    put(&w->file, &w->to_save);
    w->file_durable = w->saving_durable;
    w->damaged = false;
    if (w->saving_durable)
        put(&w->durable, &w->to_save);
}

void disk_saved(struct world *w, int written) {
    devmgr_error err = {0};
    struct dm_snapshot *s = DM_MOVE(w->saving);
    int status = written == WRITTEN_OK ? 0 : -ENOSPC;
    if (!s)
        return;
    if (written != WRITTEN_NOT)
        take_place(w);
    if (status < 0) {
        w->model.save_failed_in = w->model.step;
        dm_error_set(&err, status, "no space left on device");
    }
    dm_manager_saved(w->m, status, status < 0 ? &err : NULL);
    dm_snapshot_free(s);
}

/* ---- reading ------------------------------------------------------------------------------------------------------------- */

static struct dm_snapshot *read_image(const struct image *image) {
    struct dm_checkpoint_report report = {0};
    struct dm_snapshot *s;
    devmgr_error err;
    if (!image->text)
        return dm_snapshot_new();
    struct dm_span text = {(const uint8_t *)image->text, image->len};
    if (dm_checkpoint_parse(text, NULL, &s, &report, &err) < 0)
        complain("the reader refuses what the writer wrote: %s", err.message);
    if (!report.extension || *report.warning)
        complain("the reader does not like what the writer wrote: %s", report.warning);
    return s;
}

/* A kubelet keeps its own part, and drops ours. */
static void without_ours(struct dm_snapshot *s) {
    for (size_t i = 0; i < s->n_pods; i++)
        dm_saved_pod_unref(s->pods[i]);
    s->n_pods = 0;
    s->revision = 0;
    s->recovering = false;
    for (size_t i = 0; i < s->n_resources; i++)
        s->resources[i]->has_options = s->resources[i]->prestart = s->resources[i]->preferred = false;
}

/* ---- ending and coming back --------------------------------------------------------------------------------------------- */

/* As devmgr_close does it: what is being written, then one more try if that was not all. */
static void close_well(struct world *w, bool works) {
    int written = works ? WRITTEN_OK : WRITTEN_NOT;
    w->model.closing = true;
    dm_manager_close(w->m);
    world_drain(w);
    caller_check_told(w);
    if (w->saving) {
        disk_saved(w, written);
        world_drain(w);
    }
    if (dm_manager_unsaved(w->m) && !w->saving)
        dm_manager_save_again(w->m);
    world_drain(w);
    if (w->saving)
        disk_saved(w, written);
    w->model.closing = false;
}

/* Does not come back before all that is in the file is looked at. */
static void absorb(struct world *w, const struct image *image, bool recovering) {
    struct model *m = &w->model;
    for (int p = 0; p < PODS; p++) {
        struct model_pod *pod = &m->pods[p];
        uint64_t revision = pod->revision;
        *pod = (struct model_pod){
            .revision = revision, .restored = true, .init_done = image->init_done >> p & 1};
        for (int c = 0; c < CONTAINERS; c++) {
            bool holds = false;
            for (int r = 0; r < RESOURCES; r++)
                holds |= image->holds[p][c][r].devices != 0;
            pod->admitted |= holds;
            pod->kind[c] = image->kind[p][c];
            pod->containers |= holds || image->kind[p][c] >= 0 ? 1u << c : 0;
        }
        if (!pod->admitted)
            pod->containers = 0, pod->init_done = false;
        for (int c = 0; c < CONTAINERS; c++)
            for (int r = 0; r < RESOURCES && !recovering; r++)
                if (m->told[p][c][r].devices && !same_grant(&m->told[p][c][r], &image->holds[p][c][r]))
                    complain("%s/%s was told that it has %#x of %s, and the file says %#x", pod_name(p),
                             container_names[c], m->told[p][c][r].devices, resource_names[r],
                             image->holds[p][c][r].devices);
    }
    memcpy(m->kept, image->holds, sizeof m->kept);
    if (!recovering)
        memcpy(m->told, m->kept, sizeof m->told);
    m->recovering = recovering;
    m->synced = false;
    m->unknown = 0;
}

static void absorb_resources(struct world *w, const struct dm_snapshot *s) {
    for (int r = 0; r < RESOURCES; r++)
        w->model.resources[r] = (struct model_resource){0};
    for (size_t i = 0; i < s->n_resources; i++)
        w->model.resources[resource_number(s->resources[i]->name)].known = true;
    for (size_t i = 0; i < s->n_claims; i++)
        w->model.resources[resource_number(s->claims[i]->resource)].known = true;
    for (int r = 0; r < RESOURCES; r++)
        if (w->model.resources[r].known)
            model_gone(&w->model, r, dm_settings_for(&w->settings, resource_names[r]).stop_grace);
    for (size_t i = 0; i < s->n_resources; i++)
        w->model.resources[resource_number(s->resources[i]->name)].prestart = s->resources[i]->prestart;
}

static void end_process(struct world *w, const struct event *e) {
    int how = e->how % ENDS;
    if (how == END_CLOSE)
        close_well(w, e->a);
    else if (w->saving && e->a)
        take_place(w);
    dm_snapshot_free(DM_MOVE(w->saving));
    dm_manager_free(w->m);
    caller_forget(w);
    w->n_calls = 0;
    if (how == END_POWER && !w->file_durable && !e->a && w->durable.text) {
        put(&w->file, &w->durable);
        w->file_durable = true;
    }
    if (how == END_DAMAGE || how == END_LOSS)
        w->damaged = w->file.text != NULL;
    if (how == END_LOSS)
        drop(&w->copy);
}

void disk_restart(struct world *w, const struct event *e) {
    struct image found = {0};
    end_process(w, e);
    w->mono += 1000 + e->b, w->unix_us += (1000 + (uint64_t)e->b) * 1000;
    w->model.now = w->mono;
    if (w->damaged) {
        w->file_durable = false;
        put(&w->durable, &w->copy);
    }
    if (!w->damaged && w->file.text) { /* the store makes it so when it reads it */
        w->file_durable = true;
        put(&w->durable, &w->file);
    }
    dm_checkpoint_writer_free(w->writer);
    w->writer = dm_checkpoint_writer_new();
    struct dm_snapshot *s = read_image(w->damaged ? &w->copy : &w->file);
    if (e->how % ENDS == END_KUBELET && !w->damaged && !s->recovering)
        without_ours(s);
    read_snapshot(&found, s);
    bool recovering = w->damaged || s->recovering;
    w->counts[COUNT_RESTARTS]++, w->counts[COUNT_RECOVERIES] += recovering;
    s->recovering = recovering;
    absorb(w, &found, recovering);
    world_start(w);
    absorb_resources(w, s);
    dm_manager_restore(w->m, s,
                       recovering     ? DM_START_RECOVERING
                       : w->file.text ? DM_START_LOADED
                                      : DM_START_NEW);
    w->model.opened = dm_manager_revision(w->m);
    dm_snapshot_free(s);
    look_begin(w);
}

void disk_free(struct world *w) {
    drop(&w->to_save), drop(&w->file), drop(&w->copy), drop(&w->durable);
    dm_checkpoint_writer_free(w->writer);
    dm_snapshot_free(w->saving);
}
