"""A node in a scratch folder: devmgrd, plugins, devmgrctl."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from . import check
from .check import Failure, until
from .process import Process

TREE = pathlib.Path(__file__).resolve().parents[3]
BUILD = TREE / os.environ.get("DEVMGR_BUILD", os.environ.get("BUILD", "build"))
SOCKET_PATH_MAX = 107  # of the kernel's sockaddr_un, without its NUL
_ROOM = len("/dm-12345678/r/device-plugins/") + 48  # what we and a plugin put behind the temporary folder


def program(name):
    """Path of one of our programs; it need not be built."""
    return BUILD / name


def pod(name, limits=None, containers=None, init=None, uid=None, namespace=None):
    """A Kubernetes Pod manifest. `limits` are for its one container `main`.

    containers, init: {name: limits}, or {name: (limits, "Always")} for a sidecar under init."""

    def container(key, value):
        wants, restart = value if isinstance(value, tuple) else (value, None)
        out = {"name": key, "image": "scratch", "resources": {"limits": dict(wants or {})}}
        return {**out, "restartPolicy": restart} if restart else out

    if containers is None:
        containers = {"main": limits}
    metadata = {"name": name, **({"uid": uid} if uid else {}), **({"namespace": namespace} if namespace else {})}
    spec = {"containers": [container(*item) for item in containers.items()]}
    if init:
        spec["initContainers"] = [container(*item) for item in init.items()]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


class FakePlugin(Process):
    """devmgr-fakeplugin. With --manual its commands are methods that return the answer."""

    def __init__(self, resource, path, **kw):
        super().__init__(**kw)
        self.resource, self.socket = resource, path

    def command(self, text):
        self.send(text)
        while (answer := json.loads(self.line()))["event"] == "listening" and text != "relisten":
            pass
        if answer["event"] == "error":
            raise Failure(f"{self.name}: {text}: {answer['err']}")
        return answer

    def register(self, error=""):
        """Registers; `error` is what must be in the refusal, "" that it works."""
        answer = self.command("register")
        if bool(answer["err"]) != bool(error) or error not in answer["err"]:
            raise Failure(f"{self.name}: register: got error \"{answer['err']}\"\nwant \"{error}\"")
        return answer

    def health(self, device, word):
        return self.command(f"health {device} {word}")

    def flap(self, count):
        return self.command(f"flap {count}")

    def list(self, count):
        return self.command(f"list {count}")

    def storm(self, updates, unhealthy):
        return self.command(f"storm {updates} {unhealthy}")

    def fault(self, spec):
        return self.command(f"fault {spec}")

    def relisten(self):
        return self.command("relisten")

    def stats(self):
        return self.command("stats")

    def calls(self):
        """What it was asked since the last time (at first: from now on), ids sorted."""
        calls = self.command("calls")["calls"]
        for call in calls:
            for key in ("ids", "available", "must"):
                if key in call:
                    call[key].sort()
        return calls

    def registered(self):
        """Waits until it has registered (again)."""
        return self.event(event="registered", err="")

    def die(self):
        """Ends as if killed, leaving its socket."""
        self.expected_end = -9
        self.send("die")
        self.wait()


class Node:
    """Everything below one short scratch folder; nothing is started until asked for."""

    def __init__(self):
        tmp = tempfile.gettempdir()
        if len(os.fsencode(tmp)) + _ROOM > SOCKET_PATH_MAX:
            tmp = "/tmp"
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="dm-", dir=tmp))
        self.root = self.scratch / "r"
        self.plugins = self.root / "device-plugins"
        self.kubelet_socket = self.plugins / "kubelet.sock"
        self.control_socket = self.root / "devmgr.sock"
        self.checkpoint = self.plugins / "kubelet_internal_checkpoint"
        self.processes = []
        self.daemon = None
        self._daemon_args = ()
        self._files = 0
        self.root.mkdir()

    # ---- children --------------------------------------------------------------------------------------------------
    def environment(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("DEVMGR_")}
        env["LC_ALL"] = "C"
        return env

    def spawn(self, name, args, make=Process, **kw):
        """Starts one of our programs (`examples/NAME` too), to be ended with the scenario."""
        self._files += 1
        log = self.scratch / f"{self._files:02}-{pathlib.Path(name).name}.log"
        child = make(argv=[program(name), *args], name=name, log=log, env=self.environment(), **kw)
        self.processes.append(child)
        return child

    def start(self, *args):
        """devmgrd --root ROOT ARGS; returns when it says `ready`."""
        self._daemon_args = args
        self.daemon = self.spawn("devmgrd", ["--root", self.root, *args])
        self.daemon.line_where(lambda line: line == "ready", "ready")
        return self.daemon

    def stop(self):
        self.daemon.stop()

    def kill(self):
        self.daemon.kill()

    def restart(self, *args, kill=False):
        """Ends devmgrd and starts it again, with the same options unless others are given."""
        if self.daemon.running():
            self.kill() if kill else self.stop()
        return self.start(*(args or self._daemon_args))

    def plugin(self, resource="example.com/gpu", devices=4, *args, manual=False, wait=True):
        """A fake plugin. `wait`: until it serves, and (unless manual) until it has registered."""
        self.plugins.mkdir(exist_ok=True)
        options = ["--root", self.root, "--resource", resource, "--devices", devices, *args]
        path = self.plugins / (resource.replace("/", "_") + ".sock")
        child = self.spawn("devmgr-fakeplugin", options + (["--manual"] if manual else []), FakePlugin,
                           resource=resource, path=path)
        if wait:
            child.event(event="listening")
        if wait and not manual:
            child.registered()
        return child

    def run(self, name, *args, stdin="", code=None):
        """Runs one of our programs to its end. `code`: what it must exit with (a number or a tuple); None: anything."""
        done = subprocess.run([str(program(name)), *map(str, args)], input=stdin, capture_output=True, text=True,
                              env=self.environment(), timeout=check.PATIENCE * 3, check=False)
        wanted = code if isinstance(code, tuple) or code is None else (code,)
        if wanted is not None and done.returncode not in wanted:
            raise Failure(f"{name} {' '.join(map(str, args))}: exit {done.returncode}, want {code}\n"
                          f"stdout: {done.stdout[-2000:]}\nstderr: {done.stderr[-2000:]}")
        return done

    # ---- devmgrctl -------------------------------------------------------------------------------------------------
    def ctl(self, *args, stdin="", code=0):
        """devmgrctl ARGS -o json: what it printed; of several lines a list."""
        done = self.run("devmgrctl", *args, "--root", self.root, "-o", "json", stdin=stdin, code=code)
        try:
            values = [json.loads(line) for line in done.stdout.splitlines()]
        except ValueError:
            values = [json.loads(done.stdout)]  # one value over several lines
        return values[0] if len(values) == 1 else values or None

    def admit(self, *pods, args=(), code=(0, 1, 3, 4)):
        """Admits pods (manifests). Exit code and verdict must agree; see the verdict."""
        text = "\n---\n".join(json.dumps(manifest) for manifest in pods)
        return self.ctl("admit", "-f", "-", *args, stdin=text, code=code)

    def options(self, name, container="main", *args, code=0):
        return self.ctl("options", name, container, *args, code=code)

    def release(self, name):
        return self.ctl("release", name)["released"]

    def resources(self):
        return {row["name"]: row for row in self.ctl("resources")["resources"]}

    def resource(self, name="example.com/gpu"):
        rows = self.resources()
        if name not in rows:
            raise Failure(f"{name} is not among the resources: {sorted(rows)}")
        return rows[name]

    def devices(self, resource="example.com/gpu"):
        """id -> row"""
        return {row["id"]: row for row in self.ctl("devices", resource)["devices"]}

    def pods(self):
        """uid -> {container: {resource: [ids]}}"""
        return {row["uid"]: row["containers"] for row in self.ctl("pods")["pods"]}

    def wait_for(self, resource="example.com/gpu", allocatable=None, **want):
        """Until the resource's row has these values."""
        if allocatable is not None:
            want["allocatable"] = allocatable
        return until(lambda: self.resource(resource), want, f"{resource} in devmgrctl resources")

    def watch(self):
        """devmgrctl watch, past `synced`."""
        child = self.spawn("devmgrctl", ["watch", "--root", self.root, "-o", "json"])
        child.event(type="synced")
        return child

    # ---- files -----------------------------------------------------------------------------------------------------
    def write(self, name, content):
        """A file in the scratch folder; anything but text is written as JSON. Returns its path."""
        path = self.scratch / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    def forget(self, child):
        """A child that has ended and was buried: nothing of it stays, for scenarios that start hundreds."""
        self.processes.remove(child)
        child.log.unlink()

    # ---- the end ---------------------------------------------------------------------------------------------------
    def bury(self):
        """Ends all children, newest first. What was wrong with them."""
        return [wrong for child in reversed(self.processes) if (wrong := child.bury())]

    def logs(self):
        return [(child.name, child.argv, child.stderr()) for child in self.processes]

    def clean(self):
        shutil.rmtree(self.scratch, ignore_errors=True)
