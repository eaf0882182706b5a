/* options.h -- devmgrd's command line: one option per setting, and a few of its own. */
#ifndef DM_DAEMON_OPTIONS_H
#define DM_DAEMON_OPTIONS_H
#include "devmgr.h"
#include <stdbool.h>

struct dm_daemon_options {
    devmgr_config *config;                                       /* file first, flags over it */
    char *root, *socket, *socket_group, *log_level, *log_format; /* effective values; socket: never empty */
    bool check_config, print_config;
};

/* Reads all. Returns -1 to go on, else the exit status (help shown, or a mistake told on stderr). */
int dm_daemon_options_read(int argc, char **argv, struct dm_daemon_options *ret);
void dm_daemon_options_print(
    const struct dm_daemon_options *o); /* the effective settings, as a config file */
void dm_daemon_options_free(struct dm_daemon_options *o);
#endif
