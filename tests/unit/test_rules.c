/* The kubelet's rule for resource names, on its own 40 verdicts (tests/data/resource-names.tsv). */
#include "check.h"
#include "registration/registration.h"
#include <jansson.h>

TEST(REG_05_to_10_names_are_judged_as_by_the_kubelet) {
    char line[1024];
    int rows = 0;
    FILE *f = fopen("tests/data/resource-names.tsv", "r");
    CHECK(f);
    while (fgets(line, sizeof line, f)) {
        char *tab = strchr(line, '\t');
        CHECK(tab);
        json_t *name = json_loads(tab + 1, JSON_DECODE_ANY, NULL);
        CHECK(json_is_string(name));
        bool want = !strncmp(line, "true", 4);
        if (dm_resource_name_valid(json_string_value(name)) != want)
            CHECK_FAIL("%s: want %s", tab + 1, want ? "valid" : "invalid");
        json_decref(name);
        rows++;
    }
    fclose(f);
    CHECK_INT(rows, 40);
}

TEST(REG_08_a_prefix_ends_at_244_bytes) {
    char name[400];
    for (size_t n = 243; n <= 245; n++) {
        memset(name, 'a', n);
        strcpy(name + n, "/x");
        CHECK_INT(dm_resource_name_valid(name), n <= 244);
    }
}
