package token

import (
	"testing"

	"jeton/internal/backend/backendtest"
)

func TestLookupIsWrittenAlike(t *testing.T) { backendtest.WritesAlike[lookupData](t, nil) }
