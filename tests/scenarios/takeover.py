#!/usr/bin/env python3
"""Take-over: a new instance of a plugin registers, the old one dies, at every offset from 0 to 200 ms between the two.

Half of the new instances take 20 ms to answer GetDevicePluginOptions and 40 ms to send their first list, so that both
sides of either moment are met. STEP=5 (ms between two offsets) is the long version.
"""
import json
import os
import time

from lib import *

STEP = int(os.environ.get("STEP", "40"))
RESOURCE, DEVICES = "example.com/gpu", 8
SLOW = ("--fault", "options:delay=20ms", "--fault", "list:delay=40ms")
WHOLE = {"plugin": "connected", "capacity": DEVICES, "allocatable": DEVICES}


class Takeovers:
    """One instance after the other; `watch` is the observer."""

    def __init__(self, node):
        self.node, self.serial = node, 0
        self.old = self.instance()
        self.old.register()
        node.wait_for(RESOURCE, **WHOLE)
        self.watch = node.watch()
        self.after = self.before = 0

    def instance(self, *faults):
        self.serial += 1
        return self.node.plugin(RESOURCE, DEVICES, "--socket", f"instance-{self.serial}.sock", *faults, manual=True)

    def changes(self):
        """The resource's rows that watch told since the last time."""
        events = [json.loads(line) for line in self.watch.waiting()]
        return [event for event in events if event["type"] == "resource"]

    def one(self, offset_ms, slow):
        old, self.old = self.old, self.instance(*(SLOW if slow else ()))
        self.changes()
        begun = time.monotonic()
        self.old.send("register")
        time.sleep(max(0, begun + offset_ms / 1000 - time.monotonic()))
        killed = time.monotonic_ns()
        old.kill()
        self.judge(f"{offset_ms} ms, {'slow' if slow else 'quick'}", self.old.event(event="registered"), killed)

    def judge(self, name, answer, killed):
        equal(answer["err"], "", f"{name}: Register")
        self.node.wait_for(RESOURCE, **WHOLE)
        until(lambda: self.old.stats()["ListAndWatch"] == 1)
        seen = [(row["capacity"], row["allocatable"]) for row in self.changes()]
        equal([row for row in seen if row[0] < DEVICES], [], f"{name}: capacity dropped")
        if answer["t1_ns"] < killed:
            self.after += 1
            equal([row for row in seen if row[1] < DEVICES], [], f"{name}: allocatable dropped, after Register was answered")
        else:
            self.before += 1


@scenario(seconds=400 // STEP)
def nothing_drops_when_a_new_instance_takes_over(node):
    node.start()
    takeovers = Takeovers(node)
    for offset in range(0, 201, STEP):
        for slow in (False, True):
            takeovers.one(offset, slow)
    print(f"# {takeovers.after + takeovers.before} take-overs: in {takeovers.after} the old one ended after Register was "
          f"answered, in {takeovers.before} before")
    true(takeovers.after and takeovers.before, "both kinds are met")


@scenario
def a_pod_keeps_its_devices_over_a_take_over(node):
    node.start()
    takeovers = Takeovers(node)
    node.admit(pod("held", {RESOURCE: DEVICES}))
    takeovers.one(100, False)
    matches(node.resource(RESOURCE), {"held": DEVICES, **WHOLE})
    matches(node.admit(pod("held", {RESOURCE: DEVICES})), {"verdict": "admitted"})
    equal([call["rpc"] for call in takeovers.old.calls()], [])


@scenario
def a_held_device_that_is_well_again_is_no_warning(node):
    node.start()
    plugin = node.plugin(RESOURCE, 1, manual=True)
    plugin.register()
    node.wait_for(RESOURCE, 1)
    node.admit(pod("held", {RESOURCE: 1}))
    for word, level in (("Unhealthy", "warning"), ("Healthy", "info")):
        plugin.health("dev-00000", word)
        until(lambda: f"{level}: {RESOURCE}: device dev-00000 of pod default/held container main is {word}" in node.daemon.stderr())


main(__file__)
