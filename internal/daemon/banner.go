package daemon

import (
	"encoding/base64"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"

	"jeton/internal/logging"
	"jeton/internal/version"
)

// banner says what was started. Scripts look for "server started!". Contract: config §7.
func (d *daemon) banner() {
	rows := map[string]string{
		"Cgo": "disabled", "Go Version": runtime.Version(), "Log Level": logging.Name(d.levels.All()[logging.Main]),
		"Mlock":   "supported: false, enabled: false",
		"Storage": d.config.Storage.Declared, "Version": version.Line(),
	}
	for i, l := range d.config.Listeners {
		security := "enabled"
		if l.TLS.Disable {
			security = "disabled"
		}
		rows[fmt.Sprintf("Listener %d", i+1)] = fmt.Sprintf("%s (addr: %q, max_request_size: \"%d\", tls: %q)",
			l.Network, d.running[i].Address.String(), l.Limits.MaxSize, security)
	}
	if d.config.Addresses.API != "" {
		rows["Api Address"] = d.config.Addresses.API
	}
	names := make([]string, 0, len(rows))
	for name := range rows {
		names = append(names, name)
	}
	sort.Strings(names)
	out := d.env.Stdout
	fmt.Fprint(out, "\n==> Vault server configuration:\n\n")
	for _, name := range names {
		fmt.Fprintf(out, "%24s: %s\n", name, rows[name])
	}
	if !d.opts.CombineLogs {
		fmt.Fprint(out, "\n==> Vault server started! Log data will stream in below:\n\n")
	}
	if d.dev != nil {
		d.devBanner(base64.StdEncoding.EncodeToString(d.dev.UnsealKey), d.dev.RootToken)
	}
}

// devBanner tells a newcomer how to go on. Tools read the lines with the key and the token.
// Contract: config §8.
func (d *daemon) devBanner(unsealKey, rootToken string) {
	scheme := "http"
	if !d.config.Listeners[0].TLS.Disable {
		scheme = "https"
	}
	address := scheme + "://" + d.running[0].Address.String()
	lines := []string{
		"WARNING! dev mode is enabled! In this mode, Vault runs entirely in-memory",
		"and starts unsealed with a single unseal key. The root token is already",
		"authenticated to the CLI, so you can immediately begin using Vault.",
		"",
		"You may need to set the following environment variables:",
		"",
		fmt.Sprintf("    $ export VAULT_ADDR='%s'", address),
	}
	if ca := d.devCA(); ca != "" {
		lines = append(lines, fmt.Sprintf("    $ export VAULT_CACERT='%s'", ca))
	}
	lines = append(lines,
		"",
		"The unseal key and root token are displayed below in case you want to",
		"seal/unseal the Vault or re-authenticate.",
		"",
		"Unseal Key: "+unsealKey,
		"Root Token: "+rootToken,
		"",
		"Type next:",
		"",
		"    $ export VAULT_ADDR='"+address+"'",
		"    $ "+os.Args[0]+" token create -ttl=1h -display-name=my-application", // as it was called: not every PATH has it
		"    $ "+os.Args[0]+" token lookup",
		"",
		"Development mode should NOT be used in production installations!",
		"",
	)
	fmt.Fprintln(d.env.Stdout, strings.Join(lines, "\n"))
}

// devCA is the file that clients of a development server with TLS have to trust.
func (d *daemon) devCA() string {
	for _, path := range d.remove {
		if strings.HasSuffix(path, devCAFile) {
			return path
		}
	}
	return ""
}
