package wrap

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestUsedTokensAreToldFromOthers holds that a second try is known for what it is for as long
// as the token would have lived, in the same words for the client.
func TestUsedTokensAreToldFromOthers(t *testing.T) {
	p := newParcel(t)
	made, err := p.Wrap(p.ctx, time.Minute, "a/b", Answer{Status: 200, Body: []byte("{}")}, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Open(p.ctx, made.Token); err != nil {
		t.Fatal(err)
	}
	_, again := p.Open(p.ctx, made.Token)
	_, never := p.Open(p.ctx, "hvs."+strings.Repeat("A", 91))
	if !errors.Is(again, ErrUsed) || errors.Is(never, ErrUsed) {
		t.Errorf("used: %v, unknown: %v", again, never)
	}
	for _, err := range []error{again, never} {
		if !strings.HasPrefix(err.Error(), "wrapping token is not valid or does not exist") {
			t.Errorf("error %q", err)
		}
	}
	// A start over the same store knows it too.
	p.tokens.Close()
	p.open(p.store)
	if _, err := p.Valid(p.ctx, made.Token); !errors.Is(err, ErrUsed) {
		t.Errorf("after a restart: %v", err)
	}
}

// TestUsesAreForgotten holds that the list of uses does not grow for ever.
func TestUsesAreForgotten(t *testing.T) {
	p := newParcel(t)
	use := func() {
		t.Helper()
		made, err := p.Wrap(p.ctx, time.Minute, "a/b", Answer{Status: 200, Body: []byte("{}")}, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Open(p.ctx, made.Token); err != nil {
			t.Fatal(err)
		}
	}
	for range 40 {
		use()
	}
	if n := p.count(usedPrefix); n != 40 || p.count(forgetPrefix) != n {
		t.Fatalf("%d uses, %d times", n, p.count(forgetPrefix))
	}
	p.clock.Add(2 * time.Minute)
	for range 4 {
		use()
	}
	if n := p.count(usedPrefix); n != 4 || p.count(forgetPrefix) != n {
		t.Errorf("%d uses and %d times are remembered, want the last four", n, p.count(forgetPrefix))
	}
}
