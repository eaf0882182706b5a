"""Assertions that print both values, and waiting that never sleeps for a result."""
import json
import os
import time

PATIENCE = 20 * float(os.environ.get("DEVMGR_PATIENCE", "1"))  # seconds; a limit for what hangs, never a measurement


class Failure(Exception):
    """A check failed; the text says what was got and what was wanted."""


class _Any:
    def __repr__(self):
        return "ANY"


ANY = _Any()  # in `matches`: anything, but the key must be there


def show(value):
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    except TypeError:
        return repr(value)


def _fail(what, got, want, how="want"):
    raise Failure(f"{what + ': ' if what else ''}got {show(got)}\n{how} {show(want)}")


def equal(got, want, what=""):
    if got != want:
        _fail(what, got, want)


def true(condition, what):
    if not condition:
        raise Failure(what)


def contains(got, part, what=""):
    """`part` is a piece of the text, or an element of the list."""
    if part not in got:
        _fail(what, got, part, "want in it")


def _differs(got, want, path):
    """Where `got` does not fit `want`, or None. Objects: every wanted key fits; lists and the rest: equal."""
    if want is ANY:
        return None
    if isinstance(want, dict):
        if not isinstance(got, dict):
            return path or "all of it"
        for key, value in want.items():
            where = f"{path}.{key}"
            if key not in got:
                return where + " (absent)"
            if (deeper := _differs(got[key], value, where)) is not None:
                return deeper
        return None
    if isinstance(want, list) and isinstance(got, list) and len(got) == len(want):
        for i, value in enumerate(want):
            if (deeper := _differs(got[i], value, f"{path}[{i}]")) is not None:
                return deeper
        return None
    return None if got == want else path or "all of it"


def matches(got, want, what=""):
    """Like `equal`, but objects may have more keys than are wanted, and ANY fits anything."""
    where = _differs(got, want, "")
    if where is not None:
        _fail(f"{what + ', ' if what else ''}at {where.lstrip('.')}", got, want)


def until(look, want=ANY, what="", patience=None):
    """Looks again and again until look() fits `want` (ANY: until it is true). Returns what was seen.

    A Failure or OSError inside look() counts as "not yet"."""
    end = time.monotonic() + (patience or PATIENCE)
    got = "nothing yet"
    while True:
        try:
            got = look()
            if got if want is ANY else _differs(got, want, "") is None:
                return got
        except (Failure, OSError) as error:
            got = str(error)
        if time.monotonic() > end:
            _fail(what or "waited in vain", got, "something true" if want is ANY else want)
        time.sleep(0.02)
