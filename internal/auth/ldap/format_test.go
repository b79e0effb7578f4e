package ldap

import (
	"context"
	"testing"
	"time"

	"jeton/internal/auth"
	"jeton/internal/backend"
	"jeton/internal/record/recordtest"
)

// What is stored keeps its form: a later version must read these bytes.
func TestStoredForm(t *testing.T) {
	config := &configRecord{
		TokenRecord: auth.TokenRecord{Policies: []string{"p"}},
		Server: serverRecord{URL: "u", StartTLS: true, InsecureTLS: true, TLSMin: "a", TLSMax: "b", Certificate: "c", ClientCertificate: "d",
			ClientKey: "e", RequestTimeout: time.Second, ConnectionTimeout: 2 * time.Second, Dereference: "f"},
		Service:  serviceRecord{BindDN: "g", Password: "h", Pending: "i", Spare: []string{"j"}, Rotated: true},
		Users:    usersRecord{DN: "k", Attribute: "l", Filter: "m", UPNDomain: "n", AlsoSAMName: true, Discover: true, DenyNullBind: true},
		Groups:   groupsRecord{DN: "o", Attribute: "p", Filter: "q", TokenGroups: true, Anonymous: true, PageSize: 7, UpperCN: true},
		Names:    namesRecord{CaseSensitive: true, UsernameAsAlias: true},
		Revision: 9,
	}
	recordtest.Pinned(t, []recordtest.Pin{
		{Name: "config", In: config, Out: &configRecord{}, Golden: "01a70581617014ab01617502f503f5046161056162066163076164086165091a3b9aca000a1a773594000b616615a50161670261680361690481616a05f516a701616b02616c03616d04616e05f506f507f517a701616f02617003617104f505f5060707f51818a201f502f5181909"},
		{Name: "group", In: &groupRecord{Policies: []string{"p"}}, Out: &groupRecord{}, Golden: "01a101816170"},
		{Name: "user", In: &userRecord{Groups: []string{"g"}, Policies: []string{"p"}}, Out: &userRecord{}, Golden: "01a20181616702816170"},
		{Name: "state", In: &loginState{Name: "bob", Password: "pw"}, Out: &loginState{}, Golden: "01a20163626f6202627077"},
	})
}

// A directory that hangs holds no more of the server than these bounds.
func TestCrowdIsBounded(t *testing.T) {
	c := newCrowd()
	var leave []func()
	for range mostInside {
		out, err := c.Enter()
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, out)
	}
	if _, err := c.Enter(); backend.KindOf(err) != backend.Overloaded {
		t.Errorf("one too many: %v", err)
	}
	leave[0]()
	if _, err := c.Enter(); err != nil {
		t.Errorf("a place that was given back is not free: %v", err)
	}
	for range mostTalking {
		if _, err := c.talk(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.talk(ctx); err == nil {
		t.Error("one too many talks to the directory")
	}
}
