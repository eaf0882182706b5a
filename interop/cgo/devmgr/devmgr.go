// Package devmgr is libdevmgr from Go, by cgo: the manager runs on a thread of its own, and each call here waits for its
// answer. Any goroutine may call.
//
// How it works: what is to be done there is a Go function, kept by a cgo.Handle and carried over by devmgr_call. What C calls
// back is in callbacks.go, finds its Go side by the handle that it was given, and copies what is shown to it: the library's
// memory ends with the callback. No Go pointer is kept by C.
package devmgr

/*
#cgo pkg-config: libdevmgr
#include <devmgr.h>
#include <stdlib.h>

// Of callbacks.go, as cgo declares them: without const, and void * for a Go pointer. A handle is a number in a void *.
extern void goRun(devmgr *m, void *handle);
extern void goAdmitted(void *handle, devmgr_admission *result);
extern void goOptions(void *handle, int status, devmgr_options *options, devmgr_error *err);
extern void goDone(void *handle, int status, char **uids, size_t n, devmgr_error *err);
extern void goEvent(void *handle, devmgr_event *ev);
extern int goResource(void *handle, devmgr_resource *resource);
extern void goClosed(void *handle);

static inline int open_manager(const devmgr_config *c, uintptr_t events, devmgr **ret, devmgr_error *reterr) {
	return devmgr_open(NULL, c, (devmgr_event_cb)goEvent, (void *)events, ret, reterr);
}
static inline int call(devmgr *m, uintptr_t run) { return devmgr_call(m, goRun, (void *)run); }
static inline int admit(devmgr *m, const devmgr_pod *pod, uintptr_t done, devmgr_error *reterr) {
	return devmgr_admit(m, pod, (devmgr_admit_cb)goAdmitted, (void *)done, reterr);
}
static inline int options(devmgr *m, const char *uid, const char *container, uintptr_t done) {
	return devmgr_container_options(m, uid, container, 0, (devmgr_options_cb)goOptions, (void *)done);
}
static inline int release(devmgr *m, const char *uid, uintptr_t done) {
	return devmgr_release(m, uid, (devmgr_done_cb)goDone, (void *)done);
}
static inline int resources(devmgr *m, uintptr_t rows) {
	return devmgr_each_resource(m, (int (*)(void *, const devmgr_resource *))goResource, (void *)rows);
}
static inline void close_manager(devmgr *m, uintptr_t closed) { devmgr_close(m, goClosed, (void *)closed); }
*/
import "C"

import (
	"runtime/cgo"
	"time"
	"unsafe"
)

// Error is a code of the library and its sentence.
type Error struct {
	Name, Message string
}

func (e *Error) Error() string { return e.Name + ": " + e.Message }

func fail(rc C.int, err *C.devmgr_error) *Error {
	e := &Error{Name: C.GoString(C.devmgr_error_name(rc))}
	if err != nil {
		e.Message = C.GoString(&err.message[0])
	}
	return e
}

// Manager is open from Open to Close.
type Manager struct {
	m      *C.devmgr
	events cgo.Handle
}

// Version is the library's.
func Version() string { return C.GoString(C.devmgr_version()) }

// Open starts a manager. Events are told on its thread, one after another, the first maybe before Open returns: a function
// that waits for the manager there waits for ever.
func Open(settings map[string]string, events func(Event)) (*Manager, error) {
	var err C.devmgr_error
	config := C.devmgr_config_new()
	defer C.devmgr_config_free(config)
	for key, value := range settings {
		k, v := C.CString(key), C.CString(value)
		rc := C.devmgr_config_set(config, k, v, &err)
		C.free(unsafe.Pointer(k))
		C.free(unsafe.Pointer(v))
		if rc < 0 {
			return nil, fail(rc, &err)
		}
	}
	m := &Manager{events: cgo.NewHandle(events)}
	if rc := C.open_manager(config, C.uintptr_t(m.events), &m.m, &err); rc < 0 {
		m.events.Delete()
		return nil, fail(rc, &err)
	}
	return m, nil
}

// ask runs `start` on the manager's thread, with a handle for the callback that will answer, and waits. When start fails
// there will be no callback.
func ask[T any](m *Manager, start func(answer cgo.Handle) *Error) (T, error) {
	answer := make(chan T, 1)
	failed := make(chan *Error, 1)
	handle := cgo.NewHandle(func(value T, err *Error) {
		if err != nil {
			failed <- err
		} else {
			answer <- value
		}
	})
	defer handle.Delete()
	run := cgo.NewHandle(func() {
		if err := start(handle); err != nil {
			failed <- err
		}
	})
	defer run.Delete()
	var none T
	if rc := C.call(m.m, C.uintptr_t(run)); rc < 0 {
		return none, fail(rc, nil)
	}
	select {
	case value := <-answer:
		return value, nil
	case err := <-failed:
		return none, err
	}
}

// Container of a pod, with what it asks for.
type Container struct {
	Name   string
	Init   bool
	Limits map[string]uint64
}

// Pod as it is asked for.
type Pod struct {
	UID, Namespace, Name string
	Containers           []Container
	Wait                 time.Duration
}

func (p Pod) c() (*C.devmgr_pod, *Error) {
	strings := []*C.char{}
	str := func(s string) *C.char {
		strings = append(strings, C.CString(s))
		return strings[len(strings)-1]
	}
	defer func() {
		for _, s := range strings {
			C.free(unsafe.Pointer(s))
		}
	}()
	pod := C.devmgr_pod_new(str(p.UID), str(p.Namespace), str(p.Name))
	if pod == nil {
		return nil, &Error{"DEVMGR_EINVALID", "a name is empty, too long or not printable"}
	}
	for _, container := range p.Containers {
		kind := C.int(C.DEVMGR_APP)
		if container.Init {
			kind = C.DEVMGR_PLAIN_INIT
		}
		rc := C.devmgr_pod_container(pod, str(container.Name), kind)
		for resource, count := range container.Limits {
			if rc == 0 {
				rc = C.devmgr_pod_limit(pod, str(container.Name), str(resource), C.uint64_t(count))
			}
		}
		if rc < 0 {
			C.devmgr_pod_free(pod)
			return nil, fail(rc, nil)
		}
	}
	C.devmgr_pod_wait(pod, C.uint64_t(p.Wait.Milliseconds()))
	return pod, nil
}

// Claim is one held device.
type Claim struct {
	Container, Resource, Device string
}

// Admission is the library's verdict on a pod.
type Admission struct {
	Verdict, Cause, Reason, Message, Detail string
	RetryAfter                              time.Duration
	Claims                                  []Claim
}

// Admit gives the pod all that it asks for, or nothing.
func (m *Manager) Admit(p Pod) (Admission, error) {
	pod, bad := p.c()
	if bad != nil {
		return Admission{}, bad
	}
	defer C.devmgr_pod_free(pod)
	return ask[Admission](m, func(answer cgo.Handle) *Error {
		var err C.devmgr_error
		if rc := C.admit(m.m, pod, C.uintptr_t(answer), &err); rc < 0 {
			return fail(rc, &err)
		}
		return nil
	})
}

// Device is a device node.
type Device struct {
	ContainerPath, HostPath, Permissions string
}

// Mount of a folder or file.
type Mount struct {
	ContainerPath, HostPath string
	ReadOnly                bool
}

// Options are what a container must be created with.
type Options struct {
	Envs, Annotations map[string]string
	Mounts            []Mount
	Devices           []Device
	CDIDevices        []string
}

// Options is asked before each create.
func (m *Manager) Options(uid, container string) (Options, error) {
	u, c := C.CString(uid), C.CString(container)
	defer C.free(unsafe.Pointer(u))
	defer C.free(unsafe.Pointer(c))
	return ask[Options](m, func(answer cgo.Handle) *Error {
		if rc := C.options(m.m, u, c, C.uintptr_t(answer)); rc < 0 {
			return fail(rc, nil)
		}
		return nil
	})
}

// Release frees what the pod holds, and says whose devices are free now.
func (m *Manager) Release(uid string) ([]string, error) {
	u := C.CString(uid)
	defer C.free(unsafe.Pointer(u))
	return ask[[]string](m, func(answer cgo.Handle) *Error {
		if rc := C.release(m.m, u, C.uintptr_t(answer)); rc < 0 {
			return fail(rc, nil)
		}
		return nil
	})
}

// Resource is a row of what there is.
type Resource struct {
	Name                                  string
	Capacity, Allocatable, Held, Reserved uint64
	Plugin                                string
}

// Resources there are. A visitor runs inside the call: nothing to wait for but the thread.
func (m *Manager) Resources() ([]Resource, error) {
	return ask[[]Resource](m, func(answer cgo.Handle) *Error {
		rows := []Resource{}
		visit := cgo.NewHandle(&rows)
		defer visit.Delete()
		C.resources(m.m, C.uintptr_t(visit))
		answer.Value().(func([]Resource, *Error))(rows, nil)
		return nil
	})
}

// Event as the library tells it; fields that its type does not have are empty.
type Event struct {
	Type, Message, Resource, PodUID string
	Changed                         *Resource
}

// Close ends it all: what is pending is answered, the last write is done.
func (m *Manager) Close() error {
	_, err := ask[struct{}](m, func(answer cgo.Handle) *Error {
		C.close_manager(m.m, C.uintptr_t(answer))
		return nil
	})
	if err == nil {
		m.events.Delete()
	}
	return err
}
