package lease

import (
	"encoding/hex"
	"strings"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
)

// What is stored stays readable: the bytes of a record with every field.
func TestStoredForm(t *testing.T) {
	l := &Lease{Holder: backend.TokenID{1, 2, 3}, Bound: 1e18, Mount: "leasing_1", State: []byte("state"), Renewable: true,
		Issued: 5, Expires: 7, Renewed: 6, LastTTL: 60, MaxTTL: 3600,
		End: &End{Cause: Revoked, At: 7, Next: 8, Attempts: 6, Error: "away", Irrevocable: true}}
	got, err := record.Encode(l)
	if err != nil {
		t.Fatal(err)
	}
	const want = "01ab01500102030000000000" + "0000000000000000021b0de0b6b3a764000003696c656173696e675f310445737461746505f5" +
		"06050707080609183c0a190e100ba601677265766f6b656402070308040605646177617906f5"
	if hex.EncodeToString(got) != want {
		t.Fatalf("stored form\n%x, want\n%s", got, want)
	}
	back := new(Lease)
	if err := record.Decode(got, back); err != nil || back.Mount != l.Mount || *back.End != *l.End || back.Holder != l.Holder {
		t.Fatalf("read back %+v, %v", back, err)
	}
}

// Check finds what is wrong. Each row breaks one thing.
func TestCheck(t *testing.T) {
	at := func(l *Lease, kind byte) []byte {
		for _, k := range l.entries() {
			if k[0] == kind {
				return k
			}
		}
		return nil
	}
	rows := []struct {
		name  string
		what  string
		wreck func(tx store.Tx, l *Lease) error
	}{
		{"nothing", "", func(store.Tx, *Lease) error { return nil }},
		{"no due entry", "a lease without one of its entries", func(tx store.Tx, l *Lease) error { return tx.Delete(at(l, dueKey)) }},
		{"no holder entry", "a lease without one of its entries", func(tx store.Tx, l *Lease) error { return tx.Delete(at(l, holderKey)) }},
		{"no record", "an entry without a lease", func(tx store.Tx, l *Lease) error { return tx.Delete(recordOf(l.ID)) }},
		{"a second due entry", "an entry that its lease does not have", func(tx store.Tx, l *Lease) error {
			return tx.Put(dueEntry(l.Mount, l.Expires+1, l.ID), nil)
		}},
		{"an irrevocable entry", "an entry that its lease does not have", func(tx store.Tx, l *Lease) error {
			return tx.Put(irrevocableEntry(l.Expires, l.ID), nil)
		}},
		{"a tally of nothing", "a tally that is wrong", func(tx store.Tx, l *Lease) error {
			return record.Put(tx, tallyOf(l.Mount), &tally{Count: 1})
		}},
		{"no tally", "irrevocable leases that no tally counts", func(tx store.Tx, l *Lease) error {
			bad := l.ended(Expired, epoch.UnixNano())
			bad.End.Irrevocable = true
			if err := put(tx, l, bad); err != nil {
				return err
			}
			return tx.Delete(tallyOf(l.Mount))
		}},
		{"without end", "a lease without end", func(tx store.Tx, l *Lease) error {
			bad := *l
			bad.Expires = 0
			return put(tx, l, &bad)
		}},
		{"held by nobody", "a lease that nobody holds", func(tx store.Tx, l *Lease) error {
			bad := *l
			bad.Holder = backend.TokenID{}
			return put(tx, l, &bad)
		}},
		{"longer than its batch token", "a lease that outlives its batch token", func(tx store.Tx, l *Lease) error {
			bad := *l
			bad.Bound = l.Expires - 1
			return put(tx, l, &bad)
		}},
		{"long overdue", "a lease that the sweeper has forgotten", func(tx store.Tx, l *Lease) error {
			return put(tx, l, l.ended(Revoked, epoch.UnixNano()))
		}},
		{"no CBOR", "a lease that cannot be read", func(tx store.Tx, l *Lease) error { return tx.Put(recordOf(l.ID), []byte("x")) }},
		{"a foreign key", "a key of no known kind", func(tx store.Tx, _ *Lease) error { return tx.Put([]byte("y"), nil) }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := roomOver(t, memory(t))
			id, _ := r.issue("ro", r.token())
			r.ok(r.area.Update(r.ctx, func(tx store.Tx) error {
				l, err := load(tx, id)
				if err != nil {
					return err
				}
				return row.wreck(tx, l)
			}))
			r.clock.Add(overdue - 1)
			for _, p := range r.problems() {
				if strings.Contains(p.What, "forgotten") {
					t.Fatalf("the sweeper has had no time: %s", p)
				}
			}
			r.clock.Add(2)
			found := r.problems()
			if row.what == "" {
				if len(found) != 0 {
					t.Fatalf("found %v", found)
				}
				return
			}
			for _, p := range found {
				if strings.HasPrefix(p.String(), row.what) {
					return
				}
			}
			t.Fatalf("found %v, want %q", found, row.what)
		})
	}
}

func TestClip(t *testing.T) {
	for _, text := range []string{"", "short", strings.Repeat("x", 240), strings.Repeat("x", 241), strings.Repeat("ä", 500), "x" + strings.Repeat("ä", 500)} {
		got := clip(text)
		if len(got) > maxError || !strings.HasPrefix(text, got) || strings.ToValidUTF8(got, "") != got || (len(text) > maxError && len(got) < maxError-3) {
			t.Errorf("clip of %d bytes has %d", len(text), len(got))
		}
	}
}
