//go:build windows || plan9

// Package syslog owns the audit device that hands lines to the local syslog daemon, where there
// is one. Here there is none.
package syslog

import (
	"context"

	"jeton/internal/audit"
	"jeton/internal/backend"
)

// Factory refuses: this system has no syslog.
func Factory(context.Context, audit.Opening) (audit.Device, error) {
	return nil, backend.Invalidf("syslog is not available on this system")
}
