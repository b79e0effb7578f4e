package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"jeton/internal/acl"
	"jeton/internal/audit"
	"jeton/internal/backend"
	"jeton/internal/edge"
	"jeton/internal/engine/cubbyhole"
	"jeton/internal/gate"
	"jeton/internal/identity"
	"jeton/internal/idtoken"
	"jeton/internal/lease"
	"jeton/internal/mount"
	"jeton/internal/quota"
	"jeton/internal/record"
	"jeton/internal/seal"
	"jeton/internal/store"
	"jeton/internal/sys"
	"jeton/internal/token"
	"jeton/internal/wrap"
)

// Where the rooms keep their data in the encrypted store. The mount table's own prefixes are
// in package mount.
var (
	tokenPrefix    = []byte("token/")
	leasePrefix    = []byte("lease/")
	policyPrefix   = []byte("policy/")
	identityPrefix = []byte("identity/")
	idtokenPrefix  = []byte("idtoken/")
	auditPrefix    = []byte("audit/")
	edgePrefix     = []byte("edge/")
	quotaPrefix    = []byte("quota/")
	systemPrefix   = []byte("system/")
	clusterKey     = []byte("node/cluster")
	timeKey        = []byte("node/time")
)

// timeRecord is the latest time acted on, in Unix nanoseconds.
type timeRecord struct {
	Latest int64 `cbor:"1,keyasint"`
}

// rememberEvery is how often the time is written down: after a restart with a wall clock that
// was set back, time begins no earlier than the last of these.
const rememberEvery = 10 * time.Second

// seed writes what a new server begins with.
func (n *Node) seed(ctx context.Context, s store.Store) error {
	policies, err := acl.New(store.NewArea(s, policyPrefix))
	if err != nil {
		return err
	}
	defer policies.Close()
	if err := policies.Init(ctx); err != nil {
		return err
	}
	cluster := Cluster{Name: n.settings.ClusterName, ID: uuid.NewString()}
	if cluster.Name == "" {
		var b [4]byte
		_, _ = rand.Read(b[:])
		cluster.Name = "vault-cluster-" + hex.EncodeToString(b[:])
	}
	return s.Update(ctx, func(tx store.Tx) error { return record.Put(tx, clusterKey, &cluster) })
}

// tokens opens the token room over the unlocked store. who is nil while there is nobody.
func (n *Node) tokens(u *seal.Unlocked, owned []token.Owned, v token.Voucher, w token.Witness, who *identity.Store, counted token.Quotas) (*token.Store, error) {
	var entities token.Entities
	if who != nil {
		entities = who
	}
	var failed error
	tokens, err := token.New(token.Config{
		Store:  u.Store,
		Prefix: tokenPrefix,
		Derive: func(purpose string) [32]byte {
			key, err := u.DeriveKey(purpose)
			if err != nil {
				failed = err
			}
			return key
		},
		Clock:    n.clock,
		Log:      n.log.With("room", "token"),
		Owned:    owned,
		Voucher:  v,
		Witness:  w,
		Entities: entities,
		Quotas:   counted,
	})
	if failed != nil {
		return nil, failed
	}
	return tokens, err
}

// build puts the rooms together. life ends when the server is sealed. A seal that opens by itself
// tries again for as long as it fails, so what a failed try has opened must not stay.
func (n *Node) build(life context.Context, u *seal.Unlocked) (*House, error) {
	h := &House{Store: u.Store, gate: gate.New(life)}
	if err := n.furnish(life, u, h); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// close ends the rooms, those that there are.
func (h *House) close() {
	if h.Mounts != nil {
		h.Mounts.Close()
	}
	if h.Tokens != nil {
		h.Tokens.Close()
	}
	if h.Identity != nil {
		h.Identity.Close()
	}
	if h.Policies != nil {
		h.Policies.Close()
	}
	if h.Quotas != nil {
		h.Quotas.Close()
	}
	if h.Audit != nil {
		h.Audit.Close()
	}
}

// furnish opens the rooms of h, each over those before it.
func (n *Node) furnish(life context.Context, u *seal.Unlocked, h *House) (err error) {
	if err := n.readCluster(life, h); err != nil {
		return err
	}
	if h.Policies, err = acl.New(store.NewArea(u.Store, policyPrefix)); err != nil {
		return err
	}
	h.Audit, err = audit.Load(life, audit.Deps{
		Area: store.NewArea(u.Store, auditPrefix), Types: n.settings.AuditTypes, Clock: n.clock,
		Log: n.log.With("room", "audit"), Settings: n.settings.Audit,
	})
	if err != nil {
		return err
	}
	box := &boxes{}
	vouch := &voucher{}
	see := &witness{audit: h.Audit, log: n.log}
	h.Quotas = quota.New(u.Store, quotaPrefix, n.log.With("room", "quota"))
	h.Leases = lease.New(lease.Config{
		Store: u.Store, Prefix: leasePrefix, Clock: n.clock, Log: n.log.With("room", "lease"),
		Holders: holders{h}, Issuers: issuers{h}, Witness: see, Quotas: h.Quotas, Unreadable: undecryptable,
	})
	if h.Identity, err = n.identities(h, u); err != nil {
		return err
	}
	h.IDTokens = idtoken.New(idtoken.Config{Area: store.NewArea(u.Store, idtokenPrefix), Clock: n.clock, People: h.Identity, Address: n.settings.Address})
	h.Tokens, err = n.tokens(u, []token.Owned{box, h.Leases}, vouch, see, h.Identity, h.Quotas)
	if err != nil {
		return err
	}
	if err := h.Tokens.Upgrade(life); err != nil {
		return err
	}
	h.Quotas.Count(h.Tokens, h.Leases)
	h.Wrap = wrap.New(u.Store, h.Tokens, box, n.clock)
	if h.Edge, err = edge.Load(life, store.NewArea(u.Store, edgePrefix), n.clock, n.log.With("room", "edge")); err != nil {
		return err
	}
	rooms := &sys.Rooms{Tokens: h.Tokens, Leases: h.Leases, Policies: h.Policies, Identity: h.Identity, Audit: h.Audit, Wrap: h.Wrap, Quotas: h.Quotas, Keeper: n.keeper, Rekey: n.rekey, Clock: n.clock,
		Edge: h.Edge, Whole: u.Store, Area: store.NewArea(u.Store, systemPrefix), Process: n.settings.Process}
	if err := sys.RememberVersion(life, rooms.Area, n.clock); err != nil {
		return err
	}
	rooms.Kinds = n.kinds(h, rooms)
	h.Mounts, err = mount.Load(life, mount.Config{
		Store: u.Store, Kinds: rooms.Kinds, System: n.settings.Limits, Lockouts: n.settings.Lockouts, Clock: n.clock,
		Log: n.log.With("room", "mount"), Revoker: revoker{h}, Aliases: h.Identity, Hurry: h.gate.Hurry(),
	})
	if err != nil {
		return err
	}
	vouch.mounts, vouch.people, rooms.Mounts = h.Mounts, h.Identity, h.Mounts
	box.area = h.Mounts.Area("cubbyhole/")
	return nil
}

// readCluster reads who the server is, and how late it was when it last ran.
func (n *Node) readCluster(ctx context.Context, h *House) error {
	malformed := func(key []byte, err error) {
		n.log.Error("a record of the server's own cannot be read; it goes on without", "record", string(key), "error", err)
	}
	return h.Store.View(ctx, func(r store.Reader) error {
		cluster, err := record.Readable[Cluster](r, clusterKey, malformed)
		if err != nil {
			return err
		}
		if cluster != nil {
			h.Cluster = *cluster
		}
		late, err := record.Readable[timeRecord](r, timeKey, malformed)
		if err != nil {
			return err
		}
		if late != nil {
			n.clock.Advance(time.Unix(0, late.Latest))
		}
		if behind := n.clock.Behind(); behind > time.Second {
			n.log.Warn("the wall clock is behind the time that this server has already acted on; no token comes back to life", "by", behind)
		}
		return nil
	})
}

func (n *Node) rememberTime(ctx context.Context, s store.Store, now time.Time) error {
	err := s.Update(ctx, func(tx store.Tx) error { return record.Put(tx, timeKey, &timeRecord{Latest: now.UnixNano()}) })
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("node: remember the time: %w", err)
	}
	return err
}

// boxes joins the cubbyholes to the rooms below them: to tokens, whose end empties them, and
// to wrapping, which keeps answers in them.
type boxes struct{ area *store.Area }

// Release empties the token's cubbyhole.
func (b *boxes) Release(tx store.Tx, id token.ID, _ int) (bool, error) {
	return false, cubbyhole.Erase(b.area.Within(tx), id)
}

// Put puts an object into a token's cubbyhole.
func (b *boxes) Put(tx store.Tx, id backend.TokenID, name string, object json.RawMessage) error {
	return cubbyhole.Put(b.area.Within(tx), id, name, object)
}

// Get reads one.
func (b *boxes) Get(r store.Reader, id backend.TokenID, name string) (json.RawMessage, error) {
	return cubbyhole.Get(b.area.Reading(r), id, name)
}

// voucher joins tokens to the login methods that issued them.
type voucher struct {
	mounts *mount.Table
	people *identity.Store
}

// Stands says whether a login method is still mounted.
func (v *voucher) Stands(accessor string) bool {
	_, ok := v.mounts.ByAccessor(accessor)
	return ok
}

// mountInfo joins the token method to the mounts that bound its tokens.
type mountInfo struct{ house *House }

// Info returns the mount of an accessor.
func (i mountInfo) Info(accessor string) (backend.Mount, bool) {
	m, ok := i.house.Mounts.ByAccessor(accessor)
	if !ok {
		return backend.Mount{}, false
	}
	return m.Info, true
}
