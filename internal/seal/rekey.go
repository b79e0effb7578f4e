package seal

import (
	"context"
	"crypto/subtle"

	"github.com/google/uuid"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/seal/pgp"
	"jeton/internal/store"
)

// RekeyRequest asks for new shares.
type RekeyRequest struct {
	Shares Config
	// PGPKeys are their holders' public keys, in base64, one a share; none leaves the shares
	// as they are. Backup keeps the shares, encrypted so, on the server too.
	PGPKeys []string
	Backup  bool
	// RequireVerification keeps the old shares in force until the new ones were given back.
	RequireVerification bool
}

// RekeyStatus is what sys/rekey/init shows (contract: sys §15).
type RekeyStatus struct {
	Nonce   string
	Started bool
	// Shares and Threshold are the new ones, 0 when nothing was started.
	Shares, Threshold int
	// Progress is the number of current shares given, Required how many it takes.
	Progress, Required int
	// PGPFingerprints are those of the new shares' holders, nil without.
	PGPFingerprints      []string
	Backup               bool
	VerificationRequired bool
	// VerificationNonce is "" until the new shares wait to be verified.
	VerificationNonce string
}

// RekeyResult is what a complete rekey gives. The shares exist nowhere else.
type RekeyResult struct {
	Nonce string
	// Shares are as they are, or in their holders' envelopes when there are PGPFingerprints.
	Shares               [][]byte
	PGPFingerprints      []string
	Backup               bool
	VerificationRequired bool
	VerificationNonce    string
}

// VerifyStatus is what sys/rekey/verify shows.
type VerifyStatus struct {
	Nonce             string
	Started           bool
	Shares, Threshold int
	Progress          int
	// Complete says that the new shares are in force.
	Complete bool
}

// rekeyPlan is what an attempt to rekey is for and has come to.
type rekeyPlan struct {
	request RekeyRequest
	holders []*pgp.Key
	// made is nil until the current shares were given.
	made *newShares
	// verifyNonce names the verification; verified are the new shares given back.
	verifyNonce string
	verified    quorum
}

// newShares are shares that are made and not in force.
type newShares struct {
	set shareSet
	key []byte
	// backup is nil where none is kept.
	backup *backupRecord
}

func (p *rekeyPlan) drop() {
	if p.made != nil {
		clear(p.made.key)
	}
	p.verified.wipe()
}

// Rekey replaces the shares: of the seal key with Shamir, of the recovery key with auto-unseal.
//
// Losing the new shares between the moment when they come into force and the moment when
// their holders have them would lose everything, so a rekey takes two durable steps. Submit
// stores the new shares as a candidate beside the old ones, and Confirm puts them in force.
// The caller confirms once nothing but the reply is left to do, or calls Withdraw when the
// reply cannot be given (the audit refused it, say). When the process dies in between, both
// sets open the seal, and the set that does so first stays. With verification the new shares
// stay in memory until they were given back, and then replace the old ones in one step.
type Rekey struct {
	keeper   *Keeper
	attempts *attempts[rekeyPlan]
	// unconfirmed is the candidate of the last rekey; nil when there is none. The attempts'
	// lock guards it.
	unconfirmed *unconfirmed
}

type unconfirmed struct {
	nonce string
	under *Unlocked
	newShares
}

// NewRekey offers rekeys of k.
func NewRekey(k *Keeper) *Rekey {
	r := &Rekey{keeper: k}
	r.attempts = newAttempts(k, attemptTexts{
		running: "rekey already in progress", none: "no barrier rekey in progress", wrongNonce: "rekey",
		again:      "given key has already been provided during this generation operation",
		falseShare: "rekey aborted, key verification failed",
	}, (*rekeyPlan).drop)
	k.onSeal(func() {
		r.attempts.Lock()
		defer r.attempts.Unlock()
		if r.unconfirmed != nil {
			clear(r.unconfirmed.key)
			r.unconfirmed = nil
		}
	})
	return r
}

// Status describes the attempt that origin sees. Errors: ErrSealed, the store's.
func (r *Rekey) Status(ctx context.Context, origin string) (RekeyStatus, error) {
	r.attempts.Lock()
	defer r.attempts.Unlock()
	config, err := r.attempts.begin(ctx)
	if err != nil {
		return RekeyStatus{}, err
	}
	return rekeyStatus(config, r.attempts.visible(origin)), nil
}

func rekeyStatus(config *configRecord, a *attempt[rekeyPlan]) RekeyStatus {
	s := RekeyStatus{Required: config.Set.Threshold}
	if a == nil {
		return s
	}
	set, progress := a.gathered.progress(config)
	s.Started, s.Nonce = true, a.nonce
	s.Progress, s.Required = progress, set.Threshold
	s.Shares, s.Threshold = a.plan.request.Shares.Shares, a.plan.request.Shares.Threshold
	s.PGPFingerprints, s.Backup = fingerprints(a.plan.holders), a.plan.request.Backup
	s.VerificationRequired, s.VerificationNonce = a.plan.request.RequireVerification, a.plan.verifyNonce
	return s
}

// Start opens an attempt.
func (r *Rekey) Start(ctx context.Context, origin string, req RekeyRequest) (RekeyStatus, error) {
	if r.keeper.Current() == nil {
		return RekeyStatus{}, ErrSealed
	}
	// Before the lock is taken: keys take time to read, and strangers may send them.
	holders, err := r.judge(req)
	if err != nil {
		return RekeyStatus{}, err
	}
	r.attempts.Lock()
	defer r.attempts.Unlock()
	config, err := r.attempts.begin(ctx)
	if err != nil {
		return RekeyStatus{}, err
	}
	a, err := r.attempts.start(origin, rekeyPlan{request: req, holders: holders})
	if err != nil {
		return RekeyStatus{}, err
	}
	return rekeyStatus(config, a), nil
}

// judge returns the holders that req names.
func (r *Rekey) judge(req RekeyRequest) ([]*pgp.Key, error) {
	const prefix = "invalid rekey seal configuration"
	switch {
	case req.Backup && len(req.PGPKeys) == 0:
		return nil, backend.Invalidf("cannot request a backup of the new keys without providing PGP keys for encryption")
	case len(req.PGPKeys) > 0 && len(req.PGPKeys) != req.Shares.Shares:
		return nil, backend.Invalidf("incorrect number of PGP keys for rekey")
	}
	if err := req.Shares.validate(prefix); err != nil {
		// The contract has a 500 here, text and all.
		return nil, backend.Errorf(backend.Failed, "%s", err.Error())
	}
	return r.keeper.holders(req.PGPKeys, prefix)
}

// Cancel ends the attempt that origin sees, if it may: decision 0003 says who may. With no
// attempt it does nothing.
func (r *Rekey) Cancel(ctx context.Context, origin, nonce string) error {
	r.attempts.Lock()
	defer r.attempts.Unlock()
	if _, err := r.attempts.begin(ctx); err != nil {
		return err
	}
	a, err := r.attempts.cancellable(origin, nonce)
	if err != nil || a == nil {
		return err
	}
	r.attempts.end(a)
	return nil
}

// Submit gives a current share to the attempt of that nonce. With the one that completes the
// threshold the result is not nil: without verification its shares then wait for Confirm, with
// it for VerifyShare.
func (r *Rekey) Submit(ctx context.Context, origin, nonce string, share []byte) (RekeyStatus, *RekeyResult, error) {
	r.attempts.Lock()
	defer r.attempts.Unlock()
	config, err := r.attempts.begin(ctx)
	if err != nil {
		return RekeyStatus{}, nil, err
	}
	a, err := r.attempts.find(origin, nonce)
	if err != nil {
		return RekeyStatus{}, nil, err
	}
	if a.plan.made != nil {
		return RekeyStatus{}, nil, backend.Invalidf("rekey operation already finished; verification must be performed; nonce for the verification operation is %q", a.plan.verifyNonce)
	}
	key, err := r.attempts.give(ctx, config, a, origin, share)
	if err != nil || key == nil {
		return rekeyStatus(config, a), nil, err
	}
	clear(key)
	result, err := r.complete(ctx, a)
	if err != nil {
		return rekeyStatus(config, a), nil, err
	}
	return rekeyStatus(config, a), result, nil
}

// complete makes the new shares of an authorised attempt.
func (r *Rekey) complete(ctx context.Context, a *attempt[rekeyPlan]) (*RekeyResult, error) {
	made := newShares{key: newKey()}
	var parts [][]byte
	var err error
	if made.set, parts, err = newShareSet(a.plan.request.Shares, made.key); err != nil {
		return nil, err
	}
	if parts, err = envelopes(parts, a.plan.holders, r.keeper.clock.Now()); err != nil {
		return nil, err
	}
	result := &RekeyResult{Nonce: a.nonce, Shares: parts, PGPFingerprints: fingerprints(a.plan.holders), Backup: a.plan.request.Backup}
	if result.Backup {
		made.backup = newBackup(a.nonce, a.plan.holders, parts)
	}
	if a.plan.request.RequireVerification {
		a.plan.made, a.plan.verifyNonce = &made, uuid.NewString()
		a.expires = r.keeper.clock.Now().Add(verifyIdle)
		result.VerificationRequired, result.VerificationNonce = true, a.plan.verifyNonce
		return result, nil
	}
	if err := r.keeper.putCandidate(ctx, a.under, made); err != nil {
		return nil, err
	}
	r.unconfirmed = &unconfirmed{nonce: a.nonce, under: a.under, newShares: made}
	r.attempts.end(a)
	return result, nil
}

// Confirm puts the shares of the finished rekey of that nonce in force; the old ones stop
// working at that moment. An error that wraps ErrOutcomeUnknown says that one of the two sets
// works, or both; Confirm may be tried again.
func (r *Rekey) Confirm(ctx context.Context, nonce string) error {
	return r.decide(nonce, func(u *unconfirmed) error { return r.keeper.promoteUnder(ctx, u.under, u.newShares) })
}

// Withdraw takes the shares of the finished rekey of that nonce back: the old ones stay.
func (r *Rekey) Withdraw(ctx context.Context, nonce string) error {
	return r.decide(nonce, func(u *unconfirmed) error { return r.keeper.dropCandidate(ctx, u.under) })
}

func (r *Rekey) decide(nonce string, act func(*unconfirmed) error) error {
	r.attempts.Lock()
	defer r.attempts.Unlock()
	u := r.unconfirmed
	if u == nil || u.nonce != nonce {
		return backend.Invalidf("no barrier rekey in progress")
	}
	if err := act(u); err != nil {
		return err
	}
	clear(u.key)
	r.unconfirmed = nil
	return nil
}

// putCandidate stores new shares beside those in force. What they protect is the root key of
// now; putting them in force replaces it.
func (k *Keeper) putCandidate(ctx context.Context, under *Unlocked, made newShares) error {
	k.change.Lock()
	defer k.change.Unlock()
	if k.open.Load() != under {
		return ErrSealed
	}
	var secret []byte
	if k.wrapper == nil {
		// nextRoot may turn out to be the one in use: the stored keyring tells.
		if err := k.raw.View(ctx, func(r store.Reader) error {
			rec, err := k.openKeyring(r)
			if err == nil {
				rec.wipe()
			}
			return err
		}); err != nil {
			return err
		}
		secret = k.root
	}
	sealed, err := wrapKey(made.key, candidateKey, secret)
	if err != nil {
		return err
	}
	return k.durably(ctx, func(tx store.Tx) error {
		return record.Put(tx, candidateKey, &candidateRecord{Set: made.set, Sealed: sealed, Backup: made.backup})
	})
}

func (k *Keeper) dropCandidate(ctx context.Context, under *Unlocked) error {
	k.change.Lock()
	defer k.change.Unlock()
	if k.open.Load() != under {
		return ErrSealed
	}
	return k.durably(ctx, func(tx store.Tx) error { return tx.Delete(candidateKey) })
}

// promoteUnder is promote in the life of the seal that made belongs to.
func (k *Keeper) promoteUnder(ctx context.Context, under *Unlocked, made newShares) error {
	k.change.Lock()
	defer k.change.Unlock()
	if k.open.Load() != under {
		return ErrSealed
	}
	return k.promote(ctx, made)
}

// verifying is the attempt whose new shares wait to be verified.
func (r *Rekey) verifying(ctx context.Context, origin string) (*attempt[rekeyPlan], error) {
	if _, err := r.attempts.begin(ctx); err != nil {
		return nil, err
	}
	return r.attempts.visible(origin), nil
}

// VerifyStatus describes the verification.
func (r *Rekey) VerifyStatus(ctx context.Context, origin string) (VerifyStatus, error) {
	r.attempts.Lock()
	defer r.attempts.Unlock()
	a, err := r.verifying(ctx, origin)
	if err != nil {
		return VerifyStatus{}, err
	}
	if a == nil {
		return VerifyStatus{}, backend.Invalidf("no rekey configuration found")
	}
	return verifyStatus(a), nil
}

func verifyStatus(a *attempt[rekeyPlan]) VerifyStatus {
	s := VerifyStatus{Shares: a.plan.request.Shares.Shares, Threshold: a.plan.request.Shares.Threshold}
	if a.plan.made != nil {
		s.Started, s.Nonce, s.Progress = true, a.plan.verifyNonce, len(a.plan.verified.parts)
	}
	return s
}

// VerifyShare gives a new share back. With the one that completes the new threshold the new
// shares come into force and the old ones stop working. After an error that wraps
// ErrOutcomeUnknown either set may be in force; the attempt stays open to try again.
func (r *Rekey) VerifyShare(ctx context.Context, origin, nonce string, share []byte) (VerifyStatus, error) {
	r.attempts.Lock()
	defer r.attempts.Unlock()
	a, err := r.verifying(ctx, origin)
	switch {
	case err != nil:
		return VerifyStatus{}, err
	case a == nil:
		return VerifyStatus{}, backend.Invalidf("no rekey in progress")
	case a.plan.made == nil:
		return VerifyStatus{}, backend.Invalidf("no rekey verification in progress")
	case nonce != a.plan.verifyNonce:
		return VerifyStatus{}, backend.Invalidf("incorrect nonce supplied; nonce for this verify operation is %q", a.plan.verifyNonce)
	}
	if err := shareBounds(share); err != nil {
		return verifyStatus(a), err
	}
	p := &a.plan
	switch {
	case !p.made.set.knows(share):
		return verifyStatus(a), backend.Invalidf("rekey verification failed; incorrect key shares supplied")
	case p.verified.has(share):
		return verifyStatus(a), backend.Invalidf("given key has already been provided during this verify operation")
	}
	p.verified.add(share)
	a.expires = r.keeper.clock.Now().Add(verifyIdle)
	if len(p.verified.parts) < p.made.set.Threshold {
		return verifyStatus(a), nil
	}
	key, err := p.verified.key()
	p.verified.wipe()
	if err != nil {
		return verifyStatus(a), err
	}
	defer clear(key)
	if subtle.ConstantTimeCompare(key, p.made.key) != 1 {
		return verifyStatus(a), backend.Invalidf("rekey verification failed; incorrect key shares supplied")
	}
	if err := r.keeper.promoteUnder(ctx, a.under, *p.made); err != nil {
		return verifyStatus(a), err
	}
	done := verifyStatus(a)
	done.Complete, done.Progress = true, 0
	r.attempts.end(a)
	return done, nil
}

// RestartVerification drops the new shares given back and names the verification anew. Only
// who gave a share to the rekey may.
func (r *Rekey) RestartVerification(ctx context.Context, origin string) (VerifyStatus, error) {
	r.attempts.Lock()
	defer r.attempts.Unlock()
	a, err := r.verifying(ctx, origin)
	switch {
	case err != nil:
		return VerifyStatus{}, err
	case a == nil:
		return VerifyStatus{}, backend.Invalidf("no rekey configuration found")
	case a.plan.made == nil:
		return VerifyStatus{}, backend.Invalidf("no rekey verification in progress")
	case !a.gathered.from(origin):
		return VerifyStatus{}, backend.Invalidf("the verification can be restarted from where a key share was given")
	}
	a.plan.verified.wipe()
	a.plan.verifyNonce = uuid.NewString()
	return verifyStatus(a), nil
}
