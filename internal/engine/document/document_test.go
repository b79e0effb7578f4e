package document_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"jeton/internal/engine/document"
	"jeton/internal/engine/enginetest"
	"jeton/internal/store"
)

func TestObjectsKeepEveryDigit(t *testing.T) {
	for _, text := range []string{
		`{"n":12345678901234567890}`, `{"n":1.10}`, `{"n":1e400}`, `{"n":-0}`, `{"n":0.1000000000000000055511151231257827}`,
		`{"a":"<&>","b":[1,{"c":null}],"d":""}`, `{}`,
	} {
		object, err := document.Decode([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := document.Encode(object); err != nil || string(again) != text {
			t.Errorf("%s became %s, %v", text, again, err)
		}
	}
}

func TestDecodeRefusesWhatIsNoObject(t *testing.T) {
	for _, text := range []string{"", "null", "[]", "1", `{"a"`} {
		if _, err := document.Decode([]byte(text)); err == nil {
			t.Errorf("%q was decoded", text)
		}
	}
}

// FuzzEncode: whatever is accepted has one stored form, which is kept by decoding it again.
func FuzzEncode(f *testing.F) {
	f.Add(`{"a":[1,{"b":null}],"c":"<&>\u2028"}`)
	f.Add(` {"n":1.0e-7,"n":2, "":{}} `)
	f.Fuzz(func(t *testing.T, text string) {
		object, err := document.Decode([]byte(text))
		if err != nil {
			return
		}
		stored, err := document.Encode(object)
		if err != nil {
			t.Fatal(err)
		}
		again, err := document.Decode(stored)
		if err != nil || !reflect.DeepEqual(again, object) {
			t.Fatalf("%q is stored as %q and read as %v, %v", text, stored, again, err)
		}
		if second, err := document.Encode(again); err != nil || string(second) != string(stored) {
			t.Fatalf("%q became %q, %v", stored, second, err)
		}
	})
}

// counted counts the pairs that scans step over.
type counted struct {
	store.Reader
	steps int
}

func (c *counted) Scan(r store.Range, fn func(key, value []byte) (bool, error)) error {
	return c.Reader.Scan(r, func(key, value []byte) (bool, error) {
		c.steps++
		return fn(key, value)
	})
}

func TestListSeeksPastFolders(t *testing.T) {
	s := enginetest.OpenStore(t)
	ctx := context.Background()
	err := s.Update(ctx, func(tx store.Tx) error {
		for i := range 20000 {
			if err := tx.Put(fmt.Appendf(nil, "kbig/%05d", i), nil); err != nil {
				return err
			}
		}
		return tx.Put([]byte("kz"), nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(ctx, func(r store.Reader) error {
		c := &counted{Reader: r}
		names, err := document.List(c, []byte("k"), "", "", 0)
		if want := []string{"big/", "z"}; !slices.Equal(names, want) {
			t.Errorf("listed %q, want %q", names, want)
		}
		if c.steps > 100 {
			t.Errorf("%d steps to list 2 names", c.steps)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestListAgainstReference compares List with the obvious way to do it, over random trees
// with many children that begin alike.
func TestListAgainstReference(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "a-", "a0", "ab", "a.", "\x00", "\xff", "ü"})
	rapid.Check(t, func(rt *rapid.T) {
		s := enginetest.OpenStore(t)
		paths := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) string {
			return strings.Join(rapid.SliceOfN(segment, 1, 4).Draw(rt, "segments"), "/")
		}), 0, 30).Draw(rt, "paths")
		if rapid.Bool().Draw(rt, "with a big folder") {
			for i := range 80 {
				paths = append(paths, fmt.Sprintf("a/%d", i))
			}
		}
		folder := rapid.SampledFrom([]string{"", "a", "a/a", "b", "none"}).Draw(rt, "folder")
		after := rapid.SampledFrom([]string{"", "a", "a/", "a/b", "a/0/x", "/", "a-", "b/", "\xff"}).Draw(rt, "after")
		limit := rapid.IntRange(-1, 5).Draw(rt, "limit")
		ctx := context.Background()
		err := s.Update(ctx, func(tx store.Tx) error {
			for _, path := range append([]string{"outside"}, paths...) {
				root := "k"
				if path == "outside" {
					root = "l"
				}
				if err := tx.Put([]byte(root+path), []byte("x")); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
		var got []string
		err = s.View(ctx, func(r store.Reader) (err error) {
			got, err = document.List(r, []byte("k"), folder, after, limit)
			return err
		})
		if err != nil {
			rt.Fatal(err)
		}
		if want := reference(paths, folder, after, limit); !slices.Equal(got, want) {
			rt.Fatalf("listed %q, want %q", got, want)
		}
	})
}

func reference(paths []string, folder, after string, limit int) []string {
	seen := map[string]bool{}
	for _, path := range paths {
		if folder != "" {
			rest, ok := strings.CutPrefix(path, folder+"/")
			if !ok {
				continue
			}
			path = rest
		}
		if head, _, ok := strings.Cut(path, "/"); ok {
			path = head + "/"
		}
		if path > after {
			seen[path] = true
		}
	}
	var names []string
	for name := range seen {
		names = append(names, name)
	}
	sort.Strings(names)
	if limit > 0 && len(names) > limit {
		names = names[:limit]
	}
	return names
}
