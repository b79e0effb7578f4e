package lease

import (
	"context"
	"testing"
	"time"

	"jeton/internal/engine/leasetest"
	"jeton/internal/store"
	"jeton/internal/store/storetest"
)

// scene is what a piece of work finds: a holder with two leases, ro-1 and ro-2.
type scene struct {
	*room
	holder  [16]byte
	id, id2 string
}

// TestFaults has every durable step of every piece of work fail, fail though it was written, or
// end the process. Whatever happened, a new process finds records and entries that agree,
// takes back every secret that is not somebody's, and leaves nothing behind.
func TestFaults(t *testing.T) {
	works := []struct {
		name string
		// prepare is done before anything can fail; nil for nothing.
		prepare func(s *scene)
		work    func(s *scene) error
		// acknowledged checks what the caller was told when work succeeded; nil for nothing.
		acknowledged func(s *scene)
	}{
		{name: "register", work: func(s *scene) error {
			f, _ := s.fresh("ro", s.holder)
			out, err := s.Register(s.ctx, f)
			if err == nil {
				s.id = out.ID
			}
			return err
		}, acknowledged: func(s *scene) {
			if s.lookup(s.id) == nil {
				s.t.Fatalf("a lease was answered and is not there")
			}
		}},
		{name: "register on the last use", work: func(s *scene) error {
			f, name := s.fresh("ro", s.holder)
			f.LastUse = true
			if _, err := s.Register(s.ctx, f); err != errLastUse {
				return err
			}
			if s.outside.Revoked(name) != 1 {
				s.t.Fatalf("answered, and not taken back")
			}
			return nil
		}},
		{name: "renew", work: func(s *scene) error {
			_, err := s.Renew(s.ctx, s.id, 5*time.Hour)
			return err
		}, acknowledged: func(s *scene) {
			if l := s.lookup(s.id); l.TTL(s.clock.Now()) != 5*time.Hour {
				s.t.Fatalf("renewed to %s", l.TTL(s.clock.Now()))
			}
		}},
		{name: "revoke", work: func(s *scene) error { return s.Revoke(s.ctx, s.id) },
			acknowledged: func(s *scene) { s.gone(s.id, "ro-1") }},
		{name: "revoke without waiting", work: func(s *scene) error { return s.End(s.ctx, s.id) },
			acknowledged: func(s *scene) {
				if _, err := s.Renew(s.ctx, s.id, 0); err == nil {
					s.t.Fatalf("a revoked lease was renewed")
				}
			}},
		{name: "revoke-prefix", work: func(s *scene) error { return s.RevokePrefix(s.ctx, "db/") },
			acknowledged: func(s *scene) { s.gone(s.id, "ro-1"); s.gone(s.id2, "ro-2") }},
		{name: "revoke-force", work: func(s *scene) error { return s.RevokeForce(s.ctx, "db/") },
			acknowledged: func(s *scene) { s.gone(s.id, "ro-1"); s.gone(s.id2, "ro-2") }},
		{name: "the holder dies", work: func(s *scene) error {
			return s.raw.Update(s.ctx, func(tx store.Tx) error {
				if _, err := s.Release(tx, s.holder, 64); err != nil {
					return err
				}
				return tx.Delete(tokenKey(s.holder))
			})
		}, acknowledged: func(s *scene) {
			for _, id := range []string{s.id, s.id2} {
				if _, err := s.Renew(s.ctx, id, 0); err == nil {
					s.t.Fatalf("a dead token's lease was renewed")
				}
			}
		}},
		{name: "sweep", prepare: func(s *scene) { s.clock.Add(time.Hour) }, work: func(s *scene) error {
			_, err := s.Sweep(s.ctx)
			s.Wait()
			return err
		}},
		{name: "sweep, and the engine fails", prepare: func(s *scene) {
			s.clock.Add(time.Hour)
			s.outside.FailRevoke(away)
		}, work: func(s *scene) error {
			_, err := s.Sweep(s.ctx)
			s.Wait()
			return err
		}},
		{name: "sweep, and the engine refuses", prepare: func(s *scene) {
			s.clock.Add(time.Hour)
			s.outside.FailRevoke(denies)
		}, work: func(s *scene) error {
			_, err := s.Sweep(s.ctx)
			s.Wait()
			return err
		}},
	}
	for _, w := range works {
		t.Run(w.name, func(t *testing.T) {
			storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
				f := storetest.Faulty(memory(t))
				s := &scene{room: roomOver(t, f)}
				t.Cleanup(func() { s.Store.Close() })
				s.outside.SetRole("ro", leasetest.Role{TTL: time.Hour})
				s.holder = s.token()
				s.id, _ = s.issue("ro", s.holder)
				s.id2, _ = s.issue("ro", s.holder)
				if w.prepare == nil {
					// A process that has died asks nobody.
					s.outside.FailRevoke(func(context.Context, string) error {
						if f.Died() {
							return storetest.ErrDied
						}
						return nil
					})
				} else {
					w.prepare(s)
				}
				inject(f)
				err := w.work(s)
				died := f.Died()
				s.reopen(f.Inner())
				s.outside.FailRevoke(nil)
				s.mustCheck()
				if err == nil && !died && w.acknowledged != nil {
					w.acknowledged(s)
				}
				s.settled(died)
			})
		})
	}
}

// settled lets all time pass and looks for what is left.
func (s *scene) settled(died bool) {
	s.t.Helper()
	s.clock.Add(2 * month)
	s.sweepAll()
	s.mustCheck()
	s.empty()
	for i := range s.outside.Issued() {
		name := "ro-" + string(rune('1'+i))
		switch n := s.outside.Revoked(name); {
		case n == 1:
		case n == 2:
			// The engine had done it and the process died, or the store failed, before that was
			// written down. It is asked again, and has to take that.
		case n == 0 && name == "ro-3" && died:
			// The process died between the engine's work and the first durable step: what an
			// engine makes outside before it has written it down, the engine alone can find.
		default:
			s.t.Fatalf("the secret %s was taken back %d times", name, n)
		}
	}
}
