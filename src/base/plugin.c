/* plugin.c -- memory of the structs in plugin.h. All strings of a dm_answer are of their own and freed here. */
#include "base/plugin.h"
#include "base/mem.h"

static void free_pairs(devmgr_pair *pairs, size_t n) {
    for (size_t i = 0; i < n; i++)
        free((char *)pairs[i].name), free((char *)pairs[i].value);
    free(pairs);
}

void dm_answer_free(struct dm_answer *a) {
    if (!a)
        return;
    free_pairs(a->envs, a->n_envs);
    free_pairs(a->annotations, a->n_annotations);
    for (size_t i = 0; i < a->n_mounts; i++)
        free((char *)a->mounts[i].container_path), free((char *)a->mounts[i].host_path);
    for (size_t i = 0; i < a->n_devices; i++) {
        free((char *)a->devices[i].container_path), free((char *)a->devices[i].host_path);
        free((char *)a->devices[i].permissions);
    }
    for (size_t i = 0; i < a->n_cdi_devices; i++)
        free((char *)a->cdi_devices[i]);
    free(a->mounts), free(a->devices), free(a->cdi_devices), free(a);
}
