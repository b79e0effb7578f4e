package seal

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"time"

	"jeton/internal/backend"
	"jeton/internal/record"
	"jeton/internal/seal/pgp"
	"jeton/internal/store"
)

// holders reads the public keys of those who are to hold shares; prefix opens the text of an error.
func (k *Keeper) holders(texts []string, prefix string) ([]*pgp.Key, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	keys, err := pgp.ParseAll(texts, k.clock.Now())
	var known *backend.Error
	if errors.As(err, &known) {
		return nil, backend.Invalidf("%s: %s", prefix, known.Text).Because(err)
	}
	return keys, err
}

// envelopes encrypts each share for its holder, as hex text (contract: sys §1), and wipes it.
// Without holders the shares stay as they are.
func envelopes(shares [][]byte, holders []*pgp.Key, now time.Time) ([][]byte, error) {
	if len(holders) == 0 {
		return shares, nil
	}
	sealed := make([][]byte, len(shares))
	for i, share := range shares {
		text := make([]byte, hex.EncodedLen(len(share)))
		hex.Encode(text, share)
		clear(share)
		message, err := holders[i].Encrypt(text, now)
		clear(text)
		if err != nil {
			return nil, err
		}
		sealed[i] = message
	}
	return sealed, nil
}

// fingerprints are those of the holders' keys, in the order of the shares; nil without holders.
func fingerprints(holders []*pgp.Key) []string {
	var prints []string
	for _, h := range holders {
		prints = append(prints, h.Fingerprint())
	}
	return prints
}

// backupRecord keeps the envelopes of a rekey, for the case that its answer was lost. It is not
// encrypted again: nobody but the holders can open them.
type backupRecord struct {
	Nonce     string         `cbor:"1,keyasint,omitempty"`
	Envelopes []heldEnvelope `cbor:"2,keyasint,omitempty"`
}

type heldEnvelope struct {
	Fingerprint string `cbor:"1,keyasint,omitempty"`
	Message     []byte `cbor:"2,keyasint,omitempty"`
}

// newBackup keeps copies: the messages go to the client and are cleared afterwards.
func newBackup(nonce string, holders []*pgp.Key, messages [][]byte) *backupRecord {
	b := &backupRecord{Nonce: nonce}
	for i, h := range holders {
		b.Envelopes = append(b.Envelopes, heldEnvelope{Fingerprint: h.Fingerprint(), Message: bytes.Clone(messages[i])})
	}
	return b
}

// putBackup stores the backup of the shares that come into force. Without one, that of the
// shares before them goes: it would be taken for theirs.
func putBackup(tx store.Tx, b *backupRecord) error {
	if b == nil {
		return tx.Delete(backupKey)
	}
	return record.Put(tx, backupKey, b)
}

// Backup is the envelopes of a rekey that was asked to keep them (contract: sys §15).
type Backup struct {
	Nonce string
	// Envelopes by the fingerprint of the holder's key: one holder may have several shares.
	Envelopes map[string][][]byte
}

// Backup returns the envelopes of the shares in force, or of those that wait to be verified; nil
// when none are kept. recovery asks for recovery shares: a seal has one kind of shares only.
func (r *Rekey) Backup(ctx context.Context, recovery bool) (*Backup, error) {
	if recovery != (r.keeper.wrapper != nil) {
		return nil, nil
	}
	r.attempts.Lock()
	defer r.attempts.Unlock()
	if _, err := r.attempts.begin(ctx); err != nil {
		return nil, err
	}
	for _, a := range r.attempts.open {
		if a.plan.made != nil && a.plan.made.backup != nil {
			return a.plan.made.backup.shown(), nil
		}
	}
	return r.keeper.backup(ctx)
}

// backup is what is stored; nil when nothing is.
func (k *Keeper) backup(ctx context.Context) (*Backup, error) {
	kept, err := k.storedBackup(ctx)
	if err != nil || kept == nil {
		return nil, err
	}
	return kept.shown(), nil
}

func (b *backupRecord) shown() *Backup {
	out := &Backup{Nonce: b.Nonce, Envelopes: make(map[string][][]byte)}
	for _, e := range b.Envelopes {
		out.Envelopes[e.Fingerprint] = append(out.Envelopes[e.Fingerprint], e.Message)
	}
	return out
}

// DeleteBackup forgets what Backup shows. It is no error that there is none.
func (r *Rekey) DeleteBackup(ctx context.Context, recovery bool) error {
	if recovery != (r.keeper.wrapper != nil) {
		return nil
	}
	r.attempts.Lock()
	defer r.attempts.Unlock()
	if _, err := r.attempts.begin(ctx); err != nil {
		return err
	}
	r.keeper.change.Lock()
	defer r.keeper.change.Unlock()
	if r.keeper.open.Load() == nil {
		return ErrSealed
	}
	if err := r.keeper.durably(ctx, func(tx store.Tx) error { return tx.Delete(backupKey) }); err != nil {
		return err
	}
	for _, a := range r.attempts.open {
		if a.plan.made != nil {
			a.plan.made.backup = nil
		}
	}
	return nil
}
