package transit

import (
	"context"
	"time"
)

// Renew is renew.
func (k *Key) Renew(ctx context.Context) (time.Duration, error) { return k.renew(ctx) }
