package transfer

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
)

// tokenFields are the parameters that login methods have in common.
func tokenFields() []string {
	return []string{"token_bound_cidrs", "token_explicit_max_ttl", "token_max_ttl", "token_no_default_policy", "token_num_uses",
		"token_period", "token_policies", "token_ttl", "token_type"}
}

// legacyFields are older spellings of them, which servers show besides when they were used.
func legacyFields() []string {
	return []string{"policies", "ttl", "max_ttl", "period", "bound_cidrs", "bound_cidr_list", "num_uses"}
}

// appRoles moves the roles with their role ids, so that what holds one goes on working. Secret ids are
// known to nobody but their holders.
func (r *run) appRoles(ctx context.Context) error {
	const kind = "AppRole role"
	for _, mount := range r.approles {
		at := "auth/" + mount + "role"
		names, err := r.listed(ctx, kind, at)
		if err != nil {
			return err
		}
		if err := r.each(ctx, names, func(ctx context.Context, name string) error {
			return r.appRole(ctx, kind, mount, name)
		}); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) appRole(ctx context.Context, kind, mount, name string) error {
	at, shown := "auth/"+mount+"role/"+name, mount+name
	want, have, err := r.both(ctx, kind, shown, at, at)
	if err != nil || want == nil {
		return err
	}
	fields := append(tokenFields(), "bind_secret_id", "secret_id_bound_cidrs", "secret_id_num_uses", "secret_id_ttl", "local_secret_ids")
	r.lost(kind, shown, beyond(want, fields, legacyFields()))
	want = pick(want, fields)
	for _, s := range []struct {
		*side
		role map[string]any
	}{{r.src, want}, {r.dst, have}} {
		if s.role == nil {
			continue
		}
		id, err := s.read(ctx, at+"/role-id")
		if err != nil {
			return r.refused(ctx, kind, shown, s.side, err)
		}
		maps.Copy(s.role, pick(id, []string{"role_id"}))
	}
	if err := r.object(ctx, kind, shown, at, have, want); err != nil {
		return err
	}
	secrets, err := r.src.list(ctx, at+"/secret-id")
	if err != nil {
		return r.refused(ctx, "secret ids", shown, r.src, err)
	}
	if len(secrets) > 0 {
		r.report.left(Unreadable, "secret ids", shown, fmt.Sprintf("%d cannot be read", len(secrets)),
			"issue new ones: jeton write -f "+word(at+"/secret-id"))
	}
	return nil
}

// users moves the parameters of userpass users. Hashes cannot be read, and a user needs a password: a
// new one gets one that nobody knows.
func (r *run) users(ctx context.Context) error {
	const kind = "userpass user"
	for _, mount := range r.userpass {
		at := "auth/" + mount + "users"
		names, err := r.listed(ctx, kind, at)
		if err != nil {
			return err
		}
		if err := r.each(ctx, names, func(ctx context.Context, name string) error {
			return r.user(ctx, kind, at+"/"+name, mount+name)
		}); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) user(ctx context.Context, kind, at, shown string) error {
	want, have, err := r.both(ctx, kind, shown, at, at)
	if err != nil || want == nil {
		return err
	}
	r.lost(kind, shown, beyond(want, tokenFields(), legacyFields()))
	want = pick(want, tokenFields())
	if have == nil {
		want["password"] = rand.Text() + rand.Text()
		// Before the write: a run that dies behind it must still report the password.
		if err := r.journal.add("user "+at, nil); err != nil {
			return err
		}
	}
	if err := r.object(ctx, kind, shown, at, have, want); err != nil {
		return err
	}
	if _, ours := r.journal.has("user " + at); have == nil || ours {
		r.report.left(Unreadable, "password", shown, "its hash cannot be read; until a new one is set nobody can log in with this name",
			"jeton write "+word(at+"/password")+" password=-")
	}
	return nil
}

// method is an auth method whose roles are written as they are read.
type method struct {
	path  string
	lists []string // what it lists, below the mount
}

// listsOf are what a type of auth method keeps beside its configuration: nothing secret is in it.
func listsOf(kind string) []string {
	switch kind {
	case "ldap":
		return []string{"groups", "users"}
	case "jwt", "oidc", "kubernetes":
		return []string{"role"}
	case "cert":
		return []string{"certs"}
	}
	return nil
}

// methodRoles moves what the other login methods let in. Without its configuration a method lets nobody
// in yet.
func (r *run) methodRoles(ctx context.Context) error {
	const kind = "role of an auth method"
	for _, m := range r.methods {
		for _, list := range m.lists {
			at := "auth/" + m.path + list
			names, err := r.listed(ctx, kind, at)
			if err != nil {
				return err
			}
			if err := r.each(ctx, names, func(ctx context.Context, name string) error {
				return r.methodRole(ctx, kind, at+"/"+name, m.path+list+"/"+name)
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) methodRole(ctx context.Context, kind, at, shown string) error {
	want, have, err := r.both(ctx, kind, shown, at, at)
	if err != nil || want == nil {
		return err
	}
	fields := sortedKeys(want)
	if _, modern := want["token_policies"]; modern {
		fields = slices.DeleteFunc(fields, func(f string) bool { return slices.Contains(legacyFields(), f) })
	}
	return r.object(ctx, kind, shown, at, have, pick(want, fields))
}
