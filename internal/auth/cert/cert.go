// Package cert owns the login method of TLS client certificates: which certificates and
// authorities a mount trusts, what else a certificate must say, and whether it was revoked.
//
// What a login proves is possession of the certificate's key, which the TLS handshake has seen
// to, and what the certificate says, which is judged here.
package cert

import (
	"context"
	"log/slog"
	"net/http"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/outbound"
	"jeton/internal/store"
)

// Method is the login method of one mount.
type Method struct {
	area    *store.Area
	clock   clock.Clock
	log     *slog.Logger
	entries *entryCache
	crls    *crlCache
	answers *answerCache
	// http fetches CRLs and asks OCSP responders.
	http *http.Client
	// looked remembers when each CRL was last fetched.
	looked looked
	// stop ends the goroutine that fetches CRLs, ended is closed when it has.
	stop  context.CancelFunc
	ended chan struct{}
	// unsubscribe ends what keeps the caches true.
	unsubscribe []func()
}

var (
	_ backend.Factory = New
	_ backend.Renewer = (*Method)(nil)
	_ backend.Closer  = (*Method)(nil)
	_ backend.Checker = (*Method)(nil)
)

// New opens the method that lives in env.Area.
func New(ctx context.Context, env backend.Env) (backend.Backend, error) {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	m := &Method{
		area: env.Area, clock: env.Clock, log: env.Log,
		entries: newEntryCache(), crls: newCRLCache(), answers: newAnswerCache(),
		http: newClient(), stop: stop, ended: make(chan struct{}),
	}
	m.unsubscribe = []func(){env.Area.Subscribe(m.entries.changed), env.Area.Subscribe(m.crls.changed)}
	go func() {
		defer close(m.ended)
		m.refetchUntil(life)
	}()
	return m, nil
}

// Close ends the fetching of CRLs and lets go of connections.
func (m *Method) Close() error {
	m.stop()
	<-m.ended
	for _, end := range m.unsubscribe {
		end()
	}
	m.http.CloseIdleConnections()
	return nil
}

// newClient makes the client for CRLs and OCSP. Both speak plain HTTP as a rule: what they say is signed.
func newClient() *http.Client {
	transport := outbound.Transport(nil)
	transport.MaxConnsPerHost, transport.MaxIdleConns = 16, 16
	return &http.Client{
		Timeout:   askWithin,
		Transport: transport,
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) >= 3 {
				return errRedirects
			}
			return nil
		},
	}
}

// Routes is the method's table. Contract: auth-methods §7.
func (m *Method) Routes() []backend.Route {
	return []backend.Route{
		{
			Pattern: "login", Open: true,
			Summary: "Log in with the client certificate of the connection.",
			Write:   backend.Handle(m.login),
		},
		{
			Pattern: "certs",
			Summary: "Names of the trusted certificates.",
			List:    backend.Handle(m.listEntries),
		},
		{
			Pattern: "certs/{name|lower}",
			Summary: "One trusted certificate or authority, and what a login with it must fulfil.",
			Exists:  m.entryExists,
			Read:    backend.Handle(m.readEntry),
			Write:   backend.Handle(m.writeEntry),
			Delete:  backend.Handle(m.deleteEntry),
		},
		{
			Pattern: "crls",
			Summary: "Names of the revocation lists.",
			List:    backend.Handle(m.listCRLs),
		},
		{
			Pattern: "crls/{name|lower}",
			Summary: "One revocation list.",
			Detail:  "A list holds for the certificates of the authority that issued it, and for no other's.",
			Read:    backend.Handle(m.readCRL),
			Write:   backend.Handle(m.writeCRL),
			Delete:  backend.Handle(m.deleteCRL),
		},
		{
			Pattern: "config",
			Summary: "Settings of the method.",
			Read:    backend.Handle(m.readConfig),
			Write:   backend.Handle(m.writeConfig),
		},
	}
}

// The area of a mount:
//
//	cert/NAME    entryRecord
//	crl/NAME     crlRecord
//	cn/HASH      nameRecord, by SHA-256 of an alias's name in lower case
//	config       configRecord
const (
	entryPrefix = "cert/"
	crlPrefix   = "crl/"
	namePrefix  = "cn/"
)

var configKey = []byte("config")

func entryKey(name string) []byte { return []byte(entryPrefix + name) }
func crlKey(name string) []byte   { return []byte(crlPrefix + name) }

// named carries the capture of the paths below certs/ and crls/.
type named struct {
	Name string `json:"name" doc:"Its name."`
}

type listRequest struct {
	After string `json:"after" doc:"List what comes after this name."`
	Limit int    `json:"limit" doc:"List no more than this many; 0 is all."`
}

func (m *Method) listEntries(ctx context.Context, _ *backend.Call, req *listRequest) (*backend.Keys, error) {
	names, err := auth.ListNames(ctx, m.area, entryPrefix, req.After, req.Limit)
	return backend.Listing(names), err
}

func (m *Method) listCRLs(ctx context.Context, _ *backend.Call, req *listRequest) (*backend.Keys, error) {
	names, err := auth.ListNames(ctx, m.area, crlPrefix, req.After, req.Limit)
	return backend.Listing(names), err
}
