#!/usr/bin/env python3
"""devmgrctl: what people and scripts see of it."""
import json
import os
import pty
import stat
import subprocess

from lib import *

ALONE = ("devmgrctl",)
COMMANDS = "resources devices pods admit explain options release sync watch checkpoint wait".split()
GPU = "example.com/gpu"


def complaint(node, *args, code, stdin="", where=True):
    """The one line that it says before it exits with `code`."""
    at = ["--root", node.root] if where else []
    done = node.run("devmgrctl", *args, *at, stdin=stdin, code=code)
    equal(done.stdout, "")
    equal(done.stderr.count("\n"), 1, done.stderr)
    return done.stderr.rstrip("\n")


def text(node, *args, code=0, stdin=""):
    return node.run("devmgrctl", *args, "--root", node.root, stdin=stdin, code=code).stdout


def on_a_terminal(node, *args, **environment):
    """What it prints when stdout is one."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen([program("devmgrctl"), *args, "--root", node.root], stdout=theirs, stderr=theirs,
                             env={**node.environment(), "TERM": "xterm", **environment})
    os.close(theirs)
    child.wait()
    said = os.read(ours, 65536).decode()
    os.close(ours)
    return said


# ---- the command line ------------------------------------------------------------------------------------------------

@scenario(needs=ALONE)
def help_tells_the_commands_and_each_command_has_an_example(node):
    everything = node.run("devmgrctl", "--help", code=0).stdout
    for command in COMMANDS:
        contains(everything, f"\n  {command}")
        own = node.run("devmgrctl", command, "--help", code=0).stdout
        contains(own, f"Usage: devmgrctl {command}")
        contains(own, "Example")
    contains(node.run("devmgrctl", "--version", code=0).stdout, "devmgrctl ")
    contains(node.run("devmgrctl", "admit", "--version", code=0).stdout, "devmgrctl ")


@scenario(needs=ALONE)
def the_manual_has_every_option(node):
    page = (TREE / "share/man/devmgrctl.1").read_text(encoding="utf-8")
    for command in COMMANDS:
        for line in node.run("devmgrctl", command, "--help", code=0).stdout.splitlines():
            words = [w for w in line.split() if w.startswith("--")]
            if line.startswith("  -") and words and words[0] != "--version":
                true("Fl " + words[0][1:] in page, f"devmgrctl.1 lacks {words[0]}")


@scenario(needs=ALONE)
def every_mistake_is_one_line_and_exit_2(node):
    for args, want in {
        (): "devmgrctl: a command is missing; see devmgrctl --help",
        ("resorces",): "devmgrctl: resorces: unknown command; did you mean resources?",
        ("elucidate",): "devmgrctl: elucidate: unknown command; see devmgrctl --help",
        ("explain",): "devmgrctl explain: -f POD, POD or RESOURCE is missing",
        ("explain", "r", "many"): "devmgrctl explain: many: not a number of devices",
        ("resources", "x"): "devmgrctl resources: x: one argument too many",
        ("resources", "-o", "yaml"): 'devmgrctl resources: -o: "yaml" is not one of text or json',
        ("options", "-o", "oci", "p", "c"): 'devmgrctl options: -o: "oci" is not one of text, json or flags',
        ("options",): "devmgrctl options: POD is missing",
        ("options", "web"): "devmgrctl options: CONTAINER is missing",
        ("release",): "devmgrctl release: POD is missing",
        ("admit",): "devmgrctl admit: -f POD is missing",
        ("admit", "--wiat"): "devmgrctl admit: --wiat: unknown option; did you mean --wait?",
        ("admit", "-f", "x", "--timeout", "1s"): "devmgrctl admit: --timeout: needs --wait",
        ("admit", "-f", "x", "--wait", "--timeout", "1"): 'devmgrctl admit: --timeout: "1" is not a duration; write 500ms, 5s or 1m30s',
        ("sync",): "devmgrctl sync: UID is missing; --none says that no pod lives and releases everything",
        ("sync", "--none", "u"): "devmgrctl sync: --none: but u lives?",
        ("sync", "u", "--as-of", "0"): 'devmgrctl sync: --as-of: "0" is not a number from 1 to 18446744073709551615',
        ("wait", "--count", "2"): "devmgrctl wait: --count: needs --resource",
        ("checkpoint",): "devmgrctl checkpoint: show or verify is missing",
        ("checkpoint", "eat", "f"): "devmgrctl checkpoint: eat: must be show or verify",
    }.items():
        equal(complaint(node, *args, code=2, where=False), want)


@scenario(needs=ALONE)
def without_a_daemon_it_says_where_it_looked(node):
    want = f"devmgrctl: {node.control_socket}: nobody serves there (is devmgrd running?)"
    manifest = node.write("pod.json", pod("web"))
    for args in (["resources"], ["devices"], ["pods"], ["admit", "-f", manifest], ["options", "p", "c"], ["release", "p"],
                 ["sync", "--none"], ["watch"], ["wait", "--timeout", "10ms"]):
        equal(complaint(node, *args, code=1), want)
    other = node.run("devmgrctl", "resources", "--socket", node.scratch / "x.sock", "--root", node.root, code=1).stderr
    contains(other, "x.sock: nobody serves there")


# ---- looking ---------------------------------------------------------------------------------------------------------

@scenario
def tables_have_a_head_and_aligned_columns(node):
    node.start()
    node.plugin(GPU, 4, "--numa", 2)
    node.wait_for(GPU, 4)
    node.admit(pod("web", {GPU: 1}), code=0)
    lines = text(node, "resources").splitlines()
    equal(lines[0].split(), ["RESOURCE", "CAPACITY", "ALLOCATABLE", "HELD", "RESERVED", "PLUGIN", "LAST", "ERROR"])
    equal(lines[1].split(), [GPU, "4", "4", "1", "0", "connected", "-"])
    lines = text(node, "devices", GPU).splitlines()
    equal(lines[1].split(), [GPU, "dev-00000", "Healthy", "0", "default/web", "main"])
    equal(lines[2].split(), [GPU, "dev-00001", "Healthy", "1", "-", "-"])
    equal(len({line.index("Healthy") for line in lines[1:]}), 1)
    equal(text(node, "pods").splitlines()[1].split(), ["default/web", "main", GPU, "dev-00000", "default_web"])


@scenario
def colours_are_for_terminals_only(node):
    node.start()
    node.plugin()
    node.wait_for(GPU, 4)
    true("\033" not in text(node, "devices"), "no colour into a pipe")
    contains(on_a_terminal(node, "devices"), "\033[32mHealthy\033[0m")
    true("\033" not in on_a_terminal(node, "devices", NO_COLOR="1"), "NO_COLOR is respected")
    true("\033" not in on_a_terminal(node, "devices", TERM="dumb"), "a dumb terminal stays clean")


@scenario
def empty_lists_are_lists(node):
    node.start()
    equal(node.ctl("resources"), {"resources": []})
    equal(node.ctl("devices"), {"devices": []})
    equal(node.ctl("pods"), {"revision": node.ctl("pods")["revision"], "pods": []})
    equal(text(node, "resources"), "")


@scenario
def ids_are_in_byte_order_for_scripts_and_rows_by_name(node):
    node.start()
    node.plugin("example.com/nic", 2)
    node.plugin(GPU, 12, manual=True).register()
    node.wait_for(GPU, 12)
    node.wait_for("example.com/nic", 2)
    node.admit(pod("b", {GPU: 2}), pod("a", {GPU: 11 - 1}), pod("x", namespace="aaa"), code=0)
    equal([r["name"] for r in node.ctl("resources")["resources"]], [GPU, "example.com/nic"])
    ids = [d["id"] for d in node.ctl("devices", GPU)["devices"]]
    equal(ids, sorted(ids))
    equal([(p["namespace"], p["name"]) for p in node.ctl("pods")["pods"]], [("aaa", "x"), ("default", "a"), ("default", "b")])


# ---- admit -----------------------------------------------------------------------------------------------------------

@scenario
def each_document_gets_a_line_and_the_highest_status_counts(node):
    node.start()
    node.plugin(GPU, 2)
    node.wait_for(GPU, 2)
    lines = node.admit(pod("one", {GPU: 1}), pod("two", {GPU: 2}), pod("three", {GPU: 1}), code=4)
    equal([(line["pod"], line["verdict"]) for line in lines],
          [("default_one", "admitted"), ("default_two", "not_yet"), ("default_three", "admitted")])
    for line in lines:
        equal(list(line), ["pod", "admitted", "verdict", "cause", "reason", "message", "detail", "container", "resource",
                           "retry_after_ms", "affinity", "containers"])
    said = text(node, "admit", "-f", "-", stdin=json.dumps(pod("two", {GPU: 2})), code=4).splitlines()
    equal(said[0], "default/two: not yet")
    contains(said[1], "InsufficientDevices: ")


@scenario
def a_mistake_in_a_manifest_names_file_line_and_field(node):
    node.start()
    node.plugin(GPU, 2)
    node.wait_for(GPU, 2)
    path = node.write("pods.yaml", "kind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, resources: {limits: {example.com/gpu: 1}}}]}\n"
                                   "---\nkind: Pod\nmetadata: {name: b}\nspec:\n  containers:\n  - name: c\n    resources:\n"
                                   "      limits:\n        example.com/gpu: -1\n")
    said = complaint(node, "admit", "-f", path, code=1)
    contains(said, f"devmgrctl: {path}: line 12: spec.containers[0].resources.limits[example.com/gpu]: \"-1\"")
    equal(node.pods(), {})
    contains(complaint(node, "admit", "-f", "-", stdin="{", code=1), "devmgrctl: stdin: line 1")
    contains(complaint(node, "admit", "-f", "-", stdin="", code=1), "devmgrctl: stdin: empty")
    contains(complaint(node, "admit", "-f", node.scratch / "none", code=1), "none: No such file")


@scenario
def wait_waits_for_devices_and_timeout_ends_it(node):
    node.start()
    manifest = json.dumps(pod("web", {GPU: 1}))
    done = node.ctl("admit", "-f", "-", "--wait", "--timeout", "100ms", stdin=manifest, code=4)
    equal(done["cause"], "NoPlugin")
    waiting = node.spawn("devmgrctl", ["admit", "-f", "-", "--wait", "--root", node.root, "-o", "json"])
    waiting.send(manifest)
    waiting.close_input()
    node.plugin(GPU, 1)
    equal(json.loads(waiting.line())["verdict"], "admitted")
    waiting.wait()


@scenario
def release_ends_a_waiting_admission(node):
    node.start()
    waiting = node.spawn("devmgrctl", ["admit", "-f", "-", "--wait", "--root", node.root, "-o", "json"])
    waiting.expected_end = 1
    waiting.send(json.dumps(pod("web", {GPU: 1})))
    waiting.close_input()
    until(lambda: node.release("web") == [] and waiting.running() is False, True, "released until it has ended")
    equal(json.loads(waiting.line())["verdict"], "canceled")


# ---- pods by name ----------------------------------------------------------------------------------------------------

@scenario
def a_pod_is_called_by_uid_or_name(node):
    node.start()
    node.plugin(GPU, 4)
    node.wait_for(GPU, 4)
    node.admit(pod("web", {GPU: 1}, uid="u-1"), pod("web", {GPU: 1}, uid="u-2", namespace="prod"), code=0)
    node.options("u-1"), node.options("web"), node.options("default/web"), node.options("prod/web")
    equal(node.options("web")["envs"][0]["value"], "dev-00000")
    equal(node.options("prod/web")["envs"][0]["value"], "dev-00001")
    equal(node.release("prod/web"), ["u-2"])
    equal(node.release("web"), ["u-1"])
    equal(node.release("web"), [])
    contains(node.run("devmgrctl", "options", "web", "main", "--root", node.root, code=0).stderr, "web: no such pod is known here")


@scenario
def a_name_of_two_pods_is_not_guessed(node):
    node.start()
    node.plugin(GPU, 4)
    node.wait_for(GPU, 4)
    node.admit(pod("web", {GPU: 1}, uid="u-1"), pod("web", {GPU: 1}, uid="u-2"), code=0)
    said = complaint(node, "release", "web", code=1)
    contains(said, "web: 2 pods have that name; say which by its uid: u-1, u-2")
    equal(sorted(node.pods()), ["u-1", "u-2"])
    equal(node.release("u-2"), ["u-2"])
    equal(node.release("web"), ["u-1"])


@scenario
def options_become_flags_that_a_shell_reads(node):
    node.start()
    answer = node.write("answer.json", {
        "envs": {"PLAIN": "{ids}", "ODD": "it's a \"$HOME\" `x`"},
        "mounts": [{"container": "/c", "host": "/h h", "ro": True}],
        "devices": [{"container": "/dev/c", "host": "/dev/null", "perm": "rw"}],
        "annotations": {"a/b": "1"}, "cdi": ["v.com/gpu={id}"]})
    node.plugin(GPU, 2, "--answer", answer)
    node.wait_for(GPU, 2)
    node.admit(pod("web", {GPU: 1}), code=0)
    flags = text(node, "options", "web", "main", "-o", "flags")
    words = subprocess.run(["sh", "-c", f"printf '%s\\n' {flags}"], capture_output=True, text=True, check=True).stdout
    equal(words.splitlines(), ["--device", "/dev/null:/dev/c:rw", "--device", "v.com/gpu=dev-00000", "--volume", "/h h:/c:ro",
                               "--env", "PLAIN=dev-00000", "--env", "ODD=it's a \"$HOME\" `x`", "--annotation", "a/b=1"])


# ---- sync ------------------------------------------------------------------------------------------------------------

@scenario
def sync_releases_what_is_not_named(node):
    node.start()
    node.plugin(GPU, 4)
    node.wait_for(GPU, 4)
    node.admit(pod("a", {GPU: 1}), pod("b", {GPU: 1}), pod("c", {GPU: 1}), code=0)
    equal(node.ctl("sync", "a", "default_b", "--dry-run"), {"released": ["default_c"]})
    equal(len(node.pods()), 3)
    equal(node.ctl("sync", "a", "default/b"), {"released": ["default_c"]})
    before = str(node.ctl("pods")["revision"])
    node.admit(pod("late", {GPU: 1}), code=0)
    equal(node.ctl("sync", "a", "--as-of", before), {"released": ["default_b"]})
    equal(node.ctl("sync", "--none"), {"released": ["default_a", "default_late"]})
    equal(node.resource()["held"], 0)


# ---- watch, wait -----------------------------------------------------------------------------------------------------

@scenario
def watch_begins_with_the_state_and_goes_on_with_changes(node):
    node.start()
    plugin = node.plugin(GPU, 2, manual=True)
    plugin.register()
    node.wait_for(GPU, 2)
    node.admit(pod("web", {GPU: 1}), code=0)
    watch = node.spawn("devmgrctl", ["watch", "--root", node.root, "-o", "json"])
    first = [json.loads(watch.line()) for _ in range(3)]
    equal([e["type"] for e in first], ["resource", "admitted", "synced"])
    matches(first[0], {"name": GPU, "capacity": 2, "allocatable": 2, "held": 1})
    matches(first[1], {"pod": "default_web", "name": "web", "containers": {"main": {GPU: ["dev-00000"]}}})
    plugin.health("dev-00000", "Unhealthy")
    matches(watch.event(type="claim_health"), {"pod": "default_web", "container": "main", "id": "dev-00000", "health": "Unhealthy"})
    node.admit(pod("two", {GPU: 1}), code=0)
    matches(watch.event(type="admitted"), {"name": "two"})
    node.release("two")
    matches(watch.event(type="released"), {"pod": "default_two", "containers": {}})
    other = node.spawn("devmgrctl", ["watch", "--root", node.root, "-o", "json"])
    matches(other.event(type="claim_health"), {"health": "Unhealthy"})  # of the state
    matches(other.event(type="synced"), {"revision": ANY})


@scenario
def watch_ends_when_the_daemon_does(node):
    node.start()
    watch = node.watch()
    watch.expected_end = 1
    node.stop()
    watch.wait()
    contains(watch.stderr(), "closing")


@scenario
def wait_waits_for_daemon_and_devices(node):
    early = node.spawn("devmgrctl", ["wait", "--root", node.root])
    counting = node.spawn("devmgrctl", ["wait", "--resource", GPU, "--count", 3, "--root", node.root])
    true(early.running() and counting.running(), "both wait")
    node.start()
    early.wait()
    contains(complaint(node, "wait", "--resource", GPU, "--timeout", "100ms", code=1), "no plugin has registered it after 100ms")
    plugin = node.plugin(GPU, 2, manual=True)
    plugin.register()
    node.wait_for(GPU, 2)
    contains(complaint(node, "wait", "--resource", GPU, "--count", 3, "--timeout", "100ms", code=1),
             "2 of 3 allocatable after 100ms (plugin: connected)")
    true(counting.running(), "two are not three")
    node.restart(kill=True)  # waiting goes on over a restart of the daemon
    plugin.relisten()
    plugin.register()
    plugin.list(3)
    counting.wait()


# ---- checkpoint, socket ----------------------------------------------------------------------------------------------

@scenario
def a_checkpoint_is_shown_and_verified_without_a_daemon(node):
    node.start()
    node.plugin(GPU, 2)
    node.wait_for(GPU, 2)
    node.admit(pod("web", {GPU: 1}), code=0)
    node.stop()

    def read(*args, code=0):
        return node.run("devmgrctl", "checkpoint", *args, code=code)

    shown = json.loads(read("show", node.checkpoint, "-o", "json").stdout)
    matches(shown["entries"][0], {"pod": "default_web", "container": "main", "resource": GPU, "devices": {"-1": ["dev-00000"]}})
    contains(read("show", node.checkpoint).stdout, "default/web")
    contains(read("verify", node.checkpoint).stdout, "good: 1 claims")
    matches(json.loads(read("verify", node.checkpoint, "-o", "json").stdout), {"usable": True, "claims": 1, "error": ""})
    good = node.checkpoint.read_text(encoding="utf-8")
    bad = node.write("bad", good.replace("dev-00000", "dev-00001", 1))
    said = read("verify", bad, code=1)
    contains(said.stderr, f"devmgrctl: {bad}: ")
    equal(json.loads(read("verify", bad, "-o", "json", code=1).stdout)["usable"], False)
    read("show", node.write("cut", good[:50]), code=1)
    read("show", node.scratch, code=1)


@scenario
def the_control_socket_is_the_owners_alone_and_goes_with_the_daemon(node):
    node.start()
    equal(stat.S_IMODE(os.stat(node.control_socket).st_mode), 0o600)
    equal([f for f in os.listdir(node.root) if f.startswith(".")], [])
    second = node.run("devmgrd", "--root", node.scratch / "other", "--socket", node.control_socket, code=1)
    contains(second.stderr, f"{node.control_socket}: in use by devmgrd (pid {node.daemon.pid}); stop it or choose another --socket")
    node.ctl("resources")
    node.stop()
    equal(node.control_socket.exists(), False)
    node.start("--socket-group", str(os.getgid()))
    equal(stat.S_IMODE(os.stat(node.control_socket).st_mode), 0o660)


main(__file__)
