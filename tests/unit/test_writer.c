/* The writer (src/checkpoint/writer.h) after thousands of changes says what a writer says that starts from nothing, and
 * its Checksum is the hash of the whole text, done again by the reader. */
#include "base/mem.h"
#include "check.h"
#include "checkpoint/writer.h"
#include "same_snapshot.h"

static devmgr_error err;
static uint64_t state = 88172645463325252u;
static uint32_t any(uint32_t below) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 32) % below;
}

static bool
    broken; /* use also what is not UTF-8: written as U+FFFD, so the same content, but not the same bytes */

static const char *any_text(void) {
    static const char *const odd[] = {"",
                                      "gpu-0",
                                      "a b",
                                      "\"\\\n\x01\x7f",
                                      "<&>",
                                      "\xe2\x80\xa8",
                                      "h\xc3\xa9llo",
                                      "\xf0\x9f\x98\x80",
                                      "]} map[",
                                      "\xef\xbf\xbd",
                                      "\xff\xfe",
                                      "\xed\xa0\x80",
                                      "cut \xf0\x9f"};
    static char plain[24];
    if (any(3) == 0)
        return odd[any(DM_COUNT(odd) - (broken ? 0 : 3))];
    snprintf(plain, sizeof plain, "dev-%x", any(UINT32_MAX));
    return plain;
}

static struct dm_saved_claim *any_claim(void) {
    static unsigned serial;
    char uid[24];
    uint8_t answer[120];
    size_t n = any(sizeof answer);
    for (size_t i = 0; i < n; i++)
        answer[i] = (uint8_t)any(256);
    snprintf(uid, sizeof uid, "uid-%u", serial++);
    struct dm_saved_claim *c = dm_saved_claim_new(uid, any_text(), any_text(), (struct dm_span){answer, n});
    for (uint32_t k = any(5); k; k--)
        dm_saved_claim_add(c, any(30) ? (int64_t)any(12) - 1 : INT64_MIN + any(3), any_text());
    return c;
}

static struct dm_saved_resource *any_resource(const char *name) {
    struct dm_saved_resource *r = dm_saved_resource_new(name);
    for (uint32_t k = any(8); k; k--)
        dm_saved_resource_add(r, any_text());
    r->has_options = any(2);
    r->prestart = r->has_options && any(2);
    return r;
}

static struct dm_saved_pod *pod_of(const struct dm_saved_claim *c) {
    struct dm_saved_pod *p = dm_saved_pod_new(c->pod_uid);
    p->revision = any(1000);
    dm_saved_pod_add(p, c->container, (int)any(4) - 1, any(4));
    return p;
}

/* Shares its parts with `from`, as the manager's snapshots do. */
static struct dm_snapshot *copy(const struct dm_snapshot *from) {
    struct dm_snapshot *s = dm_snapshot_new();
    s->revision = from->revision;
    s->claims = dm_alloc_array(from->n_claims, sizeof *s->claims);
    s->pods = dm_alloc_array(from->n_pods, sizeof *s->pods);
    s->resources = dm_alloc_array(from->n_resources, sizeof *s->resources);
    while (s->n_claims < from->n_claims)
        s->claims[s->n_claims] = dm_saved_claim_ref(from->claims[s->n_claims]), s->n_claims++;
    while (s->n_pods < from->n_pods)
        s->pods[s->n_pods] = dm_saved_pod_ref(from->pods[s->n_pods]), s->n_pods++;
    while (s->n_resources < from->n_resources)
        s->resources[s->n_resources] = dm_saved_resource_ref(from->resources[s->n_resources]),
        s->n_resources++;
    return s;
}

static void add_claim(struct dm_snapshot *s) {
    s->claims = dm_realloc(s->claims, (s->n_claims + 1) * sizeof *s->claims);
    s->pods = dm_realloc(s->pods, (s->n_pods + 1) * sizeof *s->pods);
    s->claims[s->n_claims++] = any_claim();
    s->pods[s->n_pods++] = pod_of(s->claims[s->n_claims - 1]);
}

static void remove_claim(struct dm_snapshot *s, size_t i) {
    dm_saved_claim_unref(s->claims[i]);
    dm_saved_pod_unref(s->pods[i]);
    memmove(&s->claims[i], &s->claims[i + 1], (s->n_claims - i - 1) * sizeof *s->claims);
    memmove(&s->pods[i], &s->pods[i + 1], (s->n_pods - i - 1) * sizeof *s->pods);
    s->n_claims--, s->n_pods--;
}

static void change(struct dm_snapshot *s) {
    s->revision++;
    uint32_t what = any(20);
    if (what < 8 && s->n_claims) {
        remove_claim(s, any((uint32_t)s->n_claims));
    } else if (what < 9 &&
               s->n_claims > 1) { /* no manager does that: the order is theirs to keep, not ours to trust */
        size_t i = any((uint32_t)s->n_claims), k = any((uint32_t)s->n_claims);
        struct dm_saved_claim *claim = s->claims[i];
        s->claims[i] = s->claims[k], s->claims[k] = claim;
        struct dm_saved_pod *pod = s->pods[i];
        s->pods[i] = s->pods[k], s->pods[k] = pod;
    } else if (what < 11 && s->n_resources) {
        size_t i = any((uint32_t)s->n_resources);
        struct dm_saved_resource *was = s->resources[i];
        s->resources[i] = any_resource(was->name);
        dm_saved_resource_unref(was);
    } else {
        add_claim(s);
    }
}

static void check_text(struct dm_checkpoint_writer *w, const struct dm_snapshot *s, bool deep) {
    uint32_t checksum;
    struct dm_checkpoint_report report;
    struct dm_snapshot *back = NULL;
    struct dm_span text = dm_checkpoint_write(w, s, &checksum);
    if (dm_checkpoint_parse(text, NULL, &back, &report, &err) < 0)
        CHECK_FAIL("%zu claims: %s", s->n_claims, err.message);
    CHECK_INT(report.checksum, checksum);
    if (!report.extension)
        CHECK_FAIL("%s", report.warning);
    CHECK_INT(back->n_claims, s->n_claims);
    if (deep)
        CHECK(same_snapshot(s, back));
    dm_snapshot_free(back);
}

static void churn(size_t claims, int rounds) {
    struct dm_checkpoint_writer *w = dm_checkpoint_writer_new();
    struct dm_snapshot *s = dm_snapshot_new();
    s->resources = dm_alloc_array(3, sizeof *s->resources);
    for (char name[] = "x/a"; name[2] < 'd'; name[2]++)
        s->resources[s->n_resources++] = any_resource(name);
    while (s->n_claims < claims)
        add_claim(s);
    for (int i = 0; i < rounds; i++) {
        struct dm_snapshot *next = copy(s);
        for (uint32_t k = any(3); k; k--)
            change(next);
        check_text(w, next, !broken && i % 50 == 0);
        dm_snapshot_free(s);
        s = next;
    }
    dm_snapshot_free(s);
    dm_checkpoint_writer_free(w);
}

TEST(a_few_claims_changed_at_random) {
    churn(0, 600);
}
TEST(many_claims_changed_at_random) {
    churn(400, 200);
}
TEST(many_claims_with_broken_texts_changed_at_random) {
    broken = true;
    churn(400, 200);
    broken = false;
}

/* The oldest pods end first: every group behind them meets a new hash each time, and gets its table. */
TEST(the_oldest_claims_go_first) {
    struct dm_checkpoint_writer *w = dm_checkpoint_writer_new();
    struct dm_snapshot *s = dm_snapshot_new();
    while (s->n_claims < 300)
        add_claim(s);
    while (s->n_claims) {
        struct dm_snapshot *next = copy(s);
        remove_claim(next, 0);
        check_text(w, next, false);
        dm_snapshot_free(s);
        s = next;
    }
    dm_snapshot_free(s);
    dm_checkpoint_writer_free(w);
}

TEST(two_writers_do_not_take_each_others_marks_for_theirs) {
    struct dm_checkpoint_writer *a = dm_checkpoint_writer_new(), *b = dm_checkpoint_writer_new();
    struct dm_snapshot *s = dm_snapshot_new();
    for (int i = 0; i < 60; i++) {
        add_claim(s);
        check_text(i % 2 ? a : b, s, true);
        check_text(i % 3 ? a : b, s, false);
    }
    dm_snapshot_free(s);
    dm_checkpoint_writer_free(a);
    dm_checkpoint_writer_free(b);
}

/* Their serial numbers are neighbours; a writer's first one is random, so try several. */
TEST(one_claim_and_one_resource_do_not_take_each_others_hash) {
    for (int writer = 0; writer < 16; writer++) {
        struct dm_checkpoint_writer *w = dm_checkpoint_writer_new();
        struct dm_snapshot *s = dm_snapshot_new();
        s->resources = dm_alloc_array(1, sizeof *s->resources);
        s->resources[s->n_resources++] = any_resource("x/a");
        add_claim(s);
        for (int i = 0; i < 40; i++)
            check_text(w, s, false);
        dm_snapshot_free(s);
        dm_checkpoint_writer_free(w);
    }
}

TEST(a_part_that_was_away_for_a_while_is_rendered_again) {
    struct dm_checkpoint_writer *w = dm_checkpoint_writer_new();
    struct dm_snapshot *s = dm_snapshot_new();
    for (int i = 0; i < 20; i++)
        add_claim(s);
    struct dm_snapshot *without = copy(s);
    for (int i = 0; i < 10; i++)
        remove_claim(without, any((uint32_t)without->n_claims));
    for (int i = 0; i < 10; i++)
        check_text(w, i % 3 ? without : s, true);
    dm_snapshot_free(s);
    dm_snapshot_free(without);
    dm_checkpoint_writer_free(w);
}

TEST(CKPT_03_no_claims_is_null) {
    struct dm_buf out = {0};
    struct dm_checkpoint_writer *w = dm_checkpoint_writer_new();
    struct dm_snapshot *s = dm_snapshot_new();
    CHECK_INT(dm_checkpoint_render(w, s, &out), 3467439661);
    CHECK(!strncmp(out.data,
                   "{\"Data\":{\"PodDeviceEntries\":null,\"RegisteredDevices\":{}},\"Checksum\":3467439661,",
                   78));
    dm_buf_free(&out);
    dm_snapshot_free(s);
    dm_checkpoint_writer_free(w);
}

TEST(resources_are_sorted_and_none_comes_twice_whatever_the_snapshot_says) {
    static const char *const names[] = {"x/b", "x/a", "x/c", "x/a"};
    struct dm_checkpoint_writer *w = dm_checkpoint_writer_new();
    struct dm_snapshot *s = dm_snapshot_new();
    s->resources = dm_alloc_array(4, sizeof *s->resources);
    for (int i = 0; i < 4; i++)
        s->resources[s->n_resources++] = dm_saved_resource_new(names[i]);
    check_text(w, s, false);
    dm_snapshot_free(s);
    dm_checkpoint_writer_free(w);
}
