package hopyard_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hopyard/hopyard"
)

// Every lab in the docs runs, and its checks hold.
func TestLabsInDocs(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, "README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
			found++
			lab, _, _ := strings.Cut(block, "```")
			l, err := hopyard.Parse(page, []byte(lab))
			if err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			r := run(t, l, hopyard.RunOptions{})
			if !r.Passed {
				var b strings.Builder
				_ = r.Text(&b, 100, false)
				t.Errorf("%s, lab %s:\n%s", page, l.Name(), b.String())
			}
		}
	}
	if found < 2 {
		t.Errorf("%d labs in the docs", found)
	}
}
