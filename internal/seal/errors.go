package seal

import (
	"errors"

	"jeton/internal/backend"
	"jeton/internal/record"
)

// ErrUndecryptable says that a stored value does not open under the key that it names: it was
// changed, moved, or written under other keys. Errors that wrap it name the storage key in
// quoted form and never show the value.
var ErrUndecryptable error = undecryptable{}

// ErrReserved says that a caller tried to write below the seal's own prefix.
var ErrReserved = errors.New("seal: key is reserved for the seal")

// ErrOutcomeUnknown says that a change of keys may or may not have been stored: the store
// failed in a way that leaves it open (contract of store.Update).
var ErrOutcomeUnknown = errors.New("seal: the outcome of the change is unknown")

// What callers must be able to tell apart.
var (
	// ErrSealed says that the keys are not in memory.
	ErrSealed = backend.Errorf(backend.Sealed, "Vault is sealed")
	// ErrNotInitialized says that there are no keys yet.
	ErrNotInitialized = backend.Errorf(backend.Invalid, "Vault is not initialized")
	// ErrAlreadyInitialized says that there are keys already (contract: sys §1).
	ErrAlreadyInitialized = backend.Errorf(backend.Invalid, "Vault is already initialized")
	// ErrUnsealed answers a reset of the progress on an open server (contract: sys §3).
	ErrUnsealed = backend.Errorf(backend.Invalid, "vault is unsealed")
)

// undecryptable is one kind of malformed record: who keeps records need not know of encryption
// to go round one that is damaged.
type undecryptable struct{}

func (undecryptable) Error() string { return "seal: stored value does not decrypt" }
func (undecryptable) Unwrap() error { return record.ErrMalformed }
