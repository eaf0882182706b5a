/* Rules of src/registration/answer.c: a plugin's Allocate answer. */
#include "base/mem.h"
#include "check.h"
#include "messages.h"
#include "registration/answer.h"
#include "registration/registration.h"
#include <stdlib.h>

static devmgr_error err;

static void put_pair(struct dm_buf *b, unsigned field, const char *key, const char *value) {
    struct dm_buf pair = {0};
    if (key)
        put_text(&pair, 1, key);
    if (value)
        put_text(&pair, 2, value);
    put_message(b, field, &pair);
}
static void put_mount(struct dm_buf *b, const char *container, const char *host, int read_only) {
    struct dm_buf mount = {0};
    put_text(&mount, 1, container);
    put_text(&mount, 2, host);
    if (read_only)
        put_number(&mount, 3, 1);
    put_message(b, 2, &mount);
}
static void put_node(struct dm_buf *b, const char *container, const char *host, const char *permissions) {
    struct dm_buf node = {0};
    put_text(&node, 1, container);
    put_text(&node, 2, host);
    if (permissions)
        put_text(&node, 3, permissions);
    put_message(b, 3, &node);
}

static const char *pairs_text(char *at, const char *name, const devmgr_pair *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        at += sprintf(at, "%s %s=%s; ", name, p[i].name, p[i].value);
    return at;
}

/* All of an answer in one line, or "code: text". Empties the message. */
static const char *decoded(struct dm_buf *message) {
    static char text[4096];
    struct dm_answer *a = NULL;
    char *at = text;
    *at = 0;
    int code = dm_answer_decode(dm_buf_span(message), &a, &err);
    dm_buf_free(message);
    if (code)
        return snprintf(text, sizeof text, "%d: %s", code, err.message), text;
    at = (char *)pairs_text(at, "env", a->envs, a->n_envs);
    for (size_t i = 0; i < a->n_mounts; i++)
        at += sprintf(at, "mount %s:%s%s; ", a->mounts[i].container_path, a->mounts[i].host_path,
                      a->mounts[i].read_only ? ":ro" : "");
    for (size_t i = 0; i < a->n_devices; i++)
        at += sprintf(at, "device %s:%s:%s; ", a->devices[i].container_path, a->devices[i].host_path,
                      a->devices[i].permissions);
    at = (char *)pairs_text(at, "annotation", a->annotations, a->n_annotations);
    for (size_t i = 0; i < a->n_cdi_devices; i++)
        at += sprintf(at, "cdi %s; ", a->cdi_devices[i]);
    dm_answer_free(a);
    return text;
}

TEST(every_field_is_read_in_message_order) {
    struct dm_buf m = {0}, cdi = {0};
    put_pair(&m, 1, "B", "2");
    put_mount(&m, "/c", "/h", 1);
    put_node(&m, "/dev/x", "/dev/y", "rw");
    put_pair(&m, 4, "cdi.k8s.io/x", "v/c=n");
    put_text(&cdi, 1, "vendor.com/gpu=0");
    put_message(&m, 5, &cdi);
    put_pair(&m, 1, "A", "1");
    put_mount(&m, "/c2", "/h2", 0);
    CHECK_STR(decoded(&m), "env B=2; env A=1; mount /c:/h:ro; mount /c2:/h2; device /dev/x:/dev/y:rw; "
                           "annotation cdi.k8s.io/x=v/c=n; cdi vendor.com/gpu=0; ");
}

TEST(what_is_not_sent_is_empty) {
    struct dm_buf m = {0};
    CHECK_STR(decoded(&m), "");
    put_pair(&m, 1, NULL, NULL);
    put_node(&m, "/dev/x", "/dev/x", NULL); /* KubeVirt leaves the permissions out */
    put_bytes(&m, 2, "", 0);
    put_bytes(&m, 5, "", 0);
    CHECK_STR(decoded(&m), "env =; mount :; device /dev/x:/dev/x:; cdi ; ");
}

TEST(of_equal_map_keys_the_last_wins_at_the_place_of_the_first) {
    struct dm_buf m = {0};
    put_pair(&m, 1, "A", "1");
    put_pair(&m, 1, "B", "2");
    put_pair(&m, 1, "A", "3");
    put_pair(&m, 4, "A", "4");
    put_pair(&m, 1, "A", "5");
    CHECK_STR(decoded(&m), "env A=5; env B=2; annotation A=4; ");
}

TEST(equal_mounts_and_devices_stay) {
    struct dm_buf m = {0};
    put_node(&m, "/dev/zero", "/dev/zero", "mrw");
    put_node(&m, "/dev/zero", "/dev/zero", "mrw");
    CHECK_STR(decoded(&m), "device /dev/zero:/dev/zero:mrw; device /dev/zero:/dev/zero:mrw; ");
}

TEST(repeated_singular_fields_count_with_their_last_value) {
    struct dm_buf m = {0}, mount = {0};
    put_text(&mount, 1, "/first");
    put_number(&mount, 3, 1);
    put_text(&mount, 1, "/last");
    put_number(&mount, 3, 0);
    put_message(&m, 2, &mount);
    CHECK_STR(decoded(&m), "mount /last:; ");
}

TEST(texts_that_are_none_are_refused) {
    static const struct {
        unsigned field, inner;
        const char *bytes;
        size_t n;
        const char *want;
    } rows[] = {
        {1, 1, "\xff", 1, "-74: envs is not valid UTF-8"},
        {1, 2, "a\0b", 3, "-74: envs contains a NUL byte"},
        {2, 1, "\xff", 1, "-74: Mount.container_path is not valid UTF-8"},
        {2, 2, "\0", 1, "-74: Mount.host_path contains a NUL byte"},
        {3, 3, "\xff", 1, "-74: DeviceSpec.permissions is not valid UTF-8"},
        {4, 1, "\xff", 1, "-74: annotations is not valid UTF-8"},
        {5, 1, "\xff", 1, "-74: CDIDevice.name is not valid UTF-8"},
    };
    EACH(row, rows) {
        struct dm_buf m = {0}, inner = {0};
        put_pair(&m, 1, "KEPT", "so that something must be freed");
        put_bytes(&inner, row->inner, row->bytes, row->n);
        put_message(&m, row->field, &inner);
        CHECK_STR(decoded(&m), row->want);
    }
}

TEST(what_is_no_message_is_refused) {
    struct dm_buf m = {0};
    dm_buf_add(&m, "\x0a\x05\x0a", 3);
    CHECK_STR(decoded(&m), "-74: ContainerAllocateResponse is not a message");
    put_bytes(&m, 2, "\x0a\x05", 2);
    CHECK_STR(decoded(&m), "-74: Mount.container_path is not a message");
}

/* A checkpoint's entry that the kubelet keeps must not be dropped: its device would go to another pod. */
TEST(CKPT_19_a_message_is_what_the_kubelet_decodes_also_where_we_refuse_its_content) {
    static const struct {
        unsigned field, inner;
        const char *bytes;
        size_t n;
        bool want;
    } rows[] = {{1, 1, "a", 1, true},     {1, 2, "a\0b", 3, true},  {2, 2, "\0", 1, true},
                {3, 3, "\0", 1, true},    {5, 1, "\0", 1, true},    {1, 1, "\xff", 1, false},
                {4, 2, "\xff", 1, false}, {2, 2, "\xff", 1, false}, {3, 3, "\xff", 1, false},
                {5, 1, "\xff", 1, false}, {5, 2, "\xff", 1, true},  {6, 1, "\xff", 1, true}};
    EACH(row, rows) {
        struct dm_buf m = {0}, inner = {0};
        put_mount(&m, "/c", "/h", 1);
        put_bytes(&inner, row->inner, row->bytes, row->n);
        put_message(&m, row->field, &inner);
        CHECK_INT(dm_answer_is_message(dm_buf_span(&m)), row->want);
        dm_buf_free(&m);
    }
    CHECK(dm_answer_is_message((struct dm_span){0}));
    CHECK(!dm_answer_is_message((struct dm_span){(const uint8_t *)"\x0a\x05\x0a", 3}));
    CHECK(!dm_answer_is_message((struct dm_span){(const uint8_t *)"\x0a\x01\x0a", 3}));
}

TEST(entries_are_counted_before_memory_is_taken) {
    struct dm_buf m = {0};
    for (int i = 0; i < DM_ANSWER_MAX_ENTRIES + 1; i++)
        dm_buf_add(&m, "\x22", 2); /* an empty annotation */
    CHECK(dm_answer_is_message(dm_buf_span(&m)));
    CHECK_STR(decoded(&m), "-74: more than 1048576 entries");
}

TEST(ALLOC_04_the_first_container_is_kept_verbatim) {
    struct dm_buf m = {0}, one = {0}, two = {0};
    put_pair(&one, 1, "A", "1");
    put_text(&one, 77, "a field of a later version");
    char *bytes = dm_memdup(one.data, one.len);
    size_t len = one.len, n;
    put_pair(&two, 1, "A", "2");
    put_number(&m, 9, 1);
    put_message(&m, 1, &one);
    put_message(&m, 1, &two);
    struct dm_span first;
    CHECK_INT(dm_answer_first(dm_buf_span(&m), &n, &first, &err), 0);
    CHECK_INT(n, 2);
    CHECK_INT(first.len, len);
    CHECK(!memcmp(first.data, bytes, len));
    free(bytes);
    dm_buf_free(&m);
}

TEST(ALLOC_an_answer_for_no_container_is_seen) {
    struct dm_span first;
    size_t n = 7;
    CHECK_INT(dm_answer_first((struct dm_span){0}, &n, &first, &err), 0);
    CHECK_INT(n, 0);
    CHECK_INT(first.len, 0);
}

TEST(a_first_container_that_cannot_be_decoded_is_an_error) {
    struct dm_buf m = {0}, one = {0}, inner = {0};
    struct dm_span first;
    size_t n;
    put_bytes(&inner, 1, "\xff", 1);
    put_message(&one, 2, &inner);
    put_message(&m, 1, &one);
    CHECK_INT(dm_answer_first(dm_buf_span(&m), &n, &first, &err), -EBADMSG);
    dm_buf_free(&m);
}
