// Package sys owns the paths below sys/ that need a token or at least an open seal: thin
// handlers over the rooms that own what they show and change. Contract: sys.
package sys

import (
	"slices"
	"strings"

	"jeton/internal/acl"
	"jeton/internal/audit"
	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/edge"
	"jeton/internal/identity"
	"jeton/internal/lease"
	"jeton/internal/mount"
	"jeton/internal/quota"
	"jeton/internal/seal"
	"jeton/internal/store"
	"jeton/internal/token"
	"jeton/internal/tool"
	"jeton/internal/wrap"
)

// Rooms are the owners that sys speaks for. node fills it in before the first request.
type Rooms struct {
	Mounts   *mount.Table
	Tokens   *token.Store
	Leases   *lease.Store
	Policies *acl.Store
	Identity *identity.Store
	Audit    *audit.Broker
	Wrap     *wrap.Store
	Quotas   *quota.Store
	Keeper   *seal.Keeper
	Rekey    *seal.Rekey
	Clock    clock.Clock
	// Edge is what the HTTP edge obeys, Area where sys keeps what is its own.
	Edge *edge.Settings
	Area *store.Area
	// Whole is the whole encrypted store, for sys/raw alone.
	Whole store.Store
	// Kinds are what can be mounted.
	Kinds []mount.Kind
	// Process is the process around the rooms.
	Process Process
}

// System is the backend at sys/.
type System struct {
	*Rooms
	moves moves
}

// New serves sys/ over the rooms.
func New(rooms *Rooms) *System { return &System{Rooms: rooms} }

// Routes are all paths below sys/ but the raw ones, which the server has.
func (s *System) Routes() []backend.Route {
	return slices.Concat(
		s.mountRoutes(), s.authRoutes(), s.remountRoutes(), s.policyRoutes(), s.capabilityRoutes(),
		s.auditRoutes(), s.wrappingRoutes(), s.leaseRoutes(), s.keyRoutes(), s.shareRoutes(), s.uiRoutes(),
		s.quotaRoutes(), s.browserRoutes(), s.processRoutes(), tool.Routes("tools/"), s.passwordRoutes(), s.historyRoutes(),
		s.pluginRoutes(), s.hardwareRoutes(), s.counterRoutes(), s.consoleRoutes(), s.lockedUserRoutes(), s.specRoutes(),
		s.measureRoutes(), s.profileRoutes(), s.rawRoutes(),
		// What is absent comes last: a route above may be a part of it.
		s.absentRoutes(),
	)
}

// mountPath is a path as mounts have it: one slash at its end, none at its start.
func mountPath(path string) string {
	return strings.Trim(path, "/") + "/"
}
