package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/posener/complete"
)

// secretsCommands manage secrets engines. contract: cli §6 "secrets / auth".
func secretsCommands() []command {
	return []command{
		{
			name: "secrets", synopsis: "Interact with secrets engines",
			help: `Enables, lists, tunes, moves and disables secrets engines.

    $ jeton secrets enable -path=secret kv-v2
    $ jeton secrets list`,
		},
		{
			name: "secrets enable", args: "TYPE", synopsis: "Enable a secrets engine",
			help: `Enables a secrets engine, at its own name unless -path is given.

    $ jeton secrets enable kv
    $ jeton secrets enable -path=app -version=2 kv`,
			arity: exactly(1), surface: talks, predict: complete.PredictSet("kv", "kv-v2"), build: buildSecretsEnable,
		},
		{
			name: "secrets list", synopsis: "List enabled secrets engines",
			help: `Lists the enabled secrets engines.

    $ jeton secrets list -detailed`,
			arity: exactly(0), surface: talks, build: buildSecretsList,
		},
		{
			name: "secrets tune", args: "PATH", synopsis: "Tune a secrets engine's settings",
			help: `Changes settings of the secrets engine at PATH; what is not given stays.

    $ jeton secrets tune -max-lease-ttl=72h app/`,
			arity: exactly(1), surface: talks, suggest: suggestSecrets, build: buildSecretsTune,
		},
		{
			name: "secrets disable", args: "PATH", synopsis: "Disable a secrets engine",
			help: `Disables the secrets engine at PATH. Everything in it is deleted and all its
leases are revoked.

    $ jeton secrets disable app/`,
			arity: exactly(1), surface: talks, suggest: suggestSecrets,
			build: func(*flagSet) runFunc { return runSecretsDisable },
		},
		{
			name: "secrets move", args: "SOURCE DESTINATION", synopsis: "Move a secrets engine to a new path",
			help: `Moves a secrets engine. Its data goes along, its leases are revoked.

    $ jeton secrets move app/ team/app/`,
			arity: exactly(2), surface: talks, suggest: suggestSecrets,
			build: func(*flagSet) runFunc {
				return func(s *session, args []string) error {
					return s.move("secrets engine", withSlash(args[0]), withSlash(args[1]), "", "")
				}
			},
		},
	}
}

func buildSecretsEnable(f *flagSet) runFunc {
	m := new(mountFlags)
	var path string
	var noCache, localOnly, sealWrap, entropy bool
	m.register(f, false)
	f.str(&path, flagSpec{name: "path", usage: "Where to enable it; by default at the name of its type."})
	f.str(&m.pluginName, flagSpec{name: "plugin-name", usage: `Name of the plugin, when TYPE is "plugin".`})
	f.truth(&noCache, flagSpec{name: "force-no-cache", usage: "Do not cache what it stores."})
	f.truth(&localOnly, flagSpec{name: "local", usage: "Do not replicate it."})
	f.truth(&sealWrap, flagSpec{name: "seal-wrap", usage: "Encrypt what it stores with the seal as well."})
	f.truth(&entropy, flagSpec{name: "external-entropy-access", usage: "Let it use an external source of randomness."})
	return func(s *session, args []string) error {
		kind := strings.TrimSpace(args[0])
		if kind == "plugin" && m.pluginName != "" {
			kind = m.pluginName
		}
		at := withSlash(path)
		if at == "" {
			at = withSlash(kind)
		}
		cfg := m.enable()
		cfg.ForceNoCache = noCache
		c, err := s.client()
		if err != nil {
			return err
		}
		err = c.Sys().MountWithContext(s.ctx, at, &api.MountInput{
			Type: kind, Description: m.description, Config: cfg, Options: m.allOptions(),
			Local: localOnly, SealWrap: sealWrap, ExternalEntropyAccess: entropy,
		})
		if err != nil {
			return s.remote("enabling", err)
		}
		return s.success("Success! Enabled the %s secrets engine at: %s", kind, at)
	}
}

func buildSecretsList(f *flagSet) runFunc {
	var detailed bool
	f.truth(&detailed, flagSpec{name: "detailed", env: "DETAILED", section: sectionOutput, usage: "Show all settings."})
	return func(s *session, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		if !s.out.table() {
			return s.rawData(c, "sys/mounts", "listing secrets engines")
		}
		mounts, err := c.Sys().ListMountsWithContext(s.ctx)
		if err != nil {
			return s.remote("listing secrets engines", err)
		}
		if detailed {
			s.con.print(table(detailedMounts(mounts)))
			return nil
		}
		rows := [][]string{{"Path", "Type", "Accessor", "Description"}}
		for _, path := range sortedKeys(mounts) {
			m := mounts[path]
			rows = append(rows, []string{path, m.Type, m.Accessor, m.Description})
		}
		s.con.print(table(rows))
		return nil
	}
}

// rawData prints the data of an answer as it came: what the client's types do
// not know must not get lost in machine output.
func (s *session) rawData(c *api.Client, path, doing string) error {
	sec, err := c.Logical().ReadWithContext(s.ctx, path)
	if err != nil {
		return s.remote(doing, err)
	}
	if sec == nil {
		return s.machine(map[string]any{})
	}
	return s.machine(sec.Data)
}

func detailedMounts(mounts map[string]*api.MountOutput) [][]string {
	rows := [][]string{{"Path", "Plugin", "Accessor", "Default TTL", "Max TTL", "Force No Cache", "Replication", "Seal Wrap",
		"External Entropy Access", "Options", "Description", "UUID", "Version", "Running Version", "Running SHA256", "Deprecation Status"}}
	for _, path := range sortedKeys(mounts) {
		m := mounts[path]
		rows = append(rows, []string{
			path, m.Type, m.Accessor, mountTTL(m.Type, m.Config.DefaultLeaseTTL), mountTTL(m.Type, m.Config.MaxLeaseTTL),
			fmt.Sprint(m.Config.ForceNoCache), replication(m.Local), fmt.Sprint(m.SealWrap),
			fmt.Sprint(m.ExternalEntropyAccess), fmt.Sprint(m.Options), m.Description, m.UUID,
			m.PluginVersion, m.RunningVersion, m.RunningSha256, m.DeprecationStatus,
		})
	}
	return rows
}

func buildSecretsTune(f *flagSet) runFunc {
	m := new(mountFlags)
	m.register(f, false)
	return func(s *session, args []string) error {
		at := withSlash(args[0])
		c, err := s.client()
		if err != nil {
			return err
		}
		if err := c.Sys().TuneMountAllowNilWithContext(s.ctx, trimPath(at), m.tune(f)); err != nil {
			return s.remote("tuning secrets engine "+at, err)
		}
		return s.success("Success! Tuned the secrets engine at: %s", at)
	}
}

func runSecretsDisable(s *session, args []string) error {
	at := withSlash(args[0])
	c, err := s.client()
	if err != nil {
		return err
	}
	if err := c.Sys().UnmountWithContext(s.ctx, trimPath(at)); err != nil {
		return s.remote("disabling secrets engine at "+at, err)
	}
	return s.success("Success! Disabled the secrets engine (if it existed) at: %s", at)
}

// movePoll is how often a running move is asked about.
const movePoll = 500 * time.Millisecond

// move remounts from to to and waits for the outcome. The shown names may
// differ from the paths: auth methods are shown without "auth/".
func (s *session) move(thing, from, to, fromPath, toPath string) error {
	if fromPath == "" {
		fromPath, toPath = from, to
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	started, err := c.Sys().StartRemountWithContext(s.ctx, fromPath, toPath)
	if err != nil {
		return s.remote(fmt.Sprintf("moving %s %s to %s", thing, from, to), err)
	}
	id := started.MigrationID
	if err := s.success("Started moving %s %s to %s, with migration ID %s", thing, from, to, id); err != nil {
		return err
	}
	poll := time.NewTicker(movePoll)
	defer poll.Stop()
	for {
		st, err := c.Sys().RemountStatusWithContext(s.ctx, id)
		if err != nil {
			return s.remote(fmt.Sprintf("checking migration status of %s", id), err)
		}
		if st.MigrationInfo == nil {
			return nothing("The server says nothing about migration %s", id)
		}
		switch st.MigrationInfo.MigrationStatus {
		case "success":
			return s.success("Success! Finished moving %s %s to %s, with migration ID %s", thing, from, to, id)
		case "failure":
			return &exitError{code: exitRemote, cause: errMoveFailed,
				text: fmt.Sprintf("Failure! Error encountered moving %s %s to %s, with migration ID %s", thing, from, to, id)}
		}
		select {
		case <-s.ctx.Done():
			return s.remote("waiting for the move", s.ctx.Err())
		case <-poll.C:
			if err := s.success("Still moving %s %s to %s, with migration ID %s", thing, from, to, id); err != nil {
				return err
			}
		}
	}
}

var errMoveFailed = errors.New("the server reports that the move failed")
