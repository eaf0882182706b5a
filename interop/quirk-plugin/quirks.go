// The quirks: how plugins in the field differ from one another, each behind a flag of its own.
package main

import (
	"flag"
	"fmt"
	"strings"
	"time"
)

type quirks struct {
	root, resource, endpoint, authority, restart string
	devices, idBytes                             int
	topology                                     string
	duplicate, shuffle                           bool
	emptyFirst, endOK, resend                    time.Duration
	goodbye, exitOnBreak, panicOnSecond          bool
	answer                                       string
	registerOptions, options                     string
	freshEndpoint, dieOnFailedRegister, selfDial bool
	strictAuthority                              bool
	registerAs                                   string
}

// pick is a flag with a fixed list of words.
type pick struct {
	at    *string
	words []string
}

func (p pick) String() string {
	if p.at == nil {
		return ""
	}
	return *p.at
}

func (p pick) Set(s string) error {
	for _, w := range p.words {
		if w == s {
			*p.at = s
			return nil
		}
	}
	return fmt.Errorf("one of %s", strings.Join(p.words, ", "))
}

func word(at *string, name, help string, words ...string) {
	*at = words[0]
	flag.Var(pick{at, words}, name, help+": "+strings.Join(words, ", "))
}

func parseQuirks() *quirks {
	q := &quirks{}
	flag.StringVar(&q.root, "root", "/var/lib/kubelet", "folder that holds device-plugins")
	flag.StringVar(&q.resource, "resource", "example.com/quirk", "resource name")
	flag.StringVar(&q.endpoint, "endpoint", "quirk.sock", "socket name in device-plugins")
	flag.BoolVar(&q.freshEndpoint, "fresh-endpoint", false, "a new socket name, with the time in it, at each registration")
	flag.IntVar(&q.devices, "devices", 4, "number of devices")
	flag.IntVar(&q.idBytes, "id-bytes", 0, "ids are that long")
	flag.StringVar(&q.registerAs, "register-as", "", "endpoint said in Register, when not the socket's name")
	word(&q.authority, "authority", "what the Register call says as :authority", "escaped", "raw", "localhost", "tonic")
	word(&q.restart, "restart", "how a restart of the manager is noticed", "create", "own-socket", "never")
	word(&q.topology, "topology", "of each device", "nil", "empty", "minus-one", "one", "two")
	flag.BoolVar(&q.duplicate, "duplicate", false, "the last device is listed twice, the second time Unhealthy")
	flag.BoolVar(&q.shuffle, "shuffle", false, "each list in another order")
	flag.DurationVar(&q.resend, "resend", 0, "the same list again, for ever")
	flag.DurationVar(&q.emptyFirst, "empty-first", 0, "an empty list first, the devices so much later")
	flag.DurationVar(&q.endOK, "end-ok", 0, "ListAndWatch ends with status OK after so long")
	flag.BoolVar(&q.goodbye, "goodbye", false, "on SIGTERM an empty list, a second, then the end")
	flag.BoolVar(&q.exitOnBreak, "exit-on-break", false, "exit 1 when the manager's stream breaks")
	flag.BoolVar(&q.panicOnSecond, "panic-on-second-list", false, "panic when ListAndWatch is called a second time in one registration")
	word(&q.answer, "answer", "to Allocate", "one", "per-device", "none", "shared", "bare-permissions", "doubles")
	word(&q.registerOptions, "register-options", "options in Register", "nil", "all", "same")
	word(&q.options, "options", "in GetDevicePluginOptions", "nil", "preferred", "prestart", "all", "unimplemented")
	flag.BoolVar(&q.dieOnFailedRegister, "die-on-failed-register", false, "exit 2 when Register fails")
	flag.BoolVar(&q.selfDial, "self-dial", false, "a blocking dial of the own socket, 5 s, before Register")
	flag.BoolVar(&q.strictAuthority, "strict-authority", false, "serve only calls whose :authority is a host name, as Rust's h2 does")
	flag.Parse()
	return q
}
