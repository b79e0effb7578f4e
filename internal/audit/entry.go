package audit

import (
	"slices"
	"strings"
	"time"
)

// clearKeys are the keys whose strings the mount's tuning leaves in clear: its
// audit_non_hmac_request_keys and audit_non_hmac_response_keys. Contract: audit §8.
type clearKeys struct{ request, response []string }

// entry formats the entry of c as one line with its newline. Key order: time first, then as the
// contract has it. like is the line of the request, where who asks and what for is to be repeated
// from it (Kept), else nil. Contract: audit §5.
func (l *line) entry(c *content, headers *headerTable, like *line) error {
	e := c.entry
	l.reset()
	l.buf = append(l.buf, '{')
	l.time("time", c.time, time.RFC3339Nano)
	l.str("type", c.kind.String())
	l.common[0] = len(l.buf)
	if like != nil {
		l.repeat(e.Auth, like)
	} else {
		l.auth(e.Auth)
		if err := l.request(e.Request, c.keys.request, headers); err != nil {
			return err
		}
	}
	l.common[1] = len(l.buf)
	if c.kind == Response && e.Response != nil {
		elide := l.format.elideLists && e.Request != nil && e.Request.Operation == "list"
		if err := l.response(e.Response, c.keys.response, elide); err != nil {
			return err
		}
	}
	l.str("error", e.Error)
	l.buf = append(l.buf, '}', '\n')
	return nil
}

// auth writes the block of who asks, which is always there.
func (l *line) auth(a *Auth) {
	l.open("auth")
	if a == nil {
		l.str("token_type", "default")
	} else {
		l.token, l.accessor = l.authMembers(a)
		l.asker = a
	}
	l.close()
}

// repeat writes who asks and what for as other has it. a is who asks.
func (l *line) repeat(a *Auth, other *line) {
	moved := len(l.buf) - other.common[0]
	l.buf = append(l.buf, other.buf[other.common[0]:other.common[1]]...)
	l.asker, l.token, l.accessor = a, other.token, other.accessor
	for _, at := range []*[2]int{&l.token, &l.accessor} {
		if at[1] > 0 {
			at[0], at[1] = at[0]+moved, at[1]+moved
		}
	}
}

// known is the hash of value as JSON where the line has it already: of the asker's token or
// accessor. nil if it does not.
func (l *line) known(value []byte) []byte {
	switch {
	case len(value) == 0:
		return l.empty
	case l.asker == nil:
	case l.token[1] > 0 && string(value) == l.asker.ClientToken:
		return l.buf[l.token[0]:l.token[1]]
	case l.accessor[1] > 0 && string(value) == l.asker.Accessor:
		return l.buf[l.accessor[0]:l.accessor[1]]
	}
	return nil
}

// authMembers writes what an auth block holds, and returns where its token and its accessor are.
func (l *line) authMembers(a *Auth) (token, accessor [2]int) {
	token = l.secret("client_token", a.ClientToken)
	accessor = l.accessorOf("accessor", a.Accessor)
	l.str("display_name", a.DisplayName)
	l.strs("policies", a.Policies)
	l.strs("token_policies", a.TokenPolicies)
	l.strs("identity_policies", a.IdentityPolicies)
	l.flag("no_default_policy", a.NoDefaultPolicy)
	l.policyResults(a.PolicyResults)
	l.metadata(a.Metadata)
	l.num("num_uses", int64(a.NumUses))
	l.num("remaining_uses", int64(a.RemainingUses))
	l.str("entity_id", a.Entity.ID)
	l.flag("entity_created", a.Entity.Created)
	kind := a.TokenType
	if kind == "" {
		kind = "default"
	}
	l.str("token_type", kind)
	l.seconds("token_ttl", a.TokenTTL)
	l.time("token_issue_time", a.IssueTime, time.RFC3339)
	if a.Lineage != nil {
		l.open("lineage")
		l.accessorOf("parent_accessor", a.Lineage.Parent)
		l.accessorOf("root_accessor", a.Lineage.Root)
		l.str("role", a.Lineage.Role)
		l.close()
	}
	return token, accessor
}

func (l *line) policyResults(p *PolicyResults) {
	if p == nil {
		return
	}
	l.open("policy_results")
	if p.Allowed {
		l.flag("allowed", true)
	} else {
		l.key("allowed")
		l.buf = append(l.buf, "false"...)
	}
	if len(p.Granting) > 0 {
		l.key("granting_policies")
		l.buf = append(l.buf, '[')
		for _, name := range p.Granting {
			l.comma()
			l.buf = append(l.buf, '{')
			l.str("name", name)
			l.str("namespace_id", "root")
			l.str("type", "acl")
			l.buf = append(l.buf, '}')
		}
		l.buf = append(l.buf, ']')
	}
	l.close()
}

// metadata writes a token's metadata by sorted key, so that two devices' lines read alike.
func (l *line) metadata(m map[string]string) {
	if len(m) == 0 {
		return
	}
	l.names = l.names[:0]
	for name := range m {
		l.names = append(l.names, name)
	}
	slices.Sort(l.names)
	l.open("metadata")
	for _, name := range l.names {
		l.comma()
		l.buf = appendString(l.buf, name)
		l.buf = append(l.buf, ':')
		l.buf = appendString(l.buf, m[name])
	}
	l.close()
}

func (l *line) mount(m Mount, versionKey string) {
	l.str("mount_point", m.Point)
	l.str("mount_type", m.Type)
	l.str("mount_accessor", m.Accessor)
	l.str(versionKey, m.Version)
	l.str("mount_class", m.Class)
}

func (l *line) request(r *RequestPart, inClear []string, headers *headerTable) error {
	if r == nil {
		return nil
	}
	l.open("request")
	l.str("id", r.ID)
	l.str("client_id", r.ClientID)
	l.str("operation", r.Operation)
	l.mount(r.Mount, "mount_running_version")
	l.secret("client_token", r.ClientToken)
	l.accessorOf("client_token_accessor", r.ClientTokenAccessor)
	l.open("namespace")
	l.str("id", "root")
	l.close()
	l.str("path", r.Path)
	if err := l.requestData(r.Data, inClear); err != nil {
		return err
	}
	l.flag("policy_override", r.PolicyOverride)
	if r.Remote.IsValid() {
		l.key("remote_address")
		// An address has nothing that needs escaping, but for the zone that a name can hold.
		l.text = r.Remote.Addr().AppendTo(l.text[:0])
		l.buf = appendString(l.buf, l.text)
		l.num("remote_port", int64(r.Remote.Port()))
	}
	l.seconds("wrap_ttl", r.WrapTTL)
	l.headers(r.Headers, headers)
	l.str("client_certificate_serial_number", r.CertificateSerial)
	l.str("forwarded_client_certificate_serial_number", r.Forwarded.Serial)
	l.str("forwarded_client_certificate_by", r.Forwarded.By)
	uri, _, _ := strings.Cut(r.URI, "?")
	l.str("request_uri", uri)
	l.close()
	return nil
}

func (l *line) response(r *ResponsePart, inClear []string, elide bool) error {
	l.open("response")
	if r.Auth != nil {
		l.open("auth")
		l.authMembers(r.Auth)
		l.close()
	}
	l.mount(r.Mount, "mount_running_plugin_version")
	if r.LeaseID != "" {
		l.open("secret")
		l.str("lease_id", r.LeaseID)
		l.close()
	}
	if r.Raw != nil {
		l.rawBody(r.Raw)
	} else if err := l.responseData(r.Data, inClear, elide); err != nil {
		return err
	}
	l.strs("warnings", r.Warnings)
	l.str("redirect", r.Redirect)
	if w := r.WrapInfo; w != nil {
		l.open("wrap_info")
		l.seconds("ttl", w.TTL)
		l.secret("token", w.Token)
		l.accessorOf("accessor", w.Accessor)
		l.time("creation_time", w.CreationTime, time.RFC3339Nano)
		l.str("creation_path", w.CreationPath)
		l.accessorOf("wrapped_accessor", w.WrappedAccessor)
		l.close()
	}
	l.close()
	return nil
}

// rawBody writes an answer without an envelope in the members that Vault gives it, hashed.
func (l *line) rawBody(r *RawBody) {
	l.open("data")
	l.secret("http_content_type", r.ContentType)
	l.key("http_raw_body")
	if l.format.raw {
		l.buf = appendString(l.buf, r.Body)
	} else {
		l.hashedBytes(r.Body)
	}
	l.num("http_status_code", int64(r.Status))
	l.close()
}

// event formats ev as one line with its newline.
func (l *line) event(ev *Event, when time.Time) {
	l.reset()
	l.buf = append(l.buf, '{')
	l.time("time", when, time.RFC3339Nano)
	l.str("type", "event")
	l.open("event")
	l.str("name", ev.Name)
	l.str("cause", ev.Cause)
	l.accessorOf("accessor", ev.Accessor)
	l.accessorOf("caused_by", ev.CausedBy)
	l.str("display_name", ev.DisplayName)
	l.str("entity_id", ev.EntityID)
	l.str("path", ev.Path)
	l.strs("policies", ev.Policies)
	l.str("lease_id", ev.LeaseID)
	l.str("job", ev.Job)
	l.close()
	l.buf = append(l.buf, '}', '\n')
}
