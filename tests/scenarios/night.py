#!/usr/bin/env python3
"""A night in ten minutes: 20 plugins with random faults, 200 pods that come and go, a daemon that is killed every 5 s.

Two thirds of NIGHT_SECONDS (`make night`: 600; `make check`: 20) go like that. All the time somebody looks at the daemon's
own view and at the checkpoint, and at each kill at both: each admission that was answered is there, whole, with the very
devices that were answered; nothing is there that was released or refused; no device has two owners. lib/night_pods.py has
the book that says so, lib/night_plugins.py the plugins.

In the morning the faults stop and the pods go, half of them released one by one, the others by a sync that names nobody:
every device is healthy, free and can be had, and the checkpoint holds nothing.

Memory, descriptors and threads mean something within one process only. So the last third is rounds of the same load on one
daemon that nobody kills, with a morning after each: the 20 plugins are connected and nothing is held, so descriptors (by
kind) and threads must be exactly those of the first morning. Memory is RssAnon, what the process has for itself. It cannot
be exact: 12 clients and 20 plugins at once leave the allocator with other holes each time. MARGIN_KIB is some times what
was seen of that, and divided by the admissions of a long night less than one lost device list for each.
Under a sanitizer memory is not compared (freed memory is kept back); there each daemon's end is searched for leaks instead.

SEED=N repeats the random choices, though not the moments at which they meet.
"""
import collections
import json
import os
import pathlib
import random
import time

from lib import *
from lib.night_plugins import Plugins
from lib.night_pods import Askers, Ledger

SECONDS = int(os.environ.get("NIGHT_SECONDS") or 20)
KILL_EVERY = 5 if SECONDS >= 60 else 3.5
PLUGINS, PODS, ASKERS = 20, 200, 12
ROUNDS = max(2, min(9, SECONDS // 20))  # the first one warms up
MARGIN_KIB = 3072
MOST_OF_GRPC = 4 * os.cpu_count() + 8  # two executors with twice as many threads as CPUs; timers and the event engine
SETTINGS = """# what hangs is over soon
dial-timeout = 2s
options-timeout = 1500ms
preferred-timeout = 1s
allocate-timeout = 2s
prestart-timeout = 1s
stop-grace = 3s
topology-policy = best-effort
numa = 0:10,20;1:20,10
"""


def of_file(path):
    """{uid: {container: {resource: ids}}} of a checkpoint."""
    view = {}
    for entry in json.loads(path.read_text())["Data"]["PodDeviceEntries"] or []:
        resources = view.setdefault(entry["PodUID"], {}).setdefault(entry["ContainerName"], {})
        resources[entry["ResourceName"]] = [id for some in entry["DeviceIDs"].values() for id in some]
    return view


class Night:
    def __init__(self, node, seed):
        self.node, self.dice = node, random.Random(seed)
        self.config = node.write("night.conf", SETTINGS)
        node.start("--config", self.config)
        self.ledger = Ledger()
        self.plugins = Plugins(node, PLUGINS, seed)
        self.askers = Askers(node, self.ledger, [slot.resource for slot in self.plugins.slots], seed, PODS, ASKERS)
        self.kills, self.in_file, self.looks, self.most = [], 0, 0, 0

    # ---- the load --------------------------------------------------------------------------------------------------
    def load(self, seconds, kill_every=None):
        """Plugins go mad, pods come and go, the daemon is killed; and somebody looks."""
        now = time.monotonic()
        end, look_at, sweep_at = now + seconds, now, now + 4
        kill_at = now + kill_every if kill_every else end
        self.plugins.go_mad()
        self.askers.start()
        while (now := time.monotonic()) < end and not self.ledger.wrong:
            true(self.node.daemon.running(), f"the daemon ended by itself{self.node.daemon.complaints()}")
            self.plugins.tick()
            if now >= kill_at:
                self.kill()
                kill_at = max(kill_at + kill_every, time.monotonic() + 1)
            elif now >= look_at:
                self.look()
                look_at = time.monotonic() + self.dice.uniform(0.2, 1)
            if now >= sweep_at:
                self.plugins.remove_kubelet_sock()
                sweep_at = now + self.dice.uniform(5, 15)
            time.sleep(0.02)
        self.askers.end()
        equal(self.ledger.wrong, [], "what the askers saw")

    def look(self, when=""):
        """At the daemon's own view, by pod and by device, and at the file."""
        known = self.ledger.known()
        pods = self.node.pods()
        self.ledger.judge(pods, known, f"{when}devmgrctl pods")
        known = self.ledger.known()
        self.ledger.judge_devices(self.node.ctl("devices")["devices"], known, f"{when}devmgrctl devices")
        known = self.ledger.known()
        if self.node.checkpoint.exists():
            self.ledger.judge(of_file(self.node.checkpoint), known, f"{when}the checkpoint")
        self.looks += 1
        self.most = max(self.most, len(pods))

    def kill(self):
        when = f"kill {len(self.kills) + 1}: "
        time.sleep(self.dice.uniform(0, 0.3))
        dead = self.node.daemon
        self.kills.append(time.monotonic())
        dead.kill()
        asked = self.ledger.asked()
        time.sleep(0.05)  # an answer that was on its way is in the book now, or at the next look
        known = self.ledger.known()
        if self.node.checkpoint.exists():
            self.node.run("devmgrctl", "checkpoint", "verify", self.node.checkpoint, code=0)
            there = of_file(self.node.checkpoint)
            self.ledger.judge(there, known, f"{when}the checkpoint")
            self.in_file += len(asked & set(there))
        wrong = dead.bury()
        true(not wrong, wrong)
        self.node.forget(dead)
        known = self.ledger.known()
        self.node.start("--config", self.config)
        self.ledger.judge(self.node.pods(), known, f"{when}devmgrctl pods after the restart")

    # ---- the morning -----------------------------------------------------------------------------------------------
    def morning(self):
        """The faults stop and the pods go: everything is as if nothing had been."""
        self.plugins.calm_down()
        self.look("in the morning: ")
        for uid in sorted(self.ledger.pods)[::2]:
            self.node.release(uid)
            self.ledger.goes(self.ledger.pods[uid], gone=True)
        self.node.ctl("sync", "--none")
        self.ledger.all_are_gone()
        self.all_is_free("in the morning")
        self.all_can_be_had()

    def all_is_free(self, when):
        good = {slot.resource: {"capacity": slot.devices, "allocatable": slot.devices, "held": 0, "reserved": 0,
                                "plugin": "connected"} for slot in self.plugins.slots}
        until(self.node.resources, good, f"{when}: devmgrctl resources")
        equal(self.node.pods(), {}, f"{when}: devmgrctl pods")
        odd = [row for row in self.node.ctl("devices")["devices"] if row["pod"] or row["health"] != "Healthy"]
        equal(odd, [], f"{when}: devices that are not healthy and free")
        until(self.kept, {"entries": [], "pods": []}, f"{when}: the checkpoint")
        equal(of_file(self.node.checkpoint), {}, f"{when}: the checkpoint")

    def kept(self):
        shown = self.node.run("devmgrctl", "checkpoint", "show", self.node.checkpoint, "-o", "json", code=0)
        return {key: json.loads(shown.stdout)[key] for key in ("entries", "pods")}

    def all_can_be_had(self):
        """Each device, by a pod that asks for all of every resource."""
        asks = {f"c{slot.number}": {slot.resource: slot.devices} for slot in self.plugins.slots}
        answer = self.node.admit(pod("everything", containers=asks), args=("--wait", "--timeout", "20s"))
        equal(answer["verdict"], "admitted", f"all devices for one pod: {answer['detail']}")
        self.node.release("everything")
        self.all_is_free("when all had been given to one pod")

    # ---- what one process keeps ------------------------------------------------------------------------------------
    def rounds(self, seconds):
        first, memory, admitted = None, [], []
        for number in range(1, ROUNDS + 1):
            self.load(seconds / ROUNDS)
            self.morning()
            first = first or self.settled()
            until(self.open, first, f"descriptors and threads after round {number}")
            if memory and not self.node.daemon.sanitized():
                until(lambda: self.node.daemon.own_kib() <= memory[0] + MARGIN_KIB, what=f"KiB after rounds: {memory}, and now")
            memory.append(self.node.daemon.own_kib())
            admitted.append(self.ledger.count["admitted"])
        descriptors, threads = first
        print(f"# one daemon: {ROUNDS} rounds, {admitted[-1] - admitted[0]} admissions after the first of them; each left "
              f"{sum(descriptors.values())} descriptors and {sum(threads.values())} threads; KiB: {' '.join(map(str, memory))}")

    def open(self):
        """({kind: how many descriptors}, {name: how many of our threads})"""
        kinds = [os.readlink(fd).split(":[")[0].replace(str(self.node.scratch), "") for fd in self.proc("fd")]
        names = [(comm / "comm").read_text().strip() for comm in self.proc("task")]
        ours = [name for name in names if name.startswith("devmgr")]
        true(len(names) - len(ours) <= MOST_OF_GRPC, f"gRPC has {sorted(names)}")
        return dict(collections.Counter(kinds)), dict(collections.Counter(ours))

    def settled(self):
        """What is open when that no longer changes: gRPC lets go of some a little later."""
        seen, since = None, time.monotonic()
        while time.monotonic() - since < 3:
            if (now := until(self.open)) != seen:
                seen, since = now, time.monotonic()
            time.sleep(0.1)
        return seen

    def proc(self, name):
        return list(pathlib.Path(f"/proc/{self.node.daemon.pid}/{name}").iterdir())

    # ---- the sums --------------------------------------------------------------------------------------------------
    def tell(self):
        count, happened = self.ledger.count, self.plugins.happened
        hit, asked = self.ledger.hit(self.kills)
        not_admitted = {what: n for what, n in count.items() if ": " in what and not what.startswith("again")}
        print(f"# {len(self.kills)} kills and restarts: {hit} hit admissions in flight, {asked} in all, {self.in_file} of them in "
              f"the file by then; {self.looks} looks, at most {self.most} pods at once")
        print(f"# {count['admitted']} admissions, {sum(not_admitted.values())} others: {words(not_admitted)}")
        print(f"# {words({what: n for what, n in count.items() if what not in not_admitted and what != 'admitted'})}")
        faults = {what: n for what, n in happened.items() if ":" in what}
        print(f"# {self.plugins.started} instances of {PLUGINS} plugins, "
              f"{words({what: n for what, n in happened.items() if what not in faults})}")
        print(f"# {sum(faults.values())} faults of {len(faults)} of {len(self.plugins.kinds)} kinds: {words(faults)}")


@scenario
def what_large_messages_needed_is_given_back(node):
    node.start()
    plugin = node.plugin("example.com/good", 4)
    node.wait_for("example.com/good", 4)
    node.pods()
    before = node.daemon.own_kib()
    for number in range(8):
        resource = f"example.com/huge-{number}"
        huge = node.plugin(resource, 4, "--preferred", "first", "--fault", ("preferred:huge", "allocate:huge")[number % 2])
        node.wait_for(resource, 4)
        node.admit(pod("large", {resource: 2}))
        node.release("large")
        huge.kill()
        node.wait_for(resource, plugin="gone")
    def kept():
        true(node.daemon.own_kib() < before + 8192, f"{node.daemon.own_kib()} KiB")
        return True

    if not node.daemon.sanitized():
        until(kept, what=f"before it was {before} KiB")
    equal(plugin.running(), True)


def words(counts):
    return ", ".join(f"{n} {what}" for what, n in sorted(counts.items()))


@scenario(seconds=SECONDS * 2 + 60)
def a_night_with_bad_plugins_and_a_daemon_that_is_killed(node):
    seed = int(os.environ.get("SEED") or random.randrange(1 << 30))
    print(f"# again: NIGHT_SECONDS={SECONDS} SEED={seed} tests/scenarios/night.py")
    night = Night(node, seed)
    try:
        night.load(SECONDS * 2 / 3, KILL_EVERY)
        night.morning()
        night.rounds(SECONDS / 3)
        true(night.ledger.count["admitted"] >= SECONDS / 4, f"{night.ledger.count} is no night")
    finally:
        night.askers.end(abort=True)
        night.tell()


main(__file__)
