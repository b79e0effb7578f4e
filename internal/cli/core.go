package cli

import (
	"errors"
	"io"
	"net/http"
	"sort"
	"strings"

	"github.com/hashicorp/vault/api"
)

// coreCommands read and write any path. contract: cli §6.
func coreCommands() []command {
	return []command{
		{
			name: "read", args: "PATH [K=V...]", synopsis: "Read data and retrieve secrets",
			help: `Reads what is at PATH. K=V pairs go along as query parameters.

Read a secret, then one field of it:

    $ jeton read cubbyhole/note
    $ jeton read -field=password cubbyhole/note`,
			arity: atLeast(1), surface: shows | takesRaw, suggest: suggestPaths,
			build: func(*flagSet) runFunc { return runRead },
		},
		{
			name: "write", args: "PATH [DATA K=V...]", synopsis: "Write data, configuration, and secrets",
			help: `Writes data to PATH. Values are K=V; K=@file reads the value from a file,
K=- from standard input; @file.json and - alone take a JSON object.

    $ jeton write cubbyhole/note text="remember the milk"
    $ jeton write auth/token/roles/app allowed_policies=app orphan=true
    $ echo '{"a": 1}' | jeton write cubbyhole/note -

Some paths want no data; then -force (-f) is needed:

    $ jeton write -f auth/approle/role/app/secret-id`,
			arity: atLeast(1), surface: shows, suggest: suggestPaths,
			build: buildWrite,
		},
		{
			name: "patch", args: "PATH [DATA K=V...]", synopsis: "Patch data, configuration, and secrets",
			help: `Changes some of the values at PATH and leaves the others as they are.

    $ jeton patch secret/data/app/db data='{"password":"new"}'
    $ echo '{"data": {"password": "new"}}' | jeton patch secret/data/app/db -`,
			arity: atLeast(1), surface: shows, suggest: suggestPaths,
			build: buildPatch,
		},
		{
			name: "delete", args: "PATH [K=V...]", synopsis: "Delete secrets and configuration",
			help: `Deletes what is at PATH. It is not an error if nothing is there.

    $ jeton delete cubbyhole/note`,
			arity: atLeast(1), surface: shows, suggest: suggestPaths,
			build: func(*flagSet) runFunc { return runDelete },
		},
		{
			name: "list", args: "PATH", synopsis: "List data or secrets",
			help: `Lists the keys at PATH.

    $ jeton list auth/token/accessors
    $ jeton list -format=json auth/token/accessors | jq -r '.[]'`,
			arity: exactly(1), surface: talks, suggest: suggestPaths,
			build: buildList,
		},
		{
			name: "unwrap", args: "[TOKEN]", synopsis: "Unwrap a wrapped secret",
			help: `Unwraps the answer that a wrapping token holds. It can be done once. Without
TOKEN the token in use is taken to be the wrapping token.

    $ jeton token create -policy=app -wrap-ttl=5m -field=wrapping_token > wrap
    $ jeton unwrap - < wrap`,
			arity: between(0, 1), surface: shows,
			build: func(*flagSet) runFunc { return runUnwrap },
		},
		{
			name: "path-help", args: "PATH", synopsis: "Retrieve API help for paths",
			help: `Prints what the server says about PATH and its parameters.

    $ jeton path-help auth/token`,
			arity: exactly(1), surface: talks, suggest: suggestPaths,
			build: func(*flagSet) runFunc { return runPathHelp },
		},
	}
}

func runRead(s *session, args []string) error {
	path := trimPath(args[0])
	query, err := s.con.parseQuery(args[1:])
	if err != nil {
		return local("Failed to parse K=V data: %s", err)
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	if s.out.format == "raw" {
		return s.readRaw(c, path, query)
	}
	sec, err := c.Logical().ReadWithDataWithContext(s.ctx, path, query)
	if err != nil {
		return s.remote("reading "+path, err)
	}
	if sec == nil {
		return nothing("No value found at %s%s", path, s.namespaceAdvice())
	}
	return s.secret(sec)
}

func (s *session) readRaw(c *api.Client, path string, query map[string][]string) error {
	resp, err := c.Logical().ReadRawWithDataWithContext(s.ctx, path, query)
	if resp != nil && resp.Body != nil {
		defer resp.Body.Close()
	}
	if err != nil {
		if resp != nil && resp.StatusCode == http.StatusNotFound {
			return nothing("No value found at %s", path)
		}
		return s.remote("reading "+path, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return s.remote("reading "+path, err)
	}
	s.con.raw(string(body))
	return nil
}

func buildWrite(f *flagSet) runFunc {
	var force bool
	f.truth(&force, flagSpec{name: "force", aliases: []string{"f"}, usage: "Write even though there is no data."})
	return func(s *session, args []string) error {
		path := trimPath(args[0])
		data, err := s.con.parseData(args[1:])
		if err != nil {
			return local("Failed to parse K=V data: %s", err)
		}
		if len(args) == 1 {
			if !force {
				return local("Must supply data or use -force")
			}
			data = nil // the body reads "null": nothing, not an empty object
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		sec, err := c.Logical().WriteWithContext(s.ctx, path, data)
		return s.written("writing data to "+path, path, sec, err)
	}
}

func buildPatch(f *flagSet) runFunc {
	var force bool
	f.truth(&force, flagSpec{name: "force", aliases: []string{"f"}, usage: "Patch even though there is no data."})
	return func(s *session, args []string) error {
		path := trimPath(args[0])
		data, err := s.con.parseData(args[1:])
		if err != nil {
			return local("Failed to parse K=V data: %s", err)
		}
		if len(args) == 1 && !force {
			return local("Must supply data or use -force")
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		sec, err := c.Logical().JSONMergePatch(s.ctx, path, data)
		return s.written("patching data at "+path, path, sec, err)
	}
}

// written reports the outcome of a write: an empty answer is a success line.
func (s *session) written(doing, path string, sec *api.Secret, err error) error {
	if err != nil {
		// A 404 may carry data, as deleting the last version of a key does.
		if sec != nil {
			s.warnings(sec)
		}
		return s.remote(doing, err)
	}
	if sec == nil || s.out.field == "" && s.out.table() && warnsOnly(sec) {
		s.warnings(sec)
		return s.success("Success! Data written to: %s", path)
	}
	return s.secret(sec)
}

// warnsOnly tells an answer that has nothing in it but warnings: the write went well.
func warnsOnly(sec *api.Secret) bool {
	return len(sec.Warnings) > 0 && len(sec.Data) == 0 && sec.Auth == nil && sec.WrapInfo == nil && sec.LeaseID == ""
}

func runDelete(s *session, args []string) error {
	path := trimPath(args[0])
	query, err := s.con.parseQuery(args[1:])
	if err != nil {
		return local("Failed to parse K=V data: %s", err)
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	sec, err := c.Logical().DeleteWithDataWithContext(s.ctx, path, query)
	if err != nil {
		return s.remote("deleting "+path, err)
	}
	if sec == nil || len(sec.Data) == 0 {
		s.warnings(sec)
		return s.success("Success! Data deleted (if it existed) at: %s", path)
	}
	return s.secret(sec)
}

func buildList(f *flagSet) runFunc {
	var detailed bool
	f.truth(&detailed, flagSpec{name: "detailed", env: "DETAILED", section: sectionOutput, usage: "Show what the server tells about each key."})
	return func(s *session, args []string) error {
		path := trimPath(args[0])
		c, err := s.client()
		if err != nil {
			return err
		}
		sec, err := c.Logical().ListWithContext(s.ctx, path)
		if err != nil {
			return s.remote("listing "+path, err)
		}
		return s.keys(sec, path, detailed)
	}
}

// keys prints the answer to a LIST. In json it is the bare array in the
// server's order; the table is sorted (contract: cli §5).
func (s *session) keys(sec *api.Secret, path string, detailed bool) error {
	if sec != nil && sec.WrapInfo != nil && sec.WrapInfo.TTL != 0 {
		return s.secret(sec)
	}
	keys, ok := listed(sec)
	if !ok {
		s.warnings(sec)
		if !s.out.table() {
			if err := s.machine(map[string]any{}); err != nil {
				return err
			}
			return quietly(exitRemote)
		}
		return nothing("No value found at %s", path)
	}
	if !s.out.table() {
		if detailed {
			return s.machine(sec.Data)
		}
		return s.machine(keys)
	}
	s.warnings(sec)
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i], _ = k.(string)
	}
	sort.Strings(names)
	s.con.print(table(keyRows(names, sec.Data["key_info"], detailed)))
	return nil
}

func listed(sec *api.Secret) ([]any, bool) {
	if sec == nil || sec.Data == nil {
		return nil, false
	}
	keys, ok := sec.Data["keys"].([]any)
	return keys, ok && len(keys) > 0
}

// keyRows are the rows of a listing; detailed ones have a column for every
// field that some key's information holds.
func keyRows(names []string, keyInfo any, detailed bool) [][]string {
	info, _ := keyInfo.(map[string]any)
	head := []string{"Keys"}
	fields := make(map[string]bool)
	if detailed {
		for _, v := range info {
			about, _ := v.(map[string]any)
			for f := range about {
				fields[f] = true
			}
		}
	}
	columns := sortedKeys(fields)
	for _, f := range columns {
		head = append(head, strings.ToUpper(f[:min(1, len(f))])+f[min(1, len(f)):])
	}
	rows := [][]string{head}
	for _, name := range names {
		row := []string{name}
		about, _ := info[name].(map[string]any)
		for _, f := range columns {
			row = append(row, cell(about[f]))
		}
		rows = append(rows, row)
	}
	return rows
}

func runUnwrap(s *session, args []string) error {
	token := ""
	if len(args) == 1 {
		var err error
		if token, err = s.secretArgument(args[0]); err != nil {
			return err
		}
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	sec, err := c.Logical().UnwrapWithContext(s.ctx, token)
	if err != nil {
		return s.remote("unwrapping", err)
	}
	if sec == nil {
		return s.success("Successfully unwrapped. There was no data in the wrapped secret.")
	}
	return s.secret(sec)
}

// secretArgument is an argument that may be "-" to be read from standard
// input, which keeps it out of the shell's history and the process list.
func (s *session) secretArgument(arg string) (string, error) {
	if arg != "-" {
		return strings.TrimSpace(arg), nil
	}
	text, err := s.con.readAll()
	if err != nil {
		return "", local("Failed to read from stdin: %s", err)
	}
	return strings.TrimSpace(text), nil
}

func runPathHelp(s *session, args []string) error {
	path := trimPath(args[0])
	c, err := s.client()
	if err != nil {
		return err
	}
	help, err := c.HelpWithContext(s.ctx, path)
	if err != nil {
		var re *api.ResponseError
		if errors.As(err, &re) && strings.Contains(err.Error(), "Vault is sealed") {
			return nothing(`Error: Vault is sealed.

Which paths there are, a sealed server does not know. Unseal it first.`)
		}
		return s.remote("retrieving help", err)
	}
	if s.out.table() {
		s.con.print(help.Help)
		return nil
	}
	return s.machine(help.OpenAPI)
}
