#!/usr/bin/env python3
"""The library from other languages: Go by cgo, Rust by bindgen. Both programs tell the same story, line by line."""
import json
import os

from lib import *

GPU = "example.com/gpu"


def program_of(variable):
    return os.environ.get(variable) or skip(f"{variable} is not set: interop/build had nothing to build it with")


def start(node, path):
    environment = {**node.environment(), "LD_LIBRARY_PATH": os.environ["LIBDEVMGR"]}
    child = Process([path, node.root, GPU], os.path.basename(path), node.scratch / "program.log", environment)
    node.processes.append(child)
    return child


def tells(child, step, **want):
    """The next line is that step, with at least these values; returns it."""
    line = child.event()
    matches(line, {"step": step, **want}, step)
    return line


def an_embedder_in(node, path):
    node.plugins.mkdir()
    child = start(node, path)
    version = node.run("devmgrctl", "--version", code=0).stdout.split()[-1]
    tells(child, "open", version=version)
    again = tells(child, "again", name="DEVMGR_EBUSY")
    contains(again["message"], f"pid {child.pid}", "who serves there")
    contains(tells(child, "nonsense", name="DEVMGR_EINVALID")["message"], "nonsense")
    contains(tells(child, "early", verdict="not_yet", cause="NoPlugin", claims=[])["detail"], GPU)
    plugin = node.plugin(GPU, 4)
    tells(child, "event", resource=GPU, capacity=4, allocatable=4, plugin="connected")
    claims = [f"prepare {GPU} dev-00000", f"main {GPU} dev-00000", f"main {GPU} dev-00001"]
    tells(child, "admit", verdict="admitted", cause="", claims=claims)
    tells(child, "options", envs=["BENCH_VISIBLE_DEVICES=dev-00000,dev-00001"],
          devices=[f"/dev/bench/dev-0000{i}:/dev/bench/dev-0000{i}:rw" for i in range(2)],
          mounts=["/opt/bench/lib:/usr/lib/bench:true"])
    tells(child, "resource", resource=GPU, held=2)
    tells(child, "release", uids=["uid-1"])
    tells(child, "closed")
    equal(child.wait(), 0, "exit code")
    true(not node.kubelet_socket.exists(), "its socket went with it")
    true(plugin.running(), "the plugin waits for the next manager")
    shown = node.run("devmgrctl", "checkpoint", "show", node.checkpoint, "-o", "json", code=0).stdout
    equal(json.loads(shown)["entries"], [], "left in the checkpoint")


@scenario
def Go_by_cgo(node):
    an_embedder_in(node, program_of("GO_EMBEDDER"))


@scenario
def Rust_by_bindgen(node):
    an_embedder_in(node, program_of("RUST_EMBEDDER"))


main(__file__)
