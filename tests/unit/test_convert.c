/* Rules of src/registration/convert.h: v1beta1 messages in and out. */
#include "check.h"
#include "deviceplugin/v1beta1/deviceplugin.pb-c.h"
#include "messages.h"
#include "registration/convert.h"

static devmgr_error err;

TEST(REG_17_a_register_request_is_read_without_its_options) {
    struct dm_buf m = {0}, options = {0};
    struct dm_register r;
    put_number(&options, 1, 1);
    put_text(&m, 3, "example.com/gpu");
    put_message(&m, 4, &options);
    put_text(&m, 1, "v1beta1");
    put_text(&m, 2, "gpu.sock");
    CHECK_INT(dm_convert_register(dm_buf_span(&m), &r, &err), 0);
    CHECK_INT(r.version.len, 7);
    CHECK(!memcmp(r.endpoint.data, "gpu.sock", r.endpoint.len));
    CHECK(!memcmp(r.resource.data, "example.com/gpu", r.resource.len));
    dm_buf_free(&m);
}

TEST(a_register_request_that_is_none_is_refused) {
    struct dm_buf m = {0};
    struct dm_register r;
    put_text(&m, 3, "\xff");
    CHECK_INT(dm_convert_register(dm_buf_span(&m), &r, &err), -EBADMSG);
    dm_buf_free(&m);
    CHECK_INT(dm_convert_register((struct dm_span){(const uint8_t *)"\x0a", 1}, &r, &err), -EBADMSG);
}

TEST(options_default_to_false) {
    bool prestart = true, preferred = true;
    CHECK_INT(dm_convert_options((struct dm_span){0}, &prestart, &preferred, &err), 0);
    CHECK_INT(prestart, 0);
    CHECK_INT(preferred, 0);
    CHECK_INT(
        dm_convert_options((struct dm_span){(const uint8_t *)"\x10\x01", 2}, &prestart, &preferred, &err), 0);
    CHECK_INT(preferred, 1);
}

static const char *const ids[] = {"dev-1", "dev-2"};

TEST(allocate_asks_for_one_container) {
    struct dm_call call = {.rpc = DM_RPC_ALLOCATE, .n_ids = 2, .ids = ids};
    struct dm_buf b = {0};
    dm_convert_request(&call, &b);
    CHECK_STR(dm_convert_method(call.rpc), "/v1beta1.DevicePlugin/Allocate");
    V1beta1__AllocateRequest *r = v1beta1__allocate_request__unpack(NULL, b.len, (uint8_t *)b.data);
    CHECK(r);
    CHECK_INT(r->n_container_requests, 1);
    CHECK_INT(r->container_requests[0]->n_devices_ids, 2);
    CHECK(!memcmp(r->container_requests[0]->devices_ids[1].data, "dev-2", 5));
    v1beta1__allocate_request__free_unpacked(r, NULL);
    dm_buf_free(&b);
}

TEST(preferred_carries_available_must_and_size) {
    struct dm_call call = {
        .rpc = DM_RPC_PREFERRED, .n_ids = 2, .ids = ids, .n_must = 1, .must = ids, .size = 2};
    struct dm_buf b = {0};
    dm_convert_request(&call, &b);
    V1beta1__PreferredAllocationRequest *r =
        v1beta1__preferred_allocation_request__unpack(NULL, b.len, (uint8_t *)b.data);
    CHECK(r);
    CHECK_INT(r->n_container_requests, 1);
    CHECK_INT(r->container_requests[0]->n_available_deviceids, 2);
    CHECK_INT(r->container_requests[0]->n_must_include_deviceids, 1);
    CHECK_INT(r->container_requests[0]->allocation_size, 2);
    v1beta1__preferred_allocation_request__free_unpacked(r, NULL);
    dm_buf_free(&b);
}

TEST(prestart_carries_the_ids) {
    struct dm_call call = {.rpc = DM_RPC_PRESTART, .n_ids = 1, .ids = ids};
    struct dm_buf b = {0};
    dm_convert_request(&call, &b);
    CHECK_INT(b.len, 7);
    CHECK_STR(b.data, "\x0a\x05"
                      "dev-1");
    dm_buf_free(&b);
}

static void put_ids(struct dm_buf *m, const char *a, const char *b) {
    struct dm_buf container = {0};
    put_text(&container, 1, a);
    put_text(&container, 1, b);
    put_message(m, 1, &container);
}

TEST(preferred_ids_are_the_first_containers) {
    struct dm_buf m = {0};
    struct dm_ids got = {0};
    put_ids(&m, "a", "b");
    put_ids(&m, "c", "d");
    CHECK_INT(dm_convert_preferred(dm_buf_span(&m), 10, &got, &err), 0);
    CHECK_INT(got.n, 2);
    CHECK_STR(got.ids[0], "a");
    CHECK_STR(got.ids[1], "b");
    dm_ids_free(&got);
    CHECK_INT(dm_convert_preferred(dm_buf_span(&m), 1, &got, &err), -EBADMSG);
    CHECK_STR(err.message, "more than 1 ids");
    dm_buf_free(&m);
    CHECK_INT(dm_convert_preferred((struct dm_span){0}, 10, &got, &err), 0); /* HAMi: no container at all */
    CHECK_INT(got.n, 0);
    dm_ids_free(&got);
}

TEST(preferred_ids_are_checked) {
    struct dm_buf m = {0}, container = {0};
    struct dm_ids got = {0};
    put_bytes(&container, 1, "a\0b", 3);
    put_message(&m, 1, &container);
    CHECK_INT(dm_convert_preferred(dm_buf_span(&m), 10, &got, &err), -EBADMSG);
    dm_buf_free(&m);
    put_text(&m, 1, "\x0a\x09");
    CHECK_INT(dm_convert_preferred(dm_buf_span(&m), 10, &got, &err), -EBADMSG);
    dm_buf_free(&m);
}
