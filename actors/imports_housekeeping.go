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
		return houseKept{errors.Join(m.removeFiles(ctx), m.trimEvents(ctx))}
	}, func(err error) any { return houseKept{err} })
}

// removeFiles ends forgotten uploads and removes the files that are there and
// that no import needs any more.
func (m *imports) removeFiles(ctx context.Context) error {
	// The store tells of the files of many days, again and again. Most are gone,
	// and a spool may ask for money to be asked about each.
	forgotten, err := m.Store.ForgottenUploads(ctx, forgottenAfter)
	if err != nil {
		return fmt.Errorf("forgotten uploads: %w", err)
	}
	files, err := m.Spool.List(ctx)
	if err != nil {
		return fmt.Errorf("list files: %w", err)
	}
	unneeded := make(map[uuid.UUID]bool, len(forgotten))
	for _, id := range forgotten {
		unneeded[id] = true
	}
	var strays []uuid.UUID
	for _, id := range files {
		if !unneeded[id] {
			strays = append(strays, id)
			continue
		}
		if err := m.Spool.Remove(ctx, id); err != nil {
			return fmt.Errorf("remove file %s: %w", id, err)
		}
	}
	return m.removeStrays(ctx, strays)
}

// removeStrays removes those files whose import is not in the store.
func (m *imports) removeStrays(ctx context.Context, ids []uuid.UUID) error {
	for _, id := range ids {
		if m.Now().Sub(madeAt(id)) < m.StrayAfter {
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
