// Package tool owns two small services that sys/tools and the transit engine both offer: random
// bytes and hashes. Contract: sys §20, secrets §5.
package tool

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"slices"
	"strconv"

	"jeton/internal/backend"
)

// maxRandom is one more than the bytes that one call may ask for. Contract: sys §20.
const maxRandom = 131072

// Routes are the paths of both, below prefix.
func Routes(prefix string) []backend.Route {
	return []backend.Route{
		{Pattern: prefix + "random", Summary: "Random bytes.", Write: backend.Handle(random)},
		{Pattern: prefix + "random/{source}", Summary: "Random bytes.", Write: backend.Handle(random)},
		{Pattern: prefix + "random/{source}/{urlbytes}", Summary: "Random bytes.", Write: backend.Handle(random)},
		{Pattern: prefix + "hash", Summary: "The hash of an input.", Write: backend.Handle(sum)},
		{Pattern: prefix + "hash/{urlalgorithm}", Summary: "The hash of an input.", Write: backend.Handle(sum)},
	}
}

type randomRequest struct {
	Bytes    int    `json:"bytes" default:"32" doc:"How many bytes."`
	URLBytes string `json:"urlbytes" doc:"How many bytes; beats bytes."`
	Format   string `json:"format" default:"base64" doc:"hex or base64."`
	Source   string `json:"source" default:"platform" doc:"platform, seal or all: one source feeds them all. A number is how many bytes."`
}

type randomReply struct {
	Bytes string `json:"random_bytes"`
}

func random(_ context.Context, c *backend.Call, req *randomRequest) (*randomReply, error) {
	sources := []string{"platform", "seal", "all"}
	count := req.URLBytes
	if captured := c.Capture("source"); captured != "" && count == "" && !slices.Contains(sources, captured) {
		count, req.Source = captured, "platform"
	}
	if count != "" {
		n, err := strconv.Atoi(count)
		if err != nil {
			return nil, backend.Invalidf("error parsing url-set byte count: want a number")
		}
		req.Bytes = n
	}
	switch {
	case req.Bytes < 1:
		return nil, backend.Invalidf("'bytes' cannot be less than 1")
	case req.Bytes >= maxRandom:
		return nil, backend.Invalidf("'bytes' should be less than %d", maxRandom)
	case req.Format != "hex" && req.Format != "base64":
		return nil, backend.Invalidf(`unsupported encoding format %q; must be "hex" or "base64"`, req.Format)
	case !slices.Contains(sources, req.Source):
		return nil, backend.Invalidf(`unsupported entropy source %q; must be "platform" or "seal", or "all"`, req.Source)
	}
	if req.Source != "platform" {
		c.Warn("no seal/entropy augmentation available: using platform entropy source")
	}
	b := make([]byte, req.Bytes)
	_, _ = rand.Read(b)
	if req.Format == "hex" {
		return &randomReply{hex.EncodeToString(b)}, nil
	}
	return &randomReply{base64.StdEncoding.EncodeToString(b)}, nil
}

type hashRequest struct {
	Input        string `json:"input" doc:"The input in base64."`
	Algorithm    string `json:"algorithm" default:"sha2-256" doc:"sha2- or sha3- with 224, 256, 384 or 512."`
	URLAlgorithm string `json:"urlalgorithm" doc:"The algorithm; beats the other."`
	Format       string `json:"format" default:"hex" doc:"hex or base64."`
}

type hashReply struct {
	Sum string `json:"sum"`
}

func sum(_ context.Context, _ *backend.Call, req *hashRequest) (*hashReply, error) {
	input, err := base64.StdEncoding.DecodeString(req.Input)
	if err != nil {
		return nil, backend.Invalidf("unable to decode input as base64: it is malformed")
	}
	if req.URLAlgorithm != "" {
		req.Algorithm = req.URLAlgorithm
	}
	if req.Format != "hex" && req.Format != "base64" {
		return nil, backend.Invalidf(`unsupported encoding format %s; must be "hex" or "base64"`, req.Format)
	}
	h := Hash(req.Algorithm)
	if h == nil {
		return nil, backend.Invalidf("unsupported algorithm %s", req.Algorithm)
	}
	_, _ = h.Write(input)
	sum := h.Sum(nil)
	if req.Format == "base64" {
		return &hashReply{base64.StdEncoding.EncodeToString(sum)}, nil
	}
	return &hashReply{hex.EncodeToString(sum)}, nil
}

// Hash is a new hash of that name, sha2- or sha3- with 224, 256, 384 or 512; nil for any other.
func Hash(algorithm string) hash.Hash {
	switch algorithm {
	case "sha2-224":
		return sha256.New224()
	case "sha2-256":
		return sha256.New()
	case "sha2-384":
		return sha512.New384()
	case "sha2-512":
		return sha512.New()
	case "sha3-224":
		return sha3.New224()
	case "sha3-256":
		return sha3.New256()
	case "sha3-384":
		return sha3.New384()
	case "sha3-512":
		return sha3.New512()
	}
	return nil
}
