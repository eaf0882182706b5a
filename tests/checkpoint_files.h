/* checkpoint_files.h -- for tests: files as bytes, the rows of tests/data/checkpoint*. */
#ifndef CHECKPOINT_FILES_H
#define CHECKPOINT_FILES_H
#include "base/buf.h"
#include "check.h"
#include <stdbool.h>
#include <stdlib.h>

/* false: no such file */
static bool file_read(const char *path, struct dm_buf *out) {
    FILE *f = fopen(path, "r");
    size_t n;
    out->len = 0;
    dm_buf_reserve(out, 4096);
    if (!f)
        return false;
    while ((n = fread(dm_buf_reserve(out, 65536), 1, 65536, f)))
        out->len += n;
    out->data[out->len] = 0;
    fclose(f);
    return true;
}

struct verdict_row {
    char name[80], word[8], says[400];
    unsigned long long checksum;
    struct dm_buf file, text; /* text: empty when there is none */
};
/* Calls `check` for each row of FOLDER/verdicts.tsv; returns how many. */
static int each_verdict(const char *folder, void (*check)(struct verdict_row *row)) {
    struct verdict_row row = {.name = ""};
    char line[600], path[200];
    int rows = 0;
    snprintf(path, sizeof path, "tests/data/%s/verdicts.tsv", folder);
    FILE *f = fopen(path, "r");
    CHECK(f);
    while (fgets(line, sizeof line, f)) {
        *row.says = 0;
        CHECK(sscanf(line, "%79[^\t]\t%7[^\t]\t%llu\t%399[^\n]", row.name, row.word, &row.checksum,
                     row.says) >= 3);
        snprintf(path, sizeof path, "tests/data/%s/%s", folder, row.name);
        CHECK(file_read(path, &row.file));
        snprintf(path, sizeof path, "tests/data/%s/%s.text", folder, row.name);
        file_read(path, &row.text);
        check(&row);
        rows++;
    }
    fclose(f);
    dm_buf_free(&row.file);
    dm_buf_free(&row.text);
    return rows;
}
#endif
