package cert

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"jeton/internal/record"
	"jeton/internal/store"
)

const (
	// askWithin bounds one question to another server.
	askWithin = 10 * time.Second
	// refetchEvery paces the look at what is due, and the attempts after a failure.
	refetchEvery = time.Minute
	// fetchedFor is how long a list that was fetched is left alone, unless it says itself that
	// its next edition is out.
	fetchedFor = time.Hour
)

// fetch gets a list from a web address.
func (m *Method) fetch(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return m.ask(req, mostCRLSize)
}

// ask makes a request and reads an answer of status 200. Its errors tell nothing of the address,
// which may carry a password.
func (m *Method) ask(req *http.Request, most int64) ([]byte, error) {
	resp, err := m.http.Do(req)
	if err != nil {
		return nil, errors.New(reason(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errStatus
	}
	data, err := readBounded(resp.Body, most)
	if err != nil {
		return nil, errors.New(reason(err))
	}
	return data, nil
}

func readBounded(r io.Reader, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(data)) > most {
		err = errTooLarge
	}
	return data, err
}

// reason is what may be told of a failed question: errors of the HTTP client repeat the address.
func reason(err error) string {
	switch {
	case errors.Is(err, errTooLarge):
		return errTooLarge.Error()
	case errors.Is(err, errRedirects):
		return errRedirects.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "the server did not answer in time"
	}
	return "the server cannot be reached"
}

// looked remembers when each list was last fetched, or tried to be.
type looked struct {
	mu sync.Mutex
	at map[string]time.Time // guarded by mu
}

func (l *looked) set(name string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at == nil {
		l.at = map[string]time.Time{}
	}
	l.at[name] = at
}

func (l *looked) get(name string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at[name]
}

// refetchUntil keeps the lists that come from the network fresh, until ctx ends.
func (m *Method) refetchUntil(ctx context.Context) {
	tick := time.NewTicker(refetchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := m.Refetch(ctx); err != nil && ctx.Err() == nil {
			m.log.Error("the revocation lists could not be looked through; it is tried again", "error", err)
		}
	}
}

// Refetch fetches the lists that are due, one after the other. One that cannot be had leaves the
// old one in force.
func (m *Method) Refetch(ctx context.Context) error {
	lists, _, err := m.lists(ctx)
	if err != nil {
		return err
	}
	for _, l := range lists {
		if l.url == "" || !m.due(l) {
			continue
		}
		now := m.clock.Now()
		m.looked.set(l.name, now)
		if err := m.refresh(ctx, l); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			m.looked.set(l.name, now.Add(refetchEvery-fetchedFor))
			m.log.Warn("a revocation list could not be fetched; the old one goes on holding",
				"name", l.name, "stale", l.stale(now), "error", err)
		}
	}
	return nil
}

func (m *Method) due(l *crl) bool {
	now, at := m.clock.Now(), m.looked.get(l.name)
	return now.Sub(at) >= fetchedFor || (l.stale(now) && now.Sub(at) >= refetchEvery)
}

// refresh replaces l by what its address has now.
func (m *Method) refresh(ctx context.Context, l *crl) error {
	data, err := m.fetch(ctx, l.url)
	if err != nil {
		return err
	}
	fresh, err := parseCRL(data)
	if err != nil {
		return err
	}
	if bytes.Equal(fresh.list.Raw, l.list.Raw) {
		return nil
	}
	if !bytes.Equal(fresh.list.RawIssuer, l.list.RawIssuer) || fresh.list.ThisUpdate.Before(l.list.ThisUpdate) {
		// The address may be plain HTTP: an older edition would bring revoked certificates back.
		return errOlder
	}
	if err := m.vouched(ctx, fresh); err != nil {
		return err
	}
	return m.area.Update(ctx, func(tx store.Tx) error {
		rec, err := record.Get[crlRecord](tx, crlKey(l.name))
		if err != nil || rec == nil || rec.URL != l.url || !bytes.Equal(rec.DER, l.list.Raw) {
			return err // Somebody has changed it meanwhile.
		}
		if err := fits(tx, l.name, len(fresh.list.Raw)); err != nil {
			return err
		}
		rec.DER = fresh.list.Raw
		return record.Put(tx, crlKey(l.name), rec)
	})
}

var errOlder = errors.New("the list is older than the one at hand, or another authority's")
