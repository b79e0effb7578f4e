package audit

import (
	"errors"

	"jeton/internal/backend"
)

// ErrNoDevice says that devices are enabled and none of them took the entry: the request must
// not go on, or its answer must not leave. The edge answers 500. Contract: audit §2.
var ErrNoDevice = errors.New("audit: no device took the entry")

// ErrTable says at unseal that devices are enabled and none of them could be opened: the server
// stays sealed, as it could not keep the rule that one device must take each entry.
var ErrTable = errors.New("failed to setup audit table")

// Why a device did not take a line.
var (
	errTimeout  = errors.New("audit: device did not answer in time")
	errStuck    = errors.New("audit: device is still busy with an earlier line")
	errResting  = errors.New("audit: device is left alone after slow failures")
	errRemoved  = errors.New("audit: device was disabled")
	errNotOpen  = errors.New("audit: device could not be opened")
	errPanicked = errors.New("panic generating audit log")
)

// invalid makes the error of a request that cannot be served as it is (400, text as it stands).
func invalid(format string, args ...any) error { return backend.Invalidf(format, args...) }
