package cli

import (
	"sort"

	"github.com/hashicorp/vault/api"
	"jeton/internal/version"
)

// aboutCommands tell about the program, the token in use and the server's past.
func aboutCommands() []command {
	return []command{
		{
			name: "version", synopsis: "Print the version of this program",
			help: `Prints the Vault API level this program speaks, then its own version.

    $ jeton version`,
			arity: exactly(0), surface: silent,
			build: func(*flagSet) runFunc {
				return func(s *session, _ []string) error {
					s.con.print(version.Line())
					return nil
				}
			},
		},
		{
			name: "version-history", synopsis: "Print the versions the server has run",
			help: `Prints which versions the server has run, and since when.

    $ jeton version-history`,
			arity: exactly(0), surface: talks,
			build: func(*flagSet) runFunc { return runVersionHistory },
		},
		{
			name: "print", synopsis: "Print runtime settings",
			help: `Prints what the other commands would use.

    $ jeton print token`,
		},
		{
			name: "print token", synopsis: "Print the token in use",
			help: `Prints the token that commands send: the one in the environment, otherwise the
one that "jeton login" stored.

    $ curl -H "X-Vault-Token: $(jeton print token)" $VAULT_ADDR/v1/auth/token/lookup-self`,
			arity: exactly(0), surface: silent,
			build: func(*flagSet) runFunc {
				return func(s *session, _ []string) error {
					token, err := s.token()
					if err != nil {
						return local("%s", err)
					}
					s.con.print(token)
					return nil
				}
			},
		},
	}
}

func runVersionHistory(s *session, _ []string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	sec, err := c.Logical().ListWithContext(s.ctx, "sys/version-history")
	if err != nil {
		return s.remote("reading version history", err)
	}
	keys, ok := listed(sec)
	if !ok {
		return nothing("No version history found")
	}
	if !s.out.table() {
		return s.machine(sec)
	}
	rows := [][]string{{"Version", "Installation Time", "Build Date"}}
	rows = append(rows, versionRows(sec, keys)...)
	s.warnings(sec)
	s.con.print(table(rows))
	return nil
}

// versionRows are in the order of installation.
func versionRows(sec *api.Secret, keys []any) [][]string {
	info := object(sec.Data, "key_info")
	var rows [][]string
	for _, k := range keys {
		name, _ := k.(string)
		about := object(info, name)
		rows = append(rows, []string{name, text(about, "timestamp_installed"), text(about, "build_date")})
	}
	sort.SliceStable(rows, func(i, j int) bool { return rows[i][1] < rows[j][1] })
	return rows
}
