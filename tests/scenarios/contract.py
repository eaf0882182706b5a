#!/usr/bin/env python3
"""Behaviours of the kubelet seen from outside: daemon, plugin and command line. The ids are those of tests/contract/rows.tsv."""
import json
import os
import stat

from lib import *

GPU = "example.com/gpu"
OLD_FORMAT = {"Data": {"PodDeviceEntries": [{"PodUID": "p", "ContainerName": "c", "ResourceName": GPU, "DeviceIDs": ["a"],
                                             "AllocResp": ""}], "RegisteredDevices": {}}, "Checksum": 1}
UNUSABLE = {"empty": "", "cut off": '{"Data":{"PodDev', "no JSON": "devices: []\n", "bytes behind the end": "{}x",
            "wrong checksum": '{"Data":{"PodDeviceEntries":null,"RegisteredDevices":{}},"Checksum":1}',
            "no checksum": '{"Data":{"PodDeviceEntries":null,"RegisteredDevices":{}}}', "old format": json.dumps(OLD_FORMAT)}


def damaged(node):
    return [name for name in os.listdir(node.plugins) if ".damaged-" in name]


@scenario
def LIFE_10_CKPT_14_without_a_checkpoint_it_starts_empty_and_gives_out(node):
    node.start()
    equal((node.pods(), node.resources()), ({}, {}))
    node.plugin(GPU, 1)
    node.wait_for(GPU, 1)
    matches(node.admit(pod("p", {GPU: 1})), {"verdict": "admitted"})


@scenario
def LIFE_10_CKPT_15_16_17_22_with_an_unusable_checkpoint_it_starts_and_waits_for_a_sync(node):
    node.plugins.mkdir()
    plugin = None
    for what, content in UNUSABLE.items():
        node.checkpoint.write_text(content)
        node.start()
        plugin = plugin or node.plugin(GPU, 1)
        node.wait_for(GPU, 1, plugin="connected")
        equal(node.pods(), {}, what)
        matches(node.admit(pod("p", {GPU: 1})), {"verdict": "not_yet", "cause": "Recovering"}, what)
        equal([(node.plugins / name).read_text() for name in damaged(node)], [content], f"{what}: is set aside as it was")
        node.ctl("sync", "--none")
        matches(node.admit(pod("p", {GPU: 1}), args=("--wait", "--timeout", "20s")), {"verdict": "admitted"}, what)
        equal(node.release("p"), ["default_p"], what)
        node.stop()
        for file in node.plugins.glob(".kubelet_internal_checkpoint.*"):  # what was set aside, and the copy before it
            file.unlink()


@scenario
def LIFE_11_a_stop_removes_kubelet_sock_and_lets_the_plugin_see_its_end(node):
    node.start()
    plugin = node.plugin(GPU, 1)
    node.wait_for(GPU, 1)
    node.stop()
    true(not node.kubelet_socket.exists(), "kubelet.sock is gone")
    true(plugin.running(), "the plugin lives")


@scenario
def REG_01_15_18_a_plugin_is_asked_for_its_options_and_then_once_for_its_list(node):
    node.start()
    plugin = node.plugin(GPU, 2, manual=True)
    plugin.register()
    node.wait_for(GPU, 2)
    matches(plugin.stats(), {"GetDevicePluginOptions": 1, "ListAndWatch": 1, "Allocate": 0})
    plugin.register()
    until(lambda: plugin.stats(), {"GetDevicePluginOptions": 2, "ListAndWatch": 2})


@scenario
def ALLOC_03_33_34_a_failed_allocate_reaches_the_pod_and_gives_everything_back(node):
    node.start()
    plugin = node.plugin(GPU, 2, "--answer", node.write("answer", {"error": "no way"}), manual=True)
    plugin.register()
    plugin.calls()
    node.wait_for(GPU, 2)
    matches(node.admit(pod("p", {GPU: 2})), {
        "verdict": "refused", "cause": "PluginError", "reason": "UnexpectedAdmissionError",
        "message": "Allocate failed due to rpc error: code = Unknown desc = no way, which is unexpected"})
    equal(plugin.calls(), [{"rpc": "Allocate", "ids": ["dev-00000", "dev-00001"]}])
    matches(node.resource(GPU), {"capacity": 2, "allocatable": 2, "held": 0, "reserved": 0})


@scenario
def ALLOC_17_18_19_init_containers_hand_on_sidecars_and_apps_do_not(node):
    node.start()
    node.plugin(GPU, 4)
    node.wait_for(GPU, 4)
    result = node.admit(pod("p", init={"setup": {GPU: 2}, "proxy": ({GPU: 1}, "Always")}, containers={"one": {GPU: 1}, "two": {GPU: 2}}))
    held = {name: set(claims[GPU]["ids"]) for name, claims in result["containers"].items()}
    true(held["proxy"] < held["setup"], f"the sidecar takes what the init container left: {held}")
    true(held["setup"] - held["proxy"] == held["one"], f"and the first app the rest: {held}")
    equal(len(held["proxy"] | held["one"] | held["two"]), 4, "these three share nothing")


@scenario
def NODE_01_03_08_capacity_is_what_the_kubelet_would_publish(node):
    node.start()
    plugin = node.plugin(GPU, 3, manual=True)
    plugin.register()
    node.wait_for(GPU, 3)
    plugin.health("dev-00001", "Unhealthy")
    node.wait_for(GPU, capacity=3, allocatable=2)
    plugin.die()
    node.wait_for(GPU, capacity=3, allocatable=0, plugin="gone")
    node.restart()
    matches(node.resource(GPU), {"capacity": 0, "allocatable": 0, "plugin": "gone"})


@scenario
def OPT_02_10_11_prestart_before_each_create_and_the_kept_answer_over_restarts(node):
    node.start()
    plugin = node.plugin(GPU, 2, "--prestart", manual=True)
    plugin.register()
    plugin.calls()
    node.wait_for(GPU, 2)
    node.admit(pod("p", {GPU: 2}))
    first = node.options("p")
    plugin.health("dev-00001", "Unhealthy")
    node.wait_for(GPU, 1)
    equal(node.options("p"), first, "bad health is served all the same")
    node.restart()
    plugin.relisten()
    plugin.register()
    node.wait_for(GPU, 1)
    equal(node.options("p"), first, "after a restart")
    ids = ["dev-00000", "dev-00001"]
    equal(plugin.calls(), [{"rpc": rpc, "ids": ids} for rpc in ["Allocate"] + ["PreStartContainer"] * 3])


@scenario
def CKPT_01_02_the_file_is_the_kubelets_by_name_mode_and_form(node):
    node.start()
    node.plugin(GPU, 2)
    node.wait_for(GPU, 2)
    node.admit(pod("p", {GPU: 1}, uid="uid-1"))
    equal(stat.S_IMODE(os.stat(node.plugins / "kubelet_internal_checkpoint").st_mode), 0o600)
    content = json.loads(node.checkpoint.read_text())
    true(isinstance(content["Checksum"], int), "Checksum is a number")
    matches(content["Data"], {
        "PodDeviceEntries": [{"PodUID": "uid-1", "ContainerName": "main", "ResourceName": GPU, "DeviceIDs": {"-1": ["dev-00000"]},
                              "AllocResp": ANY}],
        "RegisteredDevices": {GPU: ["dev-00000", "dev-00001"]}})


main(__file__)
