package ldap

import (
	"context"
	"errors"
	"time"
)

// refusedAfter is when a refused login is answered, counted from its beginning. A directory answers at
// once for a name that it does not know, and later for one whose password it has to hash; behind this both
// look the same, as far as the directory is done by then (decision 0028).
const refusedAfter = 250 * time.Millisecond

// held is err, in the case of a refusal not before until has fired. Nothing of the lockout or the crowd may
// be held meanwhile: who waits here is in nobody's way.
func held(ctx context.Context, until *time.Timer, err error) error {
	if errors.Is(err, errRefused) {
		select {
		case <-until.C:
		case <-ctx.Done():
		}
	}
	return err
}
