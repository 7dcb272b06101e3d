package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"importer"
)

const (
	houseEvery     = time.Minute
	houseTimeout   = 30 * time.Second
	forgottenAfter = 24 * time.Hour // an upload whose machine is gone may be gone on with for a day
	strayAfter     = time.Hour      // of a file's id, so that no upload that begins is taken for a stray

	keepEvents = 7 * 24 * time.Hour // then a client that comes back gets a snapshot
	trimAtOnce = 1_000              // events, in one short transaction
	trimRounds = 100                // then the next housekeeping goes on
)

// keepHouse ends forgotten uploads, removes files that nobody needs and
// deletes old events. Several machines may do so at once.
func (m *imports) keepHouse(c *cell) {
	if m.closing != nil {
		return
	}
	c.beside(func() any {
		ctx, cancel := context.WithTimeout(m.life, houseTimeout)
		defer cancel()
		return houseKept{errors.Join(m.removeForgotten(ctx), m.removeStrays(ctx), m.trimEvents(ctx))}
	}, func(err error) any { return houseKept{err} })
}

func (m *imports) removeForgotten(ctx context.Context) error {
	ids, err := m.Store.ForgottenUploads(ctx, forgottenAfter)
	if err != nil {
		return fmt.Errorf("forgotten uploads: %w", err)
	}
	for _, id := range ids {
		if err := m.Spool.Remove(ctx, id); err != nil {
			return fmt.Errorf("remove file %s: %w", id, err)
		}
	}
	return nil
}

// removeStrays removes files whose import is not in the store.
func (m *imports) removeStrays(ctx context.Context) error {
	ids, err := m.Spool.List(ctx)
	if err != nil {
		return fmt.Errorf("list files: %w", err)
	}
	for _, id := range ids {
		if m.Now().Sub(madeAt(id)) < strayAfter {
			continue
		}
		if _, err := m.Store.Import(ctx, id); importer.ErrorCode(err) != importer.NotFound {
			continue
		}
		if err := m.Spool.Remove(ctx, id); err != nil {
			return fmt.Errorf("remove file %s: %w", id, err)
		}
	}
	return nil
}

func (m *imports) trimEvents(ctx context.Context) error {
	for range trimRounds {
		n, err := m.Events.TrimEvents(ctx, keepEvents, trimAtOnce)
		if err != nil {
			return fmt.Errorf("old events: %w", err)
		}
		if n < trimAtOnce {
			break
		}
	}
	return nil
}

// madeAt is the time in a UUIDv7, in its first 48 bits as milliseconds.
func madeAt(id uuid.UUID) time.Time {
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms)
}
