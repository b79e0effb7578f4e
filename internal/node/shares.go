package node

import (
	"context"
	"errors"
	"sync"

	"jeton/internal/seal"
	"jeton/internal/token"
)

// Roots makes root tokens for those who hold a threshold of key shares. Contract: sys §16.
type Roots struct {
	*seal.RootGeneration

	// mu is held over the submission of a share, so that what it mints is told from what
	// another mints.
	mu     sync.Mutex
	house  *House
	issued *token.Issued
}

func newRoots(k *seal.Keeper) *Roots {
	r := &Roots{}
	r.RootGeneration = seal.NewRootGeneration(k, r.mint)
	return r
}

// mint issues the token. REQUIRES: mu is held, and house is the one that the submitting request
// is in: entering it a second time could wait for a sealing that waits for the first.
func (r *Roots) mint(ctx context.Context) (string, error) {
	issued, err := r.house.Tokens.IssueRoot(ctx, "", nil)
	if err != nil {
		return "", err
	}
	r.issued = issued
	return issued.Text, nil
}

// SubmitIn gives a share, in a house that the caller has entered. With the share that completes
// the threshold issued is the new token: the caller revokes it when its answer cannot leave.
func (r *Roots) SubmitIn(ctx context.Context, h *House, origin, nonce string, share []byte) (status seal.RootStatus, issued *token.Issued, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.house, r.issued = h, nil
	defer func() { r.house, r.issued = nil, nil }()
	status, err = r.Submit(ctx, origin, nonce, share)
	if err != nil && r.issued != nil {
		// Nobody can read it: its holder's key has expired meanwhile, say.
		lost := r.issued
		err = errors.Join(err, h.Tokens.Revoke(context.WithoutCancel(ctx), lost.Token.ID, token.Revoked, ""))
		return status, nil, err
	}
	return status, r.issued, err
}

// Roots makes root tokens.
func (n *Node) Roots() *Roots { return n.roots }

// Rekey replaces key shares.
func (n *Node) Rekey() *seal.Rekey { return n.rekey }
