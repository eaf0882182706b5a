#!/usr/bin/env python3
"""The kubelet's own sample plugin, unmodified, beside our daemon.

SAMPLE_PLUGIN names the program (`make interop` builds it); without it, or without the right to mount, this is skipped.
The plugin insists on /var/lib/kubelet/device-plugins and makes its "devices" in /tmp: both are given to it in a mount
namespace of its own. It takes ten seconds to come back.
"""
import json
import os
import subprocess
import sys

from lib import *

RESOURCE = "example.com/resource"
PRIVATE = """
exec 9<"$2" # the program, wherever it lies: /tmp is about to be another one
mkdir -p /var/lib/kubelet 2>/dev/null
mount -t tmpfs none /var/lib/kubelet && mkdir /var/lib/kubelet/device-plugins &&
mount --bind "$1" /var/lib/kubelet/device-plugins && mount -t tmpfs none /tmp || exit 77
exec /proc/self/fd/9
"""
WHOLE = {"plugin": "connected", "capacity": 2, "allocatable": 2}


def sample_plugin(node):
    """Started, registered, listed."""
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", PRIVATE, "sh", node.plugins, os.environ["SAMPLE_PLUGIN"]]
    child = Process(command, "sample-device-plugin", node.scratch / "sample.log", node.environment())
    node.processes.append(child)
    until(lambda: node.resource(RESOURCE), WHOLE, "the plugin registers")
    return child


def mounts_of(ids):
    """What the plugin's source answers to Allocate."""
    return [{"container_path": f"/tmp/{id}", "host_path": f"/tmp/{id}", "read_only": False} for id in ids]


def admit(node, file):
    return node.ctl("admit", "-f", file)["containers"]["main"][RESOURCE]["ids"]


@scenario
def it_registers_serves_and_survives_kill_9_of_the_daemon(node):
    node.start()
    sample_plugin(node)
    file = node.write("pod.yaml", pod("train", {RESOURCE: 2}, uid="train"))
    ids = admit(node, file)
    equal(ids, ["Dev-1", "Dev-2"])
    equal(node.options("train")["mounts"], mounts_of(ids), "what the plugin answered")
    held = node.pods()
    node.restart(kill=True)
    equal(node.pods(), held, "pods, at once")
    matches(node.resource(RESOURCE), {"capacity": 0, "allocatable": 0, "held": 2})
    equal(admit(node, file), ids, "the same pod again, without the plugin")
    equal(node.options("train")["mounts"], mounts_of(ids), "its options, without the plugin")
    true(node.resource(RESOURCE)["plugin"] != "connected", "all that was without the plugin")
    until(lambda: node.resource(RESOURCE), WHOLE, "the plugin comes back by itself")


@scenario
def its_devices_go_from_pod_to_pod_and_its_end_is_seen(node):
    node.start()
    plugin = sample_plugin(node)
    matches(node.admit(pod("a", {RESOURCE: 2}, uid="a")), {"verdict": "admitted"})
    matches(node.admit(pod("b", {RESOURCE: 1}, uid="b")), {"verdict": "not_yet", "cause": "InsufficientDevices"})
    equal(node.release("a"), ["a"])
    matches(node.admit(pod("b", {RESOURCE: 1}, uid="b")), {"verdict": "admitted"})
    plugin.stop()
    node.wait_for(RESOURCE, 0, plugin="gone", capacity=2, held=1)


@scenario
def the_kubelets_own_code_reads_what_it_answered(node):
    judge = os.environ.get("KUBELET_CHECKPOINT") or skip("KUBELET_CHECKPOINT is not set")
    node.start()
    sample_plugin(node)
    node.admit(pod("a", {RESOURCE: 2}, uid="a"))
    done = subprocess.run([judge, node.checkpoint], capture_output=True, text=True, check=False)
    read = json.loads(done.stdout)
    matches(read, {"ok": True, "registered": {RESOURCE: ["Dev-1", "Dev-2"]}})
    (entry,) = read["entries"]
    matches(entry, {"pod_uid": "a", "container": "main", "resource": RESOURCE, "device_ids": {"-1": ["Dev-1", "Dev-2"]}})
    equal([m["host_path"] for m in entry["response"]["mounts"]], ["/tmp/Dev-1", "/tmp/Dev-2"])


if not os.environ.get("SAMPLE_PLUGIN") or os.geteuid() != 0:
    print("part of make interop, as root")
    sys.exit(77)
main(__file__)
