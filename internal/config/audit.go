package config

import (
	"fmt"
	"path/filepath"
	"strings"
)

// parseAudit reads `audit "TYPE" "PATH" {}` stanzas.
func parseAudit(s scope, c *Config, e entry) error {
	found, err := auditBlocks(e.val)
	if err != nil {
		return fmt.Errorf("error parsing 'audit': %w", err)
	}
	for _, b := range found {
		got := AuditDevice{Options: map[string]string{}, Source: b.pos.String()}
		if len(b.labels) > 0 {
			got.Type = strings.ToLower(b.labels[0])
		}
		if len(b.labels) > 1 {
			got.Path = b.labels[1]
		}
		s := scope{d: s.d, path: "audit", preface: "error parsing 'audit': "}
		decode(s, &got, b.body, grammar[AuditDevice]{keys: map[string]setter[AuditDevice]{
			"type":        text(func(a *AuditDevice) *string { return &a.Type }),
			"path":        text(func(a *AuditDevice) *string { return &a.Path }),
			"description": text(func(a *AuditDevice) *string { return &a.Description }),
			"local":       toggle(func(a *AuditDevice) *bool { return &a.Local }),
			"options":     auditOptions,
		}})
		if got.Type == "" {
			s.fail(b.pos, "type", "audit device type must be specified")
			continue
		}
		got.Path = strings.Trim(got.Path, "/")
		orElse(&got.Path, got.Type)
		got.Path += "/"
		for _, other := range c.Audit.Devices {
			if strings.HasPrefix(other.Path, got.Path) || strings.HasPrefix(got.Path, other.Path) {
				s.fail(b.pos, "path", fmt.Sprintf("audit device path %q is already in use by the stanza at %s", got.Path, other.Source))
			}
		}
		c.Audit.Devices = append(c.Audit.Devices, got)
	}
	return nil
}

// auditBlocks finds the stanzas with their one or two labels: what holds options is a body,
// though a second label would look the same.
func auditBlocks(v value) ([]block, error) {
	typed, err := v.blocks(1)
	if err != nil {
		return nil, err
	}
	var all []block
	for _, b := range typed {
		if _, isBody := b.body.find("options"); isBody || len(b.labels) == 0 {
			all = append(all, b)
			continue
		}
		named, err := b.body.unlabel(b.pos, 1)
		if err != nil {
			return nil, err
		}
		for _, n := range named {
			n.labels = append([]string{b.labels[0]}, n.labels...)
			all = append(all, n)
		}
	}
	return all, nil
}

// auditOptions are judged by the device; here every scalar is the text that was written.
func auditOptions(_ scope, a *AuditDevice, e entry) error {
	found, err := e.val.blocks(0)
	if err != nil {
		return fmt.Errorf("error parsing options: %w", err)
	}
	for _, b := range found {
		for _, option := range b.body.entries {
			text, err := option.val.scalar()
			if err != nil {
				return fmt.Errorf("error parsing options: %s (at %s) %w", option.key, option.pos, err)
			}
			a.Options[option.key] = text
		}
	}
	return nil
}

// allowedDirectories takes absolute directories; several files add up.
func allowedDirectories(_ scope, c *Config, e entry) error {
	list, err := e.val.texts()
	if err != nil {
		return fmt.Errorf("error parsing %s: %w", e.key, err)
	}
	for _, dir := range list {
		if !filepath.IsAbs(dir) {
			return fmt.Errorf("invalid value for %s: %q is not an absolute path", e.key, dir)
		}
		c.Audit.AllowedDirectories = append(c.Audit.AllowedDirectories, filepath.Clean(dir))
	}
	return nil
}
