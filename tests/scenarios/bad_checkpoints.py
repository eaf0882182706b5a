#!/usr/bin/env python3
"""What can happen to the checkpoint: no room on the disk, no right to write, the folder gone, the file cut or changed.

Never a crash, never a device to two pods, never a loss that nobody is told of. Disks are small file systems in a mount
namespace of this process.
"""
import random
import shutil

from lib import *
from lib import mounts

GPU = "example.com/gpu"
SEED = 20240229
mounts.prepare()


def admitted(node, name):
    """Its device."""
    result = node.admit(pod(name, {GPU: 1}))
    equal(result["verdict"], "admitted", result["detail"])
    return result["containers"]["main"][GPU]["ids"][0]


def not_durable(node, name, *parts):
    result = node.admit(pod(name, {GPU: 1}))
    matches(result, {"verdict": "not_yet", "cause": "NotDurable"})
    for part in ("pod default/" + name, str(node.plugins), *parts):
        contains(result["detail"], part)
    matches(node.resource(GPU), {"reserved": 0})


def held(node):
    """device -> pod; no device has two."""
    owners = {}
    for uid, containers in node.pods().items():
        for resources in containers.values():
            for device in resources.get(GPU, []):
                true(owners.setdefault(device, uid) == uid, f"{device} is {owners[device]}'s and {uid}'s")
    return owners


def file_is_good(node, *uids):
    shown = node.run("devmgrctl", "checkpoint", "show", node.checkpoint, code=0).stdout
    for uid in uids:
        contains(shown, uid)


# ---- disks ---------------------------------------------------------------------------------------------------------


def fill(folder):
    """Nothing more goes there; returns what to remove."""
    hog = folder / "hog"
    with open(hog, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return hog


@scenario
def a_full_disk_stops_admissions_and_loses_nothing(node):
    mounts.small_disk(node.plugins, "256k")
    node.start()
    node.plugin(GPU, 4)
    node.wait_for(GPU, 4)
    first = admitted(node, "a")
    hog = fill(node.plugins)
    for name in "bc":
        not_durable(node, name, "No space left on device")
    equal(held(node), {first: "default_a"})
    file_is_good(node, "default/a")
    contains(node.run("devmgrctl", "release", "a", "--root", node.root, code=1).stderr, "No space left on device")
    node.restart(kill=True)
    node.wait_for(GPU, 4)
    equal(held(node), {first: "default_a"}, "what was not saved as released is held after a kill")
    hog.unlink()
    matches(node.admit(pod("b", {GPU: 1}), args=("--wait", "--timeout", "20s")), {"verdict": "admitted"})
    equal(len(held(node)), 2)
    node.restart(kill=True)
    equal(len(held(node)), 2)
    node.stop()
    mounts.unmount(node.plugins)


@scenario
def a_read_only_disk_stops_admissions_and_loses_nothing(node):
    mounts.small_disk(node.plugins, "1m")
    node.start()
    node.plugin(GPU, 4)
    node.wait_for(GPU, 4)
    first = admitted(node, "a")
    mounts.read_only(node.plugins)
    not_durable(node, "b", "Read-only file system")
    equal(held(node), {first: "default_a"})
    node.kill()
    failed = node.run("devmgrd", "--root", node.root, code=1)
    contains(failed.stderr, str(node.plugins))
    contains(failed.stderr, "Read-only file system")
    equal(failed.stderr.count("\n"), 1, failed.stderr)
    mounts.read_only(node.plugins, False)
    node.restart()
    node.wait_for(GPU, 4)
    equal(held(node), {first: "default_a"})
    true(admitted(node, "b") != first, "another device")
    node.stop()
    mounts.unmount(node.plugins)


@scenario
def a_removed_folder_is_made_again_with_all_that_is_held(node):
    node.start()
    plugin = node.plugin(GPU, 4, manual=True)
    plugin.register()
    node.wait_for(GPU, 4)
    first = admitted(node, "a")
    shutil.rmtree(node.plugins)
    until(lambda: node.kubelet_socket.exists() and node.checkpoint.exists())
    file_is_good(node, "default/a")
    second = admitted(node, "b")
    true(second != first, "another device")
    plugin.relisten()
    plugin.register()
    node.restart(kill=True)
    equal(held(node), {first: "default_a", second: "default_b"})


@scenario
def a_removed_or_replaced_file_is_written_again(node):
    node.start()
    node.plugin(GPU, 8)
    node.wait_for(GPU, 8)
    owners = {admitted(node, "a"): "default_a"}
    for i, harm in enumerate((node.checkpoint.unlink, lambda: node.checkpoint.write_text("{"), lambda: node.checkpoint.write_text(""))):
        harm()
        owners[admitted(node, f"b{i}")] = f"default_b{i}"
        file_is_good(node, "default/a", f"default/b{i}")
        node.restart(kill=True)
        equal(held(node), owners)
        node.wait_for(GPU, 8)


# ---- damage --------------------------------------------------------------------------------------------------------


def damaged(node, rng):
    """Cuts the file or turns one of its bits; says what it did."""
    data = bytearray(node.checkpoint.read_bytes())
    at = rng.randrange(len(data))
    if rng.random() < 0.4:
        node.checkpoint.write_bytes(data[:at])
        return f"cut at {at} of {len(data)}"
    data[at] ^= 1 << rng.randrange(8)
    node.checkpoint.write_bytes(data)
    return f"a bit of byte {at} of {len(data)}"


@scenario
def a_damaged_file_gives_no_device_to_two_pods(node):
    rng = random.Random(SEED)
    node.start()
    node.plugin(GPU, 8)
    node.wait_for(GPU, 8)
    alive = {admitted(node, name): "default_" + name for name in "ab"}
    recovered = 0
    for i in range(8):
        admitted(node, "gone")
        node.release("gone")  # so the copy is of before: one pod more
        node.kill()
        what = damaged(node, rng)
        node.start()
        node.wait_for(GPU, 8)
        result = node.admit(pod("new", {GPU: 1}))
        if result["verdict"] != "admitted":
            recovered += 1
            matches(result, {"verdict": "not_yet", "cause": "Recovering"}, what)
            node.ctl("sync", "default_a", "default_b")
            result = node.admit(pod("new", {GPU: 1}), args=("--wait", "--timeout", "20s"))
            contains(node.daemon.stderr(), str(node.checkpoint), what)
        device = result["containers"]["main"][GPU]["ids"][0]
        equal(held(node), {**alive, device: "default_new"}, what)
        node.release("new")
    print(f"# 8 damages, {recovered} recovered by sync")
    true(recovered, "some were damages")


@scenario
def verify_finds_each_cut_and_each_turned_bit(node):
    node.start()
    node.plugin(GPU, 2)
    node.wait_for(GPU, 2)
    device = admitted(node, "a")
    node.stop()
    data, harmed = node.checkpoint.read_bytes(), node.scratch / "harmed"
    found = same = 0
    for at in range(0, len(data), 7):  # every place: tests/unit/test_damage.c
        for bad in (data[:at], data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]):
            harmed.write_bytes(bad)
            verdict = node.run("devmgrctl", "checkpoint", "verify", harmed, code=(0, 1))
            if verdict.returncode == 1:
                found += 1
                equal(verdict.stderr.count("\n"), 1, f"{at}: one line")
                contains(verdict.stderr, str(harmed))
            else:  # our part is damaged, and that is said; or it means the same
                same += 1
                true(len(bad) == len(data), f"a cut at {at} is found")
                contains(node.run("devmgrctl", "checkpoint", "show", harmed, code=0).stdout, device)
    print(f"# {len(data)} bytes: {found} found, {same} with the same claims")


@scenario
def a_pod_that_only_the_damaged_file_knew_keeps_admission_closed(node):
    node.start()
    node.plugin(GPU, 4)
    node.wait_for(GPU, 4)
    first = admitted(node, "a")
    admitted(node, "b")  # the last write: the copy does not know it
    node.kill()
    node.checkpoint.write_bytes(node.checkpoint.read_bytes()[:100])
    node.start()
    node.wait_for(GPU, 4)
    equal(held(node), {first: "default_a"})
    matches(node.admit(pod("a", {GPU: 1})), {"verdict": "admitted"}, "what is known is served")
    node.ctl("sync", "default_a", "default_b")
    result = node.admit(pod("c", {GPU: 1}))
    matches(result, {"verdict": "not_yet", "cause": "Recovering"})
    contains(result["detail"], "default_b")
    node.ctl("release", "default_b")
    true(admitted(node, "c") != first, "another device")


main(__file__)
