// The DevicePlugin service: lists, answers, and the ways a list stream can end.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

type server struct {
	api.UnimplementedDevicePluginServer
	q        *quirks
	stopping chan struct{}
	leaving  chan chan struct{} // somebody wants an empty list sent, and to hear when it was
	lists    atomic.Int32
}

func newServer(q *quirks) *server {
	return &server{q: q, stopping: make(chan struct{}), leaving: make(chan chan struct{})}
}

// checkAuthority refuses what Rust's h2 takes for a protocol error: a path, escaped or not.
func (s *server) checkAuthority(ctx context.Context) error {
	headers, _ := metadata.FromIncomingContext(ctx)
	authority := strings.Join(headers[":authority"], " ")
	if s.q.strictAuthority && (authority == "" || strings.ContainsAny(authority, "/% ")) {
		say("authority", "refused", authority)
		return status.Errorf(codes.Internal, ":authority %q is no host", authority)
	}
	return nil
}

func (s *server) checkUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := s.checkAuthority(ctx); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

func (s *server) checkStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := s.checkAuthority(stream.Context()); err != nil {
		return err
	}
	return handler(srv, stream)
}

func optionsOf(what string) *api.DevicePluginOptions {
	if what == "nil" {
		return nil
	}
	return &api.DevicePluginOptions{PreStartRequired: what == "prestart" || what == "all",
		GetPreferredAllocationAvailable: what == "preferred" || what == "all"}
}

func (s *server) topology(i int) *api.TopologyInfo {
	node := func(n int64) *api.NUMANode { return &api.NUMANode{ID: n} }
	switch s.q.topology {
	case "empty":
		return &api.TopologyInfo{}
	case "minus-one":
		return &api.TopologyInfo{Nodes: []*api.NUMANode{node(-1)}}
	case "one":
		return &api.TopologyInfo{Nodes: []*api.NUMANode{node(int64(i % 2))}}
	case "two":
		return &api.TopologyInfo{Nodes: []*api.NUMANode{node(0), node(1)}}
	}
	return nil
}

func (s *server) id(i int) string {
	id := fmt.Sprintf("quirk-%05d", i)
	return id + strings.Repeat("x", max(0, s.q.idBytes-len(id)))
}

func (s *server) list() *api.ListAndWatchResponse {
	r := &api.ListAndWatchResponse{}
	for i := range s.q.devices {
		r.Devices = append(r.Devices, &api.Device{ID: s.id(i), Health: api.Healthy, Topology: s.topology(i)})
	}
	if s.q.shuffle {
		rand.Shuffle(len(r.Devices), func(a, b int) { r.Devices[a], r.Devices[b] = r.Devices[b], r.Devices[a] })
	}
	if n := len(r.Devices); s.q.duplicate && n > 0 {
		last := r.Devices[n-1]
		r.Devices = append(r.Devices, &api.Device{ID: last.ID, Health: api.Unhealthy, Topology: last.Topology})
	}
	return r
}

func timer(d time.Duration) <-chan time.Time {
	if d == 0 {
		return nil
	}
	return time.After(d)
}

func (s *server) ListAndWatch(_ *api.Empty, stream api.DevicePlugin_ListAndWatchServer) error {
	nth := s.lists.Add(1)
	say("list", "n", nth)
	if nth > 1 && s.q.panicOnSecond {
		fail(2, errors.New("panic: send on closed channel (ListAndWatch was called a second time)"))
	}
	if s.q.emptyFirst > 0 {
		stream.Send(&api.ListAndWatchResponse{})
		time.Sleep(s.q.emptyFirst)
	}
	if err := stream.Send(s.list()); err != nil {
		return err
	}
	say("listed")
	end := timer(s.q.endOK)
	for {
		select {
		case <-timer(s.q.resend):
			if err := stream.Send(s.list()); err != nil {
				return err
			}
		case <-end:
			say("end-ok")
			return nil
		case sent := <-s.leaving:
			stream.Send(&api.ListAndWatchResponse{})
			close(sent)
		case <-s.stopping:
			return nil
		case <-stream.Context().Done():
			say("broke", "error", stream.Context().Err().Error())
			if s.q.exitOnBreak {
				fail(1, errors.New("the stream broke"))
			}
			return nil
		}
	}
}

// goodbye sends an empty list and gives the manager a second, as KubeVirt does.
func (s *server) goodbye() {
	sent := make(chan struct{})
	select {
	case s.leaving <- sent:
		<-sent
		time.Sleep(time.Second)
	case <-time.After(time.Second):
	}
}

func (s *server) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	say("options")
	if s.q.options == "unimplemented" {
		return nil, status.Error(codes.Unimplemented, "unknown method GetDevicePluginOptions")
	}
	if o := optionsOf(s.q.options); o != nil {
		return o, nil
	}
	return &api.DevicePluginOptions{}, nil
}

func (s *server) GetPreferredAllocation(_ context.Context, r *api.PreferredAllocationRequest) (*api.PreferredAllocationResponse, error) {
	out := &api.PreferredAllocationResponse{}
	for _, c := range r.ContainerRequests {
		say("preferred", "available", len(c.AvailableDeviceIDs), "must", c.MustIncludeDeviceIDs, "size", c.AllocationSize)
		out.ContainerResponses = append(out.ContainerResponses, &api.ContainerPreferredAllocationResponse{})
	}
	return out, nil // the list stays empty: choose yourself
}

func (s *server) response(id string) *api.ContainerAllocateResponse {
	permissions := "mrw"
	if s.q.answer == "bare-permissions" {
		permissions = ""
	}
	r := &api.ContainerAllocateResponse{Envs: map[string]string{"QUIRK": id},
		Devices: []*api.DeviceSpec{{ContainerPath: "/dev/" + id, HostPath: "/dev/null", Permissions: permissions}},
		Mounts:  []*api.Mount{{ContainerPath: "/opt/quirk", HostPath: "/tmp", ReadOnly: true}}}
	if s.q.answer == "doubles" { // equal in all fields: to be merged without a word
		r.Devices, r.Mounts = append(r.Devices, r.Devices[0]), append(r.Mounts, r.Mounts[0])
	}
	return r
}

func (s *server) Allocate(_ context.Context, r *api.AllocateRequest) (*api.AllocateResponse, error) {
	out := &api.AllocateResponse{}
	for _, c := range r.ContainerRequests {
		say("allocate", "ids", c.DevicesIds, "containers", len(r.ContainerRequests))
		switch s.q.answer {
		case "none":
		case "per-device":
			for _, id := range c.DevicesIds {
				out.ContainerResponses = append(out.ContainerResponses, s.response(id))
			}
		case "shared": // one answer for each container, and one more that nobody asked for
			out.ContainerResponses = append(out.ContainerResponses, s.response(c.DevicesIds[0]), s.response(c.DevicesIds[0]))
		default:
			out.ContainerResponses = append(out.ContainerResponses, s.response(c.DevicesIds[0]))
		}
	}
	return out, nil
}

func (s *server) PreStartContainer(_ context.Context, r *api.PreStartContainerRequest) (*api.PreStartContainerResponse, error) {
	say("prestart", "ids", r.DevicesIds, "pid", os.Getpid())
	return &api.PreStartContainerResponse{}, nil
}
