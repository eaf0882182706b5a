#!/usr/bin/env python3
"""Each oddity of real plugins, one at a time, from a plugin on grpc-go (interop/quirk-plugin)."""
import json
import os
import signal
import time

from lib import *

RESOURCE = "example.com/quirk"
WHOLE = {"plugin": "connected", "capacity": 4, "allocatable": 4}


class Quirk(Process):
    def seen(self):
        """The events that have come."""
        self.waiting()
        return [json.loads(line)["event"] for line in self.lines]

    def leave(self, node):
        self.stop()
        node.wait_for(RESOURCE, plugin="gone")


def quirk(node, *args, whole=True):
    child = Quirk([os.environ["QUIRK_PLUGIN"], "-root", node.root, *args], "quirk-plugin",
                  node.scratch / f"quirk-{len(node.processes)}.log", node.environment())
    node.processes.append(child)
    if whole:
        until(lambda: node.resource(RESOURCE), WHOLE, f"quirk-plugin {' '.join(map(str, args))}")
    return child


def admitted(node, name, count=1):
    result = node.admit(pod(name, {RESOURCE: count}, uid=name))
    equal(result["verdict"], "admitted", result["detail"])
    return result["containers"]["main"][RESOURCE]["ids"]


@scenario
def any_authority_is_accepted(node):
    node.start()
    for kind in ("escaped", "raw", "localhost", "tonic"):
        quirk(node, "-authority", kind, "-endpoint", f"{kind}.sock").leave(node)


@scenario
def our_own_authority_is_a_host_name(node):
    node.start()
    plugin = quirk(node, "-strict-authority", "-options", "all")
    admitted(node, "a")
    node.options("a")
    equal("authority" in plugin.seen(), False, "it refused a call")


@scenario
def two_instances_the_new_one_ends_first(node):
    node.start()
    old = quirk(node)
    new = quirk(node, "-endpoint", "new.sock", whole=False)
    new.event(event="listed")
    new.stop()
    node.wait_for(RESOURCE, plugin="gone", allocatable=0)
    true(old.running() and "broke" not in old.seen(), "the old stream is left alone")


def answers(node, kind, permissions="mrw"):
    node.start()
    plugin = quirk(node, "-answer", kind)
    ids = admitted(node, "a", 2)
    matches(plugin.event(event="allocate"), {"containers": 1, "ids": ids})
    options = node.options("a")
    equal(options["devices"], [{"container_path": f"/dev/{ids[0]}", "host_path": "/dev/null", "permissions": permissions}])
    equal(len(options["mounts"]), 1)


@scenario
def a_response_per_device_the_first_counts(node):
    answers(node, "per-device")


@scenario
def a_response_too_many_the_first_counts(node):
    answers(node, "shared")


@scenario
def permissions_left_empty_are_passed_on(node):
    answers(node, "bare-permissions", permissions="")


@scenario
def equal_doubles_in_one_answer_are_one(node):
    answers(node, "doubles")


@scenario
def no_response_at_all_is_a_bad_answer(node):
    node.start()
    quirk(node, "-answer", "none")
    matches(node.admit(pod("a", {RESOURCE: 2})), {"verdict": "refused", "cause": "PluginBadAnswer"})
    matches(node.resource(RESOURCE), {"reserved": 0, "held": 0})


@scenario
def options_in_Register_are_not_believed(node):
    node.start()
    plugin = quirk(node, "-register-options", "all", "-options", "nil")
    admitted(node, "a")
    node.options("a")
    equal([event for event in plugin.seen() if event in ("preferred", "prestart")], [])
    plugin.leave(node)


@scenario
def options_of_the_call_are_and_an_empty_preference_is_none(node):
    node.start()
    plugin = quirk(node, "-register-options", "nil", "-options", "all")
    admitted(node, "a")
    node.options("a")
    plugin.event(event="preferred")
    plugin.event(event="prestart")


@scenario
def an_empty_first_list_is_a_state(node):
    node.start()
    plugin = quirk(node, "-empty-first", "1s", whole=False)
    plugin.event(event="list")
    node.wait_for(RESOURCE, capacity=0)
    matches(node.admit(pod("a", {RESOURCE: 1})), {"verdict": "not_yet"})
    node.wait_for(RESOURCE, **WHOLE)
    admitted(node, "a")


@scenario
def the_same_list_again_and_again_changes_nothing(node):
    node.start()
    quirk(node, "-resend", "20ms", "-shuffle")
    admitted(node, "a")
    time.sleep(1.5)  # a change of health alone is written within a second
    before = node.checkpoint.stat()
    watch = node.watch()
    time.sleep(1.5)
    after = node.checkpoint.stat()
    equal((after.st_ino, after.st_mtime_ns), (before.st_ino, before.st_mtime_ns), "the file")
    equal(watch.waiting(), [], "events")


@scenario
def an_id_listed_twice_is_one_device_and_the_last_word_counts(node):
    node.start()
    quirk(node, "-duplicate", whole=False)
    node.wait_for(RESOURCE, plugin="connected", capacity=4, allocatable=3)
    equal(node.devices(RESOURCE)["quirk-00003"]["health"], "Unhealthy")


def topology(node, kind, numa):
    node.start("--numa", "0:10,20;1:20,10")
    quirk(node, "-topology", kind)
    equal([row["numa"] for _, row in sorted(node.devices(RESOURCE).items())], numa)
    admitted(node, "a")


@scenario
def topology_absent(node):
    topology(node, "nil", [[]] * 4)


@scenario
def topology_empty(node):
    topology(node, "empty", [[]] * 4)


@scenario
def topology_of_node_minus_one_is_none(node):
    topology(node, "minus-one", [[]] * 4)


@scenario
def topology_of_one_node(node):
    topology(node, "one", [[0], [1], [0], [1]])


@scenario
def topology_of_two_nodes(node):
    topology(node, "two", [[0, 1]] * 4)


@scenario
def a_stream_that_ends_with_OK_is_a_plugin_that_has_gone(node):
    node.start()
    plugin = quirk(node, "-end-ok", "1s")
    node.wait_for(RESOURCE, plugin="gone", capacity=4, allocatable=0)
    equal(plugin.seen().count("list"), 1, "ListAndWatch was called")


@scenario
def an_empty_list_as_goodbye_takes_no_claim(node):
    node.start()
    plugin = quirk(node, "-goodbye")
    admitted(node, "a")
    plugin.signal(signal.SIGTERM)
    node.wait_for(RESOURCE, capacity=0, held=1)
    node.wait_for(RESOURCE, plugin="gone", held=1)
    equal(plugin.wait(), 0)
    equal(list(node.pods()), ["a"])


@scenario
def a_live_stream_is_left_alone(node):
    node.start()
    plugin = quirk(node, "-exit-on-break", "-panic-on-second-list", "-resend", "50ms")
    for i in range(5):
        admitted(node, f"pod-{i}")
        node.release(f"pod-{i}")
    time.sleep(1)
    seen = plugin.seen()
    equal((seen.count("list"), seen.count("broke"), plugin.running()), (1, 0, True))


@scenario
def a_plugin_that_exits_when_the_stream_breaks_is_taken_back(node):
    node.start()
    plugin = quirk(node, "-exit-on-break", "-panic-on-second-list")
    ids = admitted(node, "a")
    node.restart()
    equal(plugin.wait(), 1)
    quirk(node)
    equal(admitted(node, "a"), ids)


def comes_back(node, how):
    node.start()
    plugin = quirk(node, "-restart", how, "-panic-on-second-list")
    for kill in (True, False, True):
        node.restart(kill=kill)
        until(lambda: node.resource(RESOURCE), WHOLE, f"back after a restart, kill={kill}")
    true(plugin.running(), "the plugin lives")


@scenario
def one_that_notices_a_new_kubelet_sock_is_back_after_each_restart(node):
    comes_back(node, "create")


@scenario
def one_that_notices_its_own_socket_swept_is_back_after_each_restart(node):
    comes_back(node, "own-socket")


@scenario
def a_new_endpoint_each_time_and_an_old_instance_that_ends_later(node):
    node.start()
    old = quirk(node, "-fresh-endpoint")
    new = quirk(node, "-fresh-endpoint", "-endpoint", "new", whole=False)
    new.event(event="listed")
    old.stop()
    time.sleep(0.3)
    matches(node.resource(RESOURCE), WHOLE)
    ids = admitted(node, "a")
    equal(new.event(event="allocate")["ids"], ids)


@scenario
def the_same_endpoint_again_at_once_has_no_back_off(node):
    node.start()
    began = time.monotonic()
    for _ in range(5):
        quirk(node).kill()
        node.wait_for(RESOURCE, plugin="gone")
    print(f"# five times in {time.monotonic() - began:.2f} s")


def is_refused(node, part, *args):
    plugin = quirk(node, "-die-on-failed-register", *args, whole=False)
    contains(plugin.event(event="refused")["error"], part)
    equal(plugin.wait(), 2)


@scenario
def a_bad_Register_is_told_why(node):
    node.start("--dial-timeout", "1s")
    is_refused(node, "notvalid", "-resource", "notvalid")
    is_refused(node, "../quirk.sock", "-register-as", "../quirk.sock")
    is_refused(node, "nobody.sock", "-register-as", "nobody.sock")
    is_refused(node, "GetDevicePluginOptions", "-options", "unimplemented")
    quirk(node)


@scenario
def a_plugin_that_dials_itself_first(node):
    node.start()
    quirk(node, "-self-dial")


@scenario
def a_plugin_that_takes_no_message_above_4_MiB_costs_the_preference_alone(node):
    node.start()
    quirk(node, "-devices", "128000", "-id-bytes", "64", "-options", "preferred", whole=False)
    node.wait_for(RESOURCE, 128000)
    equal(len(admitted(node, "a", 2)), 2)


@scenario
def a_list_of_60_MiB(node):
    node.start()
    began = time.monotonic()
    quirk(node, "-devices", "190000", "-id-bytes", "320", whole=False)
    node.wait_for(RESOURCE, 190000)
    print(f"# listed after {time.monotonic() - began:.2f} s")
    admitted(node, "a", 2)


main(__file__)
