package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// environment looks up variables. Each setting is looked for as JETON_X first and as
// VAULT_X then, so that clients and servers of the two kinds can share a shell.
type environment func(name string) (string, bool)

// get is the value of the first of names that is set and not empty, and the name it has.
func (env environment) get(names ...string) (value, variable string) {
	for _, name := range names {
		for _, prefix := range []string{"JETON_", "VAULT_"} {
			if v, ok := env(prefix + name); ok && v != "" {
				return v, prefix + name
			}
		}
	}
	return "", ""
}

// override sets dst from the first of names that is set.
func (env environment) override(dst *string, names ...string) {
	if v, _ := env.get(names...); v != "" {
		*dst = v
	}
}

// fill sets dst from the environment when the files left it empty.
func (env environment) fill(dst *string, names ...string) {
	if *dst == "" {
		env.override(dst, names...)
	}
}

func (env environment) isTrue(name string) bool {
	v, _ := env.get(name)
	b, err := parseBool(v)
	return err == nil && b
}

// transit completes a transit seal; the variables are those of a client of the other server,
// and the file's own settings stand.
func (env environment) transit(t *TransitSeal) {
	env.fill(&t.Address, "TRANSIT_SEAL_ADDR", "ADDR")
	env.fill(&t.KeyName, "TRANSIT_SEAL_KEY_NAME")
	env.fill(&t.MountPath, "TRANSIT_SEAL_MOUNT_PATH")
	env.fill(&t.Namespace, "NAMESPACE")
	env.fill(&t.TLS.CACert, "CACERT")
	env.fill(&t.TLS.ClientCert, "CLIENT_CERT")
	env.fill(&t.TLS.ClientKey, "CLIENT_KEY")
	env.fill(&t.TLS.ServerName, "TLS_SERVER_NAME")
	if t.Token.Empty() {
		v, _ := env.get("TOKEN")
		t.Token = NewSecret(v)
	}
	t.DisableRenewal = t.DisableRenewal || env.isTrue("TRANSIT_SEAL_DISABLE_RENEWAL")
	t.TLS.SkipVerify = t.TLS.SkipVerify || env.isTrue("SKIP_VERIFY")
}

var (
	errNoVariable = errors.New("the environment variable it names is not set")
	errNoFile     = errors.New("the file it names cannot be read")
)

// resolve follows env://NAME and file://PATH; anything else is the secret itself. Its errors
// name neither, as a mistyped reference may be a secret.
func (env environment) resolve(text string) (string, error) {
	if name, ok := strings.CutPrefix(text, "env://"); ok {
		if v, set := env(name); set {
			return v, nil
		}
		return "", errNoVariable
	}
	if path, ok := strings.CutPrefix(text, "file://"); ok {
		data, err := readBounded(path)
		if err != nil {
			return "", errNoFile
		}
		if len(data) == StaticKeySize {
			return string(data), nil // A raw key may end in a byte that looks like a newline.
		}
		return strings.TrimRight(string(data), "\r\n"), nil
	}
	return text, nil
}

// overrideFromEnvironment applies what the environment says over all files
// (contract: config §2).
func (d *decoder) overrideFromEnvironment() {
	c := d.cfg
	c.Log.FileLevel = c.Log.Level
	d.env.override(&c.Addresses.API, "API_ADDR", "REDIRECT_ADDR", "ADVERTISE_ADDR")
	d.env.override(&c.Addresses.Cluster, "CLUSTER_ADDR")
	d.word("LOG_LEVEL", &c.Log.Level, logLevel)
	d.word("LOG_FORMAT", &c.Log.Format, logFormat)
	d.boolean("UI", &c.Features.UI)
	d.boolean("DISABLE_MLOCK", &c.Features.DisableMlock)
	var ignored bool
	d.boolean("DISABLE_USER_LOCKOUT", &ignored)
}

func (d *decoder) word(name string, dst *string, judge func(string) (string, error)) {
	v, variable := d.env.get(name)
	if v == "" {
		return
	}
	word, err := judge(v)
	if err != nil {
		d.problems = append(d.problems, &Error{Key: variable, Reason: fmt.Sprintf("environment variable %s: %s", variable, err)})
		return
	}
	*dst = word
}

func (d *decoder) boolean(name string, dst *bool) {
	v, variable := d.env.get(name)
	if v == "" {
		return
	}
	b, err := parseBool(v)
	if err != nil {
		d.problems = append(d.problems, &Error{Key: variable, Reason: fmt.Sprintf("environment variable %s: %s, not %q", variable, err, v)})
		return
	}
	*dst = b
}

// processEnvironment is the process's own.
func processEnvironment(name string) (string, bool) { return os.LookupEnv(name) }
