package transfer

import (
	"context"
	"slices"
)

// Ids of entities, groups and aliases cannot be chosen through the API: they are new at the destination.
// What names them is translated: memberships and policies.

// identified is what entities and groups have in common.
type identified struct {
	kind, list, lookup, write string
}

func entityKind() identified {
	return identified{"entity", "identity/entity/id", "identity/lookup/entity", "identity/entity"}
}

func groupKind() identified {
	return identified{"group", "identity/group/id", "identity/lookup/group", "identity/group"}
}

func (r *run) entities(ctx context.Context) error {
	k := entityKind()
	ids, err := r.listed(ctx, k.kind, k.list)
	if err != nil {
		return err
	}
	return r.each(ctx, ids, func(ctx context.Context, id string) error {
		read, err := r.identity(ctx, k, id, []string{"metadata", "policies", "disabled"}, nil)
		if err != nil || read == nil {
			return err
		}
		for _, a := range list(read["aliases"]) {
			if alias, ok := a.(map[string]any); ok {
				if err := r.alias(ctx, "entity alias", "identity/lookup/entity", "identity/entity-alias", alias, r.ids[id]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// identity moves an entity or a group and returns what the source has, nil when it could not be moved.
// change may adapt what is written.
func (r *run) identity(ctx context.Context, k identified, id string, fields []string, change func(read, want map[string]any)) (map[string]any, error) {
	read, err := r.src.read(ctx, k.list+"/"+id)
	if err != nil || read == nil {
		if err != nil {
			err = r.refused(ctx, k.kind, id, r.src, err)
		}
		return nil, err
	}
	name := text(read, "name")
	have, _, err := r.dst.ask(ctx, k.lookup, map[string]any{"name": name})
	if err != nil {
		return nil, r.refused(ctx, k.kind, name, r.dst, err)
	}
	want := pick(read, fields)
	if change != nil {
		change(read, want)
	}
	t := r.report.tally(k.kind)
	switch {
	case have != nil && same(have, want):
		r.ids[id] = text(have, "id")
		t.same()
		return read, nil
	case have != nil && !r.opts.Overwrite:
		r.ids[id] = text(have, "id")
		r.report.left(Conflict, k.kind, name, "the destination has a different one of this name", "compare them; -overwrite replaces it")
		return read, nil
	}
	want["name"] = name
	made, _, err := r.dst.write(ctx, k.write, want)
	if err == nil && made == nil && !r.opts.DryRun {
		// It was there: an update, or a request whose answer was lost and that was sent again.
		made, _, err = r.dst.ask(ctx, k.lookup, map[string]any{"name": name})
	}
	if err != nil {
		return nil, r.refused(ctx, k.kind, name, r.dst, err)
	}
	r.ids[id] = text(made, "id")
	t.moved()
	return read, nil
}

// alias ties an entity or a group to the same name at the same auth mount. It never moves an alias that
// belongs to somebody else at the destination: the API would, without a word.
func (r *run) alias(ctx context.Context, kind, lookup, write string, alias map[string]any, owner string) error {
	name := text(alias, "name") + " at " + text(alias, "mount_path")
	accessor := r.accessors[text(alias, "mount_accessor")]
	if r.opts.DryRun && (accessor == "" || owner == "") {
		r.report.tally(kind).moved()
		return nil
	}
	if accessor == "" {
		r.report.left(Absent, kind, name, "its auth method is not at the destination", "")
		return nil
	}
	have, _, err := r.dst.ask(ctx, lookup, map[string]any{"alias_name": text(alias, "name"), "alias_mount_accessor": accessor})
	if err != nil {
		return r.refused(ctx, kind, name, r.dst, err)
	}
	switch {
	case have != nil && text(have, "id") == owner:
		r.report.tally(kind).same()
		return nil
	case have != nil:
		r.report.left(Conflict, kind, name, "at the destination it belongs to "+text(have, "name"), "somebody has logged in there already: merge the two entities, or delete that one")
		return nil
	}
	body := map[string]any{"name": text(alias, "name"), "mount_accessor": accessor, "canonical_id": owner}
	if custom := object(alias, "custom_metadata"); len(custom) > 0 {
		body["custom_metadata"] = custom
	}
	if _, _, err := r.dst.write(ctx, write, body); err != nil {
		return r.refused(ctx, kind, name, r.dst, err)
	}
	r.report.tally(kind).moved()
	return nil
}

// groups come in two rounds: a group may have one as a member that is listed behind it.
func (r *run) groups(ctx context.Context) error {
	k := groupKind()
	ids, err := r.listed(ctx, k.kind, k.list)
	if err != nil {
		return err
	}
	read := make(map[string]map[string]any)
	err = r.each(ctx, ids, func(ctx context.Context, id string) error {
		group, err := r.identity(ctx, k, id, []string{"metadata", "policies", "type"}, func(read, want map[string]any) {
			if text(read, "type") != "external" {
				want["member_entity_ids"] = r.translated(k.kind, text(read, "name"), list(read["member_entity_ids"]))
			}
		})
		if err != nil || group == nil {
			return err
		}
		read[id] = group
		if alias := object(group, "alias"); len(alias) > 0 {
			return r.alias(ctx, "group alias", "identity/lookup/group", "identity/group-alias", alias, r.ids[id])
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		if members := list(read[id]["member_group_ids"]); len(members) > 0 {
			if err := r.memberGroups(ctx, read[id], r.ids[id], members); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) memberGroups(ctx context.Context, group map[string]any, id string, members []any) error {
	const kind = "group membership"
	name := text(group, "name")
	want := map[string]any{"member_group_ids": r.translated(kind, name, members)}
	var have map[string]any
	if id != "" {
		var err error
		if have, err = r.dst.read(ctx, groupKind().list+"/"+id); err != nil {
			return r.refused(ctx, kind, name, r.dst, err)
		}
		if unset(have["member_group_ids"]) {
			have = nil // none yet: there is nothing to overwrite
		}
	}
	return r.object(ctx, kind, name, groupKind().list+"/"+id, have, want)
}

// translated are the ids of the destination, sorted; one that was not moved is reported.
func (r *run) translated(kind, name string, ids []any) []any {
	var out []string
	for _, v := range ids {
		id, _ := v.(string)
		now, known := r.ids[id]
		if !known {
			r.report.left(Failed, kind, name, "a member was not moved: "+id, "")
			continue
		}
		out = append(out, now)
	}
	slices.Sort(out)
	all := make([]any, len(out))
	for i, id := range out {
		all[i] = id
	}
	return all
}
