/* Rules of src/registration/list.h: what one ListAndWatchResponse means. */
#include "base/mem.h"
#include "check.h"
#include "messages.h"
#include "registration/list.h"
#include <stdlib.h>

static const struct dm_listing_limits normal = {200000, 1024, false}, strict = {200000, 1024, true};
static devmgr_error err;

/* "id+ id-@MASK ..." in order: + healthy, - not; @ when there is a topology. The message is emptied. */
static const char *read_as(struct dm_buf *message, const struct dm_listing_limits *limits) {
    static char text[4096];
    struct dm_listing l;
    size_t at = 0;
    text[0] = 0;
    int code = dm_listing_read(dm_buf_span(message), limits, &l, &err);
    dm_buf_free(message);
    if (code)
        return snprintf(text, sizeof text, "%d: %s", code, err.message), text;
    for (size_t i = 0; i < l.list.n && at < sizeof text; i++) {
        const struct dm_listed_device *d = &l.list.devices[i];
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s%c", i ? " " : "", d->id,
                               d->healthy ? '+' : '-');
        if (d->topology)
            at += (size_t)snprintf(text + at, sizeof text - at, "@%" PRIx64, d->numa);
        if (d->empty)
            at += (size_t)snprintf(text + at, sizeof text - at, "@");
    }
    dm_listing_free(&l);
    return text;
}

static uint64_t fingerprint(struct dm_buf *message) {
    struct dm_listing l;
    CHECK_INT(dm_listing_read(dm_buf_span(message), &normal, &l, &err), 0);
    uint64_t f = l.fingerprint;
    dm_listing_free(&l);
    dm_buf_free(message);
    return f;
}

TEST(DEV_02_only_the_word_Healthy_is_healthy) {
    struct dm_buf m = {0};
    put_device(&m, "a", "Healthy", -2);
    put_device(&m, "b", "healthy", -2);
    put_device(&m, "c", "Unhealthy", -2);
    put_device(&m, "d", "", -2);
    put_device(&m, "e", "Healthy ", -2);
    CHECK_STR(read_as(&m, &normal), "a+ b- c- d- e-");
}

TEST(DEV_03_an_empty_list_is_a_list) {
    struct dm_buf m = {0};
    CHECK_STR(read_as(&m, &normal), "");
}

TEST(an_empty_device_has_an_empty_id) {
    struct dm_buf m = {0};
    put_bytes(&m, 1, "", 0);
    CHECK_STR(read_as(&m, &normal), "-");
}

TEST(DEV_04_of_equal_ids_the_last_wins_at_the_place_of_the_first) {
    struct dm_buf m = {0};
    put_device(&m, "a", "Healthy", 0);
    put_device(&m, "b", "Healthy", 1);
    put_device(&m, "a", "Unhealthy", 3);
    put_device(&m, "c", "Healthy", -2);
    put_device(&m, "a", "Unhealthy", -2);
    struct dm_listing l;
    CHECK_INT(dm_listing_read(dm_buf_span(&m), &normal, &l, &err), 0);
    CHECK_INT(l.duplicates, 2);
    dm_listing_free(&l);
    CHECK_STR(read_as(&m, &normal), "a- b+@2 c+");
}

/* Nodes of one device, by hand: `nodes` are NUMANode messages. */
static void put_nodes(struct dm_buf *m, const int64_t *ids, size_t n) {
    struct dm_buf device = {0}, topology = {0}, node = {0};
    put_text(&device, 1, "d");
    for (size_t i = 0; i < n; i++) {
        put_number(&node, 1, (uint64_t)ids[i]);
        put_message(&topology, 1, &node);
    }
    put_message(&device, 3, &topology);
    put_message(m, 1, &device);
}

TEST(TOPO_06_08_W17_negative_and_unknown_numa_ids_are_normalised_where_they_come_in) {
    static const struct {
        size_t n;
        int64_t ids[3];
        const char *normal, *strict;
    } rows[] = {
        {0, {0}, "d-", "d-@"}, /* W18: a TopologyInfo without nodes */
        {1, {0}, "d-@1", "d-@1"},
        {1, {63}, "d-@8000000000000000", "d-@8000000000000000"},
        {1, {-1}, "d-", "d-@0"},
        {1, {64}, "d-", "d-@0"},
        {2, {-1, 1}, "d-@2", "d-@2"},
        {3, {1, 2, 1}, "d-@6", "d-@6"},
        {2, {INT64_MAX, INT64_MIN}, "d-", "d-@0"},
    };
    EACH(row, rows) {
        struct dm_buf m = {0};
        put_nodes(&m, row->ids, row->n);
        CHECK_STR(read_as(&m, &normal), row->normal);
        put_nodes(&m, row->ids, row->n);
        CHECK_STR(read_as(&m, &strict), row->strict);
    }
}

TEST(dropped_numa_ids_are_counted) {
    struct dm_buf m = {0};
    put_device(&m, "a", "Healthy", -1);
    put_device(&m, "b", "Healthy", 64);
    put_device(&m, "c", "Healthy", 100);
    struct dm_listing l;
    CHECK_INT(dm_listing_read(dm_buf_span(&m), &normal, &l, &err), 0);
    CHECK_INT(l.negative_numa, 1);
    CHECK_INT(l.high_numa, 2);
    dm_listing_free(&l);
    dm_buf_free(&m);
}

TEST(a_node_without_an_id_is_node_0) {
    struct dm_buf m = {0}; /* proto3 does not send zeros */
    put_device(&m, "a", "Healthy", 0);
    CHECK_STR(read_as(&m, &normal), "a+@1");
}

TEST(repeated_fields_are_merged_as_in_go) {
    struct dm_buf m = {0}, device = {0}, topology = {0}, node = {0};
    put_text(&device, 1, "first");
    for (uint64_t id = 1; id <= 2; id++) {
        put_number(&node, 1, 7);
        put_number(&node, 1, id); /* the last one counts */
        put_message(&topology, 1, &node);
        put_message(&device, 3, &topology); /* nodes of both count */
    }
    put_text(&device, 1, "last");
    put_text(&device, 2, "Healthy");
    put_message(&m, 1, &device);
    CHECK_STR(read_as(&m, &normal), "last+@6");
}

TEST(unknown_fields_and_other_types_are_skipped) {
    struct dm_buf m = {0}, device = {0};
    put_number(&m, 1, 5); /* devices, but a number */
    put_text(&m, 99, "later");
    put_number(&device, 1, 1);
    put_text(&device, 1, "a");
    put_text(&device, 17, "later");
    put_message(&m, 1, &device);
    CHECK_STR(read_as(&m, &normal), "a-");
}

TEST(invalid_utf8_is_no_list) {
    static const struct {
        const char *id, *health, *want;
    } rows[] = {
        {"\xff", "Healthy", "-74: Device.ID is not valid UTF-8 (device 2 of the list)"},
        {"a", "\xc0\x80", "-74: Device.health is not valid UTF-8 (device 2 of the list)"},
    };
    EACH(row, rows) {
        struct dm_buf m = {0};
        put_device(&m, "good", "Healthy", -2);
        put_device(&m, row->id, row->health, -2);
        CHECK_STR(read_as(&m, &normal), row->want);
    }
}

TEST(a_message_cut_anywhere_is_no_list_or_a_shorter_one) {
    struct dm_buf m = {0};
    for (int i = 0; i < 3; i++)
        put_device(&m, "some-device", "Healthy", 2);
    for (size_t n = 0; n < m.len; n++) {
        uint8_t *cut = dm_memdup(m.data, n); /* of its own, so that ASan sees a byte too far */
        struct dm_listing l;
        if (dm_listing_read((struct dm_span){cut, n}, &normal, &l, &err) == 0)
            dm_listing_free(&l);
        else
            CHECK_INT(err.code, -EBADMSG);
        free(cut);
    }
    dm_buf_free(&m);
}

TEST(a_list_over_a_limit_is_refused_whole) {
    static const struct dm_listing_limits small = {2, 3, false};
    struct dm_buf m = {0};
    put_device(&m, "abc", "Healthy", -2);
    put_device(&m, "b", "Healthy", -2);
    CHECK_STR(read_as(&m, &small), "abc+ b+");
    put_device(&m, "a", "Healthy", -2);
    put_device(&m, "b", "Healthy", -2);
    put_device(&m, "c", "Healthy", -2);
    CHECK_STR(read_as(&m, &small), "-7: more than 2 devices (limit max-devices)");
    put_device(&m, "abcd", "Healthy", -2);
    CHECK_STR(read_as(&m, &small), "-36: device 1 has an id of 4 bytes, more than 3 (limit max-id)");
}

TEST(an_id_with_a_NUL_is_refused_not_cut) {
    struct dm_buf m = {0}, device = {0};
    put_bytes(&device, 1, "a\0b", 3);
    put_message(&m, 1, &device);
    CHECK_STR(read_as(&m, &normal), "-84: device 1 has a NUL byte in its id");
}

TEST(the_fingerprint_knows_no_order_but_every_change) {
    struct dm_buf m = {0};
    put_device(&m, "a", "Healthy", 0);
    put_device(&m, "b", "Healthy", 1);
    uint64_t first = fingerprint(&m);
    put_device(&m, "b", "Healthy", 1);
    put_device(&m, "a", "Healthy", 0);
    CHECK(fingerprint(&m) == first);
    put_device(&m, "a", "bad", 1);
    put_device(&m, "b", "Healthy", 1);
    put_device(&m, "a", "Healthy", 0);
    CHECK(fingerprint(&m) == first);

    static const struct {
        const char *id, *health;
        int numa;
    } other[] = {
        {"b", "bad", 1}, {"b", "Healthy", 2}, {"b", "Healthy", -2}, {"c", "Healthy", 1}, {"a", "Healthy", 0}};
    EACH(row, other) {
        put_device(&m, "a", "Healthy", 0);
        put_device(&m, row->id, row->health, row->numa);
        CHECK(fingerprint(&m) != first);
    }
    put_device(&m, "a", "Healthy", 0); /* swapped health is not the same sum */
    put_device(&m, "b", "bad", 0);
    uint64_t ab = fingerprint(&m);
    put_device(&m, "a", "bad", 0);
    put_device(&m, "b", "Healthy", 0);
    CHECK(fingerprint(&m) != ab);
}

TEST(a_hundred_thousand_devices_with_doubles_are_folded) {
    struct dm_buf m = {0};
    char id[64];
    for (int i = 0; i < 100000; i++) {
        snprintf(id, sizeof id, "GPU-6f1d6f4e-54c5-4a3e-8c1b-%012d::%d", i % 60000, i % 7 % 1);
        put_device(&m, id, i < 60000 ? "Unhealthy" : "Healthy", i % 8);
    }
    struct dm_listing l;
    CHECK_INT(dm_listing_read(dm_buf_span(&m), &normal, &l, &err), 0);
    CHECK_INT(l.list.n, 60000);
    CHECK_INT(l.duplicates, 40000);
    CHECK_INT(l.list.devices[0].healthy, 1);
    CHECK_INT(l.list.devices[59999].healthy, 0);
    dm_listing_free(&l);
    dm_buf_free(&m);
}

TEST(W39_millions_of_empty_devices_take_no_memory) {
    struct dm_buf m = {0};
    for (int i = 0; i < 4 << 20; i++)
        dm_buf_add(&m, "\x0a", 2);
    CHECK_STR(read_as(&m, &normal), "-7: more than 200000 devices (limit max-devices)");
}
