// Package wrap owns response wrapping: an answer is put aside in the cubbyhole of a token of
// one use, and the client gets that token in its place. Contract: wrapping.
package wrap

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"jeton/internal/backend"
	"jeton/internal/clock"
	"jeton/internal/store"
	"jeton/internal/token"
)

// Boxes is where wrapped answers wait: the cubbyholes of their tokens.
type Boxes interface {
	Put(tx store.Tx, id backend.TokenID, name string, object json.RawMessage) error
	// Get returns nil when there is nothing.
	Get(r store.Reader, id backend.TokenID, name string) (json.RawMessage, error)
}

// Store wraps and unwraps. It is safe for concurrent use.
type Store struct {
	whole  store.Store
	tokens *token.Store
	boxes  Boxes
	clock  clock.Clock
}

// New wraps with tokens and keeps answers in boxes.
func New(whole store.Store, tokens *token.Store, boxes Boxes, c clock.Clock) *Store {
	return &Store{whole: whole, tokens: tokens, boxes: boxes, clock: c}
}

// Answer is what was wrapped: the HTTP body and status that the client did not get.
type Answer struct {
	Status int
	// ContentType is "" for the JSON of an envelope.
	ContentType string
	Body        []byte
}

// Info tells what a wrapping token stands for without opening it.
type Info struct {
	CreationPath string          `json:"creation_path"`
	CreationTime string          `json:"creation_time"`
	CreationTTL  backend.Seconds `json:"creation_ttl"`
}

// The names of the two objects in a wrapping token's cubbyhole. Contract: wrapping §3.
const (
	responseBox = "response"
	infoBox     = "wrapinfo"
)

// responseObject is the first of them.
type responseObject struct {
	Response    string `json:"response"`
	Status      int    `json:"status,omitempty"`
	ContentType string `json:"content_type,omitempty"`
	// Encoded says that Response is base64: a body that is no text would not survive in JSON.
	Encoded bool `json:"encoded,omitempty"`
}

// infoObject is the second. Seconds and Path let rewrap begin again with the original values.
type infoObject struct {
	Path     string `json:"creation_path"`
	Time     string `json:"creation_time"`
	Seconds  int64  `json:"creation_ttl"`
	Accessor string `json:"wrapped_accessor,omitempty"`
}

// errInvalid is the one answer for what is no wrapping token, or is one no more.
var errInvalid = backend.Invalidf("wrapping token is not valid or does not exist")

// Wrap puts answer aside for ttl and returns what the client gets in its place. accessor is of
// the token or secret id inside, "" for none.
func (s *Store) Wrap(ctx context.Context, ttl time.Duration, path string, answer Answer, accessor string) (*backend.WrapInfo, error) {
	return s.wrap(ctx, ttl, path, accessor, func(store.Tx) (*Answer, error) { return &answer, nil })
}

// wrap issues the token and puts aside, in the same transaction, what source gives.
func (s *Store) wrap(ctx context.Context, ttl time.Duration, path, accessor string, source func(store.Tx) (*Answer, error)) (*backend.WrapInfo, error) {
	// Whole seconds, and never none: what the client is told is what lookup and rewrap go by.
	ttl = max(ttl.Truncate(time.Second), time.Second)
	info := infoObject{
		Path: path, Time: s.clock.Now().Format(time.RFC3339Nano), Seconds: int64(ttl / time.Second), Accessor: accessor,
	}
	issued, err := s.tokens.IssueWrapping(ctx, ttl, path, func(tx store.Tx, id backend.TokenID) error {
		answer, err := source(tx)
		if err != nil {
			return err
		}
		return s.fill(tx, id, *answer, info)
	})
	if err != nil {
		return nil, fmt.Errorf("wrap: %w", err)
	}
	return &backend.WrapInfo{
		Token:           issued.Text,
		Accessor:        issued.Token.Accessor,
		TTL:             backend.Seconds(issued.TTL),
		CreationTime:    info.Time,
		CreationPath:    path,
		WrappedAccessor: accessor,
	}, nil
}

func (s *Store) fill(tx store.Tx, id backend.TokenID, answer Answer, info infoObject) error {
	object := responseObject{Response: string(answer.Body), Status: answer.Status, ContentType: answer.ContentType}
	if !utf8.Valid(answer.Body) {
		object.Response, object.Encoded = base64.StdEncoding.EncodeToString(answer.Body), true
	}
	response, err := json.Marshal(object)
	if err != nil {
		return err
	}
	if err := s.boxes.Put(tx, id, responseBox, response); err != nil {
		return err
	}
	about, err := json.Marshal(info)
	if err != nil {
		return err
	}
	return s.boxes.Put(tx, id, infoBox, about)
}

// Valid returns the living wrapping token that text is, or the contract's error.
func (s *Store) Valid(ctx context.Context, text string) (*token.Token, error) {
	t, err := s.tokens.Find(ctx, text)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, s.whyNot(ctx, text)
	}
	if !t.Wrapping() {
		return nil, errInvalid
	}
	return t, nil
}

// Lookup tells what text stands for. It uses nothing up.
func (s *Store) Lookup(ctx context.Context, text string) (*Info, error) {
	t, err := s.Valid(ctx, text)
	if err != nil {
		return nil, err
	}
	var info infoObject
	err = s.whole.View(ctx, func(r store.Reader) error { return s.read(r, t.ID, infoBox, &info) })
	if err != nil {
		return nil, err
	}
	return &Info{CreationPath: info.Path, CreationTime: info.Time, CreationTTL: backend.Seconds(time.Duration(info.Seconds) * time.Second)}, nil
}

func (s *Store) read(r store.Reader, id backend.TokenID, name string, into any) error {
	object, err := s.boxes.Get(r, id, name)
	if err != nil {
		return err
	}
	if object == nil {
		return errInvalid
	}
	return json.Unmarshal(object, into)
}

// Open takes the answer that text stands for. However many ask, exactly one gets it; the
// others get the contract's error.
func (s *Store) Open(ctx context.Context, text string) (*Answer, error) {
	t, err := s.Valid(ctx, text)
	if err != nil {
		return nil, err
	}
	var answer *Answer
	err = s.whole.Update(ctx, func(tx store.Tx) (err error) {
		answer, err = s.take(tx, t, text)
		return err
	})
	if errors.Is(err, errInvalid) {
		err = s.whyNot(ctx, text)
	}
	return answer, err
}

// take reads the answer and ends its token, in one transaction.
func (s *Store) take(tx store.Tx, t *token.Token, text string) (*Answer, error) {
	var response responseObject
	if err := s.read(tx, t.ID, responseBox, &response); err != nil {
		return nil, err
	}
	found, err := s.tokens.UseUp(tx, t.ID)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errInvalid
	}
	if err := s.rememberUse(tx, text, t.Expires()); err != nil {
		return nil, err
	}
	answer := &Answer{Status: response.Status, ContentType: response.ContentType, Body: []byte(response.Response)}
	if response.Encoded {
		if answer.Body, err = base64.StdEncoding.DecodeString(response.Response); err != nil {
			return nil, fmt.Errorf("wrap: the body of an answer: %w", err)
		}
	}
	return answer, nil
}

// Rewrap moves the answer that text stands for to a new wrapping token with the original
// path and life, in one transaction; ttl, if not 0, can only shorten it. Contract: wrapping §4.4.
func (s *Store) Rewrap(ctx context.Context, text string, ttl time.Duration) (*backend.WrapInfo, error) {
	old, err := s.Valid(ctx, text)
	if err != nil {
		return nil, err
	}
	var info infoObject
	if err := s.whole.View(ctx, func(r store.Reader) error { return s.read(r, old.ID, infoBox, &info) }); err != nil {
		return nil, err
	}
	original := time.Duration(info.Seconds) * time.Second
	if ttl <= 0 || ttl > original {
		ttl = original
	}
	fresh, err := s.wrap(ctx, ttl, info.Path, info.Accessor, func(tx store.Tx) (*Answer, error) { return s.take(tx, old, text) })
	if errors.Is(err, errInvalid) {
		err = s.whyNot(ctx, text)
	}
	return fresh, err
}
