package ldaptest

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	ldap "github.com/go-ldap/ldap/v3"

	"jeton/internal/porttest"
)

// Relay stands before a directory and hears every request in clear. It can change who binds, as
// Active Directory knows principal names that slapd does not, and lose answers.
type Relay struct {
	t        testing.TB
	listener net.Listener
	behind   string
	done     sync.WaitGroup

	mu struct {
		sync.Mutex
		filters, binds, secrets []string
		operations              []ber.Tag
		open                    map[net.Conn]bool
		opened                  int
		muteAt                  func(ber.Tag) bool
		loses                   bool
		asking                  func(name string) string
	}
}

// NewRelay relays to the directory at an address ("127.0.0.1:port") until the test ends.
func NewRelay(t testing.TB, behind string) *Relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{t: t, listener: l, behind: behind}
	r.mu.open = map[net.Conn]bool{}
	r.done.Go(r.accept)
	t.Cleanup(func() {
		_ = l.Close()
		r.Cut()
		r.done.Wait()
	})
	return r
}

// URL is the relay's.
func (r *Relay) URL() string { return "ldap://" + r.listener.Addr().String() }

// Rename makes the relay bind as what as says in place of the name that it hears.
func (r *Relay) Rename(as func(name string) string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.asking = as
}

// Mute makes the relay pass on requests of an operation, but no answers from then on, on that
// connection: who asked waits in vain.
func (r *Relay) Mute(at func(operation ber.Tag) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.muteAt, r.mu.loses = at, false
}

// Lose makes the relay break the connection when the directory answers a request of an operation:
// it has done what it was asked for, and nobody hears of it.
func (r *Relay) Lose(at func(operation ber.Tag) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.muteAt, r.mu.loses = at, true
}

// Cut breaks the connections that are open.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.mu.open {
		_ = c.Close()
	}
}

// Filters are the filters of the searches that were heard, as the wire has them, decoded.
func (r *Relay) Filters() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mu.filters)
}

// Binds are the names that binds were heard for.
func (r *Relay) Binds() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mu.binds)
}

// Secrets are the passwords that binds were heard with.
func (r *Relay) Secrets() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mu.secrets)
}

// Operations are the tags of the requests that were heard.
func (r *Relay) Operations() []ber.Tag {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mu.operations)
}

// Opened counts the connections that were made.
func (r *Relay) Opened() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.opened
}

// WaitOpen waits until as many connections are there, and says how many there are in the end.
func (r *Relay) WaitOpen(want int) int {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		r.mu.Lock()
		open := len(r.mu.open)
		r.mu.Unlock()
		if open == want || ctx.Err() != nil {
			return open
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (r *Relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", r.behind)
		if err != nil {
			_ = client.Close()
			continue
		}
		r.mu.Lock()
		r.mu.open[client] = true
		r.mu.opened++
		r.mu.Unlock()
		muted := make(chan struct{})
		r.done.Go(func() {
			defer server.Close()
			r.hear(client, server, muted)
		})
		r.done.Go(func() {
			defer r.forget(client)
			r.answers(server, client, muted)
		})
	}
}

func (r *Relay) forget(client net.Conn) {
	_ = client.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.open, client)
}

// hear passes on requests.
func (r *Relay) hear(client, server net.Conn, muted chan struct{}) {
	mute := false
	for {
		packet, err := ber.ReadPacket(client)
		if err != nil || len(packet.Children) < 2 {
			return
		}
		if r.note(packet) && !mute {
			mute = true
			close(muted)
		}
		if _, err := server.Write(r.rename(packet).Bytes()); err != nil {
			return
		}
	}
}

// answers passes on answers until the connection is muted. It goes on reading then, so that the
// directory is not held up, unless the first answer that is kept back is to break the connection.
func (r *Relay) answers(server, client net.Conn, muted <-chan struct{}) {
	for {
		packet, err := ber.ReadPacket(server)
		if err != nil {
			return
		}
		select {
		case <-muted:
			r.mu.Lock()
			loses := r.mu.loses
			r.mu.Unlock()
			if loses {
				return
			}
		default:
			if _, err := client.Write(packet.Bytes()); err != nil {
				return
			}
		}
	}
}

// note remembers a request and says whether its answer is to be lost.
func (r *Relay) note(packet *ber.Packet) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	op := packet.Children[1]
	r.mu.operations = append(r.mu.operations, op.Tag)
	switch op.Tag {
	case ldap.ApplicationBindRequest:
		r.mu.binds = append(r.mu.binds, text(op.Children[1]))
		r.mu.secrets = append(r.mu.secrets, text(op.Children[2]))
	case ldap.ApplicationSearchRequest:
		if filter, err := ldap.DecompileFilter(op.Children[6]); err == nil {
			r.mu.filters = append(r.mu.filters, filter)
		}
	}
	return r.mu.muteAt != nil && r.mu.muteAt(op.Tag)
}

// rename is the request with another name to bind as.
func (r *Relay) rename(packet *ber.Packet) *ber.Packet {
	op := packet.Children[1]
	r.mu.Lock()
	as := r.mu.asking
	r.mu.Unlock()
	if as == nil || op.Tag != ldap.ApplicationBindRequest {
		return packet
	}
	bind := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationBindRequest, nil, "")
	bind.AppendChild(op.Children[0])
	bind.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, as(text(op.Children[1])), ""))
	bind.AppendChild(op.Children[2])
	renamed := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	renamed.AppendChild(packet.Children[0])
	renamed.AppendChild(bind)
	return renamed
}

func text(p *ber.Packet) string { return strings.Clone(p.Data.String()) }

// Silent is the URL of a listener that accepts connections and never says a word, until the test ends.
func Silent(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		done.Wait()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			_ = c.Close()
		}
	})
	return "ldap://" + l.Addr().String()
}

// Nobody is the URL of an address where nobody listens.
func Nobody(t testing.TB) string { return "ldap://" + porttest.Free(t) }
