package scenario

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"

	"github.com/hopyard/hopyard/internal/sim"
)

// evaluate asks all checks.
func (p *player) evaluate(now sim.Time) (reports []CheckReport) {
	env := p.newEnvironment(now)
	for _, c := range p.checks {
		r := CheckReport{Name: c.Name, Expect: c.Expect, PointsMax: points(c)}
		held, err := expr.Run(c.program, env)
		r.Held = err == nil && held == true
		switch {
		case err != nil:
			r.Values = []string{"could not be told: " + plainError(err)}
		case !r.Held:
			e := explainer{env: env}
			e.explain(c.tree)
			r.Values = e.lines
		}
		if r.Held {
			r.Points = r.PointsMax
		} else {
			r.Hint = c.Fail
			r.Packets = p.nearest(c)
		}
		reports = append(reports, r)
	}
	return reports
}

func points(c *check) float64 {
	if c.Points == 0 {
		return 1
	}
	return c.Points
}

// plainError is what went wrong without the expression around it.
func plainError(err error) string {
	var e *file.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// nearest are the packets that the questions of a check are about, those that
// came nearest first where too few were found.
func (p *player) nearest(c *check) (lines []string) {
	var all []nearPacket
	for _, q := range c.questions {
		all = append(all, p.counter.tallies[q].nearest...)
	}
	slices.SortStableFunc(all, func(a, b nearPacket) int { return b.score - a.score })
	if len(all) > nearestMax {
		all = all[:nearestMax]
	}
	slices.SortStableFunc(all, func(a, b nearPacket) int { return int(a.at - b.at) })
	for i := range all {
		lines = append(lines, all[i].line(p.counter.places[all[i].place]))
	}
	return lines
}

// explainer says why an expression is false: the values of its parts.
type explainer struct {
	env   environment
	lines []string
}

// linesMax bounds an explanation.
const linesMax = 8

func (e *explainer) add(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); len(e.lines) < linesMax && !slices.Contains(e.lines, line) {
		e.lines = append(e.lines, line)
	}
}

// value evaluates a part by itself.
func (e *explainer) value(n ast.Node) (any, error) {
	program, err := expr.Compile(n.String(), options()...)
	if err != nil {
		return nil, err
	}
	return expr.Run(program, e.env)
}

func (e *explainer) isFalse(n ast.Node) bool {
	v, err := e.value(n)
	return err != nil || v == false
}

// comparisons are the operators whose two sides are worth showing.
var comparisons = []string{"==", "!=", "<", "<=", ">", ">=", "in", "matches", "contains", "startsWith", "endsWith"}

// explain says why n, which is false, is so.
func (e *explainer) explain(n ast.Node) {
	switch n := n.(type) {
	case *ast.BinaryNode:
		switch {
		case n.Operator == "and" || n.Operator == "&&" || n.Operator == "or" || n.Operator == "||":
			for _, side := range []ast.Node{n.Left, n.Right} {
				if e.isFalse(side) {
					e.explain(side)
				}
			}
			return
		case slices.Contains(comparisons, n.Operator):
			e.comparison(n, "")
			return
		}
	case *ast.UnaryNode:
		if b, ok := n.Node.(*ast.BinaryNode); ok && slices.Contains(comparisons, b.Operator) {
			e.comparison(b, "not ")
			return
		}
	}
	e.add("%s was %s", n.String(), e.shown(n))
	e.parts(n)
}

func (e *explainer) comparison(n *ast.BinaryNode, not string) {
	left, right := literal(n.Left), literal(n.Right)
	switch {
	case left && !right:
		e.add("%s was %s, wanted %s %s%s it", n.Right, e.shown(n.Right), n.Left, not, n.Operator)
	case right:
		e.add("%s was %s, wanted %s%s %s", n.Left, e.shown(n.Left), not, n.Operator, n.Right)
	default:
		e.add("%s was %s, wanted %s%s %s, which was %s", n.Left, e.shown(n.Left), not, n.Operator, n.Right, e.shown(n.Right))
	}
	for _, side := range []ast.Node{n.Left, n.Right} {
		if b, ok := side.(*ast.BinaryNode); ok { // a sum of several: show each
			e.parts(b)
		}
	}
}

// literal reports whether a part says its own value.
func literal(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.NilNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode, *ast.ConstantNode:
		return true
	case *ast.UnaryNode:
		return literal(n.Node)
	case *ast.ArrayNode:
		return !slices.ContainsFunc(n.Nodes, func(n ast.Node) bool { return !literal(n) })
	case *ast.BuiltinNode:
		return n.Name == "duration" && len(n.Arguments) == 1 && literal(n.Arguments[0])
	}
	return false
}

// parts shows the values of the calls and fields in a part, the outermost of each.
func (e *explainer) parts(n ast.Node) {
	switch n := n.(type) {
	case *ast.BinaryNode:
		e.parts(n.Left)
		e.parts(n.Right)
	case *ast.UnaryNode:
		e.parts(n.Node)
	case *ast.ConditionalNode:
		e.parts(n.Cond)
		e.parts(n.Exp1)
		e.parts(n.Exp2)
	case *ast.BuiltinNode:
		if !literal(n) {
			for _, a := range n.Arguments {
				e.parts(a)
			}
		}
	case *ast.CallNode, *ast.MemberNode:
		e.add("%s was %s", n, e.shown(n))
	}
}

func (e *explainer) shown(n ast.Node) string {
	v, err := e.value(n)
	if err != nil {
		return "unknown (" + plainError(err) + ")"
	}
	return show(v)
}

// shownMax bounds one value.
const shownMax = 200

// show writes a value as people read it.
func show(v any) string {
	text := ""
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		text = strconv.Quote(v)
	case time.Duration:
		return seconds(v)
	case float64:
		return strconv.FormatFloat(v, 'g', 6, 64)
	case map[string]string:
		if len(v) == 0 {
			return "empty"
		}
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, k+": "+v[k])
		}
		text = "{" + strings.Join(parts, ", ") + "}"
	default:
		text = showStruct(v)
	}
	if r := []rune(text); len(r) > shownMax {
		text = string(r[:shownMax]) + "..."
	}
	return text
}

func showStruct(v any) string {
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Struct {
		return fmt.Sprint(v)
	}
	var parts []string
	for i := range rv.NumField() {
		if name := rv.Type().Field(i).Tag.Get("expr"); name != "" {
			parts = append(parts, name+": "+show(rv.Field(i).Interface()))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
