package backend

import "context"

// Feature is something of Vault's that this server does not have, and the paths it would be at.
type Feature struct {
	// Text says in a sentence what is missing.
	Text     string
	Patterns []string
	// Open is as with routes: who has no token is told too.
	Open bool
}

// anything takes whatever a client sends.
type anything struct {
	All Payload `json:"all"`
}

// AbsentRoutes answer for features that are not here: as an unknown path does, with a text that
// names what is missing. They belong behind the routes of what is here, which may be a part of
// a feature.
func AbsentRoutes(features ...Feature) []Route {
	var routes []Route
	for _, feature := range features {
		e := Handle(func(context.Context, *Call, *anything) (*None, error) {
			return nil, Errorf(NotFound, "unsupported path: %s", feature.Text)
		})
		for _, pattern := range feature.Patterns {
			routes = append(routes, Route{Pattern: pattern, Summary: "Not part of this server.", Detail: feature.Text, Open: feature.Open,
				Absent: true, Read: e, Write: e, Patch: e, Delete: e, List: e})
		}
	}
	return routes
}
