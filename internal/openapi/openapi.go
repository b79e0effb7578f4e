// Package openapi owns the description of the API in the OpenAPI format: it is generated from
// the tables that requests are routed by, so that it cannot say anything else than they do.
// Contract: sys §19.
package openapi

import (
	"fmt"
	"slices"
	"strings"

	"jeton/internal/backend"
)

// Document is an OpenAPI 3 document.
type Document struct {
	OpenAPI    string               `json:"openapi"`
	Info       Info                 `json:"info"`
	Servers    []Address            `json:"servers"`
	Paths      map[string]*PathItem `json:"paths"`
	Components Components           `json:"components"`
	Security   []map[string][]any   `json:"security"`
}

// Info names the API.
type Info struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	Version     string `json:"version"`
}

// Address is where the paths begin.
type Address struct {
	URL string `json:"url"`
}

// Components are what operations refer to.
type Components struct {
	Schemas         map[string]*Schema `json:"schemas"`
	SecuritySchemes map[string]any     `json:"securitySchemes"`
}

// PathItem is one path.
type PathItem struct {
	Description     string      `json:"description,omitempty"`
	Parameters      []Parameter `json:"parameters,omitempty"`
	Get             *Operation  `json:"get,omitempty"`
	Post            *Operation  `json:"post,omitempty"`
	Put             *Operation  `json:"put,omitempty"`
	Patch           *Operation  `json:"patch,omitempty"`
	Delete          *Operation  `json:"delete,omitempty"`
	Sudo            bool        `json:"x-vault-sudo,omitempty"`
	Unauthenticated bool        `json:"x-vault-unauthenticated,omitempty"`
	CreateSupported bool        `json:"x-vault-createSupported,omitempty"`
}

// Parameter is a part of the path or of the query.
type Parameter struct {
	Name        string  `json:"name"`
	Description string  `json:"description,omitempty"`
	In          string  `json:"in"`
	Required    bool    `json:"required,omitempty"`
	Schema      *Schema `json:"schema"`
}

// Operation is one verb of a path.
type Operation struct {
	Summary     string              `json:"summary,omitempty"`
	OperationID string              `json:"operationId"`
	Tags        []string            `json:"tags"`
	Parameters  []Parameter         `json:"parameters,omitempty"`
	RequestBody *Body               `json:"requestBody,omitempty"`
	Responses   map[string]Response `json:"responses"`
	// Security is present, and empty, where no token is needed.
	Security *[]map[string][]any `json:"security,omitempty"`
}

// Body is what is sent.
type Body struct {
	Required bool             `json:"required"`
	Content  map[string]Media `json:"content"`
}

// Response is what comes back.
type Response struct {
	Description string           `json:"description"`
	Content     map[string]Media `json:"content,omitempty"`
}

// Media is the form of a body.
type Media struct {
	Schema *Schema `json:"schema"`
}

// Mount is a backend as the document shows it.
type Mount struct {
	// Path ends in a slash.
	Path, Type string
	// Tag is "system", "auth" or "secrets".
	Tag string
	// Fixed mounts are always where they are; of others the path can be a parameter.
	Fixed  bool
	Routes []*backend.Route
}

// Builder collects mounts into a document.
type Builder struct {
	doc *Document
	// generic makes the paths of mounts parameters.
	generic bool
	ids     map[string]int
}

// New starts a document. version is of the API.
func New(version string, generic bool) *Builder {
	return &Builder{generic: generic, ids: map[string]int{}, doc: &Document{
		OpenAPI: "3.0.2",
		Info:    Info{Title: "Jeton API", Description: "The HTTP API. All paths begin with `/v1/`.", Version: version},
		Servers: []Address{{URL: "/v1"}},
		Paths:   map[string]*PathItem{},
		Components: Components{Schemas: map[string]*Schema{}, SecuritySchemes: map[string]any{
			"token": map[string]string{"type": "apiKey", "in": "header", "name": "X-Vault-Token"},
		}},
		Security: []map[string][]any{{"token": {}}},
	}}
}

// Document is what was built.
func (b *Builder) Document() *Document { return b.doc }

// Add describes the routes of a mount, but those of what is not there.
func (b *Builder) Add(m Mount) {
	for _, route := range m.Routes {
		if !route.Absent {
			b.addRoute(&m, route)
		}
	}
}

// addRoute describes one route: on its path, and for a list on the same with a slash.
func (b *Builder) addRoute(m *Mount, route *backend.Route) {
	prefix := "/" + m.Path
	var parameters []Parameter
	if b.generic && !m.Fixed {
		name := strings.ReplaceAll(m.Type, "-", "_") + "_mount_path"
		base := "/"
		if m.Tag == "auth" {
			base = "/auth/"
		}
		prefix = base + "{" + name + "}/"
		parameters = []Parameter{{Name: name, In: "path", Required: true, Description: "Where the backend is mounted.", Schema: &Schema{Type: "string"}}}
	}
	path, captures := template(route.Pattern)
	path = strings.TrimSuffix(prefix+path, "/")
	for _, capture := range captures {
		parameters = append(parameters, Parameter{Name: capture, In: "path", Required: true, Description: docOf(route, capture), Schema: &Schema{Type: "string"}})
	}
	item := &PathItem{Description: route.Summary, Parameters: parameters, Sudo: route.Sudo, Unauthenticated: route.Open, CreateSupported: route.Exists != nil}
	for _, verb := range []struct {
		name     string
		endpoint backend.Endpoint
		into     **Operation
		query    bool
	}{
		{"read", route.Read, &item.Get, true}, {"write", route.Write, &item.Post, false},
		{"patch", route.Patch, &item.Patch, false}, {"delete", route.Delete, &item.Delete, true},
	} {
		if verb.endpoint.Defined() {
			*verb.into = b.operation(m, route, verb.name, path, verb.endpoint, captures, verb.query)
		}
	}
	// Two mounts of a type have the same paths once these are parameters.
	if _, known := b.doc.Paths[path]; !known && (item.Get != nil || item.Post != nil || item.Patch != nil || item.Delete != nil) {
		b.doc.Paths[path] = item
	}
	b.addList(m, route, path, captures, parameters)
}

// addList describes the list of a route: a GET of the path with a slash and list=true.
func (b *Builder) addList(m *Mount, route *backend.Route, path string, captures []string, parameters []Parameter) {
	if !route.List.Defined() {
		return
	}
	path += "/"
	if _, known := b.doc.Paths[path]; known {
		return
	}
	list := b.operation(m, route, "list", path, route.List, captures, true)
	list.Parameters = append([]Parameter{{Name: "list", In: "query", Required: true, Description: "Must be true.",
		Schema: &Schema{Type: "string", Enum: []string{"true"}}}}, list.Parameters...)
	b.doc.Paths[path] = &PathItem{Description: route.Summary, Parameters: parameters, Sudo: route.Sudo, Unauthenticated: route.Open, Get: list}
}

// operation describes one endpoint.
func (b *Builder) operation(m *Mount, route *backend.Route, verb, path string, e backend.Endpoint, captures []string, query bool) *Operation {
	op := &Operation{Summary: route.Summary, OperationID: b.id(verb, path), Tags: []string{m.Tag}, Responses: map[string]Response{}}
	if route.Open {
		op.Security = &[]map[string][]any{}
	}
	body := &Schema{Type: "object", Properties: map[string]*Schema{}}
	for _, f := range e.Fields() {
		if slices.Contains(captures, f.Name) {
			continue
		}
		schema := fieldSchema(f)
		if query {
			if f.Kind != "" && f.Kind != "object" {
				op.Parameters = append(op.Parameters, Parameter{Name: f.Name, In: "query", Description: f.Doc, Schema: schema})
			}
			continue
		}
		if f.Kind == "" {
			body.AdditionalProperties = &Schema{}
			continue
		}
		schema.Description = f.Doc
		body.Properties[f.Name] = schema
	}
	if !query && (len(body.Properties) > 0 || body.AdditionalProperties != nil) {
		media := "application/json"
		if verb == "patch" {
			media = "application/merge-patch+json"
		}
		op.RequestBody = &Body{Content: map[string]Media{media: {Schema: body}}}
	}
	b.responses(op, e, query && verb != "delete")
	return op
}

// responses describes what comes back: an envelope around the reply's type, or nothing.
func (b *Builder) responses(op *Operation, e backend.Endpoint, always bool) {
	if e.Reply() != nil || always {
		b.doc.Components.Schemas["Envelope"] = envelope()
		schema := &Schema{Ref: "#/components/schemas/Envelope"}
		if e.Reply() != nil {
			schema = &Schema{AllOf: []*Schema{schema, {Type: "object", Properties: map[string]*Schema{"data": schemaOf(e.Reply())}}}}
		}
		op.Responses["200"] = Response{Description: "OK", Content: map[string]Media{"application/json": {Schema: schema}}}
	}
	if !always {
		op.Responses["204"] = Response{Description: "Done; there is nothing to say."}
	}
}

// id makes an operation's name, which no other has.
func (b *Builder) id(verb, path string) string {
	words := strings.FieldsFunc(path, func(c rune) bool { return c == '/' || c == '{' || c == '}' || c == '_' })
	id := verb + "-" + strings.Join(words, "-")
	b.ids[id]++
	if n := b.ids[id]; n > 1 {
		return fmt.Sprintf("%s-%d", id, n)
	}
	return id
}

// docOf finds what a route says of a part of its path.
func docOf(route *backend.Route, capture string) string {
	for _, e := range []backend.Endpoint{route.Read, route.Write, route.Patch, route.Delete, route.List} {
		for _, f := range e.Fields() {
			if f.Name == capture {
				return f.Doc
			}
		}
	}
	return ""
}

// template is a route's pattern as OpenAPI has it, and the names in it.
func template(pattern string) (path string, captures []string) {
	if pattern == "" {
		return "", nil
	}
	segments := strings.Split(pattern, "/")
	for i, s := range segments {
		if !strings.HasPrefix(s, "{") {
			continue
		}
		name := strings.TrimSuffix(strings.TrimPrefix(s, "{"), "}")
		name = strings.TrimSuffix(strings.TrimSuffix(name, "..."), "|lower")
		segments[i] = "{" + name + "}"
		captures = append(captures, name)
	}
	return strings.Join(segments, "/"), captures
}
