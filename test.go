package hopyard

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hopyard/hopyard/internal/record"
)

// Test runs program in the network of a lab, in virtual time, as a test or a
// part of one; it may be called inside a bubble of testing/synctest. Where the test
// fails, the capture is kept and the log says where.
func Test(t testing.TB, l *Lab, program func(n *Network)) {
	t.Helper()
	dir := t.TempDir()
	err := l.Play(t.Context(), PlayOptions{PcapDir: dir}, func(n *Network) error {
		program(n)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if !t.Failed() {
		return
	}
	kept, err := os.MkdirTemp("", strings.NewReplacer("/", "-", "*", "-").Replace(t.Name())+"-*")
	if err == nil {
		err = os.Rename(filepath.Join(dir, record.AllName), filepath.Join(kept, record.AllName))
	}
	if err != nil {
		t.Logf("the capture could not be kept: %v", err)
		return
	}
	t.Logf("what was on the wire: hopyard explain %s", filepath.Join(kept, record.AllName))
}
