package token

import (
	"strings"
	"testing"

	"jeton/internal/store/storetest"
)

// Contract: tokens §1.2, and the design's 90 to 100 characters that scanners know.
func TestTextForms(t *testing.T) {
	w := newWorld(t)
	service := w.plain()
	body, ok := strings.CutPrefix(service.Text, "hvs.")
	if !ok || len(body) < 90 || len(body) > 100 {
		t.Errorf("a service token of %d characters", len(service.Text))
	}
	if root := w.root.Text; len(root) != 28 || !strings.HasPrefix(root, "hvs.") || !isBase62(root[4:]) {
		t.Errorf("a root token of %d characters", len(root))
	}
	batch := w.create(w.root, func(a *Ask) { a.Type, a.Policies = "batch", []string{"web"} })
	if !strings.HasPrefix(batch.Text, "hvb.") || batch.Token.Accessor != "" {
		t.Errorf("batch token %q", batch.Text[:4])
	}
	if a := service.Token.Accessor; len(a) != 24 || !isBase62(a) {
		t.Errorf("accessor %q", a)
	}
	if other := w.plain(); other.Text == service.Text || other.Token.Accessor == service.Token.Accessor {
		t.Error("the same again")
	}
}

// What is stored names nobody: contract tokens §1.6, and the design's "never stored".
func TestNoTextIsStored(t *testing.T) {
	s := memory(t)
	w := worldOver(t, s)
	i := w.plain()
	custom := w.create(w.root, func(a *Ask) { a.ID, a.Policies = "my-own-token", []string{"web"} })
	for _, k := range w.keys() {
		for _, secret := range []string{i.Text, i.Text[4:44], custom.Text, w.root.Text[4:], i.Token.Accessor} {
			if strings.Contains(k, secret) {
				t.Fatalf("a key holds a token or an accessor")
			}
		}
	}
}

// A token that was not made here is refused without a look at the store: whatever byte of it
// was changed, cut or added.
func TestTamperedTextTouchesNoStorage(t *testing.T) {
	s := &storetest.Counting{Store: memory(t)}
	w := worldOver(t, s)
	service := w.plain()
	batch := w.create(w.root, func(a *Ask) { a.Type, a.Policies, a.Orphan = "batch", []string{"web"}, true })
	var bad []string
	for _, text := range []string{service.Text, batch.Text} {
		for at := 4; at < len(text); at++ {
			for _, c := range []byte{'A', 'B', '_', '-', '.', ' ', '=', 0, 0xff, text[at] ^ 1} {
				if c != text[at] {
					bad = append(bad, text[:at]+string([]byte{c})+text[at+1:])
				}
			}
			bad = append(bad, text[:at]+text[at+1:])
			if at != len(servicePrefix)+plainChars { // else it has a root token's form, which the store must be asked about
				bad = append(bad, text[:at])
			}
		}
		bad = append(bad, text+"A", text+"=", text+"\n", " "+text, strings.ToUpper(text), "s"+text[3:])
	}
	bad = append(bad, "", ".", "hvs.", "hvb.", "hvr.x", "s.abcdefghijklmnopqrstuvwx", "hvs."+strings.Repeat("!", 24),
		"hvs."+strings.Repeat("a", 23), "hvs."+strings.Repeat("a", 25), strings.Repeat("a", maxText+1), "hvb."+strings.Repeat("A", maxText))
	s.Reset()
	for _, text := range bad {
		found, err := w.Find(w.ctx, text)
		w.ok(err)
		if found != nil {
			t.Fatalf("a tampered token of %d characters is good", len(text))
		}
	}
	if n := s.Views.Load() + s.Updates.Load(); n != 0 {
		t.Errorf("%d looks at the store for %d tampered tokens", n, len(bad))
	}
	w.mustLive(service, batch)
}

// Tokens of another server are nothing here, batch tokens neither.
func TestTokensOfAnotherServer(t *testing.T) {
	w := newWorld(t)
	mine, err := newTexts(func(string) [32]byte { return [32]byte{1} })
	w.ok(err)
	foreign := mine.service(newRandomness(), 1)
	batch, err := mine.sealBatch(&Token{Batch: true, Policies: []string{"root"}, Root: true})
	w.ok(err)
	for _, text := range []string{foreign, batch} {
		if found, err := w.Find(w.ctx, text); found != nil || err != nil {
			t.Errorf("found %v, %v", found, err)
		}
	}
}

// A batch token that is too long to be presented is not handed out.
func TestBatchTokenTooLong(t *testing.T) {
	w := newWorld(t)
	w.refused(ask(w.root, func(a *Ask) {
		a.Type, a.Policies, a.Meta = "batch", []string{"web"}, map[string]string{"a": strings.Repeat("x", maxText)}
	}), "a batch token carries all its data, and this is more than one can hold")
}

func FuzzFind(f *testing.F) {
	w := worldOver(f, memory(f))
	i := w.plain()
	batch := w.create(w.root, func(a *Ask) { a.Type, a.Policies = "batch", []string{"web"} })
	for _, seed := range []string{i.Text, w.root.Text, batch.Text, "root", "", "hvs.", "hvb.AAAA"} {
		f.Add(seed)
	}
	good := map[string]bool{i.Text: true, w.root.Text: true, batch.Text: true}
	f.Fuzz(func(t *testing.T, text string) {
		found, err := w.Find(w.ctx, text)
		if err != nil {
			t.Fatal(err)
		}
		if (found != nil) != good[text] {
			t.Errorf("found %t, a token made here %t", found != nil, good[text])
		}
	})
}
