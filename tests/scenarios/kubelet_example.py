#!/usr/bin/env python3
"""The life of examples/kubelet.c: what an embedder of the library meets, from the first pod to a plugin that never comes back.

docs/embedding.md walks through the same program."""
import contextlib
import fcntl
import functools
import itertools
import json
import os
import random
import re
import signal
import time

from lib import *

GPU, NIC = "example.com/gpu", "example.com/nic"
SLEEP = ["sh", "-c", "echo $BENCH_VISIBLE_DEVICES; exec sleep 300"]  # prints what the plugin answered
KUBELET = "examples/kubelet"


class Kubelet:
    """The kubelet and what it stands between: the folder of pods, their statuses, their processes."""

    def __init__(self, node, settings=""):
        self.node, self.root = node, node.root
        self.config = node.write("kubelet.conf", settings)
        self.start()

    def start(self):
        self.process = self.node.spawn(KUBELET, [self.root, self.config])
        until((self.root / "node").exists, what="the kubelet publishes its node")

    def kill(self):
        self.process.kill()
        (self.root / "node").unlink()

    def restart(self):
        self.kill()
        self.start()

    def put(self, uid, manifest):
        hidden = self.root / "pods" / f".{uid}"
        hidden.write_text(json.dumps(manifest) if isinstance(manifest, dict) else manifest)
        hidden.rename(self.root / "pods" / uid)

    def run(self, uid, containers, init=None, commands=None):
        """A pod whose containers do as `commands` says, or sleep."""
        manifest = pod(uid, containers=containers, init=init)
        spec = manifest["spec"]
        for container in spec["containers"] + spec.get("initContainers", []):
            container["command"] = (commands or {}).get(container["name"], SLEEP)
        self.put(uid, manifest)

    def delete(self, uid):
        manifest = json.loads((self.root / "pods" / uid).read_text())
        manifest["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
        self.put(uid, manifest)

    def gone(self, uid):
        until(lambda: not (self.root / "pods" / uid).exists(), what=f"{uid} is gone")
        equal([name for name in os.listdir(self.root / "run") if name.startswith(uid)], [], "left of its containers")

    def status(self, uid):
        return json.loads((self.root / "status" / uid).read_text())

    def container(self, uid, name="main"):
        return next(row for row in self.status(uid)["containerStatuses"] if row["name"] == name)

    def wait(self, uid, phase="Running", **want):
        return until(lambda: self.status(uid), {"phase": phase, **want}, f"status of {uid}")

    def wait_container(self, uid, name, state, **want):
        return until(lambda: self.container(uid, name), {"state": {state: {}}, **want}, f"container {name} of {uid}")

    def started(self, uid, name="main"):
        """Its pid, when it runs and has printed something."""
        self.wait_container(uid, name, "running")
        until(lambda: self.log(uid, name), what="it prints its devices")
        return self.pid(uid, name)

    def pid(self, uid, name="main"):
        return int((self.root / "run" / f"{uid}.{name}").read_text().split()[0])

    def log(self, uid, name="main"):
        return (self.root / "log" / f"{uid}.{name}").read_text().splitlines()

    def health(self, uid, name="main"):
        """resource -> id -> health"""
        rows = self.container(uid, name)["allocatedResourcesStatus"]
        return {row["name"]: {d["resourceID"]: d["health"] for d in row["resources"]} for row in rows}

    def wait_health(self, uid, **want):
        return until(lambda: self.health(uid)[GPU], {f"dev-0000{i[1]}": word for i, word in want.items()}, f"health of {uid}")

    def resource(self, name=GPU):
        return json.loads((self.root / "node").read_text()).get(name)

    def wait_node(self, allocatable, capacity, name=GPU):
        until(lambda: self.resource(name), {"allocatable": allocatable, "capacity": capacity}, f"{name} of the node")

    def end(self):
        """The kubelet, as SIGTERM ends it, and what it left running."""
        try:
            if self.process.running():
                self.process.stop()
        finally:
            for file in (self.root / "run").glob("*"):
                until(lambda: not kill_container(file), what=f"{file} ends")


def kill_container(file):
    """True: something of it was still alive."""
    with open(file) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            for pid in lock.read().split()[:1]:
                os.killpg(int(pid), signal.SIGKILL)
            return True


def is_container(pid):
    """Lives, and is no stranger that got the same number."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"echo $$ >&3" in file.read()
    except OSError:
        return False


def life(settings=""):
    """A scenario with a kubelet."""

    def add(function):
        @functools.wraps(function)
        def run(node):
            kubelet = Kubelet(node, settings)
            try:
                function(node, kubelet)
            finally:
                kubelet.end()

        return scenario(run, needs=(KUBELET, "devmgr-fakeplugin"))

    return add


@life()
def a_sidecar_and_an_app_get_devices_of_the_init_container(node, kubelet):
    node.plugin(GPU, 4)
    kubelet.wait_node(4, 4)
    once = ["sh", "-c", "echo $BENCH_VISIBLE_DEVICES"]
    kubelet.run("train", {"main": {GPU: 1}}, {"prepare": {GPU: 3}, "proxy": ({GPU: 1}, "Always")}, {"prepare": once})
    kubelet.started("train", "main")
    kubelet.started("train", "proxy")
    equal(kubelet.log("train", "prepare"), ["dev-00000,dev-00001,dev-00002"])
    equal(kubelet.log("train", "proxy"), ["dev-00000"])
    equal(kubelet.log("train", "main"), ["dev-00001"])
    kubelet.wait_container("train", "prepare", "terminated", allocatedResourcesStatus=[])
    equal(kubelet.health("train", "proxy"), {GPU: {"dev-00000": "Healthy"}})
    equal(kubelet.health("train", "main"), {GPU: {"dev-00001": "Healthy"}})
    kubelet.run("other", {"main": {GPU: 2}})  # what the init container alone held is free
    kubelet.wait("other")
    kubelet.delete("train")
    kubelet.gone("train")
    kubelet.process.waiting()
    equal([line for line in kubelet.process.lines if line.startswith("train")],
          ["train: Pending", "train: prepare starts, with 3 devices", "train: proxy starts, with 1 devices", "train: Running",
           "train: main starts, with 1 devices", "train: its devices are free"], "the story it tells")


@life()
def a_refused_pod_says_why(node, kubelet):
    node.plugin(GPU, 4, "--fault", "allocate:error=INTERNAL@1")
    kubelet.wait_node(4, 4)
    kubelet.run("train", {"main": {GPU: 1}})
    status = kubelet.wait("train", "Failed", reason="UnexpectedAdmissionError")
    contains(status["message"], "Allocate failed due to")
    matches(kubelet.container("train"), {"state": {"waiting": {}}, "allocatedResourcesStatus": []})
    kubelet.run("half", {"main": {GPU: "0.5"}})
    status = kubelet.wait("half", "Failed", reason="InvalidPod")
    contains(status["message"], "0.5")
    kubelet.restart()
    node.plugin("example.com/next", 1)
    kubelet.run("next", {"main": {"example.com/next": 1}})
    kubelet.wait("next")
    kubelet.wait("train", "Failed", reason="UnexpectedAdmissionError")
    equal(kubelet.process.stderr(), "")
    for uid in ("train", "half"):
        kubelet.delete(uid)
        kubelet.gone(uid)


@life()
def a_pod_that_has_to_wait_says_what_for_and_starts_when_it_is_there(node, kubelet):
    kubelet.run("early", {"main": {GPU: 3}})
    status = kubelet.wait("early", "Pending", reason="UnexpectedAdmissionError")
    contains(status["message"], GPU, "no plugin")
    node.plugin(GPU, 4)
    kubelet.wait("early")
    kubelet.run("late", {"main": {GPU: 2}})
    status = kubelet.wait("late", "Pending", reason="UnexpectedAdmissionError")
    contains(status["message"], "early", "who is in the way")
    kubelet.delete("early")
    kubelet.wait("late")
    equal(kubelet.status("late")["message"], "")


@life()
def a_container_that_ends_is_started_again_with_its_devices(node, kubelet):
    plugin = node.plugin(GPU, 4, manual=True)
    plugin.register()
    kubelet.run("train", {"main": {GPU: 2}})
    pid = kubelet.started("train")
    os.killpg(pid, signal.SIGKILL)
    kubelet.wait_container("train", "main", "running", restartCount=1)
    until(lambda: kubelet.log("train"), ["dev-00000,dev-00001"] * 2)
    true(kubelet.pid("train") != pid, "another process")
    equal(plugin.stats()["Allocate"], 1, "Allocate is for the pod, not for each start")


@life()
def kill_9_of_the_kubelet_with_the_plugin_away_costs_no_container_anything(node, kubelet):
    plugin = node.plugin(GPU, 4)
    kubelet.run("train", {"main": {GPU: 1}}, {"proxy": ({GPU: 1}, "Always")})
    pids = [kubelet.started("train", name) for name in ("proxy", "main")]
    plugin.kill()
    kubelet.wait_node(0, 4)
    kubelet.restart()
    kubelet.process.line_where(lambda line: line == "train: Running", "train is admitted again")
    equal(kubelet.resource(), {"capacity": 0, "allocatable": 0}, "as in the kubelet: until the plugin is back")
    kubelet.wait_health("train", d1="Unknown")
    equal([kubelet.pid("train", name) for name in ("proxy", "main")], pids)
    true(all(map(is_container, pids)), "they run as before")
    os.killpg(pids[1], signal.SIGKILL)
    until(lambda: kubelet.log("train"), ["dev-00001"] * 2, "started again without the plugin, with the same device")
    node.plugin(GPU, 4)
    kubelet.wait_node(4, 4)
    kubelet.wait_health("train", d1="Healthy")
    equal(kubelet.pid("train", "proxy"), pids[0])


@life()
def what_was_deleted_while_the_kubelet_was_away_ends_and_then_its_devices_are_free(node, kubelet):
    node.plugin(GPU, 4)
    for uid in ("asked", "forced", "stays"):
        kubelet.run(uid, {"main": {GPU: 1}})
    pids = {uid: kubelet.started(uid) for uid in ("asked", "forced", "stays")}
    kubelet.kill()
    kubelet.delete("asked")
    (kubelet.root / "pods" / "forced").unlink()
    kubelet.start()
    kubelet.process.line_where(lambda line: line.startswith("forced: lives no more"), "what sync released")
    true(not is_container(pids["forced"]), "ended before its device is free")
    kubelet.gone("asked")
    true(not is_container(pids["asked"]) and is_container(pids["stays"]), "who ends and who stays")
    kubelet.run("next", {"main": {GPU: 3}})
    kubelet.wait("next")


@life()
def a_plugin_that_restarts_is_seen_by_the_node_and_does_not_touch_the_pod(node, kubelet):
    plugin = node.plugin(GPU, 4)
    kubelet.run("train", {"main": {GPU: 1}})
    pid = kubelet.started("train")
    plugin.stop()
    kubelet.wait_node(0, 4)
    kubelet.wait_health("train", d0="Unknown")
    node.plugin(GPU, 4)
    kubelet.wait_node(4, 4)
    kubelet.wait_health("train", d0="Healthy")
    equal((kubelet.pid("train"), kubelet.container("train")["restartCount"]), (pid, 0))
    kubelet.process.waiting()
    told = [line.removeprefix(f"node: {GPU} ") for line in kubelet.process.lines if line.startswith(f"node: {GPU} ")]
    equal([each for each, _ in itertools.groupby(told) if each != "0/0"], ["4/4", "0/4", "4/4"], "published as events come")


@life()
def a_device_that_falls_ill_or_vanishes_is_in_the_status_of_its_pod(node, kubelet):
    plugin = node.plugin(GPU, 4, manual=True)
    plugin.register()
    kubelet.run("train", {"main": {GPU: 2}})
    kubelet.wait("train")
    plugin.health("dev-00001", "Unhealthy")
    kubelet.wait_health("train", d0="Healthy", d1="Unhealthy")
    kubelet.wait_node(3, 4)
    plugin.list(1)
    kubelet.wait_health("train", d0="Healthy", d1="Unknown")  # Missing: Kubernetes has no word for it
    kubelet.wait_node(1, 1)
    plugin.list(4)
    kubelet.wait_health("train", d0="Healthy", d1="Healthy")
    kubelet.wait("train")


@life("stop-grace = 1s\n")
def a_plugin_that_never_comes_back_ends_at_0_of_0(node, kubelet):
    plugin = node.plugin(GPU, 4)
    node.plugin(NIC, 2)
    kubelet.run("train", {"main": {GPU: 1}})
    pid = kubelet.started("train")
    plugin.kill()
    kubelet.wait_node(0, 0)
    kubelet.wait_node(2, 2, NIC)
    matches(kubelet.status("train"), {"phase": "Running"})
    os.killpg(pid, signal.SIGKILL)
    until(lambda: kubelet.log("train"), ["dev-00000"] * 2, "what it holds serves on")
    kubelet.run("next", {"main": {GPU: 1}})
    kubelet.wait("next", "Pending")


@life()
def a_pod_that_is_deleted_while_its_admission_waits_leaves_nothing(node, kubelet):
    kubelet.run("waits", {"main": {GPU: 4}})
    kubelet.wait("waits", "Pending", reason="UnexpectedAdmissionError")
    kubelet.delete("waits")
    kubelet.gone("waits")
    plugin = node.plugin(GPU, 4, "--fault", "allocate:hang", manual=True)
    plugin.register()
    kubelet.wait_node(4, 4)
    kubelet.run("hangs", {"main": {GPU: 4}})
    until(lambda: plugin.stats()["Allocate"], 1, "its Allocate is under way")
    kubelet.delete("hangs")
    kubelet.gone("hangs")
    plugin.fault("clear")
    kubelet.run("next", {"main": {GPU: 4}})
    kubelet.wait("next")


@life()
def a_damaged_checkpoint_costs_who_runs_nothing_and_lets_nobody_in_until_all_are_known(node, kubelet):
    node.plugin(GPU, 4)
    for uid in ("first", "second"):
        kubelet.run(uid, {"main": {GPU: 1}})
        kubelet.started(uid)
    pids = {uid: kubelet.pid(uid) for uid in ("first", "second")}
    kubelet.kill()
    node.checkpoint.write_text("{")  # the copy of it is one write older: it does not know `second`
    kubelet.run("third", {"main": {GPU: 3}})
    kubelet.start()
    kubelet.wait_node(4, 4)
    kubelet.wait("first")
    for uid in ("second", "third"):
        kubelet.wait(uid, "Pending")
    contains(kubelet.status("third")["message"], "second", "who keeps admission closed")
    equal({uid: kubelet.pid(uid) for uid in pids}, pids)
    true(all(map(is_container, pids.values())), "both run as before")
    kubelet.delete("second")
    kubelet.wait("third")
    equal(sorted([*kubelet.health("first")[GPU], *kubelet.health("third")[GPU]]), [f"dev-0000{i}" for i in range(4)])


def living(kubelet):
    """uid -> the devices its container was started with, as its shell's command line has them."""
    found = {}
    for file in (kubelet.root / "run").glob("*.main"):
        try:
            pid = file.read_text().split()[0]
            with open(f"/proc/{pid}/cmdline", encoding="utf-8") as words:
                found[file.stem] = re.findall(r"dev-\d+", words.read())
        except (IndexError, OSError):
            pass  # not started, or ended
    return found


@life()
def kill_9_again_and_again_gives_no_device_to_two_containers(node, kubelet):
    seed = int(os.environ.get("SEED") or random.randrange(1 << 30))
    print(f"# SEED={seed}")
    dice = random.Random(seed)
    node.plugin(GPU, 8)
    kubelet.wait_node(8, 8)
    pods, seen = [], 0
    for number in range(10):
        for each in range(2):
            pods.append(f"pod-{number}{each}")
            kubelet.run(pods[-1], {"main": {GPU: dice.randint(1, 3)}})
        if len(pods) > 4:
            kubelet.delete(pods.pop(dice.randrange(len(pods))))
        time.sleep(dice.random())
        kubelet.kill()
        alive = living(kubelet)
        devices = sorted(id for ids in alive.values() for id in ids)
        equal(devices, sorted(set(devices)), f"after kill {number}, of {alive}")
        seen += len(alive)
        kubelet.start()
    print(f"# {seen} containers outlived 10 kills")
    true(seen > 5, "some do")
    for uid in os.listdir(kubelet.root / "pods"):
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile
            kubelet.delete(uid)
    until(lambda: os.listdir(kubelet.root / "pods"), [], "all are gone")
    kubelet.run("all", {"main": {GPU: 8}})
    kubelet.wait("all")


def by_example(name):
    """examples/NAME.c: one pod, on another kind of loop."""

    def run(node):
        node.plugin(GPU, 2, wait=False)
        said = node.run(f"examples/{name}", node.root, GPU, code=0).stdout
        contains(said, "dev-00000")
        contains(said, "released uid-1")
        equal(node.kubelet_socket.exists(), False, "its socket stays")

    run.__name__ = f"one_pod_by_{name}_c"
    scenario(run, needs=(f"examples/{name}", "devmgr-fakeplugin"))


for each in ("embed", "epoll", "thread"):
    by_example(each)

main(__file__)
