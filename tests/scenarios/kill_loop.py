#!/usr/bin/env python3
"""Admissions while another process kills the daemon: what was answered is kept, with the same devices, none twice.

A killer process owns the daemon: starts it, kills it (SIGKILL), looks at the checkpoint as it lies there, starts it
again. Half of the kills come at a random time, half when inotify says that the temporary file was made. Meanwhile
admitters admit, release and admit again. After each kill, before the restart: the file and the one before it are
accepted (by the kubelet's own code when KUBELET_CHECKPOINT names the program that `make interop` builds); the file holds
each answered admission with the very devices that were answered, none of the answered releases, and no device twice.
After each restart: `devmgrctl pods` says the same at once.

What a kill hit is counted from what it left behind, never from what was meant:
  in flight   an admission that had begun before the kill ended after it without an answer, though it had a connection
  in window   the temporary file is there, complete and newer than the main one: written, not yet exchanged

KILLS=100 ADMISSIONS=500 is the long version; 30 of 100 kills must be in flight, 10 in the window. SEED=N repeats the
random choices.
"""
import ctypes
import json
import multiprocessing
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time

from lib import *

KILLS = int(os.environ.get("KILLS", "10"))
ADMISSIONS = int(os.environ.get("ADMISSIONS", "50"))
IN_FLIGHT, IN_WINDOW = KILLS * 3 // 10, KILLS // 10
MOST_KILLS = KILLS * 5
ADMITTERS = 4
RESOURCE, DEVICES = "example.com/gpu", 1000
MOST_HELD = (5, 40, 300)  # pods, one of these per run
UNANSWERED = 1  # devmgrctl's exit code when the call itself failed
IN_CREATE = 0x100


class Inotify:
    """Says when a file of that name is made in a folder."""

    def __init__(self, folder):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(0)
        if libc.inotify_add_watch(self.fd, os.fsencode(folder), IN_CREATE) < 0:
            raise OSError(ctypes.get_errno(), str(folder))

    def wait(self, name, limit):
        end = time.monotonic() + limit
        while select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
            data = os.read(self.fd, 65536)
            while data:
                (length,) = struct.unpack_from("12xI", data)
                if data[16 : 16 + length].rstrip(b"\0") == os.fsencode(name):
                    return
                data = data[16 + length :]

    def close(self):
        os.close(self.fd)


class Judge:
    """Says whether a checkpoint file is good: the kubelet's own code, or else ours."""

    def __init__(self):
        path = os.environ.get("KUBELET_CHECKPOINT")
        self.name = "the kubelet's code" if path else "devmgrctl checkpoint verify"
        self.kubelet = path and subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def complaint(self, file):
        """What is wrong with it, or ""."""
        if not self.kubelet:
            done = subprocess.run([program("devmgrctl"), "checkpoint", "verify", file], capture_output=True, text=True)
            return "" if done.returncode == 0 else done.stdout + done.stderr or f"exit {done.returncode}"
        self.kubelet.stdin.write(f"{file}\n")
        self.kubelet.stdin.flush()
        return json.loads(self.kubelet.stdout.readline())["error"]


# ---- the killer: a process of its own ------------------------------------------------------------------------------


def claims_of(file):
    """[(uid, id)] of a checkpoint file."""
    if not file.exists():
        return []
    entries = json.loads(file.read_text())["Data"]["PodDeviceEntries"] or []
    return sorted({(e["PodUID"], id) for e in entries for ids in e["DeviceIDs"].values() for id in ids})


def between_write_and_exchange(node, judge):
    """After the exchange the temporary name is the older file's, until that is renamed once more."""
    try:
        written = temporary(node).stat().st_mtime_ns
        older = node.checkpoint.stat().st_mtime_ns if node.checkpoint.exists() else 0
    except FileNotFoundError:
        return False
    return written > older and not judge.complaint(temporary(node))


def temporary(node):
    return node.plugins / f".{node.checkpoint.name}.tmp"


def kill_one(node, judge, rng):
    watch = Inotify(node.plugins)
    time.sleep(rng.uniform(0, 0.15))
    if rng.random() < 0.5:
        watch.wait(temporary(node).name, 1)
        later = time.monotonic() + rng.uniform(0, 0.0003)
        while time.monotonic() < later:
            pass
    else:
        time.sleep(rng.uniform(0, 0.15))
    killed = time.monotonic()
    node.kill()
    watch.close()
    previous = node.plugins / f".{node.checkpoint.name}.prev"
    complaint = "".join(f"{file.name}: {judge.complaint(file)}" for file in (node.checkpoint, previous)
                        if file.exists() and judge.complaint(file))
    if complaint:
        shutil.copytree(node.plugins, node.scratch / "refused", ignore=lambda _, names: [n for n in names if n.endswith(".sock")])
    return {"time": killed, "in_window": between_write_and_exchange(node, judge), "claims": claims_of(node.checkpoint),
            "complaint": complaint}


def killer(node, pipe, seed):
    """Tells the evidence of each kill, and waits for a word before it starts the daemon again."""
    rng, judge = random.Random(seed), Judge()
    try:
        node.start()
        pipe.send({"up": True})
        while pipe.recv() == "kill":
            pipe.send(kill_one(node, judge, rng))
            pipe.recv()
            node.start()
            pipe.send({"up": True})
        pipe.send({"wrong": node.bury()})
    except Exception as failure:  # the other side waits on the pipe
        pipe.send({"failed": f"{failure}"})


class Killer:
    def __init__(self, node, seed):
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=killer, args=(node, theirs, seed), daemon=True)
        self.process.start()
        self.told()

    def told(self):
        true(self.pipe.poll(120), "the killer is silent")
        word = self.pipe.recv()
        true("failed" not in word, word.get("failed"))
        return word

    def kill(self):
        self.pipe.send("kill")
        return self.told()

    def start(self):
        self.pipe.send("start")
        self.told()

    def end(self):
        self.pipe.send("end")
        return self.told()["wrong"]


# ---- the admitters -------------------------------------------------------------------------------------------------


class Ledger:
    """What was answered to whom. Changed by the admitters, read at each kill."""

    def __init__(self, most_held):
        self.lock, self.most_held = threading.Lock(), most_held
        self.held = {}  # uid: ids, answered, and no release of it begun
        self.gone = set()  # uids whose release was answered
        self.unanswered = []  # (began, ended) of admissions that had a connection
        self.refused = []
        self.admitted = self.serial = 0

    def next_uid(self):
        with self.lock:
            self.serial += 1
            return f"pod-{self.serial:05}"

    def take_old(self, rng):
        """A pod to be released now, or None."""
        with self.lock:
            if not self.held or (len(self.held) < self.most_held and rng.random() < 0.8):
                return None
            uid = rng.choice(sorted(self.held))
            del self.held[uid]
            return uid

    def differences(self, claims):
        """What [(uid, id)] says that the ledger does not, in words. While nothing goes on."""
        wrong, holder, pods = [], {}, {}
        for uid, id in claims:
            if holder.setdefault(id, uid) != uid:
                wrong.append(f"{id} is held by {holder[id]} and by {uid}")
            pods.setdefault(uid, []).append(id)
        with self.lock:
            for uid, ids in self.held.items():
                if sorted(pods.get(uid, [])) != ids:
                    wrong.append(f"{uid} was answered {ids}, there is {pods.get(uid)}")
            return wrong + [f"{uid} is there, its release was answered" for uid in self.gone & set(pods)]

    def hit(self, kills):
        """How many of the kills hit an admission in flight."""
        with self.lock:
            return sum(any(began < kill < ended for began, ended in self.unanswered) for kill in kills)


def admit(node, ledger, uid, count, stop):
    manifest = json.dumps(pod(uid, {RESOURCE: count}, uid=uid))
    while not stop.is_set():
        began = time.monotonic()
        done = node.run("devmgrctl", "admit", "-f", "-", "--wait", "--timeout", "20s", "--root", node.root, "-o", "json", stdin=manifest)
        if done.returncode == 0:
            ids = json.loads(done.stdout)["containers"]["main"][RESOURCE]["ids"]
            with ledger.lock:
                ledger.held[uid] = sorted(ids)
                ledger.admitted += 1
            return
        with ledger.lock:
            if done.returncode != UNANSWERED:
                ledger.refused.append(done.stdout + done.stderr)
            elif had_connection(done):
                ledger.unanswered.append((began, time.monotonic()))
        time.sleep(0.005)


def had_connection(done):
    """A call that broke, in contrast to one that found nobody there."""
    return "connection lost" in done.stderr


def release(node, ledger, uid, stop):
    while not stop.is_set():
        if node.run("devmgrctl", "release", uid, "--root", node.root).returncode == 0:
            with ledger.lock:
                ledger.gone.add(uid)
            return
        time.sleep(0.005)


def admitter(node, ledger, stop, seed):
    rng = random.Random(seed)
    while not stop.is_set():
        admit(node, ledger, ledger.next_uid(), rng.choice((1, 1, 1, 2)), stop)
        if (old := ledger.take_old(rng)) is not None:
            release(node, ledger, old, stop)


# ---- both together -------------------------------------------------------------------------------------------------


class Loop:
    def __init__(self, node, seed):
        self.node, self.judge = node, Judge()
        self.ledger = Ledger(random.Random(seed).choice(MOST_HELD))
        self.killer = Killer(node, seed)  # before there are threads: it is forked
        self.kills, self.in_window = [], 0
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=admitter, args=(node, self.ledger, self.stop, seed + i)) for i in range(ADMITTERS)]

    def enough(self):
        return len(self.kills) >= MOST_KILLS or (
            len(self.kills) >= KILLS and self.ledger.admitted >= ADMISSIONS
            and self.ledger.hit(self.kills) >= IN_FLIGHT and self.in_window >= IN_WINDOW)

    def one(self):
        evidence = self.killer.kill()
        time.sleep(0.02)  # an answer that was on its way is in the ledger now, or at the next kill
        self.kills.append(evidence["time"])
        self.in_window += evidence["in_window"]
        which = f"kill {len(self.kills)}"
        equal(evidence["complaint"], "", f"{which}: {self.judge.name} about the file")
        equal(self.ledger.differences(evidence["claims"]), [], f"{which}: the file differs from the answers")
        self.killer.start()
        self.compare_after_restart(which)

    def compare_after_restart(self, which):
        known = dict(self.ledger.held)
        there = self.node.pods()
        for uid, ids in known.items():
            if uid in self.ledger.held:
                equal(sorted(ids_of(there.get(uid, {}))), ids, f"{which}: {uid} after the restart")

    def run(self):
        for thread in self.threads:
            thread.start()
        try:
            while not self.enough():
                self.one()
        finally:
            self.stop.set()
            for thread in self.threads:
                thread.join()


def ids_of(containers):
    return [id for resources in containers.values() for ids in resources.values() for id in ids]


@scenario
def what_was_answered_survives_kill_9_at_any_time(node):
    seed = int(os.environ.get("SEED") or random.randrange(1 << 30))
    print(f"# SEED={seed}")
    loop = Loop(node, seed)
    plugins = [node.plugin(RESOURCE, DEVICES), node.plugin("example.com/other", 8, "--fault", "list:flap")]
    loop.run()
    ledger = loop.ledger
    hit = ledger.hit(loop.kills)
    print(f"# {ledger.admitted} admissions (at most {ledger.most_held} pods at once) and {len(ledger.gone)} releases answered, "
          f"{len(loop.kills)} kills: {hit} hit an admission in flight, {loop.in_window} fell between write and exchange; "
          f"files judged by {loop.judge.name}")
    equal(ledger.refused, [], "refused admissions")
    equal(ledger.differences([(uid, id) for uid, c in node.pods().items() for id in ids_of(c)]), [], "at the end")
    equal(node.resource(RESOURCE)["reserved"], 0, "reserved at the end")
    true(len(loop.kills) >= KILLS and ledger.admitted >= ADMISSIONS, f"{len(loop.kills)} kills, {ledger.admitted} admissions")
    true(hit >= IN_FLIGHT and loop.in_window >= IN_WINDOW, f"{hit} kills in flight, {loop.in_window} in the window")
    for plugin in plugins:
        plugin.stop()
    equal(loop.killer.end(), [], "how the daemons ended")


main(__file__)
