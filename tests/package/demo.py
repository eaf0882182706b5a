#!/usr/bin/env python3
"""`make demo` succeeds, and README.md shows what it really prints, names made up for a run aside.

tests/package/demo.py --update puts today's output into README.md."""
import difflib
import re
import subprocess
import sys

MADE_UP = [
    (r"\b[0-9a-f]{12}\b", "5eed5eed5eed"),
    (r"/tmp/devmgr-demo\.\w+", "/tmp/devmgr-demo.Wq3xTz"),
    (r"kill -9 \d+ \d+", "kill -9 4711 4712"),
    (r'"revision":\d+', '"revision":1795247466497289'),
]

run = subprocess.run(["tools/demo"], capture_output=True, text=True)
ok = run.returncode == 0
if not ok:
    print(run.stdout + run.stderr)
print("ok 1 - make demo" if ok else "not ok 1 - make demo")

printed = run.stdout.strip() + "\n"
for pattern, same in MADE_UP:
    printed = re.sub(pattern, same, printed)
readme = open("README.md").read()
head, shown, tail = re.fullmatch(r"(.*`make demo` prints:\n\n```\n)(.*?)(```\n.*)", readme, re.DOTALL).groups()
if "--update" in sys.argv and ok:
    open("README.md", "w").write(head + printed + tail)
    shown = printed
if shown != printed:
    print("".join(difflib.unified_diff(shown.splitlines(True), printed.splitlines(True), "README.md", "make demo")))
    print("# tests/package/demo.py --update writes it into README.md")
print("ok 2 - README.md shows it" if shown == printed else "not ok 2 - README.md shows it")
print("1..2")
