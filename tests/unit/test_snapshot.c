/* The saved parts (src/checkpoint/snapshot.h). */
#include "base/mem.h"
#include "check.h"
#include "checkpoint/snapshot.h"

TEST(nodes_ascend_and_ids_stay_in_the_order_of_adding) {
    struct dm_saved_claim *c = dm_saved_claim_new("p", "c", "r", (struct dm_span){0});
    static const struct {
        int64_t node;
        const char *id;
    } rows[] = {{3, "c"}, {-1, "z"}, {3, "a"}, {0, "b"}, {INT64_MIN, "m"}, {3, "b"}, {64, "q"}, {-1, "y"}};
    EACH(row, rows)
    dm_saved_claim_add(c, row->node, row->id);
    char got[200] = "";
    for (size_t i = 0; i < c->n_nodes; i++) {
        snprintf(got + strlen(got), sizeof got - strlen(got), "%" PRId64 ":", c->nodes[i].node);
        for (size_t k = 0; k < c->nodes[i].n; k++)
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s ", c->nodes[i].ids[k]);
    }
    CHECK_STR(got, "-9223372036854775808:m -1:z y 0:b 3:c a b 64:q ");
    CHECK(c->answer != NULL); /* also when it is empty */
    dm_saved_claim_unref(c);
}

TEST(parts_live_as_long_as_one_snapshot_has_them) {
    struct dm_snapshot *a = dm_snapshot_new(), *b = dm_snapshot_new();
    struct dm_saved_claim *c = dm_saved_claim_new("p", "c", "r", (struct dm_span){(const uint8_t *)"x", 1});
    struct dm_saved_pod *p = dm_saved_pod_new("p");
    struct dm_saved_resource *r = dm_saved_resource_new("r");
    for (int i = 0; i < 9; i++) {
        dm_saved_pod_add(p, "c", -1, 0);
        dm_saved_resource_add(r, "id");
    }
    for (struct dm_snapshot *s = a; s; s = s == a ? b : NULL) {
        s->claims = dm_alloc_array(1, sizeof *s->claims);
        s->pods = dm_alloc_array(1, sizeof *s->pods);
        s->resources = dm_alloc_array(1, sizeof *s->resources);
        s->claims[s->n_claims++] = dm_saved_claim_ref(c);
        s->pods[s->n_pods++] = dm_saved_pod_ref(p);
        s->resources[s->n_resources++] = dm_saved_resource_ref(r);
    }
    dm_saved_claim_unref(c);
    dm_saved_pod_unref(p);
    dm_saved_resource_unref(r);
    dm_snapshot_free(a);
    CHECK_INT(b->claims[0]->refs, 1);
    CHECK_STR(b->pods[0]->containers[8].name, "c");
    CHECK_STR(b->resources[0]->healthy[8], "id");
    dm_snapshot_free(b);
    dm_snapshot_free(NULL);
    dm_saved_claim_unref(NULL);
    dm_saved_pod_unref(NULL);
    dm_saved_resource_unref(NULL);
}
