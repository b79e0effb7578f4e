package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/posener/complete"
)

// authCommands manage auth methods. contract: cli §6 "secrets / auth".
func authCommands() []command {
	return []command{
		{
			name: "auth", synopsis: "Interact with auth methods",
			help: `Enables, lists, tunes, moves and disables auth methods. To log in, use
"jeton login".

    $ jeton auth enable userpass
    $ jeton auth list`,
		},
		{
			name: "auth enable", args: "TYPE", synopsis: "Enable a new auth method",
			help: `Enables an auth method, at its own name unless -path is given.

    $ jeton auth enable userpass
    $ jeton auth enable -path=machines approle`,
			arity: exactly(1), surface: talks, predict: complete.PredictSet("approle", "userpass", "ldap", "cert", "jwt", "oidc"), build: buildAuthEnable,
		},
		{
			name: "auth list", synopsis: "List enabled auth methods",
			help: `Lists the enabled auth methods.

    $ jeton auth list -detailed`,
			arity: exactly(0), surface: talks, build: buildAuthList,
		},
		{
			name: "auth tune", args: "PATH", synopsis: "Tune an auth method's settings",
			help: `Changes settings of the auth method at PATH; what is not given stays.

    $ jeton auth tune -default-lease-ttl=1h userpass/`,
			arity: exactly(1), surface: talks, suggest: suggestAuth, build: buildAuthTune,
		},
		{
			name: "auth disable", args: "PATH", synopsis: "Disable an auth method",
			help: `Disables the auth method at PATH. Every token it issued is revoked.

    $ jeton auth disable userpass/`,
			arity: exactly(1), surface: talks, suggest: suggestAuth,
			build: func(*flagSet) runFunc { return runAuthDisable },
		},
		{
			name: "auth move", args: "SOURCE DESTINATION", synopsis: "Move an auth method to a new path",
			help: `Moves an auth method. Its configuration goes along, the tokens it issued are
revoked.

    $ jeton auth move auth/approle/ auth/machines/`,
			arity: exactly(2), surface: talks, suggest: suggestAuth,
			build: func(*flagSet) runFunc { return runAuthMove },
		},
		{
			name: "auth help", args: "TYPE | PATH", synopsis: "Print usage for an auth method",
			help: `Prints what the server says about an enabled auth method.

    $ jeton auth help userpass`,
			arity: exactly(1), surface: talks, suggest: suggestAuth,
			build: func(*flagSet) runFunc {
				return func(s *session, args []string) error {
					return runPathHelp(s, []string{"auth/" + strings.TrimPrefix(trimPath(args[0]), "auth/")})
				}
			},
		},
	}
}

func buildAuthEnable(f *flagSet) runFunc {
	m := new(mountFlags)
	var path string
	var localOnly, sealWrap, entropy bool
	m.register(f, true)
	f.str(&path, flagSpec{name: "path", usage: "Where to enable it; by default at the name of its type."})
	f.str(&m.pluginName, flagSpec{name: "plugin-name", usage: `Name of the plugin, when TYPE is "plugin".`})
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
		c, err := s.client()
		if err != nil {
			return err
		}
		err = c.Sys().EnableAuthWithOptionsWithContext(s.ctx, at, &api.EnableAuthOptions{
			Type: kind, Description: m.description, Config: m.enable(), Options: m.allOptions(),
			Local: localOnly, SealWrap: sealWrap, ExternalEntropyAccess: entropy,
		})
		if err != nil {
			return s.remote(fmt.Sprintf("enabling %s auth", kind), err)
		}
		return s.success("Success! Enabled %s auth method at: %s", kind, at)
	}
}

func buildAuthList(f *flagSet) runFunc {
	var detailed bool
	f.truth(&detailed, flagSpec{name: "detailed", env: "DETAILED", section: sectionOutput, usage: "Show all settings."})
	return func(s *session, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		if !s.out.table() {
			return s.rawData(c, "sys/auth", "listing enabled authentications")
		}
		mounts, err := c.Sys().ListAuthWithContext(s.ctx)
		if err != nil {
			return s.remote("listing enabled authentications", err)
		}
		if detailed {
			s.con.print(table(detailedAuth(mounts)))
			return nil
		}
		rows := [][]string{{"Path", "Type", "Accessor", "Description", "Version"}}
		for _, path := range sortedKeys(mounts) {
			m := mounts[path]
			rows = append(rows, []string{path, m.Type, m.Accessor, m.Description, m.PluginVersion})
		}
		s.con.print(table(rows))
		return nil
	}
}

func detailedAuth(mounts map[string]*api.AuthMount) [][]string {
	rows := [][]string{{"Path", "Plugin", "Accessor", "Default TTL", "Max TTL", "Token Type", "Replication", "Seal Wrap",
		"External Entropy Access", "Options", "Description", "UUID", "Version", "Running Version", "Running SHA256", "Deprecation Status"}}
	for _, path := range sortedKeys(mounts) {
		m := mounts[path]
		rows = append(rows, []string{
			path, m.Type, m.Accessor, mountTTL(m.Type, m.Config.DefaultLeaseTTL), mountTTL(m.Type, m.Config.MaxLeaseTTL),
			m.Config.TokenType, replication(m.Local), fmt.Sprint(m.SealWrap),
			fmt.Sprint(m.ExternalEntropyAccess), fmt.Sprint(m.Options), m.Description, m.UUID,
			m.PluginVersion, m.RunningVersion, m.RunningSha256, m.DeprecationStatus,
		})
	}
	return rows
}

// lockoutFlags say what happens after failed logins.
type lockoutFlags struct {
	threshold       int
	duration, reset time.Duration
	disable         bool
}

func (l *lockoutFlags) register(f *flagSet) {
	f.number(&l.threshold, flagSpec{name: "user-lockout-threshold", usage: "Failed logins after which a user is locked out."})
	f.span(&l.duration, flagSpec{name: "user-lockout-duration", usage: "How long a user stays locked out."})
	f.span(&l.reset, flagSpec{name: "user-lockout-counter-reset-duration", usage: "Time without a failed login after which counting starts again."})
	f.truth(&l.disable, flagSpec{name: "user-lockout-disable", usage: "Never lock users out."})
}

// input holds what was given, nil when nothing was.
func (l *lockoutFlags) input(f *flagSet) *api.TuneUserLockoutConfigInput {
	var in api.TuneUserLockoutConfigInput
	any := false
	str := func(to **string, flag, v string) {
		if f.given(flag) {
			*to, any = &v, true
		}
	}
	str(&in.LockoutThreshold, "user-lockout-threshold", strconv.Itoa(l.threshold))
	str(&in.LockoutDuration, "user-lockout-duration", ttlText(l.duration))
	str(&in.LockoutCounterResetDuration, "user-lockout-counter-reset-duration", ttlText(l.reset))
	if f.given("user-lockout-disable") {
		in.DisableLockout, any = &l.disable, true
	}
	if !any {
		return nil
	}
	return &in
}

func buildAuthTune(f *flagSet) runFunc {
	m, lockout := new(mountFlags), new(lockoutFlags)
	m.register(f, true)
	lockout.register(f)
	return func(s *session, args []string) error {
		at := withSlash(strings.TrimPrefix(trimPath(args[0]), "auth/"))
		c, err := s.client()
		if err != nil {
			return err
		}
		in := m.tune(f)
		in.UserLockoutConfig = lockout.input(f)
		// auth/<path> through sys/mounts: that needs no sudo on sys/auth.
		if err := c.Sys().TuneMountAllowNilWithContext(s.ctx, "auth/"+trimPath(at), in); err != nil {
			return s.remote("tuning auth method "+at, err)
		}
		return s.success("Success! Tuned the auth method at: %s", at)
	}
}

func runAuthDisable(s *session, args []string) error {
	at := withSlash(strings.TrimPrefix(trimPath(args[0]), "auth/"))
	c, err := s.client()
	if err != nil {
		return err
	}
	if err := c.Sys().DisableAuthWithContext(s.ctx, trimPath(at)); err != nil {
		return s.remote("disabling auth method at "+at, err)
	}
	return s.success("Success! Disabled the auth method (if it existed) at: %s", at)
}

// runAuthMove takes paths with or without "auth/" in front (contract: observed,
// "What real clients lean on" 9).
func runAuthMove(s *session, args []string) error {
	full := func(arg string) string { return "auth/" + withSlash(strings.TrimPrefix(trimPath(arg), "auth/")) }
	from, to := full(args[0]), full(args[1])
	return s.move("auth method", from, to, from, to)
}
