package token

import "context"

// callerKey is the context key of the token that a request came with.
type callerKey struct{}

// WithCaller returns a context with the caller's token as it was when this request's use was
// spent. Requests that spent earlier uses of it may still be on their way when the last one
// ends it: what they ask of themselves is answered from here.
func WithCaller(ctx context.Context, t *Token) context.Context {
	return context.WithValue(ctx, callerKey{}, t)
}

// LimitedCaller is the token of WithCaller if its uses are limited, nil otherwise: of any other
// token the store alone knows whether it still lives.
func LimitedCaller(ctx context.Context) *Token {
	if t, ok := ctx.Value(callerKey{}).(*Token); ok && t.Uses != 0 {
		return t
	}
	return nil
}
