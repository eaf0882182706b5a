"""Pods that come and go, and the book of what was answered about them.

The book (Ledger) says what must be there and what must not, whoever looks wherever: `told` of a pod is what was answered
and is not being taken back; `gone` are those whose release or refusal was answered. Who was asked about and not answered,
because the daemon died or because the asker did, may be there or not; a sync that does not name it ends it.

Workers are threads. Each takes a pod that nobody else has in hand and does one thing with it: admit, read options, say
that its init containers are done, admit again, release; or takes the living together for a sync."""
import collections
import json
import random
import re
import subprocess
import threading
import time

from . import wire
from .check import Failure
from .node import pod, program

DAEMON_GONE = re.compile(r"connection lost|nobody serves there|Connection re(set|fused)")
# What an asker of options may hear while plugins have faults; each says who and why.
NO_OPTIONS = re.compile(r"PreStartContainer rpc failed|wants PreStartContainer and its plugin is not there")


class Told:
    """What was answered about a pod: `exact` must be there, `loose` may be (init containers being let go)."""

    def __init__(self, exact, loose=None):
        self.exact, self.loose = exact, loose or {}


class Pod:
    def __init__(self, uid, manifest):
        self.uid, self.manifest = uid, manifest
        self.told = None  # a Told; replaced, never changed
        self.options = {}  # container: what was answered first
        spec = manifest["spec"]
        self.wants = {c["name"]: c["resources"]["limits"] for c in spec.get("initContainers", []) + spec["containers"]}
        self.plain = {c["name"] for c in spec.get("initContainers", []) if c.get("restartPolicy") != "Always"}


def without(held, names):
    return {name: of for name, of in held.items() if name not in names}


def normal(containers):
    """{container: {resource: sorted ids}} without those that hold nothing."""
    return {c: {r: sorted(ids) for r, ids in of.items() if ids} for c, of in containers.items() if any(of.values())}


class Ledger:
    def __init__(self):
        self.lock = threading.Lock()
        self.pods, self.busy = {}, set()  # uid: Pod; uids in somebody's hands
        self.gone, self.ghosts = set(), {}  # ghosts: uid: Pod, its asker is no more; nobody will speak for it
        self.strict_ghosts = set()  # of them: no call can be under way, the next sync must end it
        self.wants = {}  # uid: {container: {resource: n}} of all that ever were
        self.inits = set()  # uids whose plain init containers may be let go
        self.in_flight = {}  # uid: when it was asked
        self.unanswered = []  # (asked, when the connection broke)
        self.count = collections.Counter()
        self.wrong = []

    def complain(self, text):
        with self.lock:
            self.wrong.append(text)

    def tally(self, what):
        with self.lock:
            self.count[what] += 1

    # ---- judging ---------------------------------------------------------------------------------------------------
    def known(self):
        """What must be seen by who looks from now on, unless it changes meanwhile."""
        with self.lock:
            return {uid: p.told for uid, p in self.pods.items() if p.told}, set(self.gone)

    def judge(self, view, known, where):
        """`view`: {uid: {container: {resource: ids}}} as somebody saw it after `known` was taken."""
        told, gone = known
        wrong, owner = [], {}
        for uid, containers in view.items():
            for of in containers.values():
                for resource, ids in of.items():
                    for id in ids:
                        if owner.setdefault((resource, id), uid) != uid:
                            wrong.append(f"{resource} {id} has two owners: {owner[resource, id]} and {uid}")
        with self.lock:
            for uid, containers in view.items():
                wrong += self._not_whole(uid, normal(containers))
            for uid, was in told.items():
                if uid in self.pods and self.pods[uid].told is was:
                    wrong += self._differs(uid, was, normal(view.get(uid, {})))
            wrong += [f"{uid} is there, but its end or its refusal was answered" for uid in gone & self.gone & set(view)]
        if wrong:
            raise Failure(f"{where}: " + "\n".join(wrong[:10]))

    def judge_devices(self, rows, known, where):
        """`rows` as devmgrctl devices has them: of each device its one holder."""
        told, gone = known
        holder = {(row["resource"], row["id"]): row["pod"] for row in rows if row["pod"]}
        with self.lock:
            wrong = [f"{resource} {id}: {uid} was answered it, {holder.get((resource, id))} has it"
                     for uid, was in told.items() if uid in self.pods and self.pods[uid].told is was
                     for of in was.exact.values() for resource, ids in of.items() for id in ids
                     if holder.get((resource, id)) != uid]
            wrong += [f"{device}: {uid} has it, but its end or its refusal was answered"
                      for device, uid in holder.items() if uid in gone & self.gone]
        if wrong:
            raise Failure(f"{where}: " + "\n".join(wrong[:10]))

    def _not_whole(self, uid, seen):
        """All or nothing, whatever was answered: each container has what it asks for."""
        if uid not in self.wants:
            return [f"{uid} is there; nobody asked for it"]
        for name, limits in self.wants[uid].items():
            has = {r: len(ids) for r, ids in seen.get(name, {}).items()}
            if has != limits and not (uid in self.inits and not has):
                return [f"{uid} is there in part: container {name} has {has} and asks for {limits}"]
        return []

    @staticmethod
    def _differs(uid, told, seen):
        must = told.exact | {c: of for c, of in told.loose.items() if c in seen}
        return [] if seen == must else [f"{uid} was answered {must}, there is {seen}"]

    def asked(self):
        """Whose admission is under way."""
        with self.lock:
            return set(self.in_flight)

    # ---- taking a pod in hand --------------------------------------------------------------------------------------
    def take(self, dice, fits=lambda p: p.told):
        with self.lock:
            free = sorted(uid for uid, p in self.pods.items() if uid not in self.busy and fits(p))
            if not free:
                return None
            uid = dice.choice(free)
            self.busy.add(uid)
            return self.pods[uid]

    def put_back(self, p):
        with self.lock:
            self.busy.discard(p.uid)

    def come(self, dice, number, make):
        """A new pod in hand; sometimes with the uid of one that is gone, as static pods have it."""
        with self.lock:
            again = sorted(self.gone)[-20:] if dice.random() < 0.1 else []
            uid = dice.choice(again) if again else f"pod-{number}"
            p = Pod(uid, make(uid))
            self.pods[uid] = p
            self.wants[uid] = p.wants
            self.inits.discard(uid)
            self.gone.discard(uid)
            self.busy.add(uid)
            return p

    def goes(self, p, gone):
        """Out of the book: it is no more (gone), or nobody speaks for it any more."""
        with self.lock:
            self.pods.pop(p.uid)
            self.busy.discard(p.uid)
            (self.gone.add if gone else lambda uid: self.ghosts.__setitem__(uid, p))(p.uid)

    def all_are_gone(self):
        """A sync named nobody, and nobody is in anybody's hands."""
        with self.lock:
            self.gone |= set(self.pods) | set(self.ghosts)
            self.pods, self.ghosts, self.strict_ghosts = {}, {}, set()

    def hit(self, kills):
        """(kills that hit an admission in flight, admissions in flight that a kill hit)"""
        with self.lock:
            inside = [[began < kill < ended for began, ended in self.unanswered] for kill in kills]
        return sum(map(any, inside)), sum(map(sum, inside))


class Askers:
    """The threads that ask, and all that they may do."""

    def __init__(self, node, ledger, resources, seed, most_pods, threads):
        self.node, self.ledger, self.resources = node, ledger, resources
        self.seed, self.most_pods, self.n = seed, most_pods, threads
        self.stop, self.abort = threading.Event(), threading.Event()
        self.threads, self.serial, self.rounds = [], 0, 0

    def start(self):
        self.stop.clear()
        self.rounds += 1
        self.threads = [threading.Thread(target=self._work, args=(f"{self.seed}/{self.rounds}/{i}",), daemon=True)
                        for i in range(self.n)]
        for thread in self.threads:
            thread.start()

    def end(self, abort=False):
        """Returns when nothing is in anybody's hands."""
        self.stop.set()
        if abort:
            self.abort.set()
        for thread in self.threads:
            thread.join()
        self.threads = []

    def _work(self, seed):
        dice = random.Random(seed)
        try:
            while not self.stop.is_set() and not self.ledger.wrong:
                self._one(dice)
        except Exception as failure:  # else the thread would die in silence
            if not self.abort.is_set():
                self.ledger.complain(f"{type(failure).__name__}: {failure}")

    def _one(self, dice):
        ledger = self.ledger
        if dice.random() < 0.008:
            return self.sync()
        full = len(ledger.pods) / self.most_pods
        if full < 1 and dice.random() < 0.75 - 0.5 * full:
            return self.come(dice)
        what, weight = zip((self.options, 40), (self.release, 5 + 50 * full), (self.admit_again, 20), (self.init_done, 10))
        what = dice.choices(what, weight)[0]
        p = ledger.take(dice, (lambda p: p.told and p.plain & set(p.told.exact)) if what == self.init_done else lambda p: p.told)
        if not p:
            return self.come(dice)
        try:
            return what(p, dice)
        finally:
            ledger.put_back(p)

    # ---- devmgrctl -------------------------------------------------------------------------------------------------
    def ctl(self, *args, stdin=""):
        """(exit code, stdout, stderr); the exit code is None when there is no daemon, or not for the whole call."""
        done = self.node.run("devmgrctl", *args, "--root", self.node.root, "-o", "json", stdin=stdin)
        gone = done.returncode == 1 and DAEMON_GONE.search(done.stderr)
        return None if gone else done.returncode, done.stdout, done.stderr

    def until_answered(self, *args):
        while (done := self.ctl(*args))[0] is None:
            if self.abort.is_set():
                raise Failure("aborted")
            time.sleep(0.02)
        if done[0] != 0:
            raise Failure(f"devmgrctl {' '.join(args)}: exit {done[0]}: {done[2]}")
        return json.loads(done[1])

    # ---- a pod comes -----------------------------------------------------------------------------------------------
    def manifest(self, uid, dice):
        mine = dice.sample(self.resources, dice.choice((1, 1, 2, 2, 3)))  # with more, some plugin is always away

        def limits():
            some = dice.sample(mine, dice.randint(1, len(mine)))
            return {resource: dice.choice((1, 1, 1, 2, 2, 3)) for resource in some}

        apps = {f"app-{i}": limits() for i in range(dice.choice((1, 1, 2, 3)))}
        init = {}
        if dice.random() < 0.3:
            init["prepare"] = dict(next(iter(apps.values()))) if dice.random() < 0.5 else limits()
        if dice.random() < 0.25:
            init["proxy"] = (limits(), "Always")
        return pod(uid, containers=apps, init=init, uid=uid)

    def come(self, dice):
        with self.ledger.lock:
            self.serial += 1
            number = f"{self.rounds}-{self.serial:05}"
        p = self.ledger.come(dice, number, lambda uid: self.manifest(uid, dice))
        asks = {1: self._ask_and_die, 2: self._ask_and_release}.get(dice.randint(1, 30), self._ask)
        asks(p, dice)

    def _arguments(self, dice):
        wait = ("--wait", "--timeout", dice.choice(("200ms", "1s", "3s"))) if dice.random() < 0.5 else ()
        return ("admit", "-f", "-", *wait)

    def _ask(self, p, dice):
        ledger, args = self.ledger, self._arguments(dice)
        while True:
            began = time.monotonic()
            with ledger.lock:
                ledger.in_flight[p.uid] = began
            code, out, err = self.ctl(*args, stdin=json.dumps(p.manifest))
            with ledger.lock:
                del ledger.in_flight[p.uid]
                if code is None and "connection lost" in err:
                    ledger.unanswered.append((began, time.monotonic()))
            if code is not None:
                return self._answered(p, code, out, err, dice)
            if self.stop.is_set() or dice.random() < 0.3:
                ledger.tally("unanswered, given up")
                with ledger.lock:
                    ledger.strict_ghosts.add(p.uid)
                return ledger.goes(p, gone=False)
            ledger.tally("unanswered, asked again")
            time.sleep(0.02)

    def _answered(self, p, code, out, err, dice):
        ledger = self.ledger
        answer = json.loads(out) if out else None
        if code == 0:
            held = normal({c: {r: of["ids"] for r, of in rs.items()} for c, rs in answer["containers"].items()})
            self._told(p, held)
            ledger.tally("admitted")
            ledger.put_back(p)
        elif answer and answer["verdict"] in ("not_yet", "refused", "canceled"):
            ledger.tally(f"{answer['verdict']}: {answer['cause'] or answer['verdict']}")
            if not answer["cause"] == "" and not answer["detail"]:
                ledger.complain(f"{p.uid}: no word for people: {out}")
            if answer["verdict"] != "not_yet" or dice.random() < 0.8:  # who asks no more says so
                self.until_answered("release", p.uid)
            ledger.goes(p, gone=answer["cause"] != "NotDurable")
        else:
            ledger.complain(f"{p.uid}: admit: exit {code}: {out}{err}")

    def _told(self, p, held):
        """Notes an admission, and that none of its devices is another's."""
        ledger = self.ledger
        mine = {(r, id) for of in held.values() for r, ids in of.items() for id in ids}
        with ledger.lock:
            for uid, other in ledger.pods.items():
                if other.told and uid != p.uid:
                    for of in other.told.exact.values():
                        for r, ids in of.items():
                            if (both := mine & {(r, id) for id in ids}):
                                ledger.wrong.append(f"{p.uid} was given {sorted(both)}, which {uid} holds")
            ledger.wrong += ledger._not_whole(p.uid, held)
            p.told = Told(held)

    def _ask_and_die(self, p, dice):
        """The asker is killed; what it asked for goes on."""
        child = subprocess.Popen([str(program("devmgrctl")), *self._arguments(dice), "--root", self.node.root],
                                 stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
        child.stdin.write(json.dumps(p.manifest))
        child.stdin.close()
        time.sleep(dice.uniform(0, 0.2))
        child.kill()
        child.wait()
        self.ledger.tally("askers killed")
        self.ledger.goes(p, gone=False)

    def _ask_and_release(self, p, dice):
        """A pod is deleted while its admission is under way. Whichever comes first: in the end it has nothing."""
        asker = threading.Thread(target=self.ctl, args=("admit", "-f", "-", "--wait", "--timeout", "3s"),
                                 kwargs={"stdin": json.dumps(p.manifest)})
        asker.start()
        time.sleep(dice.uniform(0, 0.2))
        self.until_answered("release", p.uid)
        asker.join()
        self.until_answered("release", p.uid)
        self.ledger.tally("released while asked for")
        self.ledger.goes(p, gone=True)

    # ---- a pod that is there ---------------------------------------------------------------------------------------
    def options(self, p, dice):
        container = dice.choice(sorted(p.told.exact) or sorted(p.wants))
        code, out, err = self.ctl("options", p.uid, container)
        if code is None:
            return
        if code != 0:
            if code != 1 or not NO_OPTIONS.search(err):
                self.ledger.complain(f"{p.uid} {container}: options: exit {code}: {out}{err}")
            return self.ledger.tally("options refused by a plugin")
        if err:
            self.ledger.complain(f"{p.uid} {container}: options: {err}")
        got, held = json.loads(out), p.told.exact.get(container, {})
        if got != p.options.setdefault(container, got):
            self.ledger.complain(f"{p.uid} {container}: options were {p.options[container]}, are {got}")
        for env in got["envs"]:
            ids = held.get(f"example.com/{env['name'].removeprefix('IDS_')}")
            if env["name"].startswith("IDS_") and (ids is None or env["value"] != ",".join(ids)):
                self.ledger.complain(f"{p.uid} {container}: options say {env}, it holds {held}")
        self.ledger.tally("options")

    def admit_again(self, p, dice):
        """As whoever runs containers does when it comes back: the same devices, or a device that is ill."""
        code, out, err = self.ctl("admit", "-f", "-", stdin=json.dumps(p.manifest))
        if code is None:
            return
        answer = json.loads(out) if out else {"containers": {}, "cause": err}
        if code == 0:
            held = normal({c: {r: of["ids"] for r, of in rs.items()} for c, rs in answer["containers"].items()})
            if held != p.told.exact:
                self.ledger.complain(f"{p.uid}: admitted with {p.told.exact}, again with {held}")
            self.ledger.tally("again admitted")
        elif code == 3 and answer["cause"] == "HeldUnhealthy":
            self.ledger.tally("again: HeldUnhealthy")
        else:
            self.ledger.complain(f"{p.uid}: admit again: exit {code}: {out}{err}")

    def init_done(self, p, dice):
        ledger = self.ledger
        plain = p.plain & set(p.told.exact)
        exact, loose = without(p.told.exact, plain), {c: p.told.exact[c] for c in plain}
        with ledger.lock:
            ledger.inits.add(p.uid)
            p.told = Told(exact, loose)
        while not self._say_init_done(p.uid):
            if self.abort.is_set():
                return
            time.sleep(0.02)
        with ledger.lock:
            p.told = Told(exact)
        ledger.tally("init containers done")

    def _say_init_done(self, uid):
        try:
            client = wire.Client(self.node.control_socket)
        except OSError:
            return False
        try:
            why_not = client.call("/devmgr.v1alpha1.DeviceManager/InitDone", wire.field(1, uid))[1]
            if why_not:
                self.ledger.complain(f"{uid}: InitDone: {why_not}")
            return True
        except (OSError, Failure):  # the daemon died
            return False
        finally:
            client.close()

    def release(self, p, dice):
        with self.ledger.lock:
            p.told = None
        self.until_answered("release", p.uid)
        self.ledger.tally("released")
        self.ledger.goes(p, gone=True)

    # ---- all that live ---------------------------------------------------------------------------------------------
    def sync(self):
        """The revision before the list; the list is all that somebody speaks for. Ghosts end."""
        ledger = self.ledger
        code, out, _ = self.ctl("pods")
        if code is None:
            return
        as_of = str(json.loads(out)["revision"])
        with ledger.lock:
            live = sorted(ledger.pods)
            ghosts = {uid for uid in ledger.strict_ghosts if uid in ledger.ghosts}
        code, out, err = self.ctl("sync", *(live or ["--none"]), "--as-of", as_of)
        if code is None:
            return
        if code != 0:
            ledger.complain(f"sync: exit {code}: {err}")
            return
        with ledger.lock:
            ledger.count["syncs"] += 1
            ledger.count["released by a sync"] += len(json.loads(out)["released"])
            for uid in ghosts & set(ledger.ghosts):
                del ledger.ghosts[uid]
                ledger.strict_ghosts.discard(uid)
                ledger.gone.add(uid)
