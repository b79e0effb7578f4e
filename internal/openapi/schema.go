package openapi

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"jeton/internal/backend"
)

// Schema is the form of a value. The zero Schema is any value.
type Schema struct {
	Ref                  string             `json:"$ref,omitempty"`
	Type                 string             `json:"type,omitempty"`
	Format               string             `json:"format,omitempty"`
	Description          string             `json:"description,omitempty"`
	Nullable             bool               `json:"nullable,omitempty"`
	Enum                 []string           `json:"enum,omitempty"`
	Items                *Schema            `json:"items,omitempty"`
	Properties           map[string]*Schema `json:"properties,omitempty"`
	AdditionalProperties *Schema            `json:"additionalProperties,omitempty"`
	AllOf                []*Schema          `json:"allOf,omitempty"`
}

// fieldSchema is the form of a parameter.
func fieldSchema(f backend.Field) *Schema {
	s := &Schema{Type: f.Kind}
	if f.Kind == "array" {
		s.Items = &Schema{Type: "string"}
	}
	return s
}

// envelope is what is around every answer. Contract: http §4.
func envelope() *Schema {
	object := func() *Schema { return &Schema{Type: "object", Nullable: true} }
	return &Schema{Type: "object", Properties: map[string]*Schema{
		"request_id":     {Type: "string"},
		"lease_id":       {Type: "string"},
		"renewable":      {Type: "boolean"},
		"lease_duration": {Type: "integer"},
		"data":           object(),
		"wrap_info":      object(),
		"warnings":       {Type: "array", Nullable: true, Items: &Schema{Type: "string"}},
		"auth":           object(),
		"mount_type":     {Type: "string"},
	}}
}

// schemaOf is the form that a Go type has in JSON.
func schemaOf(t reflect.Type) *Schema { return typed(t, nil) }

// typed is schemaOf below the types in above: one that holds itself is any value there.
func typed(t reflect.Type, above []reflect.Type) *Schema {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return &Schema{Type: "string", Format: "date-time"}
	case t == reflect.TypeFor[backend.Seconds](), t == reflect.TypeFor[backend.SignedSeconds]():
		return &Schema{Type: "integer"}
	case t.Implements(reflect.TypeFor[json.Marshaler]()), reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]()):
		return &Schema{}
	}
	for _, outer := range above {
		if outer == t {
			return &Schema{}
		}
	}
	switch t.Kind() {
	case reflect.Pointer:
		s := typed(t.Elem(), above)
		s.Nullable = s.Type != ""
		return s
	case reflect.String:
		return &Schema{Type: "string"}
	case reflect.Bool:
		return &Schema{Type: "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &Schema{Type: "integer"}
	case reflect.Float32, reflect.Float64:
		return &Schema{Type: "number"}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return &Schema{Type: "string", Format: "byte"}
		}
		return &Schema{Type: "array", Nullable: t.Kind() == reflect.Slice, Items: typed(t.Elem(), above)}
	case reflect.Map:
		return &Schema{Type: "object", Nullable: true, AdditionalProperties: typed(t.Elem(), above)}
	case reflect.Struct:
		return structSchema(t, append(above[:len(above):len(above)], t))
	}
	return &Schema{}
}

func structSchema(t reflect.Type, above []reflect.Type) *Schema {
	s := &Schema{Type: "object", Properties: map[string]*Schema{}}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" || (f.Anonymous && name == "") {
			continue
		}
		if name == "" {
			name = f.Name
		}
		s.Properties[name] = typed(f.Type, above)
	}
	return s
}
