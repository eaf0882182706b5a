#!/usr/bin/env python3
"""A plugin stopped (SIGSTOP) in each RPC: nobody else waits for it.

While it is stopped, pods of another resource and pods without devices are admitted. Its own pods end at the deadline
with a message that names resource and plugin; what was reserved for them is given back; when it goes on, all of its
devices can be had.
"""
import json
import signal
import time

from lib import *

STUCK, OTHER = "example.com/stuck", "example.com/other"
DEVICES = 4
OTHERS = 3  # pods of each other kind, at the least, while the stopped one is waited for
DEADLINES = ("--options-timeout", "2s", "--preferred-timeout", "1s", "--allocate-timeout", "3s", "--prestart-timeout", "2s")


def prepare(node, *args, register=True):
    """The plugin that will be stopped."""
    node.start(*DEADLINES)
    node.plugin(OTHER, 1000)
    plugin = node.plugin(STUCK, DEVICES, *args, manual=True)
    if register:
        plugin.register()
    return plugin


def waiting(node, *args, manifest=None):
    """A devmgrctl that will take its time."""
    child = node.spawn("devmgrctl", [*args, "--root", node.root, "-o", "json"])
    if manifest:
        child.send(json.dumps(manifest))
    child.close_input()
    return child


def asking(node, name, count, *args):
    return waiting(node, "admit", "-f", "-", *args, manifest=pod(name, {STUCK: count}))


def others_go_on(node, rpc, *waiters):
    """Admits others as long as somebody waits for the stopped plugin."""
    done, serial = {OTHER: 0, None: 0}, 0
    while any(w.running() for w in waiters) and serial < 900:
        serial += 1
        for resource in done:
            result = node.admit(pod(f"{serial}-{resource and 'other'}", {resource: 1} if resource else {}))
            equal(result["verdict"], "admitted", f"meanwhile a pod with {resource}")
            done[resource] += any(w.running() for w in waiters)
    print(f"# stopped in {rpc}: meanwhile {done[OTHER]} pods of another resource and {done[None]} without devices were admitted")
    true(min(done.values()) >= OTHERS, f"too few went on: {done}")


def ends(waiter, cause):
    """Its pod ended at the deadline, and was told whose plugin it is."""
    equal(waiter.wait(), 4, "exit code")
    result = json.loads(waiter.line())
    matches(result, {"verdict": "not_yet", "cause": cause, "resource": STUCK})
    contains(result["detail"], STUCK)
    contains(result["detail"], "plugin")
    return result


def all_is_given_back(node):
    matches(node.resource(STUCK), {"reserved": 0, "held": 0})


def all_can_be_had(node):
    until(lambda: node.admit(pod("after", {STUCK: DEVICES}))["verdict"] == "admitted", what="all devices")


@scenario
def in_GetDevicePluginOptions(node):
    plugin = prepare(node, "--fault", "options:delay=1s", register=False)
    plugin.send("register")
    time.sleep(0.3)  # by now it is asked, or will be when it is stopped already: the same for the daemon
    plugin.signal(signal.SIGSTOP)
    own = asking(node, "own", 1, "--wait", "--timeout", "3s")
    others_go_on(node, "GetDevicePluginOptions", own)
    ends(own, "NoPlugin")
    until(lambda: STUCK in node.daemon.stderr() and "GetDevicePluginOptions" in node.daemon.stderr(), what="the log names it")
    plugin.signal(signal.SIGCONT)
    plugin.event(event="registered")
    plugin.fault("clear")
    plugin.register()
    all_can_be_had(node)


@scenario
def in_ListAndWatch(node):
    plugin = prepare(node, "--fault", "list:delay=1s")
    plugin.signal(signal.SIGSTOP)
    own = asking(node, "own", 1, "--wait", "--timeout", "2s")
    others_go_on(node, "ListAndWatch", own)
    ends(own, "NoDeviceList")
    all_is_given_back(node)
    plugin.signal(signal.SIGCONT)
    all_can_be_had(node)


def in_call(node, rpc, *args):
    plugin = prepare(node, *args)
    node.wait_for(STUCK, allocatable=DEVICES)
    plugin.signal(signal.SIGSTOP)
    own = [asking(node, "own-1", 2), asking(node, "own-2", 1)]  # one behind the other
    others_go_on(node, rpc, *own)
    for each in own:
        ends(each, "PluginTimeout")
    all_is_given_back(node)
    plugin.signal(signal.SIGCONT)
    all_can_be_had(node)


@scenario
def in_GetPreferredAllocation(node):
    in_call(node, "GetPreferredAllocation", "--preferred", "first")


@scenario
def in_Allocate(node):
    in_call(node, "Allocate")


@scenario
def in_PreStartContainer(node):
    plugin = prepare(node, "--prestart")
    node.wait_for(STUCK, allocatable=DEVICES)
    equal(node.admit(pod("own", {STUCK: 1}))["verdict"], "admitted")
    plugin.signal(signal.SIGSTOP)
    own = waiting(node, "options", "own", "main")
    others_go_on(node, "PreStartContainer", own)
    equal(own.wait(), 1, "exit code")
    for part in (STUCK, "main", "PreStartContainer"):
        contains(own.stderr(), part)
    plugin.signal(signal.SIGCONT)
    until(lambda: node.options("own")["envs"])
    matches(node.resource(STUCK), {"held": 1, "reserved": 0})


main(__file__)
