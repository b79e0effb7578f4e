package server

import (
	"context"
	"encoding/json"
	"net/http"

	"jeton/internal/backend"
	"jeton/internal/node"
)

// Holders of key shares rekey and make root tokens without a token: holding shares is what
// they are known by (docs/decisions/0003). What they do is audited without an auth block.
// Contract: sys §15, §16, audit §1.

// shareCall is one request of a share holder.
type shareCall struct {
	house *node.House
	// origin is whose attempt it belongs to: the client's address.
	origin string
	body   json.RawMessage
}

// into decodes the body. Names match in any case, as in all raw handlers.
func (c *shareCall) into(v any) error {
	if len(c.body) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.body, v); err != nil {
		return backend.Invalidf("error parsing JSON").Because(syntaxOnly(err))
	}
	return nil
}

// shareAnswer is what a call came to.
type shareAnswer struct {
	// body is nil for a 204.
	body any
	// confirm takes effect once the answer is in the audit log and only has to leave; its
	// error can no longer be the answer. withdraw undoes what was prepared when the log
	// refuses the answer. Both may be nil.
	confirm, withdraw func(ctx context.Context) error
}

// byShares makes a raw handler of what share holders ask for.
func (s *Server) byShares(act func(ctx context.Context, c *shareCall) (shareAnswer, error)) rawHandler {
	return func(ctx context.Context, r *http.Request) reply {
		if s.node.Sealed() {
			return s.errorReply(errSealed)
		}
		// Outside the house: sealing must not wait for a stranger who takes long to send a body.
		req, err := s.read(r)
		if err == nil && r.Method == http.MethodDelete {
			// The nonce of what is to be cancelled comes in a body.
			err = req.readBody(r, s.limits)
		}
		if err != nil {
			return s.errorReply(err)
		}
		house := s.node.Enter()
		if house == nil {
			return s.errorReply(errSealed)
		}
		defer house.Leave()
		inside := house.Within(ctx)
		defer inside.Release()
		x := &exchange{house: house, request: req, path: req.path}
		if err := s.auditRequest(ctx, x, nil); err != nil {
			return s.refuse(x, err)
		}
		answer, err := act(inside, &shareCall{house: house, origin: req.remote.Addr().String(), body: req.raw})
		if err == nil && answer.body != nil {
			x.response = &backend.Response{}
			x.data, err = encodeData(answer.body)
		}
		if auditErr := s.auditResponse(ctx, x, err); auditErr != nil {
			s.settle(ctx, x, answer.withdraw, "taking back what could not be audited failed")
			return s.refuse(x, auditErr)
		}
		if err != nil {
			return s.refuseBare(x, err)
		}
		s.settle(ctx, x, answer.confirm, "what was answered is prepared and could not be put in force; it comes into force when it is used")
		if answer.body == nil {
			return reply{status: http.StatusNoContent}
		}
		return reply{status: http.StatusOK, body: append(x.data, '\n')}
	}
}

// settle ends what a call prepared. The client may be gone: that must not stop it half way.
func (s *Server) settle(ctx context.Context, x *exchange, act func(context.Context) error, failed string) {
	if act == nil {
		return
	}
	if err := act(context.WithoutCancel(ctx)); err != nil {
		s.log.Error(failed, "request", x.request.id, "path", x.path, "error", err)
	}
}

// refuseBare is refuse for raw handlers, which never use the aggregate form.
func (s *Server) refuseBare(x *exchange, err error) reply {
	out := s.refuse(x, err)
	if backend.KindOf(err) == backend.Failed {
		out.body = failure{texts: []string{err.Error()}}.body()
	}
	return out
}
