package node

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"compress/gzip"
)

// written is a snapshot of pairs.
func written(t *testing.T, key [32]byte, pairs [][2][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := newSnapshotWriter(&out, SnapshotMeta{Format: 1, ClusterID: "c", Position: 7, Taken: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pairs {
		if err := w.pair(p[0], p[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.finish(key); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// The form of a snapshot, as docs/storage-format.md has it, does not change unnoticed.
func TestSnapshotForm(t *testing.T) {
	z, err := gzip.NewReader(bytes.NewReader(written(t, [32]byte{1}, [][2][]byte{{[]byte("a"), []byte("1")}, {[]byte("b"), nil}})))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`{"format":1,"cluster_id":"c","position":7,"taken":"2026-03-01T12:00:00Z"}`, "\x01a\x011\x01b\x00",
	} {
		if !bytes.Contains(plain, []byte(part)) {
			t.Errorf("it lacks %q", part)
		}
	}
	sum := sha256.Sum256(plain)
	const want = "64b434cdb508b6ebaa5e6c047382af249602ffeb5fab5608ab121e6fb3f5973c"
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("the form is %s, want %s: give a new form a new number", got, want)
	}
}

// What is written is read back, whatever the sizes and wherever members are cut.
func TestSnapshotRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, sizes := range [][]int{nil, {0}, {1, memberBytes - 4, memberBytes, memberBytes + 1}, {3 * memberBytes}, {100, 100, 100}} {
		var pairs [][2][]byte
		for i, n := range sizes {
			value := make([]byte, n)
			for j := range value {
				value[j] = byte(r.Uint32())
			}
			pairs = append(pairs, [2][]byte{{byte(i), 'k'}, value})
		}
		key := [32]byte{9}
		in, err := newSnapshotReader(bytes.NewReader(written(t, key, pairs)))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range pairs {
			k, v, err := in.pair()
			if err != nil || !bytes.Equal(k, want[0]) || !bytes.Equal(v, want[1]) {
				t.Fatalf("sizes %v: pair %d is %q and %d bytes, %v", sizes, i, k, len(v), err)
			}
		}
		if _, _, err := in.pair(); !errors.Is(err, io.EOF) {
			t.Fatalf("sizes %v: after the last pair: %v", sizes, err)
		}
		if sealed, err := in.verify(key); err != nil || !sealed {
			t.Errorf("sizes %v: sealed %t, %v", sizes, sealed, err)
		}
	}
	in, err := newSnapshotReader(bytes.NewReader(written(t, [32]byte{1}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := in.pair(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if sealed, err := in.verify([32]byte{2}); err != nil || sealed {
		t.Errorf("under another key: sealed %t, %v", sealed, err)
	}
}

// FuzzSnapshotReader: no bytes make the reader panic or allocate without bound.
func FuzzSnapshotReader(f *testing.F) {
	f.Add([]byte("\x01a\x011\x01b\x00"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add([]byte("\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, state []byte) {
		var out bytes.Buffer
		w, err := newSnapshotWriter(&out, SnapshotMeta{Format: 1})
		if err != nil {
			t.Fatal(err)
		}
		w.buf = state
		if err := w.finish([32]byte{}); err != nil {
			t.Fatal(err)
		}
		in, err := newSnapshotReader(&out)
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, _, err = in.pair(); err != nil {
				break
			}
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, ErrBadSnapshot) {
			t.Error(err)
		}
	})
}
