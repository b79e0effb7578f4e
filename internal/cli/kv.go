package cli

import (
	"fmt"
	"strconv"

	"github.com/hashicorp/vault/api"
)

// kvCommands work on key-value secrets of either version. contract: cli §6 "kv".
func kvCommands() []command {
	return []command{
		{
			name: "kv", synopsis: "Interact with the key-value secrets engine",
			help: `Writes and reads secrets and, where the engine has version 2, their versions.

    $ jeton kv put secret/app/db user=app password=s3cr3t
    $ jeton kv get -field=password secret/app/db
    $ jeton kv get -mount=secret app/db`,
		},
		{
			name: "kv get", args: "PATH", synopsis: "Retrieve a secret",
			help: `Shows a secret, by default its newest version.

    $ jeton kv get secret/app/db
    $ jeton kv get -version=2 secret/app/db
    $ jeton kv get -field=password secret/app/db`,
			arity: exactly(1), surface: shows, suggest: suggestKV, build: buildKVGet,
		},
		{
			name: "kv put", args: "PATH [DATA K=V...]", synopsis: "Set or update a secret",
			help: `Writes a secret; all its old fields are replaced. -cas writes only when the
newest version is the one given, 0 meaning that there must be none.

    $ jeton kv put secret/app/db user=app password=@password.txt
    $ jeton kv put -cas=1 secret/app/db user=app password=new`,
			arity: atLeast(1), surface: shows, suggest: suggestKV, build: buildKVPut,
		},
		{
			name: "kv patch", args: "PATH [DATA K=V...]", synopsis: "Update some fields of a secret",
			help: `Changes the fields given and keeps the others. Where the server or the policy
does not allow patching, the secret is read, changed and written with check-and-set;
-method=rw or -method=patch asks for one of the two.

    $ jeton kv patch secret/app/db password=new
    $ jeton kv patch -remove-data=old_password secret/app/db`,
			arity: atLeast(1), surface: shows, suggest: suggestKV, build: buildKVPatch,
		},
		{
			name: "kv list", args: "PATH", synopsis: "List secrets",
			help: `Lists the names below PATH; those with a slash at the end hold more.

    $ jeton kv list secret/app`,
			arity: exactly(1), surface: talks, suggest: suggestKV, build: buildKVList,
		},
	}
}

// kvVersionCommands work on versions of secrets.
func kvVersionCommands() []command {
	return []command{
		{
			name: "kv delete", args: "PATH", synopsis: "Delete versions of a secret",
			help: `Deletes the newest version, or those given. "jeton kv undelete" brings them
back.

    $ jeton kv delete secret/app/db
    $ jeton kv delete -versions=1,2 secret/app/db`,
			arity: exactly(1), surface: shows, suggest: suggestKV, build: buildKVDelete,
		},
		{
			name: "kv undelete", args: "PATH", synopsis: "Undelete versions of a secret",
			help: `Brings deleted versions back.

    $ jeton kv undelete -versions=2 secret/app/db`,
			arity: exactly(1), surface: shows, suggest: suggestKV,
			build: func(f *flagSet) runFunc { return buildKVVersions(f, "undelete", "Undelete") },
		},
		{
			name: "kv destroy", args: "PATH", synopsis: "Remove versions of a secret for good",
			help: `Removes the data of versions so that nothing can bring it back.

    $ jeton kv destroy -versions=1 secret/app/db`,
			arity: exactly(1), surface: shows, suggest: suggestKV,
			build: func(f *flagSet) runFunc { return buildKVVersions(f, "destroy", "Destroy") },
		},
		{
			name: "kv rollback", args: "PATH", synopsis: "Make an old version of a secret the newest",
			help: `Writes the data of an old version again, as a new version.

    $ jeton kv rollback -version=2 secret/app/db`,
			arity: exactly(1), surface: shows, suggest: suggestKV, build: buildKVRollback,
		},
		{
			name: "kv enable-versioning", args: "MOUNT", synopsis: "Turn on versions in a kv engine",
			help: `Turns a kv engine of version 1 into one of version 2.

    $ jeton kv enable-versioning secret/`,
			arity: exactly(1), surface: talks, suggest: suggestSecrets,
			build: func(*flagSet) runFunc { return runKVEnableVersioning },
		},
	}
}

func buildKVGet(f *flagSet) runFunc {
	k := new(kvFlags)
	k.register(f)
	var version int
	f.number(&version, flagSpec{name: "version", usage: "Version to show; 0 is the newest."})
	return func(s *session, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		at, err := k.locate(s, c, args[0])
		if err != nil {
			return err
		}
		var query map[string][]string
		if at.version == 2 && version > 0 {
			query = map[string][]string{"version": {strconv.Itoa(version)}}
		}
		path := at.at("data")
		sec, err := c.Logical().ReadWithDataWithContext(s.ctx, path, query)
		if err != nil {
			return s.remote("reading "+path, err)
		}
		if sec == nil {
			return nothing("No value found at %s%s", path, at.hint(s.program))
		}
		return s.kvSecret(at, path, sec)
	}
}

// kvSecret prints a secret that was read.
func (s *session) kvSecret(at kvPath, path string, sec *api.Secret) error {
	wrapped := sec.WrapInfo != nil
	data := sec.Data
	if at.version == 2 && !wrapped {
		data = object(sec.Data, "data")
	}
	switch {
	case wrapped:
		return s.secret(sec)
	case s.out.field != "":
		return s.kvField(at, path, sec, data)
	case !s.out.table():
		return s.machine(sec)
	}
	s.warnings(sec)
	if at.version < 2 {
		s.block("Data", data)
		return nil
	}
	s.pathBlock("Secret Path", path)
	if metadata := object(sec.Data, "metadata"); metadata != nil {
		s.block("Metadata", metadata)
		s.con.print("")
	}
	if data != nil {
		s.block("Data", data)
	}
	return nil
}

func (s *session) kvField(at kvPath, path string, sec *api.Secret, data map[string]any) error {
	if at.version < 2 {
		return s.fieldOf(sec, s.out.field)
	}
	if data == nil {
		return nothing("No data found at %s", path)
	}
	// "data" is the whole map, unless the secret has a field of that name.
	if _, own := data["data"]; s.out.field == "data" && !own {
		return s.value(data, "data")
	}
	return s.value(data[s.out.field], s.out.field)
}

// casFlag is -cas; absent, nothing is checked.
func casFlag(f *flagSet) *int {
	cas := -1
	f.number(&cas, flagSpec{name: "cas", usage: "Write only when this is the newest version; 0 when there must be none."})
	return &cas
}

func buildKVPut(f *flagSet) runFunc {
	k := new(kvFlags)
	k.register(f)
	cas := casFlag(f)
	return func(s *session, args []string) error {
		data, err := s.con.parseData(args[1:])
		if err != nil {
			return local("Failed to parse K=V data: %s", err)
		}
		if len(args) == 1 {
			return local("Must supply data")
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		at, err := k.locate(s, c, args[0])
		if err != nil {
			return err
		}
		body := data
		if at.version == 2 {
			options := map[string]any{}
			if *cas > -1 {
				options["cas"] = *cas
			}
			body = map[string]any{"data": data, "options": options}
		}
		path := at.at("data")
		sec, err := c.Logical().WriteWithContext(s.ctx, path, body)
		if err != nil {
			return s.remote("writing data to "+path, err)
		}
		return s.kvWritten(at, path, sec)
	}
}

// kvWritten prints the answer to a write of a secret.
func (s *session) kvWritten(at kvPath, path string, sec *api.Secret) error {
	if sec == nil {
		return s.success("Success! Data written to: %s", path)
	}
	if s.out.field != "" || !s.out.table() || at.version < 2 || sec.WrapInfo != nil {
		return s.secret(sec)
	}
	s.warnings(sec)
	s.pathBlock("Secret Path", path)
	s.block("Metadata", sec.Data)
	return nil
}

func buildKVList(f *flagSet) runFunc {
	k := new(kvFlags)
	k.register(f)
	var detailed bool
	f.truth(&detailed, flagSpec{name: "detailed", env: "DETAILED", section: sectionOutput, usage: "Show what the server tells about each key."})
	return func(s *session, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		at, err := k.locate(s, c, args[0])
		if err != nil {
			return err
		}
		path := at.at("metadata")
		sec, err := c.Logical().ListWithContext(s.ctx, path)
		if err != nil {
			return s.remote("listing "+path, err)
		}
		return s.keys(sec, path, detailed)
	}
}

func buildKVDelete(f *flagSet) runFunc {
	k := new(kvFlags)
	k.register(f)
	var versions []string
	f.list(&versions, flagSpec{name: "versions", usage: "Versions to delete, with commas between them."})
	return func(s *session, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		at, err := k.locate(s, c, args[0])
		if err != nil {
			return err
		}
		path := at.at("data")
		var sec *api.Secret
		if len(versions) > 0 {
			if err := at.needV2("Deleting versions"); err != nil {
				return err
			}
			path = at.at("delete")
			sec, err = c.Logical().WriteWithContext(s.ctx, path, map[string]any{"versions": splitCommas(versions)})
		} else {
			sec, err = c.Logical().DeleteWithContext(s.ctx, path)
		}
		if err != nil {
			return s.remote("deleting "+path, err)
		}
		if sec == nil || len(sec.Data) == 0 {
			s.warnings(sec)
			return s.success("Success! Data deleted (if it existed) at: %s", path)
		}
		return s.secret(sec)
	}
}

// buildKVVersions serves undelete and destroy, which differ in the endpoint.
func buildKVVersions(f *flagSet, endpoint, what string) runFunc {
	k := new(kvFlags)
	k.register(f)
	var versions []string
	f.list(&versions, flagSpec{name: "versions", usage: "Versions, with commas between them."})
	return func(s *session, args []string) error {
		if len(versions) == 0 {
			return local("Say which versions to %s with -versions", endpoint)
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		at, err := k.locate(s, c, args[0])
		if err != nil {
			return err
		}
		if err := at.needV2(what); err != nil {
			return err
		}
		path := at.at(endpoint)
		sec, err := c.Logical().WriteWithContext(s.ctx, path, map[string]any{"versions": splitCommas(versions)})
		return s.written("writing data to "+path, path, sec, err)
	}
}

func runKVEnableVersioning(s *session, args []string) error {
	mount := withSlash(args[0])
	c, err := s.client()
	if err != nil {
		return err
	}
	options := map[string]string{"version": "2"}
	if err := c.Sys().TuneMountAllowNilWithContext(s.ctx, trimPath(mount), api.TuneMountConfigInput{Options: &options}); err != nil {
		return s.remote("tuning secrets engine "+mount, err)
	}
	return s.success("Success! Tuned the secrets engine at: %s", mount)
}

func buildKVRollback(f *flagSet) runFunc {
	k := new(kvFlags)
	k.register(f)
	version := -1
	f.number(&version, flagSpec{name: "version", usage: "Version to write again."})
	return func(s *session, args []string) error {
		if !f.given("version") {
			return local("Say which version to roll back to with -version")
		}
		if version <= 0 {
			return local("There is no version %d", version)
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		at, err := k.locate(s, c, args[0])
		if err != nil {
			return err
		}
		if err := at.needV2("Rollback"); err != nil {
			return err
		}
		return s.rollback(c, at, version)
	}
}

// rollback writes an old version again, provided that nothing new came in
// between.
func (s *session) rollback(c *api.Client, at kvPath, version int) error {
	path := at.at("data")
	asIs := s.forReal(c)
	newest, err := c.Logical().ReadWithContext(s.ctx, path)
	if err != nil {
		return s.remote("doing pre-read at "+path, err)
	}
	if newest == nil {
		return nothing("No value found at %s", path)
	}
	current := fmt.Sprint(object(newest.Data, "metadata")["version"])
	cas, err := strconv.Atoi(current)
	if err != nil {
		return nothing("The newest version of %s is not a number: %s", path, current)
	}
	old, err := c.Logical().ReadWithDataWithContext(s.ctx, path, map[string][]string{"version": {strconv.Itoa(version)}})
	asIs()
	if err != nil {
		return s.remote("doing pre-read at "+path, err)
	}
	if old == nil {
		return nothing("No value found at %s", path)
	}
	data := object(old.Data, "data")
	if data == nil {
		return nothing("Version %d of %s is deleted or destroyed and cannot be written again", version, path)
	}
	sec, err := c.Logical().WriteWithContext(s.ctx, path, map[string]any{
		"data": data, "options": map[string]any{"cas": cas},
	})
	if err != nil {
		return s.remote("writing data to "+path, err)
	}
	return s.kvWritten(at, path, sec)
}
