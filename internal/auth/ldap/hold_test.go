package ldap

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"jeton/internal/backend"
)

// CVE-2023-3462, CVE-2020-35177, by time: whatever the directory took, a refusal is answered at one and
// the same moment. Nothing else waits, and nobody waits for who has left.
func TestRefusalsTellNothingByTimeCVE20233462CVE202035177(t *testing.T) {
	for name, row := range map[string]struct {
		directory time.Duration
		err       error
		left      bool
		answered  time.Duration
	}{
		"unknown name":               {time.Millisecond, errRefused, false, refusedAfter},
		"wrong password":             {90 * time.Millisecond, errRefused, false, refusedAfter},
		"a slow directory":           {time.Second, errRefused, false, time.Second},
		"wrapped":                    {time.Millisecond, errors.Join(errRefused), false, refusedAfter},
		"the request has ended":      {time.Millisecond, errRefused, true, time.Millisecond},
		"logged in":                  {time.Millisecond, nil, false, time.Millisecond},
		"the directory is down":      {time.Millisecond, errors.New("down"), false, time.Millisecond},
		"locked, without a question": {0, backend.Errorf(backend.Denied, "permission denied"), false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				begun := time.Now()
				until := time.NewTimer(refusedAfter)
				defer until.Stop()
				<-time.After(row.directory)
				if row.left {
					cancel()
				}
				if err := held(ctx, until, row.err); err != row.err {
					t.Errorf("%v", err)
				}
				if took := time.Since(begun); took != row.answered {
					t.Errorf("answered after %s, want %s", took, row.answered)
				}
			})
		})
	}
}
