"""Small file systems for one test process and its children: full ones, read-only ones. The machine's mounts are not touched."""
import ctypes
import os

from .run import skip

_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
_MS_RDONLY, _MS_REMOUNT, _MS_REC, _MS_PRIVATE = 1, 32, 0x4000, 1 << 18
_libc = ctypes.CDLL(None, use_errno=True)
_ready = None  # why not, "" when it works


def _mount(source, target, kind, flags, options=""):
    if _libc.mount(source.encode(), str(target).encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()) < 0:
        raise OSError(ctypes.get_errno(), f"mount {target}: {os.strerror(ctypes.get_errno())}")


def _unshare(flags):
    if _libc.unshare(flags) < 0:
        raise OSError(ctypes.get_errno(), f"unshare: {os.strerror(ctypes.get_errno())}")


def _own_namespace():
    """A mount namespace of our own; without root by way of a user namespace in which we are root."""
    uid, gid = os.getuid(), os.getgid()
    _unshare(_CLONE_NEWNS if uid == 0 else _CLONE_NEWNS | _CLONE_NEWUSER)
    if uid != 0:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)


def prepare():
    """Call it when a scenario file is read: a user namespace can be had only before there are threads."""
    global _ready
    try:
        _own_namespace()
        _ready = ""
    except OSError as error:
        _ready = str(error)


def small_disk(folder, size):
    """Mounts an empty file system of that size there. Skips the scenario where that is not allowed."""
    if _ready is None:
        prepare()
    if _ready:
        skip(f"no right to mount here: {_ready}")
    os.makedirs(folder, exist_ok=True)
    _mount("small", folder, "tmpfs", 0, f"size={size},mode=0755")


def read_only(folder, on=True):
    _mount("small", folder, "tmpfs", _MS_REMOUNT | (_MS_RDONLY if on else 0))


def unmount(folder):
    _libc.umount2(str(folder).encode(), 2)  # MNT_DETACH
