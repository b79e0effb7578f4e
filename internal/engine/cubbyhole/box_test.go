package cubbyhole

import (
	"encoding/hex"
	"fmt"
	"testing"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
)

// TestStoredFormat pins what is on disk: data written by one version is read by all later ones.
func TestStoredFormat(t *testing.T) {
	got, err := record.Encode(&objectRecord{JSON: []byte("{}")})
	if want := "01" + "a1" + "01427b7d"; err != nil || hex.EncodeToString(got) != want {
		t.Errorf("object: %x, %v, want %s", got, err, want)
	}
	id := backend.TokenID{0: 'i', 15: 'd'}
	if key := string(objectKey(id, "a/b")); key != string(id[:])+"a/b" {
		t.Errorf("key %q", key)
	}
}

// deletions counts how a transaction deletes.
type deletions struct {
	store.Tx
	keys, ranges int
}

func (d *deletions) Delete(key []byte) error { d.keys++; return d.Tx.Delete(key) }

func (d *deletions) DeleteRange(from, to []byte) error { d.ranges++; return d.Tx.DeleteRange(from, to) }

// TestErase: a box is emptied whole, its neighbours are not, and a range is deleted only where
// there is much in it.
func TestErase(t *testing.T) {
	for _, tt := range []struct{ objects, keys, ranges int }{
		{0, 0, 0}, {1, 1, 0}, {eraseOneByOne, eraseOneByOne, 0}, {eraseOneByOne + 1, 0, 1}, {3 * eraseOneByOne, 0, 1},
	} {
		t.Run(fmt.Sprintf("%d objects", tt.objects), func(t *testing.T) {
			s, err := embedded.OpenMemory()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			id, before, after := backend.TokenID{15: 5}, backend.TokenID{15: 4}, backend.TokenID{15: 6}
			err = s.Update(t.Context(), func(tx store.Tx) error {
				for _, neighbour := range []backend.TokenID{before, after} {
					if err := Put(tx, neighbour, "a", []byte("{}")); err != nil {
						return err
					}
				}
				for n := range tt.objects {
					if err := Put(tx, id, fmt.Sprintf("a/%d", n), []byte("{}")); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			var how deletions
			err = s.Update(t.Context(), func(tx store.Tx) error {
				how = deletions{Tx: tx}
				return Erase(&how, id)
			})
			if err != nil || how.keys != tt.keys || how.ranges != tt.ranges {
				t.Errorf("%d keys and %d ranges deleted, %v; want %d and %d", how.keys, how.ranges, err, tt.keys, tt.ranges)
			}
			left := 0
			err = s.View(t.Context(), func(r store.Reader) error {
				left = 0
				return r.Scan(store.Range{KeysOnly: true}, func(_, _ []byte) (bool, error) { left++; return true, nil })
			})
			if err != nil || left != 2 {
				t.Errorf("%d objects are left, %v; want those of the two neighbours", left, err)
			}
		})
	}
}
