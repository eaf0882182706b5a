"""Twenty plugins with random faults: who lives how long, does what wrong, and comes back how.

Each resource has a DaemonSet's view of its plugin: when it ends it is started again, soon. Each life has faults of its own,
any of those that `devmgr-fakeplugin --fault list` knows. From outside it is stopped and continued, killed, ended, replaced
by a new instance that registers first, and its socket is taken away. Counted is what happened: a fault when the plugin says
that it acts. Nothing here waits; tick() is called again and again by the main thread, which must be the one that starts
the processes (they are to die with the thread that started them)."""
import collections
import contextlib
import json
import os
import random
import signal
import subprocess
import time

from .check import PATIENCE, Failure, until
from .node import program

LIFE = (2, 12)  # seconds
VALUES = {"D": ("20ms", "100ms", "400ms", "1500ms"), "CODE": ("UNAVAILABLE", "INTERNAL", "UNKNOWN", "13", "RESOURCE_EXHAUSTED")}
OFTEN = {"huge": 1}  # in a deck of cards, others 3 times: 65 MiB each cost all others the machine
OUTSIDE = ("SIGSTOP", "socket removed", None, None)
ENDS = ("SIGTERM", "SIGKILL", "take-over")


def all_faults():
    """["allocate:hang", "list:delay=D", ...]"""
    text = subprocess.run([str(program("devmgr-fakeplugin")), "--fault", "list"], capture_output=True, text=True, check=True)
    return [line.split()[0] for line in text.stdout.splitlines()]


class Slot:
    """One resource and the instances of its plugin; the last one is the newest."""

    def __init__(self, number, dice):
        self.number = number
        self.resource = f"example.com/r{number:02}"
        self.devices = dice.choice((8, 16, 32, 48, 64))
        self.live, self.lives, self.acts = [], 0, []  # acts: [(when, what)], soonest first


class Plugins:
    def __init__(self, node, count, seed):
        self.node, self.dice = node, random.Random(seed)
        self.kinds, self.deck = all_faults(), []  # dealt like cards, so that every fault has its turn
        self.slots = [Slot(number, self.dice) for number in range(count)]
        self.ending = []  # (instance, slot, give up when)
        self.happened = collections.Counter()  # "allocate:hang" and the like, as told by the plugins; "SIGSTOP", ...
        self.started = 0
        self.mad = False

    # ---- one life --------------------------------------------------------------------------------------------------
    def fault(self):
        """RPC:WHAT[=VALUE][@N]"""
        if not self.deck:
            self.deck = [f for f in self.kinds for _ in range(OFTEN.get(f.split(":")[1], 3))]
            self.dice.shuffle(self.deck)
        fault = self.deck.pop()
        head, _, value = fault.partition("=")
        if value in VALUES:
            fault = f"{head}={self.dice.choice(VALUES[value])}"
        most = 2 if head.split(":")[0] in ("register", "options", "list") else 5  # calls in a life
        return fault + (f"@{self.dice.randint(1, most)}" if self.dice.random() < 0.6 else "")

    def some_faults(self):
        return [self.fault() for _ in range(self.dice.choice((0, 0, 1, 1, 2, 3)))]

    def begin(self, slot, faults=()):
        """A new instance. Names in its answers are the resource's own: two plugins never contradict each other."""
        slot.lives += 1
        short = slot.resource.split("/")[1]
        answer = {"envs": {f"IDS_{short}": "{ids}"}, "annotations": {f"{short}/ids": "{ids}"},
                  "devices": [{"container": f"/dev/{short}/{{id}}", "host": "/dev/null", "perm": "rw"}]}
        args = ["--answer", self.node.write(f"{short}.json", answer), "--socket", f"{short}-{slot.lives % 5}.sock"]
        if self.dice.random() < 0.7:
            args += ["--numa", "2"]
        rpcs = {fault.split(":")[0] for fault in faults}
        if "prestart" in rpcs or self.dice.random() < 0.4:
            args += ["--prestart"]
        if "preferred" in rpcs or self.dice.random() < 0.5:
            args += ["--preferred", self.dice.choice(("first", "last", *(("none", "error") if faults else ())))]
        if faults and self.dice.random() < 0.3:
            args += ["--latency", self.dice.choice(("5ms", "50ms", "500ms"))]
        for fault in faults:
            args += ["--fault", fault]
        child = self.node.plugin(slot.resource, slot.devices, *args, wait=False)
        child.may_crash = any("crash" in fault for fault in faults)
        child.expected_end = -signal.SIGKILL if child.may_crash else None
        self.started += 1
        slot.live.append(child)

    def plan(self, slot):
        now = time.monotonic()
        end = now + self.dice.uniform(*LIFE)
        slot.acts = [(end, self.dice.choice(ENDS))]
        if (what := self.dice.choice(OUTSIDE)):
            slot.acts.insert(0, (self.dice.uniform(now, end), what))

    # ---- what is done to it ----------------------------------------------------------------------------------------
    def act(self, slot, what):
        child = slot.live[-1]
        if what not in ("SIGCONT", "old ends"):
            self.happened[what] += 1
        if what == "SIGSTOP":
            child.signal(signal.SIGSTOP)
            slot.acts.insert(0, (time.monotonic() + self.dice.uniform(0.05, 3), "SIGCONT"))
        elif what == "SIGCONT":
            child.signal(signal.SIGCONT)
        elif what == "socket removed":
            for name in os.listdir(self.node.plugins):
                if name.startswith(f"{slot.resource.split('/')[1]}-"):
                    with contextlib.suppress(FileNotFoundError):  # its owner or the daemon was faster
                        os.unlink(self.node.plugins / name)
        elif what == "take-over":
            self.begin(slot, self.some_faults())
            self.plan(slot)
            slot.acts.insert(0, (time.monotonic() + self.dice.uniform(0, 0.3), "old ends"))
        elif what == "old ends":
            for old in slot.live[:-1]:
                self.end(slot, old, self.dice.choice((signal.SIGTERM, signal.SIGKILL)))
        else:
            self.end(slot, child, signal.SIGTERM if what == "SIGTERM" else signal.SIGKILL)

    def end(self, slot, child, number):
        child.expected_end = -number if number == signal.SIGKILL else 0
        child.signal(number)
        child.signal(signal.SIGCONT)
        slot.live.remove(child)
        self.ending.append((child, slot, time.monotonic() + PATIENCE))
        if not slot.live:
            slot.acts = [(time.monotonic() + self.dice.uniform(0, 2.5), "return")]

    def remove_kubelet_sock(self):
        """The manager makes it again within a second, and all plugins register anew."""
        with contextlib.suppress(FileNotFoundError):
            self.node.kubelet_socket.unlink()
            self.happened["kubelet.sock removed"] += 1

    # ---- again and again -------------------------------------------------------------------------------------------
    def tick(self):
        now = time.monotonic()
        for slot in self.slots:
            for child in slot.live[:]:
                self.listen(child)
                if not child.running():
                    self.ended_by_itself(slot, child)
            while slot.acts and slot.acts[0][0] <= now:
                what = slot.acts.pop(0)[1]
                if what == "return":
                    self.begin(slot, self.some_faults() if self.mad else ())
                    self.plan(slot)
                elif slot.live:
                    self.act(slot, what)
        for item in self.ending[:]:
            child, slot, give_up = item
            if not child.running():
                self.ending.remove(item)
                self.bury(child, slot)
            elif now > give_up:
                raise Failure(f"{child.name} of {slot.resource}: does not end{child.complaints()}")

    def listen(self, child):
        for line in child.waiting():
            event = json.loads(line)
            if event["event"] == "fault":
                self.happened[f"{event['rpc']}:{event['what']}"] += 1
            elif event["event"] == "registered":
                self.happened["registered" if not event["err"] else "Register failed"] += 1

    def ended_by_itself(self, slot, child):
        slot.live.remove(child)
        self.happened["crashed"] += child.may_crash
        self.bury(child, slot)
        if not slot.live:
            slot.acts = [(time.monotonic() + self.dice.uniform(0, 2), "return")]

    def bury(self, child, slot):
        wrong = child.bury()
        self.listen(child)
        code = child.exit_code()
        if not wrong and code != child.expected_end and not (code == -signal.SIGKILL and child.may_crash):
            wrong = f"{child.name}: ended with {code}, want {child.expected_end}{child.complaints()}"
        self.node.forget(child)
        if wrong:
            raise Failure(f"{slot.resource}: {wrong}")

    # ---- from madness to calm and back -----------------------------------------------------------------------------
    def go_mad(self):
        self.mad = True
        for slot in self.slots:
            if not slot.live:
                self.begin(slot, self.some_faults())
            self.plan(slot)

    def calm_down(self):
        """Every instance gives way to a good one; returns when all of them have registered."""
        self.mad = False
        for slot in self.slots:
            for child in slot.live[:]:
                self.end(slot, child, self.dice.choice((signal.SIGTERM, signal.SIGKILL)))
            slot.acts = []
        until(self.all_buried, what="the plugins end")
        for slot in self.slots:
            self.begin(slot)
        for slot in self.slots:
            slot.live[-1].registered()

    def all_buried(self):
        self.tick()
        return not self.ending
