package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"importer"
)

// writer puts batches into the catalogue and rejects beside it, one at a
// time. It blocks in the store: the deduper holds a window of writerWindow
// pieces of work, ctx ends with the attempt, and nobody waits for an answer.
//
// An error restarts it and the piece of work is handled again; the ledger
// makes that safe. A database that cannot be reached is no failure of the
// writer: it tries again until the supervisor gives the attempt up.
type writer struct {
	ctx     context.Context
	store   importer.ImportStore
	observe Observer
	id      uuid.UUID
	epoch   int64
	index   int
	run     pid
	deduper pid

	way    importer.MergeWay
	stalls int
}

// writerWindow is how much work a writer holds: one piece in hand and one
// waiting, so that it never idles for the round trip to the deduper.
const writerWindow = 2

const (
	firstStall = 100 * time.Millisecond
	maxStall   = 2 * time.Second
)

func (w *writer) start(*cell) error { return nil }
func (w *writer) stop(error)        {}

func (w *writer) handle(c *cell, msg any) error {
	if w.ctx.Err() != nil {
		return nil //nolint:nilerr // the attempt is over
	}
	var done any
	var err error
	switch m := msg.(type) {
	case *merge:
		var res importer.Merged
		began := time.Now()
		res, err = w.store.MergeBatch(w.ctx, m.batch, w.way)
		if err != nil {
			err = fmt.Errorf("merge batch %d: %w", m.batch.Number, err)
			break
		}
		if !res.Again {
			w.observe.Merged(res, time.Since(began))
		}
		w.way = res.Next
		done = wrote{m.batch.Number, res}
		m.batch.Rows = nil
	case *record:
		if err = w.store.AddRejects(w.ctx, w.id, w.epoch, m.rejects); err != nil {
			err = fmt.Errorf("add %d rejects: %w", len(m.rejects), err)
			break
		}
		w.observe.Rejected(len(m.rejects))
		done = recorded{}
		m.rejects = nil
	}
	switch {
	case err == nil:
		w.stalls = 0
		c.send(w.run, done)
		c.send(w.deduper, freed{w.index})
	case w.ctx.Err() != nil:
	case isLost(err):
		c.send(w.run, fenced{})
	case isUnavailable(err):
		c.send(w.run, stalled{err})
		c.after(stallTime(w.stalls), msg)
		w.stalls++
	default:
		return err
	}
	return nil //nolint:nilerr // an error that is no failure of the writer has been dealt with
}

// stallTime is how long to wait before the nth new try of a database that is
// away.
func stallTime(n int) time.Duration { return min(firstStall<<min(n, 16), maxStall) }

// isLost reports whether the import is no longer ours to work on: somebody
// else claimed it, or it was cancelled, has ended or is gone.
func isLost(err error) bool {
	if errors.Is(err, importer.ErrLeaseLost) {
		return true
	}
	code := importer.ErrorCode(err)
	return code == importer.Conflict || code == importer.NotFound
}

// isUnavailable reports whether the database may be back soon. Only calls
// with a timeout of their own can exceed a deadline.
func isUnavailable(err error) bool {
	return importer.ErrorCode(err) == importer.Unavailable || errors.Is(err, context.DeadlineExceeded)
}
