#!/usr/bin/env python3
"""Pod manifests with a mistake, by devmgrctl from a file: one line each that says file, line, field, value and what is allowed;
nobody is admitted, and the daemon goes on."""
from lib import *

GPU = "example.com/gpu"
LIMITS = "spec.containers[0].resources.limits[example.com/gpu]"
GOOD = "kind: Pod\nmetadata: {name: good}\nspec: {containers: [{name: c, resources: {limits: {example.com/gpu: 1}}}]}\n"


def asks(resources, kind="Pod", name="bad"):
    return f"kind: {kind}\nmetadata:\n  name: {name}\nspec:\n  containers:\n  - name: c\n    resources: {resources}\n"


def limit(quantity):
    return asks("{limits: {example.com/gpu: " + quantity + "}}")


MISTAKES = {  # what it is: the manifest, what is said of it
    "YAML that is none": ("kind: Pod\nspec: [1\nx: y\n", "line 3, column 2: did not find expected ',' or ']'"),
    "JSON that is none": ('{"kind": "Pod"\n "spec": {}}', "line 2, column 7: '}' expected near '\"spec\"'"),
    "a tab": ("kind: Pod\n\tspec: {}\n", "line 2, column 1: found a tab character that violates indentation"),
    "an end too early": ('{"kind": "Pod", "spec": ', "line 1, column 24: unexpected token near end of file"),
    "another kind": (asks("{}", kind="Deployment"), 'line 1: kind: "Deployment": must be Pod'),
    "no pod at all": ("- 1\n- 2\n", "line 1: document: must be a Kubernetes Pod"),
    "no name": ("kind: Pod\nspec: {containers: []}\n", "line 1: metadata.name: missing; must be the pod's name"),
    "a negative quantity": (limit("-1"), f'line 7: {LIMITS}: "-1": must be a whole number of devices, 0 or more'),
    "a fraction": (limit("1.5"), f'line 7: {LIMITS}: "1.5": must be a whole number of devices'),
    "a fraction in thousandths": (limit("500m"), f'line 7: {LIMITS}: "500m": must be a whole number of devices'),
    "a huge quantity": (limit("9223372036854775808"), f'line 7: {LIMITS}: "9223372036854775808": must be a number that fits 63 bits'),
    "a huge power": (limit("1e30"), f'line 7: {LIMITS}: "1e30": must be a number that fits 63 bits'),
    "words": (limit("many"), f'line 7: {LIMITS}: "many": must be a whole number of devices, 0 or more'),
    "a request without limit": (asks("{requests: {example.com/gpu: 1}}"), 'line 7: spec.containers[0].resources.requests[example.com/gpu]: "1": '
                                "set it under limits: an extended resource needs a limit"),
    "a request that is not the limit": (asks("{requests: {example.com/gpu: 1}, limits: {example.com/gpu: 2}}"),
                                        'line 7: spec.containers[0].resources.requests[example.com/gpu]: "1": must be equal to its limit'),
    "a list for a map": (asks("[1]"), "line 7: spec.containers[0].resources: must be a map with limits"),
    "a bad one of several": (GOOD + "---\n" + asks("{}", kind="Job") + "---\n" + GOOD, 'line 5: kind: "Job": must be Pod'),
    "a broken one of several": (GOOD + "---\nkind: [Pod\n", "line 6, column 1: did not find expected ',' or ']'"),
    "a bad quantity in the last one": (GOOD + "---\n" + limit("x"), f'line 11: {LIMITS}: "x": must be a whole number of devices, 0 or more'),
}


@scenario
def each_mistake_is_one_line_that_says_where_what_and_what_is_allowed(node):
    node.start()
    node.plugin(GPU, 4)
    node.wait_for(GPU, 4)
    for what, (manifest, says) in MISTAKES.items():
        path = node.write("pod.yaml", manifest)
        done = node.run("devmgrctl", "admit", "-f", path, "--root", node.root, code=1)
        equal((done.stderr, done.stdout), (f"devmgrctl: {path}: {says}\n", ""), what)
    equal(node.pods(), {})
    matches(node.resource(GPU), {"reserved": 0, "held": 0})


@scenario
def what_is_made_to_cost_much_costs_little(node):
    node.start()
    bomb = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 200))
    for what, manifest, says in [
        ("aliases of aliases", bomb + GOOD, "line 101: document: at most 1000 anchors and aliases are read"),
        ("a deep one", "[" * 100000, "line 1: document: at most 100 levels are read"),
        ("a deep one in JSON", '{"a":' * 100000, "line 1: document: at most 100 levels are read"),
        ("a long one", "[" + "1," * 200000, "line 1: document: at most 100000 values are read"),
        ("over the limit", "#" * (9 << 20), "over 8 MiB"),
        ("bytes", "kind: Pod\nmetadata: {name: \x01\x02}\n", "line 2: control characters are not allowed"),
        ("nothing", "", "empty; a Kubernetes Pod is wanted, YAML or JSON"),
    ]:
        path = node.write("pod.yaml", manifest)
        done = node.run("devmgrctl", "admit", "-f", path, "--root", node.root, code=1)
        contains(done.stderr, f"devmgrctl: {path}: {says}", what)
        equal(done.stderr.count("\n"), 1, what)
    latin = node.scratch / "latin.yaml"
    latin.write_bytes(b"kind: Pod\nmetadata: {name: \xe4}\n")
    contains(node.run("devmgrctl", "admit", "-f", latin, "--root", node.root, code=1).stderr, f"devmgrctl: {latin}: line 2")
    node.daemon.stays_under(100)
    equal(node.pods(), {})


@scenario
def a_changed_request_names_pod_container_resource_and_both_counts(node):
    node.start()
    node.plugin(GPU, 4)
    node.wait_for(GPU, 4)
    node.admit(pod("web", {GPU: 1}), code=0)
    result = node.admit(pod("web", {GPU: 2}), code=3)
    matches(result, {"verdict": "refused", "cause": "RequestChanged"})
    for part in ("default/web", "container main", GPU, "holds 1 of", "asks for 2 now", "release the container or the pod first"):
        contains(result["detail"], part)
    equal(node.pods(), {"default_web": {"main": {GPU: ["dev-00000"]}}})


main(__file__)
