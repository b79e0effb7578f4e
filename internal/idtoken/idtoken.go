// Package idtoken owns signed identity tokens: JSON Web Tokens that tell another service which
// entity stands behind a token of this server, the named keys that sign them, and the roles that
// say what is in them. It knows nothing of HTTP, and reads nothing at unseal.
//
// A key is rotated when it is used and its time has come, never by a timer; the one that will
// sign next is published before it does. Contract: identity §6.
package idtoken

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/policy"
	"jeton/internal/record"
	"jeton/internal/store"
)

// People knows the entities behind tokens.
type People interface {
	// Subject is the entity as templates see it, nil for no id. One that is disabled or gone is a
	// backend.Denied.
	Subject(ctx context.Context, entityID string) (*policy.Subject, []string, error)
}

// Config is what a Store is made of.
type Config struct {
	// Area is the room's own part of the encrypted store.
	Area  *store.Area
	Clock clock.Clock
	// People are asked for the entities.
	People People
	// Address is where clients reach this server, without a path: the issuer, until one is set.
	Address string
}

// Store keeps keys, roles and the issuer of one server. All methods are safe for concurrent use.
type Store struct {
	area    *store.Area
	clock   clock.Clock
	people  People
	address string
}

// New opens the room. It reads nothing.
func New(c Config) *Store {
	return &Store{area: c.Area, clock: c.Clock, people: c.People, address: strings.TrimSuffix(c.Address, "/")}
}

// The room's keys, below its area.
//
//	config       configRecord
//	key/NAME     keyRecord
//	role/NAME    roleRecord
var configKey = []byte("config")

const (
	keyPrefix  = "key/"
	rolePrefix = "role/"
)

// issuerPath is where the discovery document lies, below the address.
const issuerPath = "/v1/identity/oidc"

// configRecord is what is set of the issuer.
type configRecord struct {
	Issuer string `cbor:"1,keyasint,omitempty"`
}

// Issuer is the address that was set; "" for none.
func (s *Store) Issuer(ctx context.Context) (string, error) {
	var issuer string
	err := s.area.View(ctx, func(r store.Reader) (err error) {
		issuer, err = issuerIn(r)
		return err
	})
	return issuer, wrapped("read the issuer", err)
}

func issuerIn(r store.Reader) (string, error) {
	c, err := record.Get[configRecord](r, configKey)
	if c == nil || err != nil {
		return "", err
	}
	return c.Issuer, nil
}

// claimIssuer is what tokens say of who made them.
func (s *Store) claimIssuer(r store.Reader) (string, error) {
	issuer, err := issuerIn(r)
	if issuer == "" {
		issuer = s.address
	}
	return issuer + issuerPath, err
}

// SetIssuer sets the address in tokens: scheme, host and port alone; "" for the server's own.
func (s *Store) SetIssuer(ctx context.Context, issuer string) error {
	issuer = strings.TrimSuffix(issuer, "/")
	if issuer != "" {
		u, err := url.Parse(issuer)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Scheme+"://"+u.Host != issuer {
			return backend.Invalidf("invalid issuer, which must include only a scheme, host, and optional port (e.g. https://example.com:8200)")
		}
	}
	return wrapped("set the issuer", s.area.Update(ctx, func(tx store.Tx) error {
		return record.Put(tx, configKey, &configRecord{Issuer: issuer})
	}))
}

// names lists what is kept below prefix, at most limit of what comes after the given one.
func (s *Store) names(ctx context.Context, prefix string) (names []string, err error) {
	all := store.PrefixRange([]byte(prefix))
	all.KeysOnly = true
	err = s.area.View(ctx, func(r store.Reader) error {
		names = nil
		return r.Scan(all, func(k, _ []byte) (bool, error) {
			names = append(names, string(k[len(prefix):]))
			return true, nil
		})
	})
	return names, wrapped("list", err)
}

// Keys are the names of the keys, sorted.
func (s *Store) Keys(ctx context.Context) ([]string, error) { return s.names(ctx, keyPrefix) }

// Roles are the names of the roles, sorted.
func (s *Store) Roles(ctx context.Context) ([]string, error) { return s.names(ctx, rolePrefix) }

// day is the default of every duration here.
const day = 24 * time.Hour

func wrapped(what string, err error) error {
	if err == nil || backend.KindOf(err) != backend.Internal {
		return err
	}
	return fmt.Errorf("idtoken: %s: %w", what, err)
}
