package cli

import (
	"fmt"
	"strings"

	"github.com/hashicorp/vault/api"
	"github.com/posener/complete"
)

// auditCommands manage audit devices. contract: cli §6 "audit".
func auditCommands() []command {
	return []command{
		{
			name: "audit", synopsis: "Interact with audit devices",
			help: `Enables, lists and disables audit devices.

    $ jeton audit enable file file_path=/var/log/jeton/audit.log
    $ jeton audit list -detailed`,
		},
		{
			name: "audit enable", args: "TYPE [K=V...]", synopsis: "Enable an audit device",
			help: `Enables an audit device, at its own name unless -path is given. From then on a
request is refused when no device can record it.

    $ jeton audit enable file file_path=/var/log/jeton/audit.log`,
			arity: atLeast(0), surface: talks, predict: complete.PredictSet("file", "socket", "syslog"), build: buildAuditEnable,
		},
		{
			name: "audit list", synopsis: "List enabled audit devices",
			help: `Lists the enabled audit devices.

    $ jeton audit list -detailed`,
			arity: exactly(0), surface: talks, build: buildAuditList,
		},
		{
			name: "audit disable", args: "PATH", synopsis: "Disable an audit device",
			help: `Disables the audit device at PATH. Values in its log can then not be looked up
by their hash any more.

    $ jeton audit disable file/`,
			arity: exactly(1), surface: talks, suggest: suggestAudit,
			build: func(*flagSet) runFunc { return runAuditDisable },
		},
	}
}

func buildAuditEnable(f *flagSet) runFunc {
	var path, description string
	var localOnly bool
	f.str(&path, flagSpec{name: "path", usage: "Where to enable it; by default at the name of its type."})
	f.str(&description, flagSpec{name: "description", usage: "What it is for, in words."})
	f.truth(&localOnly, flagSpec{name: "local", usage: "Do not replicate it."})
	return func(s *session, args []string) error {
		if len(args) == 0 {
			return local("Error enabling audit device: audit type missing. Valid types include 'file', 'socket' and 'syslog'.")
		}
		kind := strings.TrimSpace(args[0])
		at := withSlash(path)
		if at == "" {
			at = withSlash(kind)
		}
		data, err := s.con.parseData(args[1:])
		if err != nil {
			return local("Failed to parse K=V data: %s", err)
		}
		options := make(map[string]string, len(data))
		for k, v := range data {
			options[k] = fmt.Sprint(v)
		}
		c, err := s.client()
		if err != nil {
			return err
		}
		err = c.Sys().EnableAuditWithOptionsWithContext(s.ctx, trimPath(at), &api.EnableAuditOptions{
			Type: kind, Description: description, Options: options, Local: localOnly,
		})
		if err != nil {
			return s.remote("enabling audit device", err)
		}
		return s.success("Success! Enabled the %s audit device at: %s", kind, at)
	}
}

func buildAuditList(f *flagSet) runFunc {
	var detailed bool
	f.truth(&detailed, flagSpec{name: "detailed", env: "DETAILED", section: sectionOutput, usage: "Show options too."})
	return func(s *session, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		devices, err := c.Sys().ListAuditWithContext(s.ctx)
		if err != nil {
			return s.remote("listing audits", err)
		}
		if !s.out.table() {
			return s.machine(devices)
		}
		if len(devices) == 0 {
			s.con.print("No audit devices are enabled.")
			return quietly(exitRemote)
		}
		rows := [][]string{{"Path", "Type", "Description"}}
		if detailed {
			rows[0] = append(rows[0], "Replication", "Options")
		}
		for _, path := range sortedKeys(devices) {
			d := devices[path]
			row := []string{path, d.Type, d.Description}
			if detailed {
				var options []string
				for _, k := range sortedKeys(d.Options) {
					options = append(options, k+"="+d.Options[k])
				}
				row = append(row, replication(d.Local), strings.Join(options, " "))
			}
			rows = append(rows, row)
		}
		s.con.print(table(rows))
		return nil
	}
}

func runAuditDisable(s *session, args []string) error {
	at := withSlash(args[0])
	c, err := s.client()
	if err != nil {
		return err
	}
	if err := c.Sys().DisableAuditWithContext(s.ctx, trimPath(at)); err != nil {
		return s.remote("disabling audit device", err)
	}
	return s.success("Success! Disabled audit device (if it was enabled) at: %s", at)
}
