package mac

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
)

// A lent state hashes as a new one does, whatever it hashed before and by how many at once.
func TestHashes(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	k := NewKey(key)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 200 {
				text := fmt.Sprint("text ", i, " of ", j*j*j)
				fresh := hmac.New(sha256.New, key)
				fresh.Write([]byte(text))
				got := k.Append([]byte("prefix/"), func(m []byte) []byte { return append(m, text...) })
				if want := fresh.Sum([]byte("prefix/")); !hmac.Equal(got, want) {
					t.Errorf("%q: %x, want %x", text, got, want)
				}
			}
		})
	}
	all.Wait()
}

// Neither the text nor its hash is left in a state that is lent again.
func TestTextsAreForgotten(t *testing.T) {
	k := NewKey([]byte("key"))
	var scratch []byte
	k.Append(nil, func(m []byte) []byte {
		scratch = append(m, "a secret"...)
		return scratch
	})
	for _, b := range scratch {
		if b != 0 {
			t.Fatalf("left behind: %q", scratch)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	k := NewKey(make([]byte, 32))
	var out [Size]byte
	b.ReportAllocs()
	for b.Loop() {
		k.Append(out[:0], func(m []byte) []byte { return append(m, "the text that is hashed, of usual length"...) })
	}
}
