"""Recordings of the kubelet's admissions, put to a devmgrd: machine by --numa, devices by ListAndWatch, pods by manifest.

tests/data/topology/README.md says what a recording is. A devmgrd serves all of one configuration; between two recordings
every pod is released and nothing may be left. Both resources have two plugins, one that offers GetPreferredAllocation and
one that does not; they take the resource over from each other and outlive the daemons.

devmgrd has its default settings. What it answers otherwise because of node ids that no machine has, or a topology without
nodes (W17, W18 of docs/differences.md), it must answer as the kubelet with `numa-ids = strict`, and is counted apart.
"""
import json
import pathlib
import time

from . import check
from .check import Failure
from .control import Control
from .node import pod

RESOURCES = ("ex.com/r0", "ex.com/r1")
ANSWER = {}  # of the recordings' plugins to Allocate: a container response with nothing in it


def load(path):
    """[(place, recording)] of the admissions in a file, or in all *.jsonl of a folder; how many lines are of other kinds."""
    path, found, others = pathlib.Path(path), [], 0
    for file in sorted(path.glob("*.jsonl")) if path.is_dir() else [path]:
        with open(file, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                recording = json.loads(line)
                if recording.get("type") == "admit":
                    found.append((f"{file}:{number}", recording))
                else:
                    others += 1
    return found, others


# ---- what a daemon is started with ---------------------------------------------------------------------------------


def _spec(nodes):
    """For --numa. A row of distances is by node id, or one number a node where it is too short for that."""
    ids = [node["id"] for node in nodes]

    def row(node):
        distances = node["distances"]
        return [distances[i] for i in ids] if len(distances) > max(ids) else distances[: len(ids)]

    return ";".join(f"{node['id']}:{','.join(map(str, row(node)))}" for node in nodes)


def _odd_nodes(recording):
    """Does it have what `numa-ids` is about?"""
    devices = [d for listed in recording["devices"].values() for d in listed]
    return any(d.get("topology") or any(not 0 <= node < 64 for node in d.get("numa", ())) for d in devices)


def arguments(recording):
    out = ["--numa", _spec(recording["numa"]), "--topology-policy", recording["policy"], "--topology-scope", recording["scope"]]
    for key, value in sorted(recording["options"].items()):
        out += ["--topology-option", f"{key}={value}"]
    return out


def configuration(recording):
    """What of the arguments can matter: recordings with the same may share a daemon."""
    closest = recording["options"].get("prefer-closest-numa-nodes") in ("1", "t", "T", "TRUE", "true", "True")
    machine = [node["id"] for node in recording["numa"]]
    if recording["policy"] == "none":
        machine = []
    elif closest and recording["policy"] != "single-numa-node":
        machine = recording["numa"]
    return json.dumps([recording["policy"], recording["scope"], recording["options"], machine])


# ---- what is compared ----------------------------------------------------------------------------------------------


def _held(claims, affinity):
    per_numa = {}
    for node in [node for claim in claims for node in claim.numa or [-1]]:
        per_numa[str(node)] = per_numa.get(str(node), 0) + 1
    return {"count": len(claims), "aligned": sum(bool(set(claim.numa) & set(affinity)) for claim in claims),
            "ids": sorted(claim.device for claim in claims), "per_numa": per_numa}


def answer(admission):
    """As the recordings say it. Of a pod that is not admitted nothing is kept, so nothing of it is told."""
    if admission.verdict != "admitted":
        return {"admit": False, "reason": admission.reason, "message": admission.message}
    return {"admit": True, "containers": {c.name: {
        "affinity": c.affinity or None,
        "held": {r: _held([x for x in c.claims if x.resource == r], c.affinity) for r in {x.resource for x in c.claims}},
    } for c in admission.containers}}


def expected(step):
    """What is comparable of a recorded step: `preferred` of an affinity is not shown by us."""
    if not step["admit"]:
        return {key: step[key] for key in ("admit", "reason", "message")}
    return {"admit": True, "containers": {
        name: {"affinity": c["affinity"]["numa"], "held": c["held"]} for name, c in step["containers"].items()}}


def without_high_nodes(want):
    """W17: a node above 63 is none."""
    want = json.loads(json.dumps(want))
    for held in [h for c in want.get("containers", {}).values() for h in c["held"].values() if "per_numa" in h]:
        for node in [node for node in held["per_numa"] if int(node) > 63]:
            held["per_numa"]["-1"] = held["per_numa"].get("-1", 0) + held["per_numa"].pop(node)
    return want


def fits(got, want):
    """Every wanted value is there; no container, resource or device beyond."""
    if not want["admit"] or not got["admit"]:
        return got == want
    if got["containers"].keys() != want["containers"].keys():
        return False
    for name, c in want["containers"].items():
        ours = got["containers"][name]
        if ours["affinity"] != c["affinity"] or ours["held"].keys() != c["held"].keys():
            return False
        if any(ours["held"][r][key] != value for r, held in c["held"].items() for key, value in held.items()):
            return False
    return True


# ---- the run -------------------------------------------------------------------------------------------------------


class Replay:
    """Recordings against daemons on one Node."""

    def __init__(self, node):
        self.node, self.control = node, None
        self.passed, self.failed, self.on_purpose, self.daemons, self.admissions = 0, [], 0, 0, 0
        self._plugins = {}
        self._registered = None

    def run(self, recordings):
        """All of them, those of one configuration together."""
        groups, again = {}, []
        for place, recording in recordings:
            if "error" in recording:
                self._judge(self._refuses_to_start(recording), place)
            else:
                groups.setdefault(configuration(recording), []).append((place, recording))
        for group in groups.values():
            for place, recording, wrong in self._group(group, []):
                if wrong and _odd_nodes(recording):
                    again.append((place, recording))
                else:
                    self._judge(wrong, place)
        for each in again:
            for place, _, wrong in self._group([each], ["--numa-ids", "strict"]):
                self._judge(wrong, place)
                self.on_purpose += not wrong

    def _judge(self, wrong, place):
        if wrong:
            self.failed.append(f"{place}: {wrong}")
        else:
            self.passed += 1

    def _refuses_to_start(self, recording):
        """None, or what is wrong."""
        text = recording["error"].partition(" ")[2]  # after who says it
        done = self.node.run("devmgrd", "--root", self.node.root, *arguments(recording))
        if done.returncode == 2 and done.stderr.startswith(f"devmgrd: {text} ("):  # and which settings those were
            return None
        return f"devmgrd ends with {done.returncode} and {done.stderr!r}\nwant 2 and {text!r}"

    def _group(self, group, more):
        """(place, recording, None or what is wrong) of each."""
        out = []
        self._start([*arguments(group[0][1]), *more])
        for place, recording in sorted(group, key=lambda each: each[1]["preferred"]):
            try:
                wrong = self._recording(recording)
            except Failure as failure:
                wrong = str(failure)
            self._nothing_is_left(place)
            out.append((place, recording, wrong))
        self._stop()
        return out

    # ---- daemon and plugins
    def _start(self, args):
        self.node.start(*args)
        self.control = Control(self.node.control_socket)
        self.daemons += 1
        self._registered = None

    def _stop(self):
        self.control.close()
        daemon = self.node.daemon
        self.node.processes.remove(daemon)  # hundreds of them: none may stay open until the end
        if wrong := daemon.bury():
            raise Failure(wrong)

    def _plugin(self, resource, preferred):
        if (resource, preferred) not in self._plugins:
            how = ["--preferred", "first"] if preferred else []
            name = f"{resource[-2:]}{'-preferred' if preferred else ''}.sock"
            self._plugins[resource, preferred] = self.node.plugin(
                resource, 0, "--socket", name, "--answer", self.node.write("answer.json", ANSWER), *how, manual=True)
        return self._plugins[resource, preferred]

    def _serve(self, preferred):
        """The plugins that are like this have the resources."""
        for resource in RESOURCES if self._registered is not preferred else ():
            plugin = self._plugin(resource, preferred)
            plugin.relisten()
            plugin.register()
        self._registered = preferred

    def _list(self, devices, preferred):
        """The plugins list these; returns when the daemon shows them."""
        want = {}
        for resource in RESOURCES:
            listed = devices.get(resource, [])
            self._plugin(resource, preferred).command("devices " + json.dumps(listed))
            for d in listed:
                want[resource, d["id"]] = (d["health"], sorted({n for n in d.get("numa", ()) if 0 <= n < 64}))
        end = time.monotonic() + check.PATIENCE
        while (got := self.control.devices()) != want:
            if time.monotonic() > end:
                check.equal(sorted(got.items()), sorted(want.items()), "devices")
            time.sleep(0.001)

    # ---- a recording
    def _recording(self, recording):
        self._serve(recording["preferred"])
        self._list(recording["devices"], recording["preferred"])
        for step in recording["steps"]:
            if wrong := self._step(step):
                return wrong
        return None

    def _step(self, step):
        asked = step["pod"]
        init = {c["name"]: (c["limits"], "Always") if c.get("restart") else c["limits"] for c in asked.get("init") or ()}
        apps = {c["name"]: c["limits"] for c in asked["containers"]}
        admission = self.control.admit(pod(asked["uid"], containers=apps, init=init, uid=asked["uid"]))
        self.admissions += 1
        if admission.verdict not in ("admitted", "not_yet", "refused") or bool(admission.cause) == (admission.verdict == "admitted"):
            return f"{asked['uid']}: verdict {admission.verdict}, cause \"{admission.cause}\""
        if "panic" in step:  # the kubelet crashed: an answer is enough
            return None
        got, wanted = answer(admission), [expected(each) for each in step.get("outcomes", [step])]
        if any(fits(got, want) for want in wanted):
            return None
        if any(fits(got, without_high_nodes(want)) for want in wanted):
            self.on_purpose += 1
            return None
        return f"{asked['uid']}: got {check.show(got)}\nwant {' or '.join(map(check.show, wanted))}\n{admission.detail}"

    def _nothing_is_left(self, place):
        for uid in self.control.pods():
            self.control.release(uid)
        left = self.control.pods(), {name: counts for name, counts in self.control.resources().items() if any(counts)}
        if any(left):
            raise Failure(f"{place}: after the release of all pods there is still {left}")
