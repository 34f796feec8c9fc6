package lab

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/hopyard/hopyard/internal/diag"
)

var update = flag.Bool("update", false, "rewrite the expected texts in testdata, and the schema")

func golden(t *testing.T, path, got string) {
	t.Helper()
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
		t.Errorf("%s differs; -update rewrites it\n--- got\n%s--- want\n%s", path, got, want)
	}
}

// read reads a file of testdata under its bare name, so that messages do not
// hold the path.
func read(t *testing.T, path string) (*Lab, diag.List) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parse(filepath.Base(path), content, func(name string) ([]byte, error) {
		content, err := os.ReadFile(filepath.Join(filepath.Dir(path), name))
		if err != nil {
			return nil, fs.ErrNotExist
		}
		return content, nil
	})
}

func each(t *testing.T, pattern string, test func(t *testing.T, path string)) {
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) { test(t, path) })
	}
}

func TestMessages(t *testing.T) {
	each(t, "testdata/bad-*.yaml", func(t *testing.T, path string) {
		l, found := read(t, path)
		if !found.HasErrors() {
			_, found = NewPlan(l)
		}
		if len(found) == 0 {
			t.Error("nothing was found")
		}
		golden(t, strings.TrimSuffix(path, ".yaml")+".txt", found.Render(false))
	})
}

func TestShow(t *testing.T) {
	show := func(t *testing.T, path string) {
		l, found := read(t, path)
		if len(found) > 0 {
			t.Fatal("\n" + found.Render(false))
		}
		p, found := NewPlan(l)
		if found.HasErrors() {
			t.Fatal("\n" + found.Render(false))
		}
		var b bytes.Buffer
		if err := Show(&b, p); err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("testdata", strings.TrimSuffix(filepath.Base(path), ".yaml")+".txt"), b.String())
	}
	each(t, "testdata/plan-*.yaml", show)
	each(t, "../../labs/*.yaml", show)
}

// The labs that come with hopyard are without fault, and fit the schema.
func TestShippedLabs(t *testing.T) {
	schema := compiled(t)
	each(t, "../../labs/*.yaml", func(t *testing.T, path string) {
		l, found := Read(path)
		if len(found) > 0 {
			t.Fatal("\n" + found.Render(false))
		}
		if _, found := NewPlan(l); len(found) > 0 {
			t.Fatal("\n" + found.Render(false))
		}
		fits(t, schema, path)
	})
}

func TestSchemaIsTheTypes(t *testing.T) {
	golden(t, "../../docs/hopyard.schema.json", string(Schema()))
	schema := compiled(t)
	each(t, "testdata/plan-*.yaml", func(t *testing.T, path string) { fits(t, schema, path) })
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("hopyard.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	return c.MustCompile("hopyard.schema.json")
}

func fits(t *testing.T, schema *jsonschema.Schema, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := yaml.Load(content, &value); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%s does not fit the schema: %v", path, err)
	}
}

func TestQuantities(t *testing.T) {
	check := func(in string, got any, err *diag.Message, want string) {
		t.Helper()
		text := fmt.Sprint(got)
		if err != nil {
			text = err.Error()
		}
		if text != want {
			t.Errorf("%q reads as %s, want %s", in, text, want)
		}
	}
	for in, want := range map[string]string{
		"10ms": "10ms", "1.5s": "1.5s", "2m": "2m0s", "2 min": "2m0s", "1m30s": "1m30s", "100us": "100µs", "5µs": "5µs", "1h": "1h0m0s", "0": "0s", "10 ms": "10ms", "1d": "24h0m0s", "0.1ms": "100µs",
		"10":    "10 needs a unit: is it 10ms or 10s?",
		"-1s":   "a time cannot be negative: -1s",
		"5mss":  `"5mss": unknown unit "mss" for a time; want one of ms, s, us, ns, m, h; did you mean "5ms"?`,
		"abc":   `"abc" is not a time: want a number and a unit, as in 10ms`,
		"":      `"" is not a time: want a number and a unit, as in 10ms`,
		"1m30":  "30 needs a unit: is it 30ms or 30s?",
		"9000d": "9000d is longer than a year",
	} {
		d, err := parseDuration(in)
		check(in, d, err, want)
	}
	for in, want := range map[string]string{
		"100mbit": "100mbit", "1gbit": "1gbit", "1.5mbit": "1.5mbit", "100Mbps": "100mbit", "100mbps": "100mbit", "10Mb/s": "10mbit", "10MB/s": "80mbit", "1Gbit/s": "1gbit", "64kbit": "64kbit", "0": "0bit", "1kibit": "1.024kbit", "9600bps": "9.6kbit",
		"100":  "100 needs a unit: is it 100mbit or 100gbit?",
		"1xyz": `"1xyz": unknown unit "xyz" for a rate; want one of mbit, gbit, kbit, bit`,
		"1bmt": `"1bmt": unknown unit "bmt" for a rate; want one of mbit, gbit, kbit, bit; did you mean "1bit"?`,
	} {
		r, err := parseRate(in)
		check(in, r, err, want)
	}
	for in, want := range map[string]string{
		"1%": "1%", "0.1 %": "0.1%", "0": "0%", "100%": "100%", "101%": "101% is more than 100%",
		"0.01": "0.01 needs a unit: is it 0.01% or 1% (0.01 of all)?", "5": "5 needs a unit: want 5%",
	} {
		p, err := parseProbability(in)
		check(in, p, err, want)
	}
	for in, want := range map[string]string{
		"100p": "100p", "64KiB": "64KiB", "1000 packets": "1000p", "1500B": "1500B", "10kb": "10000B",
		"100": "100 needs a unit: is it 100p or 100KiB?",
	} {
		q, err := parseQueue(in)
		check(in, q, err, want)
	}
	for in, want := range map[string]string{"10/s": "10", "60/min": "1", "1/ms": "1000", "100pps": "100", "10": "10 needs a unit: is it 10/s or 10/min?"} {
		f, err := parseFrequency(in)
		check(in, f, err, want)
	}
}

// tree is a core router, access routers on it and hosts with a cable each.
func tree(access, hosts int) *Lab {
	l := &Lab{Nodes: []Node{{Name: "core", Settings: Settings{Kind: Router}}}}
	join := func(a, b string) { l.Links = append(l.Links, Link{Ends: []End{{Node: a}, {Node: b}}}) }
	for i := range access {
		r := fmt.Sprintf("r%d", i)
		l.Nodes = append(l.Nodes, Node{Name: r, Settings: Settings{Kind: Router}})
		join("core", r)
		for j := range hosts {
			h := fmt.Sprintf("h%d-%d", i, j)
			l.Nodes = append(l.Nodes, Node{Name: h})
			join(r, h)
		}
	}
	return l
}

func TestPlanOfTenThousandHosts(t *testing.T) {
	l := tree(100, 100)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	p, found := NewPlan(l)
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if len(found) > 0 {
		t.Fatal(found)
	}
	t.Logf("took %v, allocated %d KiB", took, (after.TotalAlloc-before.TotalAlloc)>>10)
	if took > 2*time.Second {
		t.Errorf("took %v, want less than 2 s", took)
	}
	if n := len(p.Nodes[0].Routes); n != 100 {
		t.Errorf("the core has %d routes, want one for each access router's block", n)
	}
	if n := len(p.Nodes[1].Routes); n != 2 {
		t.Errorf("an access router has %d routes, want the default and the end of its block: %v", n, p.Nodes[1].Routes)
	}
	var b strings.Builder
	if err := Show(&b, p); err != nil || strings.Count(b.String(), "\n") > 1000 {
		t.Errorf("show writes %d lines of it", strings.Count(b.String(), "\n"))
	}
	reaches(t, p)
}

// reaches follows the routes from some hosts to others, as packets would go.
func reaches(t *testing.T, p *Plan) {
	t.Helper()
	var hosts []int
	for i := range p.Nodes {
		if p.Nodes[i].Kind == Host && len(p.Nodes[i].Interfaces) > 0 {
			hosts = append(hosts, i)
		}
	}
	step := max(1, len(hosts)/30)
	for i := 0; i < len(hosts); i += step {
		for j := 0; j < len(hosts); j += step {
			if err := p.walk(hosts[i], hosts[j]); err != nil {
				t.Errorf("%s to %s: %v", p.Nodes[hosts[i]].Name, p.Nodes[hosts[j]].Name, err)
			}
		}
	}
}

func (p *Plan) walk(from, to int) error {
	target := p.Nodes[to].Interfaces[0].Addr[0].Addr()
	for at, hops := from, 0; at != to; hops++ {
		if hops > 64 {
			return fmt.Errorf("the way goes round")
		}
		n := &p.Nodes[at]
		bits, port, via := -1, -1, target
		for i := range n.Interfaces {
			for _, a := range n.Interfaces[i].Addr {
				if a.Contains(target) && a.Bits() > bits {
					bits, port, via = a.Bits(), i, target
				}
			}
		}
		for _, r := range n.Routes {
			if r.To.Contains(target) && r.To.Bits() > bits {
				bits, port, via = r.To.Bits(), r.Interface, r.Via
			}
		}
		if port < 0 {
			return fmt.Errorf("no route to %s at %s", target, n.Name)
		}
		next := -1
		for _, e := range p.Segments[n.Interfaces[port].Segment].Members {
			for _, a := range p.interfaceOf(e).Addr {
				if a.Addr() == via {
					next = e.Node
				}
			}
		}
		if next < 0 {
			return fmt.Errorf("nobody at %s has %s", n.Name, via)
		}
		at = next
	}
	return nil
}

// Two plans of one lab are alike, and a plan may be made again.
func TestPlanIsStable(t *testing.T) {
	l := tree(3, 12)
	var texts [2]string
	for i := range texts {
		p, _ := NewPlan(l)
		texts[i] = fmt.Sprintf("%+v%+v", p.Nodes, p.Segments)
		reaches(t, p)
	}
	if strings.Contains(texts[0], "invalid Prefix/") || len(texts[0]) != len(texts[1]) {
		t.Errorf("the second plan differs:\n%s\n%s", texts[0], texts[1])
	}
}

func TestAliasBombIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("x-a0: &a0 [h1, h2]\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&b, "x-a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), ", "))
	}
	b.WriteString("nodes: { h1: {}, h2: {} }\nlinks: [*a29]\ncapture: { links: *a29 }\n")
	_, found := parse("bomb.yaml", []byte(b.String()), nil)
	if !found.HasErrors() || len(found) > messagesMax+1 {
		t.Errorf("%d messages", len(found))
	}
	_, found = parse("round.yaml", []byte("nodes: &n { h1: { sysctl: *n } }\nlinks: &l [*l]\n"), nil)
	if !found.HasErrors() {
		t.Error("an anchor inside itself was not refused")
	}
}

func FuzzRead(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "../../labs/*.yaml"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(content)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		l, found := parse("fuzz.yaml", content, func(string) ([]byte, error) { return content, nil })
		for _, m := range found {
			if m.Text == "" {
				t.Errorf("a message without a text at %s", m.Position)
			}
		}
		found.Render(true)
		if found.HasErrors() {
			return
		}
		if p, found := NewPlan(l); !found.HasErrors() {
			if err := Show(&bytes.Buffer{}, p); err != nil {
				t.Error(err)
			}
		}
	})
}
