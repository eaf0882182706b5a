/* texts.c -- see texts.h. A failed registration is the most frequent trouble that people have with device plugins, and
 * "context deadline exceeded" is all the kubelet says: so each text names resource, path, stage and the likely cause. */
#include "registration/texts.h"
#include "base/text.h"
#include "rpc/socket.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { SHOWN_NAME = 400 }; /* bytes of a refused name; a valid one has 308 at most */

/* Bytes of the UTF-8 sequence at `p` that Go would print as it is; 0: it must be escaped. */
static size_t printable(const uint8_t *p, size_t left) {
    if (*p < 0x80)
        return *p >= 0x20 && *p != 0x7f;
    size_t n = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
    if (left < n || !dm_text_utf8(p, n))
        return 0;
    bool control = *p == 0xc2 && (p[1] <= 0xa0 || p[1] == 0xad); /* U+0080-U+00A0, soft hyphen */
    return control ? 0 : n;
}

static size_t escape(struct dm_buf *out, const uint8_t *p, size_t left) {
    static const char letters[] = "abtnvfr"; /* \a is 7 */
    if (*p >= 7 && *p <= 13)
        dm_buf_printf(out, "\\%c", letters[*p - 7]);
    else if (*p == 0xc2 && left > 1 && dm_text_utf8(p, 2))
        return dm_buf_printf(out, "\\u%04x", p[1]), 2;
    else
        dm_buf_printf(out, "\\x%02x", *p);
    return 1;
}

void dm_text_quote(struct dm_buf *out, struct dm_span text, size_t max) {
    size_t start = out->len;
    dm_buf_putc(out, '"');
    for (size_t i = 0; i < text.len;) {
        const uint8_t *p = text.data + i;
        size_t n = printable(p, text.len - i);
        if (out->len - start > max) {
            dm_buf_puts(out, "...");
            break;
        }
        if (*p == '"' || *p == '\\')
            dm_buf_putc(out, '\\');
        if (n)
            dm_buf_add(out, p, n);
        i += n ? n : escape(out, p, text.len - i);
    }
    dm_buf_putc(out, '"');
}

void dm_text_process(struct dm_buf *out, int pid) {
    char name[64];
    dm_socket_process_name(pid, name, sizeof name);
    if (pid > 0)
        dm_buf_printf(out, "%s (pid %d)", name, pid);
    else
        dm_buf_puts(out, "a process of another pid namespace");
}

void dm_text_version(struct dm_buf *out, struct dm_span version) {
    dm_buf_puts(out, "requested API version ");
    dm_text_quote(out, version, SHOWN_NAME);
    dm_buf_puts(out, " is not supported by kubelet. Supported version is [\"v1beta1\"]");
}

void dm_text_resource(struct dm_buf *out, struct dm_span resource) {
    dm_buf_puts(out, "the ResourceName ");
    dm_text_quote(out, resource, SHOWN_NAME);
    dm_buf_puts(out, " is invalid");
}

void dm_text_endpoint(struct dm_buf *out, const char *resource, struct dm_span endpoint, const char *folder) {
    dm_buf_printf(out, "%s: the endpoint ", resource);
    dm_text_quote(out, endpoint, SHOWN_NAME);
    dm_buf_printf(
        out,
        " is not allowed: it must be the file name of the plugin's socket in %s, without \"/\", and not "
        "empty, \".\", \"..\" or \"kubelet.sock\"",
        folder);
}

void dm_text_path_too_long(struct dm_buf *out, const char *resource, const char *path) {
    dm_buf_printf(
        out,
        "%s: the path of the endpoint has %zu bytes, that of a socket may have %d; give the plugin's socket "
        "a shorter name: %.300s",
        resource, strlen(path), DM_SOCKET_PATH_MAX, path);
}

void dm_text_too_many(struct dm_buf *out, const char *resource, size_t limit) {
    dm_buf_printf(out,
                  "%s: %zu plugins are registering already (limit max-registering); register again later",
                  resource, limit);
}

/* ---- dial and options ------------------------------------------------------------------------------------------ */

static void put_duration(struct dm_buf *out, uint64_t ms) {
    char text[64];
    dm_buf_puts(out, dm_text_duration_format(ms, text, sizeof text));
}

static const char *dial_reason(int code) { /* as Go's context says it */
    switch (code) {
    case -ECANCELED:
        return "context canceled";
    case -ENOENT:
    case -ECONNREFUSED:
    case -EAGAIN:
    case -EINTR:
        return "context deadline exceeded"; /* these were tried again until the time was over */
    default:
        return "connection error";
    }
}

static void put_dial_cause(struct dm_buf *out, const char *socket, int code) {
    struct stat st;
    if (stat(socket, &st) < 0)
        dm_buf_printf(
            out,
            "stat: %s: the plugin has not made its socket, or made it elsewhere (is the folder mounted at "
            "the same place in the plugin's container?)",
            strerror(errno));
    else if (!S_ISSOCK(st.st_mode))
        dm_buf_puts(out, "stat: this is not a socket");
    else if (code == -ECONNREFUSED)
        dm_buf_puts(
            out,
            "connect: the file is there, but nobody listens: it is left over from a plugin that ended, or "
            "the plugin registers before it serves");
    else if (code == -EAGAIN)
        dm_buf_puts(
            out,
            "connect: the backlog is full: the plugin does not accept connections; it hangs, or registers "
            "before it serves");
    else if (code == -ECANCELED)
        dm_buf_puts(
            out, "connect: no connection until the plugin gave up its Register call: it must serve before it "
                 "registers");
    else
        dm_buf_printf(out, "connect: %s", strerror(-code));
}

void dm_text_dial(struct dm_buf *out, const struct dm_target *to, const devmgr_error *err) {
    const char *reason = dial_reason(err->code);
    dm_buf_printf(out, "failed to dial device plugin: %s: %s at %s", reason, to->resource, to->socket);
    if (strstr(reason, "deadline")) {
        dm_buf_puts(out, ", tried for ");
        put_duration(out, to->limit);
    }
    dm_buf_puts(out, ": ");
    put_dial_cause(out, to->socket, err->code);
}

void dm_text_rpc_error(struct dm_buf *out, const struct dm_status *status) {
    const char *name = dm_code_name(status->code);
    dm_buf_printf(out, "rpc error: code = %s", name);
    if (!strcmp(name, "Code"))
        dm_buf_printf(out, "(%d)", status->code);
    dm_buf_printf(out, " desc = %s", status->message);
}

static const char *options_cause(int code) {
    switch (code) {
    case DM_DEADLINE_EXCEEDED:
        return "who listens there does not answer: it must serve before it registers, and answer while its "
               "Register "
               "call is open";
    case DM_CANCELLED:
        return "no answer until the plugin gave up its Register call";
    case DM_UNAVAILABLE:
        return "the connection broke: who listens there ended, or does not speak gRPC";
    case DM_UNIMPLEMENTED:
        return "who listens there is a gRPC server, but not a v1beta1.DevicePlugin";
    default:
        return "look into the plugin's own log";
    }
}

void dm_text_options(struct dm_buf *out, const struct dm_target *to, const struct dm_status *status) {
    dm_buf_puts(out, "failed to get device plugin options: ");
    dm_text_rpc_error(out, status);
    dm_buf_printf(out, ": %s at %s: connected to ", to->resource, to->socket);
    dm_text_process(out, to->pid);
    dm_buf_puts(out, ", ");
    if (status->code == DM_DEADLINE_EXCEEDED) {
        dm_buf_puts(out, "GetDevicePluginOptions took longer than ");
        put_duration(out, to->limit);
        dm_buf_puts(out, ": ");
    } else {
        dm_buf_puts(out, "GetDevicePluginOptions failed: ");
    }
    dm_buf_puts(out, options_cause(status->code));
}
