#!/usr/bin/env python3
"""devmgr-fakeplugin without a manager: its command line, its socket, its commands."""
import json
import os
import signal
import socket

from lib import *

ALONE = ("devmgr-fakeplugin",)
FAULTS = {
    "register": "hang crash delay=D empty two huge garbage repeat",
    "options": "hang crash delay=D error=CODE empty huge garbage",
    "list": "hang crash delay=D error=CODE empty huge garbage dup repeat flap end=ok end=error",
    "preferred": "hang crash delay=D error=CODE empty none two huge garbage repeat without-held",
    "allocate": "hang crash delay=D error=CODE empty none two huge garbage dup",
    "prestart": "hang crash delay=D error=CODE huge garbage",
}


def refused(node, *args, code=2):
    """The one line that it says before it exits with `code`."""
    done = node.run("devmgr-fakeplugin", *args, code=code)
    equal(done.stdout, "")
    equal(done.stderr.count("\n"), 1, done.stderr)
    return done.stderr.removeprefix("devmgr-fakeplugin: ").rstrip("\n")


@scenario(needs=ALONE)
def help_shows_every_option_and_an_example(node):
    text = node.run("devmgr-fakeplugin", "--help", code=0).stdout
    for option in "root resource devices numa socket prestart preferred latency answer fault manual version".split():
        contains(text, f"--{option}")
    contains(text, "Example")
    contains(node.run("devmgr-fakeplugin", "--version", code=0).stdout, "devmgr-fakeplugin ")


@scenario(needs=ALONE)
def the_list_of_faults_is_complete(node):
    text = node.run("devmgr-fakeplugin", "--fault", "list", code=0).stdout
    listed = [line.split()[0] for line in text.splitlines()]
    equal(sorted(listed), sorted(f"{rpc}:{what}" for rpc, all_of_it in FAULTS.items() for what in all_of_it.split()))
    true(all(len(line.split()) > 2 for line in text.splitlines()), "every fault says what it does")


@scenario(needs=ALONE)
def the_manual_says_the_same_of_each_fault(node):
    page = (TREE / "share/man/devmgr-fakeplugin.1").read_text(encoding="utf-8")
    sections = {part.split("\n", 1)[0]: part for part in page.split("\n.Ss ")[1:]}
    for line in node.run("devmgr-fakeplugin", "--fault", "list", code=0).stdout.splitlines():
        fault, does = line.split(None, 1)
        rpc, what = fault.split(":", 1)
        word, _, value = what.partition("=")
        tag = f".It Cm {word}= Ns Ar {value}" if value.isupper() else f".It Cm {what}"
        does = (does[0].upper() + does[1:] + ".").replace("--", "\\-\\-")
        contains(sections[rpc], f"{tag}\n{does}\n")


@scenario(needs=ALONE)
def every_mistake_on_the_command_line_is_one_line_that_helps(node):
    r = ("--resource", "example.com/gpu")
    for args, part in [
        ((), "--resource is missing"),
        ((*r, "--devics", "4"), "did you mean --devices?"),
        ((*r, "--devices", "many"), '"many" is not a number'),
        ((*r, "--devices", "1000001"), "from 0 to 1000000"),
        ((*r, "--numa", "0"), "from 1 to 1024"),
        ((*r, "--latency", "5"), "write 500ms"),
        ((*r, "--preferred", "best"), "not one of first, last, none or error"),
        ((*r, "--prestart=yes"), "takes no value"),
        ((*r, "--socket", "a/b"), "without /"),
        ((*r, "extra"), "extra: one argument too many"),
        ((*r, "--fault", "allocate:hnag"), "allocate can: hang, crash"),
        ((*r, "--fault", "list:two"), "two has no meaning for list"),
        ((*r, "--fault", "register:error=INTERNAL"), "error has no meaning for register"),
        ((*r, "--fault", "alocate:hang"), "did you mean allocate?"),
        ((*r, "--fault", "allocate:hang@0"), "not the number of a call"),
        ((*r, "--fault", "allocate:error=NOPE"), "not a gRPC status"),
        ((*r, "--fault", "allocate:error=OK"), "not a gRPC status"),
        ((*r, "--fault", "options:delay"), "write options:delay=D"),
        ((*r, "--fault", "list:hang=5"), "write list:hang"),
        ((*r, "--fault", "list:end=never"), "unknown fault"),
        ((*r, "--fault", "hang"), "write RPC:WHAT"),
    ]:
        contains(refused(node, *args), part, " ".join(args))


@scenario(needs=ALONE)
def mistakes_in_an_answer_name_file_and_place(node):
    for content, part in [
        ("{", "line 1"),
        ([], "not a JSON object"),
        ({"env": {}}, 'unknown key "env"; did you mean "envs"?'),
        ({"envs": {"A": 1}}, '"A" is not a string'),
        ({"mounts": [{"container": "/a"}]}, "mounts[0]"),
        ({"devices": [{"container": "/a", "host": "/a", "ro": True}]}, 'unknown key "ro"'),
        ({"cdi": "x"}, '"cdi" is not a list'),
        ({"empty": 1}, '"empty" is not true or false'),
    ]:
        path = node.write("answer.json", content)
        text = refused(node, "--resource", "example.com/gpu", "--answer", path)
        contains(text, str(path))
        contains(text, part)


@scenario(needs=ALONE)
def without_the_plugin_folder_it_says_what_to_do(node):
    contains(refused(node, "--root", node.root, "--resource", "example.com/gpu", code=1), "start devmgrd first")


@scenario(needs=ALONE)
def too_long_a_socket_path_is_refused_by_name(node):
    deep = node.root / ("x" * 90)
    (deep / "device-plugins").mkdir(parents=True)
    contains(refused(node, "--root", deep, "--resource", "example.com/gpu", code=1), "107")


@scenario(needs=ALONE)
def it_serves_a_socket_named_after_the_resource_and_removes_it(node):
    plugin = node.plugin(manual=True)
    equal(os.listdir(node.plugins), ["example.com_gpu.sock"])
    plugin.stop()
    equal(os.listdir(node.plugins), [])


@scenario(needs=ALONE)
def end_of_input_ends_a_manual_one_after_its_last_command(node):
    plugin = node.plugin(manual=True)
    plugin.send("stats")
    plugin.send("health dev-00000", end="")
    plugin.close_input()
    equal(plugin.event(event="stats")["Allocate"], 0)
    equal(plugin.event(event="error")["err"], "health: health ID WORD")
    equal(plugin.wait(), 0)
    equal(os.listdir(node.plugins), [])


@scenario(needs=ALONE)
def a_second_one_does_not_take_a_live_socket(node):
    first = node.plugin(manual=True)
    text = refused(node, "--root", node.root, "--resource", "example.com/gpu", code=1)
    contains(text, f"(pid {first.pid})")
    contains(text, "--socket NAME")
    first.command("stats")
    node.spawn("devmgr-fakeplugin", ["--root", node.root, "--resource", "example.com/gpu", "--socket", "two.sock"])
    until(lambda: sorted(os.listdir(node.plugins)), ["example.com_gpu.sock", "two.sock"])


@scenario(needs=ALONE)
def the_socket_of_a_killed_one_is_taken_over(node):
    node.plugin(manual=True).die()
    equal(os.listdir(node.plugins), ["example.com_gpu.sock"])
    node.plugin(manual=True).command("stats")


@scenario(needs=ALONE)
def a_file_in_its_place_is_left_alone(node):
    node.plugins.mkdir()
    path = node.plugins / "example.com_gpu.sock"
    path.write_text("mine")
    contains(refused(node, "--root", node.root, "--resource", "example.com/gpu", code=1), "is no socket")
    equal(path.read_text(), "mine")


@scenario(needs=ALONE)
def it_makes_its_socket_again_when_it_was_swept(node):
    node.plugins.mkdir()
    plugin = node.plugin(wait=False)
    plugin.event(event="listening")
    first = os.stat(plugin.socket).st_ctime_ns
    os.unlink(plugin.socket)
    plugin.event(event="listening")
    true(os.stat(plugin.socket).st_ctime_ns != first, "the socket is a new one")


@scenario(needs=ALONE)
def it_removes_no_socket_but_its_own(node):
    plugin = node.plugin(manual=True)
    os.unlink(plugin.socket)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(plugin.socket))
        plugin.stop()
        equal(os.listdir(node.plugins), ["example.com_gpu.sock"])


@scenario(needs=ALONE)
def commands_answer_in_json_lines(node):
    plugin = node.plugin("example.com/gpu", 2, manual=True)
    equal(plugin.stats(), {"event": "stats", "Register": 0, "GetDevicePluginOptions": 0, "ListAndWatch": 0,
                           "GetPreferredAllocation": 0, "Allocate": 0, "PreStartContainer": 0})
    equal(plugin.calls(), [])
    equal(plugin.flap(1), {"event": "sent", "t0_ns": 0}, "nobody listens")
    equal(plugin.health("*", "Odd"), {"event": "sent", "t0_ns": 0})
    equal(plugin.list(0), {"event": "sent", "t0_ns": 0})
    matches(plugin.storm(5, 1), {"event": "storm", "t0_ns": ANY, "t1_ns": ANY})
    equal(plugin.relisten(), {"event": "listening"})
    equal(plugin.fault("allocate:hang@3"), {"event": "fault", "spec": "allocate:hang@3"})
    equal(plugin.fault("clear"), {"event": "fault", "spec": "clear"})
    for command, error in [("dance", "unknown command dance"), ("flap", "flap: flap K"), ("flap x", 'flap: "x" is not'),
                           ("health nobody Healthy", "nobody: no such device"), ("fault a:b", "fault: a:b: ")]:
        plugin.send(command)
        contains(json.loads(plugin.line())["err"], error)


@scenario(needs=ALONE)
def register_hang_does_not_stop_the_commands(node):
    plugin = node.plugin("example.com/gpu", 2, "--fault", "register:hang", manual=True)
    with socket.socket(socket.AF_UNIX) as manager:
        manager.bind(str(node.kubelet_socket))
        manager.listen()
        plugin.register("register:hang")
        connection, _ = manager.accept()
        connection.setblocking(False)
        plugin.stats()
        try:
            equal(connection.recv(1), "nothing at all")
        except BlockingIOError:
            pass
        connection.close()


@scenario(needs=ALONE)
def sigint_ends_it_as_sigterm_does(node):
    plugin = node.plugin(manual=True)
    plugin.signal(signal.SIGINT)
    equal(plugin.wait(), 0)
    equal(os.listdir(node.plugins), [])


main(__file__)
