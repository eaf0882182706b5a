#!/usr/bin/env python3
"""Topology policies and scopes end to end: who is admitted, on which nodes, what a refusal says, what stays after a restart."""
import json

from lib import *
from lib.control import Control

GPU, NIC = "example.com/gpu", "example.com/nic"
TEXT = "Resources cannot be allocated with Topology locality"


def machine(node, policy, scope="container", numa="0:10,20;1:20,10"):
    """Two nodes; four gpus and two nics, device i on node i % 2."""
    node.start("--numa", numa, "--topology-policy", policy, "--topology-scope", scope)
    for resource, count in ((GPU, 4), (NIC, 2)):
        node.plugin(resource, count, "--numa", "2")
        node.wait_for(resource, count)


def spread(result, container="main"):
    """Of each resource, how many devices on which node."""
    return {resource: held["numa"] for resource, held in result["containers"][container].items()}


@scenario
def best_effort_aligns_and_spreads_when_it_must(node):
    machine(node, "best-effort")
    two = node.admit(pod("two", {GPU: 2, NIC: 1}))
    matches(two, {"admitted": True, "affinity": {"main": [0]}})
    equal(spread(two), {GPU: {"0": 2}, NIC: {"0": 1}})
    one = node.admit(pod("one", {GPU: 1}))
    matches(one, {"affinity": {"main": [1]}})
    matches(node.admit(pod("rest", {GPU: 1, NIC: 1})), {"affinity": {"main": [1]}})


@scenario
def restricted_says_why_not_and_passes_when_a_node_is_free(node):
    machine(node, "restricted")
    for name in "abc":
        node.admit(pod(name, {GPU: 1}))
    node.release("a")
    no = node.admit(pod("p", {GPU: 2}), code=4)
    matches(no, {"verdict": "not_yet", "cause": "InsufficientDevices", "reason": "TopologyAffinityError", "message": TEXT,
                 "container": "main", "resource": GPU})
    for text in ("restricted", "1 on node 0, 1 on node 1", "{0,1}", "default/b"):
        contains(no["detail"], text)
    waiting = node.spawn("devmgrctl", ["admit", "-f", "-", "--wait", "--timeout", "60s", "--root", node.root, "-o", "json"])
    waiting.send(json.dumps(pod("p", {GPU: 2}, uid="p")))
    waiting.close_input()
    node.release("c")
    equal(waiting.wait(), 0)
    matches(json.loads(waiting.line()), {"affinity": {"main": [1]}})


@scenario
def single_numa_node_refuses_what_no_node_has(node):
    machine(node, "single-numa-node")
    no = node.admit(pod("p", {GPU: 3}), code=3)
    matches(no, {"verdict": "refused", "cause": "NoAffinity", "reason": "TopologyAffinityError", "message": TEXT})
    equal(node.pods(), {})
    matches(node.admit(pod("p", {GPU: 2, NIC: 1})), {"affinity": {"main": [0]}})


@scenario
def scope_pod_has_one_affinity_and_it_stays_over_a_restart(node):
    machine(node, "restricted", "pod")
    both = pod("p", {GPU: 1})
    both["spec"]["containers"].append({"name": "second", "resources": {"limits": {GPU: "1", NIC: "1"}}})
    matches(node.admit(both), {"affinity": {"main": [0], "second": [0]}})
    node.kill()
    node.start("--numa", "0;1", "--topology-policy", "restricted", "--topology-scope", "pod")
    matches(node.admit(both), {"admitted": True, "affinity": {"main": [0], "second": [0]}})


@scenario
def the_machine_is_read_from_numa_root(node):
    for name, text in (("online", "0,8\n"), ("node0/distance", "10 40\n"), ("node8/distance", "40 10\n")):
        file = node.root / "nodes" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    node.start("--numa-root", node.root / "nodes", "--topology-policy", "best-effort",
               "--topology-option", "prefer-closest-numa-nodes=true")
    node.plugin(GPU, 4, "--numa", "2")  # nodes 0 and 1, of which the machine has 0
    node.wait_for(GPU, 4)
    matches(node.admit(pod("p", {GPU: 1})), {"affinity": {"main": [0]}})
    matches(node.admit(pod("idle", {})), {"affinity": {"main": [0, 8]}})


@scenario
def another_process_gives_its_hints_with_the_pod(node):
    machine(node, "single-numa-node")
    control = Control(node.control_socket)
    cpus = [("cpu", [1], True), ("cpu", [0, 1], False)]  # node 0 has none left
    done = control.admit(pod("p", {GPU: 1}, uid="p"), hints={"main": cpus})
    equal([(c.affinity, [claim.numa for claim in c.claims]) for c in done.containers], [([1], [[1]])])
    no = control.admit(pod("q", {GPU: 2}), hints={"main": cpus})  # both of node 0, and CPUs of node 1
    equal((no.verdict, no.reason, no.message), ("not_yet", "TopologyAffinityError", TEXT))
    contains(no.detail, "cpu: ")
    no = control.admit(pod("q", {GPU: 1}), hints={"": cpus})
    equal((no.verdict, no.cause), ("refused", "InvalidPod"))
    contains(no.detail, "topology-scope is container")
    equal(control.pods(), ["p"])
    control.close()


@scenario
def another_process_decides_with_the_hints_of_the_devices(node):
    machine(node, "none")
    control = Control(node.control_socket)
    wants = pod("p", containers={"one": {GPU: 2, NIC: 1}, "two": {GPU: 1, "example.com/unknown": 1}}, uid="p")
    equal(control.hints(wants, "one"), {GPU: [([0], True), ([1], True), ([0, 1], False)],
                                        NIC: [([0], True), ([1], True), ([0, 1], False)]})
    equal(control.hints(wants), {GPU: [([0, 1], True)], NIC: [([0], True), ([1], True), ([0, 1], False)]})
    equal(control.pods(), [])
    del wants["spec"]["containers"][1]["resources"]["limits"]["example.com/unknown"]
    done = control.admit(wants, {"one": [1], "two": []})  # its CPUs were on node 1
    equal([(c.name, c.affinity, [claim.numa for claim in c.claims]) for c in done.containers],
          [("one", [1], [[1], [1], [1]]), ("two", [], [[0]])])
    equal(control.hints(wants, "one"), {GPU: [([1], True), ([0, 1], False)], NIC: [([1], True), ([0, 1], False)]})
    equal(control.hints(pod("q", {GPU: 2}), "main"), {GPU: []})
    far = control.admit(pod("q", {GPU: 1}), {"main": [1]})  # none is left there
    equal([claim.numa for claim in far.containers[0].claims], [[0]])
    for affinity, hint, text in (({"main": [64]}, "", "pod.containers[0].affinity.numa[0]: 64: must be a NUMA node from 0 to 63"),
                                 ({"other": [0]}, "", 'pod.containers[0].name: "other": the pod has no such container'),
                                 (None, "other", 'container: "other": pod default/r has no such container')):
        try:
            control.admit(pod("r", {GPU: 1}), affinity) if affinity else control.hints(pod("r", {GPU: 1}), hint)
            true(False, text)
        except Failure as failure:
            contains(str(failure), text)
    control.close()


main(__file__)
