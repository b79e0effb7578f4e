package cli

import (
	"os/signal"
	"strings"
	"syscall"

	"github.com/posener/complete"
)

// ServerOptions are the flags of "server". contract: config §8.
type ServerOptions struct {
	// Configs are files or directories, in the order given.
	Configs []string
	// Dev is nil unless any of the -dev flags was given.
	Dev *DevOptions
	// LogLevel and LogFormat are "" when not given.
	LogLevel  string
	LogFormat string
	// LogFile is "" when not given; otherwise logs go there too.
	LogFile string
	// CombineLogs sends logs to standard output and leaves out the line
	// that says that the server started.
	CombineLogs bool
}

// DevOptions are those of a development server.
type DevOptions struct {
	// RootTokenID is the root token to create; "" means a random one.
	RootTokenID string
	// ListenAddress is host:port; "" means 127.0.0.1:8200.
	ListenAddress string
	// TLS makes the server speak TLS with certificates made for the run.
	TLS bool
	// TLSCertDir is where those are written; "" means a temporary directory.
	TLSCertDir string
	// NoStoreToken leaves ~/.vault-token alone.
	NoStoreToken bool
	// NoKV leaves out the kv engine at secret/.
	NoKV bool
	// KVv1 makes the one at secret/ version 1.
	KVv1 bool
}

type serverFlags struct {
	opts ServerOptions
	dev  bool
	DevOptions
}

func serverCommand() command {
	return command{
		name: "server", synopsis: "Start a server",
		help: `Starts a server. With -dev it keeps everything in memory and is ready at once;
otherwise it needs a configuration, and after its first start "jeton operator init".

    $ jeton server -dev
    $ jeton server -dev -dev-root-token-id=root -dev-listen-address=127.0.0.1:8400
    $ jeton server -config=/etc/jeton/jeton.hcl

A configuration that keeps data on this machine:

    storage "file" { path = "/var/lib/jeton" }
    listener "tcp" {
      address       = "127.0.0.1:8200"
      tls_cert_file = "/etc/jeton/cert.pem"
      tls_key_file  = "/etc/jeton/key.pem"
    }`,
		arity: exactly(0), surface: silent, predict: complete.PredictNothing,
		build: buildServer,
	}
}

func buildServer(f *flagSet) runFunc {
	p := new(serverFlags)
	p.register(f)
	return func(s *session, _ []string) error {
		dev := p.dev
		for _, spec := range f.specs {
			// Any development flag means a development server, but for the
			// root token id: a server with data must not forget it over that.
			if strings.HasPrefix(spec.name, "dev-") && spec.name != "dev-root-token-id" && f.given(spec.name) {
				dev = true
			}
		}
		if dev {
			p.opts.Dev = &p.DevOptions
		} else if p.RootTokenID != "" {
			s.con.warn(`You cannot specify a custom root token ID outside of "dev" mode. Your request has been ignored.`)
		}
		if !dev && len(p.opts.Configs) == 0 {
			return local("Must specify at least one config path using -config, or -dev for a server that keeps nothing.")
		}
		ctx, stop := signal.NotifyContext(s.ctx, syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		if code := s.env.Server(ctx, p.opts, s.env); code != exitOK {
			return quietly(code)
		}
		return nil
	}
}

func (p *serverFlags) register(f *flagSet) {
	f.list(&p.opts.Configs, flagSpec{name: "config", usage: "Configuration file, or a directory of them. Repeatable.", predict: complete.PredictFiles("*")})
	f.str(&p.opts.LogLevel, flagSpec{name: "log-level", env: "LOG_LEVEL", usage: "trace, debug, info, warn or error.", predict: complete.PredictSet("trace", "debug", "info", "warn", "error")})
	f.str(&p.opts.LogFormat, flagSpec{name: "log-format", env: "LOG_FORMAT", usage: "standard or json.", predict: complete.PredictSet("standard", "json")})
	f.str(&p.opts.LogFile, flagSpec{name: "log-file", env: "LOG_FILE", usage: "File to write logs to as well.", predict: complete.PredictFiles("*")})
	f.truth(&p.opts.CombineLogs, flagSpec{name: "combine-logs", usage: "Write logs to standard output.", hidden: true})

	f.absent = absentServerFlags()
	f.truth(&p.dev, flagSpec{name: "dev", section: sectionDev, usage: "Run a development server: in memory, unsealed, without TLS. Nothing survives it."})
	f.str(&p.RootTokenID, flagSpec{name: "dev-root-token-id", env: "DEV_ROOT_TOKEN_ID", section: sectionDev, usage: "Root token of the development server."})
	f.str(&p.ListenAddress, flagSpec{name: "dev-listen-address", env: "DEV_LISTEN_ADDRESS", section: sectionDev, usage: "Where the development server listens. The default is 127.0.0.1:8200."})
	f.truth(&p.TLS, flagSpec{name: "dev-tls", section: sectionDev, usage: "Speak TLS, with certificates made for this run."})
	f.str(&p.TLSCertDir, flagSpec{name: "dev-tls-cert-dir", section: sectionDev, usage: "Directory to write them to; the authority is vault-ca.pem.", predict: complete.PredictDirs("*")})
	f.truth(&p.NoStoreToken, flagSpec{name: "dev-no-store-token", section: sectionDev, usage: "Do not write the root token to ~/.vault-token."})
	f.truth(&p.NoKV, flagSpec{name: "dev-no-kv", section: sectionDev, usage: "Do not mount a kv engine at secret/."})
	f.truth(&p.KVv1, flagSpec{name: "dev-kv-v1", section: sectionDev, usage: "Mount version 1 of kv at secret/.", hidden: true})
}

// absentServerFlags are flags of Vault's server. None is taken and ignored: what each promises would
// not happen.
func absentServerFlags() map[string]string {
	const cluster = "a development server is one server"
	const rotate = "let logrotate move the file and send SIGHUP, or log to the journal"
	return map[string]string{
		"recovery":              `there is no recovery mode; "operator check -config=FILE" reads the data of a stopped server`,
		"exit-on-core-shutdown": "the process always ends when it cannot serve any more",
		"log-rotate-bytes":      rotate,
		"log-rotate-duration":   rotate,
		"log-rotate-max-files":  rotate,
		"dev-ha":                cluster,
		"dev-three-node":        cluster,
		"dev-four-cluster":      cluster,
		"dev-consul":            cluster,
		"dev-transactional":     "every storage here has transactions; leave it out",
		"dev-auto-seal":         `set a seal stanza with -config`,
		"dev-skip-init":         `start with -config and storage "inmem" for a server that is not initialised`,
		"dev-leased-kv":         "kv secrets have no leases",
		"dev-latency":           "slow the network down instead",
		"dev-latency-jitter":    "slow the network down instead",
		"dev-plugin-dir":        "external plugins are not supported",
		"dev-plugin-init":       "external plugins are not supported",
		"dev-cluster-json":      cluster,
	}
}
