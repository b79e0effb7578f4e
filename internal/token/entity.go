package token

import (
	"context"

	"jeton/internal/store"
)

// Entities is the identity store, as far as tokens need it.
type Entities interface {
	// Admit refuses the tokens of an entity that is disabled or gone. Contract: tokens §3.
	Admit(ctx context.Context, entityID string) error
	// Policies are what the entity adds to its tokens, sorted.
	Policies(ctx context.Context, entityID string) ([]string, error)
	// EntityOf returns, inside tx (a transaction of the whole store), the entity of an alias on
	// the token method's mount, and makes it where there is none. Contract: tokens §4.7.
	EntityOf(tx store.Tx, mount, alias string) (entityID string, err error)
}

// admit refuses a token whose entity may not act. A token without one costs nothing.
func (s *Store) admit(ctx context.Context, t *Token) error {
	if t.EntityID == "" || s.entities == nil {
		return nil
	}
	return s.entities.Admit(ctx, t.EntityID)
}

// IdentityPolicies are what the token's entity adds to it now.
func (s *Store) IdentityPolicies(ctx context.Context, t *Token) ([]string, error) {
	if t.EntityID == "" || s.entities == nil {
		return nil, nil
	}
	return s.entities.Policies(ctx, t.EntityID)
}

// takeAlias gives a new token the entity of the alias that was asked for. tx is one of the
// whole store.
func (s *Store) takeAlias(tx store.Tx, ask *Ask, t *Token) (err error) {
	if ask.EntityAlias == "" || s.entities == nil {
		return nil
	}
	t.EntityID, err = s.entities.EntityOf(tx, ask.Mount.Accessor, ask.EntityAlias)
	return err
}
