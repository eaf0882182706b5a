"""The control API (proto/devmgr/v1alpha1) by hand, over one connection: what devmgrd says, not what devmgrctl makes of it."""
import json
import types

from .check import Failure
from .wire import Client, field, messages, numbers, read

VERDICTS = {1: "admitted", 2: "not_yet", 3: "refused", 4: "canceled"}
HEALTH = {1: "Healthy", 2: "Unhealthy", 3: "Unknown", 4: "Missing"}
HINT_NODES, HINT_ANY = 0, 1


def _text(message, number):
    return message[number][0].decode() if number in message else ""


def _number(message, number):
    return message.get(number, [0])[0]


def _claim(data):
    m = read(data)
    return types.SimpleNamespace(resource=_text(m, 5), device=_text(m, 6), numa=numbers(m.get(7, [])))


def _container(data):
    m = read(data)
    return types.SimpleNamespace(name=_text(m, 1), affinity=numbers(m.get(3, [])), claims=[_claim(c) for c in m.get(4, [])])


class Control:
    def __init__(self, path):
        self._client = Client(path)

    def call(self, method, request=b"", empty=False):
        """The messages of the answer, as fields. `empty`: a stream, which may end without any."""
        data, why = self._client.call("/devmgr.v1alpha1.DeviceManager/" + method, request)
        self._client.answers.clear()
        if why and not (empty and why == "no message"):
            raise Failure(f"{method}: {why}")
        return [read(m) for m in messages(data)]

    def admit(self, manifest, affinity=None, hints=None):
        """A Pod manifest, not waited for. `affinity`: container -> nodes, decided by the caller; or `hints`: container
        ("": the pod) -> [(resource, nodes, preferred)], as another hint provider has them."""
        told = {name: [field(1, r) + b"".join(field(4, n) for n in nodes) + field(3, int(good)) for r, nodes, good in sets]
                for name, sets in (hints or {}).items()}
        decided = b"".join(field(8, hint) for hint in told.pop("", []))
        decided += b"".join(field(5, field(1, name) + b"".join(field(6, hint) for hint in sets)) for name, sets in told.items())
        decided += b"".join(field(5, field(1, name) + field(5, b"".join(field(1, node) for node in nodes)))
                           for name, nodes in (affinity or {}).items())
        m = self.call("Admit", field(1, field(1, json.dumps(manifest)) + decided))[0]
        return types.SimpleNamespace(verdict=VERDICTS.get(_number(m, 4), "other"), cause=_text(m, 5), reason=_text(m, 6),
                                     message=_text(m, 7), detail=_text(m, 8), containers=[_container(c) for c in m.get(12, [])])

    def release(self, uid):
        """The uids that lost devices."""
        return [uid.decode() for uid in self.call("Release", field(1, uid))[0].get(1, [])]

    def record(self, uid, container="main"):
        """What the container holds, as a line to keep beside it."""
        return _text(self.call("ClaimRecord", field(1, uid) + field(2, container))[0], 1)

    def adopt(self, manifest, record, container="main"):
        self.call("Adopt", field(1, field(1, json.dumps(manifest))) + field(2, container) + field(3, record))

    def hints(self, manifest, container=""):
        """resource -> None: no preference, or [(nodes, preferred)]: all sets that would do; none: impossible."""
        out = {}
        request = field(1, field(1, json.dumps(manifest))) + field(2, container)
        for hint in [read(hint) for m in self.call("Hints", request, empty=True) for hint in m.get(1, [])]:
            sets = out.setdefault(_text(hint, 1), [])
            if _number(hint, 2) == HINT_ANY:
                out[_text(hint, 1)] = None
            elif _number(hint, 2) == HINT_NODES:
                sets.append((numbers(hint.get(4, [])), bool(_number(hint, 3))))
        return out

    def pods(self):
        """The uids of all that were admitted."""
        return [_text(read(pod), 1) for m in self.call("ListPods") for pod in m.get(2, [])]

    def resources(self):
        """name -> (held, reserved)"""
        rows = [read(row) for m in self.call("ListResources") for row in m.get(1, [])]
        return {_text(row, 1): (_number(row, 4), _number(row, 5)) for row in rows}

    def devices(self):
        """(resource, id) -> (health, nodes)"""
        rows = [read(row) for m in self.call("ListDevices", empty=True) for row in m.get(1, [])]
        return {(_text(row, 1), _text(row, 2)): (HEALTH.get(_number(row, 3)), numbers(row.get(4, []))) for row in rows}

    def close(self):
        self._client.close()
