#!/usr/bin/env python3
"""devmgrctl explain: the verdict that an admission would get, with the picture of the nodes; and nothing is changed."""
import json

from lib import *

GPU, NIC = "example.com/gpu", "example.com/nic"


def machine(node, policy, scope="container"):
    node.start("--numa", "0:10,20;1:20,10", "--topology-policy", policy, "--topology-scope", scope)
    for resource, count in ((GPU, 4), (NIC, 2)):
        node.plugin(resource, count, "--numa", "2")
        node.wait_for(resource, count)


def explain(node, manifest, code=(0, 3, 4)):
    return node.ctl("explain", "-f", "-", stdin=json.dumps(manifest), code=code)


def text(node, *args, code=0):
    return node.run("devmgrctl", *args, "--root", node.root, code=code).stdout


@scenario
def it_says_what_an_admission_says(node):
    for policy in ("none", "best-effort", "restricted", "single-numa-node"):
        for scope in ("container", "pod"):
            machine(node, policy, scope)
            node.admit(pod("a", {GPU: 1}))
            for limits in ({GPU: 1}, {GPU: 2, NIC: 1}, {GPU: 3}, {GPU: 9}, {"example.com/none": 1}):
                before = node.pods()
                said = explain(node, pod("p", limits))
                equal(node.pods(), before)
                done = node.admit(pod("p", limits))
                matches(said, {key: done[key] for key in ("verdict", "cause", "reason", "message")})
                if not done["admitted"]:
                    equal(said["detail"], done["detail"])
                node.release("p")
            for child in reversed(node.processes):
                child.stop()
            node.processes.clear()


@scenario
def people_see_the_nodes_the_masks_and_the_next_step(node):
    machine(node, "restricted")
    node.admit(pod("a", {GPU: 2}))
    good = text(node, "explain", GPU, "2")
    for line in ("would be admitted", "node 0  [##]  2 used, 0 free, 0 unhealthy", "node 1  [..]  0 used, 2 free, 0 unhealthy",
                 "2 held by default/a, container main", "{1}: 2 devices, preferred <- chosen"):
        contains(good, line)
    bad = text(node, "explain", GPU, "3", code=4)
    for line in ("default/explain: not yet (InsufficientDevices)", "  why:  ", "  next: "):
        contains(bad, line)
    contains(text(node, "explain", "a"), "needs no device that it does not hold")
    contains(text(node, "explain", "example.com/none", code=4), "NoPlugin")
    contains(text(node, "resources", "-v"), "node 1  [..]  0 used, 2 free, 0 unhealthy")
    contains(node.run("devmgrctl", "explain", "nobody", "--root", node.root, code=1).stderr, "nobody: no such pod")


main(__file__)
