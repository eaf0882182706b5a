/* names.c -- the words for devmgr.h's numbers: the same in -o json, the control API, metrics and docs/errors.md. */
#include "base/mem.h"
#include "devmgr.h"
#include <string.h>

static const char *word(const char *const *words, size_t n, int i) {
    return i >= 0 && (size_t)i < n ? words[i] : "other";
}

const char *devmgr_version(void) {
    return DM_VERSION;
}

const char *devmgr_cause_name(int cause) {
    static const char *const words[] = {"",
                                        "InsufficientDevices",
                                        "NoPlugin",
                                        "NoDeviceList",
                                        "PluginGone",
                                        "PluginTimeout",
                                        "NotDurable",
                                        "Recovering",
                                        "HeldUnhealthy",
                                        "NoAffinity",
                                        "RequestChanged",
                                        "PluginError",
                                        "PluginBadAnswer",
                                        "OptionsConflict",
                                        "ProviderRefused",
                                        "InvalidPod"};
    _Static_assert(DM_COUNT(words) == DEVMGR_INVALID_POD + 1, "a cause lacks its word");
    return word(words, DM_COUNT(words), cause);
}

const char *devmgr_verdict_name(int verdict) {
    static const char *const words[] = {"admitted", "not_yet", "refused", "canceled"};
    _Static_assert(DM_COUNT(words) == DEVMGR_CANCELED + 1, "a verdict lacks its word");
    return word(words, DM_COUNT(words), verdict);
}

const char *devmgr_health_name(int health) {
    static const char *const words[] = {"Healthy", "Unhealthy", "Unknown", "Missing"};
    _Static_assert(DM_COUNT(words) == DEVMGR_MISSING + 1, "a health lacks its word");
    return word(words, DM_COUNT(words), health);
}

const char *devmgr_plugin_name(int plugin) {
    static const char *const words[] = {"starting", "connected", "gone", "removed"};
    _Static_assert(DM_COUNT(words) == DEVMGR_REMOVED + 1, "a plugin state lacks its word");
    return word(words, DM_COUNT(words), plugin);
}

const char *devmgr_event_name(int type) {
    static const char *const words[] = {"other",    "log",      "resource", "claim_health",
                                        "admitted", "released", "plugin"};
    _Static_assert(DM_COUNT(words) == DEVMGR_EV_PLUGIN + 1, "an event lacks its word");
    return word(words, DM_COUNT(words), type);
}

const char *devmgr_error_name(int code) {
    switch (code) {
    case 0:
        return "OK";
    case DEVMGR_EBUSY:
        return "DEVMGR_EBUSY";
    case DEVMGR_EINVALID:
        return "DEVMGR_EINVALID";
    case DEVMGR_ECHECKPOINT:
        return "DEVMGR_ECHECKPOINT";
    default: {
        const char *name = code < 0 && code > -4096 ? strerrorname_np(-code) : NULL;
        return name ? name : "unknown";
    }
    }
}
