// Package doctor finds out what a machine lets hopyard do.
package doctor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
)

// Finding is one thing that was looked at.
type Finding struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Found  string `json:"found"`
	For    string `json:"for"`              // what it serves
	Advice string `json:"advice,omitempty"` // what to do where it is missing
	Needed bool   `json:"needed"`           // nothing works without it
}

// Examine looks at everything, what is needed first.
func Examine(ctx context.Context) []Finding {
	findings := []Finding{
		{Name: "platform", OK: true, Needed: true, For: "running labs", Found: fmt.Sprintf("%s, %s/%s, %d cores", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())},
		virtualTime(ctx),
		tap(),
	}
	for _, t := range tools {
		findings = append(findings, t.look())
	}
	return findings
}

// virtualTime has a program sleep for a day.
func virtualTime(ctx context.Context) Finding {
	f := Finding{Name: "virtual time", Needed: true, For: "running labs", Advice: "please report this with the output of hopyard version"}
	kernel := sim.New()
	started := time.Now()
	err := kernel.RunVirtual(ctx, sim.Never, func() {
		kernel.NewOrigin("doctor").Go("sleeper", func(*sim.Proc) { time.Sleep(24 * time.Hour) }, nil)
	}, nil)
	if err != nil {
		f.Found = err.Error()
		return f
	}
	f.OK, f.Found = true, fmt.Sprintf("a day passed in %v", time.Since(started).Round(time.Microsecond))
	return f
}

func tap() Finding {
	f := Finding{Name: "TAP devices", For: "joining a live lab to the real network", Advice: "run as root, or give CAP_NET_ADMIN; labs in virtual time do not need it"}
	if runtime.GOOS != "linux" {
		f.Found, f.Advice = "not on "+runtime.GOOS, ""
		return f
	}
	file, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		f.Found = err.Error()
		return f
	}
	_ = file.Close()
	f.OK, f.Found = os.Geteuid() == 0, "/dev/net/tun opens"
	if !f.OK {
		f.Found += ", but not as root"
	}
	return f
}

// tool is a program that tests compare hopyard with, or that opens its captures.
type tool struct{ name, serves, debian string }

var tools = []tool{
	{"tshark", "judging captures, and reading them", "tshark"},
	{"ip", "tests against the Linux kernel", "iproute2"},
	{"ping", "tests against the Linux kernel", "iputils-ping"},
	{"arping", "tests against the Linux kernel", "iputils-arping"},
	{"traceroute", "tests against the Linux kernel", "traceroute"},
	{"nc", "tests against the Linux kernel", "netcat-openbsd"},
}

func (t tool) look() Finding {
	f := Finding{Name: t.name, For: t.serves}
	path, err := exec.LookPath(t.name)
	if err != nil {
		f.Found, f.Advice = "not found", "on Debian: apt-get install "+t.debian
		return f
	}
	f.OK, f.Found = true, path
	return f
}
