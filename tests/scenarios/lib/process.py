"""A child process: lines of stdout in a queue, stderr in a file, and its end."""
import ctypes
import json
import os
import queue
import signal
import subprocess
import threading

from . import check
from .check import Failure

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
_END = object()


def _die_with_parent():
    """In the child: a test that is killed leaves nobody behind."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """Started at once. `name` is for messages and for the log's file name."""

    sigterm_gives = 0  # what it exits with on SIGTERM; -15 for a program that leaves the signal alone

    def __init__(self, argv, name, log, env=None):
        self.name, self.log, self.argv = name, log, [str(a) for a in argv]
        self.expected_end = None  # set by whoever ends it; None: nobody did, bury() will
        self.lines = []  # all of stdout so far
        with open(log, "ab") as stderr:
            self._child = subprocess.Popen(
                self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=env,
                preexec_fn=_die_with_parent)
        self.pid = self._child.pid
        self._queue = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._child.stdout:
            self._queue.put(line.decode("utf-8", "replace").rstrip("\n"))
        self._queue.put(_END)

    def line(self, patience=None):
        """The next line of stdout."""
        try:
            line = self._queue.get(timeout=patience or check.PATIENCE)
        except queue.Empty:
            raise Failure(f"{self.name}: silent on stdout; before: {self.lines[-3:]}{self.complaints()}") from None
        if line is _END:
            self._queue.put(_END)
            self._child.wait()
            raise Failure(f"{self.name}: ended with {self._child.returncode}{self.complaints()}")
        self.lines.append(line)
        return line

    def waiting(self):
        """The lines that have come and were not read yet; never waits."""
        lines = []
        while not self._queue.empty():
            line = self._queue.get()
            if line is _END:
                self._queue.put(_END)
                break
            lines.append(line)
        self.lines += lines
        return lines

    def line_where(self, fits, what):
        """The next line that fits; those before it are passed over."""
        while True:
            line = self.line()
            if fits(line):
                return line

    def event(self, **want):
        """The next JSON line with these values, e.g. event(event="registered")."""
        line = self.line_where(lambda text: _fits(text, want), want)
        return json.loads(line)

    def send(self, text, end="\n"):
        try:
            self._child.stdin.write((text + end).encode())
            self._child.stdin.flush()
        except BrokenPipeError:
            raise Failure(f"{self.name}: no longer reads{self.complaints()}") from None

    def close_input(self):
        self._child.stdin.close()

    def complaints(self):
        """What it said on stderr, for messages."""
        text = self.stderr().strip()
        return f"; stderr: {text[-2000:]}" if text else "; nothing on stderr"

    def stderr(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def _status_kib(self, key):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(key + ":"))

    def peak_mib(self):
        """The most memory it ever had."""
        return self._status_kib("VmHWM") // 1024

    def own_kib(self):
        """The memory it has for itself now, without files and what is shared."""
        return self._status_kib("RssAnon")

    def sanitized(self):
        return bool(os.environ.get("SAN")) or "asan" in self.argv[0]

    def stays_under(self, mib):
        """Its memory was bounded; a sanitizer needs many times more."""
        limit = mib * 10 if self.sanitized() else mib
        if self.peak_mib() > limit:
            raise Failure(f"{self.name}: had {self.peak_mib()} MiB at its peak, want at most {limit}")

    def running(self):
        return self._child.poll() is None

    def exit_code(self):
        """None: it runs. Negative: the signal that ended it."""
        return self._child.poll()

    def wait(self, patience=None):
        """Its exit code; negative: the signal that ended it."""
        try:
            code = self._child.wait(patience or check.PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name}: does not end{self.complaints()}") from None
        self.expected_end = code
        return code

    def signal(self, number):
        self._child.send_signal(number)

    def stop(self):
        """SIGTERM; it must end as it should."""
        self.signal(signal.SIGTERM)
        code = self.wait()
        if code != self.sigterm_gives:
            raise Failure(f"{self.name}: SIGTERM ended it with {code}, want {self.sigterm_gives}{self.complaints()}")

    def kill(self):
        self.expected_end = -signal.SIGKILL
        self._child.kill()
        self._child.wait()

    def bury(self):
        """Called for every process at the end of a scenario. What is wrong with how it ended, or None."""
        wrong = None
        if self.running():
            self.signal(signal.SIGCONT)
            try:
                self.stop()
            except Failure as failure:
                wrong = str(failure)
                self.kill()
        elif self.expected_end is None:
            wrong = f"{self.name}: ended by itself with {self._child.returncode}{self.complaints()}"
        self._reader.join(1)
        self._child.stdin.close()
        self._child.stdout.close()
        log = self.stderr()
        if "Sanitizer" in log or "runtime error:" in log:
            wrong = f"{self.name}: a sanitizer's report:\n{log[-6000:]}"
        return wrong


def _fits(text, want):
    try:
        got = json.loads(text)
    except ValueError:
        return False
    return isinstance(got, dict) and all(got.get(key) == value for key, value in want.items())
