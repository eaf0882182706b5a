"""Runs the scenarios of one file and prints TAP."""
import os
import pathlib
import signal
import sys
import traceback

from . import check
from .check import Failure
from .node import Node, program

_scenarios = []
_HERE = pathlib.Path(__file__).parent
_LIMIT = 60  # seconds for one scenario, times DEVMGR_PATIENCE


class Skip(Exception):
    pass


class TooLong(Exception):
    """No Failure: whoever waits for something passes over those."""


def skip(why):
    """Ends the scenario without a result."""
    raise Skip(why)


def scenario(function=None, *, needs=("devmgrd", "devmgrctl", "devmgr-fakeplugin"), seconds=0):
    """Marks a function that takes a Node. `needs`: the programs it runs; `seconds`: how long it goes on by itself."""

    def add(f):
        _scenarios.append((f.__name__.replace("_", " "), f, needs, seconds))
        return f

    return add(function) if function else add


def _comment(text):
    for line in str(text).splitlines():
        print(f"# {line}")


def _too_long(signum, frame):
    raise TooLong


def _terminated(signum, frame):
    sys.exit(130)  # by way of the clean-up


def _in_time(function, node, seconds):
    try:
        signal.alarm(seconds)
        function(node)
    finally:
        signal.alarm(0)


def _attempt(function, node, seconds):
    """Runs one scenario and ends its children. What went wrong, or None; raises Skip."""
    wrong, seconds = None, int(check.PATIENCE / 20 * _LIMIT) + seconds
    try:
        _in_time(function, node, seconds)
    except (Failure, TooLong) as failure:
        frames = [f for f in traceback.extract_tb(failure.__traceback__) if pathlib.Path(f.filename).parent != _HERE]
        wrong = str(failure) or f"takes longer than {seconds} s"
        wrong = f"line {frames[-1].lineno}: {frames[-1].line}\n{wrong}" if frames else wrong
    except Skip:
        raise
    except Exception:  # a mistake in the scenario, or an answer that nobody expected
        wrong = traceback.format_exc()
    finally:
        left = node.bury()
    return "\n".join(filter(None, [wrong, *left])) or None


def _run_one(number, name, function, needs, seconds):
    missing = [str(program(p)) for p in needs if not program(p).exists()]
    if missing:
        print(f"ok {number} - {name} # SKIP not built: {', '.join(missing)}")
        return True
    node = Node()
    wrong = None
    try:
        wrong = _attempt(function, node, seconds)
        print(f"{'not ' if wrong else ''}ok {number} - {name}")
        if wrong:
            _comment(wrong)
            for child, argv, log in node.logs():
                _comment(f"--- {' '.join(argv)}")
                _comment("\n".join(log.splitlines()[-30:]))
    except Skip as why:
        print(f"ok {number} - {name} # SKIP {why}")
    except SystemExit:
        wrong = "terminated from outside"
        print(f"not ok {number} - {name}\n# {wrong}")
        raise
    finally:
        if wrong and os.environ.get("DEVMGR_KEEP"):
            _comment(f"kept: {node.scratch}")
        else:
            node.clean()
    return not wrong


def main(file):
    """The last line of a scenario file: main(__file__)."""
    words = sys.argv[1:]
    signal.signal(signal.SIGALRM, _too_long)
    signal.signal(signal.SIGTERM, _terminated)
    sys.stdout.reconfigure(line_buffering=True)
    chosen = [s for s in _scenarios if not words or any(w in s[0].replace(" ", "_") or w in s[0] for w in words)]
    if not chosen:
        print(f"{pathlib.Path(file).name}: no scenario has {' or '.join(words)} in its name", file=sys.stderr)
        sys.exit(2)
    good = [_run_one(i, *s) for i, s in enumerate(chosen, 1)]
    print(f"1..{len(chosen)}")
    sys.exit(0 if all(good) else 1)
