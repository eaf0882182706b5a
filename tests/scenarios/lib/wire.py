"""gRPC by hand, for peers that do it wrong: protobuf fields, HTTP/2 frames, a client, and a plugin made of bytes.

It knows our programs and no more: no Huffman code, no table of headers. gRPC C core writes header names and values as they
are the first time a connection uses them, so they can be found by looking for them.
"""
import socket
import struct
import threading
import urllib.parse

from .check import PATIENCE, Failure

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM = ACK = 1
END_HEADERS = 4
MOST = 0x7FFFFFFF


# ---- protobuf ------------------------------------------------------------------------------------------------------


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def field(number, value):
    """An integer, text, bytes or a message (bytes)."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def read(data):
    """A message's fields: number -> values in order; integers as they are, the rest as bytes. No groups."""
    out, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte, at = data[at], at + 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = number()
        size = {0: 0, 1: 8, 5: 4}.get(key & 7)
        if size is None:
            size = number()
        value, at = (number(), at) if key & 7 == 0 else (data[at : at + size], at + size)
        out.setdefault(key >> 3, []).append(value)
    return out


def numbers(values):
    """A repeated integer, packed or not."""
    out = []
    for value in values:
        if isinstance(value, int):
            out.append(value)
            continue
        packed = 0
        shift = 0
        for byte in value:
            packed |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                out.append(packed)
                packed = shift = 0
    return out


def device(name, *nodes, health="Healthy"):
    """One Device of a ListAndWatchResponse."""
    topology = field(3, b"".join(field(1, field(1, node)) for node in nodes)) if nodes else b""
    return field(1, field(1, name) + field(2, health) + topology)


# ---- HTTP/2 --------------------------------------------------------------------------------------------------------


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _literal(name, value):
    """A header, in no table: the name is an index or a text."""
    name = bytes([0, len(name)]) + name if isinstance(name, bytes) else bytes([name]) if name < 15 else bytes([15, name - 15])
    return name + bytes([len(value)]) + value


def message(data):
    """As gRPC frames it."""
    return b"\0" + struct.pack(">I", len(data)) + data


def messages(data):
    """What is in a block of them."""
    out = []
    while data:
        size = int.from_bytes(data[1:5], "big")
        out.append(data[5 : 5 + size])
        data = data[5 + size :]
    return out


class Connection:
    """Frames over a unix socket, windows included."""

    def __init__(self, sock):
        self.sock, self.buffer = sock, bytearray()
        self.window, self.first, self.windows = 65535, 65535, {}  # what the other side lets us send

    def send(self, data):
        self.sock.sendall(data)

    def greet(self, window=MOST):
        """Settings: how much may be sent to us, in a stream and in all; we never raise it."""
        self.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, window)))
        if window > 65535:
            self.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", window - 65535)))

    def read(self):
        """The next frame (kind, flags, stream, payload), or None at the end."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            data = self.sock.recv(1 << 20)
            if not data:
                return None
            self.buffer += data
        size = int.from_bytes(self.buffer[:3], "big")
        kind, flags = self.buffer[3], self.buffer[4]
        stream = int.from_bytes(self.buffer[5:9], "big") & MOST
        payload = bytes(self.buffer[9 : 9 + size])
        del self.buffer[: 9 + size]
        self._note(kind, flags, stream, payload)
        return kind, flags, stream, payload

    def _note(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                key, value = struct.unpack_from(">HI", payload, at)
                if key == 4:
                    self.windows = {s: w + value - self.first for s, w in self.windows.items()}
                    self.first = value
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and stream == 0:
            self.window += int.from_bytes(payload, "big")
        elif kind == WINDOW_UPDATE:
            self.windows[stream] = self.windows.get(stream, self.first) + int.from_bytes(payload, "big")

    def send_data(self, stream, data, end=False):
        """As fast as the windows allow; meanwhile frames are read and passed over."""
        data = memoryview(data)
        while data:
            room = min(self.window, self.windows.get(stream, self.first), 16384)
            if room <= 0:
                if self.read() is None:
                    return
                continue
            part, data = data[:room], data[room:]
            self.window -= len(part)
            self.windows[stream] = self.windows.get(stream, self.first) - len(part)
            self.send(frame(DATA, END_STREAM if end and not data else 0, stream, part))


class Client(Connection):
    """Calls. Several may be open: begin() each, then collect()."""

    def __init__(self, path, window=MOST):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(PATIENCE)
        sock.connect(str(path))
        super().__init__(sock)
        self.stream = -1
        self.answers = {}  # stream -> [bytes of messages, status text or None while it is open]
        self.send(PREFACE)
        self.greet(window)

    def begin(self, method, request=b""):
        """Opens a call; returns its stream."""
        self.stream += 2
        headers = b"\x83\x86" + _literal(4, method.encode()) + _literal(1, b"localhost") + _literal(31, b"application/grpc")
        self.answers[self.stream] = [bytearray(), None]
        self.send(frame(HEADERS, END_HEADERS, self.stream, headers + _literal(b"te", b"trailers"))
                  + frame(DATA, END_STREAM, self.stream, message(request)))
        return self.stream

    def collect(self, done=lambda answers: all(text is not None for _, text in answers.values())):
        """Reads until all (or whatever `done` says) have ended: {stream: [bytes, "" or why not]}."""
        while not done(self.answers):
            if (got := self.read()) is None:
                raise Failure("the connection was closed")
            kind, flags, stream, payload = got
            answer = self.answers.get(stream)
            if answer is None:
                continue
            if kind == DATA:
                answer[0] += payload
            if kind == HEADERS and flags & END_STREAM:
                answer[1] = "" if answer[0] else _status_text(payload)
            elif kind == RST_STREAM:
                answer[1] = answer[1] if answer[1] is not None else f"reset ({int.from_bytes(payload, 'big')})"
        return self.answers

    def call(self, method, request=b""):
        """(messages as one block, "") or (b"", why not)"""
        stream = self.begin(method, request)
        return tuple(self.collect()[stream])

    def open_windows(self):
        """Takes what a small window held back."""
        for stream in (0, *self.answers):
            self.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", MOST - 65535)))

    def close(self):
        self.sock.close()


def _status_text(headers):
    at = headers.find(b"grpc-message")
    if at < 0:
        return "no message"
    at += len(b"grpc-message")
    size, at, shift = headers[at] & 0x7F, at + 1, 0
    more = size == 0x7F  # an integer of HPACK, 7 bits to begin with
    while more:
        size += (headers[at] & 0x7F) << shift
        more = headers[at] & 0x80
        at, shift = at + 1, shift + 7
    return urllib.parse.unquote(headers[at : at + size].decode(errors="replace"))


# ---- a plugin of bytes ---------------------------------------------------------------------------------------------


class RawPlugin:
    """A device plugin whose every answer is given as bytes: `options`, then `lists` one by one, then `allocate` always.

    A list that is None ends the stream. It serves one connection at a time, each RPC once a connection (see above)."""

    def __init__(self, path, lists=(), allocate=b"", options=b""):
        self.path, self.lists, self.allocate, self.options = path, list(lists), allocate, options
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen(8)
        self.streams = []  # (connection, stream) of each open ListAndWatch
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            try:
                self._talk(Connection(sock), sock)
            except OSError:
                pass

    def _talk(self, c, sock):
        while len(c.buffer) < len(PREFACE):
            data = sock.recv(4096)
            if not data:
                return
            c.buffer += data
        del c.buffer[: len(PREFACE)]
        c.greet()
        method = {}
        while (got := c.read()) is not None:
            kind, flags, stream, payload = got
            if kind == HEADERS:
                method[stream] = next((m for m in (b"GetDevicePluginOptions", b"ListAndWatch", b"Allocate") if m in payload), b"")
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                self._answer(c, stream, method.get(stream, b""))

    def _answer(self, c, stream, method):
        c.send(frame(HEADERS, END_HEADERS, stream, b"\x88" + _literal(31, b"application/grpc")))
        if method == b"ListAndWatch":
            for each in self.lists:
                if each is None:
                    break
                c.send_data(stream, message(each))
            else:
                return
        else:
            c.send_data(stream, message(self.options if method == b"GetDevicePluginOptions" else self.allocate))
        c.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, _literal(b"grpc-status", b"0")))

    def register(self, node, resource, version="v1beta1", endpoint=None):
        """"" or what the refusal says."""
        return register(node, resource, endpoint or self.path.name, version)

    def close(self):
        self.listener.close()


def register(node, resource, endpoint, version="v1beta1"):
    """A Register call. "" or what the refusal says."""
    client = Client(node.kubelet_socket)
    try:
        request = field(1, version) + field(2, endpoint) + field(3, resource)
        return client.call("/v1beta1.Registration/Register", request)[1]
    finally:
        client.close()
