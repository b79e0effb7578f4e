package transfer

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// kvMount is a kv engine that is at both sides.
type kvMount struct {
	path    string // with its slash
	version int
}

// mountSettings are the parts of a mount's configuration that a server without plugins, replication
// and managed keys has.
func mountSettings() []string {
	return []string{"default_lease_ttl", "max_lease_ttl", "force_no_cache", "audit_non_hmac_request_keys", "audit_non_hmac_response_keys",
		"listing_visibility", "passthrough_request_headers", "allowed_response_headers", "token_type"}
}

// class tells secrets engines and auth methods apart.
type class struct {
	kind     string // for the report
	table    string // where they are listed and enabled
	tune     string // what comes before a mount's path when it is tuned
	visible  string // their name in the listing for everybody
	catalog  string // their name in the catalogue
	builtIn  []string
	contents func(r *run, at string, mount map[string]any)
}

func (r *run) secretMounts(ctx context.Context) error {
	return r.mounts(ctx, class{
		kind: "secrets engine", table: "sys/mounts", tune: "sys/mounts/", visible: "secret", catalog: "secret",
		builtIn: []string{"system", "identity", "cubbyhole", "ns_system", "ns_identity", "ns_cubbyhole"},
		contents: func(r *run, at string, mount map[string]any) {
			switch text(mount, "type") {
			case "kv", "generic":
				version := 1
				if text(object(mount, "options"), "version") == "2" {
					version = 2
				}
				r.kv = append(r.kv, kvMount{at, version})
			default:
				r.report.left(ByHand, "secrets engine", at, "its configuration holds secrets that no API gives away; the engine itself is there",
					"configure it anew")
			}
		},
	})
}

func (r *run) authMounts(ctx context.Context) error {
	return r.mounts(ctx, class{
		kind: "auth method", table: "sys/auth", tune: "sys/mounts/auth/", visible: "auth", catalog: "auth",
		builtIn: []string{"ns_token"},
		contents: func(r *run, at string, mount map[string]any) {
			switch text(mount, "type") {
			case "token":
			case "approle":
				r.approles = append(r.approles, at)
			case "userpass":
				r.userpass = append(r.userpass, at)
			default:
				r.methods = append(r.methods, method{at, listsOf(text(mount, "type"))})
				r.report.left(ByHand, "auth method", at, "its configuration holds secrets that no API gives away; the method itself is there",
					"configure it anew: jeton write "+word("auth/"+at+"config")+" ...")
			}
		},
	})
}

// mounts enables and tunes what the source has.
func (r *run) mounts(ctx context.Context, c class) error {
	wanted, err := r.mountTable(ctx, r.src, c)
	if err != nil || wanted == nil {
		return err
	}
	there, err := r.mountTable(ctx, r.dst, c)
	if err != nil || there == nil {
		return err
	}
	types, err := r.types(ctx, c)
	if err != nil {
		return err
	}
	return r.each(ctx, sortedKeys(wanted), func(ctx context.Context, at string) error {
		mount := object(wanted, at)
		kind := text(mount, "type")
		switch {
		case mount == nil || slices.Contains(c.builtIn, kind):
			return nil
		case types != nil && !slices.Contains(types, kind) && object(there, at) == nil:
			r.report.left(Absent, c.kind, at, fmt.Sprintf("the destination has none of type %q", kind), "see docs/migrating-from-vault.md for what to use instead")
			return nil
		}
		have, ok, err := r.mount(ctx, c, at, mount, object(there, at))
		if err != nil || !ok {
			return err
		}
		if from, to := text(mount, "accessor"), text(have, "accessor"); from != "" && to != "" {
			r.accessors[from] = to
		}
		c.contents(r, at, mount)
		return nil
	})
}

// mountTable reads the table of mounts, or what of it everybody may see.
func (r *run) mountTable(ctx context.Context, s *side, c class) (map[string]any, error) {
	table, err := s.read(ctx, c.table)
	if err == nil {
		return table, nil
	}
	if err := r.refused(ctx, c.kind, c.table, s, err); err != nil {
		return nil, err
	}
	seen, err := s.read(ctx, "sys/internal/ui/mounts")
	if err != nil {
		return nil, r.refused(ctx, c.kind, "sys/internal/ui/mounts", s, err)
	}
	return object(seen, c.visible), nil
}

// types are the types that the destination has, nil when it does not say.
func (r *run) types(ctx context.Context, c class) ([]string, error) {
	catalog, err := r.dst.read(ctx, "sys/plugins/catalog")
	if err != nil {
		return nil, r.refused(ctx, "catalogue", "sys/plugins/catalog", r.dst, err)
	}
	list, _ := catalog[c.catalog].([]any)
	if len(list) == 0 {
		return nil, nil
	}
	// These are in every server and in no catalogue.
	names := []string{"token", "kv", "generic", "cubbyhole"}
	for _, name := range list {
		if s, ok := name.(string); ok {
			names = append(names, s)
		}
	}
	return names, nil
}

// mount brings one mount to the state it has at the source. have is what the destination has there, nil
// for nothing; what it returns is what the destination has then, and whether it may be filled.
func (r *run) mount(ctx context.Context, c class, at string, want, have map[string]any) (map[string]any, bool, error) {
	t := r.report.tally(c.kind)
	config := pick(object(want, "config"), mountSettings())
	if have == nil {
		body := map[string]any{"type": kindToEnable(want), "config": seconds(config), "description": text(want, "description")}
		if options := object(want, "options"); options != nil {
			body["options"] = options
		}
		if local, _ := want["local"].(bool); local {
			body["local"] = true
		}
		_, _, refusal := r.dst.write(ctx, c.table+"/"+at, body)
		switch {
		case refusal != nil && away(refusal):
			return nil, false, r.refused(ctx, c.kind, at, r.dst, refusal)
		case r.opts.DryRun:
			t.moved()
			return map[string]any{}, true, nil
		}
		now, err := r.dst.read(ctx, c.table)
		if err != nil {
			return nil, false, r.refused(ctx, c.kind, at, r.dst, err)
		}
		// A request whose answer was lost is sent again, and then refused because the mount is there.
		if refusal != nil && object(now, at) == nil {
			return nil, false, r.refused(ctx, c.kind, at, r.dst, refusal)
		}
		t.moved()
		have = object(now, at)
		return have, true, r.tuneMount(ctx, c, at, want, have, nil)
	}
	if kindToEnable(have) != kindToEnable(want) || canonical(object(have, "options")["version"]) != canonical(object(want, "options")["version"]) {
		r.report.left(Conflict, c.kind, at, "the destination has one of another type or version there, and its contents were left alone",
			"move one of the two to another path, and run the import again")
		return nil, false, nil
	}
	return have, true, r.tuneMount(ctx, c, at, want, have, func() { t.same() })
}

// tuneMount sets what the destination has not set. unchanged is called where it has all of it.
func (r *run) tuneMount(ctx context.Context, c class, at string, want, have map[string]any, unchanged func()) error {
	fields := append(mountSettings(), "user_lockout_config", "description")
	settings := func(mount map[string]any) map[string]any {
		s := pick(object(mount, "config"), fields)
		s["description"] = text(mount, "description")
		return s
	}
	wanted := settings(want)
	missing, differing := settle(settings(have), wanted, fields)
	if len(differing) > 0 {
		if !r.opts.Overwrite {
			r.report.left(Conflict, c.kind, at, "the destination has other settings: "+strings.Join(differing, ", "), "compare them; -overwrite replaces them")
		} else {
			for _, f := range differing {
				missing[f] = wanted[f]
			}
		}
	}
	if len(missing) == 0 {
		if unchanged != nil {
			unchanged()
		}
		return nil
	}
	_, warnings, err := r.dst.write(ctx, c.tune+strings.TrimSuffix(at, "/")+"/tune", seconds(missing))
	if err != nil {
		return r.refused(ctx, c.kind, at, r.dst, err)
	}
	r.report.warned(c.kind, at, warnings)
	if unchanged != nil {
		r.report.tally(c.kind).moved()
	}
	return nil
}

// kindToEnable is the type to ask for: "generic" is what kv was once called.
func kindToEnable(mount map[string]any) string {
	if kind := text(mount, "type"); kind != "generic" {
		return kind
	}
	return "kv"
}

// seconds writes TTLs as the durations that tuning wants.
func seconds(settings map[string]any) map[string]any {
	out := make(map[string]any, len(settings))
	for k, v := range settings {
		if strings.HasSuffix(k, "_lease_ttl") && !unset(v) {
			v = fmt.Sprintf("%vs", v)
		}
		if k == "user_lockout_config" {
			v = lockout(v)
		}
		out[k] = v
	}
	return out
}

// lockout is what was read, in the texts that are written.
func lockout(v any) any {
	read, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := make(map[string]any, len(read))
	for k, v := range read {
		switch {
		case k == "lockout_disable" || k == "lockout_threshold":
		default:
			v = fmt.Sprintf("%vs", v)
		}
		out[k] = v
	}
	return out
}
