package scenario

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/lab"
)

// check is a compiled check of the lab.
type check struct {
	*lab.Check
	tree      ast.Node
	program   *vm.Program
	questions []int // the frames() and drops() in it, by number
}

// options of every expression. The wall clock must not reach a check.
func options(more ...expr.Option) []expr.Option {
	return append([]expr.Option{
		expr.Env(environment{}), expr.DisableBuiltin("now"), expr.DisableBuiltin("date"), expr.DisableBuiltin("timezone"),
	}, more...)
}

// questionKey names a frames() or a drops() by its arguments.
type questionKey struct {
	drops        bool
	where, words string
}

// checkReader compiles checks and collects what is wrong with them.
type checkReader struct {
	*Scenario
	found diag.List

	check  *check
	source string // the line in the file that the check's position points into
}

func (r *checkReader) read(c *lab.Check) {
	r.check = &check{Check: c}
	r.source = r.lineOf(c.Pos)
	tree, err := parser.Parse(c.Expect)
	if err != nil {
		r.syntax(err)
		return
	}
	r.check.tree = tree.Node
	before := len(r.found)
	ast.Walk(&r.check.tree, r)
	program, err := expr.Compile(c.Expect, options(expr.AsBool())...)
	switch {
	case err == nil:
		r.check.program = program
	case len(r.found) == before: // else it may be the same mistake again
		r.syntax(err)
	}
	r.checks = append(r.checks, r.check)
}

// lineOf is the text of the line at a position.
func (r *checkReader) lineOf(at diag.Position) string {
	var l diag.List
	l.Errorf(at, "")
	r.lab.Quote(l)
	return l[0].Source
}

// at is the place in the file of some characters of the expression.
func (r *checkReader) at(from, length int) diag.Position {
	pos := r.check.Pos
	line := []rune(r.source)
	start := pos.Column - 1
	if start >= 0 && start < len(line) && (line[start] == '\'' || line[start] == '"') {
		start++
	}
	text := []rune(r.check.Expect)
	// In a folded or escaped text, characters stand elsewhere than in the value.
	if start < 0 || start+len(text) > len(line) || string(line[start:start+len(text)]) != string(text) {
		return pos
	}
	pos.Column, pos.Length = start+from+1, max(length, 1)
	return pos
}

// syntax tells what the expression language says is wrong.
func (r *checkReader) syntax(err error) {
	var e *file.Error
	if !errors.As(err, &e) {
		r.found.Errorf(r.check.Pos, "check %q: %v", r.check.Name, err)
		return
	}
	m := r.found.Errorf(r.at(e.From, e.To-e.From), "check %q: %s", r.check.Name, e.Message)
	if name, ok := strings.CutPrefix(e.Message, "unknown name "); ok {
		m.Suggest(name, environmentNames())
	}
}

// Visit implements ast.Visitor: it judges names that stand in the expression, and
// compiles the questions.
func (r *checkReader) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.MemberNode:
		if of, ok := n.Node.(*ast.IdentifierNode); ok && of.Value == "run" {
			if name, ok := n.Property.(*ast.StringNode); ok {
				r.name(name, r.itemNames(isCommand), "item of run with a cmd")
			}
		}
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			r.call(callee.Value, n)
		}
	}
}

// call judges the arguments of one of our functions that are written out.
func (r *checkReader) call(function string, n *ast.CallNode) {
	var args []*ast.StringNode
	for _, a := range n.Arguments {
		s, _ := a.(*ast.StringNode)
		args = append(args, s)
	}
	if function == "frames" || function == "drops" {
		r.question(function, n, args)
		return
	}
	if len(args) == 0 || args[0] == nil {
		return
	}
	switch function {
	case "ping":
		r.name(args[0], r.itemNames(isPing), "item of run that pings")
	case "tcp":
		r.name(args[0], r.itemNames(isTCP), "item of run with a load of tcp")
	case "load":
		r.name(args[0], r.itemNames(isLoad), "item of run with a load")
	case "arp", "route":
		r.name(args[0], r.nodesOf(lab.Host, lab.Router), "host or router")
	case "mac_table":
		r.name(args[0], r.nodesOf(lab.Switch), "switch")
	case "mac", "addr":
		r.end(args[0])
	}
	if function == "route" && len(args) == 2 && args[1] != nil {
		if _, err := netip.ParseAddr(args[1].Value); err != nil {
			r.name(args[1], nodeNames(r.plan), "node and no address")
		}
	}
}

// text is the place of a piece of a text that is written out.
func (r *checkReader) text(n *ast.StringNode, from, length int) diag.Position {
	return r.at(n.Location().From+1+from, length)
}

func (r *checkReader) name(n *ast.StringNode, known []string, what string) {
	if slices.Contains(known, n.Value) {
		return
	}
	m := r.found.Errorf(r.text(n, 0, len([]rune(n.Value))), "check %q: there is no %s called %q", r.check.Name, what, n.Value).Suggest(n.Value, known)
	if m.Suggestion == "" && len(known) > 0 && len(known) <= 12 {
		m.Note("there is %s", strings.Join(known, ", "))
	}
}

// end judges "h1:eth0", or "h1" where that has but one interface.
func (r *checkReader) end(n *ast.StringNode) {
	if _, err := r.interfaceOf(n.Value); err != nil {
		r.filterError(n, err)
	}
}

func (r *checkReader) filterError(n *ast.StringNode, err *filterError) {
	at := r.text(n, err.at, err.length)
	if err.at < 0 {
		at = r.text(n, 0, len([]rune(n.Value)))
	}
	m := r.found.Errorf(at, "check %q: %s", r.check.Name, err.text)
	m.Suggestion = err.suggestion
}

func (r *checkReader) question(function string, n *ast.CallNode, args []*ast.StringNode) {
	if len(args) == 0 || len(args) > 2 || slices.Contains(args, nil) {
		if len(args) > 0 {
			at := n.Callee.Location()
			r.found.Errorf(r.at(at.From, at.To-at.From), "check %q: %s takes a place and words, written out as texts", r.check.Name, function).
				Note("as in %s(\"h1\", \"arp request\"); the place \"\" is everywhere", function)
		}
		return
	}
	key := questionKey{drops: function == "drops", where: args[0].Value}
	if len(args) == 2 {
		key.words = args[1].Value
	}
	where, err := newWhere(r.plan, key.where)
	if err != nil {
		r.filterError(args[0], err)
		return
	}
	f, err := newFilter(r.plan, key.words, key.drops)
	if err != nil {
		r.filterError(args[1], err)
		return
	}
	i, known := r.asked[key]
	if !known {
		i = len(r.questions)
		r.questions = append(r.questions, &question{drops: key.drops, where: where, filter: f})
		r.asked[key] = i
	}
	if !slices.Contains(r.check.questions, i) {
		r.check.questions = append(r.check.questions, i)
	}
}

func isCommand(r *lab.Run) bool { return r.Cmd != "" }
func isTCP(r *lab.Run) bool     { return r.Load != nil && r.Load.TCP != "" }

func isLoad(r *lab.Run) bool { return r.Load != nil }

func isPing(r *lab.Run) bool {
	words := strings.Fields(r.Cmd)
	return len(words) > 0 && words[0] == "ping" || r.Load != nil && r.Load.Ping != ""
}

// itemNames are the names of those items of run.
func (s *Scenario) itemNames(which func(*lab.Run) bool) (names []string) {
	for i := range s.lab.Run {
		if r := &s.lab.Run[i]; r.Name != "" && which(r) {
			names = append(names, r.Name)
		}
	}
	return names
}

// nodesOf are the names of the nodes of some kinds.
func (s *Scenario) nodesOf(kinds ...lab.Kind) (names []string) {
	for i := range s.plan.Nodes {
		if n := &s.plan.Nodes[i]; slices.Contains(kinds, n.Kind) {
			names = append(names, n.Name)
		}
	}
	return names
}

// interfaceOf finds "h1:eth0", or with "h1" its only interface.
func (s *Scenario) interfaceOf(text string) (*lab.InterfacePlan, *filterError) {
	name, port, named := strings.Cut(text, ":")
	i := s.plan.Node(name)
	if i >= 0 && !named {
		if n := &s.plan.Nodes[i]; len(n.Interfaces) == 1 {
			return &n.Interfaces[0], nil
		}
		return nil, &filterError{
			text:   fmt.Sprintf("say which interface of %s, as in %q; it has %s", name, name+":eth0", strings.Join(interfaceNames(&s.plan.Nodes[i]), ", ")),
			length: len([]rune(text)),
		}
	}
	w, err := newEnd(s.plan, name, port)
	if err != nil {
		return nil, err
	}
	n := &s.plan.Nodes[i]
	return &n.Interfaces[n.Interface(w.port)], nil
}

// environmentNames are the names that checks may use.
func environmentNames() (names []string) {
	t := reflect.TypeFor[environment]()
	for field := range t.Fields() {
		names = append(names, field.Tag.Get("expr"))
	}
	return append(names, "duration", "max", "min", "len", "all", "any", "none", "abs", "sum")
}
