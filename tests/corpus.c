/* corpus.c -- a main for fuzz targets: runs each file of the target's corpus once, without libFuzzer.
 *
 * `build/tests/corpus/fuzz_NAME` reads fuzz/corpus/NAME (or the files given), so that `make check` keeps every input that
 * once broke something, with any compiler. Prints TAP; a target that objects aborts, which the runner reports. */
#include <dirent.h>
#include <libgen.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path) {
    FILE *in = fopen(path, "rb");
    if (!in)
        return 0;
    uint8_t *data = NULL;
    size_t n = 0, got;
    do {
        data = realloc(data, n + 65536);
        if (!data)
            abort();
        got = fread(data + n, 1, 65536, in);
        n += got;
    } while (got > 0);
    fclose(in);
    data = realloc(data, n ? n : 1); /* no room behind the end: a sanitizer sees a read past it */
    fprintf(stderr, "# %s\n", path); /* the last one named is the one that broke it */
    LLVMFuzzerTestOneInput(data, n);
    free(data);
    return 1;
}

static int run_folder(const char *folder) {
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, alphasort), ran = 0;
    for (int i = 0; i < n; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            ran += run_file(path);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return ran;
}

int main(int argc, char **argv) {
    char folder[512], *name = basename(argv[0]);
    int ran = 0;
    snprintf(folder, sizeof folder, "fuzz/corpus/%s", name + (strncmp(name, "fuzz_", 5) ? 0 : 5));
    for (int i = 1; i < argc; i++)
        ran += run_file(argv[i]);
    if (argc == 1)
        ran = run_folder(folder);
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    printf("ok 1 - %s: %d inputs and the empty one\n1..1\n", argc > 1 ? "arguments" : folder, ran);
    return 0;
}
