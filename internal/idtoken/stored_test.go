package idtoken

import (
	"testing"
	"time"

	"jeton/internal/record"
	"jeton/internal/record/recordtest"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/store/storetest"
)

// What is stored keeps its form: a later version must read these bytes.
func TestStoredForms(t *testing.T) {
	recordtest.Pinned(t, []recordtest.Pin{
		{Name: "config", In: &configRecord{Issuer: "https://a"}, Out: &configRecord{}, Golden: "01a1016968747470733a2f2f61"},
		{Name: "role", In: &roleRecord{Key: "k", Client: "c", TTL: time.Second, Template: "{}"}, Out: &roleRecord{}, Golden: "01a401616b026163031a3b9aca0004627b7d"},
		{Name: "key", In: &keyRecord{
			Settings: KeySettings{Algorithm: "EdDSA", Rotation: time.Minute, Verification: time.Hour, Clients: []string{"*"}},
			Signing:  pair{ID: "a", Private: []byte{1}, Algorithm: "EdDSA"}, Next: pair{ID: "b", Private: []byte{2}, Algorithm: "EdDSA"},
			Retired: []retired{{ID: "c", Public: []byte{3}, Algorithm: "ES256", Until: 4}}, RotateAt: 5,
		}, Out: &keyRecord{}, Golden: "01a501a401654564445341021b0000000df8475800031b0000034630b8a0000481612a02a30161610241010365456444534103a3016162024102036545644453410481a40161630241030365455332353604040505"},
	})
}

// Every durable step fails, fails but is persisted, or is the last thing the process does; a new
// process then finds keys that can sign and roles that have one, and a token that was answered
// is proved by what is published.
func TestFaults(t *testing.T) {
	storetest.EachFault(t, func(t *testing.T, inject func(*storetest.FaultyStore)) {
		inner, err := embedded.OpenMemory()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { inner.Close() })
		faulty := storetest.Faulty(inner)
		b := on(t, faulty)
		inject(faulty)
		ctx := t.Context()
		// What fails is the point; whatever becomes of a step, the next ones are tried.
		_ = b.WriteKey(ctx, "k", KeyChange{Algorithm: ptr("EdDSA"), Clients: &[]string{"*"}})
		_ = b.WriteRole(ctx, "r", RoleChange{Key: ptr("k"), TTL: ptr(24 * time.Hour)})
		var made []string
		for range 2 {
			if signed, err := b.Sign(ctx, "r", entity); err == nil {
				made = append(made, signed.Token)
			}
			b.clock.Add(time.Hour)
			_ = b.RotateKey(ctx, "k", nil)
		}
		_ = b.WriteKey(ctx, "k", KeyChange{Algorithm: ptr("ES256")})
		after := on(t, inner)
		after.clock.Add(2 * time.Hour)
		for _, text := range made {
			after.claims(text)
			after.holds(text, "", "")
		}
		after.must(after.Check(ctx, func(what string) { t.Error(what) }))
	})
}

// A check that finds nothing must be one that could.
func TestCheckBites(t *testing.T) {
	b := open(t)
	b.role(RoleChange{})
	rows := []struct {
		name string
		do   func(tx store.Tx) error
	}{
		{"a role without its key", func(tx store.Tx) error { return tx.Delete(keyAt("k")) }},
		{"a key that cannot be read", func(tx store.Tx) error { return tx.Put(keyAt("x"), []byte("?")) }},
		{"a pair that cannot sign", func(tx store.Tx) error { return record.Put(tx, keyAt("y"), &keyRecord{}) }},
		{"a key of no kind", func(tx store.Tx) error { return tx.Put([]byte("?"), nil) }},
	}
	for _, row := range rows {
		found := 0
		before := 0
		b.must(b.Check(t.Context(), func(string) { before++ }))
		b.must(b.area.Update(t.Context(), row.do))
		b.must(b.Check(t.Context(), func(string) { found++ }))
		if found <= before {
			t.Errorf("%s is not found", row.name)
		}
	}
}
