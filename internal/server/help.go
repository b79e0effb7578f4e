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

// describeRoute describes one route for programs.
func describeRoute(route *backend.Route, mountPath string) *openapi.Document {
	m := openapi.Mount{Path: mountPath, Tag: "secrets", Fixed: true, Routes: []*backend.Route{route}}
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
		for _, f := range op.endpoint.Fields() {
			fmt.Fprintf(&b, "    %s (%s)\n        %s\n", f.Name, f.Kind, f.Doc)
		}
	}
	body, err := json.Marshal(helpReply{Help: b.String(), OpenAPI: describeRoute(route, mountPath)})
	if err != nil {
		body = []byte("{}")
	}
	return &backend.Response{Raw: &backend.Raw{ContentType: "application/json", Body: append(body, '\n')}}
}
