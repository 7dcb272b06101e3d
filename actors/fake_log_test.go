package actors_test

import (
	"context"
	"time"

	"github.com/google/uuid"

	"importer"
)

// lonely is the part of a log that other machines and old age concern, for a
// fake on which there are none.
type lonely struct{}

func (lonely) NewEvents(context.Context, map[string]int64, int) (string, []importer.Event, error) {
	return "", nil, nil
}

func (lonely) Listen(ctx context.Context, _, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

func (lonely) Hint(context.Context) error { return nil }

func (lonely) TrimEvents(context.Context, time.Duration, int) (int, error) { return 0, nil }

func (lonely) ImportUpdates(context.Context, []uuid.UUID) ([]importer.Update, error) { return nil, nil }
