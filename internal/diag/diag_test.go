package diag

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected texts in testdata")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs\n--- got\n%s--- want\n%s", path, got, want)
	}
}

func sample() List {
	var l List
	l.Errorf(Position{"lab.yaml", 14, 9, 5}, "unknown key %q", "dealy").Suggest("dealy", []string{"rate", "delay"}).Source = "      { dealy: 2ms }"
	l.Errorf(Position{"lab.yaml", 2, 2, 3}, "after a tab").Source = "\tabc"
	l.Errorf(Position{"lab.yaml", 3, 3, 2}, "wide letters").Source = "主机网络: 1"
	l.Warnf(Position{"a.yaml", 1, 1, 0}, "a point").Note("write it so: %s", "x").See(Position{"a.yaml", 4, 1, 1}, "first here")
	l.Errorf(Position{}, "nowhere at all")
	l.Errorf(Position{File: "gone.yaml"}, "cannot read the lab")
	long := make([]byte, 300)
	for i := range long {
		long[i] = 'a' + byte(i%26)
	}
	l.Errorf(Position{"lab.yaml", 20, 200, 4}, "far to the right").Source = string(long)
	l.Errorf(Position{"lab.yaml", 21, 99, 4}, "past the end").Source = "short"
	l.Errorf(Position{"lab.yaml", 22, 2, 1}, "an escape").Source = "a\x1b[31mb"
	l.Sort()
	return l
}

func TestRender(t *testing.T) {
	golden(t, "plain.txt", sample().Render(false))
	golden(t, "colour.txt", sample().Render(true))
}

func TestErrIsNilWithoutErrors(t *testing.T) {
	var l List
	l.Warnf(Position{}, "only this")
	if err := l.Err(); err != nil {
		t.Errorf("a warning is no error, got %v", err)
	}
	l.Errorf(Position{"f", 1, 2, 3}, "bad")
	if err := l.Err(); err == nil || l[1].Error() != "f:1:2: bad" {
		t.Errorf("got %v", l)
	}
}

func TestNearest(t *testing.T) {
	words := []string{"delay", "rate", "loss", "jitter", "name", "seed", "nodes", "node", "h1", "h2", "lan1", "packet_loss"}
	for word, want := range map[string]string{
		"dealy": "delay", "Delay": "delay", "delays": "delay", "rat": "rate", "packet-loss": "packet_loss",
		"nodess": "nodes", "noeds": "nodes", "xyz": "", "h3": "h1", "q": "", "": "", "duration": "", "sed": "seed", "delay": "",
	} {
		if got := Nearest(word, words); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
