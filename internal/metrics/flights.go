package metrics

import (
	"maps"
	"net/netip"
	"sync"
	"time"
)

// Flight is a request that is being served. Contract: sys §18 in-flight-req.
type Flight struct {
	Start    time.Time      `json:"start_time"`
	Remote   netip.AddrPort `json:"client_remote_address"`
	Path     string         `json:"request_path"`
	Method   string         `json:"request_method"`
	ClientID string         `json:"client_id"`
}

// flights are the requests that are being served.
type flights struct {
	*sync.Mutex // guards now
	now         map[string]Flight
}

func newFlights() flights { return flights{&sync.Mutex{}, map[string]Flight{}} }

// Begin remembers a request until its End.
func (s *Set) Begin(id string, f Flight) {
	if s == nil {
		return
	}
	s.flights.Lock()
	defer s.flights.Unlock()
	s.flights.now[id] = f
}

// End forgets a request that has been answered.
func (s *Set) End(id string) {
	if s == nil {
		return
	}
	s.flights.Lock()
	defer s.flights.Unlock()
	delete(s.flights.now, id)
}

// InFlight are the requests that are being served, by id.
func (s *Set) InFlight() map[string]Flight {
	if s == nil {
		return map[string]Flight{}
	}
	s.flights.Lock()
	defer s.flights.Unlock()
	return maps.Clone(s.flights.now)
}
