package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"unicode/utf8"

	// v4 rather than v3: both give nodes with line and column, but only v4 gives
	// the place of a syntax error too, and v3 now gets repairs alone.
	"go.yaml.in/yaml/v4"

	"github.com/hopyard/hopyard/internal/diag"
)

// What a lab file may ask of the reader. A lab of 100,000 hosts with a cable
// each stays below; an alias bomb does not.
const (
	fileBytesMax = 32 << 20
	filesMax     = 100
	depthMax     = 40
	valuesMax    = 4_000_000 // after aliases, each use counted
	messagesMax  = 200
)

// sources are the texts that positions point into, by file.
type sources struct {
	texts map[string]string
	lines map[string][]string // split when first asked for
}

func (s *sources) add(file, text string) {
	if s.texts == nil {
		s.texts, s.lines = map[string]string{}, map[string][]string{}
	}
	s.texts[file] = text
}

// quote fills in the source lines of the messages.
func (s *sources) quote(found diag.List) {
	if s == nil {
		return
	}
	for i := range found {
		m := &found[i]
		m.Source = s.line(m.Position)
		for j := range m.Notes {
			m.Notes[j].Source = s.line(m.Notes[j].Position)
		}
	}
}

func (s *sources) line(at diag.Position) string {
	text, ok := s.texts[at.File]
	if !ok || !at.IsValid() {
		return ""
	}
	if s.lines[at.File] == nil {
		s.lines[at.File] = strings.Split(text, "\n")
	}
	if lines := s.lines[at.File]; at.Line <= len(lines) {
		return lines[at.Line-1]
	}
	return ""
}

// reader turns YAML nodes into the values of config.go. It goes on after an
// error, so that all are told.
type reader struct {
	found   diag.List
	sources *sources
	open    func(path string) ([]byte, error)

	file   string    // being read
	ends   [2]string // the nodes of the cable being read
	within []string  // the files that include it, outermost first
	files  int
	broken map[diag.Position]bool // maps of settings in which something is wrong
	depth  int
	values int
	full   bool // a bound was passed: nothing more is read or told
}

// openFile reads a file that is one: not a directory, not a device.
func openFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a file")
	}
	if info.Size() > fileBytesMax {
		return nil, fmt.Errorf("larger than %d MiB", fileBytesMax>>20)
	}
	return os.ReadFile(path)
}

// text reads one file of YAML into the lab, over what is there.
func (r *reader) text(l *Lab, name string, text []byte) {
	outer := r.file
	r.file, r.within, r.files = name, append(r.within, name), r.files+1
	defer func() { r.file, r.within = outer, r.within[:len(r.within)-1] }()
	r.sources.add(name, string(text))
	if len(text) > fileBytesMax {
		r.errorf(diag.Position{File: name}, "the file is larger than %d MiB", fileBytesMax>>20)
		return
	}
	if !utf8.Valid(text) {
		r.errorf(r.firstBadByte(text), "the file is not UTF-8 text")
		return
	}
	var document yaml.Node
	if err := yaml.Load(text, &document); err != nil {
		r.syntax(err, string(text))
		return
	}
	if document.Kind != yaml.DocumentNode || len(document.Content) != 1 {
		r.errorf(diag.Position{File: name}, "the lab is empty").Note("`hopyard new` writes one to start from")
		return
	}
	r.lab(l, document.Content[0])
}

func (r *reader) firstBadByte(text []byte) diag.Position {
	line, column := 1, 1
	for len(text) > 0 {
		c, size := utf8.DecodeRune(text)
		if c == utf8.RuneError && size == 1 {
			break
		}
		column++
		if c == '\n' {
			line, column = line+1, 1
		}
		text = text[size:]
	}
	return diag.Position{File: r.file, Line: line, Column: column, Length: 1}
}

// syntax tells what the YAML parser stumbled over.
func (r *reader) syntax(err error, source string) {
	at, text := diag.Position{File: r.file}, err.Error()
	var load *yaml.LoadError
	if errors.As(err, &load) {
		text = load.Message
		at.Line, at.Column, at.Length = load.Mark.Line, max(load.Mark.Column, 1), 1
	}
	switch {
	case strings.Contains(text, "no documents"):
		r.errorf(at, "the lab is empty").Note("`hopyard new` writes one to start from")
		return
	case strings.Contains(text, "found multiple"):
		if second := strings.LastIndex(source, "\n---"); second >= 0 {
			at.Line, at.Column, at.Length = strings.Count(source[:second], "\n")+2, 1, 3
		}
		r.errorf(at, "a lab is one YAML document; here another starts")
		return
	}
	m := r.errorf(at, "this is not YAML: %s", text)
	if load != nil && load.ContextMsg != "" && load.ContextMark.Line > 0 && load.ContextMark != load.Mark {
		m.See(diag.Position{File: r.file, Line: load.ContextMark.Line, Column: load.ContextMark.Column, Length: 1}, "%s, which starts here", load.ContextMsg)
	}
	switch {
	case strings.HasPrefix(r.sources.line(at), "\t"):
		m.Note("YAML wants spaces at the start of a line, not tabs")
	case strings.Contains(text, "mapping values are not allowed"):
		m.Note("a value with `: ` in it needs quotes around it; or is the line above indented otherwise?")
	}
}

func (r *reader) errorf(at diag.Position, format string, args ...any) *diag.Message {
	if r.full {
		return &diag.Message{} // nobody will see it
	}
	if len(r.found) >= messagesMax {
		r.full = true
		return r.found.Errorf(at, "there are more errors; these are the first %d", messagesMax)
	}
	return r.found.Errorf(at, format, args...)
}

// at is where a node stands, with the length of its text when it is on one line.
func (r *reader) at(n *yaml.Node) diag.Position {
	p := diag.Position{File: r.file, Line: n.Line, Column: max(n.Column, 1)}
	if n.Line == 0 {
		p.Column = 0
		return p
	}
	if n.Kind == yaml.AliasNode {
		p.Length = utf8.RuneCountInString(n.Value) + 1
		return p
	}
	if n.Kind == yaml.ScalarNode && !strings.Contains(n.Value, "\n") {
		p.Length = utf8.RuneCountInString(n.Value)
		if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
			p.Length += 2
		}
	}
	return p
}

// resolve follows aliases and bounds what they can make. It returns nil when
// the bound is passed.
func (r *reader) resolve(n *yaml.Node) *yaml.Node {
	r.values++
	if r.full {
		return nil
	}
	if r.values > valuesMax {
		r.errorf(r.at(n), "the lab holds more than %d values, counting each use of an alias", valuesMax)
		r.full = true
		return nil
	}
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias // an anchor never sits on an alias
	}
	return n
}

// value reads a node into v, by the table of types or by the kind of v.
func (r *reader) value(v reflect.Value, n *yaml.Node) {
	if n = r.resolve(n); n == nil {
		return
	}
	if r.depth++; r.depth > depthMax {
		r.errorf(r.at(n), "values nest deeper than %d levels", depthMax)
		r.full = true
	}
	defer func() { r.depth-- }()
	if c, ok := codecs[v.Type()]; ok {
		c.read(r, v, n)
		return
	}
	if d, ok := v.Addr().Interface().(direction); ok {
		d.read(r, n)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		fresh := reflect.New(v.Type().Elem())
		r.value(fresh.Elem(), n)
		v.Set(fresh)
	case reflect.Struct:
		r.structure(v, n)
	case reflect.Slice:
		r.slice(v, n)
	case reflect.String:
		r.string(v, n)
	case reflect.Bool:
		r.bool(v, n)
	default:
		r.number(v, n)
	}
}

// slice reads a list, or one value as a list of one.
func (r *reader) slice(v reflect.Value, n *yaml.Node) {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	} else if isNull(n) {
		return
	}
	for _, item := range items {
		fresh := reflect.New(v.Type().Elem()).Elem()
		r.value(fresh, item)
		v.Set(reflect.Append(v, fresh))
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// pair is one key of a mapping with its value.
type pair struct{ key, value *yaml.Node }

// pairs lists a mapping's keys in order, those of merge keys (<<) after its own
// and only where it has none; it tells of keys given twice.
func (r *reader) pairs(n *yaml.Node) []pair {
	return r.merge(nil, map[string]*yaml.Node{}, n, 0)
}

func (r *reader) merge(to []pair, seen map[string]*yaml.Node, n *yaml.Node, depth int) []pair {
	if depth > depthMax {
		r.errorf(r.at(n), "merge keys nest deeper than %d levels", depthMax)
		return to
	}
	own := map[string]*yaml.Node{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := r.resolve(n.Content[i]), n.Content[i+1]
		switch {
		case key == nil:
			return to
		case key.Kind != yaml.ScalarNode:
			r.errorf(r.at(key), "a key must be a word")
		case key.ShortTag() == "!!merge":
			merged = append(merged, value)
		case own[key.Value] != nil:
			r.errorf(r.at(key), "%q is given twice", key.Value).See(r.at(own[key.Value]), "first here")
		default:
			own[key.Value] = key
			if seen[key.Value] == nil {
				seen[key.Value] = key
				to = append(to, pair{key, value})
			}
		}
	}
	for _, m := range merged {
		for _, source := range r.mergeSources(m) {
			to = r.merge(to, seen, source, depth+1)
		}
	}
	return to
}

func (r *reader) mergeSources(n *yaml.Node) (sources []*yaml.Node) {
	at := r.at(n)
	n = r.resolve(n)
	if n == nil {
		return nil
	}
	all := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		all = n.Content
	}
	for _, item := range all {
		if item = r.resolve(item); item == nil {
			return nil
		} else if item.Kind != yaml.MappingNode {
			r.errorf(at, "<< takes a map, or a list of maps, to merge from; this is %s", describe(item))
			continue
		}
		sources = append(sources, item)
	}
	return sources
}

// include reads the files that a lab names, before the rest of it.
func (r *reader) include(l *Lab, n *yaml.Node) {
	var names []text
	r.value(reflect.ValueOf(&names).Elem(), n)
	for _, name := range names {
		path := filepath.Join(filepath.Dir(r.file), filepath.FromSlash(name.value))
		switch {
		case name.value == "":
			continue
		case filepath.IsAbs(name.value):
			r.errorf(name.at, "include takes a path beside this file, not %q", name.value)
			continue
		case r.loops(path):
			r.errorf(name.at, "%s includes itself: %s", path, strings.Join(append(r.within, path), " -> "))
			continue
		case r.files >= filesMax:
			r.errorf(name.at, "a lab has at most %d files", filesMax)
			return
		}
		content, err := r.open(path)
		if err != nil {
			r.errorf(name.at, "cannot include %s: %v", path, err)
			continue
		}
		r.text(l, path, content)
	}
}

func (r *reader) loops(path string) bool {
	for _, outer := range r.within {
		if filepath.Clean(outer) == path {
			return true
		}
	}
	return false
}

// text is a string that knows where it stands.
type text struct {
	value string
	at    diag.Position
}

// describe names what a node is, for "this is ...".
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		switch {
		case isNull(n):
			return "empty"
		case len(n.Value) > 60:
			return fmt.Sprintf("%.60q...", n.Value)
		case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 || n.ShortTag() == "!!str":
			return fmt.Sprintf("%q", n.Value)
		}
		return n.Value
	}
	return "nothing"
}
