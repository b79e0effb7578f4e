package sys

import (
	"context"
	"encoding/json"

	"jeton/internal/backend"
	"jeton/internal/mount"
	"jeton/internal/openapi"
)

func (s *System) specRoutes() []backend.Route {
	e := backend.Handle(s.openAPI)
	return []backend.Route{{Pattern: "internal/specs/openapi", Summary: "The API as an OpenAPI document.", Open: true, Read: e, Write: e}}
}

type openAPIRequest struct {
	Generic bool `json:"generic_mount_paths" doc:"Make the paths of mounts parameters."`
}

// openAPI describes the mounts that the caller can see: with a token those that it may use,
// without one those that are shown to everyone. Contract: sys §19.
func (s *System) openAPI(ctx context.Context, c *backend.Call, req *openAPIRequest) (*backend.Response, error) {
	access, err := s.visitor(ctx, c)
	if err != nil {
		return nil, err
	}
	b := openapi.New(apiVersion, req.Generic)
	b.AddRaw(openapi.RawPaths())
	for _, m := range append(s.Mounts.All(mount.SecretClass), s.Mounts.All(mount.AuthClass)...) {
		if access == nil && m.Entry.Tuning.ListingVisibility != "unauth" || access != nil && !access.Touches(m.Entry.Path) {
			continue
		}
		b.Add(s.describe(m))
	}
	body, err := json.Marshal(b.Document())
	if err != nil {
		return nil, err
	}
	return &backend.Response{Raw: &backend.Raw{ContentType: "application/json", Body: append(body, '\n')}}, nil
}

// describe is a mount as the document wants it.
func (s *System) describe(m *mount.Mounted) openapi.Mount {
	out := openapi.Mount{Path: m.Entry.Path, Type: m.Entry.Type, Tag: "secrets", Routes: m.Routes.Routes()}
	switch {
	case m.Entry.Type == "system":
		out.Tag = "system"
	case m.Entry.Class() == mount.AuthClass:
		out.Tag = "auth"
	}
	for _, k := range s.Kinds {
		if k.Name == m.Entry.Type {
			out.Fixed = k.Fixed
		}
	}
	return out
}
