package httpd

import (
	"context"
	"time"

	"github.com/google/uuid"

	"importer"
)

// A socket lives longer than the request it began as: whether its caller may
// still be there is asked again at every heartbeat.

type callerKey struct {
	kind importer.CallerKind
	id   uuid.UUID
}

// standing is what was found the last time, for all sockets of one caller.
type standing struct {
	holds bool
	until time.Time
}

const standingsKept = 10_000

// holds reports whether a caller who was recognised before still would be.
// While the database is away it is.
func (a *access) holds(ctx context.Context, c importer.Caller) bool {
	if !c.Expires.IsZero() && c.Kind == importer.CallerToken && !a.now().Before(c.Expires) {
		return false
	}
	switch c.Kind {
	case importer.CallerAdminToken:
		return true
	case importer.CallerAnybody:
		guarded, err := a.guarded(ctx)
		return err != nil || !guarded
	}
	key := callerKey{c.Kind, c.ID}
	a.mu.Lock()
	last, known := a.standing[key]
	a.mu.Unlock()
	if known && a.now().Before(last.until) {
		return last.holds
	}
	holds, err := a.store.Holds(ctx, c)
	if err != nil {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.standing) >= standingsKept {
		clear(a.standing)
	}
	a.standing[key] = standing{holds, a.now().Add(standsFor)}
	return holds
}
