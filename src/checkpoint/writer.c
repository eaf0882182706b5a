/* writer.c -- a snapshot as the kubelet's file, doing again only what changed.
 *
 * Text    The writer keeps the text that it made last. A part (claim, pod, resource) that was in it remembers where,
 *         and is copied from there; only new parts are rendered.
 * Hash    Claims form groups, and RegisteredDevices is one more: each is a block of hash.h, found again by the serial
 *         numbers of its parts. A group ends before a claim whose serial number says so (one in GROUP on average), not
 *         after a fixed count: so a removed claim changes its own group and no other.
 *
 * (1) A part's text never changes: parts are immutable. What is remembered in a part holds only if `generation` says
 *     that this writer saw it in its last text.
 * (2) Before something is rendered, room is made for the most that it can take (`room_for`). When there is none, the
 *     call goes on without text, and its generation is passed over: nothing of it is ever copied.
 * (3) A group's key is made of its parts' serial numbers in their order; serial numbers are never used twice. The
 *     resources' key starts far from the claims': serial numbers are neighbours, a bit apart is not apart. */
#include "checkpoint/writer.h"
#include "base/map.h"
#include "base/mem.h"
#include "checkpoint/extension.h"
#include "checkpoint/hash.h"
#include "checkpoint/kubelet.h"
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

enum {
    GROUP = 16,              /* claims, on average */
    GROUP_MAX = 128,         /* claims, at most */
    TABLE_BUDGET = 64 * 1024 /* bytes hashed into tables per render: 2 ms */
};

struct rendered { /* hangs in a part */
    uint64_t generation, serial;
    size_t at, len; /* in that generation's text */
};

struct group {
    uint64_t key, generation; /* last used in */
    struct dm_block block;
};

struct dm_checkpoint_writer {
    uint64_t generation,
        serial;            /* start at random, so that two writers never take each other's marks for theirs */
    struct dm_buf text[2]; /* [generation & 1] is the new one */
    struct dm_map groups;  /* by key */
    size_t budget;
    bool starved; /* there was no memory in this call */
    /* scratch */
    struct dm_buf hashed;
    size_t cap_ids, cap_nodes, cap_resources;
    struct dm_span *ids;
    struct dm_go_numa *nodes;
    struct dm_go_resource *resources;
    size_t cap_order;
    struct dm_saved_resource **order;
};

struct dm_checkpoint_writer *dm_checkpoint_writer_new(void) {
    struct dm_checkpoint_writer *w = DM_NEW(struct dm_checkpoint_writer);
    uint64_t start[2] = {(uintptr_t)w, (uintptr_t)w};
    if (getrandom(start, sizeof start, GRND_NONBLOCK) < 0)
        start[1] = ~start[1];
    w->generation = start[0];
    w->serial = start[1];
    return w;
}

static void group_free(struct group *g) {
    dm_block_free(&g->block);
    free(g);
}

void dm_checkpoint_writer_free(struct dm_checkpoint_writer *w) {
    struct group *g;
    size_t it = 0;
    if (!w)
        return;
    while ((g = dm_map_next(&w->groups, &it, NULL)))
        group_free(g);
    dm_map_free(&w->groups);
    dm_buf_free(&w->text[0]);
    dm_buf_free(&w->text[1]);
    dm_buf_free(&w->hashed);
    free(w->ids);
    free(w->nodes);
    free(w->resources);
    free(w->order);
    free(w);
}

static struct dm_span span(const char *s) {
    return (struct dm_span){(const uint8_t *)s, strlen(s)};
}

static void make_room(struct dm_checkpoint_writer *w, size_t ids,
                      size_t nodes) { /* also for none: never NULL */
    if (ids >= w->cap_ids)
        w->ids = dm_realloc(w->ids, (w->cap_ids = ids * 2 + 16) * sizeof *w->ids);
    if (nodes >= w->cap_nodes)
        w->nodes = dm_realloc(w->nodes, (w->cap_nodes = nodes * 2 + 16) * sizeof *w->nodes);
}

/* ---- the most that a part's text can take: a byte of a string \u00xx, one of an answer "255 " ----------------------- */

enum { PUNCTUATION = 256, BYTE_OF_TEXT = 6, BYTE_OF_ANSWER = 4 };

static size_t most_of(const char *s) {
    return BYTE_OF_TEXT * strlen(s) + PUNCTUATION;
}

static size_t most_of_ids(char *const *ids, size_t n) {
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += BYTE_OF_TEXT * strlen(ids[i]) + sizeof "\"\",";
    return sum;
}

static size_t most_of_claim(const void *part) {
    const struct dm_saved_claim *c = part;
    size_t sum = most_of(c->pod_uid) + most_of(c->container) + most_of(c->resource);
    for (size_t i = 0; i < c->n_nodes; i++)
        sum += most_of_ids(c->nodes[i].ids, c->nodes[i].n) + PUNCTUATION;
    return sum + BYTE_OF_ANSWER * c->answer_len;
}

static size_t most_of_resource(const void *part) {
    const struct dm_saved_resource *r = part;
    return most_of(r->name) + most_of_ids(r->healthy, r->n_healthy);
}

static size_t most_of_pod(const void *part) {
    const struct dm_saved_pod *p = part;
    size_t sum = most_of(p->uid) + most_of(p->namespace_) + most_of(p->name) + most_of(p->tag);
    for (size_t i = 0; i < p->n_containers; i++)
        sum += most_of(p->containers[i].name);
    return sum;
}

/* And a little for what stands around it. False: there was no memory, now or before in this call. */
static bool room_for(struct dm_checkpoint_writer *w, struct dm_buf *out, size_t n) {
    w->starved = w->starved || !dm_buf_try_reserve(out, n + PUNCTUATION);
    return !w->starved;
}

/* ---- views: saved parts as the kubelet's values ------------------------------------------------------------------ */

/* Good until the next view. */
static struct dm_go_entry entry_view(struct dm_checkpoint_writer *w, const struct dm_saved_claim *c) {
    size_t n = 0;
    for (size_t i = 0; i < c->n_nodes; i++)
        n += c->nodes[i].n;
    make_room(w, n, c->n_nodes);
    n = 0;
    for (size_t i = 0; i < c->n_nodes; i++) {
        const struct dm_saved_ids *ids = &c->nodes[i];
        w->nodes[i] = (struct dm_go_numa){ids->node, i, {true, ids->n, w->ids + n}};
        for (size_t k = 0; k < ids->n; k++)
            w->ids[n++] = span(ids->ids[k]);
    }
    return (struct dm_go_entry){span(c->pod_uid),
                                span(c->container),
                                span(c->resource),
                                {true, c->n_nodes, c->n_nodes, w->nodes},
                                {true, c->answer_len, c->answer_len, c->answer_len, c->answer}};
}

static struct dm_go_resource resource_view(struct dm_checkpoint_writer *w,
                                           const struct dm_saved_resource *r) {
    make_room(w, r->n_healthy, 0);
    for (size_t i = 0; i < r->n_healthy; i++)
        w->ids[i] = span(r->healthy[i]);
    return (struct dm_go_resource){span(r->name), 0, {true, r->n_healthy, w->ids}};
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static void render_claim(struct dm_checkpoint_writer *w, struct dm_buf *out, const void *part) {
    struct dm_go_entry entry = entry_view(w, part);
    dm_go_json_entry(out, &entry);
}

static void render_resource(struct dm_checkpoint_writer *w, struct dm_buf *out, const void *part) {
    struct dm_go_resource r = resource_view(w, part);
    dm_go_json_resource(out, &r);
}

static void render_pod(struct dm_checkpoint_writer *w, struct dm_buf *out, const void *part) {
    (void)w;
    dm_extension_pod(out, part);
}

struct kind { /* of part */
    size_t (*most)(const void *part);
    void (*render)(struct dm_checkpoint_writer *w, struct dm_buf *out, const void *part);
};
static const struct kind claims = {most_of_claim, render_claim};
static const struct kind resources = {most_of_resource, render_resource};
static const struct kind pods = {most_of_pod, render_pod};

/* Adds a part's text: copied from the last text when it was there, else rendered. */
static void add_part(struct dm_checkpoint_writer *w, void **mark, const void *part, const struct kind *kind) {
    struct dm_buf *out = &w->text[w->generation & 1];
    const struct dm_buf *last = &w->text[~w->generation & 1];
    struct rendered *r = *mark;
    size_t at = out->len;
    if (!r) {
        *mark = r = DM_NEW(struct rendered);
        r->serial = w->serial++;
    }
    bool known = r->generation == w->generation - 1;
    if (!room_for(w, out, known ? r->len : kind->most(part)))
        return;
    if (known)
        dm_buf_add(out, last->data + r->at, r->len);
    else
        kind->render(w, out, part);
    r->generation = w->generation;
    r->at = at;
    r->len = out->len - at;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(struct dm_saved_resource *const *)a)->name,
                  (*(struct dm_saved_resource *const *)b)->name);
}

/* The resources as the hash wants them: by name, none twice, whatever the snapshot says. Returns how many. */
static size_t order_resources(struct dm_checkpoint_writer *w, const struct dm_snapshot *s) {
    size_t n = 0;
    if (s->n_resources > w->cap_order)
        w->order = dm_realloc(w->order, (w->cap_order = s->n_resources) * sizeof *w->order);
    if (s->n_resources)
        memcpy(w->order, s->resources, s->n_resources * sizeof *w->order);
    if (s->n_resources > 1)
        qsort(w->order, s->n_resources, sizeof *w->order, by_name);
    for (size_t i = 0; i < s->n_resources; i++)
        if (n == 0 || strcmp(w->order[n - 1]->name, w->order[i]->name))
            w->order[n++] = w->order[i];
    return n;
}

static void add_data(struct dm_checkpoint_writer *w, const struct dm_snapshot *s, size_t n_resources) {
    struct dm_buf *out = &w->text[w->generation & 1];
    dm_buf_puts(out, "{\"Data\":{\"PodDeviceEntries\":");
    dm_buf_puts(out, s->n_claims ? "[" : "null");
    for (size_t i = 0; i < s->n_claims && !w->starved; i++) {
        if (i)
            dm_buf_putc(out, ',');
        add_part(w, &s->claims[i]->rendered, s->claims[i], &claims);
    }
    dm_buf_puts(out, s->n_claims ? "],\"RegisteredDevices\":{" : ",\"RegisteredDevices\":{");
    for (size_t i = 0; i < n_resources && !w->starved; i++) {
        if (i)
            dm_buf_putc(out, ',');
        add_part(w, &w->order[i]->rendered, w->order[i], &resources);
    }
    dm_buf_puts(out, "}}");
}

static void add_extension(struct dm_checkpoint_writer *w, const struct dm_snapshot *s, uint32_t checksum) {
    struct dm_buf *out = &w->text[w->generation & 1];
    size_t most = 0;
    for (size_t i = 0; i < s->n_resources; i++)
        most += most_of(s->resources[i]->name);
    if (!room_for(w, out, most + PUNCTUATION))
        return;
    dm_buf_printf(out, ",\"Checksum\":%" PRIu32 ",\"devmgr\":", checksum);
    size_t opened = dm_extension_open(out, s, checksum);
    for (size_t i = 0; i < s->n_pods && !w->starved; i++) {
        if (i)
            dm_buf_putc(out, ',');
        add_part(w, &s->pods[i]->rendered, s->pods[i], &pods);
    }
    dm_extension_close(out, opened);
    dm_buf_putc(out, '}');
}

/* ---- hash -------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h) {
    h ^= h >> 32, h *= 0xd6e8feb86659fd93u;
    h ^= h >> 32, h *= 0xd6e8feb86659fd93u;
    return h ^ h >> 32;
}

static uint64_t serial_of(const void *mark) {
    return ((const struct rendered *)mark)->serial;
}

static struct group *group_of(struct dm_checkpoint_writer *w, uint64_t key) {
    struct group *g = dm_map_get_n(&w->groups, (const char *)&key, sizeof key);
    if (!g) {
        g = DM_NEW(struct group);
        g->key = key;
        dm_map_put_n(&w->groups, (const char *)&key, sizeof key, g);
    }
    g->generation = w->generation;
    return g;
}

/* Does a group begin at claims[i], when the present one has `n`? */
static bool begins(const struct dm_snapshot *s, size_t i, size_t n) {
    return n == GROUP_MAX || mix(serial_of(s->claims[i]->rendered)) % GROUP == 0;
}

static uint32_t hash_group(struct dm_checkpoint_writer *w, const struct dm_snapshot *s, size_t first,
                           size_t last, uint32_t h) {
    uint64_t key = 0;
    uint32_t known;
    for (size_t i = first; i < last; i++)
        key = mix(key ^ serial_of(s->claims[i]->rendered));
    struct group *g = group_of(w, key);
    if (dm_block_known(&g->block, h, &known))
        return known;
    size_t most = 0;
    for (size_t i = first; i < last; i++)
        most += most_of_claim(s->claims[i]);
    w->hashed.len = 0;
    if (!room_for(w, &w->hashed, most))
        return h;
    for (size_t i = first; i < last; i++) {
        struct dm_go_entry entry = entry_view(w, s->claims[i]);
        if (i > first)
            dm_buf_putc(&w->hashed, ' ');
        dm_go_text_entry(&w->hashed, &entry);
    }
    return dm_block_hash(&g->block, h, w->hashed.data, w->hashed.len, &w->budget);
}

static uint32_t hash_claims(struct dm_checkpoint_writer *w, const struct dm_snapshot *s, uint32_t h) {
    if (!s->n_claims)
        return dm_fnv(h, "<nil>", 5);
    h = dm_fnv(h, "[", 1);
    for (size_t first = 0, last; first < s->n_claims; first = last) {
        for (last = first + 1; last < s->n_claims && !begins(s, last, last - first);)
            last++;
        if (first)
            h = dm_fnv(h, " ", 1);
        h = hash_group(w, s, first, last, h);
    }
    return dm_fnv(h, "]", 1);
}

static uint32_t hash_resources(struct dm_checkpoint_writer *w, size_t n, uint32_t h) {
    uint64_t key = mix(1);
    uint32_t known;
    size_t n_ids = 0, at = 0, most = 0;
    for (size_t i = 0; i < n; i++) {
        key = mix(key ^ serial_of(w->order[i]->rendered));
        n_ids += w->order[i]->n_healthy;
    }
    struct group *g = group_of(w, key);
    if (dm_block_known(&g->block, h, &known))
        return known;
    for (size_t i = 0; i < n; i++)
        most += most_of_resource(w->order[i]);
    w->hashed.len = 0;
    if (!room_for(w, &w->hashed, most))
        return h;
    make_room(w, n_ids, 0);
    if (n > w->cap_resources)
        w->resources = dm_realloc(w->resources, (w->cap_resources = n) * sizeof *w->resources);
    for (size_t i = 0; i < n; i++) {
        const struct dm_saved_resource *r = w->order[i];
        w->resources[i] = (struct dm_go_resource){span(r->name), i, {true, r->n_healthy, w->ids + at}};
        for (size_t k = 0; k < r->n_healthy; k++)
            w->ids[at++] = span(r->healthy[k]);
    }
    dm_go_text_tail(&w->hashed, &(struct dm_go_registered){true, n, n, w->resources});
    return dm_block_hash(&g->block, h, w->hashed.data, w->hashed.len, &w->budget);
}

/* Groups that the last text did not have will not come back: a serial number is never used twice. */
static void forget_groups(struct dm_checkpoint_writer *w) {
    struct dm_map kept = {0};
    struct group *g;
    size_t it = 0;
    while ((g = dm_map_next(&w->groups, &it, NULL))) {
        if (g->generation == w->generation)
            dm_map_put_n(&kept, (const char *)&g->key, sizeof g->key, g);
        else
            group_free(g);
    }
    dm_map_free(&w->groups);
    w->groups = kept;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static uint32_t hash_data(struct dm_checkpoint_writer *w, const struct dm_snapshot *s, size_t n_resources) {
    w->budget = TABLE_BUDGET;
    w->hashed.len = 0;
    dm_go_text_head(&w->hashed);
    uint32_t h = dm_fnv(DM_FNV_START, w->hashed.data, w->hashed.len);
    h = hash_claims(w, s, h);
    h = hash_resources(w, n_resources, h);
    forget_groups(w);
    return h;
}

struct dm_span dm_checkpoint_write(struct dm_checkpoint_writer *w, const struct dm_snapshot *s,
                                   uint32_t *checksum) {
    w->generation++;
    w->starved = false;
    struct dm_buf *out = &w->text[w->generation & 1];
    out->len = 0;
    size_t n_resources = order_resources(w, s);
    add_data(w, s, n_resources);
    *checksum = w->starved ? 0 : hash_data(w, s, n_resources);
    add_extension(w, s, *checksum);
    if (!w->starved)
        return dm_buf_span(out);
    out->len = 0;
    w->generation += 2; /* what was rendered counts for nothing, and `out` is the last text still */
    return (struct dm_span){0};
}

struct dm_span dm_checkpoint_written(const struct dm_checkpoint_writer *w) {
    return dm_buf_span(&w->text[~w->generation & 1]);
}

uint32_t dm_checkpoint_render(struct dm_checkpoint_writer *w, const struct dm_snapshot *s,
                              struct dm_buf *out) {
    uint32_t checksum;
    struct dm_span text = dm_checkpoint_write(w, s, &checksum);
    out->len = 0;
    dm_buf_add(out, text.data, text.len);
    return checksum;
}
