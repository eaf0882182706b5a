#!/usr/bin/env python3
"""Plugins that do it wrong, against the daemon: who registers badly, lists what is no list, answers what is no answer.

Beside each there is a good plugin of the same name or another one: it must not notice.
"""
import os
import socket
import threading

from lib import *
from lib.wire import RawPlugin, device, field, register

GPU, NIC = "example.com/gpu", "example.com/nic"
QUICK = ("--dial-timeout", "1s", "--options-timeout", "1s")
MOST_MIB = 400  # a message may have 64


def judge(text, *parts):
    """A refusal of one line that says all of these."""
    true(text and "\n" not in text, f"refused, in one line: {text!r}")
    for part in parts:
        contains(text, str(part))


def untouched(node, plugin, devices):
    """The plugin of GPU that was there before still serves."""
    matches(node.resource(GPU), {"plugin": "connected", "capacity": devices, "allocatable": devices})
    equal(plugin.stats()["ListAndWatch"], 1, "its stream is still the first")
    matches(node.admit(pod("probe", {GPU: 1})), {"verdict": "admitted"})
    node.release("probe")


def live(node, *args):
    node.start(*QUICK, *args)
    plugin = node.plugin(GPU, 4, "--socket", "live.sock", manual=True)
    plugin.register()
    node.wait_for(GPU, 4)
    return plugin


# ---- Register ------------------------------------------------------------------------------------------------------


@scenario
def who_asks_for_something_else_is_told_in_the_kubelets_words(node):
    plugin = live(node)
    for version in ("v1alpha", "", "v1beta1 "):
        judge(register(node, GPU, "x.sock", version), "requested API version", f'"{version}"', "v1beta1")
    for name in ("gpu", "kubernetes.io/gpu", "example.com/", "example.com/a b", "x" * 2000):
        judge(register(node, name, "x.sock"), "the ResourceName", "is invalid", name[:100])
    for endpoint in ("../x", "/x.sock", "a/../b", "", ".", "..", "kubelet.sock"):
        judge(register(node, GPU, endpoint), GPU, f'"{endpoint}"', "is not allowed", node.plugins)
    judge(register(node, GPU, "x" * 108), GPU, "107", "shorter")
    equal(sorted(node.resources()), [GPU])
    untouched(node, plugin, 4)


@scenario
def who_cannot_be_reached_is_told_where_and_why(node):
    plugin = live(node)
    dead = node.plugins / "dead.sock"
    gone = socket.socket(socket.AF_UNIX)
    gone.bind(str(dead))
    gone.close()
    (node.plugins / "file.sock").write_text("")
    full, waits = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    full.bind(str(node.plugins / "full.sock"))
    full.listen(0)
    waits.connect(str(node.plugins / "full.sock"))
    for name, why in {"missing.sock": "the plugin has not made its socket", "dead.sock": "nobody listens", "file.sock": "not a socket",
                      "full.sock": "the plugin does not accept connections"}.items():
        judge(register(node, GPU, name), "failed to dial device plugin", GPU, node.plugins / name, "tried for 1s", why)
    untouched(node, plugin, 4)


def talker(node, name, what):
    """A socket where somebody accepts and says `what`; None: nothing; "": hangs up."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(node.plugins / name))
    listener.listen(8)
    kept = []

    def serve():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            kept.append(sock)
            if what is None:
                continue
            try:
                sock.sendall(what)
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()
    return listener


@scenario
def who_is_no_plugin_is_told_apart_in_time(node):
    plugin = live(node)
    talkers = {
        "silent.sock": (None, "took longer than 1s", "does not answer"),
        "hangs-up.sock": (b"", "the connection broke", "does not speak gRPC"),
        "http1.sock": (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "GetDevicePluginOptions failed"),
        "junk.sock": (os.urandom(100000), "GetDevicePluginOptions failed"),
    }
    listeners = []
    for name, (what, *says) in talkers.items():
        listeners.append(talker(node, name, what))
        judge(register(node, GPU, name), "failed to get device plugin options", GPU, node.plugins / name, "connected to python3", *says)
    for fault, says in {
        "hang": ("DeadlineExceeded", "took longer than 1s"),
        "error=INTERNAL": ("Internal", "look into the plugin's own log"),
        "error=UNIMPLEMENTED": ("Unimplemented", "not a v1beta1.DevicePlugin"),
        "garbage": ("not DevicePluginOptions",),
        "crash": ("Unavailable", "the connection broke"),
    }.items():
        bad = node.plugin(GPU, 1, "--socket", "bad.sock", "--fault", f"options:{fault}", manual=True)
        if fault == "crash":
            bad.expected_end = -9
            judge(register(node, GPU, "bad.sock"), "failed to get device plugin options", GPU, "bad.sock", *says)
        else:
            judge(bad.register(error=GPU)["err"], "failed to get device plugin options", "bad.sock", *says)
            equal(bad.stats()["ListAndWatch"], 0, "no stream was opened")
            bad.stop()
        bad.socket.unlink(missing_ok=True)
    untouched(node, plugin, 4)
    for each in listeners:
        each.close()
    for part in ("silent.sock", "hangs-up.sock", "bad.sock"):
        contains(node.daemon.stderr(), part, "the log names it")
    node.daemon.stays_under(MOST_MIB)


@scenario
def an_options_answer_over_the_limit_is_told_as_that(node):
    node.start()  # with its own deadlines: 65 MiB are not made in an instant on a busy machine
    plugin = node.plugin(GPU, 4, manual=True)
    plugin.register()
    node.wait_for(GPU, 4)
    bad = node.plugin(GPU, 1, "--socket", "bad.sock", "--fault", "options:huge", manual=True)
    judge(bad.register(error=GPU)["err"], "failed to get device plugin options", "bad.sock", "ResourceExhausted")
    equal(bad.stats()["ListAndWatch"], 0, "no stream was opened")
    untouched(node, plugin, 4)
    node.daemon.stays_under(MOST_MIB)


# ---- lists ---------------------------------------------------------------------------------------------------------


def listed(node, name, *lists):
    """A plugin of NIC that sends a good list and then these."""
    plugin = RawPlugin(node.plugins / f"{name}.sock", [device("good"), *lists])
    equal(register(node, NIC, f"{name}.sock"), "")
    return plugin


def told(node, part):
    """How often the daemon said it, once it did."""
    return until(lambda: node.daemon.stderr().count(part), what=part)


@scenario
def a_list_over_a_limit_is_refused_whole_and_told_once(node):
    node.start()
    for name, bad, says in [
        ("long", device("x" * 1025), "an id of 1025 bytes, more than 1024 (limit max-id)"),
        ("nul", device("a\0b"), "a NUL byte in its id"),
        ("many", b"".join(device(f"d{i}") for i in range(200001)), "more than 200000 devices (limit max-devices)"),
    ]:
        plugin = listed(node, name, bad, bad, device("good") + device("after " + name))
        until(lambda: f"after {name}" in node.devices(NIC))
        equal(sorted(node.devices(NIC)), ["after " + name, "good"])
        equal(told(node, says), 1, says)
        contains(node.resource(NIC)["last_error"], says)
        plugin.close()
    node.daemon.stays_under(MOST_MIB)


@scenario
def what_is_no_list_ends_the_plugin_and_no_other(node):
    node.start()
    node.plugin(GPU, 4)
    for name, bad, says in [
        ("utf8", device("good") + device(b"\xff"), "Device.ID is not valid UTF-8 (device 2 of the list)"),
        ("junk", b"\x0a\x7f", "not a ListAndWatchResponse"),
        ("huge", b"\x0a\x00" * (33 << 20), "more than 67108864 bytes (limit max-message)"),
    ]:
        plugin = listed(node, name, bad)
        node.wait_for(NIC, 0, plugin="gone")
        contains(node.resource(NIC)["last_error"], says)
        plugin.close()
    matches(node.resource(GPU), {"plugin": "connected", "allocatable": 4})
    node.daemon.stays_under(MOST_MIB)


@scenario
def odd_devices_are_used_and_told(node):
    node.start()
    odd = device("twice") + device("twice", health="Bad") + device("") + device("below", -1) + device("high", 64) + device("far", 1 << 40, 3)
    plugin = listed(node, "odd", odd, odd + device("last"))
    until(lambda: "last" in node.devices(NIC))
    rows = {row["id"]: (row["health"], row["numa"]) for row in node.devices(NIC).values()}
    equal(rows, {"twice": ("Unhealthy", []), "": ("Healthy", []), "below": ("Healthy", []), "high": ("Healthy", []), "far": ("Healthy", [3]),
                 "last": ("Healthy", [])})
    for says in ("under an id that another one has too", "a device without an id", "a negative NUMA node for 1", "a NUMA node above 63 for 2"):
        equal(told(node, says), 1, says)
    plugin.close()


# ---- answers -------------------------------------------------------------------------------------------------------


def allocates(node, name, answer):
    """The verdict on a pod when the plugin answers Allocate with these bytes; nothing stays reserved."""
    plugin = RawPlugin(node.plugins / f"{name}.sock", [device("d0")], answer)
    equal(register(node, NIC, f"{name}.sock"), "")
    node.wait_for(NIC, 1)
    result = node.admit(pod("asks", {NIC: 1}))
    equal(node.resource(NIC)["reserved"], 0, f"{name}: nothing stays reserved")
    plugin.close()
    return result, plugin


@scenario
def an_answer_that_is_none_is_the_plugins_fault_and_costs_nothing(node):
    node.start()
    good = field(1, field(1, "A") + field(2, "1"))
    for name, answer, says in [
        ("empty", b"", "no container response"),
        ("junk", b"\xff", "AllocateResponse is not a message"),
        ("inside", field(1, b"\x0a\x7f"), "ContainerAllocateResponse is not a message"),
        ("utf8", field(1, field(1, field(1, "A") + field(2, b"\xff"))), "envs is not valid UTF-8"),
        ("nul", field(1, field(2, field(1, "/a\0b"))), "Mount.container_path contains a NUL byte"),
    ]:
        result, plugin = allocates(node, name, answer)
        matches(result, {"verdict": "refused", "cause": "PluginBadAnswer", "container": "main", "resource": NIC})
        for part in ("pod default/asks", "container main", NIC, str(plugin.path), says):
            contains(result["detail"], part)
        equal(node.resource(NIC)["held"], 0)
    result, plugin = allocates(node, "two", field(1, good) + field(1, b"\x0a\x7f"))
    matches(result, {"verdict": "admitted"})
    equal(node.options("asks")["envs"], [{"name": "A", "value": "1"}])


def mounts(*pairs):
    """An answer that mounts host paths at container paths."""
    return field(1, b"".join(field(2, field(1, container) + field(2, host)) for container, host in pairs))


@scenario
def of_conflicting_paths_the_first_wins_or_nobody(node):
    answers = {GPU: mounts(("/data", "/gpu"), ("/data", "/again")), NIC: mounts(("/data", "/nic"), ("/nic", "/nic"))}
    says = f'mount "/data": {GPU} has "/gpu", {GPU} has "/again"'
    for setting in ("first", "refuse"):
        node.start("--conflicts", setting)
        plugins = [RawPlugin(node.plugins / name[-3:], [device(name[-3:])], answer) for name, answer in answers.items()]
        for plugin, resource in zip(plugins, answers):
            equal(register(node, resource, plugin.path.name), "")
            node.wait_for(resource, 1)
        result = node.admit(pod("asks", {GPU: 1, NIC: 1}))
        for part in ("default/asks", "container main", says):
            contains(result["detail"], part)
        if setting == "first":
            equal(result["verdict"], "admitted")
            equal([(m["container_path"], m["host_path"]) for m in node.options("asks")["mounts"]], [("/data", "/gpu"), ("/nic", "/nic")])
            contains(node.daemon.stderr(), says)
            node.release("asks")
        else:
            matches(result, {"verdict": "refused", "cause": "OptionsConflict"})
            equal([(row["reserved"], row["held"]) for row in node.resources().values()], [(0, 0), (0, 0)], "all is given back")
        node.stop()
        for plugin in plugins:
            plugin.close()


@scenario
def an_answer_too_late_or_for_a_device_that_left_gives_back_what_was_reserved(node):
    node.start("--allocate-timeout", "300ms")
    slow = node.plugin(GPU, 2, "--fault", "allocate:delay=900ms@1", manual=True)
    slow.register()
    node.wait_for(GPU, 2)
    matches(node.admit(pod("late", {GPU: 2})), {"verdict": "not_yet", "cause": "PluginTimeout"})
    until(lambda: node.admit(pod("again", {GPU: 2}))["verdict"], "admitted")
    equal(node.pods(), {"default_again": {"main": {GPU: ["dev-00000", "dev-00001"]}}})
    node.release("again")
    node.restart("--allocate-timeout", "20s")
    slow.relisten()
    slow.fault("allocate:delay=700ms")
    slow.register()
    node.wait_for(GPU, 2)
    asks = node.spawn("devmgrctl", ["admit", "-f", node.write("p.json", pod("left", {GPU: 2})), "--root", node.root, "-o", "json"])
    until(lambda: node.resource(GPU)["reserved"], 2)
    slow.list(1)
    asks.event(verdict="not_yet", cause="InsufficientDevices")
    asks.wait()
    matches(node.resource(GPU), {"reserved": 0, "held": 0, "capacity": 1})


main(__file__)
