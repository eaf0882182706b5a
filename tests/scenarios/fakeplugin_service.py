#!/usr/bin/env python3
"""devmgr-fakeplugin with devmgrd: registering, lists, answers, and each fault as a manager sees it."""
import os

from lib import *

GPU = "example.com/gpu"


def one(node, name="p", count=1):
    """Admits a pod that wants `count` devices; the result."""
    return node.admit(pod(name, {GPU: count}))


def ids(result, container="main"):
    return result["containers"][container][GPU]["ids"]


def bench_answer(*devices):
    """The built-in answer for these devices, as container options."""
    return {
        "envs": [{"name": "BENCH_VISIBLE_DEVICES", "value": ",".join(devices)}],
        "mounts": [{"container_path": "/usr/lib/bench", "host_path": "/opt/bench/lib", "read_only": True}],
        "devices": [{"container_path": f"/dev/bench/{d}", "host_path": f"/dev/bench/{d}", "permissions": "rw"}
                    for d in devices],
        "annotations": [],
        "cdi_devices": [],
    }


# ---- coming, staying, going -----------------------------------------------------------------------------------------
@scenario
def it_registers_at_once_and_its_devices_can_be_had(node):
    node.start()
    node.plugin(GPU, 4, "--numa", "2")
    node.wait_for(GPU, capacity=4, allocatable=4, plugin="connected")
    equal({k: (d["health"], d["numa"]) for k, d in node.devices(GPU).items()},
          {f"dev-{i:05}": ("Healthy", [i % 2]) for i in range(4)})
    result = one(node, count=2)
    equal(result["verdict"], "admitted", result["detail"])
    equal(node.options("p"), bench_answer(*sorted(ids(result))))


@scenario
def it_waits_for_a_manager_that_starts_later(node):
    node.plugins.mkdir()
    plugin = node.plugin(GPU, 4, wait=False)
    plugin.event(event="listening")
    node.start()
    plugin.registered()
    node.wait_for(GPU, 4)


@scenario
def it_comes_back_after_each_restart_of_the_manager(node):
    node.start()
    plugin = node.plugin(GPU, 4)
    node.wait_for(GPU, 4)
    for kill in (False, True):
        node.restart(kill=kill)
        plugin.registered()
        node.wait_for(GPU, 4)


@scenario
def its_end_is_seen_and_its_successor_takes_over(node):
    node.start()
    plugin = node.plugin(GPU, 4)
    node.wait_for(GPU, 4)
    plugin.stop()
    node.wait_for(GPU, capacity=4, allocatable=0, plugin="gone")
    true(not (node.plugins / "example.com_gpu.sock").exists(), "its socket is gone")
    node.plugin(GPU, 3)
    node.wait_for(GPU, capacity=3, allocatable=3, plugin="connected")


@scenario
def manual_registers_only_when_told(node):
    node.start()
    plugin = node.plugin(GPU, 4, manual=True)
    equal(plugin.stats()["Register"], 0)
    plugin.register()
    node.wait_for(GPU, 4)
    node.restart()
    equal(plugin.stats()["Register"], 1)
    plugin.relisten()
    plugin.register()
    node.wait_for(GPU, 4)


# ---- lists ----------------------------------------------------------------------------------------------------------
@scenario
def commands_change_the_list(node):
    node.start()
    plugin = node.plugin(GPU, 4, manual=True)
    plugin.register()
    node.wait_for(GPU, 4)
    true(plugin.health("dev-00001", "Unhealthy")["t0_ns"] > 0, "somebody listens")
    node.wait_for(GPU, capacity=4, allocatable=3)
    equal(node.devices(GPU)["dev-00001"]["health"], "Unhealthy")
    plugin.flap(3)
    node.wait_for(GPU, capacity=4, allocatable=1)
    plugin.list(6)
    node.wait_for(GPU, capacity=6, allocatable=3)
    plugin.health("*", "Healthy")
    node.wait_for(GPU, capacity=6, allocatable=6)
    plugin.storm(300, 5)
    node.wait_for(GPU, capacity=6, allocatable=1)
    plugin.list(0)
    node.wait_for(GPU, capacity=0, allocatable=0)


@scenario
def list_faults_do_what_they_say(node):
    node.start()
    for fault, want in [
        ("list:empty", {"capacity": 0, "allocatable": 0, "plugin": "connected"}),
        ("list:dup", {"capacity": 4, "allocatable": 4, "plugin": "connected"}),
        ("list:repeat", {"capacity": 4, "allocatable": 4, "plugin": "connected"}),
        ("list:delay=50ms", {"capacity": 4, "allocatable": 4, "plugin": "connected"}),
        ("list:flap", {"capacity": 4, "allocatable": 3, "plugin": "connected"}),
        ("list:flap", {"capacity": 4, "allocatable": 4, "plugin": "connected"}),
        ("list:hang", {"capacity": 0, "allocatable": 0, "plugin": "starting"}),
        ("list:end=ok", {"capacity": 4, "allocatable": 0, "plugin": "gone"}),
        ("list:end=error", {"capacity": 4, "allocatable": 0, "plugin": "gone"}),
        ("list:error=ABORTED", {"capacity": 0, "allocatable": 0, "plugin": "gone"}),
        ("list:garbage", {"capacity": 0, "allocatable": 0, "plugin": "gone"}),
        ("list:huge", {"capacity": 0, "allocatable": 0, "plugin": "gone"}),
        ("list:crash", {"capacity": 0, "allocatable": 0, "plugin": "gone"}),
    ]:
        name = "example.com/" + fault.replace(":", "-").replace("=", "-").lower()
        lives = fault != "list:crash"  # that one may be gone before it could say that it registered
        plugin = node.plugin(name, 4, "--fault", fault, wait=lives)
        node.wait_for(name, **want)
        plugin.kill()


# ---- registering ----------------------------------------------------------------------------------------------------
@scenario
def register_faults_do_what_they_say(node):
    node.start()
    for fault, error in [("register:garbage@1", 'requested API version "v0garbage" is not supported'),
                         ("register:empty@1", 'requested API version "" is not supported'),
                         ("register:huge@1", "rpc error")]:
        plugin = node.plugin("example.com/bad", 4, "--fault", fault, manual=True)
        plugin.register(error)
        true("example.com/bad" not in node.resources(), f"{fault}: nothing was registered")
        plugin.stop()
    for fault in ("register:two", "register:delay=50ms"):
        name = "example.com/" + fault[9:12]
        node.plugin(name, 4, "--fault", fault, manual=True).register()
        node.wait_for(name, 4)


@scenario
def register_crash_leaves_a_socket_that_nobody_serves(node):
    node.start()
    plugin = node.plugin(GPU, 4, "--fault", "register:crash", wait=False)
    equal(plugin.wait(), -9)
    contains(os.listdir(node.plugins), "example.com_gpu.sock")
    node.plugin(GPU, 4)
    node.wait_for(GPU, 4)


@scenario
def register_repeat_makes_many_generations(node):
    node.start()
    plugin = node.plugin(GPU, 4, "--fault", "register:repeat")
    for _ in range(4):
        plugin.registered()
    node.wait_for(GPU, capacity=4, allocatable=4, plugin="connected")
    equal(one(node)["verdict"], "admitted")


@scenario
def options_faults_end_the_registration(node):
    node.start("--options-timeout", "200ms")
    for fault in ("options:error=UNAVAILABLE", "options:garbage", "options:huge", "options:hang"):
        plugin = node.plugin("example.com/bad", 4, "--fault", fault, manual=True)
        plugin.register("get device plugin options")
        true("example.com/bad" not in node.resources(), f"{fault}: nothing was registered")
        plugin.stop()
    plugin = node.plugin("example.com/bad", 4, "--fault", "options:crash", wait=False)
    equal(plugin.wait(), -9)


@scenario
def options_empty_offers_nothing(node):
    node.start()
    plugin = node.plugin(GPU, 4, "--prestart", "--preferred", "last", "--fault", "options:empty@1", manual=True)
    plugin.calls()
    for name, want in [("a", ["Allocate"]), ("b", ["GetPreferredAllocation", "Allocate", "PreStartContainer"])]:
        plugin.register()
        node.wait_for(GPU, 4, plugin="connected")
        equal(one(node, name)["verdict"], "admitted")
        node.options(name)
        equal([call["rpc"] for call in plugin.calls()], want)


# ---- Allocate -------------------------------------------------------------------------------------------------------
@scenario
def an_answer_file_reaches_the_container(node):
    node.start()
    answer = node.write("answer.json", {
        "envs": {"WORD": "magic", "OF_{id}": "{id}"},
        "annotations": {"example.com/ids": "{ids}"},
        "mounts": [{"container": "/lib/gpu", "host": "/opt/{id}/lib"}],
        "devices": [{"container": "/dev/gpu", "host": "/dev/null", "perm": "mrw"}],
        "cdi": ["example.com/gpu={id}"],
    })
    node.plugin(GPU, 1, "--answer", answer)
    node.wait_for(GPU, 1)
    equal(one(node)["verdict"], "admitted")
    options = node.options("p")
    for key in options:
        options[key].sort(key=str)
    equal(options, {
        "envs": [{"name": "OF_dev-00000", "value": "dev-00000"}, {"name": "WORD", "value": "magic"}],
        "annotations": [{"name": "example.com/ids", "value": "dev-00000"}],
        "mounts": [{"container_path": "/lib/gpu", "host_path": "/opt/dev-00000/lib", "read_only": False}],
        "devices": [{"container_path": "/dev/gpu", "host_path": "/dev/null", "permissions": "mrw"}],
        "cdi_devices": [{"name": "example.com/gpu=dev-00000"}],
    })


def fails_once(node, fault, want):
    """With the fault the first admission ends as wanted; then the device is still there to be had."""
    plugin = node.plugin(GPU, 1, "--fault", fault + "@1", manual=True)
    plugin.register()
    node.wait_for(GPU, capacity=1, allocatable=1, plugin="connected")
    matches(one(node), want, fault)
    equal(one(node)["verdict"], "admitted", f"after {fault}: the device was given back")
    node.release("p")
    plugin.stop()
    node.wait_for(GPU, plugin="gone")


@scenario
def allocate_faults_that_fail(node):
    node.start()
    fails_once(node, "allocate:error=INTERNAL", {"verdict": "refused", "cause": "PluginError"})
    fails_once(node, "allocate:empty", {"verdict": "refused", "cause": "PluginBadAnswer"})
    fails_once(node, "allocate:garbage", {"verdict": "refused"})
    fails_once(node, "allocate:huge", {"verdict": "refused"})


@scenario
def allocate_faults_that_take_too_long(node):
    node.start("--allocate-timeout", "1s")
    fails_once(node, "allocate:hang", {"verdict": "not_yet", "cause": "PluginTimeout"})
    fails_once(node, "allocate:delay=1h", {"verdict": "not_yet", "cause": "PluginTimeout"})


@scenario
def allocate_faults_that_pass(node):
    node.start()
    nothing = {"envs": [], "mounts": [], "devices": [], "annotations": [], "cdi_devices": []}
    for fault, want in [("allocate:none", nothing), ("allocate:two", bench_answer("dev-00000")),
                        ("allocate:dup", bench_answer("dev-00000")), ("allocate:delay=20ms", bench_answer("dev-00000"))]:
        plugin = node.plugin(GPU, 1, "--fault", fault)
        node.wait_for(GPU, capacity=1, allocatable=1, plugin="connected")
        equal(one(node)["verdict"], "admitted", fault)
        equal(node.options("p"), want, fault)
        node.release("p")
        plugin.stop()
        node.wait_for(GPU, plugin="gone")


@scenario
def a_fault_is_told_when_it_acts(node):
    node.start()
    plugin = node.plugin(GPU, 4, "--fault", "allocate:error=INTERNAL@2", "--fault", "allocate:crash@3")
    node.wait_for(GPU, 4)
    one(node, "good")
    equal(plugin.waiting(), [])
    one(node, "bad")
    plugin.event(event="fault", rpc="allocate", what="error")
    one(node, "worse")
    plugin.event(event="fault", rpc="allocate", what="crash")
    equal(plugin.wait(), -9)


@scenario
def allocate_crash_ends_the_plugin_and_not_the_manager(node):
    node.start()
    plugin = node.plugin(GPU, 1, "--fault", "allocate:crash")
    node.wait_for(GPU, 1)
    true(not one(node)["admitted"], "not admitted")
    equal(plugin.wait(), -9)
    node.wait_for(GPU, capacity=1, allocatable=0, plugin="gone", held=0)


# ---- GetPreferredAllocation -----------------------------------------------------------------------------------------
@scenario
def preferences_decide_which_devices(node):
    node.start()
    for how, want in [("first", ["dev-00000"]), ("last", ["dev-00003"]), ("none", ["dev-00000"])]:
        plugin = node.plugin(GPU, 4, "--preferred", how)
        node.wait_for(GPU, capacity=4, allocatable=4, plugin="connected")
        equal(ids(one(node)), want, how)
        node.release("p")
        plugin.stop()
        node.wait_for(GPU, plugin="gone")
    node.plugin(GPU, 4, "--preferred", "error")
    node.wait_for(GPU, capacity=4, allocatable=4, plugin="connected")
    contains(one(node)["message"], "--preferred error")


@scenario
def preferred_faults_do_what_they_say(node):
    node.start()
    for fault, admitted in [
        ("preferred:empty", True), ("preferred:none", True), ("preferred:two", True), ("preferred:repeat", True),
        ("preferred:without-held", True), ("preferred:delay=20ms", True), ("preferred:error=UNIMPLEMENTED", True),
        ("preferred:error=INTERNAL", False),
    ]:
        plugin = node.plugin(GPU, 4, "--preferred", "last", "--fault", fault, manual=True)
        plugin.register()
        plugin.calls()
        node.wait_for(GPU, capacity=4, allocatable=4, plugin="connected")
        result = node.admit(pod("p", init={"setup": {GPU: 1}}, containers={"main": {GPU: 2}}))
        equal(result["admitted"], admitted, f"{fault}: {result['detail']}")
        if admitted:
            last = [call for call in plugin.calls() if call["rpc"] == "GetPreferredAllocation"][-1]
            equal((last["size"], last["must"]), (2, ids(result, "setup")), fault)
            equal(len(set(ids(result))), 2, fault)
            contains(ids(result), ids(result, "setup")[0], f"{fault}: what the init container left is used")
        node.release("p")
        plugin.stop()
        node.wait_for(GPU, plugin="gone")


# ---- PreStartContainer ----------------------------------------------------------------------------------------------
@scenario
def prestart_comes_before_each_create_and_can_fail(node):
    node.start("--prestart-timeout", "1s")
    plugin = node.plugin(GPU, 1, "--prestart", manual=True)
    plugin.register()
    plugin.calls()
    node.wait_for(GPU, 1)
    one(node)
    node.options("p")
    node.options("p")
    equal(plugin.calls(), [{"rpc": rpc, "ids": ["dev-00000"]} for rpc in
                           ("Allocate", "PreStartContainer", "PreStartContainer")])
    node.options("p", "main", "--dry-run")
    equal(plugin.calls(), [])
    for fault in ("prestart:error=NOT_FOUND@1", "prestart:hang@1", "prestart:huge@1", "prestart:garbage@1"):
        plugin.fault(fault)
        done = node.run("devmgrctl", "options", "p", "main", "--root", node.root, code=1)
        contains(done.stderr, "PreStartContainer", fault)
        equal(node.options("p"), bench_answer("dev-00000"), f"after {fault}")
    plugin.fault("prestart:crash@1")
    node.run("devmgrctl", "options", "p", "main", "--root", node.root, code=1)
    equal(plugin.wait(), -9)


main(__file__)
