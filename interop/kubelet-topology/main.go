// kubelet-topology: what the kubelet's own Topology and Device Manager take for a line of input.
//
// stdin has a JSON object a line, as tests/data/topology has them and bench/topology makes them; for each, stdout gets
// {"ns": least time of a run, "median_ns"} or {"error"}:
//
//	merge   Policy.Merge of the providers' hints
//	hints   GetTopologyHints for the pod's container
//	admit   Manager.Admit of the pod, that of the run before not active any more: hints, merge, Allocate, checkpoint
//
// Plugins are in memory and answer at once. The device manager insists on /var/lib/kubelet/device-plugins: bench/run gives
// it a tmpfs there, in a mount namespace of its own.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	cadvisor "github.com/google/cadvisor/info/v1"
	"google.golang.org/grpc"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/klog/v2"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	"k8s.io/kubernetes/pkg/kubelet/cm/containermap"
	"k8s.io/kubernetes/pkg/kubelet/cm/devicemanager"
	"k8s.io/kubernetes/pkg/kubelet/cm/topologymanager"
	"k8s.io/kubernetes/pkg/kubelet/cm/topologymanager/bitmask"
	"k8s.io/kubernetes/pkg/kubelet/lifecycle"
)

const pluginDir = "/var/lib/kubelet/device-plugins"

type hint struct {
	NUMA      []int `json:"numa"`
	Preferred bool  `json:"preferred"`
}

type device struct {
	ID, Health string
	NUMA       []int64
}

type container struct {
	Name   string
	Limits map[string]int64
}

type input struct {
	Type, Policy, Scope string
	Options             map[string]string
	NUMA                []struct {
		ID        int
		Distances []uint64
	}
	Providers []map[string][]hint
	Devices   map[string][]device
	Pod       struct {
		UID        string
		Containers []container
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func must1[T any](v T, err error) T {
	must(err)
	return v
}

type times struct{ least, median int64 }

// measure runs at least 5 times and 200 ms long, at most 400 times, and not often what takes seconds.
func measure(before, run func()) times {
	var ns []int64
	for begin := time.Now(); len(ns) < 400; {
		spent := time.Since(begin)
		if len(ns) > 0 && spent > 200*time.Millisecond && (len(ns) >= 5 || spent > 3*time.Second) {
			break
		}
		before()
		t := time.Now()
		run()
		ns = append(ns, time.Since(t).Nanoseconds())
	}
	slices.Sort(ns)
	return times{ns[0], ns[len(ns)/2]}
}

func (in *input) nodes() (out []cadvisor.Node) {
	for _, n := range in.NUMA {
		out = append(out, cadvisor.Node{Id: n.ID, Distances: n.Distances})
	}
	return
}

func (in *input) topology() topologymanager.Manager {
	return must1(topologymanager.NewManager(in.nodes(), in.Policy, in.Scope, in.Options))
}

func (in *input) merge() times {
	var lists []map[string][]topologymanager.TopologyHint
	for _, p := range in.Providers {
		m := map[string][]topologymanager.TopologyHint{}
		for name, hints := range p {
			for _, h := range hints {
				m[name] = append(m[name], topologymanager.TopologyHint{NUMANodeAffinity: must1(bitmask.NewBitMask(h.NUMA...)), Preferred: h.Preferred})
			}
		}
		lists = append(lists, m)
	}
	policy := in.topology().GetPolicy()
	return measure(func() {}, func() { policy.Merge(klog.TODO(), lists) })
}

// plugin is reached by calls, not over gRPC.
type plugin struct {
	api.DevicePluginClient
	resource string
}

func (p *plugin) API() api.DevicePluginClient { return p }
func (p *plugin) Resource() string            { return p.resource }
func (p *plugin) SocketPath() string          { return "" }
func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty, ...grpc.CallOption) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}
func (p *plugin) Allocate(context.Context, *api.AllocateRequest, ...grpc.CallOption) (*api.AllocateResponse, error) {
	return &api.AllocateResponse{ContainerResponses: []*api.ContainerAllocateResponse{{}}}, nil
}

// node is a kubelet's part around the device manager.
type node struct {
	tm     topologymanager.Manager
	dm     *devicemanager.ManagerImpl
	active []*v1.Pod
}

func (n *node) AddSource(string) {}
func (n *node) AllReady() bool   { return true }

func (in *input) start() *node {
	must(os.RemoveAll(filepath.Join(pluginDir, "kubelet_internal_checkpoint")))
	must(os.MkdirAll(pluginDir, 0o750))
	n := &node{tm: in.topology()}
	n.dm = must1(devicemanager.NewManagerImpl(in.nodes(), n.tm))
	n.tm.AddHintProvider(klog.TODO(), n.dm)
	must(n.dm.Start(klog.TODO(), func() []*v1.Pod { return n.active }, n, containermap.NewContainerMap(), sets.New[string]()))
	for name, devices := range in.Devices {
		must(n.dm.PluginConnected(context.Background(), name, &plugin{resource: name}))
		list := &api.ListAndWatchResponse{}
		for _, d := range devices {
			topology := &api.TopologyInfo{}
			for _, id := range d.NUMA {
				topology.Nodes = append(topology.Nodes, &api.NUMANode{ID: id})
			}
			list.Devices = append(list.Devices, &api.Device{ID: d.ID, Health: d.Health, Topology: topology})
		}
		n.dm.PluginListAndWatchReceiver(klog.TODO(), name, list)
	}
	return n
}

func (in *input) pod(uid string) *v1.Pod {
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: uid, Namespace: "default", UID: types.UID(uid)}}
	for _, c := range in.Pod.Containers {
		limits := v1.ResourceList{}
		for name, count := range c.Limits {
			limits[v1.ResourceName(name)] = *resource.NewQuantity(count, resource.DecimalSI)
		}
		pod.Spec.Containers = append(pod.Spec.Containers, v1.Container{Name: c.Name, Resources: v1.ResourceRequirements{Limits: limits}})
	}
	return pod
}

func (in *input) hints() times {
	n, pod := in.start(), in.pod("p")
	defer n.dm.Stop(klog.TODO())
	return measure(func() {}, func() { n.dm.GetTopologyHints(pod, &pod.Spec.Containers[0]) })
}

func (in *input) admit() times {
	n, runs := in.start(), 0
	defer n.dm.Stop(klog.TODO())
	return measure(func() {
		runs++
		n.active = []*v1.Pod{in.pod(fmt.Sprintf("p%d", runs))}
	}, func() {
		if r := n.tm.Admit(&lifecycle.PodAdmitAttributes{Pod: n.active[0]}); !r.Admit {
			panic(r.Message)
		}
	})
}

func answer(line []byte) (out map[string]any) {
	defer func() {
		if p := recover(); p != nil {
			out = map[string]any{"error": fmt.Sprint(p)}
		}
	}()
	var in input
	must(json.Unmarshal(line, &in))
	run := map[string]func() times{"merge": in.merge, "hints": in.hints, "admit": in.admit}[in.Type]
	t := run()
	return map[string]any{"ns": t.least, "median_ns": t.median}
}

func main() {
	klog.SetOutputBySeverity("INFO", nil)
	klog.LogToStderr(false)
	klog.SetLogger(klog.Logger{})
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		fmt.Println(string(must1(json.Marshal(answer(line)))))
	}
}
