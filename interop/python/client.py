"""A client of devmgr.v1alpha1 on Python's gRPC: another implementation's view of the control API.

    client.py SOCKET info
    client.py SOCKET admit FILE          one result per document of the manifest
    client.py SOCKET hints FILE [CONTAINER]         of one pod
    client.py SOCKET align FILE CONTAINER NODE...   admits one pod, its container decided for these nodes
    client.py SOCKET beside FILE CONTAINER RESOURCE NODE...   admits one pod, of whose RESOURCE only these nodes have enough
    client.py SOCKET options POD CONTAINER
    client.py SOCKET pods | resources | devices [RESOURCE]
    client.py SOCKET release POD
    client.py SOCKET record POD CONTAINER
    client.py SOCKET sync AS_OF [POD...] no POD: nothing lives
    client.py SOCKET watch [COUNT]       the state, `synced`, and COUNT changes

Prints one JSON object a line, with the field names of the proto. A failed call: {"code", "details"}, exit 1.
"""

import json
import sys

import grpc
from google.protobuf.json_format import MessageToDict

from devmgr.v1alpha1 import devmgr_pb2 as pb
from devmgr.v1alpha1 import devmgr_pb2_grpc as rpc

DEADLINE = 60


def show(message):
    fields = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    print(json.dumps(fields, sort_keys=True), flush=True)


def info(manager):
    show(manager.Info(pb.InfoRequest(), timeout=DEADLINE))


def admit(manager, file):
    with open(file, encoding="utf-8") as manifest:
        request = pb.AdmitRequest(pod=pb.Pod(manifest=manifest.read()))
    for result in manager.AdmitEach(request, timeout=DEADLINE):
        show(result)


def one_pod(file):
    with open(file, encoding="utf-8") as manifest:
        return pb.Pod(manifest=manifest.read())


def hints(manager, file, container=""):
    for part in manager.Hints(pb.HintsRequest(pod=one_pod(file), container=container), timeout=DEADLINE):
        show(part)


def align(manager, file, container, *nodes):
    pod = one_pod(file)
    pod.containers.add(name=container, affinity=pb.Affinity(numa=map(int, nodes)))
    show(manager.Admit(pb.AdmitRequest(pod=pod), timeout=DEADLINE))


def beside(manager, file, container, resource, *nodes):
    pod = one_pod(file)
    pod.containers.add(name=container, hints=[pb.Hint(resource=resource, numa=map(int, nodes), preferred=True)])
    show(manager.Admit(pb.AdmitRequest(pod=pod), timeout=DEADLINE))


def options(manager, pod, container):
    show(manager.ContainerOptions(pb.ContainerOptionsRequest(pod_uid=pod, container=container), timeout=DEADLINE))


def pods(manager):
    for part in manager.ListPods(pb.ListPodsRequest(), timeout=DEADLINE):
        show(part)


def resources(manager):
    show(manager.ListResources(pb.ListResourcesRequest(), timeout=DEADLINE))


def devices(manager, resource=""):
    for part in manager.ListDevices(pb.ListDevicesRequest(resource=resource), timeout=DEADLINE):
        show(part)


def release(manager, pod):
    show(manager.Release(pb.ReleaseRequest(pod_uid=pod), timeout=DEADLINE))


def record(manager, pod, container):
    show(manager.ClaimRecord(pb.ClaimRecordRequest(pod_uid=pod, container=container), timeout=DEADLINE))


def sync(manager, as_of, *uids):
    show(manager.Sync(pb.SyncRequest(pod_uids=uids, none=not uids, as_of=int(as_of)), timeout=DEADLINE))


def watch(manager, count="-1"):
    left, synced = int(count), False
    events = manager.Watch(pb.WatchRequest())
    for event in events:
        show(event)
        left -= synced
        synced = synced or event.type == pb.EVENT_SYNCED
        if synced and left == 0:
            events.cancel()
            return


COMMANDS = {f.__name__: f for f in (info, admit, hints, align, beside, options, pods, resources, devices, release, record, sync, watch)}


def main():
    if len(sys.argv) < 3 or sys.argv[2] not in COMMANDS:
        sys.exit(__doc__)
    with grpc.insecure_channel("unix://" + sys.argv[1]) as channel:
        try:
            COMMANDS[sys.argv[2]](rpc.DeviceManagerStub(channel), *sys.argv[3:])
        except grpc.RpcError as e:
            print(json.dumps({"code": e.code().name, "details": e.details()}), flush=True)
            sys.exit(1)


main()
