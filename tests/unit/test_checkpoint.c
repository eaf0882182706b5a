/* A file's text and a snapshot (src/checkpoint/checkpoint.h): the kubelet's verdicts, both ways equal, our extension. */
#include "base/mem.h"
#include "check.h"
#include "checkpoint/hash.h"
#include "checkpoint/kubelet.h"
#include "checkpoint_files.h"
#include "same_snapshot.h"
#include <jansson.h>

static devmgr_error err;
static struct dm_checkpoint_report report;

static struct dm_span span(const char *s) {
    return (struct dm_span){(const uint8_t *)s, strlen(s)};
}

static int parse(const char *text, struct dm_snapshot **s) {
    return dm_checkpoint_parse(span(text), NULL, s, &report, &err);
}

static char *rendered(const struct dm_snapshot *s) {
    struct dm_buf out = {0};
    struct dm_checkpoint_writer *w = dm_checkpoint_writer_new();
    dm_checkpoint_render(w, s, &out);
    dm_checkpoint_writer_free(w);
    return dm_buf_steal(&out);
}

/* ---- the kubelet's verdicts -------------------------------------------------------------------------------------- */

static void has_the_kubelets_verdict(struct verdict_row *row) {
    struct dm_snapshot *s = NULL;
    int r = dm_checkpoint_parse(dm_buf_span(&row->file), NULL, &s, &report, &err);
    dm_snapshot_free(s);
    if ((r == 0) != !strcmp(row->word, "ok"))
        CHECK_FAIL("%s: the kubelet says %s %s; we say %s", row->name, row->word, row->says,
                   r ? err.message : "ok");
    if (row->checksum != report.checksum)
        CHECK_FAIL("%s: checksum %u, must be %llu", row->name, (unsigned)report.checksum, row->checksum);
    if (r < 0 && r != DEVMGR_ECHECKPOINT)
        CHECK_FAIL("%s: code %d", row->name, r);
}

static void hashes_the_kubelets_text(struct verdict_row *row) {
    struct dm_kubelet_file f;
    struct dm_buf text = {0};
    if (!row->text.len)
        return;
    CHECK_INT(dm_kubelet_read(dm_buf_span(&row->file), &f, &err), 0);
    dm_go_text_data(&text, &f.data);
    if (text.len != row->text.len || memcmp(text.data, row->text.data, text.len))
        CHECK_FAIL("%s: hashes\n# %.300s\n# must be\n# %.300s", row->name, text.data, row->text.data);
    dm_buf_free(&text);
    dm_kubelet_file_free(&f);
}

/* What we write for it is what the kubelet wrote, then our key. A NUL (only the kubelet keeps those) is the exception. */
static void is_written_byte_for_byte(struct verdict_row *row) {
    struct dm_snapshot *s, *again;
    CHECK_INT(dm_checkpoint_parse(dm_buf_span(&row->file), NULL, &s, &report, &err), 0);
    bool nul = strstr(report.warning, "NUL");
    DM_FREE char *text = rendered(s);
    if (!nul && (strncmp(text, row->file.data, row->file.len - 1) ||
                 strncmp(text + row->file.len - 1, ",\"devmgr\":{\"version\":1,", 23)))
        CHECK_FAIL("%s: written as\n# %.300s\n# must be\n# %.300s", row->name, text, row->file.data);
    if (parse(text, &again) < 0 || !report.extension || !same_snapshot(s, again))
        CHECK_FAIL("%s: does not read back equal: %s", row->name, err.message);
    dm_snapshot_free(s);
    dm_snapshot_free(again);
}

TEST(CKPT_11_files_of_the_kubelet_are_accepted_with_their_checksum) {
    CHECK_INT(each_verdict("checkpoint", has_the_kubelets_verdict), 192);
}
TEST(CKPT_02_to_06_files_of_the_kubelet_are_written_back_byte_for_byte) {
    each_verdict("checkpoint", is_written_byte_for_byte);
}
TEST(CKPT_07_the_hashed_text_is_the_kubelets) {
    each_verdict("checkpoint", hashes_the_kubelets_text);
    each_verdict("checkpoint-edge", hashes_the_kubelets_text);
}
TEST(CKPT_15_to_17_changed_files_get_the_kubelets_verdict) {
    CHECK_INT(each_verdict("checkpoint-bad", has_the_kubelets_verdict), 105);
}
TEST(CKPT_09_10_18_every_rule_of_the_kubelets_decoder) {
    CHECK_INT(each_verdict("checkpoint-edge", has_the_kubelets_verdict), 186);
}

/* Whatever is accepted can be written and is then the same. */
static void survives_a_round(struct verdict_row *row) {
    struct dm_snapshot *s, *again;
    if (dm_checkpoint_parse(dm_buf_span(&row->file), NULL, &s, &report, &err) < 0)
        return;
    DM_FREE char *text = rendered(s);
    if (parse(text, &again) < 0 || !same_snapshot(s, again))
        CHECK_FAIL("%s: does not read back equal: %s", row->name, err.message);
    dm_snapshot_free(s);
    dm_snapshot_free(again);
}
TEST(what_is_accepted_can_be_written_and_read_back) {
    each_verdict("checkpoint-bad", survives_a_round);
    each_verdict("checkpoint-edge", survives_a_round);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

TEST(errors_say_what_is_wrong_and_where) {
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"", "the file is empty"},
        {"{\"Data\":\n {\"PodDeviceEntries\":[tru", "line 2, column 26: unexpected end of JSON input"},
        {"{\"Data\":{\"PodDeviceEntries\":[{},\n{\"PodUID\":7}]},\"Checksum\":1}",
         "line 2, column 11: Data.PodDeviceEntries[1].PodUID is a number, must be a string"},
        {"{\"Data\":{\"PodDeviceEntries\":[{\"DeviceIDs\":[\"a\"]}]}}",
         "line 1, column 43: Data.PodDeviceEntries[0].DeviceIDs is an array, must be an object (written "
         "before "
         "Kubernetes 1.20?)"},
        {"{\"Data\":{\"PodDeviceEntries\":[{\"DeviceIDs\":{\"zero\":[\"a\"]}}]}}",
         "line 1, column 51: Data.PodDeviceEntries[0].DeviceIDs: \"zero\" is not the number of a NUMA node"},
        {"{\"Data\":{\"RegisteredDevices\":{\"a/b\":1}}}",
         "line 1, column 37: Data.RegisteredDevices is a number, must be an array"},
        {"{\"Data\":[],\"Checksum\":1}x", "line 1, column 25: invalid character 'x' after top-level value"},
        {"{\"Data\":{\"PodDeviceEntries\":null,\"RegisteredDevices\":{}},\"Checksum\":1}",
         "the content does not fit its Checksum: the file says 1, its Data gives 3467439661; it was changed "
         "or damaged"},
        {"{\"Data\":{\"PodDeviceEntries\":null,\"RegisteredDevices\":{}}}",
         "there is no Checksum (3467439661 would be right)"},
    };
    EACH(row, rows) {
        struct dm_snapshot *s;
        CHECK_INT(parse(row->text, &s), DEVMGR_ECHECKPOINT);
        CHECK_STR(err.message, row->says);
    }
}

/* ---- content ----------------------------------------------------------------------------------------------------- */

static const char two_entries[] =
    "{\"Data\":{\"PodDeviceEntries\":["
    "{\"PodUID\":\"p\",\"ContainerName\":\"c\",\"ResourceName\":\"x/"
    "gpu\",\"DeviceIDs\":{\"-1\":[\"n\"],\"0\":[\"b\",\"a\"],"
    "\"10\":[\"z\"],\"2\":[\"b\"]},\"AllocResp\":\"CgYKAUESATE=\"},"
    "{\"PodUID\":\"p\",\"ContainerName\":\"d\",\"ResourceName\":\"x/gpu\",\"DeviceIDs\":{},\"AllocResp\":\"/"
    "w==\"}],"
    "\"RegisteredDevices\":{\"x/gpu\":[\"a\",\"b\"],\"x/nic\":[]}},\"Checksum\":@}";

/* The text with its right checksum in the place of '@'. */
static char *signed_text(const char *text) {
    struct dm_kubelet_file f;
    struct dm_buf hashed = {0}, out = {0};
    const char *at = strchr(text, '@');
    DM_FREE char *zero = dm_strdup(text);
    zero[at - text] = '0';
    CHECK_INT(dm_kubelet_read(span(zero), &f, &err), 0);
    dm_go_text_data(&hashed, &f.data);
    dm_buf_add(&out, text, (size_t)(at - text));
    dm_buf_printf(&out, "%" PRIu32 "%s", dm_fnv(DM_FNV_START, hashed.data, hashed.len), at + 1);
    dm_buf_free(&hashed);
    dm_kubelet_file_free(&f);
    return dm_buf_steal(&out);
}

TEST(CKPT_08_nodes_are_hashed_by_number_and_ids_as_written) {
    struct dm_kubelet_file f;
    struct dm_buf text = {0};
    DM_FREE char *file = signed_text(two_entries);
    CHECK_INT(dm_kubelet_read(span(file), &f, &err), 0);
    dm_go_text_data(&text, &f.data);
    CHECK(strstr(text.data,
                 "DeviceIDs:(checkpoint.DevicesPerNUMA)map[-1:[n] 0:[b a] 2:[b] 10:[z]] AllocResp:"));
    dm_buf_free(&text);
    dm_kubelet_file_free(&f);
}

TEST(a_kubelets_file_becomes_claims_resources_and_unnamed_pods) {
    struct dm_snapshot *s;
    DM_FREE char *text = signed_text(two_entries);
    CHECK_INT(parse(text, &s), 0);
    CHECK_INT(report.extension, false);
    CHECK_STR(report.warning, "");
    CHECK_INT(s->n_claims, 2);
    const struct dm_saved_claim *c = s->claims[0];
    CHECK_STR(c->pod_uid, "p");
    CHECK_STR(c->container, "c");
    CHECK_STR(c->resource, "x/gpu");
    CHECK_INT(c->n_nodes, 4);
    CHECK_INT(c->nodes[0].node, -1);
    CHECK_INT(c->nodes[2].node, 2); /* by number, not as written */
    CHECK_INT(c->nodes[3].node, 10);
    CHECK_STR(c->nodes[1].ids[0], "b"); /* as written, not sorted */
    CHECK_INT(c->answer_len, 8);
    CHECK(!memcmp(c->answer, "\x0a\x06\x0a\x01\x41\x12\x01\x31", 8));
    CHECK_INT(s->n_resources, 2);
    CHECK_INT(s->resources[0]->n_healthy, 2);
    CHECK_INT(s->resources[0]->has_options, false);
    CHECK_INT(s->n_pods, 1);
    CHECK_STR(s->pods[0]->uid, "p");
    CHECK_STR(s->pods[0]->name, "");
    CHECK_INT(s->pods[0]->n_containers, 2);
    CHECK_STR(s->pods[0]->containers[1].name, "d");
    CHECK_INT(s->pods[0]->containers[1].kind, -1);
    dm_snapshot_free(s);
}

static bool not_ff(struct dm_span answer) {
    return answer.len != 1 || answer.data[0] != 0xff;
}

TEST(CKPT_19_an_answer_that_is_no_message_drops_its_entry_alone) {
    struct dm_snapshot *s;
    DM_FREE char *text = signed_text(two_entries);
    CHECK_INT(dm_checkpoint_parse(span(text), not_ff, &s, &report, &err), 0);
    CHECK_INT(s->n_claims, 1);
    CHECK_INT(report.dropped, 1);
    CHECK_STR(
        report.warning,
        "Data.PodDeviceEntries[1] is dropped: its AllocResp is not a ContainerAllocateResponse (pod p)");
    dm_snapshot_free(s);
}

TEST(of_two_entries_for_one_container_and_resource_the_later_counts) {
    struct dm_snapshot *s;
    DM_FREE char *text = signed_text(
        "{\"Data\":{\"PodDeviceEntries\":["
        "{\"PodUID\":\"p\",\"ContainerName\":\"c\",\"ResourceName\":\"r\",\"DeviceIDs\":{\"0\":[\"a\"]}},"
        "{\"PodUID\":\"q\",\"ContainerName\":\"c\",\"ResourceName\":\"r\",\"DeviceIDs\":{\"0\":[\"x\"]}},"
        "{\"PodUID\":\"p\",\"ContainerName\":\"c\",\"ResourceName\":\"r\",\"DeviceIDs\":{\"0\":[\"b\"]}}]},"
        "\"Checksum\":@}");
    CHECK_INT(parse(text, &s), 0);
    CHECK_INT(s->n_claims, 2);
    CHECK_STR(s->claims[0]->nodes[0].ids[0], "b");
    CHECK(strstr(report.warning, "two entries"));
    dm_snapshot_free(s);
}

TEST(CKPT_23_the_answer_is_kept_as_bytes) {
    struct dm_snapshot *s, *again;
    uint8_t bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    for (size_t n = 0; n <= 256; n += n < 8 ? 1 : 31) {
        s = dm_snapshot_new();
        s->claims = DM_NEW(struct dm_saved_claim *);
        s->claims[s->n_claims++] = dm_saved_claim_new("p", "c", "r", (struct dm_span){bytes, n});
        DM_FREE char *text = rendered(s);
        CHECK_INT(parse(text, &again), 0);
        CHECK_INT(again->claims[0]->answer_len, n);
        CHECK(!memcmp(again->claims[0]->answer, bytes, n));
        dm_snapshot_free(s);
        dm_snapshot_free(again);
    }
}

TEST(a_nul_from_the_kubelet_is_kept_as_a_replacement_and_said) {
    struct dm_snapshot *s;
    DM_FREE char *text =
        signed_text("{\"Data\":{\"RegisteredDevices\":{\"r\":[\"a\\u0000b\"]}},\"Checksum\":@}");
    CHECK_INT(parse(text, &s), 0);
    CHECK_STR(s->resources[0]->healthy[0], "a\xef\xbf\xbd"
                                           "b");
    CHECK_STR(report.warning, "a name or id holds a NUL byte, which is kept as U+FFFD");
    dm_snapshot_free(s);
}

/* ---- our extension ----------------------------------------------------------------------------------------------- */

static void name(struct dm_saved_pod *p, const char *namespace_, const char *pod_name, const char *tag) {
    free(p->namespace_), free(p->name), free(p->tag);
    p->namespace_ = dm_strdup(namespace_);
    p->name = dm_strdup(pod_name);
    p->tag = dm_strdup(tag);
}

static struct dm_snapshot *full(void) {
    struct dm_snapshot *s = dm_snapshot_new();
    s->revision = UINT64_MAX - 1;
    s->recovering = true;
    s->claims = dm_alloc_array(1, sizeof *s->claims);
    s->claims[s->n_claims++] = dm_saved_claim_new("uid-1", "init", "x/gpu", (struct dm_span){0});
    dm_saved_claim_add(s->claims[0], 3, "a");
    s->resources = dm_alloc_array(2, sizeof *s->resources);
    s->resources[s->n_resources++] = dm_saved_resource_new("x/gpu");
    s->resources[s->n_resources++] = dm_saved_resource_new("x/nic");
    s->resources[1]->has_options = s->resources[1]->preferred = true;
    s->pods = dm_alloc_array(1, sizeof *s->pods);
    struct dm_saved_pod *p = s->pods[s->n_pods++] = dm_saved_pod_new("uid-1");
    name(p, "default", "tr\xc3\xa4ger \xf0\x9f\x98\x80", "tag \"1\" <\x01>");
    p->revision = 77;
    p->init_done = true;
    dm_saved_pod_add(p, "init", DEVMGR_PLAIN_INIT, 0);
    dm_saved_pod_add(p, "side", DEVMGR_SIDECAR, UINT64_MAX);
    dm_saved_pod_add(p, "main", DEVMGR_APP, 5);
    dm_saved_pod_add(p, "other", -1, 1);
    return s;
}

TEST(the_extension_is_flat_ascii_and_last) {
    struct dm_snapshot *s = full();
    DM_FREE char *text = rendered(s);
    char *at = strstr(text, ",\"devmgr\":{\"version\":1,\"for\":");
    CHECK(at);
    for (char *p = at; *p; p++)
        if (*p < 0x20 || *p > 0x7e)
            CHECK_FAIL("byte 0x%02x in the extension", (unsigned char)*p);
    CHECK_STR(
        strstr(at, ",\"revision\""),
        ",\"revision\":18446744073709551614,\"recovering\":true,"
        "\"resources\":[{\"name\":\"x/nic\",\"prestart\":false,\"preferred\":true}],"
        "\"pods\":[{\"uid\":\"uid-1\",\"namespace\":\"default\",\"name\":\"tr\\u00e4ger \\ud83d\\ude00\","
        "\"tag\":\"tag \\\"1\\\" \\u003c\\u0001\\u003e\",\"revision\":77,\"init_done\":true,\"containers\":["
        "{\"name\":\"init\",\"kind\":\"init\",\"affinity\":0},"
        "{\"name\":\"side\",\"kind\":\"sidecar\",\"affinity\":18446744073709551615},"
        "{\"name\":\"main\",\"kind\":\"app\",\"affinity\":5},"
        "{\"name\":\"other\",\"kind\":\"unknown\",\"affinity\":1}]}]}}");
    dm_snapshot_free(s);
}

TEST(the_extension_reads_back_field_by_field) {
    struct dm_snapshot *s = full(), *again;
    DM_FREE char *text = rendered(s);
    CHECK_INT(parse(text, &again), 0);
    CHECK_INT(report.extension, true);
    CHECK_STR(report.warning, "");
    CHECK(again->revision == UINT64_MAX - 1);
    CHECK_INT(again->recovering, true);
    CHECK_INT(again->resources[0]->has_options, false);
    CHECK_INT(again->resources[1]->has_options, true);
    CHECK_INT(again->resources[1]->prestart, false);
    CHECK_INT(again->resources[1]->preferred, true);
    CHECK_INT(again->n_pods, 1);
    const struct dm_saved_pod *p = again->pods[0];
    CHECK_STR(p->uid, "uid-1");
    CHECK_STR(p->namespace_, "default");
    CHECK_STR(p->name, "tr\xc3\xa4ger \xf0\x9f\x98\x80");
    CHECK_STR(p->tag, "tag \"1\" <\x01>");
    CHECK_INT(p->revision, 77);
    CHECK_INT(p->init_done, true);
    CHECK_INT(p->n_containers, 4);
    static const int kinds[] = {DEVMGR_PLAIN_INIT, DEVMGR_SIDECAR, DEVMGR_APP, -1};
    for (int i = 0; i < 4; i++)
        CHECK_INT(p->containers[i].kind, kinds[i]);
    CHECK(p->containers[1].affinity == UINT64_MAX);
    CHECK(same_snapshot(s, again));
    dm_snapshot_free(s);
    dm_snapshot_free(again);
}

/* Replaces the first `from` in the text by `to` of the same or another length. */
static char *changed(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    CHECK(at);
    return dm_printf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

TEST(an_extension_that_was_changed_or_moved_is_ignored_and_said) {
    static const struct {
        const char *from, *to, *says;
    } rows[] = {
        {"\"init_done\":true", "\"init_done\":false",
         "the \"devmgr\" part is ignored: its sum is not right: it was changed"},
        {"\"for\":", "\"for\":1",
         "the \"devmgr\" part is ignored: it belongs to other data (\"for\" is not this file's Checksum)"},
        {"\"version\":1", "\"version\":2",
         "the \"devmgr\" part is ignored: version 2 is not known here (1 is)"},
        {"{\"version\":1,", "{", "the \"devmgr\" part is ignored: it does not begin with a version"},
        {"\"sum\":", "\"Sum\":", "the \"devmgr\" part is ignored: it has no sum"},
        {"\"devmgr\":{", "\"devmgr\":7,\"x\":{",
         "the \"devmgr\" part is ignored: it does not begin with a version"},
        {"\"devmgr\":{", "\"Devmgr\":{", "the \"devmgr\" part is ignored: its name was changed"},
        {"\"devmgr\":{", "\"DevMgr\":{", ""}, /* a key that neither of us knows */
    };
    struct dm_snapshot *s = full(), *again;
    DM_FREE char *text = rendered(s);
    EACH(row, rows) {
        DM_FREE char *bad = changed(text, row->from, row->to);
        CHECK_INT(parse(bad, &again), 0);
        CHECK_INT(report.extension, false);
        CHECK_STR(report.warning, row->says);
        CHECK_INT(again->n_claims, 1); /* nothing that Data holds is lost */
        CHECK_STR(again->pods[0]->name, "");
        CHECK_INT(again->revision, 0);
        CHECK_INT(again->recovering, *row->says != 0); /* it may have been so */
        dm_snapshot_free(again);
    }
    dm_snapshot_free(s);
}

/* With a right sum but of another shape: `rest` follows the sum. */
static char *with_rest(const char *rest) {
    static const char data[] =
        "{\"Data\":{\"PodDeviceEntries\":null,\"RegisteredDevices\":{}},\"Checksum\":3467439661";
    return dm_printf("%s,\"devmgr\":{\"version\":1,\"for\":3467439661,\"sum\":\"%08x\"%s}", data,
                     (unsigned)dm_crc32c(rest, strlen(rest)), rest);
}

TEST(an_extension_may_have_keys_of_a_later_version_but_no_wrong_types) {
    static const struct {
        const char *rest, *says;
    } rows[] = {
        {"}", ""},
        {",\"more\":[{\"a\":null}],\"revision\":3}", ""},
        {",\"pods\":[{\"uid\":\"u\",\"hat\":1,\"containers\":[{\"name\":\"c\",\"kind\":\"later\",\"x\":{}}]}]"
         "}",
         ""},
        {",\"revision\":\"3\"}", "the \"devmgr\" part is ignored: line 1, column 147: not a number"},
        {",\"pods\":[7]}", "the \"devmgr\" part is ignored: line 1, column 144: not an object"},
        {",\"revision\":-3}", "the \"devmgr\" part is ignored: line 1, column 147: not a whole number"},
        {",\"pods\":[{\"uid\":\"a\\u0000\"}]}",
         "the \"devmgr\" part is ignored: line 1, column 151: a NUL in a text"},
    };
    EACH(row, rows) {
        struct dm_snapshot *s;
        DM_FREE char *text = with_rest(row->rest);
        CHECK_INT(parse(text, &s), 0);
        CHECK_STR(report.warning, row->says);
        CHECK_INT(report.extension, !*row->says);
        dm_snapshot_free(s);
    }
}

/* ---- for people -------------------------------------------------------------------------------------------------- */

TEST(the_content_is_shown_with_sorted_ids) {
    struct dm_snapshot *s;
    DM_FREE char *text = signed_text(two_entries);
    CHECK_INT(parse(text, &s), 0);
    json_t *shown = dm_checkpoint_json(s, &report);
    DM_FREE char *got = json_dumps(shown, JSON_COMPACT | JSON_SORT_KEYS);
    DM_FREE char *want = dm_printf(
        "{\"checksum\":%u,\"entries\":[{\"answer\":\"CgYKAUESATE=\",\"container\":\"c\",\"devices\":{\"-1\":["
        "\"n\"],"
        "\"0\":[\"a\",\"b\"],\"10\":[\"z\"],\"2\":[\"b\"]},\"pod\":\"p\",\"resource\":\"x/gpu\"},"
        "{\"answer\":\"/w==\",\"container\":\"d\",\"devices\":{},\"pod\":\"p\",\"resource\":\"x/gpu\"}],"
        "\"extension\":false,\"pods\":[{\"containers\":[{\"affinity\":[],\"kind\":\"unknown\",\"name\":\"c\"}"
        ","
        "{\"affinity\":[],\"kind\":\"unknown\",\"name\":\"d\"}],\"init_done\":false,\"name\":\"\","
        "\"namespace\":\"\","
        "\"revision\":0,\"tag\":\"\",\"uid\":\"p\"}],\"recovering\":false,"
        "\"registered\":{\"x/gpu\":[\"a\",\"b\"],\"x/nic\":[]},\"revision\":0,\"warnings\":[]}",
        (unsigned)report.checksum);
    CHECK_STR(got, want);
    json_decref(shown);
    dm_snapshot_free(s);
}
