package node_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/mount"
	"jeton/internal/node"
	"jeton/internal/store"
	"jeton/internal/store/embedded"
	"jeton/internal/token"
)

// server is a node over a store in memory.
type server struct {
	*node.Node
	raw   *embedded.Store
	log   *bytes.Buffer
	share []byte
	root  string
}

// fresh is a server that is initialised and open.
func fresh(t *testing.T) *server {
	t.Helper()
	raw, err := embedded.OpenMemory()
	if err != nil {
		t.Fatal(err)
	}
	s := over(t, raw)
	dev, err := s.StartDev(t.Context(), node.DevOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.share, s.root = dev.UnsealKey, dev.RootToken
	return s
}

func over(t *testing.T, raw *embedded.Store) *server {
	t.Helper()
	s := &server{raw: raw, log: &bytes.Buffer{}}
	s.Node = node.New(raw, nil, clock.NewSteady(time.Now, time.Time{}), node.Settings{
		Limits: mount.Limits{DefaultTTL: time.Hour, MaxTTL: time.Hour}, Log: slog.New(slog.NewTextHandler(s.log, nil)),
	})
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

// in runs fn in the house.
func (s *server) in(t *testing.T, fn func(h *node.House)) {
	t.Helper()
	h := s.Enter()
	if h == nil {
		t.Fatal("the server is sealed")
	}
	defer h.Leave()
	fn(h)
}

// limits are a mount's.
func limits() backend.Mount {
	return backend.Mount{DefaultTTL: time.Hour, MaxTTL: time.Hour, SystemMaxTTL: time.Hour}
}

// make issues a token.
func (s *server) make(t *testing.T) (text string) {
	t.Helper()
	s.in(t, func(h *node.House) {
		issued, err := h.Tokens.IssueLogin(t.Context(), &backend.Login{}, limits(), "auth/x/login", "")
		if err != nil {
			t.Fatal(err)
		}
		text = issued.Text
	})
	return text
}

func (s *server) lives(t *testing.T, text string) (alive bool) {
	t.Helper()
	s.in(t, func(h *node.House) {
		found, err := h.Tokens.Find(t.Context(), text)
		alive = err == nil && found != nil
	})
	return alive
}

func (s *server) snapshot(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	s.in(t, func(h *node.House) {
		if err := s.SnapshotTo(t.Context(), h, &out); err != nil {
			t.Fatal(err)
		}
	})
	return out.Bytes()
}

func (s *server) open(t *testing.T, share []byte) {
	t.Helper()
	if _, err := s.SubmitShare(t.Context(), "", share); err != nil {
		t.Fatal(err)
	}
	if s.Sealed() {
		t.Fatal("the share does not open the server")
	}
}

// sound checks that nothing is wrong with the data.
func (s *server) sound(t *testing.T) {
	t.Helper()
	records, err := s.Check(t.Context(), func(p node.Problem) { t.Errorf("check: %s", p) })
	if err != nil || records == 0 {
		t.Errorf("check: %d records, %v", records, err)
	}
}

// A snapshot brings the data back as it was, with the same shares; what was revoked since lives
// again, and the operator is told.
func TestRestore(t *testing.T) {
	s := fresh(t)
	kept, revoked := s.make(t), s.make(t)
	file := s.snapshot(t)
	late := s.make(t)
	s.in(t, func(h *node.House) {
		found, err := h.Tokens.Find(t.Context(), revoked)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Tokens.Revoke(t.Context(), found.ID, token.Revoked, ""); err != nil {
			t.Fatal(err)
		}
	})
	out, err := s.Restore(t.Context(), bytes.NewReader(file), false)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Sealed() {
		t.Error("the server is open after a restore")
	}
	if !strings.Contains(out.Warning(), "revoke again") || !strings.Contains(s.log.String(), "restored a snapshot") {
		t.Errorf("warning %q, log %s", out.Warning(), s.log)
	}
	s.open(t, s.share)
	if !s.lives(t, kept) || !s.lives(t, revoked) || s.lives(t, late) {
		t.Errorf("kept %t, revoked %t, late %t", s.lives(t, kept), s.lives(t, revoked), s.lives(t, late))
	}
	s.sound(t)
}

// On a machine of other keys force is needed, and the old shares open what it then holds.
func TestRestoreElsewhere(t *testing.T) {
	s := fresh(t)
	kept := s.make(t)
	file := s.snapshot(t)
	other := fresh(t)
	own := other.make(t)
	_, err := other.Restore(t.Context(), bytes.NewReader(file), false)
	if err == nil || !strings.HasPrefix(err.Error(), "could not verify hash file, possibly the snapshot is using a different set of unseal keys") {
		t.Fatalf("a foreign snapshot: %v", err)
	}
	if !other.lives(t, own) {
		t.Fatal("a refused snapshot changed something")
	}
	if _, err := other.Restore(t.Context(), bytes.NewReader(file), true); err != nil {
		t.Fatal(err)
	}
	if status, err := other.SubmitShare(t.Context(), "", other.share); err == nil && !status.Sealed {
		t.Error("the shares of before still open the server")
	}
	other.open(t, s.share)
	if !other.lives(t, kept) || other.lives(t, own) {
		t.Error("the data is not the snapshot's")
	}
	other.sound(t)
}

// A snapshot that is taken under load is one state of the store: nothing in it contradicts itself.
func TestSnapshotUnderLoad(t *testing.T) {
	s := fresh(t)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for ctx.Err() == nil {
				h := s.Enter()
				issued, err := h.Tokens.IssueLogin(context.Background(), &backend.Login{}, limits(), "auth/x/login", "")
				if err == nil {
					err = h.Tokens.Revoke(context.Background(), issued.Token.ID, token.Revoked, "")
				}
				h.Leave()
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var files [][]byte
	for range 8 {
		files = append(files, s.snapshot(t))
	}
	stop()
	writers.Wait()
	for i, file := range files {
		other := fresh(t)
		if _, err := other.Restore(t.Context(), bytes.NewReader(file), true); err != nil {
			t.Fatalf("snapshot %d: %v", i, err)
		}
		other.open(t, s.share)
		other.sound(t)
	}
}

// unzip and zip take a snapshot out of its compression and back.
func unzip(t *testing.T, file []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func zip(t *testing.T, plain []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What is cut short, changed or something else is refused, with force too, and changes nothing.
func TestRestoreRefuses(t *testing.T) {
	s := fresh(t)
	file := s.snapshot(t)
	plain := unzip(t, file)
	kept := s.make(t)
	bad := map[string][]byte{
		"empty":            {},
		"text":             []byte("hello"),
		"compressed text":  zip(t, []byte("hello")),
		"compressed zeros": zip(t, make([]byte, 4096)),
		"followed by more": append(bytes.Clone(file), "more"...),
	}
	// Behind the last member there are but zeros, which nobody misses.
	content := bytes.Index(plain, []byte("SHA256SUMS.sealed"))
	for i := 1; i < 12; i++ {
		bad[fmt.Sprintf("cut at %d/12", i)] = file[:len(file)*i/12]
		bad[fmt.Sprintf("unzipped and cut at %d/12", i)] = zip(t, plain[:content*i/12])
	}
	// One bit of the meta data, of the state, and of the sum.
	for _, name := range []string{"cluster_id", "token/", "seal/root-key"} {
		at := bytes.Index(plain, []byte(name))
		if at < 0 {
			t.Fatalf("the snapshot has no %s", name)
		}
		changed := bytes.Clone(plain)
		changed[at+len(name)+3] ^= 1
		bad["a changed bit after "+name] = zip(t, changed)
	}
	for name, data := range bad {
		for _, force := range []bool{false, true} {
			_, err := s.Restore(t.Context(), bytes.NewReader(data), force)
			if err == nil {
				t.Fatalf("%s (force: %t): restored", name, force)
			}
			if kind := backend.KindOf(err); kind != backend.Invalid {
				t.Errorf("%s: %v is of kind %v", name, err, kind)
			}
		}
	}
	if s.Sealed() || !s.lives(t, kept) {
		t.Error("a refused snapshot changed something")
	}
	s.sound(t)
}

// A reader that fails in the middle leaves everything as it was.
func TestRestoreInterrupted(t *testing.T) {
	s := fresh(t)
	file := s.snapshot(t)
	kept := s.make(t)
	ctx, cancel := context.WithCancel(t.Context())
	in := io.MultiReader(bytes.NewReader(file[:len(file)/2]), cancelling{cancel}, bytes.NewReader(file[len(file)/2:]))
	if _, err := s.Restore(ctx, in, false); err == nil {
		t.Error("a restore whose request ended went on")
	}
	if s.Sealed() || !s.lives(t, kept) {
		t.Error("an interrupted restore changed something")
	}
	// And the next one is not in its way.
	if _, err := s.Restore(t.Context(), bytes.NewReader(file), false); err != nil {
		t.Error(err)
	}
}

// cancelling ends the request when the stream comes to it.
type cancelling struct{ cancel func() }

func (c cancelling) Read([]byte) (int, error) { c.cancel(); return 0, io.EOF }

// Every kind of damage that the walk looks for is found.
func TestCheckFinds(t *testing.T) {
	put := func(key, value string) func(t *testing.T, s *server) {
		return func(t *testing.T, s *server) {
			s.in(t, func(h *node.House) {
				if err := h.Store.Update(t.Context(), func(tx store.Tx) error { return tx.Put([]byte(key), []byte(value)) }); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
	tests := map[string]struct {
		damage func(t *testing.T, s *server)
		want   string
	}{
		"a key of no room":       {put("attic/x", ""), `record: a key of no room: "attic/x"`},
		"data of no mount":       {put("mount/d/11111111/p", ""), `mount: data of no mount: "11111111"`},
		"an entry that is none":  {put("mount/e/11111111", "x"), `mount: an entry that cannot be read: "11111111"`},
		"a record that is none":  {put("policy/p/x", "\x01\xff\xff"), `record: a value that does not decode: "policy/p/x"`},
		"a stray key of a token": {put("token/?", ""), "token: a key of no known kind"},
		"a stray key of a lease": {put("lease/?", ""), "lease: a key of no known kind"},
		"a changed ciphertext": {func(t *testing.T, s *server) {
			err := s.raw.Update(t.Context(), func(tx store.Tx) error { return tx.Put([]byte("policy/p/x"), []byte("plain text")) })
			if err != nil {
				t.Fatal(err)
			}
		}, `record: a value that does not decrypt: "policy/p/x"`},
		"a cubbyhole without a token": {func(t *testing.T, s *server) {
			s.in(t, func(h *node.House) {
				key := append(h.Mounts.DataPrefix("cubbyhole/"), "0123456789abcdef/x"...)
				if err := h.Store.Update(t.Context(), func(tx store.Tx) error { return tx.Put(key, nil) }); err != nil {
					t.Fatal(err)
				}
			})
		}, "cubbyhole: a cubbyhole without a token: 30313233"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := fresh(t)
			s.sound(t)
			tt.damage(t, s)
			var found []string
			if _, err := s.Check(t.Context(), func(p node.Problem) { found = append(found, p.String()) }); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(found, "\n"), tt.want) {
				t.Errorf("found %q, want %q", found, tt.want)
			}
		})
	}
}
