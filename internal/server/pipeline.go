package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"jeton/internal/backend"
	"jeton/internal/gate"
	"jeton/internal/identity"
	"jeton/internal/lease"
	"jeton/internal/mount"
	"jeton/internal/node"
	"jeton/internal/policy"
	"jeton/internal/store"
	"jeton/internal/token"
)

// exchange is one request on its way through the house. Its steps run in the order that
// serve names them; each one either adds to the exchange or ends it with an error.
type exchange struct {
	house   *node.House
	request *request

	mounted *mount.Mounted
	match   backend.Match
	// path is canonical: the ACL and the handler both get it from here.
	path string

	token    *token.Token
	usesLeft int
	rights
	// call is &own.call, or nil on a path that leads nowhere.
	call *backend.Call
	own  struct {
		call   backend.Call
		caller backend.Caller
	}

	response *backend.Response
	data     json.RawMessage
	wrapped  *backend.WrapInfo
	// lease is the one that the answer carries.
	lease *lease.Issued
	// newcomer says that this login is its entity's first.
	newcomer bool
	// audited is what the request entry was made of; nil where none was written.
	audited *audited
}

// rights are what the caller may do, once that has been asked.
type rights struct {
	// identity are the policies that the token's entity adds.
	identity []string
	acl      *policy.ACL
	decision policy.Decision
}

// reply is what goes onto the wire.
type reply struct {
	status      int
	contentType string
	body        []byte
	// again tells the client to come back shortly.
	again bool
	// warning goes into a header: the answer has no body that could carry it.
	warning string
	// stream writes the body as it comes, until the client goes away.
	stream func(ctx context.Context, w http.ResponseWriter)
}

// serve walks a request through the pipeline. It is the one way to a handler.
func (s *Server) serve(ctx context.Context, h *node.House, req *request) reply {
	x := &exchange{house: h, request: req, path: req.path}
	// Before find: whatever panics from here on, the mount is left.
	defer x.leave()
	x.find()
	inside := x.within(ctx)
	defer inside.Release()
	ctx = inside
	err := s.contain(x, func() error { return x.admit(ctx) })
	if err == nil && x.onlyReads() {
		ctx = store.Reading(ctx)
	}
	if auditErr := s.auditRequest(ctx, x, err); auditErr != nil {
		return s.refuse(x, auditErr)
	}
	if err == nil {
		if err = s.contain(x, func() error { return x.answer(ctx) }); err != nil {
			s.takeBack(ctx, x)
		}
	}
	x.afterLastUse(ctx, s)
	auditErr := s.auditResponse(ctx, x, err)
	s.forget(x)
	if auditErr != nil {
		s.takeBack(ctx, x)
		return s.refuse(x, auditErr)
	}
	if err != nil {
		return s.refuse(x, err)
	}
	s.countIssued(x)
	return x.reply()
}

// onlyReads says whether answering an admitted request can change nothing, so that it need not wait
// for its audit entry. Wrapping stores the answer, and a last use ends a token.
func (x *exchange) onlyReads() bool {
	return x.match.Route != nil && !x.request.help && x.call != nil && x.match.Route.Endpoint(x.call.Operation).OnlyReads() &&
		x.request.wrapTTL == 0 && (x.token == nil || !x.token.LastUse())
}

// contain turns a handler's panic into an error: the request still gets its second audit entry,
// and what it had obtained is taken back.
func (s *Server) contain(x *exchange, step func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			// What the panic says may be of the request: only where it happened is logged.
			s.log.Error("a handler panicked", "request", x.request.id, "path", x.path, "fault", fmt.Sprintf("%T", v), "at", faultOf())
			err = errPanicked
		}
	}()
	return step()
}

var errPanicked = errors.New("server: a handler panicked")

// find looks up mount and route. A path that leads nowhere is no error yet: who may not ask
// must not learn it.
func (x *exchange) find() {
	m, below, ok := x.house.Mounts.Find(x.path)
	if !ok || !m.Enter() {
		return
	}
	x.mounted = m
	if match, ok := m.Routes.Find(x.request.operation, below); ok {
		x.match = match
		x.path = m.Entry.Path + match.Path
	}
	x.call = &x.own.call
	*x.call = backend.Call{
		Operation: x.request.operation,
		Path:      x.match.Path,
		Folded:    x.path != x.request.path,
		Mount:     m.Info,
		Captures:  x.match.Captures,
		Data:      x.request.data,
		Presented: x.request.token,
		RequestID: x.request.id,
		Remote:    x.request.remote,
		Header:    x.header,
		TLS:       x.request.tls,
		Wrapped:   x.request.wrapTTL > 0,
		WrapTTL:   x.request.wrapTTL,
	}
}

// within is ctx for the time in the mount: a call that waits for another system must not keep the
// server from being sealed, nor the mount from being removed.
func (x *exchange) within(ctx context.Context) *gate.Patience {
	if x.mounted == nil {
		return x.house.Within(ctx)
	}
	return x.mounted.Within(ctx)
}

func (x *exchange) leave() {
	if x.mounted != nil {
		x.mounted.Leave()
	}
}

// header hands the mount the request headers that its tuning names, and never a token.
func (x *exchange) header(name string) string {
	for _, allowed := range x.mounted.Entry.Tuning.PassthroughHeaders {
		if equalHeader(allowed, name) && !carriesToken(name) {
			return x.request.headers.Get(name)
		}
	}
	return ""
}

// admit decides whether the request may go on: who asks, and may they?
func (x *exchange) admit(ctx context.Context) error {
	// Help needs a valid token and nothing else, on open paths too. Contract: http §7.
	if route := x.match.Route; route != nil && !x.request.help {
		// A verb that the path does not have is the router's to refuse, not the check's.
		if route.Precheck != nil && route.Endpoint(x.call.Operation).Defined() {
			if err := route.Precheck(ctx, x.call); err != nil {
				return err
			}
		}
		if route.Open {
			return x.settle(ctx)
		}
	}
	if err := x.authenticate(ctx); err != nil {
		return err
	}
	wrapping := x.token.Wrapping()
	if wrapping && x.consumes() && !x.request.help && !x.match.Route.Endpoint(x.call.Operation).Defined() {
		// It came to the right place by the wrong verb: 405 whatever its policy says (contract:
		// observed, wrapping §4.2.6).
		return backend.Errorf(backend.UnsupportedOperation, "unsupported operation")
	}
	if !wrapping {
		if err := x.spend(ctx); err != nil {
			return err
		}
	}
	if err := x.authorise(ctx); err != nil {
		return err
	}
	// A wrapping token that is refused keeps its one use: a mistake must not burn a secret.
	if wrapping && !x.consumes() && !x.request.help {
		if err := x.spend(ctx); err != nil {
			return err
		}
	}
	return x.endpoint()
}

// consumes says whether the handler uses up a wrapping token itself.
func (x *exchange) consumes() bool { return x.match.Route != nil && x.match.Route.Consumes }

// authenticate finds the caller's token. Contract: tokens §3.
func (x *exchange) authenticate(ctx context.Context) error {
	if x.request.token == "" {
		return backend.Errorf(backend.Denied, "permission denied")
	}
	t, err := x.house.Tokens.Authenticate(ctx, x.request.token, x.request.remote.Addr())
	if err != nil {
		return err
	}
	if t.Origin.Mount != "" {
		// A login method that is gone takes its tokens with it, before they are swept.
		if _, ok := x.house.Mounts.ByAccessor(t.Origin.Mount); !ok {
			return &backend.Error{Kind: backend.BadToken}
		}
	}
	x.token, x.usesLeft = t, t.Uses
	x.house.Tokens.Used(t, x.request.remote.Addr())
	return nil
}

// spend takes one use of a use-limited token, even if the request is then refused.
func (x *exchange) spend(ctx context.Context) error {
	t, err := x.house.Tokens.Spend(ctx, x.token)
	if err != nil {
		return err
	}
	x.token = t
	return nil
}

// settle tells create from update. It runs before the ACL decides.
func (x *exchange) settle(ctx context.Context) error {
	if x.match.Route == nil || x.call.Operation != backend.Update || x.match.Route.Exists == nil {
		return nil
	}
	exists, err := x.match.Route.Exists(ctx, x.call)
	if err == nil && !exists {
		x.call.Operation = backend.Create
	}
	return err
}

// authorise asks the ACL, on the very bytes that the handler gets.
func (x *exchange) authorise(ctx context.Context) error {
	has, err := x.house.Identity.Rights(ctx, x.token.EntityID, x.token.Policies)
	if err != nil {
		return err
	}
	x.identity = has.Identity
	if x.acl, err = x.house.Policies.For(ctx, has.Policies, x.token.Root, has.Subject); err != nil {
		return err
	}
	if x.call != nil {
		// Whether something exists may depend on whose it is; sudo is not known yet.
		x.call.Caller = x.caller()
	}
	if err := x.settle(ctx); err != nil {
		return err
	}
	operation := x.request.operation
	if x.call != nil {
		operation = x.call.Operation
	}
	x.decision = x.acl.Check(policy.Request{
		Capability: capability(operation), Path: x.path, Data: x.request.data,
		HasBody: x.request.hasBody || len(x.request.data) > 0, WrapTTL: x.request.wrapTTL, Help: x.request.help,
	})
	allowed := x.decision.Allowed
	if x.path != x.request.path && allowed {
		// The canonical form decides; a rule that denies the form as written denies too (CVE-2026-89322).
		allowed = !x.acl.Denies(x.request.path)
	}
	if x.match.Route != nil && x.match.Route.Sudo && !x.request.help {
		allowed = allowed && x.decision.Sudo
	}
	if !allowed {
		x.decision.Allowed = false
		return &backend.Error{Kind: backend.DeniedByPolicy, Text: "permission denied"}
	}
	if x.call != nil {
		x.call.Caller.Sudo = x.decision.Sudo || x.decision.Root
	}
	return nil
}

func (x *exchange) caller() *backend.Caller {
	x.own.caller = backend.Caller{
		Token:       x.request.token,
		ID:          x.token.ID,
		Accessor:    x.token.Accessor,
		Batch:       x.token.Batch,
		Root:        x.token.Root,
		Sudo:        x.decision.Sudo || x.decision.Root,
		Policies:    x.token.Policies,
		EntityID:    x.token.EntityID,
		DisplayName: x.token.Origin.DisplayName,
		Access:      x.acl,

		IdentityPolicies: x.identity,
	}
	return &x.own.caller
}

// endpoint says what is wrong with a path that an authorised caller asked for in vain.
func (x *exchange) endpoint() error {
	switch {
	case x.mounted == nil:
		return backend.Errorf(backend.NotFound, "no handler for route %q. route entry not found.", x.path)
	case x.asksForMountHelp(), x.request.ofRaw:
		return nil
	case x.match.Route == nil:
		return backend.Errorf(backend.UnsupportedPath, "unsupported path")
	case x.request.help:
		return nil
	case !x.match.Route.Endpoint(x.call.Operation).Defined():
		return backend.Errorf(backend.UnsupportedOperation, "unsupported operation")
	}
	return nil
}

// asksForMountHelp tells whether help is wanted on a mount as a whole.
func (x *exchange) asksForMountHelp() bool {
	return x.request.help && x.mounted != nil && strings.TrimSuffix(x.path, "/")+"/" == x.mounted.Entry.Path
}

// answer runs the handler and makes its answer ready to leave.
func (x *exchange) answer(ctx context.Context) error {
	if err := x.handle(ctx); err != nil {
		return err
	}
	if err := x.registerLease(ctx); err != nil {
		return err
	}
	return x.finish(ctx)
}

// handle runs the handler, and has a token issued for a login.
func (x *exchange) handle(ctx context.Context) error {
	if x.asksForMountHelp() {
		x.response = mountHelp(x.mounted)
		return nil
	}
	if x.request.help {
		if x.request.ofRaw {
			x.response = rawHelp(x.request.path)
		}
		if x.response == nil {
			x.response = help(x.match.Route, x.mounted.Entry.Path)
		}
		return nil
	}
	endpoint := x.match.Route.Endpoint(x.call.Operation)
	if !endpoint.Defined() {
		return backend.Errorf(backend.UnsupportedOperation, "unsupported operation")
	}
	if x.token != nil {
		ctx = token.WithCaller(ctx, x.token)
	}
	response, err := endpoint.Serve(ctx, x.call)
	if err != nil {
		return err
	}
	x.response = response
	if response == nil {
		switch x.call.Operation {
		case backend.Read, backend.List:
			return backend.Missing()
		}
		return nil
	}
	if response.Login != nil {
		return x.issue(ctx)
	}
	return nil
}

// issue turns what a login proved into a token. The method has not minted it, and cannot.
func (x *exchange) issue(ctx context.Context) error {
	issued, err := x.issueKnown(ctx)
	for errors.Is(err, identity.ErrRaced) {
		// Another first login of the same alias has made the entity: this one finds it now.
		issued, err = x.issueKnown(ctx)
	}
	if err != nil {
		return err
	}
	x.response.Warnings = append(x.response.Warnings, issued.Warnings...)
	// From here on there is a token, which takeBack revokes if the answer cannot be made.
	x.response.Auth = issued.Token.Auth(issued.Text, nil, issued.TTL)
	added, err := x.house.Tokens.IdentityPolicies(ctx, issued.Token)
	if err != nil {
		return err
	}
	if len(added) > 0 {
		x.response.Auth = issued.Token.Auth(issued.Text, added, issued.TTL)
	}
	plan, err := x.house.Tokens.PlanOf(ctx, issued.Token, x.mounted.Info)
	x.response.Auth.RenewalPlan = plan.Answer()
	return err
}

// issueKnown has the token issued to the entity of who logged in. That this still holds is proved,
// and what is new about the entity written, in the transaction that stores the token.
// Contract: auth-methods §1.1-1.
func (x *exchange) issueKnown(ctx context.Context) (*token.Issued, error) {
	login := *x.response.Login
	entity := ""
	x.newcomer = false
	if login.Alias != nil {
		known, err := x.house.Identity.Recognise(ctx, x.mounted.Info.Accessor, login.Alias, login.GroupAliases)
		if err != nil {
			return nil, err
		}
		entity, x.newcomer = known.EntityID, known.Created
		login.Consume = both(login.Consume, known.Remember)
	}
	return x.house.Tokens.IssueLogin(ctx, &login, x.mounted.Info, x.path, entity)
}

// both runs two parts of one transaction, the first of which may be missing.
func both(first, second func(tx store.Tx) error) func(tx store.Tx) error {
	if first == nil {
		return second
	}
	return func(tx store.Tx) error {
		if err := first(tx); err != nil {
			return err
		}
		return second(tx)
	}
}

// finish encodes the answer's data, and wraps the whole if that was asked for.
func (x *exchange) finish(ctx context.Context) (err error) {
	if x.response == nil {
		return nil
	}
	if x.data, err = encodeData(x.response.Data); err != nil {
		return err
	}
	if x.wrapped = x.response.WrapInfo; x.wrapped != nil {
		return nil
	}
	ttl := x.request.wrapTTL
	if own := x.response.WrapTTL; own > 0 && (ttl == 0 || own < ttl) {
		ttl = own
	}
	if ttl == 0 || x.request.help || x.match.Route.Consumes || x.response.Status >= 400 {
		return nil
	}
	if err := x.mayWrap(ctx); err != nil {
		return err
	}
	inner := x.plain(false)
	if inner.status >= 500 {
		return errors.New("server: the answer that was to be wrapped could not be encoded")
	}
	accessor := x.response.WrappedAccessor
	if x.response.Auth != nil {
		accessor = x.response.Auth.Accessor
	}
	x.wrapped, err = x.house.Wrap.Wrap(ctx, ttl, x.path, wrapAnswer(inner), accessor)
	return err
}

// mayWrap refuses to put aside, for as long as a stranger likes, what open paths tell everyone:
// each wrapping is stored. Logins have proved who asks (compare CVE-2026-46405).
func (x *exchange) mayWrap(ctx context.Context) error {
	if x.token != nil || x.response.Auth != nil {
		return nil
	}
	if x.request.token == "" {
		return backend.Invalidf("response wrapping of this path needs a token")
	}
	_, err := x.house.Tokens.Authenticate(ctx, x.request.token, x.request.remote.Addr())
	return err
}

// plain is the answer as it is without wrapping. inject says that members of its data may go
// to the top level: never inside a wrapping (contract: sys §0.2).
func (x *exchange) plain(inject bool) reply {
	if x.response == nil {
		return reply{status: 204}
	}
	status := x.response.Status
	if status == 0 {
		status = 200
	}
	if raw := x.response.Raw; raw != nil {
		return reply{status: status, contentType: raw.ContentType, body: raw.Body}
	}
	if status == 204 {
		return reply{status: status}
	}
	e := envelope{requestID: x.request.id, data: x.data, response: x.response, mount: x.mounted.Entry.Type,
		duration: time.Duration(x.response.LeaseDuration), inject: inject && x.match.Route.Inject}
	if x.lease != nil {
		e.leaseID, e.duration = x.lease.ID, x.lease.TTL
	}
	body, err := e.encode()
	if err != nil {
		f := fail(err)
		return reply{status: f.status, body: f.body()}
	}
	return reply{status: status, body: body}
}

// reply is the answer, wrapped if it was.
func (x *exchange) reply() reply {
	if x.wrapped == nil {
		return x.plain(true)
	}
	body, err := wrappedEnvelope(x.wrapped)
	if err != nil {
		f := fail(err)
		return reply{status: f.status, body: f.body()}
	}
	return reply{status: 200, body: body}
}

// afterLastUse removes a token whose last use this request has spent, and all it obtained.
func (x *exchange) afterLastUse(ctx context.Context, s *Server) {
	if x.token == nil || !x.token.LastUse() {
		return
	}
	if err := x.house.Tokens.Revoke(context.WithoutCancel(ctx), x.token.ID, token.UsedUp, x.token.Accessor); err != nil {
		s.log.Error("removing a used-up token failed; the sweeper will", "request", x.request.id, "error", err)
	}
	if !x.token.Wrapping() {
		return
	}
	if err := x.house.Wrap.Spent(context.WithoutCancel(ctx), x.request.token, x.token.Expires()); err != nil {
		s.log.Error("the use of a wrapping token could not be remembered", "request", x.request.id, "error", err)
	}
}

// takeBack undoes what a client will never hear of: a token whose making could not be
// written to the audit log must not live.
func (s *Server) takeBack(ctx context.Context, x *exchange) {
	ctx = context.WithoutCancel(ctx)
	revoke := func(id token.ID) {
		if id == (token.ID{}) {
			return
		}
		if err := x.house.Tokens.Revoke(ctx, id, token.Revoked, ""); err != nil {
			s.log.Error("a token could not be audited and could not be revoked", "request", x.request.id, "error", err)
		}
	}
	if x.response != nil && x.response.Auth != nil && x.issues() {
		revoke(x.response.Auth.TokenID)
	}
	if id := x.freshLease(); id != "" {
		// The sweeper asks the engine: this request is still inside it.
		if err := x.house.Leases.End(ctx, id); err != nil {
			s.log.Error("a lease that the client does not hear of could not be ended", "request", x.request.id, "lease", id, "error", err)
		}
	}
	if x.wrapped != nil {
		if t, err := x.house.Tokens.Find(ctx, x.wrapped.Token); err == nil && t != nil {
			revoke(t.ID)
		}
	}
}

// issues says whether the answer's token was made by this request, rather than renewed.
func (x *exchange) issues() bool {
	return x.response.Login != nil || x.response.Issued
}

// refuse answers with an error, and logs what the client is not told.
func (s *Server) refuse(x *exchange, err error) reply {
	if errors.Is(err, context.Canceled) && s.node.Sealed() {
		err = errSealed // it was cut short by the sealing
	}
	f := fail(err)
	s.countRefused(err)
	level := slog.LevelError
	if errors.Is(err, context.Canceled) {
		// The client hung up. Strangers can do that as often as they like.
		level = slog.LevelDebug
	}
	if f.status >= 500 && f.status != 503 {
		s.log.Log(context.Background(), level, "a request failed", "request", x.request.id, "path", x.path, "operation", x.request.operation.String(), "error", err)
	}
	return reply{status: f.status, body: f.body()}
}

// capability is the right that an operation needs.
func capability(op backend.Operation) policy.Capability {
	switch op {
	case backend.Read:
		return policy.Read
	case backend.Create:
		return policy.Create
	case backend.Update:
		return policy.Update
	case backend.Patch:
		return policy.Patch
	case backend.Delete:
		return policy.Delete
	case backend.List:
		return policy.List
	}
	return policy.Deny
}
