package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"jeton/internal/store"
)

// bigValue is more than a backend's page, log record or write buffer is likely to hold: 5 MB.
const bigValue = 5 << 20

func keyTests() []test {
	return []test{
		{"an absent key is ErrNotFound", func(t *testing.T, s store.Store) {
			view(t, s, func(r store.Reader) error {
				wantAbsent(t, r, "absent")
				wantAbsent(t, r, "")
				return nil
			})
		}},
		{"put, get, overwrite, delete", testLifeOfKey},
		{"an empty value is not an absent one", func(t *testing.T, s store.Store) {
			put(t, s, pair{"empty", ""})
			view(t, s, func(r store.Reader) error {
				v, err := r.Get([]byte("empty"))
				if err != nil || v == nil || len(v) != 0 {
					t.Errorf("Get of an empty value = %#v, %v, want a non-nil empty slice", v, err)
				}
				return nil
			})
		}},
		{"any bytes make a key, and keys are ordered by them", testBinaryKeys},
		{"a value that Get returned is the caller's", testCallerOwnsValue},
		{"Put copies what it is given", testPutCopies},
		{"big values", testBigValues},
		{"long keys", func(t *testing.T, s store.Store) {
			long := strings.Repeat("k", 32<<10)
			put(t, s, pair{long + "a", "1"}, pair{long + "b", "2"})
			wantContents(t, s, pair{long + "a", "1"}, pair{long + "b", "2"})
		}},
		{"deleting an absent key is no error", func(t *testing.T, s store.Store) {
			update(t, s, func(tx store.Tx) error { return tx.Delete([]byte("absent")) })
			wantContents(t, s)
		}},
		{"what was put once is withdrawn, also by its own transaction, and may be put again", testWithdraw},
		{"nothing of the store's own is in sight", func(t *testing.T, s store.Store) {
			putKeys(t, s, "only")
			update(t, s, func(tx store.Tx) error { return tx.DeleteRange(nil, nil) })
			wantContents(t, s)
			if got := position(t, s); got < 2 {
				t.Errorf("position = %d after two commits, the second of which deleted everything", got)
			}
		}},
	}
}

func testWithdraw(t *testing.T, s store.Store) {
	for range 3 {
		put(t, s, pair{"k", "1"}, pair{"other", "2"})
		view(t, s, func(r store.Reader) error { wantValue(t, r, "k", "1"); return nil })
		update(t, s, func(tx store.Tx) error {
			if err := tx.Withdraw([]byte("k")); err != nil {
				return err
			}
			wantAbsent(t, tx, "k")
			if err := tx.Put([]byte("brief"), []byte("3")); err != nil {
				return err
			}
			wantValue(t, tx, "brief", "3")
			return tx.Withdraw([]byte("brief"))
		})
		wantContents(t, s, pair{"other", "2"})
		// Get may answer from what is remembered of a key, which Scan does not.
		for _, key := range []string{"k", "brief"} {
			view(t, s, func(r store.Reader) error { wantAbsent(t, r, key); return nil })
			update(t, s, func(tx store.Tx) error { wantAbsent(t, tx, key); return nil })
		}
	}
}

func testLifeOfKey(t *testing.T, s store.Store) {
	put(t, s, pair{"k", "1"})
	view(t, s, func(r store.Reader) error { wantValue(t, r, "k", "1"); return nil })
	put(t, s, pair{"k", "2"})
	view(t, s, func(r store.Reader) error { wantValue(t, r, "k", "2"); return nil })
	update(t, s, func(tx store.Tx) error { return tx.Delete([]byte("k")) })
	view(t, s, func(r store.Reader) error { wantAbsent(t, r, "k"); return nil })
	put(t, s, pair{"k", "3"})
	wantContents(t, s, pair{"k", "3"})
}

func testBinaryKeys(t *testing.T, s store.Store) {
	ordered := []string{
		"", "\x00", "\x00\x00", "\x00\x01", "\x00\xff", "\x01", "\x01\x00", "a", "a\x00", "a\x00b", "a\xff",
		"b", "position", "\xfe\xff", "\xff", "\xff\x00", "\xff\xff", "\xff\xff\xff",
	}
	for i := range ordered { // written in another order than they are read
		k := ordered[(i*7)%len(ordered)]
		put(t, s, pair{k, fmt.Sprintf("%x", k)})
	}
	var want []pair
	for _, k := range ordered {
		want = append(want, pair{k, fmt.Sprintf("%x", k)})
	}
	wantContents(t, s, want...)
	view(t, s, func(r store.Reader) error {
		for _, p := range want {
			wantValue(t, r, p.key, p.value)
		}
		return nil
	})
}

func testCallerOwnsValue(t *testing.T, s store.Store) {
	put(t, s, pair{"k", "value"})
	var first []byte
	view(t, s, func(r store.Reader) (err error) {
		if first, err = r.Get([]byte("k")); err != nil {
			return err
		}
		copy(first, "XXXXX")
		wantValue(t, r, "k", "value")
		return nil
	})
	view(t, s, func(r store.Reader) error { wantValue(t, r, "k", "value"); return nil })
	put(t, s, pair{"k", "other"})
	if string(first) != "XXXXX" {
		t.Errorf("value changed to %q in the caller's hands", first)
	}
	update(t, s, func(tx store.Tx) error {
		v, err := tx.Get([]byte("k"))
		if err != nil {
			return err
		}
		copy(v, "YYYYY")
		wantValue(t, tx, "k", "other")
		return nil
	})
}

func testPutCopies(t *testing.T, s store.Store) {
	update(t, s, func(tx store.Tx) error {
		key, value := []byte("key-1"), []byte("value-1")
		if err := tx.Put(key, value); err != nil {
			return err
		}
		copy(key, "key-2")
		copy(value, "value-2")
		if err := tx.Put(key, value); err != nil {
			return err
		}
		copy(key, "key-3")
		if err := tx.Delete(key); err != nil {
			return err
		}
		copy(key, "XXXXX")
		copy(value, "XXXXXXX")
		return nil
	})
	wantContents(t, s, pair{"key-1", "value-1"}, pair{"key-2", "value-2"})
}

func testBigValues(t *testing.T, s store.Store) {
	big := bytes.Repeat([]byte("0123456789abcdef"), bigValue/16)
	// Together more than most write buffers: such commits may take another path.
	update(t, s, func(tx store.Tx) error {
		for i := range 5 {
			if err := tx.Put(fmt.Appendf(nil, "big/%d", i), big); err != nil {
				return err
			}
		}
		got, err := tx.Get([]byte("big/3"))
		if !bytes.Equal(got, big) {
			t.Error("a transaction does not read its own big value")
		}
		return err
	})
	putKeys(t, s, "small")
	view(t, s, func(r store.Reader) error {
		n := 0
		err := r.Scan(store.PrefixRange([]byte("big/")), func(_, v []byte) (bool, error) {
			if n++; !bytes.Equal(v, big) {
				t.Errorf("big value %d is not what was put", n)
			}
			return true, nil
		})
		if n != 5 {
			t.Errorf("%d big values, want 5", n)
		}
		wantValue(t, r, "small", "small")
		return err
	})
}
