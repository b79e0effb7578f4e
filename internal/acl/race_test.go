package acl

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"jeton/internal/policy"
)

// TestNoStaleACL: whoever asks after a Put has returned never gets the ACL from before it,
// however many are asking meanwhile, with an entity and without.
func TestNoStaleACL(t *testing.T) {
	s, _ := open(t)
	const versions = 300
	text := func(v int) string {
		return fmt.Sprintf("path \"v/%d\" { capabilities = [\"read\"] }\npath \"own/{{identity.entity.id}}\" { capabilities = [\"read\"] }\n", v)
	}
	put(t, s, "dev", text(0))
	// written is the newest version whose Put has returned.
	var written atomic.Int64
	var readers sync.WaitGroup
	failed := make(chan string, 8)
	for i := range 8 {
		var subject *policy.Subject
		if i%2 == 0 {
			subject = &policy.Subject{ID: strconv.Itoa(i)}
		}
		readers.Go(func() {
			for written.Load() < versions {
				atLeast := written.Load()
				acl, err := s.For(t.Context(), []string{"dev"}, false, subject)
				if err != nil {
					failed <- err.Error()
					return
				}
				for _, rule := range acl.Rules() {
					text, ok := strings.CutPrefix(rule.Path, "v/")
					if !ok {
						continue
					}
					if got, err := strconv.Atoi(text); err != nil || int64(got) < atLeast {
						failed <- fmt.Sprintf("rule %q after version %d was written", rule.Path, atLeast)
						return
					}
				}
			}
		})
	}
	for v := 1; v <= versions; v++ {
		put(t, s, "dev", text(v))
		written.Store(int64(v))
	}
	readers.Wait()
	close(failed)
	for message := range failed {
		t.Error(message)
	}
}
