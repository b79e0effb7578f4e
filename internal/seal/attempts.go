package seal

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"jeton/internal/backend"
)

// The life of an attempt (docs/decisions/0003-open-attempts.md).
const (
	// attemptIdle is how long an attempt lives after its start or its last good share.
	attemptIdle = 10 * time.Minute
	// verifyIdle is the same for an attempt whose new shares wait to be verified: they have
	// to reach their holders first.
	verifyIdle = 24 * time.Hour
	// newcomerGrace is how long an attempt that has no share yet cannot be pushed out.
	newcomerGrace = 2 * time.Minute
	// maxAttempts bounds memory. Attempts are few but for an attack from many addresses.
	maxAttempts = 64
)

// attempt is one go at something that takes a threshold of shares.
type attempt[P any] struct {
	nonce string
	// origin started it.
	origin string
	// under is the life of the seal that it belongs to.
	under *Unlocked
	// expires moves with every good share.
	expires time.Time
	started time.Time
	// gathered are the shares given; who gave one stays known when they are dropped.
	gathered gathering
	// plan is what is to be done.
	plan P
}

// adopted says that a holder of a good share takes part, so that strangers have no say.
func (a *attempt[P]) adopted() bool { return len(a.gathered.origins) > 0 }

// attemptTexts are the client's texts of one kind of attempt (contract: sys §15, §16).
type attemptTexts struct {
	running, none, wrongNonce, again, falseShare string
}

// attempts holds the open attempts of one kind. Strangers may start attempts too (the endpoints
// ask for no token), so there can be several side by side, one for each origin; from the first
// good share on, an attempt is the only one that can be started or seen.
type attempts[P any] struct {
	keeper *Keeper
	texts  attemptTexts
	// drop overwrites the keys in a plan.
	drop func(*P)

	sync.Mutex // guards open and all in it; held over the I/O of what an attempt ends in. Comes before Keeper.change
	open       []*attempt[P]
}

// newAttempts holds attempts that end when the seal closes.
func newAttempts[P any](k *Keeper, texts attemptTexts, drop func(*P)) *attempts[P] {
	all := &attempts[P]{keeper: k, texts: texts, drop: drop}
	k.onSeal(func() {
		all.Lock()
		defer all.Unlock()
		all.keep(func(*attempt[P]) bool { return false })
	})
	return all
}

// begin is the first step of every call: the seal must be open. It forgets what is over.
// REQUIRES: the lock is held.
func (s *attempts[P]) begin(ctx context.Context) (*configRecord, error) {
	u := s.keeper.Current()
	now := s.keeper.clock.Now()
	s.keep(func(a *attempt[P]) bool { return u != nil && a.under == u && now.Before(a.expires) })
	if u == nil {
		return nil, ErrSealed
	}
	config, err := s.keeper.config(ctx)
	if err == nil && config == nil {
		err = ErrNotInitialized
	}
	return config, err
}

// start opens an attempt for origin.
func (s *attempts[P]) start(origin string, plan P) (*attempt[P], error) {
	for _, a := range s.open {
		if a.adopted() || a.origin == origin {
			return nil, backend.Invalidf("%s", s.texts.running)
		}
	}
	now := s.keeper.clock.Now()
	if len(s.open) >= maxAttempts {
		// The oldest comes first.
		if now.Sub(s.open[0].started) < newcomerGrace {
			return nil, backend.Errorf(backend.TooMany, "too many attempts were started; try again in a few minutes")
		}
		s.end(s.open[0])
	}
	a := &attempt[P]{
		nonce: uuid.NewString(), origin: origin, under: s.keeper.Current(),
		started: now, expires: now.Add(attemptIdle), plan: plan,
	}
	s.open = append(s.open, a)
	return a, nil
}

// visible is the attempt that origin sees: the one that share holders take part in; else its
// own; else the only one there is. With several of strangers it sees none, lest an operator
// take a stranger's nonce for a colleague's.
func (s *attempts[P]) visible(origin string) *attempt[P] {
	var own *attempt[P]
	for _, a := range s.open {
		if a.adopted() {
			return a
		}
		if a.origin == origin {
			own = a
		}
	}
	if own == nil && len(s.open) == 1 {
		return s.open[0]
	}
	return own
}

// find is the attempt of that nonce.
func (s *attempts[P]) find(origin, nonce string) (*attempt[P], error) {
	for _, a := range s.open {
		if a.nonce == nonce {
			return a, nil
		}
	}
	seen := s.visible(origin)
	if seen == nil {
		return nil, backend.Invalidf("%s", s.texts.none)
	}
	return nil, backend.Invalidf("incorrect nonce supplied; nonce for this %s operation is %q", s.texts.wrongNonce, seen.nonce)
}

// give takes a share into a. When it completes a set, that set's key is proved and returned;
// otherwise key is nil. The first good share ends the other attempts.
func (s *attempts[P]) give(ctx context.Context, config *configRecord, a *attempt[P], origin string, share []byte) (key []byte, err error) {
	if err := shareBounds(share); err != nil {
		return nil, err
	}
	outcome := a.gathered.give(config, origin, share)
	if outcome.good() {
		a.expires = s.keeper.clock.Now().Add(attemptIdle)
		s.keep(func(other *attempt[P]) bool { return other == a })
	}
	switch outcome {
	case givenMore:
		return nil, nil
	case givenAgain:
		return nil, backend.Invalidf("%s", s.texts.again)
	case givenFalse:
		return nil, backend.Invalidf("%s: invalid key: this is not one of the current key shares", s.texts.falseShare)
	case givenFalseLast:
		a.gathered.wipe()
		return nil, backend.Invalidf("%s: invalid key: the last share is not one of the current key shares; the progress was reset", s.texts.falseShare)
	}
	defer a.gathered.wipe()
	return s.keeper.authorise(ctx, config, a.under, &a.gathered, outcome == givenFullCandidate)
}

// keep drops the attempts that are not wanted any more, with all they hold.
func (s *attempts[P]) keep(wanted func(*attempt[P]) bool) {
	kept := s.open[:0]
	for _, a := range s.open {
		if wanted(a) {
			kept = append(kept, a)
			continue
		}
		a.gathered.wipe()
		s.drop(&a.plan)
	}
	clear(s.open[len(kept):])
	s.open = kept
}

// end drops a.
func (s *attempts[P]) end(a *attempt[P]) {
	s.keep(func(other *attempt[P]) bool { return other != a })
}

// cancellable is the attempt that origin may end; nil when it sees none, which makes
// cancelling idempotent. Without a share in it, an attempt is its starter's. With one it is
// its share holders', and they have to name it.
func (s *attempts[P]) cancellable(origin, nonce string) (*attempt[P], error) {
	a := s.visible(origin)
	switch {
	case a == nil:
		return nil, nil
	case !a.adopted() && a.origin != origin:
		return nil, backend.Invalidf("the attempt was started from elsewhere: it can be cancelled from there, and ends by itself when it is idle")
	case a.adopted() && !a.gathered.from(origin):
		return nil, backend.Invalidf("the attempt has received key shares: it can be cancelled from where one was given, and ends by itself when it is idle")
	case a.adopted() && nonce != a.nonce:
		return nil, backend.Invalidf("the attempt has received key shares: its nonce is required to cancel it")
	case nonce != "" && nonce != a.nonce:
		// Who names an attempt means that one: theirs is over, and this is its successor.
		return nil, backend.Invalidf("the nonce is not that of the attempt")
	}
	return a, nil
}

// authorise proves what was gathered: its key opens what it must. It ends a rekey that a crash
// left open in favour of the shares given.
func (k *Keeper) authorise(ctx context.Context, config *configRecord, under *Unlocked, g *gathering, candidate bool) ([]byte, error) {
	k.change.Lock()
	defer k.change.Unlock()
	if k.open.Load() != under {
		return nil, ErrSealed
	}
	key, err := g.key(candidate)
	if err != nil {
		return nil, err
	}
	root, err := k.openRoot(ctx, config, candidate, key)
	if err != nil {
		clear(key)
		return nil, err
	}
	clear(root)
	k.settle(ctx, config, candidate, key)
	return key, nil
}
