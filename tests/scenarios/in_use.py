#!/usr/bin/env python3
"""devmgrd with its default paths beside somebody who has them: it changes nothing on disk, and says who it is.

Runs in a mount namespace of its own, in which /var/lib/kubelet and /run/devmgr are empty. A listener on kubelet.sock
stands for the kubelet, which knows no lock.
"""
import os
import pathlib
import socket
import stat
import subprocess
import sys

from lib import *

ROOT, RUN = pathlib.Path("/var/lib/kubelet"), pathlib.Path("/run/devmgr")
FOLDER = ROOT / "device-plugins"
EMPTY = '{"Data":{"PodDeviceEntries":null,"RegisteredDevices":{}},"Checksum":3467439661}'
PRIVATE = """
mkdir -p /var/lib/kubelet /run/devmgr 2>/dev/null
mount -t tmpfs none /var/lib/kubelet && mount -t tmpfs none /run/devmgr || exit 77
exec "$@"
"""
LISTENER = "import socket,sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(8); print('up', flush=True); sys.stdin.read()"


def enter_namespace():
    """Becomes this program again, where the default paths are scratch; exit 77 where that is not allowed."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    again = [sys.executable, os.path.abspath(__file__), *sys.argv[1:]]
    unshare = ["unshare", *user, "--mount", "--propagation", "private"]
    if subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        print("no right to a mount namespace here")
        sys.exit(77)
    done = subprocess.run([*unshare, "sh", "-c", PRIVATE, "sh", *again], env={**os.environ, "IN_USE_INSIDE": "1"}, check=False)
    sys.exit(done.returncode if done.returncode >= 0 else 1)


def picture():
    """Everything about every file: type, mode, owner, inode, times of change, content."""
    rows = {}
    for top in (ROOT, RUN):
        for path in (top, *sorted(top.rglob("*"))):
            s = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(s.st_mode) else b""
            rows[str(path)] = repr((s.st_mode, s.st_uid, s.st_gid, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns, content))
    return rows


def a_kubelets_files():
    """What a running kubelet has there. A manager that starts would sweep the plugin's socket and the temporary file."""
    FOLDER.mkdir(parents=True)
    (FOLDER / "kubelet_internal_checkpoint").write_text(EMPTY)
    (FOLDER / ".kubelet_internal_checkpoint.tmp").write_text("left over")
    with socket.socket(socket.AF_UNIX) as plugin:
        plugin.bind(str(FOLDER / "gpu.sock"))


def is_refused(node, pid):
    before = picture()
    done = node.run("devmgrd", code=1)
    equal(picture(), before, "what is on disk")
    equal((done.stdout, done.stderr.count("\n")), ("", 1), done.stderr)
    for part in ("devmgrd: ", "kubelet.sock", "in use", f"pid {pid}", "--root"):
        contains(done.stderr, part)


@scenario(needs=("devmgrd",))
def beside_a_listener_on_kubelet_sock_nothing_changes(node):
    a_kubelets_files()
    listener = subprocess.Popen([sys.executable, "-c", LISTENER, str(FOLDER / "kubelet.sock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        listener.stdout.readline()
        is_refused(node, listener.pid)
    finally:
        listener.communicate()


@scenario(needs=("devmgrd", "devmgrctl"))
def beside_another_devmgrd_nothing_changes(node):
    first = node.spawn("devmgrd", [])
    first.line_where(lambda line: line == "ready", "ready")  # over a socket that nobody answers on any more
    is_refused(node, first.pid)
    node.run("devmgrctl", "resources", code=0)
    first.stop()
    true(not (FOLDER / "kubelet.sock").exists() and not list(RUN.iterdir()), "no socket is left")


if "IN_USE_INSIDE" not in os.environ:
    enter_namespace()
main(__file__)
