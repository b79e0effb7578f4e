// Package daemon owns the server process: from its configuration to its listeners, its
// signals, its banner and its end. Contract: config §7 to §9.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"jeton/internal/audit"
	"jeton/internal/audit/file"
	"jeton/internal/audit/socket"
	"jeton/internal/audit/syslog"
	"jeton/internal/backend"
	"jeton/internal/cli"
	"jeton/internal/clock"
	"jeton/internal/config"
	"jeton/internal/logging"
	"jeton/internal/metrics"
	"jeton/internal/mount"
	"jeton/internal/node"
	"jeton/internal/server"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/sys"
)

// Run serves until ctx ends (SIGINT, SIGTERM) and returns the process's exit code: 0, or 1 for
// a server that could not start or broke down.
func Run(ctx context.Context, opts cli.ServerOptions, env cli.Env) int {
	d := &daemon{opts: opts, env: env}
	if err := d.run(ctx); err != nil {
		fmt.Fprintln(env.Stderr, err)
		return 1
	}
	return 0
}

type daemon struct {
	opts    cli.ServerOptions
	env     cli.Env
	config  *config.Config
	log     *slog.Logger
	levels  *logging.Levels
	node    *node.Node
	running []*server.Running
	// dev is what a development server began with; nil otherwise.
	dev *node.Dev
	// requestLog is shared with the listeners.
	requestLog server.RequestLog
	// loops are the goroutines that end with the context of run.
	loops sync.WaitGroup
	// remove are files that must not outlive the process.
	remove []string
}

// stopWithin bounds how long requests in flight may hold up the end.
const stopWithin = 10 * time.Second

func (d *daemon) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A reader of standard output that goes away must fail a write, not end the server.
	signal.Ignore(syscall.SIGPIPE)
	tuneCollector(lookup(d.env))
	if err := d.configure(); err != nil {
		return err
	}
	if err := d.startLog(); err != nil {
		return err
	}
	raw, err := d.openStore(ctx)
	if err != nil {
		return err
	}
	seals, err := d.seals()
	if err != nil {
		return errors.Join(err, raw.Close())
	}
	steady := clock.NewSteady(time.Now, time.Time{})
	d.node = node.New(raw, seals.current, steady, d.settings(steady, seals))
	manager := manager{d.log}
	defer func() {
		manager.stopping()
		cancel()
		d.loops.Wait()
		err = errors.Join(err, d.stop())
	}()
	if err := d.listen(); err != nil {
		return err
	}
	for _, keep := range seals.loops {
		d.loops.Go(func() { keep(ctx) })
	}
	d.loops.Go(func() { d.node.KeepMending(ctx) })
	if err := d.ready(ctx, seals); err != nil {
		return err
	}
	d.banner()
	if err := d.writePID(); err != nil {
		return err
	}
	if warning := swapWarning(os.DirFS("/")); warning != "" && d.opts.Dev == nil {
		d.log.Warn(warning)
	}
	manager.ready(d.serving())
	return d.wait(ctx, manager)
}

// configure loads the configuration, and makes what -dev-tls promises.
func (d *daemon) configure() error {
	loading := config.Options{LookupEnv: lookup(d.env)}
	dev := d.opts.Dev
	if dev == nil {
		c, err := config.Load(d.opts.Configs, loading)
		d.config = c
		return err
	}
	o := config.DevOptions{Address: dev.ListenAddress}
	if dev.TLS {
		made, err := makeDevTLS(dev.TLSCertDir)
		if err != nil {
			return err
		}
		d.remove = append(d.remove, made.files()...)
		o.CertFile, o.KeyFile = made.cert, made.key
	}
	if len(d.opts.Configs) == 0 {
		c := config.Dev(o)
		d.config = &c
		return nil
	}
	loading.Dev = &o
	c, err := config.Load(d.opts.Configs, loading)
	d.config = c
	return err
}

// lookup reads the process's environment, as the command line does.
func lookup(env cli.Env) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v := env.Getenv(name)
		return v, v != ""
	}
}

// startLog begins logging on standard error, and to the log file if there is one.
func (d *daemon) startLog() error {
	level, format := d.config.Log.Level, d.config.Log.Format
	if d.opts.LogLevel != "" {
		level = d.opts.LogLevel
	}
	if d.opts.LogFormat != "" {
		format = d.opts.LogFormat
	}
	name, err := config.LogLevel(level)
	if err != nil {
		return err
	}
	configured, _ := logging.Parse(name)
	d.levels = logging.New(configured)
	var out io.Writer = d.env.Stderr
	if d.opts.CombineLogs {
		out = d.env.Stdout
	}
	path := d.opts.LogFile
	if path == "" {
		path = d.config.Log.File.Path
	}
	if path != "" {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("error opening the log file: %w", err)
		}
		out = io.MultiWriter(out, f)
	}
	// The levels decide: what lies behind them lets everything through.
	var handler slog.Handler = slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug})
	if format == "json" {
		handler = slog.NewJSONHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug})
	}
	d.log = slog.New(d.levels.Handler(handler))
	for _, w := range d.config.Warnings {
		d.log.Warn(w.Text, "at", w.Where, "key", w.Key)
	}
	return nil
}

// openStore opens the data. A directory that another process has open is an error that says so.
func (d *daemon) openStore(ctx context.Context) (store.Store, error) {
	c := d.config.Storage
	if c.InMemory() {
		if d.opts.Dev == nil {
			fmt.Fprintln(d.env.Stdout, `WARNING: storage configured to use "inmem" which should NOT be used in production`)
		}
		return embedded.OpenMemory()
	}
	s, err := embedded.OpenMendable(ctx, embedded.Options{Path: c.Path, Logger: d.log.With("room", "store")})
	if err != nil {
		return nil, fmt.Errorf("Error initializing storage of type %s: %w", c.Declared, err)
	}
	return s, nil
}

// clientAddress is where clients reach the server: api_addr, or else the first listener.
func clientAddress(c *config.Config) string {
	if c.Addresses.API != "" || len(c.Listeners) == 0 {
		return c.Addresses.API
	}
	scheme := "https://"
	if c.Listeners[0].TLS.Disable {
		scheme = "http://"
	}
	return scheme + c.Listeners[0].Address
}

// lockouts is the configuration's part in what mounts inherit.
func lockouts(c config.Lockouts) mount.Lockouts {
	of := func(l config.Lockout) backend.Lockout {
		return backend.Lockout{Threshold: int(l.Threshold), Duration: l.Duration, CounterReset: l.CounterReset, Disabled: l.Disabled}
	}
	return mount.Lockouts{Off: c.Off, ByKind: map[string]backend.Lockout{"userpass": of(c.UserPass), "ldap": of(c.LDAP)}}
}

func (d *daemon) settings(steady clock.Clock, seals *seals) node.Settings {
	c := d.config
	return node.Settings{
		Limits:      mount.Limits{DefaultTTL: c.Leases.DefaultTTL, MaxTTL: c.Leases.MaxTTL},
		Lockouts:    lockouts(c.Lockouts),
		ClusterName: c.Addresses.ClusterName,
		StorageType: c.Storage.Declared,
		Address:     clientAddress(c),
		MigrateFrom: seals.old,
		Audit:       audit.Settings{AllowPrefix: c.Audit.AllowPrefixing, Configured: configuredDevices(c)},
		AuditTypes: map[string]audit.Factory{
			"file": d.fileDevices(), "socket": socket.Factory, "syslog": syslog.Factory,
		},
		Process: sys.Process{Config: c.Sanitized(), Levels: d.levels, Metrics: metrics.New(d.measures(), steady)},
		Log:     d.log,
	}
}

// measures are the settings of what is measured: without a stanza there is no form for
// Prometheus, but in a development server. Contract: config §6.
func (d *daemon) measures() metrics.Settings {
	t := d.config.Telemetry
	if t == nil {
		return metrics.Settings{Prometheus: d.opts.Dev != nil, Prefix: "vault", MaxGaugeCardinality: 500, ShowByDefault: true}
	}
	return metrics.Settings{
		Prometheus: t.PrometheusRetention > 0, Prefix: t.MetricsPrefix, MaxGaugeCardinality: int(t.MaxGaugeCardinality),
		ShowByDefault: t.FilterDefault, Filters: t.PrefixFilter,
	}
}

// configuredDevices are the audit devices that a configuration names.
func configuredDevices(c *config.Config) map[string]audit.Spec {
	devices := map[string]audit.Spec{}
	for _, dev := range c.Audit.Devices {
		devices[dev.Path] = audit.Spec{Type: dev.Type, Description: dev.Description, Options: dev.Options, Local: dev.Local}
	}
	return devices
}

// fileDevices confines the files that the API chooses: to the directories that the
// configuration lists, and where it lists none to what is harmless anywhere.
func (d *daemon) fileDevices() audit.Factory {
	allowed := d.config.Audit.AllowedDirectories
	if len(allowed) > 0 {
		return file.Factory(allowed)
	}
	var reading []string
	for _, path := range d.opts.Configs {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			reading = append(reading, path)
		}
	}
	if program, err := os.Executable(); err == nil {
		reading = append(reading, filepath.Dir(program))
	}
	return newAuditFiles(d.config.Storage.Path, reading...).guard(file.Factory(nil))
}

// listen opens every listener, or none.
func (d *daemon) listen() error {
	about, bounds := d.about(), server.NewBounds()
	for _, l := range d.config.Listeners {
		s := server.New(d.node, l, d.config.Leases.MaxRequestDuration, about, d.log.With("room", "server"))
		s.Within(bounds)
		run, err := s.Listen()
		if err != nil {
			return err
		}
		d.running = append(d.running, run)
	}
	return nil
}

// ready brings a development server up, and opens a seal that opens by itself.
func (d *daemon) ready(ctx context.Context, seals *seals) error {
	if d.opts.Dev != nil {
		return d.startDev(ctx)
	}
	if seals.current != nil {
		d.loops.Go(func() { d.node.KeepOpen(ctx) })
	}
	return nil
}

func (d *daemon) startDev(ctx context.Context) error {
	o := d.opts.Dev
	dev, err := d.node.StartDev(ctx, node.DevOptions{RootToken: o.RootTokenID, NoKV: o.NoKV, KVv1: o.KVv1})
	if err != nil {
		return err
	}
	if !o.NoStoreToken {
		if err := d.storeToken(dev.RootToken); err != nil {
			d.log.Warn("the root token could not be written to the home directory", "error", err)
		}
	}
	d.dev = dev
	return nil
}

// storeToken writes the token where the command line looks for it, for the owner's eyes alone.
func (d *daemon) storeToken(token string) error {
	home := d.env.Getenv("HOME")
	if home == "" {
		return errors.New("HOME is not set")
	}
	path := filepath.Join(home, ".vault-token")
	if err := os.WriteFile(path+".tmp", []byte(token), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

func (d *daemon) writePID() error {
	path := d.config.PIDFile
	if path == "" {
		return nil
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return fmt.Errorf("Error storing PID: could not open pid file: %w", err)
	}
	d.remove = append(d.remove, path)
	return nil
}

// wait serves until the end of ctx or of a listener, and reloads at SIGHUP.
func (d *daemon) wait(ctx context.Context, manager manager) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	failed := make(chan error, len(d.running))
	waiting, done := context.WithCancel(ctx)
	defer done()
	for _, run := range d.running {
		go func() {
			select {
			case err := <-run.Failed():
				failed <- err
			case <-waiting.Done():
			}
		}()
	}
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(d.env.Stdout, "==> Vault shutdown triggered")
			return nil
		case err := <-failed:
			return fmt.Errorf("a listener stopped: %w", err)
		case <-hup:
			manager.reloading()
			status := d.serving()
			if err := d.reload(ctx); err != nil {
				fmt.Fprintf(d.env.Stderr, "Error(s) were encountered during reload: %v\n", err)
				status += "; the last reload failed in part, see the log"
			}
			manager.ready(status)
		}
	}
}

// reload reads certificates and configuration again and has audit files reopened. What fails
// is returned, and the old goes on. Contract: config §9.
func (d *daemon) reload(ctx context.Context) error {
	fmt.Fprintln(d.env.Stdout, "==> Vault reload triggered")
	var problems []error
	if d.opts.Dev == nil {
		fresh, err := config.Load(d.opts.Configs, config.Options{LookupEnv: lookup(d.env)})
		if err != nil {
			problems = append(problems, fmt.Errorf("could not reload config: %w", err))
		} else {
			if name, err := config.LogLevel(fresh.Log.Level); err == nil {
				level, _ := logging.Parse(name)
				d.levels.Configure(level)
			}
			d.requestLog.Set(requestLevel(fresh))
			problems = append(problems, d.node.ConfigureAudit(ctx, configuredDevices(fresh)))
		}
	}
	for _, run := range d.running {
		problems = append(problems, run.Reload())
	}
	problems = append(problems, d.node.ReloadAudit(ctx))
	return errors.Join(problems...)
}

// stop ends in order: no new requests, those in flight, the keys, the data, the files.
func (d *daemon) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	var problems []error
	for _, run := range d.running {
		problems = append(problems, run.Stop(ctx))
	}
	problems = append(problems, d.node.Close(ctx))
	for _, path := range d.remove {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}
