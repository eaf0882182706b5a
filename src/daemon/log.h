/* log.h -- one line on stderr per thing worth saying, as text or JSON. */
#ifndef DM_DAEMON_LOG_H
#define DM_DAEMON_LOG_H
#include "devmgr.h"
#include <stdbool.h>

struct dm_log {
    int level; /* syslog's: 3 error, 4 warning, 6 info, 7 debug; what is above is not said */
    bool json;
};
void dm_log_init(struct dm_log *log, const char *level, const char *format);
void dm_log_line(const struct dm_log *log, int level, const char *text);
void dm_log_event(const struct dm_log *log, const devmgr_event *ev);
#endif
