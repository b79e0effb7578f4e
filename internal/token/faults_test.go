package token

import (
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/store"
	"jeton/internal/store/storetest"
)

// step is one durable step and what it may leave behind when it goes wrong.
type step struct {
	name string
	// prepare makes what the step works on; do is the step; verify sees the restarted room
	// and whether the step claimed success.
	prepare func(w *world) *Issued
	do      func(w *world, i *Issued) (*Issued, error)
	verify  func(w *world, i, out *Issued, succeeded bool)
}

var plainToken = func(w *world) *Issued { return w.plain() }

// family is a token with two children, one with a child of its own.
func family(w *world) *Issued {
	parent := w.plain()
	w.child(w.child(parent))
	w.child(parent)
	return parent
}

// steps are all durable steps of the room.
func steps() []step {
	return []step{
		{"create", plainToken,
			func(w *world, i *Issued) (*Issued, error) { return w.Create(w.ctx, ask(i, nil)) },
			func(w *world, i, out *Issued, succeeded bool) { wholeOrNot(w, out, succeeded, 3) }},
		{"login with Consume", plainToken,
			func(w *world, i *Issued) (*Issued, error) {
				return w.IssueLogin(w.ctx, &backend.Login{Consume: func(tx store.Tx) error { return w.boxes.put(tx, ID{1}, "spent") }}, loginMount, "auth/userpass/login/a", "")
			},
			func(w *world, i, out *Issued, succeeded bool) {
				wholeOrNot(w, out, succeeded, 3)
				if consumed := len(w.boxKeys()) == 1; consumed != (w.records() == 3) {
					w.t.Fatalf("consumed %t, %d tokens", consumed, w.records())
				}
			}},
		{"root", plainToken,
			func(w *world, i *Issued) (*Issued, error) { return w.IssueRoot(w.ctx, "", nil) },
			func(w *world, i, out *Issued, succeeded bool) { wholeOrNot(w, out, succeeded, 3) }},
		{"wrapping", plainToken,
			func(w *world, i *Issued) (*Issued, error) {
				return w.IssueWrapping(w.ctx, time.Minute, "a", func(tx store.Tx, id ID) error { return w.boxes.put(tx, id, "response") })
			},
			func(w *world, i, out *Issued, succeeded bool) {
				wholeOrNot(w, out, succeeded, 3)
				if filled := len(w.boxKeys()) == 1; filled != (w.records() == 3) {
					w.t.Fatalf("filled %t, %d tokens", filled, w.records())
				}
			}},
		{"renew", plainToken,
			func(w *world, i *Issued) (*Issued, error) { _, err := w.renew(i, time.Hour); return i, err },
			func(w *world, i, _ *Issued, succeeded bool) {
				w.mustLive(i)
				got, err := w.FindID(w.ctx, i.Token.ID)
				w.ok(err)
				if short := got.Life.LastTTL == 3600; succeeded && !short {
					w.t.Fatalf("a renewal that succeeded is lost")
				}
			}},
		{"spend", func(w *world) *Issued { return w.limited(1) },
			func(w *world, i *Issued) (*Issued, error) { _, err := w.Spend(w.ctx, i.Token); return i, err },
			func(w *world, i, _ *Issued, succeeded bool) {
				if succeeded {
					w.mustBeDead(i)
				}
			}},
		{"revoke", family,
			func(w *world, i *Issued) (*Issued, error) { return i, w.Revoke(w.ctx, i.Token.ID, Revoked, "") },
			func(w *world, i, _ *Issued, succeeded bool) { deadOrNot(w, i, succeeded, 1, 5) }},
		{"revoke alone", family,
			func(w *world, i *Issued) (*Issued, error) {
				_, err := w.RevokeOrphan(w.ctx, i.Token.ID, "")
				return i, err
			},
			func(w *world, i, _ *Issued, succeeded bool) { deadOrNot(w, i, succeeded, 4, 5) }},
		{"sweep of what expired", func(w *world) *Issued {
			i := w.create(w.root, func(a *Ask) { a.Policies, a.TTL = []string{"web"}, "1m" })
			w.child(i)
			w.clock.Add(time.Minute)
			return i
		},
			func(w *world, i *Issued) (*Issued, error) { _, err := w.Sweep(w.ctx); return i, err },
			func(w *world, i, _ *Issued, _ bool) { deadOrNot(w, i, true, 1, 1) }},
		{"sweep of what ended", func(w *world) *Issued {
			i := family(w)
			w.revoke(i)
			return i
		},
			func(w *world, i *Issued) (*Issued, error) {
				for {
					if n, err := w.Sweep(w.ctx); n == 0 || err != nil {
						return i, err
					}
				}
			},
			func(w *world, i, _ *Issued, _ bool) { deadOrNot(w, i, true, 1, 1) }},
		{"use up", func(w *world) *Issued {
			return w.must(w.IssueWrapping(w.ctx, time.Minute, "a", func(tx store.Tx, id ID) error { return w.boxes.put(tx, id, "response") }))
		},
			func(w *world, i *Issued) (*Issued, error) {
				return i, w.whole.Update(w.ctx, func(tx store.Tx) error { _, err := w.UseUp(tx, i.Token.ID); return err })
			},
			func(w *world, i, _ *Issued, succeeded bool) {
				if succeeded {
					w.mustBeDead(i)
				}
				if filled := len(w.boxKeys()) == 1; filled != w.lives(i) {
					w.t.Fatalf("filled %t, living %t", filled, w.lives(i))
				}
			}},
		{"revoke by path", func(w *world) *Issued {
			first := family(w)
			for range sweepBatch {
				w.plain()
			}
			return first
		},
			func(w *world, i *Issued) (*Issued, error) { return i, w.RevokePath(w.ctx, "auth/token/create", "") },
			func(w *world, i, _ *Issued, succeeded bool) {
				if succeeded {
					w.mustBeDead(i)
				}
			}},
	}
}

func (w *world) boxKeys() (keys []string) {
	for _, k := range w.keys() {
		if k[:4] == "box/" {
			keys = append(keys, k)
		}
	}
	return keys
}

// wholeOrNot: a token that was issued lives; one that was not is given to nobody.
func wholeOrNot(w *world, out *Issued, succeeded bool, whole int) {
	w.t.Helper()
	if succeeded {
		w.mustLive(out)
	} else if out != nil {
		w.t.Fatalf("a token that failed to be stored was handed out")
	}
	if n := w.records(); n != whole && (succeeded || n != whole-1) {
		w.t.Fatalf("%d records", n)
	}
}

// deadOrNot: after success the token is dead and in the end leaves only those records; after
// a failure it is dead or as it was.
func deadOrNot(w *world, i *Issued, succeeded bool, ended, untouched int) {
	w.t.Helper()
	living := w.lives(i)
	if succeeded && living {
		w.t.Fatalf("what was ended lives")
	}
	w.sweepAll()
	want := ended
	if living {
		want = untouched
	}
	if n := w.records(); n != want {
		w.t.Fatalf("%d records, want %d; living %t", n, want, living)
	}
}

// Every durable step, at every Update of it: it fails, it fails and was persisted, the process
// dies before it or after it. Then the room is opened again, and nothing dangles.
// Contract: leases §7.18: no kill falls between a token and its lease. They are one record here:
// were they two writes, a death between them would leave a token that wholeOrNot finds.
func TestFaults(t *testing.T) {
	for _, s := range steps() {
		t.Run(s.name, func(t *testing.T) {
			storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
				faulty := storetest.Faulty(memory(t))
				w := worldOver(t, faulty)
				i := s.prepare(w)
				inject(faulty)
				out, err := s.do(w, i)
				if !faulty.Died() {
					w.mustCheck()
				}
				w.Store.Close()
				w.raw = faulty.Inner()
				w.boxes.area = store.NewArea(w.raw, []byte("box/"))
				w.Store = w.open(w.raw)
				defer w.Store.Close()
				w.mustCheck()
				s.verify(w, i, out, err == nil)
				w.sweepAll()
				w.mustCheck()
			})
		})
	}
}
