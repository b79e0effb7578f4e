package ldap

import (
	"context"
	"slices"
	"strings"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/policy"
	"jeton/internal/record"
	"jeton/internal/store"
)

// groupRecord is what a group's members get.
type groupRecord struct {
	Policies []string `cbor:"1,keyasint,omitempty"`
}

// userRecord is what one user gets, and the groups that the user is in besides the directory's.
type userRecord struct {
	Groups   []string `cbor:"1,keyasint,omitempty"`
	Policies []string `cbor:"2,keyasint,omitempty"`
}

func groupKey(name string) []byte { return []byte(groupPrefix + name) }

func userKey(name string) []byte { return []byte(userPrefix + name) }

type named struct {
	Name string `json:"name" doc:"The name, as the directory has it."`
}

type listRequest struct {
	After string `json:"after" doc:"List what comes after this name."`
	Limit int    `json:"limit" doc:"List no more than this many; 0 is all."`
}

type groupRequest struct {
	named
	Policies *backend.CommaList `json:"policies" doc:"Policies of the group's members."`
}

type groupView struct {
	Policies []string `json:"policies"`
}

type userRequest struct {
	named
	Groups   *backend.CommaList `json:"groups" doc:"Groups that the user is in besides those of the directory."`
	Policies *backend.CommaList `json:"policies" doc:"Policies of the user."`
}

type userView struct {
	// Groups is one text with commas. Contract: auth-methods §4.2.
	Groups   string   `json:"groups"`
	Policies []string `json:"policies"`
}

func (m *Method) listGroups(ctx context.Context, _ *backend.Call, req *listRequest) (*backend.Keys, error) {
	names, err := auth.ListNames(ctx, m.area, groupPrefix, req.After, req.Limit)
	return backend.Listing(names), err
}

func (m *Method) listUsers(ctx context.Context, _ *backend.Call, req *listRequest) (*backend.Keys, error) {
	names, err := auth.ListNames(ctx, m.area, userPrefix, req.After, req.Limit)
	return backend.Listing(names), err
}

// mapping reads the record at key; nil when there is none.
func mapping[T any](ctx context.Context, m *Method, key []byte) (found *T, err error) {
	err = m.area.View(ctx, func(r store.Reader) (err error) {
		found, err = record.Get[T](r, key)
		return err
	})
	return found, err
}

// remap changes the record at key, or begins one.
func remap[T any](ctx context.Context, m *Method, key []byte, change func(*T)) error {
	return m.area.Update(ctx, func(tx store.Tx) error {
		found, err := record.Get[T](tx, key)
		if err != nil {
			return err
		}
		if found == nil {
			found = new(T)
		}
		change(found)
		return record.Put(tx, key, found)
	})
}

func (m *Method) readGroup(ctx context.Context, _ *backend.Call, req *named) (*groupView, error) {
	g, err := mapping[groupRecord](ctx, m, groupKey(req.Name))
	if g == nil || err != nil {
		return nil, err
	}
	return &groupView{Policies: auth.NotNull(g.Policies)}, nil
}

func (m *Method) writeGroup(ctx context.Context, _ *backend.Call, req *groupRequest) (*backend.None, error) {
	policies, err := policyNames(req.Policies)
	if err == nil {
		err = m.canonical(req.Name)
	}
	if err != nil {
		return nil, err
	}
	return nil, remap(ctx, m, groupKey(req.Name), func(g *groupRecord) {
		if req.Policies != nil {
			g.Policies = policies
		}
	})
}

func (m *Method) deleteGroup(ctx context.Context, _ *backend.Call, req *named) (*backend.None, error) {
	return nil, m.area.Update(ctx, func(tx store.Tx) error { return tx.Delete(groupKey(req.Name)) })
}

func (m *Method) readUser(ctx context.Context, _ *backend.Call, req *named) (*userView, error) {
	u, err := mapping[userRecord](ctx, m, userKey(req.Name))
	if u == nil || err != nil {
		return nil, err
	}
	return &userView{Groups: strings.Join(u.Groups, ","), Policies: auth.NotNull(u.Policies)}, nil
}

func (m *Method) writeUser(ctx context.Context, _ *backend.Call, req *userRequest) (*backend.None, error) {
	policies, err := policyNames(req.Policies)
	if err == nil {
		err = m.canonical(req.Name)
	}
	if err != nil {
		return nil, err
	}
	groups, err := m.groupNames(req.Groups)
	if err != nil {
		return nil, err
	}
	return nil, remap(ctx, m, userKey(req.Name), func(u *userRecord) {
		if req.Policies != nil {
			u.Policies = policies
		}
		if req.Groups != nil {
			u.Groups = groups
		}
	})
}

func (m *Method) deleteUser(ctx context.Context, _ *backend.Call, req *named) (*backend.None, error) {
	return nil, m.area.Update(ctx, func(tx store.Tx) error { return tx.Delete(userKey(req.Name)) })
}

// policyNames are a mapping's policies as they are kept: in lower case, sorted, each once.
func policyNames(list *backend.CommaList) ([]string, error) {
	if list == nil {
		return nil, nil
	}
	var names []string
	for i, name := range *list {
		if strings.TrimSpace(name) == "" {
			continue
		}
		canonical, err := policy.CanonicalName(name)
		if err != nil {
			return nil, backend.Invalidf("policies: entry %d: %s", i+1, err)
		}
		names = append(names, canonical)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// groupNames are a user's groups as they are kept.
func (m *Method) groupNames(list *backend.CommaList) ([]string, error) {
	if list == nil {
		return nil, nil
	}
	var names []string
	for i, name := range *list {
		if name == "" {
			continue
		}
		folded, err := fold(name, m.asWritten.Load())
		if err != nil {
			return nil, backend.Invalidf("groups: entry %d has a character that no name of a group has", i+1)
		}
		names = append(names, folded)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
