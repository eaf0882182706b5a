/* rules.c -- which names a plugin may register: the kubelet's IsExtendedResourceName, byte for byte. */
#include "registration/registration.h"
#include <string.h>

enum { MAX_PREFIX = 253 - (int)sizeof "requests." + 1, MAX_NAME = 63 };

static bool lower_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
static bool alnum(char c) {
    return lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* Labels of [a-z0-9-] that begin and end with [a-z0-9], dots between; a label has no length of its own. */
static bool valid_prefix(const char *s, size_t n) {
    if (n < 1 || n > MAX_PREFIX || !lower_alnum(s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++) {
        bool edge = i == 0 || s[i - 1] == '.' || s[i + 1] == '.';
        if (s[i] == '.' ? edge : !lower_alnum(s[i]) && (s[i] != '-' || edge))
            return false;
    }
    return true;
}

static bool valid_part(const char *s) {
    size_t n = strlen(s);
    if (n < 1 || n > MAX_NAME || !alnum(s[0]) || !alnum(s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!alnum(s[i]) && !strchr("-_.", s[i]))
            return false;
    return true;
}

bool dm_resource_name_valid(const char *name) {
    const char *slash = strchr(name, '/');
    if (!slash || strstr(name, "kubernetes.io/") || !strncmp(name, "requests.", 9))
        return false;
    return valid_prefix(name, (size_t)(slash - name)) && valid_part(slash + 1);
}
