package kv

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/store"
)

// versioned is version 2 of the engine. Contract: secrets §2.
type versioned struct {
	area    *store.Area
	clock   clock.Clock
	upgrade *upgrader
}

func newVersioned(ctx context.Context, env backend.Env) (*versioned, error) {
	upgrade, err := newUpgrader(ctx, env)
	if err != nil {
		return nil, fmt.Errorf("kv: look for data of version 1: %w", err)
	}
	return &versioned{area: env.Area, clock: env.Clock, upgrade: upgrade}, nil
}

// Close ends an upgrade that is under way; the next start resumes it.
func (v *versioned) Close() error {
	v.upgrade.stop()
	return nil
}

// view runs fn on one state of the mount, unless data of version 1 is still being moved.
func (v *versioned) view(ctx context.Context, fn func(store.Reader) error) error {
	if err := v.upgrade.ready(); err != nil {
		return err
	}
	return v.area.View(ctx, fn)
}

func (v *versioned) update(ctx context.Context, fn func(store.Tx) error) error {
	if err := v.upgrade.ready(); err != nil {
		return err
	}
	return v.area.Update(ctx, fn)
}

// Routes are the engine's paths. The last two answer whatever belongs to none of the others.
func (v *versioned) Routes() []backend.Route {
	strayed := backend.Handle(v.strayed)
	return []backend.Route{
		{
			Pattern: "config",
			Summary: "Settings of the mount.",
			Detail:  "max_versions 0 keeps 10. delete_version_after 0s deletes nothing by itself; a negative one overrides every key's.",
			Read:    backend.Reads(v.readConfig),
			Write:   backend.Handle(v.writeConfig),
		},
		{
			Pattern: "data/{path...}",
			Summary: "Reads, writes, patches and deletes the current version of a key.",
			Detail:  "options.cas makes a write conditional: it must equal the current version, 0 for a key that was never written.",
			Exists:  v.exists,
			Read:    backend.Reads(v.read),
			Write:   backend.Handle(v.write),
			Patch:   backend.Handle(v.patch),
			Delete:  backend.Handle(v.deleteLatest),
		},
		{
			Pattern: "delete/{path...}",
			Summary: "Deletes versions of a key; undelete takes it back.",
			Write:   backend.Handle(v.deleteVersions),
		},
		{
			Pattern: "undelete/{path...}",
			Summary: "Takes the deletion of versions back.",
			Write:   backend.Handle(v.undeleteVersions),
		},
		{
			Pattern: "destroy/{path...}",
			Summary: "Erases the data of versions for good.",
			Write:   backend.Handle(v.destroyVersions),
		},
		{
			Pattern: "metadata/{path...}",
			Summary: "What is known of a key and its versions; listing; erasing a key whole.",
			Exists:  v.exists,
			Read:    backend.Reads(v.readMetadata),
			Write:   backend.Handle(v.writeMetadata),
			Patch:   backend.Handle(v.patchMetadata),
			Delete:  backend.Handle(v.deleteMetadata),
			List:    backend.Reads(v.list),
		},
		{
			Pattern: "detailed-metadata/{path...}",
			Summary: "Lists keys together with what is known of them.",
			List:    backend.Reads(v.listDetailed),
		},
		{
			Pattern: "subkeys/{path...}",
			Summary: "The structure of a version: its members without their values.",
			Read:    backend.Reads(v.subkeys),
		},
		{
			Pattern: "{path...}",
			Summary: "Answers paths that lack data/, metadata/ and the like.",
			Read:    strayed, Write: strayed, Patch: strayed, Delete: strayed, List: strayed,
		},
		{
			Pattern: "",
			Summary: "The top of the mount is listed below metadata/.",
			Read:    strayed, Write: strayed, Patch: strayed, Delete: strayed,
		},
	}
}

// strayed answers a path that version 2 does not have, as a person used to version 1 types it.
// Contract: secrets §2.2, wrong path.
func (v *versioned) strayed(_ context.Context, c *backend.Call, _ *objectRequest) (*backend.Response, error) {
	return stray(c), nil
}

func stray(c *backend.Call) *backend.Response {
	switch strings.TrimSuffix(c.Path, "/") {
	case "data", "metadata", "delete", "undelete", "destroy", "subkeys", "detailed-metadata":
		return notFoundBecause("Non-listing operations on the root of a K/V v2 mount are not supported.")
	}
	verb := c.Operation.String()
	switch c.Operation {
	case backend.Create, backend.Update:
		verb = "put"
	case backend.Read:
		verb = "get"
	}
	return notFoundBecause("Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate " +
		"API endpoints to use. If using the Vault CLI, use 'vault kv " + verb + "' for this operation.")
}

func notFoundBecause(warning string) *backend.Response {
	return &backend.Response{Status: http.StatusNotFound, Warnings: []string{warning}}
}

// isFolder says whether path names a folder. No key does, and no route but metadata/ takes one.
func isFolder(path string) bool { return strings.HasSuffix(path, "/") }

// exists tells create from update for data/ and metadata/: a key whose versions are all
// deleted is still there.
func (v *versioned) exists(ctx context.Context, c *backend.Call) (exists bool, err error) {
	err = v.view(ctx, func(r store.Reader) error {
		exists, err = present(r, keyKey(c.Capture("path")))
		return err
	})
	return exists, err
}
