package devmgr

/*
#include <devmgr.h>
*/
import "C"

import (
	"runtime/cgo"
	"time"
	"unsafe"
)

// What C calls, on the manager's thread. Each copies what it is shown and is brief: the loop stands still meanwhile.

func value[T any](handle unsafe.Pointer) T { return cgo.Handle(uintptr(handle)).Value().(T) }

// rows makes a slice of C's array of pointers.
func rows[T any](first unsafe.Pointer, n C.size_t) []*T { return unsafe.Slice((**T)(first), int(n)) }

//export goRun
func goRun(_ *C.devmgr, handle unsafe.Pointer) { value[func()](handle)() }

//export goAdmitted
func goAdmitted(handle unsafe.Pointer, r *C.devmgr_admission) {
	a := Admission{
		Verdict:    C.GoString(C.devmgr_verdict_name(r.verdict)),
		Cause:      C.GoString(C.devmgr_cause_name(r.cause)),
		Reason:     C.GoString(r.reason),
		Message:    C.GoString(r.message),
		Detail:     C.GoString(r.detail),
		RetryAfter: time.Duration(r.retry_after_ms) * time.Millisecond,
	}
	for _, c := range rows[C.devmgr_claim](unsafe.Pointer(r.claims), r.n_claims) {
		a.Claims = append(a.Claims, Claim{C.GoString(c.container), C.GoString(c.resource), C.GoString(c.device)})
	}
	value[func(Admission, *Error)](handle)(a, nil)
}

func pairs(first unsafe.Pointer, n C.size_t) map[string]string {
	m := map[string]string{}
	for _, p := range rows[C.devmgr_pair](first, n) {
		m[C.GoString(p.name)] = C.GoString(p.value)
	}
	return m
}

//export goOptions
func goOptions(handle unsafe.Pointer, status C.int, o *C.devmgr_options, err *C.devmgr_error) {
	answer := value[func(Options, *Error)](handle)
	if status < 0 {
		answer(Options{}, fail(status, err))
		return
	}
	x := Options{
		Envs:        pairs(unsafe.Pointer(o.envs), o.n_envs),
		Annotations: pairs(unsafe.Pointer(o.annotations), o.n_annotations),
	}
	for _, m := range rows[C.devmgr_mount](unsafe.Pointer(o.mounts), o.n_mounts) {
		x.Mounts = append(x.Mounts, Mount{C.GoString(m.container_path), C.GoString(m.host_path), m.read_only != 0})
	}
	for _, d := range rows[C.devmgr_device_node](unsafe.Pointer(o.devices), o.n_devices) {
		x.Devices = append(x.Devices, Device{C.GoString(d.container_path), C.GoString(d.host_path), C.GoString(d.permissions)})
	}
	for _, name := range unsafe.Slice((**C.char)(unsafe.Pointer(o.cdi_devices)), int(o.n_cdi_devices)) {
		x.CDIDevices = append(x.CDIDevices, C.GoString(name))
	}
	answer(x, nil)
}

//export goDone
func goDone(handle unsafe.Pointer, status C.int, uids **C.char, n C.size_t, err *C.devmgr_error) {
	answer := value[func([]string, *Error)](handle)
	if status < 0 {
		answer(nil, fail(status, err))
		return
	}
	list := []string{}
	for _, uid := range unsafe.Slice(uids, int(n)) {
		list = append(list, C.GoString(uid))
	}
	answer(list, nil)
}

func resource(r *C.devmgr_resource) Resource {
	return Resource{
		Name:        C.GoString(r.name),
		Capacity:    uint64(r.capacity),
		Allocatable: uint64(r.allocatable),
		Held:        uint64(r.held),
		Reserved:    uint64(r.reserved),
		Plugin:      C.GoString(C.devmgr_plugin_name(r.plugin)),
	}
}

//export goResource
func goResource(handle unsafe.Pointer, r *C.devmgr_resource) C.int {
	list := value[*[]Resource](handle)
	*list = append(*list, resource(r))
	return 0
}

//export goEvent
func goEvent(handle unsafe.Pointer, ev *C.devmgr_event) {
	e := Event{
		Type:     C.GoString(C.devmgr_event_name(ev._type)),
		Message:  C.GoString(ev.message),
		Resource: C.GoString(ev.resource),
		PodUID:   C.GoString(ev.pod_uid),
	}
	if ev.changed != nil {
		changed := resource(ev.changed)
		e.Changed = &changed
	}
	value[func(Event)](handle)(e)
}

//export goClosed
func goClosed(handle unsafe.Pointer) { value[func(struct{}, *Error)](handle)(struct{}{}, nil) }
