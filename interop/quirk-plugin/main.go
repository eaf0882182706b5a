// plugin is a device plugin on grpc-go that does what real ones were seen to do, one quirk a flag (quirks.go).
// What happens to it goes to stdout, one JSON line each, for a test to wait on.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

var sayLock sync.Mutex

func say(event string, pairs ...any) {
	line := map[string]any{"event": event, "ms": time.Now().UnixMilli()}
	for i := 0; i+1 < len(pairs); i += 2 {
		line[pairs[i].(string)] = pairs[i+1]
	}
	text, _ := json.Marshal(line)
	sayLock.Lock()
	defer sayLock.Unlock()
	fmt.Printf("%s\n", text)
}

func fail(code int, err error) {
	say("exit", "why", err.Error())
	fmt.Fprintln(os.Stderr, "plugin:", err)
	os.Exit(code)
}

// process is the plugin over all its registrations; each has a server and a socket of its own.
type process struct {
	q       *quirks
	dir     string
	kubelet string
	server  *grpc.Server
	serving *server
	socket  string
}

// listen serves before Register is called: the manager dials while that call is open.
func (p *process) listen() error {
	name := p.q.endpoint
	if p.q.freshEndpoint {
		name = fmt.Sprintf("%s.%d", p.q.endpoint, time.Now().UnixMilli())
	}
	p.socket = filepath.Join(p.dir, name)
	os.Remove(p.socket)
	listener, err := net.Listen("unix", p.socket)
	if err != nil {
		return err
	}
	p.serving = newServer(p.q)
	p.server = grpc.NewServer(grpc.UnaryInterceptor(p.serving.checkUnary), grpc.StreamInterceptor(p.serving.checkStream))
	api.RegisterDevicePluginServer(p.server, p.serving)
	go p.server.Serve(listener)
	if p.q.selfDial {
		return dialAndWait("unix://" + p.socket)
	}
	return nil
}

func (p *process) stop() {
	if p.server != nil {
		close(p.serving.stopping)
		p.server.Stop()
	}
}

func dialAndWait(target string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := grpc.DialContext(ctx, target, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithBlock())
	if err == nil {
		conn.Close()
	}
	return err
}

func (p *process) dialOptions() []grpc.DialOption {
	dial := func(ctx context.Context, path string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(dial)}
	switch p.q.authority {
	case "raw": // grpc-go up to 1.56
		return append(options, grpc.WithAuthority(p.kubelet))
	case "localhost":
		return append(options, grpc.WithAuthority("localhost"))
	case "tonic":
		return append(options, grpc.WithAuthority("[::]:50051"))
	}
	return options // the path, with its slashes escaped: grpc-go from 1.57
}

func (p *process) register() error {
	conn, err := grpc.NewClient("passthrough:///"+p.kubelet, p.dialOptions()...)
	if err != nil {
		return err
	}
	defer conn.Close()
	request := &api.RegisterRequest{Version: api.Version, Endpoint: filepath.Base(p.socket), ResourceName: p.q.resource}
	if p.q.registerAs != "" {
		request.Endpoint = p.q.registerAs
	}
	switch p.q.registerOptions {
	case "all":
		request.Options = optionsOf("all")
	case "same":
		request.Options = optionsOf(p.q.options)
	}
	_, err = api.NewRegistrationClient(conn).Register(context.Background(), request)
	return err
}

func (p *process) start() {
	if err := p.listen(); err != nil {
		fail(2, err)
	}
	say("listening", "socket", p.socket)
	if err := p.register(); err != nil {
		say("refused", "error", err.Error())
		if p.q.dieOnFailedRegister {
			fail(2, err)
		}
		return
	}
	say("registered", "resource", p.q.resource, "endpoint", filepath.Base(p.socket))
}

// restarts says when the manager is a new one: its socket was made, or ours was swept.
func (p *process) restarts() <-chan struct{} {
	again := make(chan struct{})
	if p.q.restart == "never" {
		return again
	}
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		err = watcher.Add(p.dir)
	}
	if err != nil {
		fail(2, err)
	}
	go func() {
		for event := range watcher.Events {
			created := event.Has(fsnotify.Create) && event.Name == p.kubelet
			if p.q.restart == "create" && created {
				again <- struct{}{}
			}
		}
	}()
	if p.q.restart == "own-socket" {
		go func() {
			for range time.Tick(500 * time.Millisecond) {
				if _, err := os.Stat(p.socket); errors.Is(err, os.ErrNotExist) {
					again <- struct{}{}
				}
			}
		}()
	}
	return again
}

func main() {
	q := parseQuirks()
	p := &process{q: q, dir: filepath.Join(q.root, "device-plugins")}
	p.kubelet = filepath.Join(p.dir, "kubelet.sock")
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	again := p.restarts()
	p.start()
	for {
		select {
		case <-again:
			p.stop()
			p.start()
		case <-signals:
			if q.goodbye {
				p.serving.goodbye()
			}
			p.stop()
			os.Remove(p.socket)
			say("exit", "why", "signal")
			return
		}
	}
}
