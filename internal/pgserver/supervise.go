package pgserver

import (
	"context"
	"fmt"
	"os"
	"time"
)

const (
	maxRestarts  = 5
	firstBackoff = 250 * time.Millisecond // after the first, immediate restart; doubles
	forgiveAfter = time.Minute            // a server that ran for so long has recovered
)

// supervise owns the server until ctx ends, which stops it, or until it has
// died too often, which Dead reports.
func (c *Cluster) supervise(ctx context.Context, s *server) {
	defer close(c.done)
	defer release(c.lock)
	defer c.removeShortRunDir()
	defer c.pid.Store(0)
	for failures := 0; ; {
		ready := time.Now()
		select {
		case <-ctx.Done():
			c.stopErr = s.shutdown(c.hurry)
			return
		case <-s.exited:
		}
		c.pid.Store(0)
		if time.Since(ready) > forgiveAfter {
			failures = 0
		}
		err := s.cause()
		for s = nil; s == nil; {
			if failures++; failures > maxRestarts {
				c.dead <- fmt.Errorf("the private PostgreSQL keeps dying: %w", err)
				return
			}
			c.log.Error().Err(err).Int("attempt", failures).Msg("the private PostgreSQL died; restarting it")
			if !pause(ctx, backoff(failures)) {
				return
			}
			if s, err = c.launch(ctx); err != nil && ctx.Err() != nil {
				return
			}
		}
		c.log.Info().Int("pid", s.pid).Msg("the private PostgreSQL is back")
	}
}

// backoff is the pause before a restart: none, 250 ms, 500 ms, 1 s, 2 s.
func backoff(failures int) time.Duration {
	if failures == 1 {
		return 0
	}
	return firstBackoff << (failures - 2)
}

// pause reports whether it lasted; ctx cuts it short.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// removeShortRunDir keeps /tmp clean.
func (c *Cluster) removeShortRunDir() {
	if c.layout.run == shortSocketDir(c.layout.root) {
		os.RemoveAll(c.layout.run)
	}
}
