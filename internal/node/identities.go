package node

import (
	"jeton/internal/identity"
	"jeton/internal/mount"
	"jeton/internal/seal"
)

// identities opens the identity room over the unlocked store.
func (n *Node) identities(h *House, u *seal.Unlocked) (*identity.Store, error) {
	secret, err := u.DeriveKey("identity names")
	if err != nil {
		return nil, err
	}
	return identity.New(identity.Config{Store: u.Store, Prefix: identityPrefix, Secret: secret, Clock: n.clock, Mounts: aliasMounts{h}}), nil
}

// aliasMounts joins aliases to the mounts that they are of.
type aliasMounts struct{ house *House }

// Mount returns the mount of an accessor.
func (a aliasMounts) Mount(accessor string) (identity.Mount, bool) {
	m, ok := a.house.Mounts.ByAccessor(accessor)
	if !ok {
		return identity.Mount{}, false
	}
	return identity.Mount{Path: m.Entry.Path, Type: m.Entry.Type, Local: m.Entry.Local}, true
}

var _ mount.Aliases = (*identity.Store)(nil)
