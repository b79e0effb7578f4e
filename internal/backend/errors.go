package backend

import (
	"errors"
	"fmt"
)

// Kind is the class of an error. One table at the edge maps kinds to HTTP statuses and to
// the way their text is rendered (contract: http §5).
type Kind uint8

// The kinds of error.
const (
	// Internal is a fault of the server's own. Its text goes to the log, never to the client.
	Internal Kind = iota
	// Invalid is a request that cannot be served as it is: 400, text as it stands.
	Invalid
	// InvalidAggregate is Invalid with the text in the aggregate form ("1 error occurred: …").
	InvalidAggregate
	// Denied is 403 `permission denied` as it stands, or the text given.
	Denied
	// DeniedByPolicy is 403 in the aggregate form.
	DeniedByPolicy
	// BadToken is 403 for a token that is unknown, expired, revoked or used up.
	BadToken
	// NotFound is 404, without text unless one is given.
	NotFound
	// UnsupportedPath is 404 for a mount that has no such route.
	UnsupportedPath
	// UnsupportedOperation is 405.
	UnsupportedOperation
	// Conflict is a 400 for something that lost a race and may be tried again.
	Conflict
	// TooLarge is 413.
	TooLarge
	// UnsupportedMedia is 415.
	UnsupportedMedia
	// TooMany is 429.
	TooMany
	// Failed is a 500 whose text the contract shows to the client, in the aggregate form.
	Failed
	// Sealed is 503 while there are no keys.
	Sealed
	// Overloaded is 503 with Retry-After.
	Overloaded
	// Upstream is 502: another system that the server needs refused or is away.
	Upstream
)

// Error is an error whose class, and whose text for the client, are known. The text never
// carries a secret, nor a value that the client sent.
type Error struct {
	Kind Kind
	Text string
	// Data goes into the answer's data besides errors (rare).
	Data any
	// cause is for the log.
	cause error
}

// Error is the client's text and the cause.
func (e *Error) Error() string {
	switch {
	case e.cause == nil:
		return e.Text
	case e.Text == "":
		return e.cause.Error()
	}
	return e.Text + ": " + e.cause.Error()
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.cause }

// Because adds the cause, for the log alone.
func (e *Error) Because(cause error) *Error {
	with := *e
	with.cause = cause
	return &with
}

// Errorf makes an error of a kind. Arguments reach the client: names, never secrets.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// Invalidf is Errorf of kind Invalid, the most usual one.
func Invalidf(format string, args ...any) *Error { return Errorf(Invalid, format, args...) }

// Missing is the plain 404.
func Missing() *Error { return &Error{Kind: NotFound} }

// KindOf is the kind of err, Internal when it has none.
func KindOf(err error) Kind {
	if err == nil {
		return Internal
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}
