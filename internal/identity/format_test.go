package identity

import (
	"encoding/hex"
	"reflect"
	"slices"
	"testing"

	"jeton/internal/mac"
	"jeton/internal/record"
)

// TestStoredForms pins what is on disk: data written by one version is read by all later ones.
// A field that is added later must not change these bytes.
func TestStoredForms(t *testing.T) {
	for _, tt := range []struct {
		name string
		v    any
		want string
	}{
		{"entity", &Entity{Name: "n", Created: 1, Updated: 2}, "01a3" + "01616e" + "0801" + "0902"},
		{"entity, full", &Entity{Name: "n", Metadata: map[string]string{"k": "v"}, Policies: []string{"p"}, Disabled: true,
			Aliases: []Alias{{ID: "i", Name: "a", Mount: "m", Metadata: map[string]string{"k": "v"}, Custom: map[string]string{"c": "d"}, MergedFrom: []string{"f"}, Created: 1, Updated: 2}},
			Merged:  []string{"f"}, External: []Membership{{Group: "g", Mount: "m", Name: "x"}}, Created: 1, Updated: 2},
			"01a9" + "01616e" + "02a1616b6176" + "03816170" + "04f5" +
				"0581a8" + "016169" + "026161" + "03616d" + "04a1616b6176" + "05a161636164" + "06816166" + "0701" + "0802" +
				"06816166" + "0781a3" + "016167" + "02616d" + "036178" + "0801" + "0902"},
		{"group", &Group{Name: "n", External: true, Policies: []string{"p"}, Metadata: map[string]string{"k": "v"}, Entities: []string{"e"}, Groups: []string{"g"},
			Alias: &GroupAlias{ID: "i", Name: "a", Mount: "m", Created: 1, Updated: 2}, Modified: 3, Created: 1, Updated: 2},
			"01aa" + "01616e" + "02f5" + "03816170" + "04a1616b6176" + "05816165" + "06816167" +
				"07a5" + "016169" + "026161" + "03616d" + "0401" + "0502" + "0803" + "0901" + "0a02"},
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
	secret := [32]byte{1}
	s := &Store{hash: mac.NewKey(secret[:])}
	var got []string
	for _, e := range append(s.entries(&Entity{ID: "E", Name: "Né", Aliases: []Alias{{ID: "A", Name: "Ann ", Mount: "M"}}, Merged: []string{"F"},
		External: []Membership{{Group: "G", Mount: "M", Name: "x"}}}),
		s.groupEntries(&Group{ID: "G", Name: "g", Entities: []string{"E"}, Groups: []string{"H"}, Alias: &GroupAlias{ID: "B", Name: "b", Mount: "M"}})...) {
		k := string(e.key)
		if slices.Contains([]byte{nameKey, aliasKey, groupNameKey, groupAliasKey}, k[0]) {
			k = k[:1] + "#" // one hash is pinned below
		}
		got = append(got, k+"="+e.value)
	}
	want := []string{"n#=E", "a#=E", "iA=E", "wM/E=", "mF=E", "dG/E=", "h#=G", "x#=G", "yB=G", "vM/G=", "bE/G=", "cH/G="}
	if !slices.Equal(got, want) {
		t.Errorf("entries %q, want %q", got, want)
	}
	if upper := s.nameEntry(" NÉ"); !slices.Equal(upper, s.nameEntry("né")) {
		t.Error("names that differ in case have two keys")
	}
	const pinned = "6159089e29d9bc98b8f66d7446ea1d69041e2290b2508b4d55d6f5ef92f91af90b"
	if h := hex.EncodeToString(s.aliasEntry("M", "ann")); h != pinned {
		t.Errorf("the key of an alias is %s, want %s", h, pinned)
	}
}
