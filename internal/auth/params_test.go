package auth

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"
	"time"

	"jeton/internal/backend"
	"jeton/internal/record"
)

func seconds(n int64) *backend.SignedSeconds {
	s := backend.SignedSeconds(time.Duration(n) * time.Second)
	return &s
}

func list(items ...string) *backend.CommaList {
	l := backend.CommaList(items)
	return &l
}

// Contract: auth-methods §1, the validation texts.
func TestValidation(t *testing.T) {
	rows := []struct {
		name   string
		params TokenParams
		old    Synonyms
		text   string
	}{
		{"ttl", TokenParams{TokenTTL: seconds(-1)}, Synonyms{}, "'token_ttl' cannot be negative"},
		{"max ttl", TokenParams{TokenMaxTTL: seconds(-1)}, Synonyms{}, "'token_max_ttl' cannot be negative"},
		{"period", TokenParams{TokenPeriod: seconds(-1)}, Synonyms{}, "'token_period' cannot be negative"},
		{"explicit max ttl", TokenParams{TokenExplicitMaxTTL: seconds(-1)}, Synonyms{}, "'token_explicit_max_ttl' cannot be negative"},
		{"uses", TokenParams{TokenNumUses: new(-1)}, Synonyms{}, "'token_num_uses' cannot be negative"},
		{"old ttl", TokenParams{}, Synonyms{TTL: seconds(-1)}, "'token_ttl' cannot be negative"},
		{"ttl above max", TokenParams{TokenTTL: seconds(2), TokenMaxTTL: seconds(1)}, Synonyms{}, "'token_ttl' cannot be greater than 'token_max_ttl'"},
		{"type", TokenParams{TokenType: new("x")}, Synonyms{}, `invalid 'token_type' value "x"`},
		{"type of mounts only", TokenParams{TokenType: new("default-service")}, Synonyms{}, `invalid 'token_type' value "default-service"`},
		{"periodic batch", TokenParams{TokenType: new("batch"), TokenPeriod: seconds(1)}, Synonyms{}, "'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens"},
		{"limited batch", TokenParams{TokenType: new("batch"), TokenNumUses: new(1)}, Synonyms{}, "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count"},
		{"CIDR", TokenParams{TokenBoundCIDRs: list("10.0.0.1", "10.0.0.0/33")}, Synonyms{}, "failed to parse token_bound_cidrs: entry 2 is neither an IP address nor a CIDR block"},
		{"policy ../root", TokenParams{TokenPolicies: list("a", "../root")}, Synonyms{}, "token_policies: invalid policy name: it has an empty, '.' or '..' segment"},
		{"policy root/../root", TokenParams{TokenPolicies: list("root/../root")}, Synonyms{}, "token_policies: invalid policy name: it has an empty, '.' or '..' segment"},
		{"policy with a control character", TokenParams{TokenPolicies: list("a\x00")}, Synonyms{}, "token_policies: invalid policy name: it contains a control or invisible character"},
		{"all is well", TokenParams{
			TokenTTL: seconds(1), TokenMaxTTL: seconds(1), TokenPolicies: list("root", "a/b", "..c", " "), TokenType: new("service"),
		}, Synonyms{}, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var r TokenRecord
			err := r.Apply(row.params, row.old)
			if err == nil {
				err = r.Validate()
			}
			switch {
			case row.text == "" && err != nil:
				t.Error(err)
			case row.text != "" && (err == nil || err.Error() != row.text || backend.KindOf(err) != backend.Invalid):
				t.Errorf("%v, want %s", err, row.text)
			}
		})
	}
}

// Contract: auth-methods §1, "a partial update that only lowers token_max_ttl below the
// stored token_ttl fails".
func TestPartialUpdateIsJudgedByItsResult(t *testing.T) {
	var r TokenRecord
	if err := r.Apply(TokenParams{TokenTTL: seconds(100)}, Synonyms{}); err != nil || r.Validate() != nil {
		t.Fatal(err)
	}
	if err := r.Apply(TokenParams{TokenMaxTTL: seconds(50)}, Synonyms{}); err != nil {
		t.Fatal(err)
	}
	if r.Validate() == nil {
		t.Error("accepted a token_max_ttl below the stored token_ttl")
	}
	if r.TTL != 100*time.Second {
		t.Error("what was not sent was changed")
	}
}

// Contract: auth-methods §1, the legacy synonym rule.
func TestSynonyms(t *testing.T) {
	policies := func(r *TokenRecord) (token, old []string) {
		v := r.View()
		return v.Policies, v.OldPolicies
	}
	steps := []struct {
		name       string
		params     TokenParams
		old        Synonyms
		token, was []string
	}{
		{"only the old key sets both", TokenParams{}, Synonyms{Policies: list("a")}, []string{"a"}, []string{"a"}},
		{"another write leaves both", TokenParams{TokenTTL: seconds(1)}, Synonyms{}, []string{"a"}, []string{"a"}},
		{"the new key makes the old disappear", TokenParams{TokenPolicies: list("b")}, Synonyms{}, []string{"b"}, nil},
		{"both: the new wins, mirrored", TokenParams{TokenPolicies: list("c")}, Synonyms{Policies: list("d")}, []string{"c"}, []string{"c"}},
		{"an empty list empties both", TokenParams{}, Synonyms{Policies: list()}, []string{}, nil},
	}
	var r TokenRecord
	for _, step := range steps {
		if err := r.Apply(step.params, step.old); err != nil {
			t.Fatal(err)
		}
		token, old := policies(&r)
		if !slices.Equal(token, step.token) || !slices.Equal(old, step.was) {
			t.Errorf("%s: token_policies %v, policies %v", step.name, token, old)
		}
	}
	if err := r.Apply(TokenParams{}, Synonyms{
		TTL: seconds(1), MaxTTL: seconds(2), Period: seconds(3), NumUses: new(4), BoundCIDRs: list("::1"),
	}); err != nil {
		t.Fatal(err)
	}
	v := r.View()
	if v.OldTTL != v.TTL || v.OldMaxTTL != v.MaxTTL || v.OldPeriod != v.Period || v.OldNumUses != 4 || len(v.OldBoundCIDRs) != 1 {
		t.Errorf("old names not shown: %+v", v)
	}
}

// Contract: auth-methods §1, read-back: always all keys, whole seconds, lists never null, type default.
func TestReadBack(t *testing.T) {
	var empty TokenRecord
	text, err := json.Marshal(empty.View())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"token_bound_cidrs":[],"token_explicit_max_ttl":0,"token_max_ttl":0,"token_no_default_policy":false,` +
		`"token_num_uses":0,"token_period":0,"token_policies":[],"token_ttl":0,"token_type":"default"}`
	if string(text) != want {
		t.Errorf("%s\nwant %s", text, want)
	}
	var r TokenRecord
	half := backend.SignedSeconds(1500 * time.Millisecond)
	if err := r.Apply(TokenParams{
		TokenTTL: &half, TokenBoundCIDRs: list("10.0.0.1/32", "10.1.0.0/16", "::ffff:10.0.0.2"), TokenPolicies: list("B", "a", "a"),
	}, Synonyms{}); err != nil {
		t.Fatal(err)
	}
	v := r.View()
	if !slices.Equal(v.BoundCIDRs, []string{"10.0.0.1", "10.1.0.0/16", "10.0.0.2"}) {
		t.Errorf("CIDRs %v", v.BoundCIDRs)
	}
	// Contract: auth-methods §1 tests 1.
	if !slices.Equal(v.Policies, []string{"B", "a", "a"}) {
		t.Errorf("policies are normalised: %v", v.Policies)
	}
	if r.TTL != time.Second {
		t.Errorf("a fraction that cannot be read back was stored: %v", r.TTL)
	}
}

// The stored form of what methods embed keeps its field numbers.
func TestTokenRecordIsStoredFlat(t *testing.T) {
	type user struct {
		TokenRecord
		Own string `cbor:"20,keyasint"`
	}
	in := user{TokenRecord{
		TTL: 1, MaxTTL: 2, ExplicitMaxTTL: 3, Period: 4, Policies: []string{"p"}, NoDefaultPolicy: true,
		NumUses: 7, BoundCIDRs: []string{"c"}, Type: backend.BatchType, Mirrored: MirrorPeriod,
	}, "own"}
	data, err := record.Encode(&in)
	if err != nil {
		t.Fatal(err)
	}
	const golden = "\x01\xab\x01\x01\x02\x02\x03\x03\x04\x04\x05\x81ap\x06\xf5\x07\x07\x08\x81ac\x09\x02\x0a\x08\x14cown"
	if string(data) != golden {
		t.Errorf("stored as %q", data)
	}
	var out user
	if err := record.Decode(data, &out); err != nil {
		t.Fatal(err)
	}
	if out.Own != "own" || out.Type != backend.BatchType || out.Policies[0] != "p" || out.Mirrored != MirrorPeriod {
		t.Errorf("read back as %+v", out)
	}
}

func TestSamePolicies(t *testing.T) {
	rows := []struct {
		a, b []string
		same bool
	}{
		{nil, []string{"default"}, true},
		{[]string{"B ", "a", "a"}, []string{"a", "b", "default"}, true},
		{[]string{"a"}, []string{"a", "b"}, false},
		{[]string{"a"}, nil, false},
	}
	for _, row := range rows {
		if SamePolicies(row.a, row.b) != row.same {
			t.Errorf("SamePolicies(%v, %v) is %v", row.a, row.b, !row.same)
		}
	}
}

func TestPrefixes(t *testing.T) {
	parse := func(items ...string) []netip.Prefix {
		t.Helper()
		prefixes, err := ParsePrefixes(items)
		if err != nil {
			t.Fatal(err)
		}
		return prefixes
	}
	within := []struct {
		bound []netip.Prefix
		addr  string
		in    bool
	}{
		{nil, "10.0.0.1", true},
		{parse("10.0.0.0/8"), "10.255.0.1", true},
		{parse("10.0.0.0/8"), "::ffff:10.1.2.3", true},
		{parse("::ffff:10.0.0.0/104"), "10.1.2.3", true},
		{parse("10.0.0.0/8"), "11.0.0.1", false},
		{parse("10.0.0.0/8"), "::1", false},
		{parse("fe80::1"), "fe80::1%eth0", true},
	}
	for _, row := range within {
		if Within(row.bound, netip.MustParseAddr(row.addr)) != row.in {
			t.Errorf("%s within %v is %v", row.addr, row.bound, !row.in)
		}
	}
	if Within(parse("0.0.0.0/0", "::/0"), netip.Addr{}) {
		t.Error("an unknown address is within a bound")
	}
	subset := []struct {
		inner, outer []netip.Prefix
		is           bool
	}{
		{parse("10.0.0.1"), nil, true},
		{parse("10.0.0.1", "10.2.0.0/16"), parse("10.0.0.0/8"), true},
		{parse("10.0.0.0/8"), parse("10.0.0.0/16"), false},
		{parse("10.0.0.1", "11.0.0.1"), parse("10.0.0.0/8"), false},
		{parse("::1"), parse("0.0.0.0/0"), false},
	}
	for _, row := range subset {
		if Subset(row.inner, row.outer) != row.is {
			t.Errorf("%v subset of %v is %v", row.inner, row.outer, !row.is)
		}
	}
}
