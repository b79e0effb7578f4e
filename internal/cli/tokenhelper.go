package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl"
	"github.com/hashicorp/hcl/hcl/ast"
)

// tokenStore keeps the token between commands. contract: cli §3.
type tokenStore interface {
	load() (string, error) // "" when there is none
	save(token string) error
	where() string // for messages
}

// openTokenStore finds the store that the configuration file names, or the
// default file.
func openTokenStore(env Env) (tokenStore, error) {
	home := env.Getenv("HOME")
	if home == "" {
		h, err := os.UserHomeDir()
		if err != nil {
			return nil, fmt.Errorf("no home directory to keep the token in: %w", err)
		}
		home = h
	}
	program, err := configuredHelper(env, home)
	if err != nil {
		return nil, err
	}
	if program != "" {
		return &programStore{path: program, env: env}, nil
	}
	path := env.value("TOKEN_PATH")
	if path == "" {
		path = filepath.Join(home, ".vault-token")
	}
	return fileStore(path), nil
}

// configuredHelper reads token_helper from ~/.vault, where any other key is an
// error.
func configuredHelper(env Env, home string) (string, error) {
	path := env.value("CONFIG_PATH")
	if path == "" {
		path = filepath.Join(home, ".vault")
	}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("error reading %s: %w", path, err)
	}
	file, err := hcl.ParseBytes(text)
	if err != nil {
		return "", fmt.Errorf("error parsing %s: %w", path, err)
	}
	list, ok := file.Node.(*ast.ObjectList)
	if !ok {
		return "", fmt.Errorf("error parsing %s: no top-level object", path)
	}
	for _, item := range list.Items {
		if key, _ := item.Keys[0].Token.Value().(string); key != "token_helper" {
			return "", fmt.Errorf("error parsing %s: invalid key %q on line %d", path, key, item.Pos().Line)
		}
	}
	var cfg struct {
		TokenHelper string `hcl:"token_helper"`
	}
	if err := hcl.DecodeObject(&cfg, file); err != nil {
		return "", fmt.Errorf("error parsing %s: %w", path, err)
	}
	return helperProgram(cfg.TokenHelper, env)
}

// helperProgram resolves a relative name to "vault token-<name>", as the
// contract has it.
func helperProgram(name string, env Env) (string, error) {
	if name == "" || filepath.IsAbs(name) {
		return name, nil
	}
	found, err := exec.LookPath("vault")
	if err != nil {
		return "", fmt.Errorf("token_helper %q is relative and no program called vault is on the path", name)
	}
	return found + " token-" + name, nil
}

// fileStore is a file that only its owner can read.
type fileStore string

func (f fileStore) where() string { return string(f) }

func (f fileStore) load() (string, error) {
	b, err := os.ReadFile(string(f))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

// save writes a new file and renames it over the old one: that is atomic and
// gives it our owner and mode whatever was there before.
func (f fileStore) save(token string) error {
	tmp := string(f) + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	// O_EXCL: never through a link that someone else put there.
	file, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(token)
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, string(f))
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

// programStore is an external token helper: called with "get" it prints the
// token, with "store" it reads it from standard input.
type programStore struct {
	path string
	env  Env
}

func (p *programStore) where() string { return "the token helper " + p.path }

func (p *programStore) load() (string, error) {
	out, err := p.run("get", "")
	return strings.TrimSpace(out), err
}

func (p *programStore) save(token string) error {
	_, err := p.run("store", token)
	return err
}

func (p *programStore) run(op, input string) (string, error) {
	words := append(strings.Fields(p.path), op)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env = os.Environ()
	if addr := p.env.value("ADDR"); addr != "" {
		cmd.Env = append(cmd.Env, "VAULT_ADDR="+addr)
	}
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errOut
	if err := cmd.Run(); err != nil {
		// Its standard error is the helper's own message; its output may be
		// the token and stays out.
		return "", fmt.Errorf("token helper %s %s: %w: %s", p.path, op, err, strings.TrimSpace(errOut.String()))
	}
	return out.String(), nil
}
