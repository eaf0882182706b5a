/* answer.c -- read a ContainerAllocateResponse: bounded, every text checked, map keys unique.
 *
 * As in Go: a repeated singular field counts with its last value, a repeated map key too (here at the place of its
 * first entry, so that the order stays the message's). The number of entries is limited because two bytes on the wire
 * are a hundred in memory. */
#include "registration/answer.h"
#include "base/map.h"
#include "base/mem.h"
#include "registration/fields.h"
#include "registration/registration.h"
#include <string.h>

enum { RESPONSE_CONTAINERS = 1 };
enum { ANSWER_ENVS = 1, ANSWER_MOUNTS, ANSWER_DEVICES, ANSWER_ANNOTATIONS, ANSWER_CDI_DEVICES };

struct pairs { /* a map<string, string> being read */
    devmgr_pair **array;
    size_t *n, cap;
    struct dm_map index; /* key -> index + 1 */
};
struct reader {
    struct dm_answer *out;
    struct pairs envs, annotations;
    size_t mounts_cap, devices_cap, cdi_cap, entries;
    devmgr_error *reterr;
};

static int broken(struct reader *r, const char *what, const char *why) {
    return dm_error_set(r->reterr, -EBADMSG, "%s %s", what, why);
}

static int starved(struct reader *r) {
    return dm_error_set(r->reterr, -ENOMEM, "there is no memory here to read the answer");
}

/* Replaces *text (ours, or NULL) by the field's string. */
static int read_text(struct reader *r, struct dm_span bytes, const char *what, const char **text) {
    int bad = dm_field_text(bytes);
    if (bad)
        return broken(r, what, bad == -EILSEQ ? "contains a NUL byte" : "is not valid UTF-8");
    char *copy = dm_try_realloc((char *)*text, bytes.len + 1);
    if (!copy)
        return starved(r);
    if (bytes.len)
        memcpy(copy, bytes.data, bytes.len);
    copy[bytes.len] = 0;
    *text = copy;
    return 0;
}

struct text_field {
    uint32_t number;
    const char *what, **text;
};

/* Reads the strings listed (NULL text ends the list) and, when `flag` is not NULL, the bool in field 3. On return
 * every text is set, also when it fails: the caller owns them. */
static int read_texts(struct reader *r, struct dm_span message, const struct text_field *fields, int *flag) {
    struct dm_field f;
    int more, bad = 0;
    while (!bad && (more = dm_field_next(&message, &f)) != 0) {
        if (more < 0)
            bad = broken(r, fields->what, "is not a message");
        for (const struct text_field *t = fields; !bad && t->text; t++)
            if (dm_field_is(&f, t->number, DM_FIELD_BYTES))
                bad = read_text(r, f.bytes, t->what, t->text);
        if (!bad && flag && dm_field_is(&f, 3, DM_FIELD_VARINT))
            *flag = f.value != 0;
    }
    for (const struct text_field *t = fields; t->text; t++)
        if (!*t->text)
            *t->text = dm_strdup("");
    return bad;
}

static int read_pair(struct reader *r, struct dm_span message, struct pairs *map, const char *what) {
    devmgr_pair pair = {0};
    const struct text_field fields[] = {{1, what, &pair.name}, {2, what, &pair.value}, {0}};
    int bad = read_texts(r, message, fields, NULL);
    size_t at = (size_t)(uintptr_t)dm_map_get(&map->index, pair.name);
    if (!bad && !at) {
        if (DM_TRY_GROW(*map->array, *map->n, map->cap) &&
            dm_map_try_put(&map->index, pair.name, (void *)(uintptr_t)(*map->n + 1)) > 0) {
            (*map->array)[(*map->n)++] = pair;
            return 0;
        }
        bad = starved(r);
    }
    if (!bad) {
        devmgr_pair *old = &(*map->array)[at - 1];
        const char *value = old->value;
        old->value = pair.value, pair.value = value;
    }
    free((char *)pair.name), free((char *)pair.value);
    return bad;
}

static int read_mount(struct reader *r, struct dm_span message) {
    struct dm_answer *a = r->out;
    if (!DM_TRY_GROW(a->mounts, a->n_mounts, r->mounts_cap))
        return starved(r);
    devmgr_mount *m = &a->mounts[a->n_mounts++];
    *m = (devmgr_mount){0};
    const struct text_field fields[] = {
        {1, "Mount.container_path", &m->container_path}, {2, "Mount.host_path", &m->host_path}, {0}};
    return read_texts(r, message, fields, &m->read_only);
}

static int read_device(struct reader *r, struct dm_span message) {
    struct dm_answer *a = r->out;
    if (!DM_TRY_GROW(a->devices, a->n_devices, r->devices_cap))
        return starved(r);
    devmgr_device_node *d = &a->devices[a->n_devices++];
    *d = (devmgr_device_node){0};
    const struct text_field fields[] = {{1, "DeviceSpec.container_path", &d->container_path},
                                        {2, "DeviceSpec.host_path", &d->host_path},
                                        {3, "DeviceSpec.permissions", &d->permissions},
                                        {0}};
    return read_texts(r, message, fields, NULL);
}

static int read_cdi_device(struct reader *r, struct dm_span message) {
    struct dm_answer *a = r->out;
    if (!DM_TRY_GROW(a->cdi_devices, a->n_cdi_devices, r->cdi_cap))
        return starved(r);
    const char **name = &a->cdi_devices[a->n_cdi_devices++];
    *name = NULL;
    const struct text_field fields[] = {{1, "CDIDevice.name", name}, {0}};
    return read_texts(r, message, fields, NULL);
}

static int read_entry(struct reader *r, const struct dm_field *f) {
    if (f->type != DM_FIELD_BYTES || f->number > ANSWER_CDI_DEVICES)
        return 0; /* unknown, from a later version of the API */
    if (++r->entries > DM_ANSWER_MAX_ENTRIES)
        return dm_error_set(r->reterr, -EBADMSG, "more than %d entries", DM_ANSWER_MAX_ENTRIES);
    switch (f->number) {
    case ANSWER_ENVS:
        return read_pair(r, f->bytes, &r->envs, "envs");
    case ANSWER_MOUNTS:
        return read_mount(r, f->bytes);
    case ANSWER_DEVICES:
        return read_device(r, f->bytes);
    case ANSWER_ANNOTATIONS:
        return read_pair(r, f->bytes, &r->annotations, "annotations");
    default:
        return read_cdi_device(r, f->bytes);
    }
}

static int read_answer(struct reader *r, struct dm_span bytes) {
    struct dm_field f;
    int more, bad = 0;
    while (!bad && (more = dm_field_next(&bytes, &f)) != 0)
        bad = more < 0 ? broken(r, "ContainerAllocateResponse", "is not a message") : read_entry(r, &f);
    return bad;
}

int dm_answer_decode(struct dm_span bytes, struct dm_answer **ret, devmgr_error *reterr) {
    struct dm_answer *a = DM_NEW(struct dm_answer);
    struct reader r = {.out = a,
                       .envs = {&a->envs, &a->n_envs, 0, {0}},
                       .annotations = {&a->annotations, &a->n_annotations, 0, {0}},
                       .reterr = reterr};
    int bad = read_answer(&r, bytes);
    dm_map_free(&r.envs.index);
    dm_map_free(&r.annotations.index);
    if (bad)
        dm_answer_free(a);
    else
        *ret = a;
    return bad;
}

bool dm_answer_is_message(struct dm_span bytes) {
    static const uint32_t texts[] = {[ANSWER_ENVS] = 2,
                                     [ANSWER_MOUNTS] = 2,
                                     [ANSWER_DEVICES] = 3,
                                     [ANSWER_ANNOTATIONS] = 2,
                                     [ANSWER_CDI_DEVICES] = 1};
    struct dm_field f, text;
    int more, inner = 0;
    while ((more = dm_field_next(&bytes, &f)) > 0) {
        if (f.type != DM_FIELD_BYTES || f.number > ANSWER_CDI_DEVICES)
            continue;
        while ((inner = dm_field_next(&f.bytes, &text)) > 0)
            if (text.type == DM_FIELD_BYTES && text.number <= texts[f.number] &&
                dm_field_text(text.bytes) == -EBADMSG)
                return false;
        if (inner < 0)
            return false;
    }
    return more == 0;
}

int dm_answer_first(struct dm_span response, size_t *n_containers, struct dm_span *first,
                    devmgr_error *reterr) {
    struct dm_answer *decoded = NULL;
    struct dm_field f;
    int more;
    *n_containers = 0, *first = (struct dm_span){0};
    while ((more = dm_field_next(&response, &f)) > 0)
        if (dm_field_is(&f, RESPONSE_CONTAINERS, DM_FIELD_BYTES) && (*n_containers)++ == 0)
            *first = f.bytes;
    if (more < 0)
        return dm_error_set(reterr, -EBADMSG, "AllocateResponse is not a message");
    int bad = *n_containers ? dm_answer_decode(*first, &decoded, reterr) : 0;
    dm_answer_free(decoded);
    return bad;
}
