package sys

import (
	"cmp"
	"context"
	"slices"

	"jeton/internal/backend"
	"jeton/internal/mount"
	"jeton/internal/version"
)

// pluginRoutes show what is compiled in as the built-in plugins that clients expect. Contract:
// sys §20.
func (s *System) pluginRoutes() []backend.Route {
	return []backend.Route{
		{Pattern: "plugins/catalog", Summary: "List what can be mounted.", Read: backend.Handle(s.pluginCatalog), List: backend.Handle(s.pluginCatalog)},
		{Pattern: "plugins/catalog/{type}", Summary: "List what can be mounted of one type.", Sudo: true, List: backend.Handle(s.pluginsOfType), Read: backend.Handle(s.pluginsOfType)},
		{Pattern: "plugins/catalog/{type}/{name}", Summary: "What can be mounted under one name.", Sudo: true,
			Read: backend.Handle(s.readPlugin), Write: backend.Handle(s.refusePlugin), Delete: backend.Handle(s.refusePlugin)},
	}
}

type pluginInfo struct {
	Builtin     bool   `json:"builtin"`
	Deprecation string `json:"deprecation_status,omitempty"`
	Name        string `json:"name"`
	Type        string `json:"type"`
	Version     string `json:"version"`
}

type catalogReply struct {
	Auth     []string     `json:"auth"`
	Database []string     `json:"database"`
	Secret   []string     `json:"secret"`
	Detailed []pluginInfo `json:"detailed"`
}

// builtinVersion is the one that every backend has.
const builtinVersion = "v" + version.API + "+builtin.vault"

// setPluginVersion takes the version that is compiled in, or none. Another is one that would not
// run.
func setPluginVersion(e *mount.Entry, v string) error {
	if v != "" && v != builtinVersion {
		return backend.Invalidf("plugin not found in the catalog: %s is there in its builtin version alone", shownType(e))
	}
	e.Tuning.PluginVersion = v
	return nil
}

// plugins are the kinds that a client can mount, sorted by type and name.
func (s *System) plugins() []pluginInfo {
	var all []pluginInfo
	for _, k := range s.Kinds {
		if k.Fixed {
			continue
		}
		info := pluginInfo{Builtin: true, Deprecation: "supported", Name: k.Name, Type: "secret", Version: builtinVersion}
		if k.Class == mount.AuthClass {
			info.Type = "auth"
		}
		all = append(all, info)
	}
	slices.SortFunc(all, func(a, b pluginInfo) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name))
	})
	return all
}

func (s *System) pluginCatalog(context.Context, *backend.Call, *backend.None) (*catalogReply, error) {
	reply := &catalogReply{Auth: []string{}, Database: []string{}, Secret: []string{}, Detailed: s.plugins()}
	for _, p := range reply.Detailed {
		if p.Type == "auth" {
			reply.Auth = append(reply.Auth, p.Name)
		} else {
			reply.Secret = append(reply.Secret, p.Name)
		}
	}
	return reply, nil
}

type pluginName struct {
	Type string `json:"type" doc:"auth, database or secret."`
	Name string `json:"name" doc:"The name, as in the type of a mount."`
}

func (s *System) pluginsOfType(_ context.Context, _ *backend.Call, req *pluginName) (*backend.Keys, error) {
	if !slices.Contains([]string{"auth", "database", "secret"}, req.Type) {
		return nil, backend.Invalidf("%q is not a supported plugin type", req.Type)
	}
	var names []string
	for _, p := range s.plugins() {
		if p.Type == req.Type {
			names = append(names, p.Name)
		}
	}
	return backend.Listing(names), nil
}

type pluginReply struct {
	Args        []string `json:"args"`
	Builtin     bool     `json:"builtin"`
	Command     string   `json:"command"`
	Deprecation string   `json:"deprecation_status,omitempty"`
	Name        string   `json:"name"`
	SHA256      string   `json:"sha256"`
	Version     string   `json:"version"`
}

func (s *System) readPlugin(_ context.Context, _ *backend.Call, req *pluginName) (*pluginReply, error) {
	for _, p := range s.plugins() {
		if p.Type == req.Type && p.Name == req.Name {
			return &pluginReply{Args: []string{}, Builtin: true, Deprecation: p.Deprecation, Name: p.Name, Version: p.Version}, nil
		}
	}
	return nil, backend.Missing()
}

// pluginRequest takes whatever a client registers.
type pluginRequest struct {
	All backend.Payload `json:"all"`
}

// refusePlugin: a program that the server runs on a caller's word would be the server's own code.
func (s *System) refusePlugin(context.Context, *backend.Call, *pluginRequest) (*backend.None, error) {
	return nil, backend.Invalidf("external plugins are not supported: every backend is compiled in")
}
