package transfer

import (
	"context"
	"fmt"
	"strings"
)

// leftovers reports what an import does not move, where the source has it.
func (r *run) leftovers(ctx context.Context) error {
	if err := r.auditDevices(ctx); err != nil {
		return err
	}
	for _, thing := range []struct {
		reason           Reason
		kind, list, next string
	}{
		{Absent, "namespace", "sys/namespaces", "import each by itself with -source-namespace, into a server or below paths of its own"},
		{Absent, "lease count quota", "sys/quotas/lease-count", ""},
		{Absent, "Sentinel policy", "sys/policies/egp", ""},
		{Absent, "Sentinel policy", "sys/policies/rgp", ""},
		{Absent, "login MFA method", "identity/mfa/method", ""},
		{ByHand, "OIDC role", "identity/oidc/role", "identity tokens are signed with keys that cannot be read: create key and role anew"},
		{ByHand, "OIDC client", "identity/oidc/client", "client ids and secrets are made by the server: create it anew"},
	} {
		names, err := r.src.list(ctx, thing.list)
		if err != nil {
			// A server that has no such thing says so with one of many statuses.
			if away(err) {
				return fmt.Errorf("%s: the source: %w", thing.list, err)
			}
			continue
		}
		for _, name := range names {
			r.report.left(thing.reason, thing.kind, name, "an import does not move it", thing.next)
		}
	}
	r.report.left(ByHand, "tokens, leases and cubbyholes", "all", "they end with the source", "clients log in at the destination")
	return nil
}

// auditDevices are not enabled: a path that is wrong here would stop the destination from answering.
func (r *run) auditDevices(ctx context.Context) error {
	devices, err := r.src.read(ctx, "sys/audit")
	if err != nil {
		return r.refused(ctx, "audit device", "sys/audit", r.src, err)
	}
	for _, at := range sortedKeys(devices) {
		device := object(devices, at)
		if device == nil {
			continue
		}
		var options []string
		for k, v := range object(device, "options") {
			options = append(options, word(fmt.Sprintf("%s=%v", k, v)))
		}
		r.report.left(ByHand, "audit device", at, "a device that cannot be written to stops a server from answering",
			strings.TrimSpace(fmt.Sprintf("jeton audit enable -path=%s %s %s", word(strings.TrimSuffix(at, "/")), word(text(device, "type")), strings.Join(options, " "))))
	}
	return nil
}
