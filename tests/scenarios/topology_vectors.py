#!/usr/bin/env python3
"""The kubelet's recorded admissions put to devmgrd: verdict, reason, message, affinity, and how many devices of which node.

    topology_vectors.py                   a sample of tests/data/topology, as TAP
    VECTORS=PATH topology_vectors.py      all of a file or folder of that form; ends "N passed, N failed"
"""
import os
import sys

from lib import *
from lib import vectors

DATA = TREE / "tests/data/topology"
SAMPLE = 12  # recordings of a policy and scope


def report(replay, begin="# "):
    print(f"{begin}{replay.admissions} admissions, {replay.daemons} daemons")
    if replay.on_purpose:
        print(f"{begin}{replay.on_purpose} differ on purpose (W17, W18: docs/differences.md)")


def replays(node, chosen):
    replay = vectors.Replay(node)
    replay.run(chosen)
    report(replay)
    equal(replay.failed, [])
    equal(replay.passed, len(chosen))


def sample(policy, scope):
    """Spread over all there are."""
    found = [each for each in vectors.load(DATA)[0]
             if (each[1]["policy"], each[1]["scope"]) == (policy, scope) and "error" not in each[1]]
    return found[:: max(1, len(found) // SAMPLE)][:SAMPLE]


def add(policy, scope):
    def replayed(node):
        replays(node, sample(policy, scope))

    replayed.__name__ = f"{policy}_{scope}_answers_as_the_kubelet"
    scenario(replayed, needs=("devmgrd", "devmgr-fakeplugin"))


for each in ("none", "best-effort", "restricted", "single-numa-node"):
    add(each, "container")
    add(each, "pod")


@scenario(needs=("devmgrd",))
def what_the_kubelet_does_not_start_with_ends_devmgrd_with_its_words(node):
    replays(node, [each for each in vectors.load(DATA)[0] if "error" in each[1]])


def run_all(path):
    """What `make check-vectors DAEMON=1` runs."""
    node, wrong = Node(), []
    replay = vectors.Replay(node)
    found, others = vectors.load(path)
    try:
        replay.run(found)
    finally:
        wrong = node.bury()
        if not wrong and not replay.failed:
            node.clean()
    for failure in replay.failed + wrong:
        print("# " + failure.replace("\n", "\n#   "))
    if others:
        print(f"{others} lines of other kinds")
    report(replay, "")
    print(f"{replay.passed} passed, {len(replay.failed) + len(wrong)} failed")
    return 1 if replay.failed or wrong or not replay.passed else 0


if os.environ.get("VECTORS"):
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(run_all(os.environ["VECTORS"]))
main(__file__)
