package transfer

import (
	"context"
	"regexp"
	"slices"
	"strings"
)

// policies moves the policies, with the accessors and ids in them as they are at the destination.
func (r *run) policies(ctx context.Context) error {
	const kind = "policy"
	names, err := r.listed(ctx, kind, "sys/policies/acl")
	if err != nil {
		return err
	}
	rename := r.renamer()
	return r.each(ctx, names, func(ctx context.Context, name string) error {
		if name == "root" {
			return nil
		}
		at := "sys/policies/acl/" + name
		want, have, err := r.both(ctx, kind, name, at, at)
		if err != nil || want == nil {
			return err
		}
		rules := rename(text(want, "policy"))
		body := map[string]any{"policy": rules}
		if name == "default" && !same(have, body) && !r.opts.Overwrite {
			r.report.left(ByHand, kind, name, "every server has one of its own, and the two differ", "compare them; -overwrite replaces the destination's")
			return nil
		}
		return r.object(ctx, kind, name, at, have, body)
	})
}

// renamer replaces accessors and ids of the source by those of the destination.
func (r *run) renamer() func(string) string {
	var pairs []string
	for _, from := range sortedKeys(r.accessors) {
		pairs = append(pairs, from, r.accessors[from])
	}
	accessors := strings.NewReplacer(pairs...)
	uuid := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	return func(rules string) string {
		return uuid.ReplaceAllStringFunc(accessors.Replace(rules), func(id string) string {
			if now := r.ids[id]; now != "" {
				return now
			}
			return id
		})
	}
}

// both reads a thing at both sides. want is nil when there is nothing to move, or it cannot be read.
func (r *run) both(ctx context.Context, kind, name, from, to string) (want, have map[string]any, err error) {
	if !addressable(from) || !addressable(to) {
		r.report.left(Failed, kind, name, "the client cannot ask for a name like this", "move it by hand")
		return nil, nil, nil
	}
	if want, err = r.src.read(ctx, from); err != nil || want == nil {
		if err != nil {
			err = r.refused(ctx, kind, name, r.src, err)
		}
		return nil, nil, err
	}
	if have, err = r.dst.read(ctx, to); err != nil {
		return nil, nil, r.refused(ctx, kind, name, r.dst, err)
	}
	return want, have, nil
}

func (r *run) passwordPolicies(ctx context.Context) error {
	return r.plain(ctx, "password policy", "sys/policies/password", []string{"policy"})
}

func (r *run) quotas(ctx context.Context) error {
	err := r.plain(ctx, "quota", "sys/quotas/rate-limit", []string{"path", "rate", "interval", "block_interval", "role", "inheritable"})
	if err != nil {
		return err
	}
	const at = "sys/quotas/config"
	want, have, err := r.both(ctx, "quota settings", at, at, at)
	if err != nil || want == nil {
		return err
	}
	fields := []string{"enable_rate_limit_audit_logging", "enable_rate_limit_response_headers", "rate_limit_exempt_paths", "absolute_rate_limit_exempt_paths"}
	// Servers differ in which paths they exempt by themselves: only more than that is a setting.
	want["rate_limit_exempt_paths"] = without(want["rate_limit_exempt_paths"], have["rate_limit_exempt_paths"])
	missing, differing := settle(have, want, fields)
	if len(differing) == 1 && differing[0] == "rate_limit_exempt_paths" {
		missing["rate_limit_exempt_paths"] = append(list(have["rate_limit_exempt_paths"]), list(want["rate_limit_exempt_paths"])...)
	} else if len(differing) > 0 && !r.opts.Overwrite {
		r.report.left(Conflict, "quota settings", at, "the destination has other settings: "+strings.Join(differing, ", "), "compare them; -overwrite replaces them")
		return nil
	}
	for _, f := range differing {
		if missing[f] == nil {
			missing[f] = want[f]
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if _, _, err := r.dst.write(ctx, at, missing); err != nil {
		return r.refused(ctx, "quota settings", at, r.dst, err)
	}
	r.report.tally("quota settings").moved()
	return nil
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// without is what is in a and not in b.
func without(a, b any) []any {
	return slices.DeleteFunc(slices.Clone(list(a)), func(v any) bool { return slices.Contains(list(b), v) })
}

// tokenRoleFields are written as they are read.
func tokenRoleFields() []string {
	return []string{"allowed_policies", "disallowed_policies", "allowed_policies_glob", "disallowed_policies_glob", "orphan", "renewable",
		"path_suffix", "allowed_entity_aliases", "token_bound_cidrs", "token_explicit_max_ttl", "token_no_default_policy", "token_num_uses",
		"token_period", "token_type"}
}

func (r *run) tokenRoles(ctx context.Context) error {
	return r.plain(ctx, "token role", "auth/token/roles", tokenRoleFields(), "name", "explicit_max_ttl", "period", "bound_cidrs")
}

// plain moves things that are read and written at one path with the same fields; known are other fields
// that say nothing of their own.
func (r *run) plain(ctx context.Context, kind, at string, fields []string, known ...string) error {
	names, err := r.listed(ctx, kind, at)
	if err != nil {
		return err
	}
	return r.each(ctx, names, func(ctx context.Context, name string) error {
		path := at + "/" + name
		want, have, err := r.both(ctx, kind, name, path, path)
		if err != nil || want == nil {
			return err
		}
		r.lost(kind, name, beyond(want, fields, known, []string{"name", "type"}))
		return r.object(ctx, kind, name, path, have, pick(want, fields))
	})
}

// lost reports settings that the destination has no place for.
func (r *run) lost(kind, name string, fields []string) {
	if len(fields) > 0 {
		r.report.left(Absent, kind, name, "these settings have no place at the destination: "+strings.Join(fields, ", "), "")
	}
}
