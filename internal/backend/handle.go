package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"
	"time"
)

// Endpoint serves one operation of one route. The zero Endpoint serves nothing.
type Endpoint struct {
	fields []Field
	reply  reflect.Type
	run    func(ctx context.Context, c *Call) (*Response, error)
	// reads: see Reads.
	reads bool
}

// Field is one parameter of an endpoint, as help and the OpenAPI document show it.
type Field struct {
	// Name is the member's name in JSON, in a query and in a pattern.
	Name string
	// Kind is the JSON schema's type: string, boolean, integer, array, object.
	Kind string
	// Doc is one line from the field's `doc` tag.
	Doc string

	index []int
	set   func(field reflect.Value, v any) error
	// whole fields take everything that was sent.
	whole bool
}

// Defined says whether the endpoint serves anything.
func (e Endpoint) Defined() bool { return e.run != nil }

// Fields are the parameters it takes, in the order of the request type.
func (e Endpoint) Fields() []Field { return e.fields }

// Reply is the type of its data, nil when it answers freely.
func (e Endpoint) Reply() reflect.Type { return e.reply }

// Serve decodes the call's data and runs the handler. A nil Response means that there is
// nothing to say: 204 on a write, 404 on a read.
func (e Endpoint) Serve(ctx context.Context, c *Call) (*Response, error) { return e.run(ctx, c) }

// Handle makes an endpoint of a typed function. Req is a struct whose fields carry `json`
// names (captures of the pattern included), optionally `default` and `doc`; a pointer field
// stays nil when its member is absent or null. A field of type Payload takes everything.
// The answer is the data; *Response as Resp says more. A nil answer is nothing to say.
func Handle[Req, Resp any](fn func(ctx context.Context, c *Call, req *Req) (*Resp, error)) Endpoint {
	fields, defaults := shapeOf(reflect.TypeFor[Req]())
	e := Endpoint{fields: fields}
	if reply := reflect.TypeFor[Resp](); reply != reflect.TypeFor[Response]() && reply != reflect.TypeFor[None]() {
		e.reply = reply
	}
	e.run = func(ctx context.Context, c *Call) (*Response, error) {
		req := new(Req)
		if err := decode(c, fields, defaults, reflect.ValueOf(req).Elem()); err != nil {
			return nil, err
		}
		reply, err := fn(ctx, c, req)
		if err != nil {
			return nil, err
		}
		return answer(c, reply), nil
	}
	return e
}

// Decode reads an object that came as a member of a request into a Req, as Handle does with
// the request itself. Members it does not know are passed over.
func Decode[Req any](object map[string]any) (*Req, error) {
	fields, defaults := shapeOf(reflect.TypeFor[Req]())
	req := new(Req)
	return req, decode(&Call{Data: object}, fields, defaults, reflect.ValueOf(req).Elem())
}

// Reads is Handle for an fn that reads the store and does nothing else, whatever it is asked: it
// writes nothing, not even later, and speaks to no other system. The pipeline may run it while the
// request's audit entry is still being written, as nothing has happened if that fails and the
// answer is thrown away. The store refuses to write for it (store.Reading).
func Reads[Req, Resp any](fn func(ctx context.Context, c *Call, req *Req) (*Resp, error)) Endpoint {
	e := Handle(fn)
	e.reads = true
	return e
}

// OnlyReads says whether the endpoint was made by Reads.
func (e Endpoint) OnlyReads() bool { return e.reads }

// None is the request type of an endpoint that takes no parameters, and the response type
// of one that has nothing to answer.
type None struct{}

// answer turns what a handler returned into a Response with the call's warnings.
func answer[Resp any](c *Call, reply *Resp) *Response {
	var out *Response
	switch {
	case reply != nil:
		if full, ok := any(reply).(*Response); ok {
			out = full
		} else if _, none := any(reply).(*None); !none {
			out = &Response{Data: reply}
		}
	}
	if len(c.warnings) > 0 {
		if out == nil {
			out = &Response{}
		}
		out.Warnings = append(out.Warnings, c.warnings...)
	}
	return out
}

// decode fills req from the path's captures and the call's data, and warns of what it did
// not use. Contract: tokens §4.1, sys §0.5.
func decode(c *Call, fields []Field, defaults []fieldDefault, req reflect.Value) error {
	for _, d := range defaults {
		if err := d.field.assign(req, d.value); err != nil {
			return fmt.Errorf("backend: default of %s: %w", d.field.Name, err)
		}
	}
	used, whole := 0, false
	nothing := len(c.Data) == 0 && len(c.Captures) == 0
	var replaced []string
	for i := range fields {
		f := &fields[i]
		if f.whole {
			req.FieldByIndex(f.index).Set(reflect.ValueOf(Payload(c.Data)))
			whole = true
			continue
		}
		if nothing {
			continue
		}
		v, sent := c.Data[f.Name]
		if sent {
			used++
		}
		if capture, ok := c.Captures[f.Name]; ok {
			// hvac repeats a certificate's name in the body, and expects a bare 204.
			if text, _ := v.(string); sent && !strings.EqualFold(text, capture) {
				replaced = append(replaced, f.Name)
			}
			v, sent = capture, true
		}
		if !sent || v == nil {
			continue
		}
		if err := f.assign(req, v); err != nil {
			return Invalidf("Field validation failed: error converting input for field %q: %s", f.Name, err)
		}
	}
	if !whole && used < len(c.Data) {
		warnIgnored(c, fields)
	}
	if len(replaced) > 0 {
		sort.Strings(replaced)
		c.Warn(fmt.Sprintf("Endpoint replaced the value of these parameters with the values captured from the endpoint's path: %v", replaced))
	}
	return nil
}

func warnIgnored(c *Call, fields []Field) {
	var ignored []string
	for name := range c.Data {
		known := false
		for i := range fields {
			known = known || fields[i].Name == name
		}
		if !known {
			ignored = append(ignored, name)
		}
	}
	sort.Strings(ignored)
	c.Warn(fmt.Sprintf("Endpoint ignored these unrecognized parameters: %v", ignored))
}

type fieldDefault struct {
	field *Field
	value string
}

// shapeOf reads the parameters off a request type once, when the endpoint is made. A type it
// cannot serve is a programmer's mistake and panics at start.
func shapeOf(t reflect.Type) ([]Field, []fieldDefault) {
	var fields []Field
	var defaults []fieldDefault
	for _, sf := range reflect.VisibleFields(t) {
		if sf.Anonymous || !sf.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		f := Field{Name: name, Doc: sf.Tag.Get("doc"), index: sf.Index}
		f.whole = sf.Type == reflect.TypeFor[Payload]()
		f.Kind, f.set = converter(sf.Type)
		if f.set == nil && !f.whole {
			panic(fmt.Sprintf("backend: field %s of %s has a type that no request can fill", sf.Name, t))
		}
		fields = append(fields, f)
	}
	for i := range fields {
		sf := t.FieldByIndex(fields[i].index)
		if value, ok := sf.Tag.Lookup("default"); ok {
			defaults = append(defaults, fieldDefault{&fields[i], value})
		}
	}
	return fields, defaults
}

// assign converts v into the field of req.
func (f *Field) assign(req reflect.Value, v any) error {
	target := req.FieldByIndex(f.index)
	if target.Kind() == reflect.Pointer {
		fresh := reflect.New(target.Type().Elem())
		if err := f.set(fresh.Elem(), v); err != nil {
			return err
		}
		target.Set(fresh)
		return nil
	}
	return f.set(target, v)
}

// converter returns the JSON schema name of a field's type and the weak conversion into it.
func converter(t reflect.Type) (string, func(reflect.Value, any) error) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[Seconds]():
		return "string", setDuration(false)
	case reflect.TypeFor[SignedSeconds]():
		return "string", setDuration(true)
	case reflect.TypeFor[CommaList]():
		return "array", convert(toCommaList)
	case reflect.TypeFor[IntList]():
		return "array", convert(toIntList)
	case reflect.TypeFor[Pairs]():
		return "object", convert(toPairs)
	case reflect.TypeFor[[]string]():
		return "array", convert(toStrings)
	case reflect.TypeFor[map[string]any]():
		return "object", func(field reflect.Value, v any) error {
			object, ok := v.(map[string]any)
			if !ok {
				return unconvertible("map[string]interface {}", v)
			}
			field.Set(reflect.ValueOf(object))
			return nil
		}
	case reflect.TypeFor[any]():
		return "object", func(field reflect.Value, v any) error { field.Set(reflect.ValueOf(v)); return nil }
	}
	switch t.Kind() {
	case reflect.String:
		return "string", func(field reflect.Value, v any) error {
			s, err := toString(v)
			field.SetString(s)
			return err
		}
	case reflect.Bool:
		return "boolean", func(field reflect.Value, v any) error {
			b, err := toBool(v)
			field.SetBool(b)
			return err
		}
	case reflect.Int, reflect.Int64:
		return "integer", setInt
	case reflect.Float64:
		return "number", setFloat
	}
	return "", nil
}

// convert adapts a conversion to any named type of the same shape.
func convert[T any](to func(any) (T, error)) func(reflect.Value, any) error {
	return func(field reflect.Value, v any) error {
		out, err := to(v)
		if err == nil {
			field.Set(reflect.ValueOf(out).Convert(field.Type()))
		}
		return err
	}
}

func setInt(field reflect.Value, v any) error {
	n, err := toInt(v)
	field.SetInt(n)
	return err
}

func setFloat(field reflect.Value, v any) error {
	text, err := toString(v)
	if err != nil {
		return unconvertible("float64", v)
	}
	n, err := json.Number(text).Float64()
	if err != nil {
		return unconvertible("float64", v)
	}
	field.SetFloat(n)
	return nil
}

func setDuration(signed bool) func(reflect.Value, any) error {
	return func(field reflect.Value, v any) error {
		d, err := toDuration(v)
		if err != nil {
			return err
		}
		if d < 0 && !signed {
			return fmt.Errorf("%w '%d'", errNegative, int64(d/time.Second))
		}
		field.SetInt(int64(d))
		return nil
	}
}
