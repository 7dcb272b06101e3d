package client

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is how long to wait before try n (1, 2, …): uniform between nothing
// and a bound that doubles from first up to most. Full jitter spreads clients
// that lost the same server at the same moment.
func backoff(n int, first, most time.Duration) time.Duration {
	bound := most
	if n < 16 {
		bound = min(most, first<<(n-1))
	}
	return rand.N(bound) + time.Millisecond
}

// sleep waits, unless ctx ends first; then it returns ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
