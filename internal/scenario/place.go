package scenario

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/wire"
)

// where is a place of a lab as checks name it: one end of a link ("h1:eth0"), a
// link ("h1-sw1"), a node ("h1") or everywhere ("").
type where struct {
	everywhere bool
	node       string   // of a node or an end
	port       string   // of an end
	ends       []string // of a link: "h1:eth0", "sw1:1"
}

// newWhere finds what a text names.
func newWhere(plan *lab.Plan, text string) (where, *filterError) {
	if text == "" {
		return where{everywhere: true}, nil
	}
	if plan.Node(text) >= 0 {
		return where{node: text}, nil
	}
	if name, port, isEnd := strings.Cut(text, ":"); isEnd {
		return newEnd(plan, name, port)
	}
	if k := linkNumber(plan, text); k >= 0 {
		w := where{}
		for _, e := range plan.Links[k].Ends {
			n := &plan.Nodes[e.Node]
			w.ends = append(w.ends, n.Name+":"+n.Interfaces[e.Interface].Name)
		}
		return w, nil
	}
	err := &filterError{text: fmt.Sprintf("there is no node and no link %q", text), length: len([]rune(text))}
	err.suggestion = diag.Nearest(text, slices.Concat(nodeNames(plan), linkNames(plan)))
	return where{}, err
}

func newEnd(plan *lab.Plan, name, port string) (where, *filterError) {
	i := plan.Node(name)
	if i < 0 {
		return where{}, &filterError{
			text: fmt.Sprintf("there is no node %q", name), suggestion: diag.Nearest(name, nodeNames(plan)), length: len([]rune(name)),
		}
	}
	if plan.Nodes[i].Interface(port) < 0 {
		names := interfaceNames(&plan.Nodes[i])
		err := &filterError{
			text: fmt.Sprintf("%s has no interface %q", name, port), suggestion: diag.Nearest(port, names),
			at: len([]rune(name)) + 1, length: len([]rune(port)),
		}
		if err.suggestion == "" && len(names) > 0 {
			err.text += "; it has " + strings.Join(names, ", ")
		}
		return where{}, err
	}
	return where{node: name, port: port}, nil
}

// isLink reports whether a link is meant, and not what is plugged in.
func (w *where) isLink() bool { return len(w.ends) > 0 }

// has reports whether a recorded place is meant.
func (w *where) has(p record.Place) bool {
	switch {
	case w.everywhere:
		return true
	case w.isLink():
		return p.Port != "" && slices.Contains(w.ends, p.String())
	}
	return p.Node == w.node && (w.port == "" || p.Port == w.port)
}

// onLink reports whether a frame that is dropped for this reason is dropped by a
// link, and not by the node at its end.
func onLink(why wire.Drop) bool {
	switch why {
	case wire.DropLinkDown, wire.DropQueueFull, wire.DropLoss, wire.DropTooBig, wire.DropNodeDown:
		return true
	}
	return false
}

func linkNumber(plan *lab.Plan, name string) int {
	k := plan.Lab.LinkNamed(name)
	return slices.IndexFunc(plan.Links, func(l lab.LinkPlan) bool { return k != nil && l.Link == k })
}

func nodeNames(plan *lab.Plan) (names []string) {
	for i := range plan.Nodes {
		names = append(names, plan.Nodes[i].Name)
	}
	return names
}

func linkNames(plan *lab.Plan) (names []string) {
	for i := range plan.Links {
		names = append(names, plan.Links[i].Name)
	}
	return names
}

func interfaceNames(n *lab.NodePlan) (names []string) {
	for i := range n.Interfaces {
		names = append(names, n.Interfaces[i].Name)
	}
	return names
}
