package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"jeton/internal/backend"
	"jeton/internal/identity"
	"jeton/internal/lease"
	"jeton/internal/record"
	"jeton/internal/seal"
	"jeton/internal/store"
	"jeton/internal/token"
)

// Problem is something in the stored data that must not be there. It carries no secret.
type Problem struct {
	// Room says whose data it is: "token", "lease", "policy", "quota", "identity", "idtoken", "mount",
	// "cubbyhole", "record".
	Room string `json:"room"`
	What string `json:"what"`
}

// String is one line for a person.
func (p Problem) String() string { return p.Room + ": " + p.What }

// Check walks all data of an unsealed server and reports each place where it contradicts itself:
// records that do not decrypt or decode, what the rooms of tokens, leases and mounts find
// wrong, cubbyholes without a token, keys of no room. It changes nothing, and the server goes on
// meanwhile. It returns how many records it has read; its error is one of reading the store.
func (n *Node) Check(ctx context.Context, report func(Problem)) (records int64, err error) {
	house := n.Enter()
	if house == nil {
		return 0, seal.ErrSealed
	}
	defer house.Leave()
	return house.Check(ctx, report)
}

// Check is Node.Check, for who is in the house.
func (h *House) Check(ctx context.Context, report func(Problem)) (records int64, err error) {
	err = h.Tokens.Check(ctx, func(p token.Problem) { report(Problem{"token", p.String()}) })
	if err != nil {
		return 0, err
	}
	err = h.Leases.Check(ctx, func(p lease.Problem) { report(Problem{"lease", p.String()}) })
	if err != nil {
		return 0, err
	}
	err = h.Identity.Check(ctx, func(p identity.Problem) { report(Problem{"identity", p.String()}) })
	if err != nil {
		return 0, err
	}
	err = store.NewArea(h.Store, policyPrefix).View(ctx, func(r store.Reader) error {
		return h.Policies.Check(r, func(what string) { report(Problem{"policy", what}) })
	})
	if err != nil {
		return 0, err
	}
	if err := h.Quotas.Check(ctx, func(what string) { report(Problem{"quota", what}) }); err != nil {
		return 0, err
	}
	if err := h.IDTokens.Check(ctx, func(what string) { report(Problem{"idtoken", what}) }); err != nil {
		return 0, err
	}
	if err := h.Mounts.Check(ctx, func(what string) { report(Problem{"mount", what}) }); err != nil {
		return 0, err
	}
	if err := h.checkMounts(ctx, report); err != nil {
		return 0, err
	}
	err = h.Store.View(ctx, func(r store.Reader) error {
		w := &walk{house: h, r: r, report: report}
		w.boxes = h.Mounts.DataPrefix("cubbyhole/")
		err := r.Scan(store.Range{KeysOnly: true}, func(k, _ []byte) (bool, error) { return true, w.key(k) })
		records = w.records
		return err
	})
	return records, err
}

// walk is one pass over every key.
type walk struct {
	house   *House
	r       store.Reader
	report  func(Problem)
	records int64
	// boxes is where the cubbyholes lie; box is the token of the one last looked at.
	boxes []byte
	box   token.ID
}

// rooms are the prefixes that something is kept below, and whether every value there is a record
// or empty. The mounts' own data is as their engines like it.
func rooms() map[string]bool {
	return map[string]bool{
		string(tokenPrefix): false, string(leasePrefix): true, string(policyPrefix): true, string(auditPrefix): true,
		string(edgePrefix): true, string(quotaPrefix): true, string(systemPrefix): true, string(idtokenPrefix): true, string(identityPrefix): false,
		"node/": true, "wrap/": true, "mount/e/": true, "mount/d/": false,
	}
}

func (w *walk) key(k []byte) error {
	w.records++
	room, isRecord := "", false
	for prefix, records := range rooms() {
		if bytes.HasPrefix(k, []byte(prefix)) {
			room, isRecord = prefix, records
		}
	}
	inBox := len(w.boxes) > 0 && bytes.HasPrefix(k, w.boxes)
	value, err := w.r.Get(k)
	switch {
	case room == "":
		w.report(Problem{"record", fmt.Sprintf("a key of no room: %q", k)})
	case errors.Is(err, seal.ErrUndecryptable):
		w.report(Problem{"record", fmt.Sprintf("a value that does not decrypt: %q", k)})
		return nil
	case err != nil:
		return err
	case (isRecord || inBox) && len(value) > 0:
		var anything any
		if err := record.Decode(value, &anything); err != nil {
			w.report(Problem{"record", fmt.Sprintf("a value that does not decode: %q", k)})
		}
	}
	if inBox {
		return w.cubbyhole(k[len(w.boxes):])
	}
	return nil
}

// cubbyhole checks that a box has a token. k begins with the token's id.
func (w *walk) cubbyhole(k []byte) error {
	var id backend.TokenID
	if len(k) <= len(id) {
		w.report(Problem{"cubbyhole", "an object of no token"})
		return nil
	}
	copy(id[:], k)
	if id == w.box {
		return nil
	}
	w.box = id
	kept, err := w.house.Tokens.Keeps(w.r, id)
	if err == nil && !kept {
		w.report(Problem{"cubbyhole", strings.TrimSpace(fmt.Sprintf("a cubbyhole without a token: %x", id))})
	}
	return err
}
