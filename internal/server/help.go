package server

import (
	"encoding/json"
	"fmt"
	"strings"

	"jeton/internal/backend"
	"jeton/internal/mount"
	"jeton/internal/openapi"
	"jeton/internal/version"
)

// helpReply is without an envelope.
type helpReply struct {
	Help    string            `json:"help"`
	SeeAlso []string          `json:"see_also"`
	OpenAPI *openapi.Document `json:"openapi"`
}

// describe describes routes of a mount for programs.
func describe(routes []*backend.Route, mountPath string) *openapi.Document {
	m := openapi.Mount{Path: mountPath, Tag: "secrets", Fixed: true, Routes: routes}
	switch {
	case mountPath == "sys/":
		m.Tag = "system"
	case strings.HasPrefix(mountPath, mount.AuthPrefix):
		m.Tag = "auth"
	}
	b := openapi.New(version.API, false)
	b.Add(m)
	return b.Document()
}

// mountHelp lists the paths of a mount for people.
func mountHelp(m *mount.Mounted) *backend.Response {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is mounted with type %s.\n", m.Entry.Path, m.Entry.Type)
	if m.Entry.Description != "" {
		fmt.Fprintf(&b, "%s\n", m.Entry.Description)
	}
	b.WriteString("\nIts paths:\n")
	routes := m.Routes.Routes()
	for _, route := range routes {
		if !route.Absent {
			fmt.Fprintf(&b, "\n    %s%s\n        %s\n", m.Entry.Path, route.Pattern, route.Summary)
		}
	}
	return helpAnswer(b.String(), describe(routes, m.Entry.Path))
}

func helpAnswer(text string, document *openapi.Document) *backend.Response {
	body, err := json.Marshal(helpReply{Help: text, OpenAPI: document})
	if err != nil {
		body = []byte("{}")
	}
	return &backend.Response{Raw: &backend.Raw{ContentType: "application/json", Body: append(body, '\n')}}
}

// rawHelp describes a path that is in no table.
func rawHelp(path string) *backend.Response {
	for _, raw := range openapi.RawPaths() {
		if raw.Path != path {
			continue
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%s\n\n%s\n", raw.Path, raw.Summary)
		if raw.Get {
			b.WriteString("\nread\n")
		}
		if raw.Write != nil {
			b.WriteString("\nwrite\n")
			writeFields(&b, raw.Write)
		}
		if raw.Delete {
			b.WriteString("\ndelete\n")
		}
		doc := openapi.New(version.API, false)
		doc.AddRaw([]openapi.RawPath{raw})
		return helpAnswer(b.String(), doc.Document())
	}
	return nil
}

func writeFields(b *strings.Builder, fields []backend.Field) {
	for _, f := range fields {
		fmt.Fprintf(b, "    %s (%s)\n        %s\n", f.Name, f.Kind, f.Doc)
	}
}

// help describes a route for people. Contract: http §7.
func help(route *backend.Route, mountPath string) *backend.Response {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n\n%s\n", mountPath, route.Pattern, route.Summary)
	if route.Detail != "" {
		fmt.Fprintf(&b, "\n%s\n", route.Detail)
	}
	for _, op := range []struct {
		name     string
		endpoint backend.Endpoint
	}{{"read", route.Read}, {"write", route.Write}, {"patch", route.Patch}, {"delete", route.Delete}, {"list", route.List}} {
		if !op.endpoint.Defined() {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", op.name)
		writeFields(&b, op.endpoint.Fields())
	}
	return helpAnswer(b.String(), describe([]*backend.Route{route}, mountPath))
}
