package tidy

// The house rules that a compiler does not keep: who may import whom, what a
// passive engine may touch, and how long a function may grow. A failing rule is
// a design question, so change the code first and the table last.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/hopyard/hopyard"

// layers is the architecture, lowest first: a package may import packages of
// any line above its own, never of its own line or below. A trailing /* names
// every package of a folder.
var layers = [][]string{
	{"wire", "sim", "diag", "subnet"},
	{"link", "ether", "tcp", "cpu", "conf/*"},
	{"record", "stack"},
	{"netfilter", "ipvs", "vrrp", "rip", "ospf", "socket", "uplink"},
	{"app/*", "node"},
	{"lab", "shell"},
	{"scenario"},
	{"sweep", "guide", "view", "explain", "plot", "doctor", "judge"},
}

// only narrows a package to less than its layer would allow.
var only = map[string][]string{
	"conf/*": {"diag"},
	"app/*":  {"socket", "cpu", "diag", "conf/*"},
	"cpu":    {"sim"},
	"record": {"wire", "sim"},
	"uplink": {"link", "wire", "sim"},
}

// engines are passive: no goroutine, no lock, no clock, no map order.
var engines = []string{"wire", "link", "ether", "tcp", "stack", "netfilter", "ipvs", "vrrp", "rip", "ospf"}

var engineImports = []string{"context", "crypto/rand", "log", "log/slog", "math/rand", "math/rand/v2", "net", "os", "sync", "sync/atomic", "testing", "unsafe"}

var clockCalls = []string{"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.AfterFunc", "time.NewTimer", "time.NewTicker", "time.Tick"}

const (
	funcLinesMax = 70
	fileLinesMax = 700
)

// long lists functions allowed past funcLinesMax, each with its reason.
var long = map[string]string{}

type pkg struct {
	ImportPath, Dir, Export, Name string
	GoFiles, Imports              []string
}

func list(t *testing.T) (ours []pkg, exports map[string]string) {
	t.Helper()
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,Name,GoFiles,Imports", module+"/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	exports = map[string]string{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return ours, exports
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if p.ImportPath == module || strings.HasPrefix(p.ImportPath, module+"/") {
			ours = append(ours, p)
		}
	}
}

func match(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		dir, all := strings.CutSuffix(p, "/*")
		return p == name || all && strings.HasPrefix(name, dir+"/")
	})
}

func layer(name string) int {
	return slices.IndexFunc(layers, func(l []string) bool { return match(l, name) })
}

func internalName(path string) (string, bool) {
	return strings.CutPrefix(path, module+"/internal/")
}

func TestImports(t *testing.T) {
	ours, _ := list(t)
	for _, p := range ours {
		name, ok := internalName(p.ImportPath)
		if !ok || name == "tidy" {
			continue
		}
		if layer(name) < 0 {
			t.Errorf("%s: not in layers; say where it belongs", name)
			continue
		}
		for _, imp := range p.Imports {
			dep, ours := internalName(imp)
			switch {
			case imp == module || strings.HasPrefix(imp, module+"/cmd/"):
				t.Errorf("%s imports %s: arrows go down", name, imp)
			case !ours:
				if match(engines, name) && slices.Contains(engineImports, imp) {
					t.Errorf("%s imports %q: engines are passive", name, imp)
				}
				if imp == "testing/synctest" && name != "sim" {
					t.Errorf("%s imports %q: only sim drives time", name, imp)
				}
			case layer(dep) >= layer(name):
				t.Errorf("%s imports %s: arrows go down", name, dep)
			default:
				for key, allowed := range only {
					if match([]string{key}, name) && !match(allowed, dep) {
						t.Errorf("%s imports %s: may import only %v", name, dep, allowed)
					}
				}
			}
		}
	}
}

func TestEngines(t *testing.T) {
	ours, exports := list(t)
	fset := token.NewFileSet()
	imp := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	for _, p := range ours {
		if name, _ := internalName(p.ImportPath); !match(engines, name) {
			continue
		}
		var files []*ast.File
		for _, f := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, f), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
		if _, err := (&types.Config{Importer: imp}).Check(p.ImportPath, fset, files, info); err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			excused := excuses(fset, file)
			ast.Inspect(file, func(n ast.Node) bool {
				if why := impure(info, n); why != "" && !excused[fset.Position(n.Pos()).Line] {
					t.Errorf("%s: %s in a passive engine", fset.Position(n.Pos()), why)
				}
				return true
			})
		}
	}
}

// excuses returns the lines that say why map order cannot leak from them:
//
//	for k := range m { // any order: only counts
func excuses(fset *token.FileSet, file *ast.File) map[int]bool {
	lines := map[int]bool{}
	for _, g := range file.Comments {
		if strings.HasPrefix(g.Text(), "any order: ") {
			lines[fset.Position(g.Pos()).Line] = true
		}
	}
	return lines
}

func impure(info *types.Info, n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "go statement"
	case *ast.SelectStmt, *ast.SendStmt:
		return "channel operation"
	case *ast.RangeStmt:
		if tv, ok := info.Types[n.X]; ok {
			if _, isMap := tv.Type.Underlying().(*types.Map); isMap {
				return "range over a map"
			}
		}
	case *ast.SelectorExpr:
		if obj, ok := info.Uses[n.Sel].(*types.Func); ok && obj.Pkg() != nil {
			if name := obj.Pkg().Path() + "." + obj.Name(); slices.Contains(clockCalls, name) {
				return name
			}
		}
	}
	return ""
}

func TestShape(t *testing.T) {
	ours, _ := list(t)
	fset := token.NewFileSet()
	for _, p := range ours {
		docs := 0
		for _, f := range p.GoFiles {
			path := filepath.Join(p.Dir, f)
			src, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			file, err := parser.ParseFile(fset, path, src, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil {
				docs++
			}
			checkLines(t, path, src)
			for _, d := range file.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				lines := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1
				if key := p.Name + "." + fn.Name.Name; lines > funcLinesMax && long[key] == "" {
					t.Errorf("%s: %s has %d lines, at most %d", fset.Position(fn.Pos()), key, lines, funcLinesMax)
				}
			}
		}
		if docs != 1 {
			t.Errorf("%s: %d package comments, want 1", p.ImportPath, docs)
		}
		if slices.Contains([]string{"util", "utils", "common", "helpers", "types", "manager", "misc"}, p.Name) {
			t.Errorf("%s: name it after what it is", p.ImportPath)
		}
	}
}

func checkLines(t *testing.T, path string, src []byte) {
	t.Helper()
	n := 0
	for s := bufio.NewScanner(bytes.NewReader(src)); s.Scan(); n++ {
		if strings.Contains(s.Text(), "FIX"+"ME") {
			t.Errorf("%s:%d: leftover %s", path, n+1, "FIX"+"ME")
		}
	}
	if n > fileLinesMax {
		t.Errorf("%s has %d lines, at most %d", path, n, fileLinesMax)
	}
}
