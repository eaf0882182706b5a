/* Any bytes as a checkpoint file, and as our part of one: what is accepted can be written, and reads back equal.
 *
 * A fuzzer does not find checksums, so a file that fails by its Checksum alone gets the right one, and the bytes behind
 * "sum" get the right sum. */
#include "base/mem.h"
#include "checkpoint/hash.h"
#include "checkpoint/kubelet.h"
#include "same_snapshot.h"
#include <assert.h>
#include <inttypes.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A claim whose answer is none is dropped, the rest stays. */
static bool decodable(struct dm_span answer) {
    return !answer.len || answer.data[0] != 0xff;
}

static void check_decodable(struct dm_span text) {
    struct dm_checkpoint_report report;
    struct dm_snapshot *all, *some;
    assert(dm_checkpoint_parse(text, NULL, &all, NULL, NULL) == 0);
    assert(dm_checkpoint_parse(text, decodable, &some, &report, NULL) == 0);
    assert(some->n_claims <= all->n_claims && (report.dropped || some->n_claims == all->n_claims));
    dm_snapshot_free(all);
    dm_snapshot_free(some);
}

static void check_round(struct dm_span text) {
    struct dm_snapshot *s, *again;
    struct dm_checkpoint_report report;
    struct dm_buf out = {0};
    if (dm_checkpoint_parse(text, NULL, &s, &report, NULL) < 0)
        return;
    struct dm_checkpoint_writer *w = dm_checkpoint_writer_new();
    uint32_t checksum = dm_checkpoint_render(w, s, &out);
    assert(dm_checkpoint_parse(dm_buf_span(&out), NULL, &again, &report, NULL) == 0);
    assert(report.checksum == checksum && report.extension && !*report.warning);
    assert(same_snapshot(s, again));
    dm_checkpoint_writer_free(w);
    dm_buf_free(&out);
    dm_snapshot_free(s);
    dm_snapshot_free(again);
}

/* The right Checksum as one more member: of two the last counts. */
static void check_signed(struct dm_span text) {
    struct dm_kubelet_file f;
    struct dm_buf hashed = {0}, out = {0};
    const uint8_t *last = text.len ? memrchr(text.data, '}', text.len) : NULL;
    if (dm_kubelet_read(text, &f, NULL) == 0 && last) {
        dm_go_text_data(&hashed, &f.data);
        const uint8_t *end = last;
        while (end > text.data && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r' || end[-1] == '\n'))
            end--;
        dm_buf_add(&out, text.data, (size_t)(end - text.data));
        dm_buf_printf(&out, "%s\"Checksum\":%" PRIu32 "}", end[-1] == '{' ? "" : ",",
                      dm_fnv(DM_FNV_START, hashed.data, hashed.len));
        check_decodable(dm_buf_span(&out));
        check_round(dm_buf_span(&out));
    }
    dm_kubelet_file_free(&f);
    dm_buf_free(&hashed);
    dm_buf_free(&out);
}

/* The bytes as what stands behind "sum". */
static void check_extension(struct dm_span rest) {
    static const char data[] =
        "{\"Data\":{\"PodDeviceEntries\":null,\"RegisteredDevices\":{}},\"Checksum\":3467439661";
    struct dm_buf out = {0};
    dm_buf_printf(&out, "%s,\"devmgr\":{\"version\":1,\"for\":3467439661,\"sum\":\"%08" PRIx32 "\"", data,
                  dm_crc32c(rest.data, rest.len));
    dm_buf_add(&out, rest.data, rest.len);
    dm_buf_putc(&out, '}');
    check_round(dm_buf_span(&out));
    dm_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct dm_span text = {data, size};
    check_round(text);
    check_signed(text);
    check_extension(text);
    return 0;
}
