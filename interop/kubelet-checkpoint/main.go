// kubelet-checkpoint loads checkpoint files with the kubelet's own code and says, one JSON line a file, what it read.
//
//	kubelet-checkpoint FILE...     exit 1 when one of them is refused
//	kubelet-checkpoint             paths on stdin, an answer a line: cheap to ask often
//	kubelet-checkpoint -rewrite DIR FILE   load, then write it into DIR as the kubelet does: without what it does not know
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	"k8s.io/kubernetes/pkg/kubelet/checkpointmanager"
	"k8s.io/kubernetes/pkg/kubelet/cm/devicemanager/checkpoint"
)

const name = "kubelet_internal_checkpoint"

type entry struct {
	PodUID    string                         `json:"pod_uid"`
	Container string                         `json:"container"`
	Resource  string                         `json:"resource"`
	DeviceIDs checkpoint.DevicesPerNUMA      `json:"device_ids"`
	Response  *api.ContainerAllocateResponse `json:"response"` // null: the kubelet would drop this entry
}

type answer struct {
	File       string              `json:"file"`
	OK         bool                `json:"ok"`
	Error      string              `json:"error"`
	Checksum   uint64              `json:"checksum"`
	Entries    []entry             `json:"entries"`
	Registered map[string][]string `json:"registered"`
}

// load reads a copy, under the name that the kubelet gives it: its store refuses names that begin with a dot.
func load(scratch, file string) (*checkpoint.Data, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(scratch, name), text, 0o600); err != nil {
		return nil, err
	}
	manager, err := checkpointmanager.NewCheckpointManager(scratch)
	if err != nil {
		return nil, err
	}
	data := checkpoint.New([]checkpoint.PodDevicesEntry{}, map[string][]string{})
	if err := manager.GetCheckpoint(name, data); err != nil {
		return nil, err
	}
	return data.(*checkpoint.Data), nil
}

func describe(scratch, file string) answer {
	a := answer{File: file, Entries: []entry{}, Registered: map[string][]string{}}
	data, err := load(scratch, file)
	if err != nil {
		a.Error = err.Error()
		return a
	}
	entries, registered := data.GetData()
	a.OK, a.Checksum, a.Registered = true, uint64(data.Checksum), registered
	for _, e := range entries {
		response := &api.ContainerAllocateResponse{}
		if proto.Unmarshal(e.AllocResp, response) != nil {
			response = nil
		}
		a.Entries = append(a.Entries, entry{e.PodUID, e.ContainerName, e.ResourceName, e.DeviceIDs, response})
	}
	return a
}

func rewrite(scratch, dir, file string) error {
	data, err := load(scratch, file)
	if err != nil {
		return err
	}
	manager, err := checkpointmanager.NewCheckpointManager(dir)
	if err != nil {
		return err
	}
	return manager.CreateCheckpoint(name, checkpoint.New(data.GetData()))
}

func run(scratch, rewriteDir string, files []string) (ok bool, err error) {
	if rewriteDir != "" {
		return true, rewrite(scratch, rewriteDir, files[0])
	}
	ok = true
	out := json.NewEncoder(os.Stdout)
	for _, file := range files {
		a := describe(scratch, file)
		ok = ok && a.OK
		if err := out.Encode(a); err != nil {
			return false, err
		}
	}
	if len(files) > 0 {
		return ok, nil
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if err := out.Encode(describe(scratch, in.Text())); err != nil {
			return false, err
		}
	}
	return true, in.Err()
}

func main() {
	rewriteDir := flag.String("rewrite", "", "write what was read into this `folder`, as the kubelet does")
	flag.Parse()
	if *rewriteDir != "" && flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "kubelet-checkpoint: -rewrite: give one file")
		os.Exit(2)
	}
	scratch, err := os.MkdirTemp("", "kubelet-checkpoint")
	ok := false
	if err == nil {
		ok, err = run(scratch, *rewriteDir, flag.Args())
		os.RemoveAll(scratch)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubelet-checkpoint:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}
