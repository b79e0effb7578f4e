package cli

import (
	"sort"
	"strconv"
	"time"
)

// kvMetadataCommands work on what version 2 keeps about a secret.
func kvMetadataCommands() []command {
	return []command{
		{
			name: "kv metadata", synopsis: "Interact with the metadata of secrets",
			help: `Shows and changes what is kept about a secret besides its data.

    $ jeton kv metadata get secret/app/db
    $ jeton kv metadata put -max-versions=5 secret/app/db`,
		},
		{
			name: "kv metadata get", args: "PATH", synopsis: "Show metadata and versions of a secret",
			help: `Shows the metadata of a secret and all its versions.

    $ jeton kv metadata get secret/app/db`,
			arity: exactly(1), surface: shows, suggest: suggestKV, build: buildKVMetadataGet,
		},
		{
			name: "kv metadata put", args: "PATH", synopsis: "Set metadata of a secret",
			help: `Sets the metadata of a secret; what is not given goes back to its default.

    $ jeton kv metadata put -max-versions=5 -custom-metadata=owner=ann secret/app/db`,
			arity: exactly(1), surface: talks, suggest: suggestKV,
			build: func(f *flagSet) runFunc { return buildKVMetadataWrite(f, false) },
		},
		{
			name: "kv metadata patch", args: "PATH", synopsis: "Change some metadata of a secret",
			help: `Changes the metadata given and keeps the rest.

    $ jeton kv metadata patch -custom-metadata=owner=bob secret/app/db
    $ jeton kv metadata patch -remove-custom-metadata=owner secret/app/db`,
			arity: exactly(1), surface: talks, suggest: suggestKV,
			build: func(f *flagSet) runFunc { return buildKVMetadataWrite(f, true) },
		},
		{
			name: "kv metadata delete", args: "PATH", synopsis: "Delete a secret with all its versions",
			help: `Removes a secret for good: data, versions and metadata.

    $ jeton kv metadata delete secret/app/db`,
			arity: exactly(1), surface: talks, suggest: suggestKV, build: buildKVMetadataDelete,
		},
	}
}

func buildKVMetadataGet(f *flagSet) runFunc {
	k := new(kvFlags)
	k.register(f)
	return func(s *session, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		at, err := k.locate(s, c, args[0])
		if err != nil {
			return err
		}
		if err := at.needV2("Metadata"); err != nil {
			return err
		}
		path := at.at("metadata")
		sec, err := c.Logical().ReadWithContext(s.ctx, path)
		if err != nil {
			return s.remote("reading "+path, err)
		}
		if sec == nil {
			return nothing("No value found at %s", path)
		}
		if s.out.field != "" || !s.out.table() || sec.WrapInfo != nil {
			return s.secret(sec)
		}
		s.warnings(sec)
		s.metadataBlocks(path, sec.Data)
		return nil
	}
}

// metadataBlocks prints the metadata and then each version, oldest first.
func (s *session) metadataBlocks(path string, data map[string]any) {
	versions := object(data, "versions")
	about := make(map[string]any, len(data))
	for k, v := range data {
		if k != "versions" {
			about[k] = v
		}
	}
	s.pathBlock("Metadata Path", path)
	s.block("Metadata", about)
	var numbers []int
	for v := range versions {
		if n, err := strconv.Atoi(v); err == nil {
			numbers = append(numbers, n)
		}
	}
	sort.Ints(numbers)
	for _, n := range numbers {
		name := strconv.Itoa(n)
		s.con.print("")
		s.block("Version "+name, object(versions, name))
	}
}

// kvMetadata are the settings of a secret.
type kvMetadata struct {
	kvFlags
	maxVersions int
	casRequired bool
	deleteAfter time.Duration
	custom      map[string]string
	remove      []string
}

func buildKVMetadataWrite(f *flagSet, patch bool) runFunc {
	m := new(kvMetadata)
	m.register(f)
	f.number(&m.maxVersions, flagSpec{name: "max-versions", usage: "How many versions to keep; 0 is the engine's setting."})
	f.truth(&m.casRequired, flagSpec{name: "cas-required", usage: "Refuse writes without check-and-set."})
	f.span(&m.deleteAfter, flagSpec{name: "delete-version-after", usage: "Delete versions this long after they were written; 0 is the engine's setting."})
	f.pairs(&m.custom, flagSpec{name: "custom-metadata", usage: "key=value to keep with the secret. Repeatable."})
	if patch {
		f.list(&m.remove, flagSpec{name: "remove-custom-metadata", usage: "Key of custom metadata to remove. Repeatable."})
	}
	return func(s *session, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		at, err := m.locate(s, c, args[0])
		if err != nil {
			return err
		}
		if err := at.needV2("Metadata"); err != nil {
			return err
		}
		path, body := at.at("metadata"), m.body(f)
		write := c.Logical().WriteWithContext
		if patch {
			write = c.Logical().JSONMergePatch
		}
		sec, err := write(s.ctx, path, body)
		if statusOf(err) == 404 {
			return nothing("No value found at %s", path)
		}
		return s.written("writing data to "+path, path, sec, err)
	}
}

// body holds what was given.
func (m *kvMetadata) body(f *flagSet) map[string]any {
	body := map[string]any{}
	if f.given("max-versions") {
		body["max_versions"] = m.maxVersions
	}
	if f.given("cas-required") {
		body["cas_required"] = m.casRequired
	}
	if f.given("delete-version-after") {
		body["delete_version_after"] = m.deleteAfter.String()
	}
	custom := map[string]any{}
	for k, v := range m.custom {
		custom[k] = v
	}
	for _, k := range splitCommas(m.remove) {
		custom[k] = nil
	}
	if len(custom) > 0 {
		body["custom_metadata"] = custom
	}
	return body
}

func buildKVMetadataDelete(f *flagSet) runFunc {
	k := new(kvFlags)
	k.register(f)
	return func(s *session, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		at, err := k.locate(s, c, args[0])
		if err != nil {
			return err
		}
		if err := at.needV2("Metadata"); err != nil {
			return err
		}
		path := at.at("metadata")
		if _, err := c.Logical().DeleteWithContext(s.ctx, path); err != nil {
			return s.remote("deleting "+path, err)
		}
		return s.success("Success! Data deleted (if it existed) at: %s", path)
	}
}
