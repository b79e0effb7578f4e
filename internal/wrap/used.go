package wrap

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"jeton/internal/store"
)

// ErrUsed is wrapped by the error for a wrapping token whose answer was taken before. The
// client sees no difference; the audit log does: whoever should have been the first to open
// it learns there that somebody else was.
var ErrUsed = errors.New("the wrapping token was used before")

// The room's keys, in the whole store. They tell used tokens from unknown ones for as long as
// the tokens would have lived.
//
//	wrap/u/<hash of token>            a token whose answer was taken
//	wrap/x/<expiry><hash of token>    the order in which that may be forgotten; Unix
//	                                  nanoseconds, big-endian
const (
	usedPrefix   = "wrap/u/"
	forgetPrefix = "wrap/x/"
)

// forgetAtOnce bounds what one use forgets of those before it: more than it adds, so that the
// list does not grow with tokens that nobody could use any more.
const forgetAtOnce = 16

// fingerprint names a token's text. No key is needed: the text has 240 random bits.
func fingerprint(text string) []byte {
	sum := sha256.Sum256([]byte("wrap\x00" + text))
	return sum[:16]
}

func usedKey(print []byte) []byte { return append([]byte(usedPrefix), print...) }

func forgetKey(at int64, print []byte) []byte {
	return append(binary.BigEndian.AppendUint64([]byte(forgetPrefix), uint64(at)), print...)
}

// rememberUse writes down that the answer behind text was taken.
func (s *Store) rememberUse(tx store.Tx, text string, expires time.Time) error {
	if err := s.forget(tx); err != nil {
		return err
	}
	print := fingerprint(text)
	if err := tx.Put(usedKey(print), nil); err != nil {
		return err
	}
	return tx.Put(forgetKey(expires.UnixNano(), print), nil)
}

// Spent writes down that the use of the wrapping token text went elsewhere than into Open: to
// the reading of its cubbyhole, say.
func (s *Store) Spent(ctx context.Context, text string, expires time.Time) error {
	return s.whole.Update(ctx, func(tx store.Tx) error { return s.rememberUse(tx, text, expires) })
}

// forget drops some of what is past its time.
func (s *Store) forget(tx store.Tx) error {
	var due [][]byte
	past := store.Range{From: []byte(forgetPrefix), To: forgetKey(s.clock.Now().UnixNano(), nil), Limit: forgetAtOnce, KeysOnly: true}
	err := tx.Scan(past, func(k, _ []byte) (bool, error) {
		due = append(due, append([]byte(nil), k...))
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, k := range due {
		if err := tx.Delete(k); err != nil {
			return err
		}
		if err := tx.Delete(usedKey(k[len(forgetPrefix)+8:])); err != nil {
			return err
		}
	}
	return nil
}

// whyNot is the error for a token that stands for nothing, with what is known of it.
func (s *Store) whyNot(ctx context.Context, text string) error {
	err := s.whole.View(ctx, func(r store.Reader) error {
		_, err := r.Get(usedKey(fingerprint(text)))
		return err
	})
	switch {
	case err == nil:
		return errInvalid.Because(ErrUsed)
	case errors.Is(err, store.ErrNotFound):
		return errInvalid
	}
	return err
}
