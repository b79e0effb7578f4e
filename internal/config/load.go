package config

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Options say how to load.
type Options struct {
	// LookupEnv finds environment variables; nil is the process's own.
	LookupEnv func(name string) (value string, ok bool)
	// Dev is set for a dev server: the files are read over its configuration.
	Dev *DevOptions
}

var (
	errNoFiles    = errors.New("No configuration files found. Please provide configurations with the -config flag. If you are supplying a directory, its files must end in .hcl or .json")
	errNotRegular = errors.New("not a regular file")
)

// Load reads the files and directories in paths, in order, merges them, applies the
// environment and judges the whole (contract: config §1). Its error is an Errors.
func Load(paths []string, opts Options) (*Config, error) {
	d := &decoder{cfg: &Config{}, env: opts.LookupEnv, top: make(map[string]position), unserved: UnservedSettings()}
	if opts.Dev != nil {
		d.cfg = devBase(*opts.Dev)
	}
	if d.env == nil {
		d.env = processEnvironment
	}
	for _, file := range d.expand(paths) {
		d.read(file)
	}
	if len(d.cfg.Files) == 0 && len(d.problems) == 0 && opts.Dev == nil {
		return nil, Errors{{Reason: errNoFiles.Error()}}
	}
	d.finish()
	if len(d.problems) > 0 {
		return nil, d.problems
	}
	return d.cfg, nil
}

// Parse reads data as if it were a file of that name: what Load does for one file, but for
// the process's environment, which it does not look at.
func Parse(file string, data []byte, opts Options) (*Config, error) {
	return parseFor(UnservedSettings(), file, data, opts)
}

// parseFor is Parse for a server that does not serve what unserved lists.
func parseFor(unserved []Unserved, file string, data []byte, opts Options) (*Config, error) {
	d := &decoder{cfg: &Config{}, env: opts.LookupEnv, top: make(map[string]position), unserved: unserved}
	if d.env == nil {
		d.env = func(string) (string, bool) { return "", false }
	}
	d.take(file, data)
	d.finish()
	if len(d.problems) > 0 {
		return nil, d.problems
	}
	return d.cfg, nil
}

// expand lists the files that paths name: a directory stands for its .hcl and .json files,
// without those of its own directories and without what editors leave behind. A file is
// read once, where it is first named.
func (d *decoder) expand(paths []string) []string {
	var files []string
	seen := make(map[string]bool)
	add := func(file string) {
		id, err := filepath.Abs(file)
		if err != nil {
			id = file
		}
		if seen[id] {
			d.cfg.Warnings = append(d.cfg.Warnings, Warning{Where: file, Text: "ignoring duplicate configuration: the file was read already"})
			return
		}
		seen[id] = true
		files = append(files, file)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			d.problems = append(d.problems, &Error{File: path, Reason: reasonOf(err)})
			continue
		}
		if !info.IsDir() {
			add(path)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			d.problems = append(d.problems, &Error{File: path, Reason: reasonOf(err)})
			continue
		}
		for _, e := range entries {
			if !e.IsDir() && isConfigName(e.Name()) {
				add(filepath.Join(path, e.Name()))
			}
		}
	}
	return files
}

func isConfigName(name string) bool {
	if strings.HasSuffix(name, "~") || strings.HasPrefix(name, ".#") || (strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#")) {
		return false
	}
	ext := filepath.Ext(name)
	return ext == ".hcl" || ext == ".json"
}

// reasonOf is err without the path, which the error that carries it names already.
func reasonOf(err error) string {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// readBounded reads a regular file no larger than maxFileSize.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, errNotRegular
	}
	// One byte more than is allowed, for parse to notice.
	return io.ReadAll(io.LimitReader(f, maxFileSize+1))
}

func (d *decoder) read(file string) {
	data, err := readBounded(file)
	if err != nil {
		d.problems = append(d.problems, &Error{File: file, Reason: reasonOf(err)})
		return
	}
	d.take(file, data)
}

func (d *decoder) take(file string, data []byte) {
	d.cfg.Files = append(d.cfg.Files, file)
	root, err := parse(file, data)
	if err != nil {
		var known *Error
		if !errors.As(err, &known) {
			known = &Error{File: file, Reason: err.Error()}
		}
		d.problems = append(d.problems, known)
		return
	}
	decode(scope{d: d}, d.cfg, root, topGrammar())
}

// finish applies what comes after all files and judges what no single key can.
func (d *decoder) finish() {
	mistakes := len(d.problems)
	d.overrideFromEnvironment()
	d.finishSeals()
	d.finishLockouts()
	c := d.cfg
	s := scope{d: d}
	d.checkURL("api_addr", &c.Addresses.API)
	d.checkURL("cluster_addr", &c.Addresses.Cluster)
	if c.Addresses.API != "" && c.Addresses.API == c.Addresses.Cluster {
		s.fail(d.top["cluster_addr"], "cluster_addr", fmt.Sprintf("address %q used for both API and cluster addresses", c.Addresses.API))
	}
	maxTTL := c.Leases.MaxTTL
	if maxTTL == 0 {
		maxTTL = DefaultLeaseTTL
	}
	if c.Leases.DefaultTTL > maxTTL {
		s.fail(d.top["default_lease_ttl"], "default_lease_ttl", fmt.Sprintf("cannot have DefaultLeaseTTL larger than MaxLeaseTTL (default_lease_ttl %s, max_lease_ttl %s)", c.Leases.DefaultTTL, maxTTL))
	}
	files := strings.Join(c.Files, ", ")
	// What is absent is only worth saying when all that is there could be read.
	if mistakes == 0 {
		if c.Storage.Type == "" {
			s.fail(position{}, "storage", fmt.Sprintf("A storage backend must be specified (no storage stanza in %s)", files))
		}
		if len(c.Listeners) == 0 {
			s.fail(position{}, "listener", fmt.Sprintf("A listener must be specified, or the server would serve nobody (no listener stanza in %s)", files))
		}
	}
	c.fallbacks()
}

// checkURL wants the full URL that the contract asks for, and drops its last slash.
func (d *decoder) checkURL(key string, address *string) {
	if *address == "" {
		return
	}
	u, err := url.Parse(*address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		scope{d: d}.fail(d.top[key], key, fmt.Sprintf("invalid value for %s: %q must be a full URL such as https://vault.example.com:8200", key, *address))
		return
	}
	*address = strings.TrimSuffix(*address, "/")
}
