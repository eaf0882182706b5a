"""Mutants: the tree with one fault planted. What tools/contract-check and tools/model-check share.

A mutant is a patch under tests/mutants; its first line says what it breaks. Each is applied to a copy of its own of the tree
and of what is built of it, under BUILD/mutants; make there builds again what the patch touches and nothing else. Whoever
judges it looks whether the fault is noticed. A patch that does not apply any more, or does not build, is wrong too: it
would prove nothing.
"""
import concurrent.futures
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

TREE = pathlib.Path(__file__).resolve().parent.parent
BUILD = os.environ.get("BUILD", "build")
PATCHED = ("include", "src", "tools")
BUILT = ("flags", "grpc.libs", "link", "proto", "src", "libcontrol.a", "libdevmgr.a")
SCRATCH = TREE / BUILD / "mutants"
_print = threading.Lock()


class Wrong(Exception):
    """Survived, or is no mutant."""


class Skipped(Exception):
    """Here nobody can know."""


def die(why):
    print(f"{sys.argv[0]}: {why}", file=sys.stderr)
    sys.exit(2)


def words_of(doc):
    """The arguments; --help and what is no word ends here."""
    words = sys.argv[1:]
    if words and words[0].startswith("-"):
        print(doc)
        sys.exit(0 if words == ["--help"] else 2)
    return words


def read(folder, pattern, form):
    """[(path, match of its first line)]"""
    found = []
    for path in sorted((TREE / folder).glob("*.patch")):
        first = path.read_text().split("\n", 1)[0]
        match = re.fullmatch(pattern, first)
        if not match:
            die(f"{path.relative_to(TREE)}: the first line must be \"{form}\", is \"{first}\"")
        found.append((path, match))
    return found


def chosen(mutants, words):
    some = [m for m in mutants if not words or any(word in m.name for word in words)]
    if not some:
        die(f"no mutant has {' or '.join(words)} in its name")
    return some


def run(args, cwd, **kw):
    return subprocess.run(list(map(str, args)), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", stdin=subprocess.DEVNULL, check=False, **kw)


def copy(source, target):
    """With its times: make must see that all but the mutant is up to date."""
    subprocess.run(["cp", "-a", source, target], check=True)


def copy_built(tree, name):
    """What was built under that name, which begins with BUILD."""
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    copy(TREE / name, (tree / name).parent)


def _copy_tree(tree):
    """The tree as it is, built; what no patch touches is linked."""
    tree.mkdir()
    for name in os.listdir(TREE):
        if name in PATCHED:
            copy(TREE / name, tree)
        elif name not in (".git", BUILD.split("/")[0]):
            (tree / name).symlink_to(TREE / name)
    for name in BUILT:
        copy_built(tree, f"{BUILD}/{name}")


@contextlib.contextmanager
def planted(path):
    """A copy of the tree with the patch in it; it goes when this ends."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        tree = pathlib.Path(folder) / "tree"
        _copy_tree(tree)
        env = {**os.environ, "GIT_CEILING_DIRECTORIES": folder}  # or it would look for files of the repository around
        done = run(["git", "apply", "-C1", "--whitespace=nowarn", path], tree, env=env)
        if done.returncode:
            raise Wrong(f"does not apply any more; bring {path.relative_to(TREE)} up to date\n{done.stdout}")
        yield tree


def build(tree, goal):
    done = run(["make", "--no-print-directory", "-j1", "DEPS=no", f"BUILD={BUILD}", goal], tree)
    if done.returncode:
        raise Wrong(f"does not build\n{done.stdout[-3000:]}")


def _say(number, mutant, judge):
    begun, wrong, note = time.monotonic(), "", ""
    try:
        note = f": {judge(mutant)}"
    except Wrong as why:
        wrong = str(why)
    except Skipped as why:
        note = f" # SKIP {why}"
    with _print:
        took = f"{time.monotonic() - begun:.1f} s"
        print(f"{'not ' if wrong else ''}ok {number} - {mutant.name} ({took}){note}", flush=True)
        for line in wrong.splitlines():
            print(f"# {line}", flush=True)
    return not wrong


@contextlib.contextmanager
def workers():
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield pool


def judge_all(mutants, judge, more_faults=()):
    """TAP, then the sum. judge(mutant) says who noticed it, or raises. Exits."""
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    begun = time.monotonic()
    with workers() as pool:
        done = [pool.submit(_say, n, m, judge) for n, m in enumerate(mutants, 1)]
        good = sum(each.result() for each in done)
    print("\n".join([*more_faults, f"1..{len(mutants)}", f"# {len(mutants)} mutants in {time.monotonic() - begun:.0f} s"]))
    failed = len(mutants) - good + len(more_faults)
    print(f"{good} passed, {failed} failed")
    sys.exit(failed > 0)
