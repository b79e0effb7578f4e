// Package node owns the server's life: it puts the rooms together when the keys are there,
// takes them apart when they go, and runs what has to be done in the background. What is
// compiled in is the list in kinds.go.
package node

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"jeton/internal/acl"
	"jeton/internal/audit"
	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/edge"
	"jeton/internal/gate"
	"jeton/internal/identity"
	"jeton/internal/idtoken"
	"jeton/internal/lease"
	"jeton/internal/mount"
	"jeton/internal/quota"
	"jeton/internal/seal"
	"jeton/internal/seal/pgp"
	"jeton/internal/store"
	"jeton/internal/sys"
	"jeton/internal/token"
	"jeton/internal/wrap"
)

// House is everything a request needs, there from unseal to seal. It is immutable.
type House struct {
	Store    store.Store
	Mounts   *mount.Table
	Tokens   *token.Store
	Leases   *lease.Store
	Policies *acl.Store
	Identity *identity.Store
	IDTokens *idtoken.Store
	Audit    *audit.Broker
	Wrap     *wrap.Store
	Edge     *edge.Settings
	Quotas   *quota.Store
	Cluster  Cluster

	// gate lets requests in until the server is sealed.
	gate *gate.Gate
	// unlocked are the keys that the house was opened with.
	unlocked *seal.Unlocked
	// stop ends the background loops, done is closed when they have ended.
	stop context.CancelFunc
	done sync.WaitGroup
}

// Cluster names the server to its operators.
type Cluster struct {
	Name string `cbor:"1,keyasint"`
	ID   string `cbor:"2,keyasint"`
}

// Settings is the part of the configuration that the rooms see.
type Settings struct {
	Limits      mount.Limits
	Lockouts    mount.Lockouts
	ClusterName string
	StorageType string
	// Address is where clients reach the server, without a path.
	Address string
	// MigrateFrom is the seal that the store may still be under, besides Shamir; nil for none.
	MigrateFrom seal.Wrapper
	Audit       audit.Settings
	// AuditTypes are the devices that this server has.
	AuditTypes map[string]audit.Factory
	// Process is what sys/ shows of the process.
	Process sys.Process
	// Kinds are mounted besides those that are compiled in. Only tests have any.
	Kinds []mount.Kind
	Log   *slog.Logger
}

// Node is one server, sealed or not. All methods are safe for concurrent use.
type Node struct {
	raw      store.Store
	keeper   *seal.Keeper
	clock    *clock.Steady
	settings Settings
	log      *slog.Logger
	roots    *Roots
	rekey    *seal.Rekey

	// restoring serialises the last step of restores; it is taken before changing.
	restoring sync.Mutex
	// changing serialises init, unseal and seal, and guards onPurpose.
	changing sync.Mutex
	// onPurpose says that somebody sealed the server, and nobody has unsealed it since. It does not
	// outlive the process: a start unseals.
	onPurpose bool
	// lost wakes KeepOpen.
	lost chan struct{}
	// house is nil while sealed. Only who holds changing replaces it.
	house atomic.Pointer[House]
}

// New makes a sealed node over raw. wrapper is nil for Shamir.
func New(raw store.Store, wrapper seal.Wrapper, c *clock.Steady, settings Settings) *Node {
	n := &Node{
		raw: raw, clock: c, settings: settings, log: settings.Log, lost: make(chan struct{}, 1),
		keeper: seal.NewKeeper(raw, c, wrapper, settings.Log.With("room", "seal")),
	}
	n.keeper.MigrateFrom(settings.MigrateFrom)
	n.roots, n.rekey = newRoots(n.keeper), seal.NewRekey(n.keeper)
	return n
}

// Enter lets a request into the house, which it must Leave when it is done; nil while the server
// is sealed.
func (n *Node) Enter() *House {
	h := n.house.Load()
	if h == nil || !h.gate.Enter() {
		return nil
	}
	return h
}

// Leave ends a request that Enter let in.
func (h *House) Leave() { h.gate.Leave() }

// Within is ctx for a request inside that no mount serves: it ends when the server is being sealed
// and the request has had a moment. It must be released at the end.
func (h *House) Within(ctx context.Context) *gate.Patience { return h.gate.Within(ctx) }

// Queued is how many writes wait for the store; 0 of a store that does not tell.
func (n *Node) Queued() int {
	if q, ok := n.raw.(interface{ Queued() int }); ok {
		return q.Queued()
	}
	return 0
}

// Sealed says whether requests are refused.
func (n *Node) Sealed() bool { return n.house.Load() == nil }

// Clock is the server's time.
func (n *Node) Clock() clock.Clock { return n.clock }

// Keeper is the keys' owner.
func (n *Node) Keeper() *seal.Keeper { return n.keeper }

// StorageType names the store to operators.
func (n *Node) StorageType() string { return n.settings.StorageType }

// Initialized is what init answers.
type Initialized struct {
	Shares    [][]byte
	RootToken string
}

// Init makes the keys, the default policy, the fixed mounts and the first root token, in one
// transaction. The server stays sealed. rootHolder, unless "", is a PGP public key in base64: the
// root token is then base64 of a message to its holder. Contract: sys §1.
func (n *Node) Init(ctx context.Context, req seal.InitRequest, rootHolder string) (*Initialized, error) {
	n.changing.Lock()
	defer n.changing.Unlock()
	var out Initialized
	shares, err := n.keeper.Init(ctx, req, func(ctx context.Context, u *seal.Unlocked) error {
		if err := n.seed(ctx, u.Store); err != nil {
			return err
		}
		tokens, err := n.tokens(u, nil, nil, nil, nil, nil)
		if err != nil {
			return err
		}
		defer tokens.Close()
		root, err := tokens.IssueRoot(ctx, "", nil)
		if err != nil {
			return err
		}
		out.RootToken, err = n.hideRoot(root.Text, rootHolder)
		return err
	})
	if err != nil {
		return nil, err
	}
	out.Shares = shares
	return &out, nil
}

// hideRoot is what the holder of a PGP key gets of a root token; the token itself without a holder.
func (n *Node) hideRoot(text, holder string) (string, error) {
	if holder == "" {
		return text, nil
	}
	key, err := pgp.Parse(holder, n.clock.Now())
	if err != nil {
		return "", err
	}
	message, err := key.Encrypt([]byte(text), n.clock.Now())
	return base64.StdEncoding.EncodeToString(message), err
}

// SubmitShare adds a share of the seal key; the one that completes it unseals the server.
// origin is whose attempt it belongs to.
func (n *Node) SubmitShare(ctx context.Context, origin string, share []byte) (seal.Status, error) {
	return n.openBy(ctx, func() (seal.Status, *seal.Unlocked, error) { return n.keeper.SubmitShare(ctx, origin, share) })
}

// MigrateShare is SubmitShare towards another kind of seal: the last one moves the store there.
func (n *Node) MigrateShare(ctx context.Context, origin string, share []byte) (seal.Status, error) {
	return n.openBy(ctx, func() (seal.Status, *seal.Unlocked, error) { return n.keeper.MigrateShare(ctx, origin, share) })
}

// openBy unseals the server once give gives the keys.
func (n *Node) openBy(ctx context.Context, give func() (seal.Status, *seal.Unlocked, error)) (seal.Status, error) {
	n.changing.Lock()
	defer n.changing.Unlock()
	status, unlocked, err := give()
	if err != nil || unlocked == nil || n.house.Load() != nil {
		return status, err
	}
	if err := n.open(ctx, unlocked); err != nil {
		return status, errors.Join(err, n.keeper.Seal(ctx))
	}
	return n.keeper.Status(ctx)
}

// UnsealAuto opens the server with the seal's own key, where it has one, whoever sealed it.
func (n *Node) UnsealAuto(ctx context.Context) error {
	n.changing.Lock()
	defer n.changing.Unlock()
	return n.unsealAuto(ctx)
}

// unsealAuto is UnsealAuto. The caller holds changing.
func (n *Node) unsealAuto(ctx context.Context) error {
	if n.house.Load() != nil {
		return nil
	}
	unlocked, err := n.keeper.UnsealAuto(ctx)
	if err != nil || unlocked == nil {
		return err
	}
	if err := n.open(ctx, unlocked); err != nil {
		return errors.Join(err, n.keeper.Seal(ctx))
	}
	return nil
}

// open builds the house and lets requests in. The caller holds changing. It reads the mount
// table, the audit table and the time, and nothing that grows with tokens.
func (n *Node) open(ctx context.Context, u *seal.Unlocked) error {
	// What the house starts must outlive the request that unsealed it.
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	h, err := n.build(life, u)
	if err != nil {
		stop()
		return fmt.Errorf("node: unseal: %w", err)
	}
	h.stop, h.unlocked = stop, u
	n.house.Store(h)
	n.onPurpose = false
	h.done.Go(func() { n.sweep(life, h) })
	h.done.Go(func() { n.rotate(life) })
	h.done.Go(func() { n.refresh(life) })
	h.done.Go(func() { n.sweepLeases(life, h) })
	h.done.Go(func() { n.resumeRemovals(life, h) })
	h.done.Go(func() { n.resumeCounting(life, h) })
	n.log.Info("unsealed", "cluster", h.Cluster.Name)
	return nil
}

// Seal forgets the keys. It returns once every request in flight has ended, those that wait for
// another system included: they are cut short after a moment. The caller must not be one of
// them. A sealed server is no error; it is from now on one that was sealed on purpose.
func (n *Node) Seal(ctx context.Context) error {
	n.changing.Lock()
	defer n.changing.Unlock()
	n.onPurpose = true
	if h := n.house.Load(); h != nil {
		n.shut(ctx, h)
		n.log.Info("sealed")
	}
	return n.keeper.Seal(ctx)
}

// Close seals the server and lets go of its data.
func (n *Node) Close(ctx context.Context) error {
	return errors.Join(n.Seal(ctx), n.keeper.Close(ctx), n.raw.Close())
}

// ReloadAudit has the audit devices reopen their files.
func (n *Node) ReloadAudit(ctx context.Context) error {
	h := n.Enter()
	if h == nil {
		return nil
	}
	defer h.Leave()
	return h.Audit.Reload(ctx)
}

// sweepEvery paces the sweeper while nothing is due. Expiry itself does not wait for it.
const sweepEvery = time.Second

// While there is something to sweep, the sweeper rests after each step for as long as it took:
// what it sweeps is dead already, and requests need the processors. Once it has been at it for
// restWithin without an end it rests no more: more is becoming due than it gets done.
const restWithin = time.Minute

// sweep ends what is past its expiry, cleans up after what was revoked, and remembers the
// time, until ctx ends.
func (n *Node) sweep(ctx context.Context, h *House) {
	rest := time.NewTimer(sweepEvery)
	defer rest.Stop()
	var remembered, flushed, busy time.Time
	for {
		began := n.clock.Now()
		dealt, err := h.Tokens.Sweep(ctx)
		if err == nil {
			var more int
			more, err = h.Tokens.SweepJobs(ctx)
			dealt += more
		}
		if err != nil && ctx.Err() == nil {
			n.log.Error("sweeping tokens failed; it is tried again", "error", err)
		}
		if now := n.clock.Now(); now.Sub(flushed) >= token.FlushEvery {
			if err := h.Tokens.FlushUses(ctx); err == nil {
				flushed = now
			}
		}
		if now := n.clock.Now(); now.Sub(remembered) >= rememberEvery {
			if err := n.rememberTime(ctx, h.Store, now); err == nil {
				remembered = now
			}
		}
		pause := sweepEvery
		if dealt > 0 && err == nil {
			now := n.clock.Now()
			if busy.IsZero() {
				busy = began
			}
			if now.Sub(busy) > restWithin && ctx.Err() == nil {
				continue
			}
			pause = min(now.Sub(began), sweepEvery) // the clock may have been set forward meanwhile
		} else {
			busy = time.Time{}
		}
		rest.Reset(pause)
		select {
		case <-ctx.Done():
			return
		case <-rest.C:
		}
	}
}

// Vouch asks the login method that issued t whether it may be renewed.
func (v *voucher) Vouch(ctx context.Context, t *token.Token, c *backend.Call) (backend.Terms, backend.Mount, error) {
	m, ok := v.mounts.ByAccessor(t.Origin.Mount)
	if !ok {
		return backend.Terms{}, backend.Mount{}, backend.Invalidf("failed to renew entry: the login method is no longer mounted")
	}
	if !m.Enter() {
		return backend.Terms{}, backend.Mount{}, backend.Invalidf("failed to renew entry: the login method is no longer mounted")
	}
	defer m.Leave()
	method, ok := m.Backend.(backend.Renewer)
	if !ok {
		return backend.Terms{}, backend.Mount{}, backend.Invalidf("lease is not renewable")
	}
	login, err := method.RenewLogin(ctx, backend.Renewal{State: t.Origin.State, Policies: t.Policies, Metadata: t.Meta, Mount: m.Info, TLS: c.TLS})
	if err != nil {
		return backend.Terms{}, backend.Mount{}, err
	}
	if login.GroupAliases != nil && t.EntityID != "" {
		// The method has asked its directory again. Contract: identity §3.5.
		if err := v.people.Regroup(ctx, t.EntityID, m.Entry.Accessor, login.GroupAliases); err != nil {
			return backend.Terms{}, backend.Mount{}, err
		}
	}
	return login.Terms, m.Info, nil
}
