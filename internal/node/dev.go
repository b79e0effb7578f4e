package node

import (
	"context"

	"jeton/internal/mount"
	"jeton/internal/seal"
	"jeton/internal/token"
)

// DevOptions are what a development server begins with.
type DevOptions struct {
	// RootToken is the id of the root token; "" leaves the generated one.
	RootToken string
	// NoKV leaves secret/ out; KVv1 mounts version 1 there.
	NoKV, KVv1 bool
}

// Dev is a development server that is ready to use.
type Dev struct {
	UnsealKey []byte
	RootToken string
}

// StartDev initialises and unseals a node with one share, and mounts secret/. It is for a
// store that is empty. Contract: config §8.
func (n *Node) StartDev(ctx context.Context, o DevOptions) (*Dev, error) {
	made, err := n.Init(ctx, seal.InitRequest{Secret: seal.Config{Shares: 1, Threshold: 1}}, "")
	if err != nil {
		return nil, err
	}
	if _, err := n.SubmitShare(ctx, "", made.Shares[0]); err != nil {
		return nil, err
	}
	out := &Dev{UnsealKey: made.Shares[0], RootToken: made.RootToken}
	h := n.Enter()
	defer h.Leave()
	if o.RootToken != "" {
		if _, err := h.Tokens.IssueRoot(ctx, o.RootToken, nil); err != nil {
			return nil, err
		}
		generated, err := h.Tokens.Find(ctx, made.RootToken)
		if err != nil {
			return nil, err
		}
		if err := h.Tokens.Revoke(ctx, generated.ID, token.Revoked, ""); err != nil {
			return nil, err
		}
		out.RootToken = o.RootToken
	}
	if o.NoKV {
		return out, nil
	}
	version := "2"
	if o.KVv1 {
		version = "1"
	}
	return out, h.Mounts.Add(ctx, mount.Entry{
		Path: "secret/", Type: "kv", Description: "key/value secret storage", Options: map[string]string{"version": version},
	})
}
