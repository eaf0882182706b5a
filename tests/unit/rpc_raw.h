/* rpc_raw.h -- HTTP/2 by hand: a peer that says exactly what a test wants, right or wrong. */
#ifndef RPC_RAW_H
#define RPC_RAW_H
#include "rpc/serving.h"
#include "rpc_world.h"

enum { RAW_DATA = 0, RAW_HEADERS = 1, RAW_SETTINGS = 4, RAW_GOAWAY = 7, RAW_WINDOW = 8 };
enum { RAW_END_STREAM = 1, RAW_END_HEADERS = 4 };
static const char raw_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static inline void raw_frame(struct dm_buf *b, int type, int flags, uint32_t stream, const void *body,
                             size_t n) {
    const uint8_t head[9] = {
        n >> 16, n >> 8, n, type, flags, stream >> 24, stream >> 16, stream >> 8, stream,
    };
    dm_buf_add(b, head, sizeof head);
    dm_buf_add(b, body, n);
}

/* A header, literal, not indexed; both strings shorter than 127 bytes. */
static inline void raw_header(struct dm_buf *b, const char *name, const char *value) {
    dm_buf_putc(b, 0);
    dm_buf_putc(b, (char)strlen(name));
    dm_buf_puts(b, name);
    dm_buf_putc(b, (char)strlen(value));
    dm_buf_puts(b, value);
}

/* A gRPC message in one DATA frame. `claimed`: the length its prefix says. */
static inline void raw_message(struct dm_buf *b, int flags, int compressed, uint32_t claimed,
                               const void *body, size_t n) {
    DM_CLEANUP(dm_buf_free) struct dm_buf m = {0};
    const uint8_t head[5] = {compressed, claimed >> 24, claimed >> 16, claimed >> 8, claimed};
    dm_buf_add(&m, head, sizeof head);
    dm_buf_add(&m, body, n);
    raw_frame(b, RAW_DATA, flags, 1, m.data, m.len);
}

static const char raw_gzip_hello[] =
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00\x00\x00";
enum { RAW_GZIP_HELLO = sizeof raw_gzip_hello - 1 };

/* What a server says first on a stream: settings, then headers. */
static inline void raw_response(struct dm_buf *b, const char *encoding) {
    DM_CLEANUP(dm_buf_free) struct dm_buf h = {0};
    dm_buf_putc(&h, (char)0x88); /* :status 200 */
    raw_header(&h, "content-type", "application/grpc");
    if (encoding)
        raw_header(&h, "grpc-encoding", encoding);
    raw_frame(b, RAW_SETTINGS, 0, 0, NULL, 0);
    raw_frame(b, RAW_HEADERS, RAW_END_HEADERS, 1, h.data, h.len);
}

static inline void raw_trailers(struct dm_buf *b, const char *status, const char *message) {
    DM_CLEANUP(dm_buf_free) struct dm_buf h = {0};
    raw_header(&h, "grpc-status", status);
    if (message)
        raw_header(&h, "grpc-message", message);
    raw_frame(b, RAW_HEADERS, RAW_END_HEADERS | RAW_END_STREAM, 1, h.data, h.len);
}

/* What a client says first: preface, settings, the headers of a call on stream 1. */
static inline void raw_request(struct dm_buf *b, const char *method, const char *encoding) {
    DM_CLEANUP(dm_buf_free) struct dm_buf h = {0};
    dm_buf_puts(&h, "\x83\x86"); /* :method POST, :scheme http */
    raw_header(&h, ":path", method);
    raw_header(&h, ":authority", "localhost");
    raw_header(&h, "te", "trailers");
    raw_header(&h, "content-type", "application/grpc");
    if (encoding)
        raw_header(&h, "grpc-encoding", encoding);
    dm_buf_puts(b, raw_preface);
    raw_frame(b, RAW_SETTINGS, 0, 0, NULL, 0);
    raw_frame(b, RAW_HEADERS, RAW_END_HEADERS, 1, h.data, h.len);
}

/* All of it, turning the loop while the socket is full. */
static inline void raw_write(struct world *w, int fd, const struct dm_buf *b) {
    for (size_t done = 0; done < b->len;) {
        ssize_t n = send(fd, b->data + done, b->len - done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            done += (size_t)n;
        else if (errno != EAGAIN)
            return; /* it hung up on us: what the test is about */
        uv_run(&w->loop, UV_RUN_NOWAIT);
    }
}

/* Reads what there is without waiting. 0: nothing yet, 1: something, -1: the other side has closed. */
static inline int raw_read(int fd, struct dm_buf *b) {
    ssize_t n = recv(fd, dm_buf_reserve(b, 65536), 65536, MSG_DONTWAIT);
    if (n > 0)
        b->len += (size_t)n;
    return n > 0 ? 1 : n < 0 && errno == EAGAIN ? 0 : -1;
}

/* Is a frame of that type in what was received? A client's preface is stepped over. */
static inline bool raw_has(const struct dm_buf *b, int type) {
    size_t preface = strlen(raw_preface);
    size_t at = b->len >= preface && !memcmp(b->data, raw_preface, preface) ? preface : 0;
    while (at + 9 <= b->len) {
        const uint8_t *p = (const uint8_t *)b->data + at;
        if (p[3] == type)
            return true;
        at += 9 + ((size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2]);
    }
    return false;
}

static inline void raw_turn(struct world *w) {
    uv_run(&w->loop, UV_RUN_NOWAIT);
    usleep(500);
}

/* Until the other side has sent such a frame. */
static inline void raw_await(struct world *w, int fd, int type) {
    DM_CLEANUP(dm_buf_free) struct dm_buf got = {0};
    while (!raw_has(&got, type))
        if (raw_read(fd, &got) < 0)
            CHECK_FAIL("the other side closed before frame type %d", type);
        else
            raw_turn(w);
}

static inline void raw_await_close(struct world *w, int fd) {
    DM_CLEANUP(dm_buf_free) struct dm_buf got = {0};
    while (raw_read(fd, &got) >= 0)
        raw_turn(w);
}

static inline int raw_connect(const char *path) {
    devmgr_error err = {0};
    int fd = dm_socket_connect(path, &err);
    if (fd < 0)
        CHECK_STR(err.message, "");
    return fd;
}

/* HTTP/2's flow control, seen by a sender on stream 1. */
struct raw_flow {
    int64_t connection, stream;
    struct dm_buf got;
    size_t at;
    bool closed;
};
#define RAW_FLOW_INIT                                                                                        \
    { .connection = 65535, .stream = 65535 }

static inline void raw_flow_read(struct world *w, int fd, struct raw_flow *f) {
    int r = raw_read(fd, &f->got);
    f->closed = r < 0;
    while (f->at + 9 <= f->got.len) {
        const uint8_t *p = (const uint8_t *)f->got.data + f->at;
        size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
        if (f->at + 9 + n > f->got.len)
            break;
        if (p[3] == RAW_WINDOW)
            *(p[8] ? &f->stream : &f->connection) += (int64_t)p[9] << 24 | p[10] << 16 | p[11] << 8 | p[12];
        f->at += 9 + n;
    }
    uv_run(&w->loop, UV_RUN_NOWAIT);
    if (r == 0)
        usleep(100);
}

static inline bool raw_flow_take(struct raw_flow *f, int64_t n) {
    if (f->connection < n || f->stream < n)
        return false;
    f->connection -= n, f->stream -= n;
    return true;
}

static inline void run_until_connections(struct world *w, size_t want) {
    while (w->server->n_connections != want)
        uv_run(&w->loop, UV_RUN_ONCE);
}

/* A channel whose server is the returned end. */
static inline int raw_pair(struct world *w, size_t max_receive, struct dm_channel **ret) {
    int pair[2];
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    CHECK_INT(dm_channel_from_fd(w->rpc, pair[0], max_receive, ret, NULL), 0);
    return pair[1];
}
#endif
