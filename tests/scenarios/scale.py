#!/usr/bin/env python3
"""Large: 100 000 devices listed, one flapped, many pods admitted; 64 plugins that register at once; big lists.

Times are printed, not judged. PODS=1000 is the long version.
"""
import os
import time

from lib import *

DEVICES = int(os.environ.get("DEVICES", "100000"))
PODS = int(os.environ.get("PODS", "200"))
PLUGINS = 64
GPU = "example.com/gpu"
MANY = 170_000  # devices, of which the list is 4.4 MiB; most clients and the kubelet take 4
MOST = 200_000  # max-devices


class Clock:
    def __init__(self):
        self.began = time.monotonic()

    def lap(self, what):
        now = time.monotonic()
        print(f"# {what}: {now - self.began:.3f} s")
        self.began = now


def ids_of(result):
    return [id for resources in result["containers"].values() for given in resources.values() for id in given["ids"]]


@scenario
def one_hundred_thousand_devices(node):
    node.start()
    plugin = node.plugin(GPU, DEVICES, "--numa", "2", manual=True)
    clock = Clock()
    plugin.register()
    node.wait_for(GPU, DEVICES)
    clock.lap(f"{DEVICES} devices listed")
    plugin.health("dev-00007", "Unhealthy")
    node.wait_for(GPU, DEVICES - 1, capacity=DEVICES)
    plugin.health("dev-00007", "Healthy")
    node.wait_for(GPU, DEVICES)
    clock.lap("one flapped, both ways")
    results = node.admit(*(pod(f"pod-{i:05}", {GPU: 1}) for i in range(PODS)))
    clock.lap(f"{PODS} pods admitted")
    equal([r["verdict"] for r in results], ["admitted"] * PODS)
    equal(len({id for r in results for id in ids_of(r)}), PODS, "different devices")
    rows = node.devices(GPU)
    clock.lap("devmgrctl devices")
    equal((len(rows), sum(bool(row["pod"]) for row in rows.values())), (DEVICES, PODS), "devices, held ones")
    matches(node.resource(GPU), {"capacity": DEVICES, "allocatable": DEVICES, "held": PODS, "reserved": 0})
    node.restart(kill=True)
    equal(len(node.pods()), PODS, "pods after kill -9")
    clock.lap("killed and started again")
    plugin.relisten()
    plugin.register()
    node.wait_for(GPU, DEVICES)
    plugin.list(DEVICES // 2)
    node.wait_for(GPU, DEVICES // 2, capacity=DEVICES // 2)


@scenario
def sixty_four_plugins_register_at_once(node):
    node.start()
    names = [f"example.com/r{i:02}" for i in range(PLUGINS)]
    plugins = [node.plugin(name, 10, manual=True, wait=False) for name in names]
    for plugin in plugins:
        plugin.event(event="listening")
    clock = Clock()
    for plugin in plugins:
        plugin.send("register")
    for plugin in plugins:
        equal(plugin.event(event="registered")["err"], "")
    until(lambda: [row["allocatable"] for row in node.resources().values()], [10] * PLUGINS)
    clock.lap(f"{PLUGINS} plugins registered and listed")
    result = node.admit(pod("all", {name: 1 for name in names}))
    equal((result["verdict"], len(ids_of(result))), ("admitted", PLUGINS))


@scenario
def a_list_of_more_than_four_mebibytes(node):
    node.start()
    plugin = node.plugin(GPU, MANY, "--numa", "1", manual=True)
    clock = Clock()
    plugin.register()
    node.wait_for(GPU, MANY)
    clock.lap(f"{MANY} devices listed")
    matches(node.admit(pod("a", {GPU: 2})), {"verdict": "admitted"})


@scenario
def a_list_above_a_limit_is_refused_whole_and_the_last_good_one_stays(node):
    node.start()
    plugin = node.plugin(GPU, 4, manual=True)
    plugin.register()
    node.wait_for(GPU, 4)
    plugin.list(MOST + 1)
    row = until(lambda: node.resource(GPU)["last_error"] and node.resource(GPU))
    matches(row, {"capacity": 4, "allocatable": 4, "plugin": "connected"})
    contains(row["last_error"], str(MOST))
    plugin.list(5)
    node.wait_for(GPU, 5)


@scenario
def a_message_of_more_than_64_mebibytes_disturbs_nobody_else(node):
    node.start()
    node.plugin("example.com/nic", 4)
    huge = node.plugin(GPU, 4, "--fault", "list:huge", manual=True)
    huge.register()
    row = until(lambda: node.resource(GPU)["last_error"] and node.resource(GPU))
    equal(row["capacity"], 0)
    node.wait_for("example.com/nic", 4, plugin="connected")


main(__file__)
