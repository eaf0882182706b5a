#!/usr/bin/env python3
"""The control API as another language sees it: Python's gRPC against devmgrd."""
import json
import os
import subprocess

from lib import *

RESOURCE = "example.com/gpu"


def command(node, *args):
    return [os.environ["PYTHON_OF_CLIENT"], os.environ["PYTHON_CLIENT"], node.control_socket, *args]


def ask(node, *args, code=0):
    """What the client printed, one value a line."""
    done = subprocess.run(list(map(str, command(node, *args))), capture_output=True, text=True, timeout=60, check=False)
    equal(done.returncode, code, done.stdout + done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def prepare(node):
    node.start()
    node.plugin(RESOURCE, 4, "--prestart")
    node.wait_for(RESOURCE, 4)


def manifest(node, *pods):
    return node.write("pod.yaml", "\n---\n".join(map(json.dumps, pods)))


def gpu_pod(name, count):
    return pod(name, {RESOURCE: count}, uid=name)


@scenario
def Info_says_who_serves(node):
    prepare(node)
    (info,) = ask(node, "info")
    matches(info, {"pid": node.daemon.pid, "new_node": True})
    true(info["version"] and int(info["revision"]) > 0, info)


@scenario
def AdmitEach_ContainerOptions_Release(node):
    prepare(node)
    first, second = ask(node, "admit", manifest(node, gpu_pod("a", 2), gpu_pod("b", 3)))
    matches(first, {"verdict": "VERDICT_ADMITTED", "pod_uid": "a", "cause": ""})
    matches(second, {"verdict": "VERDICT_NOT_YET", "pod_uid": "b", "cause": "InsufficientDevices", "resource": RESOURCE})
    ids = [claim["device"] for container in first["containers"] for claim in container["claims"]]
    equal(node.pods()["a"]["main"][RESOURCE], ids)
    (options,) = ask(node, "options", "a", "main")
    equal(options, node.options("a"), "the client's options and devmgrctl's")
    equal(ask(node, "release", "a"), [{"released": ["a"]}])
    equal(ask(node, "release", "a"), [{"released": []}], "again")


@scenario
def Hints_and_a_decision_of_the_callers_own(node):
    node.start("--numa", "0;1")
    node.plugin(RESOURCE, 4, "--numa", "2")
    node.wait_for(RESOURCE, 4)
    file = manifest(node, gpu_pod("a", 2))
    hints = [hint for part in ask(node, "hints", file, "main") for hint in part["hints"]]
    equal([(h["kind"], h["numa"], h["preferred"]) for h in hints],
          [("HINT_NODES", [0], True), ("HINT_NODES", [1], True), ("HINT_NODES", [0, 1], False)])
    (done,) = ask(node, "align", file, "main", "1")
    matches(done, {"verdict": "VERDICT_ADMITTED", "pod_uid": "a"})
    equal([(c["affinity"], [claim["numa"] for claim in c["claims"]]) for c in done["containers"]], [([1], [[1], [1]])])
    for code, part, args in (("NOT_FOUND", "other", ("hints", file, "other")),
                             ("INVALID_ARGUMENT", "affinity.numa[0]: 64", ("align", file, "main", "64"))):
        (error,) = ask(node, *args, code=1)
        equal(error["code"], code)
        contains(error["details"], part)


@scenario
def hints_of_the_callers_own_are_merged(node):
    node.start("--numa", "0;1", "--topology-policy", "single-numa-node")
    node.plugin(RESOURCE, 4, "--numa", "2")
    node.wait_for(RESOURCE, 4)
    (done,) = ask(node, "beside", manifest(node, gpu_pod("a", 2)), "main", "cpu", "1")
    equal([(c["affinity"], [claim["numa"] for claim in c["claims"]]) for c in done["containers"]], [([1], [[1], [1]])])
    (no,) = ask(node, "beside", manifest(node, gpu_pod("b", 2)), "main", "cpu", "1")
    matches(no, {"verdict": "VERDICT_NOT_YET", "reason": "TopologyAffinityError"})
    (error,) = ask(node, "beside", manifest(node, gpu_pod("b", 2)), "main", "", "1", code=1)
    contains(error["details"], "pod.containers[0].hints[0].resource")


@scenario
def a_call_that_fails_says_so_by_code_and_text(node):
    prepare(node)
    for code, part, args in (("INVALID_ARGUMENT", "Node", ("admit", node.write("bad", "kind: Node\n"))),
                             ("INVALID_ARGUMENT", "as_of", ("sync", "0", "a")),
                             ("NOT_FOUND", "nobody", ("record", "nobody", "main"))):
        (error,) = ask(node, *args, code=1)
        equal(error["code"], code)
        contains(error["details"], part)


@scenario
def lists_say_what_devmgrctl_says(node):
    prepare(node)
    ask(node, "admit", manifest(node, gpu_pod("a", 2)))
    pods = [p for part in ask(node, "pods") for p in part["pods"]]
    equal([p["uid"] for p in pods], ["a"])
    devices = [d for part in ask(node, "devices", RESOURCE) for d in part["devices"]]
    equal({d["id"]: d["pod_uid"] for d in devices}, {id: row["pod"] for id, row in node.devices(RESOURCE).items()})
    (resources,) = ask(node, "resources")
    matches(resources["resources"][0], {"name": RESOURCE, "capacity": "4", "held": "2", "plugin": "PLUGIN_CONNECTED"})


@scenario
def Watch_tells_the_state_and_then_each_change(node):
    prepare(node)
    watch = Process(command(node, "watch"), "client", node.scratch / "watch.log")
    node.processes.append(watch)
    matches(watch.event(type="EVENT_RESOURCE"), {"changed": {"name": RESOURCE, "allocatable": "4"}})
    watch.event(type="EVENT_SYNCED")
    node.admit(gpu_pod("a", 1))
    matches(watch.event(type="EVENT_ADMITTED"), {"pod_uid": "a"})
    node.release("a")
    matches(watch.event(type="EVENT_RELEASED"), {"pod_uid": "a"})
    watch.kill()


@scenario
def Sync_releases_what_does_not_live(node):
    prepare(node)
    ask(node, "admit", manifest(node, gpu_pod("a", 1), gpu_pod("b", 1)))
    (info,) = ask(node, "info")
    equal(ask(node, "sync", info["revision"], "b"), [{"released": ["a"]}])
    equal(ask(node, "sync", info["revision"]), [{"released": ["b"]}])


main(__file__)
