package cert_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jeton/internal/auth/authtest"
	"jeton/internal/auth/cert"
	"jeton/internal/auth/cert/certtest"
	"jeton/internal/backend"
)

// Contract: auth-methods §7, crls/:name. CVE-2022-41316: a list holds for the first login after a start.
func TestRevokedAtFirstLoginCVE202241316(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	entry(t, b, "e", object{"certificate": root.PEM()})
	alice, bob := root.Issue("alice"), root.Issue("bob")
	mustLogin(t, b, alice, nil)
	root.Revoke(alice)
	b.Must(t, backend.Update, "crls/l", object{"crl": root.CRLPEM()})
	refused(t, b, alice, noMatch)
	mustLogin(t, b, bob, nil)
	b.Remount(t)
	refused(t, b, alice, noMatch)
	mustLogin(t, b, bob, nil)

	got := b.Must(t, backend.Read, "crls/L", nil)
	serials := got["serials"].(object)
	if _, ok := serials[alice.Cert.SerialNumber.String()]; !ok || len(serials) != 1 || got["cdp"] != nil || got["stale"] != false {
		t.Errorf("read %v", got)
	}
	if keys := b.Keys(t, "crls"); !slices.Equal(keys, []string{"l"}) {
		t.Errorf("listed %v", keys)
	}
	root.Unrevoke()
	b.Must(t, backend.Update, "crls/l", object{"crl": root.CRLPEM()})
	mustLogin(t, b, alice, nil)
	b.Must(t, backend.Delete, "crls/l", nil)
	b.Refused(t, backend.Delete, "crls/l", nil, backend.Invalid, "no such CRL l")
	b.Refused(t, backend.Read, "crls/l", nil, backend.Invalid, "no such CRL l")
}

// Contract: auth-methods §7, a list revokes what its own authority issued, intermediates too.
func TestWhoseSerial(t *testing.T) {
	one, two := ca(t, "one"), ca(t, "two")
	serial := func(c *x509.Certificate) { c.SerialNumber = big.NewInt(7777) }
	a, b2 := one.Issue("a", serial), two.Issue("b", serial)
	b := bench(t)
	entry(t, b, "one", object{"certificate": one.PEM()})
	entry(t, b, "two", object{"certificate": two.PEM()})
	one.Revoke(a)
	b.Must(t, backend.Update, "crls/one", object{"crl": one.CRLPEM()})
	refused(t, b, a, noMatch)
	mustLogin(t, b, b2, nil)

	t.Run("another key of the same name", func(t *testing.T) {
		renewed := one.Renewed()
		entry(t, b, "renewed", object{"certificate": renewed.PEM()})
		mustLogin(t, b, renewed.Issue("c", serial), nil)
	})
	t.Run("an intermediate", func(t *testing.T) {
		middle := two.Below("middle")
		leaf := middle.Issue("leaf")
		mustLogin(t, b, leaf, nil)
		two.Revoke(&certtest.Leaf{Cert: middle.Cert})
		b.Must(t, backend.Update, "crls/two", object{"crl": two.CRLPEM()})
		refused(t, b, leaf, noMatch)
	})
	t.Run("a pinned certificate, its issuer known by its names only", func(t *testing.T) {
		b := bench(t)
		three := ca(t, "three")
		leaf := three.Issue("leaf")
		entry(t, b, "pin", object{"certificate": leaf.PEM()})
		mustLogin(t, b, leaf, nil)
		three.Revoke(leaf)
		b.Must(t, backend.Update, "crls/l", object{"crl": three.CRLPEM()})
		refused(t, b, leaf, noMatch)
		b.Must(t, backend.Update, "crls/l", object{"crl": three.Renewed().CRLPEM()})
		mustLogin(t, b, leaf, nil)
	})
}

// Contract: auth-methods §7, errors of crls/:name; what is not a whole list of one authority is refused.
func TestCRLErrors(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	entry(t, b, "e", object{"certificate": root.PEM()})
	extension := func(oid asn1.ObjectIdentifier, value []byte) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) {
			l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: oid, Critical: true, Value: value})
		}
	}
	forged := root.CRL()
	forged[len(forged)-1] ^= 1
	for name, row := range map[string]struct {
		data object
		text string
	}{
		"neither":            {object{}, "one of 'crl' or 'url' must be provided"},
		"both":               {object{"crl": root.CRLPEM(), "url": "http://127.0.0.1:1"}, "one of 'crl' or 'url' must be provided"},
		"nonsense":           {object{"crl": "nonsense"}, "failed to parse CRL: it is no X.509 revocation list"},
		"a certificate":      {object{"crl": root.PEM()}, "failed to parse CRL: want one PEM block of type X509 CRL"},
		"two of them":        {object{"crl": root.CRLPEM() + root.CRLPEM()}, "failed to parse CRL: want one PEM block of type X509 CRL"},
		"a delta":            {object{"crl": root.CRLPEM(extension(asn1.ObjectIdentifier{2, 5, 29, 27}, []byte{2, 1, 1}))}, "failed to parse CRL: it is a delta: only whole lists are supported"},
		"indirect":           {object{"crl": root.CRLPEM(extension(asn1.ObjectIdentifier{2, 5, 29, 28}, []byte{0x30, 3, 0x84, 1, 0xff}))}, "failed to parse CRL: it is indirect: only lists of the issuing authority are supported"},
		"a forged signature": {object{"crl": certtest.CRLToPEM(forged)}, "failed to parse CRL: it is not signed by the authority that it names"},
		"not the web":        {object{"url": "file:///etc/passwd"}, "'url' must begin with http:// or https://"},
		"nobody there":       {object{"url": "http://127.0.0.1:1/x"}, "failed to fetch the CRL: the server cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			b.Refused(t, backend.Update, "crls/l", row.data, backend.Invalid, row.text)
		})
	}
	b.Must(t, backend.Update, "crls/scoped", object{"crl": root.CRLPEM(extension(asn1.ObjectIdentifier{2, 5, 29, 28}, []byte{0x30, 3, 0x81, 1, 0xff}))})
	// In DER, as a list of another authority than the mount's.
	b.Must(t, backend.Update, "crls/other", object{"crl": ca(t, "other").CRLPEM()})
	if keys := b.Keys(t, "crls"); !slices.Equal(keys, []string{"other", "scoped"}) {
		t.Errorf("listed %v", keys)
	}
	for i := range 98 {
		b.Must(t, backend.Update, "crls/n"+big.NewInt(int64(i)).String(), object{"crl": ca(t, "other").CRLPEM()})
	}
	b.Refused(t, backend.Update, "crls/more", object{"crl": root.CRLPEM()}, backend.Invalid, "there are too many CRLs on this mount: at most 100, and 64 MiB together")
	b.Must(t, backend.Update, "crls/n1", object{"crl": root.CRLPEM()})
}

// A list that names a trusted authority and its key, and was written before the authority was trusted, is
// no list of it when the signature is wrong: nobody of it gets in until that is settled.
func TestForgedListFailsClosed(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	forged := root.CRL()
	forged[len(forged)-1] ^= 1
	b.Must(t, backend.Update, "crls/l", object{"crl": certtest.CRLToPEM(forged)})
	entry(t, b, "e", object{"certificate": root.PEM()})
	refused(t, b, root.Issue("alice"), noMatch)
	b.Must(t, backend.Update, "crls/l", object{"crl": root.CRLPEM()})
	mustLogin(t, b, root.Issue("alice"), nil)
}

// library serves revocation lists.
type library struct {
	mu    sync.Mutex
	body  []byte
	how   func(http.ResponseWriter)
	asked int
}

func (l *library) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if l.how != nil {
		l.how(w)
		return
	}
	_, _ = w.Write(l.body)
}

func (l *library) serve(body []byte, how func(http.ResponseWriter)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.body, l.how = body, how
}

func (l *library) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked
}

// Contract: auth-methods §7, a list by URL is fetched at once, and again; what cannot be had, is forged
// or older leaves the old one in force; a stale one goes on holding.
func TestCRLByURL(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	entry(t, b, "e", object{"certificate": root.PEM()})
	alice, bob := root.Issue("alice"), root.Issue("bob")
	shelf := &library{}
	web := httptest.NewServer(shelf)
	t.Cleanup(web.Close)
	older := root.CRL()
	root.Revoke(alice)
	shelf.serve(root.CRL(), nil)
	b.Must(t, backend.Update, "crls/web", object{"url": web.URL + "/list"})
	refused(t, b, alice, noMatch)
	if got := b.Must(t, backend.Read, "crls/web", nil)["cdp"].(object); got["url"] != web.URL+"/list" {
		t.Errorf("cdp %v", got)
	}
	refetch := func() {
		t.Helper()
		if err := b.Backend.(*cert.Method).Refetch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	root.Revoke(bob)
	shelf.serve([]byte(root.CRLPEM()), nil)
	refetch()
	mustLogin(t, b, bob, nil)
	if n := shelf.count(); n != 1 {
		t.Errorf("asked %d times before it was due", n)
	}
	b.Clock.Add(time.Hour)
	refetch()
	refused(t, b, bob, noMatch)

	forged := root.CRL()
	forged[len(forged)-1] ^= 1
	for name, row := range map[string]struct {
		body []byte
		how  func(http.ResponseWriter)
	}{
		"an older edition":    {older, nil},
		"a forged one":        {forged, nil},
		"another authority's": {ca(t, "root").CRL(), nil},
		"nonsense":            {[]byte("nonsense"), nil},
		"an error":            {nil, func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }},
		"no end":              {nil, func(w http.ResponseWriter) { flood(w, 17<<20) }},
		"redirects":           {nil, func(w http.ResponseWriter) { w.Header().Set("Location", web.URL); w.WriteHeader(http.StatusFound) }},
		"nothing":             {nil, func(http.ResponseWriter) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(name, func(t *testing.T) {
			shelf.serve(row.body, row.how)
			// After a failure the next attempt is a minute away, after a success an hour.
			b.Clock.Add(time.Hour + time.Minute)
			before := shelf.count()
			refetch()
			if shelf.count() == before {
				t.Error("nobody asked")
			}
			refused(t, b, bob, noMatch)
		})
	}
	t.Run("stale", func(t *testing.T) {
		b.Clock.Add(25 * time.Hour)
		if got := b.Must(t, backend.Read, "crls/web", nil); got["stale"] != true {
			t.Errorf("read %v", got)
		}
		refused(t, b, bob, noMatch)
		mustLogin(t, b, root.Issue("carol"), nil)
		fresh := root.CRL(func(l *x509.RevocationList) {
			l.ThisUpdate, l.NextUpdate = b.Clock.Now(), b.Clock.Now().Add(time.Hour)
			l.RevokedCertificateEntries = nil
		})
		shelf.serve(fresh, nil)
		b.Clock.Add(time.Minute)
		refetch()
		mustLogin(t, b, bob, nil)
	})
}

func flood(w io.Writer, size int) {
	chunk := make([]byte, 64<<10)
	for written := 0; written < size; written += len(chunk) {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// A list that does not answer keeps the rest of the mount going, and Close does not wait for it.
func TestSlowCRLServer(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	entry(t, b, "e", object{"certificate": root.PEM()})
	entered, release := make(chan bool, 1), make(chan bool)
	slow := false
	list := root.CRL()
	var mu sync.Mutex
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		wait := slow
		mu.Unlock()
		if wait {
			entered <- true
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		_, _ = w.Write(list)
	}))
	t.Cleanup(web.Close)
	t.Cleanup(func() { close(release) })
	b.Must(t, backend.Update, "crls/l", object{"url": web.URL})
	mu.Lock()
	slow = true
	mu.Unlock()
	b.Clock.Add(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Backend.(*cert.Method).Refetch(ctx) }()
	<-entered
	mustLogin(t, b, root.Issue("alice"), nil)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A stored list that cannot be read lets nobody in.
func TestUnreadableListFailsClosed(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	entry(t, b, "e", object{"certificate": root.PEM()})
	b.Must(t, backend.Update, "crls/l", object{"crl": root.CRLPEM()})
	if err := b.Area.Update(t.Context(), cert.Spoil("l")); err != nil {
		t.Fatal(err)
	}
	as(b, root.Issue("alice"))
	_, err := b.Login(t.Context(), "login", nil)
	if backend.KindOf(err) != backend.Internal || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("%v", err)
	}
	b.Must(t, backend.Delete, "crls/l", nil)
	mustLogin(t, b, root.Issue("alice"), nil)
}

// Many logins at once read the lists once, and agree.
func TestParallelLogins(t *testing.T) {
	root := ca(t, "root")
	b := bench(t)
	entry(t, b, "e", object{"certificate": root.PEM()})
	alice := root.Issue("alice")
	root.Revoke(alice)
	b.Must(t, backend.Update, "crls/l", object{"crl": root.CRLPEM()})
	b.Remount(t)
	as(b, alice)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := b.Login(t.Context(), "login", nil); err == nil || err.Error() != noMatch {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
}

// The goroutine that fetches ends with the method.
func TestCloseEndsFetching(t *testing.T) {
	made, err := cert.New(t.Context(), backend.Env{Area: authtest.New(t, cert.New).Area, Clock: bench(t).Clock, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := made.(backend.Closer).Close(); err != nil {
		t.Fatal(err)
	}
}
