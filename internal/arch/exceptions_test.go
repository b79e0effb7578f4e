package arch

// exception is one place where a rule does not hold, and why that is right.
type exception struct {
	rule, subject, reason string
}

// exceptions is the whole list. One that is no longer needed fails the build.
func exceptions() []exception {
	return []exception{
		{"arrow", "internal/wrap -> internal/token", "a wrapping token is a token: it is issued, spent and revoked by their owner"},
		{"arrow", "internal/auth/token -> internal/token", "auth/token/* is the token room's own door, not a login method"},
		{"arrow", "internal/engine/cubbyhole -> internal/engine/document", "document is the shape that engines of user data share, not an engine"},
		{"arrow", "internal/engine/kv -> internal/engine/document", "document is the shape that engines of user data share, not an engine"},
		{"import", "internal/engine/kv -> net/http", "the numbers of statuses, for answers whose status is part of the contract"},
		{"import", "internal/engine/transit -> net/http", "the same: a batch of which some items fail has a status of its own"},
		{"import", "internal/auth/jwt -> net/http", "a client of identity providers"},
		{"import", "internal/auth/cert -> net/http", "a client: it fetches revocation lists and asks OCSP responders"},
		{"import", "internal/auth/kubernetes -> net/http", "a client: it asks the Kubernetes API server"},
		{"import", "internal/seal/transit -> net/http", "a client of the server that keeps the seal's key"},
		{"clock", "internal/daemon/daemon.go", "the one place that hands the wall clock to clock.NewSteady"},
		{"clock", "internal/daemon/check.go", "the same, for a server that is checked and does not serve"},
		{"clock", "internal/daemon/devtls.go", "the validity of a certificate is wall time"},
		{"clock", "internal/audit/outlet.go", "the same as for gate/patience.go: how long a caller waits for a device"},
		{"clock", "internal/gate/patience.go", "how long a request may take is counted as timers count"},
		{"secret", "internal/audit/entry.go ClientToken", "the request's token with itself, to hash it once"},
		{"secret", "internal/auth/ldap/directory.go password", "the server's own password of the directory with itself"},
		{"secret", "internal/auth/ldap/rotate.go Password", "the same"},
		{"secret", "internal/auth/ldap/rotate.go password", "the same"},
		{"comment", "internal/audit/syslog", "two builds: systems with a syslog daemon, and systems without"},
	}
}
