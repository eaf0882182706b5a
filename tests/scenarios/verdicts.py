#!/usr/bin/env python3
"""Every verdict, cause and exit code of devmgrd, devmgrctl and devmgr-fakeplugin, seen from the command line once.

ProviderRefused is for programs with hint providers of their own: tests/unit has it. At the end the causes that were seen are compared with those that
docs/errors.md lists, so that a new one without a scenario is noticed.
"""
import json
import os
import pathlib
import re
import signal
import sys

from lib import *

GPU, NIC = "example.com/gpu", "example.com/nic"
LATER = {"ProviderRefused"}
CODES = {"admitted": 0, "not_yet": 4, "refused": 3, "canceled": 1}
WITH_PLUGIN = ("devmgrd", "devmgrctl", "devmgr-fakeplugin")
ERRORS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "errors.md"
seen = set()


def judge(result, verdict, cause, *texts):
    """All that a result of this verdict must say."""
    matches(result, {"verdict": verdict, "cause": cause, "admitted": verdict == "admitted"})
    seen.add(cause or verdict)
    for text in texts:
        contains(result["detail"] + result["message"], text)
    if verdict in ("not_yet", "refused"):
        for key in ("reason", "message", "detail"):
            true(result[key] and "\n" not in result[key], f"{key} of {cause} is one line: {result[key]!r}")
    if verdict == "not_yet":
        true(result["retry_after_ms"] > 0, f"{cause} says when to try again")


def admit(node, name, limits, verdict, cause="", *texts, args=()):
    judge(node.admit(pod(name, limits), args=args, code=CODES[verdict]), verdict, cause, *texts)
    equal([row for row in node.resources().values() if row["reserved"]], [], "nothing stays reserved")


def ready(node, *resources):
    """Starts the daemon and a plugin for each."""
    node.start()
    return [node.plugin(resource) for resource in resources]


# ---- causes --------------------------------------------------------------------------------------------------------


@scenario
def admitted_NoPlugin_InsufficientDevices_RequestChanged(node):
    node.start()
    admit(node, "a", {GPU: 1}, "not_yet", "NoPlugin", GPU)
    node.plugin(GPU, 4)
    node.wait_for(GPU, 4)
    admit(node, "a", {GPU: 2}, "admitted")
    admit(node, "b", {GPU: 3}, "not_yet", "InsufficientDevices", GPU, "a")
    admit(node, "a", {GPU: 3}, "refused", "RequestChanged", GPU, "2", "3")


@scenario
def NoDeviceList(node):
    node.start()
    node.plugin(GPU, 4, "--fault", "list:hang")
    until(lambda: node.resource(GPU))
    admit(node, "a", {GPU: 1}, "not_yet", "NoDeviceList", GPU)


@scenario
def PluginTimeout(node):
    node.start("--allocate-timeout", "300ms")
    node.plugin(GPU, 4, "--fault", "allocate:hang")
    node.wait_for(GPU, 4)
    admit(node, "a", {GPU: 1}, "not_yet", "PluginTimeout", GPU)


def answers(node, fault, verdict, cause):
    node.start()
    node.plugin(GPU, 4, "--fault", f"allocate:{fault}")
    node.wait_for(GPU, 4)
    admit(node, "a", {GPU: 1}, verdict, cause, GPU)


@scenario
def PluginError(node):
    answers(node, "error=INTERNAL", "refused", "PluginError")


@scenario
def PluginBadAnswer_empty(node):
    answers(node, "empty", "refused", "PluginBadAnswer")


@scenario
def PluginBadAnswer_garbage(node):
    answers(node, "garbage", "refused", "PluginBadAnswer")


@scenario
def PluginBadAnswer_huge(node):
    answers(node, "huge", "refused", "PluginBadAnswer")


@scenario
def PluginGone(node):
    (plugin,) = ready(node, GPU)
    plugin.kill()
    node.wait_for(GPU, 0, plugin="gone")
    admit(node, "a", {GPU: 1}, "not_yet", "PluginGone", GPU)


@scenario
def PluginGone_while_it_allocates(node):
    node.start()
    plugin = node.plugin(GPU, 4, "--fault", "allocate:crash")
    plugin.expected_end = -signal.SIGKILL
    node.wait_for(GPU, 4)
    admit(node, "a", {GPU: 1}, "not_yet", "PluginGone", GPU)


@scenario
def HeldUnhealthy(node):
    node.start()
    plugin = node.plugin(GPU, 4, manual=True)
    plugin.register()
    node.wait_for(GPU, 4)
    admit(node, "a", {GPU: 1}, "admitted")
    plugin.health("*", "Unhealthy")
    node.wait_for(GPU, 0)
    admit(node, "a", {GPU: 1}, "refused", "HeldUnhealthy", GPU, "dev-0000")


@scenario
def NotDurable(node):
    ready(node, GPU)
    node.wait_for(GPU, 4)
    block = node.plugins / f".{node.checkpoint.name}.tmp"
    until(lambda: not block.exists() and (block.mkdir() or True), what="a folder in the way of the temporary file")
    admit(node, "a", {GPU: 1}, "not_yet", "NotDurable", str(node.plugins))
    equal(node.pods(), {}, "nothing is held")
    block.rmdir()
    until(lambda: node.admit(pod("a", {GPU: 1}))["verdict"] == "admitted")


@scenario
def Recovering(node):
    ready(node, GPU)
    node.wait_for(GPU, 4)
    for name in "ab":
        admit(node, name, {GPU: 1}, "admitted")
    node.kill()
    node.checkpoint.write_text("{")
    node.start()
    admit(node, "c", {GPU: 1}, "not_yet", "Recovering", "sync")
    equal(len([name for name in os.listdir(node.plugins) if ".damaged-" in name]), 1, "the damaged file is kept")
    node.ctl("sync", "--none")
    admit(node, "c", {GPU: 1}, "admitted", args=("--wait", "--timeout", "20s"))


@scenario
def NoAffinity(node):
    node.start("--numa", "0;1", "--topology-policy", "single-numa-node")
    node.plugin(GPU, 4, "--numa", "2")
    node.wait_for(GPU, 4)
    admit(node, "a", {GPU: 3}, "refused", "NoAffinity", GPU, "{0,1}", "Resources cannot be allocated with Topology locality")


@scenario
def OptionsConflict(node):
    node.start("--conflicts", "refuse")
    for resource in (GPU, NIC):
        node.plugin(resource)
        node.wait_for(resource, 4)
    admit(node, "a", {GPU: 1, NIC: 2}, "refused", "OptionsConflict", GPU, NIC)


@scenario
def canceled(node):
    ready(node, GPU)
    child = node.spawn("devmgrctl", ["admit", "-f", "-", "--wait", "--timeout", "60s", "--root", node.root, "-o", "json"])
    child.send(json.dumps(pod("a", {GPU: 5}, uid="a")))
    child.close_input()
    until(lambda: node.release("a") == [] and not child.running())
    equal(child.wait(), CODES["canceled"], "exit code")
    judge(json.loads(child.line()), "canceled", "")


@scenario
def InvalidPod(node):
    ready(node, GPU)
    node.wait_for(GPU, 4)
    requests = pod("a", {GPU: 1})
    requests["spec"]["containers"][0]["resources"] = {"requests": {GPU: 1}}
    twice = pod("a", {GPU: 1})
    twice["spec"]["containers"] *= 2
    for manifest, texts in ((requests, (GPU, "limits")), (twice, ("main",)),
                            *((pod("a", {GPU: count}), (GPU, count)) for count in ("1.5", "-1", "many"))):
        done = node.run("devmgrctl", "admit", "-f", "-", "--root", node.root, "-o", "json", stdin=json.dumps(manifest), code=(1, 3))
        for text in texts:
            contains(done.stdout + done.stderr, text)
    admit(node, "greedy", {GPU: 1000001}, "refused", "InvalidPod", "max-devices", GPU)
    equal(node.pods(), {})


@scenario
def several_documents_end_with_the_highest_exit_code(node):
    ready(node, GPU)
    node.wait_for(GPU, 4)
    results = node.admit(pod("a", {GPU: 1}), pod("b", {GPU: 9}), pod("a", {GPU: 2}), code=4)
    equal([r["verdict"] for r in results], ["admitted", "not_yet", "refused"])


@scenario(needs=())
def each_cause_of_the_handbook_was_seen(node):
    if len(sys.argv) > 1:
        skip("not all scenarios were run")
    listed = set(re.findall(r"^### (\w+)$", ERRORS.read_text(), re.M))
    print(f"# {len(seen & listed)} of {len(listed)} causes seen; not from the command line: {', '.join(sorted(LATER))}")
    equal(sorted(listed - seen - LATER), [])
    equal(sorted(LATER - listed), [])


# ---- exit codes ----------------------------------------------------------------------------------------------------


def exits(node, code, *args, says=(), stdin=""):
    """It ends with that code; when it is not 0, with one line on stderr. `says`: parts of what it says."""
    done = node.run(*args, stdin=stdin, code=code)
    shown = f"{' '.join(map(str, args))}: {done.stdout}{done.stderr}"
    for text in says:
        contains(done.stdout + done.stderr, str(text), shown)
    if code:
        equal((done.stderr.count("\n"), done.stderr.startswith((f"{args[0]}: ", " ".join(map(str, args[:2])) + ": "))), (1, True), shown)


@scenario
def help_version_and_usage(node):
    for each in WITH_PLUGIN:
        exits(node, 0, each, "--help", says=[each, "--root"])
        exits(node, 0, each, "--version", says=[each])
        exits(node, 2, each, "--nonsense", says=["--nonsense"])
        exits(node, 2, each, "surplus", "--root", node.root, says=["surplus"])


@scenario
def devmgrd_exits_2_on_a_mistake(node):
    conf = node.write("devmgrd.conf", "root = /tmp\nnonsense = 1\n")
    exits(node, 2, "devmgrd", "--config", conf, says=["nonsense", conf, "2"])
    exits(node, 2, "devmgrd", "--config", "/nowhere/conf", says=["/nowhere/conf"])
    exits(node, 2, "devmgrd", "--allocate-timeout", "soon", says=["allocate-timeout", "soon"])
    exits(node, 2, "devmgrd", "--root", "relative", says=["root", "relative"])
    for check in ((), ("--check-config",)):
        exits(node, 2, "devmgrd", "--root", node.root, *check, "--topology-policy", "strictest", says=['unknown policy: "strictest"'])
        exits(node, 2, "devmgrd", "--root", node.root, *check, "--numa", "0:10,20", says=["numa", "node 0"])


@scenario
def devmgrd_exits_1_when_it_cannot_serve(node):
    file = node.write("file", "")
    exits(node, 1, "devmgrd", "--root", file, says=[file])
    exits(node, 1, "devmgrd", "--root", node.root / ("x" * 120), says=["107"])
    node.start()
    exits(node, 1, "devmgrd", "--root", node.root, says=["in use", f"pid {node.daemon.pid}", "--root"])


@scenario
def devmgrd_exits_0(node):
    exits(node, 0, "devmgrd", "--root", node.root, "--check-config")
    exits(node, 0, "devmgrd", "--root", node.root, "--print-config", says=[f"root = {node.root}"])
    for number in (signal.SIGTERM, signal.SIGINT):
        node.start().signal(number)
        equal(node.daemon.wait(), 0, f"after {number.name}")
        equal([name for name in os.listdir(node.plugins) + os.listdir(node.root) if name.endswith(".sock")], [], "no socket is left")


@scenario
def devmgrctl_without_a_daemon(node):
    at = ("--root", node.root)
    exits(node, 1, "devmgrctl", "pods", *at, says=[node.control_socket])
    exits(node, 1, "devmgrctl", "wait", "--timeout", "200ms", *at, says=[node.control_socket])
    exits(node, 1, "devmgrctl", "checkpoint", "verify", "/nowhere/file", says=["/nowhere/file"])
    exits(node, 2, "devmgrctl", says=["command"])
    exits(node, 2, "devmgrctl", "frobnicate", says=["frobnicate"])


@scenario
def devmgrctl_with_a_daemon(node):
    ready(node, GPU)
    node.wait_for(GPU, 4)
    node.admit(pod("a", {GPU: 1}, uid="a"))
    at = ("--root", node.root)
    for code, args, says in [
        (0, ("wait",), ()),
        (0, ("wait", "--resource", GPU, "--count", "4"), ()),
        (1, ("wait", "--resource", GPU, "--count", "5", "--timeout", "200ms"), (GPU,)),
        (0, ("resources",), (GPU,)),
        (0, ("devices",), ("dev-00003",)),
        (0, ("devices", GPU), ("dev-00003",)),
        (0, ("devices", "example.com/none"), ("no devices",)),
        (0, ("pods",), ("a",)),
        (0, ("options", "a", "main"), ("dev-0000",)),
        (0, ("options", "default/a", "main", "--dry-run", "-o", "flags"), ("--device",)),
        (0, ("options", "nobody", "main"), ("no devices",)),  # a pod without devices is forgotten at a restart
        (0, ("options", "a", "nobody"), ("no devices",)),
        (2, ("options", "a"), ()),
        (2, ("pods", "-o", "xml"), ("xml",)),
        (0, ("release", "nobody"), ()),
        (2, ("sync",), ("--none",)),
        (2, ("sync", "a", "--none"), ("--none",)),
        (0, ("sync", "--none", "--dry-run"), ("a",)),
        (0, ("sync", "a"), ()),
        (1, ("admit", "-f", "/nowhere/pod"), ("/nowhere/pod",)),
        (2, ("admit",), ("-f",)),
    ]:
        exits(node, code, "devmgrctl", *args, *at, says=says)
    exits(node, 1, "devmgrctl", "admit", "-f", "-", *at, stdin="kind: Node\n", says=["Node"])
    equal(list(node.pods()), ["a"], "nothing of this changed anything")


@scenario
def devmgrctl_checkpoint(node):
    ready(node, GPU)
    node.wait_for(GPU, 4)
    node.admit(pod("a", {GPU: 1}))
    node.stop()
    exits(node, 0, "devmgrctl", "checkpoint", "verify", node.checkpoint)
    exits(node, 0, "devmgrctl", "checkpoint", "show", node.checkpoint, says=[GPU])
    damaged = node.write("damaged", node.checkpoint.read_text() + "x")
    exits(node, 1, "devmgrctl", "checkpoint", "verify", damaged, says=[damaged])
    exits(node, 1, "devmgrctl", "checkpoint", "show", damaged, says=[damaged])


@scenario
def devmgr_fakeplugin(node):
    node.start()
    at = ("--root", node.root, "--resource", GPU)
    exits(node, 2, "devmgr-fakeplugin", "--root", node.root, says=["--resource"])
    exits(node, 2, "devmgr-fakeplugin", *at, "--fault", "allocate:dance", says=["dance"])
    exits(node, 0, "devmgr-fakeplugin", "--fault", "list", says=["allocate:hang"])
    exits(node, 1, "devmgr-fakeplugin", "--root", "/nowhere", "--resource", GPU, says=["/nowhere"])
    exits(node, 0, "devmgr-fakeplugin", *at, "--manual")
    plugin = node.plugin(GPU)
    plugin.stop()
    true(not plugin.socket.exists(), "it removes its socket")


main(__file__)
