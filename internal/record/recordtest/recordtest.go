// Package recordtest owns the proof that stored records keep their form: a later version must read
// the bytes that this one writes.
package recordtest

import (
	"encoding/hex"
	"reflect"
	"testing"

	"jeton/internal/record"
)

// Pin is one record and the bytes, in hex, that it is stored as. Out is an empty one of its type.
type Pin struct {
	Name    string
	In, Out any
	Golden  string
}

// Pinned checks that each record is stored as its bytes, and read back from them as it was.
func Pinned(t *testing.T, pins []Pin) {
	t.Helper()
	for _, p := range pins {
		t.Run(p.Name, func(t *testing.T) {
			data, err := record.Encode(p.In)
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(data); got != p.Golden {
				t.Errorf("stored as %s", got)
			}
			stored, err := hex.DecodeString(p.Golden)
			if err != nil {
				t.Fatal(err)
			}
			if err := record.Decode(stored, p.Out); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(p.In, p.Out) {
				t.Errorf("read back as %+v, want %+v", p.Out, p.In)
			}
		})
	}
}
