/* entries.h -- how much is in a folder: open descriptors and threads are entries of /proc. */
#ifndef ENTRIES_H
#define ENTRIES_H
#include <dirent.h>

/* With . and ..; 0: there is no such folder. */
static inline int entries(const char *path) {
    DIR *d = opendir(path);
    int n = 0;
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}
#endif
