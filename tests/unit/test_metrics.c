/* Rules of src/registration/metrics.h: the kubelet's two, their names, texts and buckets; that they stay bounded. */
#include "registration/metrics.h"
#include "registration_world.h"

static const char *written(const struct dm_metrics *m) {
    static char text[16384];
    struct dm_buf out = {0};
    dm_metrics_write(m, &out);
    snprintf(text, sizeof text, "%s", out.len ? out.data : "");
    dm_buf_free(&out);
    return text;
}

TEST(nothing_counted_nothing_written) {
    struct dm_metrics m = {.max = 4};
    CHECK_STR(written(&m), "");
    dm_metrics_free(&m);
}

TEST(names_texts_and_buckets_are_the_kubelets) {
    struct dm_metrics m = {.max = 4};
    dm_metrics_registered(&m, "x.y/b");
    dm_metrics_registered(&m, "x.y/a");
    dm_metrics_registered(&m, "x.y/b");
    dm_metrics_allocated(&m, "x.y/a", 5000000); /* a bound belongs to its bucket */
    dm_metrics_allocated(&m, "x.y/a", 5000001);
    dm_metrics_allocated(&m, "x.y/a", 2000000000);
    dm_metrics_allocated(&m, "x.y/a", 11000000000);
    CHECK_STR(written(&m),
              "# HELP kubelet_device_plugin_alloc_duration_seconds [ALPHA] Duration in seconds to serve a "
              "device plugin "
              "Allocation request. Broken down by resource name.\n"
              "# TYPE kubelet_device_plugin_alloc_duration_seconds histogram\n"
              "kubelet_device_plugin_alloc_duration_seconds_bucket{resource_name=\"x.y/a\",le=\"0.005\"} 1\n"
              "kubelet_device_plugin_alloc_duration_seconds_bucket{resource_name=\"x.y/a\",le=\"0.01\"} 2\n"
              "kubelet_device_plugin_alloc_duration_seconds_bucket{resource_name=\"x.y/a\",le=\"0.025\"} 2\n"
              "kubelet_device_plugin_alloc_duration_seconds_bucket{resource_name=\"x.y/a\",le=\"0.05\"} 2\n"
              "kubelet_device_plugin_alloc_duration_seconds_bucket{resource_name=\"x.y/a\",le=\"0.1\"} 2\n"
              "kubelet_device_plugin_alloc_duration_seconds_bucket{resource_name=\"x.y/a\",le=\"0.25\"} 2\n"
              "kubelet_device_plugin_alloc_duration_seconds_bucket{resource_name=\"x.y/a\",le=\"0.5\"} 2\n"
              "kubelet_device_plugin_alloc_duration_seconds_bucket{resource_name=\"x.y/a\",le=\"1\"} 2\n"
              "kubelet_device_plugin_alloc_duration_seconds_bucket{resource_name=\"x.y/a\",le=\"2.5\"} 3\n"
              "kubelet_device_plugin_alloc_duration_seconds_bucket{resource_name=\"x.y/a\",le=\"5\"} 3\n"
              "kubelet_device_plugin_alloc_duration_seconds_bucket{resource_name=\"x.y/a\",le=\"10\"} 3\n"
              "kubelet_device_plugin_alloc_duration_seconds_bucket{resource_name=\"x.y/a\",le=\"+Inf\"} 4\n"
              "kubelet_device_plugin_alloc_duration_seconds_sum{resource_name=\"x.y/a\"} 13.010000001\n"
              "kubelet_device_plugin_alloc_duration_seconds_count{resource_name=\"x.y/a\"} 4\n"
              "# HELP kubelet_device_plugin_registration_total [ALPHA] Cumulative number of device plugin "
              "registrations. "
              "Broken down by resource name.\n"
              "# TYPE kubelet_device_plugin_registration_total counter\n"
              "kubelet_device_plugin_registration_total{resource_name=\"x.y/a\"} 1\n"
              "kubelet_device_plugin_registration_total{resource_name=\"x.y/b\"} 2\n");
    dm_metrics_free(&m);
}

TEST(W71_a_stranger_with_many_names_makes_no_more_than_max_rows) {
    struct dm_metrics m = {.max = 2};
    char name[40];
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "x.y/r%d", i);
        dm_metrics_registered(&m, name);
        dm_metrics_registered(&m, NULL);
    }
    CHECK_HAS(written(&m), "{resource_name=\"invalid\"} 1000\n"
                           "kubelet_device_plugin_registration_total{resource_name=\"other\"} 998\n"
                           "kubelet_device_plugin_registration_total{resource_name=\"x.y/r0\"} 1\n"
                           "kubelet_device_plugin_registration_total{resource_name=\"x.y/r1\"} 1\n");
    CHECK_INT(m.rows.n, 4);
    dm_metrics_free(&m);
}

static const char *metrics_of(const struct world *w) {
    static char text[16384];
    struct dm_buf out = {0};
    dm_registration_metrics(w->r, &out);
    snprintf(text, sizeof text, "%s", out.len ? out.data : "");
    dm_buf_free(&out);
    return text;
}

TEST(REG_03_each_call_of_Register_counts_before_it_is_checked) {
    struct world w;
    struct fake f;
    world_open(&w);
    CHECK_STR(metrics_of(&w), "");
    registered(&w, "v1alpha1", "gpu.sock", GPU);   /* wrong version */
    registered(&w, "v1beta1", "../gpu.sock", GPU); /* wrong endpoint */
    registered(&w, "v1beta1", "gpu.sock", "not a name");
    CHECK_HAS(metrics_of(&w), "kubelet_device_plugin_registration_total{resource_name=\"" GPU "\"} 2\n"
                              "kubelet_device_plugin_registration_total{resource_name=\"invalid\"} 1\n");
    fake_open(&f, &w, "gpu.sock");
    fake_register(&f, GPU);
    CHECK_HAS(metrics_of(&w), "kubelet_device_plugin_registration_total{resource_name=\"" GPU "\"} 3\n");
    world_close_registration(&w);
    fake_die(&f);
    world_close(&w);
}

TEST(ALLOC_38_allocate_is_timed_whether_it_succeeds_or_fails_and_nothing_else_is) {
    struct world w;
    struct fake f;
    world_open(&w);
    fake_open(&f, &w, "gpu.sock");
    fake_register(&f, GPU);
    call_now(&w, 1, DM_RPC_PREFERRED);
    call_now(&w, 2, DM_RPC_PRESTART);
    CHECK(!strstr(metrics_of(&w), "alloc_duration"));
    call_now(&w, 3, DM_RPC_ALLOCATE);
    CHECK_HAS(metrics_of(&w),
              "kubelet_device_plugin_alloc_duration_seconds_count{resource_name=\"" GPU "\"} 1\n");
    f.call_error = DM_UNKNOWN;
    call_now(&w, 4, DM_RPC_ALLOCATE);
    CHECK_HAS(metrics_of(&w),
              "kubelet_device_plugin_alloc_duration_seconds_count{resource_name=\"" GPU "\"} 2\n");
    CHECK(!strstr(metrics_of(&w), "_sum{resource_name=\"" GPU "\"} 0.000000000\n"));
    world_close_registration(&w);
    fake_die(&f);
    world_close(&w);
}
