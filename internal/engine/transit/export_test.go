package transit

import (
	"context"

	"jeton/internal/backend"
)

// RotateDue rotates what is due in b, as the loop does once an hour.
func RotateDue(ctx context.Context, b backend.Backend) error { return b.(*engine).rotateDue(ctx) }

// Remembered is how many keys and versions b has in its cache.
func Remembered(b backend.Backend) (keys, versions int) {
	c := b.(*engine).cache
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.mu.keys), len(c.mu.versions)
}

// ParseVersioned and Versioned are for the fuzz test.
var (
	ParseVersioned = parseVersioned
	Versioned      = versioned
)

// KeyTypes are the names of all types.
var KeyTypes = []string{"aes128-gcm96", "aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305", "ed25519", "ecdsa-p256", "ecdsa-p384",
	"ecdsa-p521", "rsa-2048", "rsa-3072", "rsa-4096", "hmac"}
