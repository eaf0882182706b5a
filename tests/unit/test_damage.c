/* A checkpoint cut or with one bit turned, at every place: it is refused, or says the same. Nothing is lost in silence, and
 * that a sync is owed is not forgotten. */
#include "base/mem.h"
#include "check.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/files.h"
#include "same_snapshot.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* A bit of everything: two claims, one on two nodes; options; names, kinds, a tag. */
static struct dm_snapshot *full(bool recovering) {
    static const uint8_t answer[] = "\x0a\x06\x0a\x01"
                                    "A\x12\x01"
                                    "1";
    struct dm_snapshot *s = dm_snapshot_new();
    s->revision = 1234567;
    s->recovering = recovering;
    s->claims = dm_alloc_array(2, sizeof *s->claims);
    s->claims[s->n_claims++] =
        dm_saved_claim_new("uid-1", "main", "a.b/gpu", (struct dm_span){answer, sizeof answer - 1});
    dm_saved_claim_add(s->claims[0], 0, "g-0");
    dm_saved_claim_add(s->claims[0], 1, "g-0");
    dm_saved_claim_add(s->claims[0], 1, "g-1");
    s->claims[s->n_claims++] = dm_saved_claim_new("uid-2", "init", "a.b/nic", (struct dm_span){0});
    dm_saved_claim_add(s->claims[1], -1, "n/<\xc3\xa9>\n\"");
    s->resources = dm_alloc_array(2, sizeof *s->resources);
    s->resources[s->n_resources++] = dm_saved_resource_new("a.b/gpu");
    dm_saved_resource_add(s->resources[0], "g-0");
    s->resources[s->n_resources++] = dm_saved_resource_new("a.b/nic");
    s->resources[1]->has_options = s->resources[1]->preferred = true;
    s->pods = dm_alloc_array(2, sizeof *s->pods);
    s->pods[s->n_pods++] = dm_saved_pod_new("uid-1");
    dm_saved_pod_add(s->pods[0], "main", DEVMGR_APP, 3);
    s->pods[s->n_pods++] = dm_saved_pod_new("uid-2");
    dm_saved_pod_add(s->pods[1], "init", DEVMGR_PLAIN_INIT, 0);
    return s;
}

static void render(struct dm_snapshot *s, struct dm_buf *out) {
    struct dm_checkpoint_writer *w = dm_checkpoint_writer_new();
    dm_checkpoint_render(w, s, out);
    dm_checkpoint_writer_free(w);
}

/* What the kubelet would see of it. */
static void strip(struct dm_snapshot *s) {
    while (s->n_pods)
        dm_saved_pod_unref(s->pods[--s->n_pods]);
    for (size_t i = 0; i < s->n_resources; i++)
        s->resources[i]->has_options = s->resources[i]->prestart = s->resources[i]->preferred = false;
    s->revision = 0;
    s->recovering = false;
}

/* Refused, or the same claims; and if what we know beyond them is gone, that is said and a sync is owed. */
static bool judge(const struct dm_buf *bad, const struct dm_snapshot *want, bool recovering, const char *what,
                  size_t at) {
    struct dm_checkpoint_report report;
    struct dm_snapshot *s;
    devmgr_error err = {0};
    if (dm_checkpoint_parse(dm_buf_span(bad), NULL, &s, &report, &err) < 0) {
        CHECK(*err.message);
        return false;
    }
    if (!report.extension && !(s->recovering && *report.warning))
        CHECK_FAIL("%s at %zu: our part is lost, and nobody is told", what, at);
    if (recovering && !s->recovering)
        CHECK_FAIL("%s at %zu: that a sync is owed is forgotten", what, at);
    strip(s);
    if (!same_snapshot(s, want))
        CHECK_FAIL("%s at %zu: accepted with other claims", what, at);
    dm_snapshot_free(s);
    return true;
}

TEST(no_cut_and_no_turned_bit_is_taken_for_another_state) {
    for (int recovering = 0; recovering < 2; recovering++) {
        struct dm_buf good = {0}, bad = {0};
        struct dm_snapshot *want = full(recovering);
        size_t refused = 0, same = 0;
        render(want, &good);
        strip(want);
        for (size_t n = 0; n < good.len; n++) {
            bad.len = 0;
            dm_buf_add(&bad, good.data, n);
            if (judge(&bad, want, recovering, "cut", n))
                CHECK_FAIL("cut at %zu: accepted", n);
            for (int bit = 0; bit < 8; bit++) {
                bad.len = 0;
                dm_buf_add(&bad, good.data, good.len);
                bad.data[n] = (char)((unsigned char)bad.data[n] ^ 1u << bit);
                bool accepted = judge(&bad, want, recovering, "bit", n);
                refused += !accepted, same += accepted;
            }
        }
        printf("# %zu bytes: of %zu turned bits %zu refused, %zu without effect on claims\n", good.len,
               refused + same, refused, same);
        dm_snapshot_free(want);
        dm_buf_free(&good), dm_buf_free(&bad);
    }
}

/* ---- as files ------------------------------------------------------------------------------------------------------ */

static char folder[64];

static void put(const char *name, const char *data, size_t n) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path); /* it has a second name, once it was set aside */
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    CHECK_INT(write(fd, data, n), (long)n);
    close(fd);
}

static int count_damaged(void) {
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; (e = readdir(d));)
        n += !strncmp(e->d_name, DM_CHECKPOINT_DAMAGED, strlen(DM_CHECKPOINT_DAMAGED));
    closedir(d);
    return n;
}

/* Loads the folder: the outcome is good, or the copy's claims are there and a sync is owed. */
static enum dm_load_outcome load(const struct dm_snapshot *want) {
    struct dm_store *store;
    struct dm_load l;
    devmgr_error err;
    CHECK_INT(dm_store_open(folder, &store, &err), 0);
    CHECK_INT(dm_store_load(store, NULL, &l, &err), 0);
    CHECK(l.outcome != DM_LOAD_ABSENT && l.outcome != DM_LOAD_LOST);
    CHECK(l.outcome == DM_LOAD_GOOD || (l.snapshot->recovering && *l.message));
    strip(l.snapshot);
    CHECK(same_snapshot(l.snapshot, want));
    dm_snapshot_free(l.snapshot);
    dm_store_close(store);
    return l.outcome;
}

TEST(a_file_cut_or_turned_anywhere_is_set_aside_and_the_copy_is_used) {
    struct dm_buf good = {0}, bad = {0};
    struct dm_snapshot *want = full(false);
    char command[128];
    render(want, &good);
    strip(want);
    snprintf(folder, sizeof folder, "/tmp/test_damage-XXXXXX");
    CHECK(mkdtemp(folder));
    put(DM_CHECKPOINT_PREV, good.data, good.len);
    for (size_t n = 0; n < good.len; n++) {
        put(DM_CHECKPOINT_NAME, good.data, n);
        CHECK_INT(load(want), DM_LOAD_RECOVERED);
        bad.len = 0;
        dm_buf_add(&bad, good.data, good.len);
        bad.data[n] = (char)((unsigned char)bad.data[n] ^ 1u << n % 8);
        put(DM_CHECKPOINT_NAME, bad.data, bad.len);
        load(want);
    }
    CHECK_INT(count_damaged(), 3);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CHECK_INT(system(command), 0);
    dm_snapshot_free(want);
    dm_buf_free(&good), dm_buf_free(&bad);
}
