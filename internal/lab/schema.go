package lab

import (
	"encoding/json"
	"reflect"
)

const (
	durationPattern  = `^\s*([0-9._]+\s*(ns|nsec|us|µs|μs|usec|ms|msec|s|secs?|m|mins?|h|hours?|d)\s*)+$`
	ratePattern      = `^\s*[0-9._]+\s*[kKmMgGtT]?i?([bB]its?|bits?/s|[bB]ps|[bB]/s)\s*$`
	sharePattern     = `^\s*[0-9._]+\s*%\s*$`
	sizePattern      = `^\s*[0-9._]+\s*([kKmMgG]?[iI]?[bB]|bytes?)\s*$`
	frequencyPattern = `^\s*[0-9._]+\s*(/(s|sec|ms|m|min|h)|[hH]z|pps)\s*$`
	queuePattern     = `^\s*[0-9._]+\s*(p|packets?|pkts?|[kKmMgG]?[iI]?[bB]|bytes?)\s*$`
)

// schemaWriter collects the definitions of struct types.
type schemaWriter struct{ defs map[string]any }

// Schema is the JSON schema of lab files, for editors: draft 2020-12, made from
// the types and tags of config.go.
func Schema() []byte {
	s := &schemaWriter{defs: map[string]any{}}
	root := s.object(reflect.TypeFor[Lab]())
	properties := root["properties"].(map[string]any)
	properties["include"] = describeAs(orList(map[string]any{"type": "string"}), "Files beside this one that are read first.")
	properties["topology"] = describeAs(map[string]any{"$ref": "#"}, "A wrapper around nodes and links, as containerlab has it.")
	root["patternProperties"] = map[string]any{"^x-": map[string]any{"description": "The author's own: a place for anchors."}}
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "hopyard lab"
	root["$defs"] = s.defs
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic("the schema is made of plain values: " + err.Error())
	}
	return append(text, '\n')
}

func describeAs(schema map[string]any, doc string) map[string]any {
	schema["description"] = doc
	return schema
}

func orList(item map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{item, map[string]any{"type": "array", "items": item}}}
}

// of is the schema of one type.
func (s *schemaWriter) of(t reflect.Type) map[string]any {
	if c, ok := codecs[t]; ok {
		return c.schema(s)
	}
	if d, ok := reflect.New(t).Interface().(direction); ok {
		return d.schemaOf(s)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Slice:
		return orList(s.of(t.Elem()))
	case reflect.Struct:
		return s.ref(t)
	case reflect.String:
		return map[string]any{"type": []any{"string", "number", "boolean"}}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float64:
		return map[string]any{"type": "number", "minimum": 0}
	case reflect.Int:
		return map[string]any{"type": "integer"}
	}
	return map[string]any{"type": "integer", "minimum": 0}
}

// ref names a struct's definition, and writes it the first time.
func (s *schemaWriter) ref(t reflect.Type) map[string]any {
	if s.defs[t.Name()] == nil {
		s.defs[t.Name()] = true // it may hold itself
		s.defs[t.Name()] = s.object(t)
	}
	return map[string]any{"$ref": "#/$defs/" + t.Name()}
}

// object is the schema of a struct: its keys and their other spellings.
func (s *schemaWriter) object(t reflect.Type) map[string]any {
	properties := map[string]any{}
	for _, f := range fieldsOf(t) {
		for i, name := range f.names {
			doc := f.doc
			if i > 0 {
				doc = "Same as " + f.names[0] + ". " + doc
			}
			p := describeAs(s.of(t.FieldByIndex(f.index).Type), doc)
			if f.example != "" && p["examples"] == nil {
				p["examples"] = []any{f.example}
			}
			properties[name] = p
		}
	}
	return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
}

func (d *Directed[T]) schemaOf(s *schemaWriter) map[string]any {
	one := s.of(reflect.TypeFor[T]())
	return map[string]any{"anyOf": []any{one, map[string]any{
		"type": "object", "description": "Each direction on its own.", "minProperties": 1, "maxProperties": 2,
		"patternProperties": map[string]any{"->": one}, "additionalProperties": false,
	}}}
}

func schemaText(*schemaWriter) map[string]any { return map[string]any{"type": "string"} }

func schemaMTU(*schemaWriter) map[string]any {
	return map[string]any{"anyOf": []any{map[string]any{"type": "integer", "minimum": 68, "maximum": 65535}, map[string]any{"type": "string", "pattern": sizePattern}}}
}

func schemaLoss(s *schemaWriter) map[string]any {
	return map[string]any{"anyOf": []any{s.of(reflect.TypeFor[Probability]()), s.ref(reflect.TypeFor[Loss]())}}
}

func orNull(schema map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{schema, map[string]any{"type": "null"}}}
}

const nameSchema = `^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}$`

func schemaNamed[T any](s *schemaWriter) map[string]any {
	return map[string]any{"anyOf": []any{
		map[string]any{"type": "object", "additionalProperties": orNull(s.ref(reflect.TypeFor[T]())), "propertyNames": map[string]any{"pattern": nameSchema}},
		map[string]any{"type": "array", "items": map[string]any{"type": "string", "pattern": nameSchema}},
	}}
}

func schemaLinks(s *schemaWriter) map[string]any {
	return map[string]any{"type": "array", "items": map[string]any{"anyOf": []any{
		map[string]any{"type": "string", "pattern": ".-.", "description": "h1-sw1, or h1:eth0-sw1:1"},
		map[string]any{"type": "array", "minItems": 2, "items": map[string]any{"type": "string"}, "description": "Two names: a cable; more: a shared segment."},
		s.ref(reflect.TypeFor[Link]()),
	}}}
}

func schemaList[T any](s *schemaWriter) map[string]any {
	return map[string]any{"type": "array", "items": s.ref(reflect.TypeFor[T]())}
}

func perInterfaceSchema(one map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{one, map[string]any{"type": "object", "additionalProperties": one}}}
}

func schemaAddresses(*schemaWriter) map[string]any {
	return perInterfaceSchema(orList(map[string]any{"type": "string", "pattern": "/[0-9]+$|^slaac$"}))
}

func schemaMACs(*schemaWriter) map[string]any {
	return perInterfaceSchema(map[string]any{"type": "string", "pattern": "^([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}$"})
}

func schemaSysctls(*schemaWriter) map[string]any {
	return map[string]any{"type": "object", "additionalProperties": map[string]any{"type": []any{"string", "number"}}}
}

func schemaServices(s *schemaWriter) map[string]any {
	name := map[string]any{"enum": []any{"echo", "discard"}}
	return map[string]any{"anyOf": []any{
		name,
		map[string]any{"type": "array", "items": name},
		map[string]any{"type": "object", "propertyNames": name, "additionalProperties": orNull(s.ref(reflect.TypeFor[Service]()))},
	}}
}

func schemaChecks(s *schemaWriter) map[string]any {
	return map[string]any{"type": "object", "additionalProperties": map[string]any{"anyOf": []any{
		map[string]any{"type": "string"}, map[string]any{"type": "boolean"}, s.ref(reflect.TypeFor[Check]()),
	}}}
}
