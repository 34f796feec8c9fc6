package judge

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The command line joins a live lab to this machine: what hopyard run --tap says
// is done in the namespace, and then Linux plays a node of labs/first.yaml.
func TestRunWithTAP(t *testing.T) {
	p := newNamespace(t)
	binary := filepath.Join(t.TempDir(), "hopyard")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/hopyard").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var stdout, stderr bytes.Buffer
	run := exec.Command("ip", "netns", "exec", p.namespace, binary, "run", "../../labs/tcp-states.yaml", "--live", "--tap", "client=hop0")
	told := &teller{line: make(chan string, 20)}
	run.Stdout, run.Stderr = &stdout, told
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	defer run.Process.Kill()
	for commands := 0; commands < 2; {
		select {
		case line := <-told.line:
			if strings.HasPrefix(line, "  ip ") {
				p.linux("sh", "-c", line).expect(t, 0, nil)
				commands++
			}
		case <-time.After(patience):
			t.Fatalf("hopyard says nothing\n%s", stderr.String())
		}
	}
	p.linux("ping", "-n", "-c", "2", "-i", "0.2", "10.0.0.2").expect(t, 0, map[string]int{"2 received": 1})
	p.linuxWith("hello\n", "nc", "-n", "-N", "-w", "5", "10.0.0.2", "9").expect(t, 0, nil)
	_ = run.Process.Signal(syscall.SIGINT)
	err := run.Wait()
	if run.ProcessState.ExitCode() != 130 || !strings.Contains(stdout.String(), "WHO TALKED TO WHOM") {
		t.Errorf("%v, %s\n%s", err, run.ProcessState, stdout.String())
	}
}

// teller gives the lines that are written to it.
type teller struct {
	line chan string
	rest string
}

func (w *teller) Write(b []byte) (int, error) {
	w.rest += string(b)
	for {
		line, rest, whole := strings.Cut(w.rest, "\n")
		if !whole {
			return len(b), nil
		}
		w.rest = rest
		select {
		case w.line <- line:
		default:
		}
	}
}
