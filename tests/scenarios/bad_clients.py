#!/usr/bin/env python3
"""Clients that want too much, or speak nonsense, on both sockets: memory stays bounded, and everybody else is served."""
import os
import resource
import socket
import struct
import threading

from lib import *
from lib import check, wire
from lib.wire import Client, PREFACE, field, frame

GPU = "example.com/gpu"
SERVICE = "/devmgr.v1alpha1.DeviceManager/"
IDLE, CALLS, PER_CONNECTION, RESETS, MAX_CALLS = 1000, 10000, 1000, 20000, 4096

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(str(path))
    return sock


def others_are_served(node, name="probe"):
    """An admission by devmgrctl, and a new plugin on kubelet.sock."""
    matches(node.admit(pod(name, {GPU: 1}), code=0), {"verdict": "admitted"})
    node.release(name)
    late = node.plugin("example.com/late", 1)
    node.wait_for("example.com/late", 1)
    late.stop()


def start(node, devices=4):
    node.start()
    plugin = node.plugin(GPU, devices, manual=True)
    plugin.register()
    node.wait_for(GPU, devices)
    return plugin


# ---- connections ---------------------------------------------------------------------------------------------------


@scenario
def a_thousand_idle_connections_on_each_socket(node):
    if hard < 4 * IDLE + 200:
        skip(f"only {hard} descriptors for a process")
    start(node)
    idle = [connect(path) for path in (node.control_socket, node.kubelet_socket) for _ in range(IDLE)]
    others_are_served(node)
    for i, sock in enumerate(idle):  # and half of them begin to speak
        if i % 2:
            sock.sendall(PREFACE + frame(wire.SETTINGS, 0, 0))
    others_are_served(node)
    for path in (node.control_socket, node.kubelet_socket):  # more than there may be
        idle += [connect(path) for _ in range(200)]
        others_are_served(node)
    print(f"# {node.daemon.peak_mib()} MiB")
    node.daemon.stays_under(300)
    for sock in idle:
        sock.close()
    others_are_served(node)
    until(lambda: len(os.listdir(f"/proc/{node.daemon.pid}/fd")) < 100, what="descriptors are given back")


def junk():
    """What peers say that are no clients."""
    settings = frame(wire.SETTINGS, 0, 0)
    yield from (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 4096, os.urandom(4096), PREFACE[:10], PREFACE + os.urandom(4096))
    yield PREFACE + settings + frame(wire.HEADERS, 4, 1, os.urandom(200))
    yield PREFACE + settings + frame(wire.HEADERS, 4, 2, b"\x83")  # an even stream
    yield PREFACE + settings + frame(wire.HEADERS, 0, 1, b"") + frame(9, 0, 1, b"\x40\x01a" + b"\x7f\x80\xff\x01" + b"x" * 16000) * 20
    yield PREFACE + settings + b"\xff\xff\xff" + bytes([wire.DATA, 0]) + struct.pack(">I", 1)
    yield PREFACE + settings + frame(wire.WINDOW_UPDATE, 0, 0, struct.pack(">I", 0))
    yield PREFACE + frame(wire.SETTINGS, 0, 0, struct.pack(">HI", 4, 0xFFFFFFFF))
    yield PREFACE + settings + frame(wire.PING, 0, 0, b"short")
    yield PREFACE + settings * 5000


@scenario
def junk_of_all_kinds(node):
    start(node)
    for path in (node.control_socket, node.kubelet_socket):
        for data in junk():
            for _ in range(5):
                sock = connect(path)
                try:
                    sock.sendall(data)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(65536):
                        pass
                except OSError:
                    pass  # it was hung up on
                sock.close()
        others_are_served(node)
    node.daemon.stays_under(150)


def read_all(client):
    try:
        while client.sock.recv(1 << 20):
            pass
    except OSError:
        pass  # the end


def flood(client, data, times):
    """Sends until it is not taken any more."""
    client.sock.settimeout(0.2)
    try:
        for _ in range(times):
            client.send(data)
    except OSError:
        pass  # nobody reads, or it was hung up on


@scenario
def floods_of_frames_that_are_cheap_to_send(node):
    start(node)
    for data in (frame(wire.PING, 0, 0, b"12345678") * 1000, frame(wire.SETTINGS, 0, 0) * 1000):
        clients = [Client(node.control_socket) for _ in range(10)]
        for client in clients:
            flood(client, data, 200)
        others_are_served(node)
        for client in clients:
            client.close()
    print(f"# {node.daemon.peak_mib()} MiB")
    node.daemon.stays_under(100)


@scenario
def who_opens_calls_and_takes_them_back_at_once_is_hung_up_on(node):
    start(node)
    for reads in (False, True):
        client = Client(node.control_socket)
        reader = threading.Thread(target=read_all, args=(client,), daemon=True)
        if reads:
            reader.start()
        try:
            for _ in range(RESETS):
                stream = client.begin(SERVICE + "Info")
                client.send(frame(wire.RST_STREAM, 0, stream, struct.pack(">I", 8)))
        except OSError:
            pass  # it came to that
        if not reads:
            reader.start()
        reader.join(check.PATIENCE)
        true(not reader.is_alive(), "it was hung up on")
        others_are_served(node)
        client.close()
    print(f"# {node.daemon.peak_mib()} MiB")
    node.daemon.stays_under(500)


# ---- calls ---------------------------------------------------------------------------------------------------------


def many(node, method, request, n=CALLS):
    clients = []
    for first in range(0, n, PER_CONNECTION):
        clients.append(Client(node.control_socket))
        for i in range(first, min(first + PER_CONNECTION, n)):
            clients[-1].begin(SERVICE + method, request(i))
    return clients


@scenario
def ten_thousand_calls_at_once_are_answered(node):
    start(node)
    clients = many(node, "ListResources", lambda i: b"")
    others_are_served(node)
    answers = [answer for client in clients for answer in client.collect().values()]
    equal(len(answers), CALLS)
    good = [data for data, why in answers if not why]
    true(all(GPU.encode() in data for data in good), "each answer is whole")
    refused = {why for data, why in answers if why}
    print(f"# {len(good)} answered, {CALLS - len(good)} refused; {node.daemon.peak_mib()} MiB")
    equal(refused - {"too many open calls; try again later"}, set())
    true(len(good) >= MAX_CALLS, "as many as may be open at once, at least, were answered")
    node.daemon.stays_under(300)
    for client in clients:
        client.close()


@scenario
def ten_thousand_admissions_that_wait_at_once(node):
    start(node)

    def waiting(i):
        container = field(1, "main") + field(3, field(1, "example.com/none") + field(2, 1))
        return field(1, field(2, f"u{i}") + field(4, f"p{i}") + field(5, container) + field(6, 60000))

    clients = many(node, "Admit", waiting)
    others_are_served(node)
    for client in clients:
        client.close()
    others_are_served(node, "later")
    print(f"# {node.daemon.peak_mib()} MiB")
    node.daemon.stays_under(500)


@scenario
def a_reader_who_does_not_read_is_cut_off(node):
    devices, rounds = 500, 160  # 8 MiB of events are let wait
    plugin = start(node, devices)
    node.admit(pod("big", {GPU: devices}), code=0)
    good = node.watch()
    slow = [Client(node.control_socket, 65535), Client(node.control_socket)]
    for client in slow:
        client.begin(SERVICE + "Watch")
    for i in range(rounds):
        plugin.health("*", "Healthy" if i % 2 else "Unhealthy")
        good.event(type="claim_health", id="dev-00499", health="Healthy" if i % 2 else "Unhealthy")
    says = "you read too slowly and missed events; watch again: it begins with the state"
    print(f"# {node.daemon.peak_mib()} MiB")
    node.daemon.stays_under(200)
    slow[0].open_windows()
    for client in slow:
        tail = b""
        while says.encode() not in tail:  # the status, behind 8 MiB
            data = client.sock.recv(1 << 20)
            true(data, "it ends with a status")
            tail = tail[-200:] + data
        client.close()
    true(good.running(), "who reads goes on")


main(__file__)
