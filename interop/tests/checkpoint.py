#!/usr/bin/env python3
"""From devmgr to the kubelet and back: both read what the other wrote."""
import json
import os
import pathlib
import subprocess

from lib import *

RESOURCE = "example.com/gpu"
KUBELET = os.environ["KUBELET_CHECKPOINT"]
DATA = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data"


def kubelet(*args):
    done = subprocess.run([KUBELET, *map(str, args)], capture_output=True, text=True, check=False)
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def three_pods(node):
    node.start("--numa", "0:10,20;1:20,10")
    node.plugin(RESOURCE, 8, "--numa", "2")
    node.wait_for(RESOURCE, 8)
    for name in "abc":
        equal(node.admit(pod(name, {RESOURCE: 2}, uid=name))["verdict"], "admitted")


@scenario
def the_kubelet_reads_what_devmgrd_wrote(node):
    three_pods(node)
    (read,) = kubelet(node.checkpoint)
    equal(read["error"], "")
    held = {e["pod_uid"]: sorted({id for ids in e["device_ids"].values() for id in ids}) for e in read["entries"]}
    equal(held, {uid: sorted(c["main"][RESOURCE]) for uid, c in node.pods().items()})
    equal(sorted(read["registered"][RESOURCE]), [f"dev-{i:05}" for i in range(8)])
    for entry in read["entries"]:
        envs = [{"name": name, "value": value} for name, value in sorted(entry["response"]["envs"].items())]
        equal(node.options(entry["pod_uid"])["envs"], envs)
        for numa, ids in entry["device_ids"].items():
            equal([node.devices(RESOURCE)[id]["numa"] for id in ids], [[int(numa)]] * len(ids))


@scenario
def devmgrd_reads_what_the_kubelet_wrote(node):
    three_pods(node)
    held, options = node.pods(), node.options("a")
    node.stop()
    kubelet("-rewrite", node.plugins, node.checkpoint)
    true('"devmgr"' not in node.checkpoint.read_text(), "the kubelet drops what it does not know")
    node.start("--numa", "0:10,20;1:20,10")
    equal(node.pods(), held)
    equal(node.options("a", "main", "--dry-run"), options)
    equal(node.admit(pod("a", {RESOURCE: 2}, uid="a"))["verdict"], "admitted")
    equal(kubelet(node.checkpoint)[0]["error"], "")


@scenario
def both_accept_or_refuse_each_file_of_the_tests_data(node):
    files = sorted(f for f in DATA.glob("checkpoint*/*") if not f.suffix)
    true(len(files) > 200, f"files in {DATA}")
    differ = []
    for file, answer in zip(files, kubelet(*files)):
        ours = node.run("devmgrctl", "checkpoint", "verify", file, code=(0, 1))
        if (ours.returncode == 0) != answer["ok"]:
            differ.append(f"{file.name}: the kubelet says {answer['error'] or 'good'}, we say {ours.stdout}{ours.stderr}")
    print(f"# {len(files)} files")
    equal(differ, [])


main(__file__)
