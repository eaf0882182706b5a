// cgo ROOT RESOURCE: libdevmgr in a Go program. One JSON object a line, for interop/tests/bindings.py, which judges the same
// lines of ../rust.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"devmgr/interop/cgo/devmgr"
)

func tell(step string, fields map[string]any) {
	fields["step"] = step
	line, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

func admission(a devmgr.Admission) map[string]any {
	claims := []string{}
	for _, c := range a.Claims {
		claims = append(claims, c.Container+" "+c.Resource+" "+c.Device)
	}
	return map[string]any{"verdict": a.Verdict, "cause": a.Cause, "detail": a.Detail, "claims": claims}
}

func options(o devmgr.Options) map[string]any {
	envs, devices, mounts := []string{}, []string{}, []string{}
	for name, value := range o.Envs {
		envs = append(envs, name+"="+value)
	}
	for _, d := range o.Devices {
		devices = append(devices, d.HostPath+":"+d.ContainerPath+":"+d.Permissions)
	}
	for _, m := range o.Mounts {
		mounts = append(mounts, fmt.Sprintf("%s:%s:%t", m.HostPath, m.ContainerPath, m.ReadOnly))
	}
	return map[string]any{"envs": envs, "devices": devices, "mounts": mounts}
}

// whole waits for the event that says how many devices can be given out.
func whole(changes <-chan devmgr.Resource) devmgr.Resource {
	for r := range changes {
		if r.Allocatable > 0 {
			return r
		}
	}
	panic("no more events")
}

func refusal(err error) map[string]any {
	var e *devmgr.Error
	if !errors.As(err, &e) {
		panic(fmt.Sprint("not an error of the library: ", err))
	}
	return map[string]any{"name": e.Name, "message": e.Message}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	root, resource := os.Args[1], os.Args[2]
	changes := make(chan devmgr.Resource, 1000)
	m := must(devmgr.Open(map[string]string{"root": root}, func(e devmgr.Event) {
		if e.Changed != nil && e.Resource == resource {
			changes <- *e.Changed
		}
	}))
	tell("open", map[string]any{"version": devmgr.Version()})
	_, err := devmgr.Open(map[string]string{"root": root}, func(devmgr.Event) {})
	tell("again", refusal(err))
	_, err = devmgr.Open(map[string]string{"nonsense": "1"}, func(devmgr.Event) {})
	tell("nonsense", refusal(err))

	pod := devmgr.Pod{UID: "uid-1", Namespace: "default", Name: "train", Containers: []devmgr.Container{
		{Name: "prepare", Init: true, Limits: map[string]uint64{resource: 1}},
		{Name: "main", Limits: map[string]uint64{resource: 2}},
	}}
	tell("early", admission(must(m.Admit(pod))))
	r := whole(changes)
	tell("event", map[string]any{"resource": r.Name, "capacity": r.Capacity, "allocatable": r.Allocatable, "plugin": r.Plugin})
	pod.Wait = 20 * time.Second
	tell("admit", admission(must(m.Admit(pod))))
	tell("options", options(must(m.Options("uid-1", "main"))))
	for _, r := range must(m.Resources()) {
		tell("resource", map[string]any{"resource": r.Name, "held": r.Held})
	}
	tell("release", map[string]any{"uids": must(m.Release("uid-1"))})
	must(0, m.Close())
	tell("closed", map[string]any{})
}
