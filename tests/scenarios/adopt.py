#!/usr/bin/env python3
"""The checkpoint is lost with all its copies, but a record was kept beside each container: nobody loses a device."""
import shutil

from lib import *
from lib.control import Control

GPU = "example.com/gpu"


def lose_everything(node):
    """The folder with all that was saved in it."""
    node.kill()
    shutil.rmtree(node.plugins)
    node.start()


def control(node):
    return Control(node.control_socket)


def fails(call, *parts):
    try:
        call()
    except Failure as failure:
        for part in parts:
            contains(str(failure), part)
    else:
        raise Failure(f"passed, and should fail with {parts}")


@scenario
def records_bring_back_what_containers_hold_without_any_plugin(node):
    node.start()
    plugin = node.plugin(GPU, 4)
    node.wait_for(GPU, 4)
    pods = {name: pod(name, containers={"one": {GPU: 1}, "two": {GPU: 1}}, uid=name) for name in ("a", "b")}
    for manifest in pods.values():
        node.admit(manifest)
    before, options = node.pods(), node.options("b", "two")
    kept = {(name, c): control(node).record(name, c) for name in pods for c in ("one", "two")}
    plugin.kill()
    lose_everything(node)
    equal(node.pods(), {})
    for (name, container), record in kept.items():
        control(node).adopt(pods[name], record, container)
    equal(node.pods(), before)
    equal(node.options("b", "two"), options)
    node.restart(kill=True)
    equal(node.pods(), before, "after a kill")
    node.plugin(GPU, 4)
    node.wait_for(GPU, 4, held=4)
    matches(node.admit(pod("late", {GPU: 1}), code=4), {"cause": "InsufficientDevices"})


@scenario
def a_record_of_what_another_pod_has_or_of_nothing_is_refused(node):
    node.start()
    node.plugin(GPU, 1)
    node.wait_for(GPU, 1)
    mine, other = pod("mine", {GPU: 1}, uid="mine"), pod("other", {GPU: 1}, uid="other")
    node.admit(mine)
    record = control(node).record("mine")
    node.release("mine")
    fails(lambda: control(node).record("mine"), "mine", "main", "not known")
    fails(lambda: control(node).adopt(mine, record[:-9]), "record")
    fails(lambda: control(node).adopt(other, record), "mine", "other")
    node.admit(other)
    before = node.pods()
    fails(lambda: control(node).adopt(mine, record), "dev-00000", "mine", "other")
    equal(node.pods(), before)


main(__file__)
