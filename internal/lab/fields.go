package lab

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"

	"github.com/hopyard/hopyard/internal/diag"
)

// field is one key of a struct, from its tags.
type field struct {
	names   []string // the key, then its other spellings
	index   []int
	doc     string
	example string
}

var positionType = reflect.TypeFor[diag.Position]()

// fieldsOf lists the keys of a struct type, embedded ones in place.
var fieldsOf = func() func(reflect.Type) []field {
	var cache sync.Map
	return func(t reflect.Type) []field {
		if known, ok := cache.Load(t); ok {
			return known.([]field)
		}
		var all []field
		for _, f := range reflect.VisibleFields(t) {
			names := f.Tag.Get("lab")
			if names == "" || names == "-" || f.Anonymous {
				continue
			}
			all = append(all, field{strings.Split(names, ","), f.Index, f.Tag.Get("doc"), f.Tag.Get("example")})
		}
		cache.Store(t, all)
		return all
	}
}()

func keysOf(fields []field) []string {
	var keys []string
	for _, f := range fields {
		keys = append(keys, f.names...)
	}
	return keys
}

// structure reads a map into a struct by its fields' tags.
func (r *reader) structure(v reflect.Value, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		if !isNull(n) {
			r.errorf(r.at(n), "%s takes a map of settings; this is %s", noun(v.Type()), describe(n))
		}
		return
	}
	before := len(r.found)
	defer func() {
		if len(r.found) > before {
			r.broken[r.at(n)] = true
		}
	}()
	if pos := v.FieldByName("Pos"); pos.IsValid() && pos.Type() == positionType && !pos.Interface().(diag.Position).IsValid() {
		pos.Set(reflect.ValueOf(r.at(n)))
	}
	r.keys(v, r.pairs(n))
}

// keys reads the pairs into the fields that they name.
func (r *reader) keys(v reflect.Value, pairs []pair) {
	fields := fieldsOf(v.Type())
	given := map[string]*yaml.Node{}
	for _, p := range pairs {
		i := slices.IndexFunc(fields, func(f field) bool { return slices.Contains(f.names, p.key.Value) })
		if i < 0 {
			r.unknown(v.Type(), p.key, keysOf(fields))
			continue
		}
		f := fields[i]
		if first := given[f.names[0]]; first != nil {
			r.errorf(r.at(p.key), "%q says the same as %q above", p.key.Value, first.Value).See(r.at(first), "first here")
			continue
		}
		given[f.names[0]] = p.key
		if into := v.FieldByIndex(f.index); into.Kind() == reflect.Slice && codecs[into.Type()].read == nil {
			into.SetZero() // a list of an included file is replaced, not mixed; nodes, links and the like add up
			r.value(into, p.value)
		} else {
			r.value(into, p.value)
		}
	}
}

// unknown tells of a key that a struct has not: one that LABFILE.md names and
// nobody has built yet, one of another tool, or a slip.
func (r *reader) unknown(t reflect.Type, key *yaml.Node, keys []string) {
	if why := refusal(t, key.Value); why != "" {
		r.errorf(r.at(key), "%s", why)
		return
	}
	m := r.errorf(r.at(key), "unknown key %q in %s", key.Value, noun(t)).Suggest(key.Value, keys)
	if m.Suggestion == "" {
		m.Note("%s knows %s", noun(t), enumerate(firstNames(t)))
	}
}

func firstNames(t reflect.Type) []string {
	var names []string
	for _, f := range fieldsOf(t) {
		names = append(names, f.names[0])
	}
	return names
}

func enumerate(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

func (r *reader) string(v reflect.Value, n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		r.errorf(r.at(n), "want text here; this is %s", describe(n))
		return
	}
	v.SetString(n.Value)
}

// bool reads YAML's true and false, and the words that people use for them.
func (r *reader) bool(v reflect.Value, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		switch strings.ToLower(n.Value) {
		case "true", "yes", "on":
			v.SetBool(true)
			return
		case "false", "no", "off":
			v.SetBool(false)
			return
		}
	}
	r.errorf(r.at(n), "want true or false; this is %s", describe(n))
}

// number reads a number that has no unit, such as a seed or a metric.
func (r *reader) number(v reflect.Value, n *yaml.Node) {
	var err error
	bits := v.Type().Bits()
	digits := strings.ReplaceAll(n.Value, "_", "")
	switch {
	case n.Kind != yaml.ScalarNode:
		err = strconv.ErrSyntax
	case v.CanUint():
		var u uint64
		u, err = strconv.ParseUint(digits, 0, bits)
		v.SetUint(u)
	case v.CanInt():
		var i int64
		i, err = strconv.ParseInt(digits, 0, bits)
		v.SetInt(i)
	case v.CanFloat():
		var f float64
		f, err = strconv.ParseFloat(digits, bits)
		if err == nil && !(f >= 0 && f <= 1e15) {
			err = strconv.ErrRange
		}
		v.SetFloat(f)
	}
	if err == nil {
		return
	}
	v.SetZero()
	whole := "a whole number"
	switch {
	case v.CanUint():
		whole += " from 0 to " + strconv.FormatUint(1<<bits-1, 10)
	case v.CanFloat():
		whole = "a number from 0"
	}
	r.errorf(r.at(n), "want %s; this is %s", whole, describe(n))
}
