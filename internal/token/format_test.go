package token

import (
	"encoding/hex"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"jeton/internal/record"
	"jeton/internal/seal"
	"jeton/internal/store"
)

// TestStoredForms pins what is on disk: data written by one version is read by all later ones.
// A field that is added later must not change these bytes.
func TestStoredForms(t *testing.T) {
	for _, tt := range []struct {
		name string
		v    any
		want string
	}{
		{"accessor", &accessorEntry{ID: ID{15: 1}, Accessor: "a"}, "01a2" + "0150" + strings.Repeat("00", 15) + "01" + "026161"},
		{"token", &Token{Accessor: "a", Parent: ID{15: 2}, Depth: 1, Policies: []string{"p"}, Root: true, EntityID: "e", Uses: -1,
			BoundCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Origin: Origin{Path: "x"}, Life: Life{Created: 5}, End: &End{Cause: Revoked, At: 6}},
			"01ac" + "016161" + "0250" + strings.Repeat("00", 15) + "02" + "0301" + "04816170" + "05f5" + "06f6" + "076165" + "0820" + "0981450a00000008" +
				"0aa1016178" + "0ba10105" + "0ca201677265766f6b65640206"},
		{"role", &Role{Name: "r", AllowedPolicies: []string{"p"}, Renewable: true, Period: time.Second, TokenType: "service"},
			"01" + "a5" + "016172" + "02816170" + "08f5" + "0a1a3b9aca00" + "0f6773657276696365"},
	} {
		got, err := record.Encode(tt.v)
		if err != nil || hex.EncodeToString(got) != tt.want {
			t.Errorf("%s: %x, %v\nwant %s", tt.name, got, err, tt.want)
		}
		back := reflect.New(reflect.TypeOf(tt.v).Elem()).Interface()
		if err := record.Decode(got, back); err != nil || !reflect.DeepEqual(back, tt.v) {
			t.Errorf("%s came back as %+v, %v", tt.name, back, err)
		}
	}
}

// Keys are pinned as well: they are how everything is found.
func TestStoredKeys(t *testing.T) {
	child := &Token{ID: ID{15: 7}, Parent: ID{15: 6}, Origin: Origin{Path: "p"}, Life: Life{Expires: 258, Leased: true}}
	id, parent := string(child.ID[:]), string(child.Parent[:])
	var got []string
	for _, k := range child.entries() {
		got = append(got, string(k))
	}
	if want := []string{"c" + parent + id, "x\x00\x00\x00\x00\x00\x00\x01\x02" + id, "lp\x00" + id}; !reflect.DeepEqual(got, want) {
		t.Errorf("entries %q, want %q", got, want)
	}
	child.End = &End{}
	if got := child.entries(); len(got) != 1 || string(got[0]) != "q"+id {
		t.Errorf("entries of an ended token %q", got)
	}
}

// One value that does not decrypt stops neither the sweeper nor anybody else's token, and
// Check says where it is.
func TestAValueThatDoesNotDecrypt(t *testing.T) {
	raw := memory(t)
	ring, err := seal.NewKeyring(epoch)
	if err != nil {
		t.Fatal(err)
	}
	w := worldOver(t, seal.Encrypted(raw, ring))
	defer func() { w.Store.Close() }()
	parent := w.create(w.root, func(a *Ask) { a.Policies, a.TTL = []string{"web"}, "1h" })
	bad, good := w.child(parent), w.child(parent)
	other := w.plain()
	w.ok(raw.Update(w.ctx, func(tx store.Tx) error {
		at := append([]byte("token/"), idKey(recordKey, bad.Token.ID)...)
		value, err := tx.Get(at)
		if err != nil {
			return err
		}
		value[len(value)-1] ^= 1
		return tx.Put(at, value)
	}))
	w.reopen()
	if found, err := w.Find(w.ctx, bad.Text); found != nil || err == nil {
		t.Errorf("found %v, %v", found, err)
	}
	w.mustLive(parent, good, other)
	said := w.problems()
	if len(said) == 0 || said[0].ID != bad.Token.ID || said[0].What != "a record that cannot be read" {
		t.Errorf("check says %v", said)
	}
	w.revoke(parent)
	w.mustBeDead(parent, good)
	w.sweepAll()
	w.mustBeDead(parent, good)
	w.mustLive(other, w.root)
	if ids, err := w.Quarantined(w.ctx); err != nil || len(ids) != 1 || ids[0] != bad.Token.ID {
		t.Errorf("quarantined %x, %v", ids, err)
	}
	listed := 0
	if _, err := w.Accessors(w.ctx, "", 0, func(string) { listed++ }); err != nil || listed != 2 {
		t.Errorf("%d accessors, %v", listed, err)
	}
}
