package hopyard_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hopyard/hopyard"
	"github.com/hopyard/hopyard/internal/record"
)

const twoLANs = `
nodes:
  client: { kind: host }
  r1: { kind: router }
  web: { kind: host }
links:
  - { name: near, endpoints: [client, r1], delay: 5ms, rate: 100mbit }
  - { name: far, endpoints: [r1, web], delay: 5ms, rate: 100mbit }
`

// A web server and its client on virtual hosts, with net/http as it is. The
// second request takes one round trip of 20 ms, to the microsecond, in no time.
func Example() {
	lab := hopyard.MustParse(twoLANs)
	err := lab.Play(context.Background(), hopyard.PlayOptions{}, func(n *hopyard.Network) error {
		l, err := n.Host("web").Listen("tcp", ":80")
		if err != nil {
			return err
		}
		go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, "hello from", r.Host)
		}))
		for range 2 {
			started := time.Now()
			r, err := n.Host("client").HTTPClient().Get("http://web/")
			if err != nil {
				return err
			}
			body, _ := io.ReadAll(r.Body)
			r.Body.Close()
			fmt.Printf("%s after %v\n", strings.TrimSpace(string(body)), time.Since(started).Truncate(time.Millisecond))
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// hello from web after 60ms
	// hello from web after 20ms
}

// What a program sees of a link that is cut: nothing, until TCP gives up.
func ExampleNetwork_Cut() {
	lab := hopyard.MustParse(twoLANs)
	err := lab.Play(context.Background(), hopyard.PlayOptions{}, func(n *hopyard.Network) error {
		l, err := n.Host("web").Listen("tcp", ":9")
		if err != nil {
			return err
		}
		go func() {
			c, err := l.Accept()
			if err == nil {
				io.Copy(io.Discard, c)
			}
		}()
		c, err := n.Host("client").Dial(n.Context(), "tcp", "web:9")
		if err != nil {
			return err
		}
		n.Cut("far")
		started := time.Now()
		c.Write([]byte("is anybody there?"))
		_, err = c.Read(make([]byte, 1))
		fmt.Printf("%v after %v\n", errors.Unwrap(errors.Unwrap(err)), time.Since(started).Round(time.Second))
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// no route to host after 16m3s
}

// The state of connections, as ss shows it.
func ExampleHost_Sockets() {
	lab := hopyard.MustParse(twoLANs)
	err := lab.Play(context.Background(), hopyard.PlayOptions{}, func(n *hopyard.Network) error {
		l, err := n.Host("web").Listen("tcp", ":9")
		if err != nil {
			return err
		}
		if _, err := n.Host("client").Dial(n.Context(), "tcp", "web:9"); err != nil {
			return err
		}
		if _, err := l.Accept(); err != nil {
			return err
		}
		for _, s := range n.Host("web").Sockets() {
			fmt.Println(s.Info.State, s.Local.Port(), s.Info.RTT.Truncate(time.Millisecond))
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// LISTEN 9 0s
	// ESTABLISHED 9 20ms
}

func TestInATest(t *testing.T) {
	hopyard.Test(t, hopyard.MustParse(twoLANs), func(n *hopyard.Network) {
		c, err := n.Host("client").ListenPacket("udp4", ":0")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}); err != nil {
			t.Error(err)
		}
		if _, err := n.Host("client").Dial(n.Context(), "tcp", "web:81"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens: %v", err)
		}
		out, exit := n.Host("client").Run("ping -c 1 web")
		if exit != 0 || !strings.Contains(out, "time=20.0 ms") {
			t.Errorf("ping: exit status %d\n%s", exit, out)
		}
	})
}

func TestInTheCallersBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		hopyard.Test(t, hopyard.MustParse(twoLANs), func(n *hopyard.Network) {
			time.Sleep(time.Hour)
			if _, exit := n.Host("client").Run("ping -c 1 web"); exit != 0 {
				t.Error("ping fails")
			}
		})
		if took := time.Since(started); took < time.Hour || took > time.Hour+2*time.Second {
			t.Errorf("it took %v of the caller's time", took)
		}
	})
}

// recorder is a testing.TB that fails quietly.
type recorder struct {
	testing.TB
	failed bool
	log    string
}

func (r *recorder) Error(...any)                   { r.failed = true }
func (r *recorder) Failed() bool                   { return r.failed }
func (r *recorder) Logf(format string, arg ...any) { r.log += fmt.Sprintf(format, arg...) }

func TestCaptureOfAFailure(t *testing.T) {
	r := &recorder{TB: t}
	hopyard.Test(r, hopyard.MustParse(twoLANs), func(n *hopyard.Network) {
		n.Host("client").Run("ping -c 1 web")
		r.Error("it does not work")
	})
	_, path, found := strings.Cut(r.log, "hopyard explain ")
	if !found || filepath.Base(path) != record.AllName {
		t.Fatalf("the log says %q", r.log)
	}
	defer os.RemoveAll(filepath.Dir(path))
	judgeCapture(t, path)
}

func TestPlayFails(t *testing.T) {
	lab := hopyard.MustParse(twoLANs)
	broken := errors.New("broken")
	if err := lab.Play(t.Context(), hopyard.PlayOptions{}, func(*hopyard.Network) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("the program's error: %v", err)
	}
	err := lab.Play(t.Context(), hopyard.PlayOptions{}, func(n *hopyard.Network) error {
		n.Host("wbe")
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), `no host "wbe"; did you mean "web"?`) {
		t.Errorf("a name that is wrong: %v", err)
	}
	err = lab.Play(t.Context(), hopyard.PlayOptions{}, func(n *hopyard.Network) error {
		_, err := n.Host("web").ListenPacket("udp", ":7")
		if err == nil {
			select {} // for ever
		}
		return err
	})
	if err == nil || !strings.Contains(err.Error(), `"program" on program`) {
		t.Errorf("a program that never ends: %v", err)
	}
}

// The same program gives the same frames at the same times, whatever Go's
// scheduler does.
func TestPlayIsDeterministic(t *testing.T) {
	prints := map[string]int{}
	for range 20 {
		hopyard.Test(t, hopyard.MustParse(twoLANs), func(n *hopyard.Network) {
			l, err := n.Host("web").Listen("tcp", ":80")
			if err != nil {
				t.Fatal(err)
			}
			go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 100_000)) }))
			for range 5 {
				r, err := n.Host("client").HTTPClient().Get("http://web/")
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, r.Body)
				r.Body.Close()
				time.Sleep(time.Second)
			}
			prints[n.Fingerprint()]++
		})
	}
	if len(prints) != 1 {
		t.Errorf("%d fingerprints in 20 runs: %v", len(prints), prints)
	}
}
