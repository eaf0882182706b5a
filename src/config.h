/* config.h -- the inside of devmgr_config: a struct dm_settings that an embedder fills by keys or from a file. */
#ifndef DM_CONFIG_H
#define DM_CONFIG_H
#include "base/settings.h"

struct devmgr_config {
    struct dm_settings settings;
};
#endif
