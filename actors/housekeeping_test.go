package actors_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"importer"
	"importer/actors"
)

func TestHousekeepingRemovesFilesNobodyNeeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, nil)
		synctest.Wait() // the round at the start is over
		forgotten, stray := idAt(time.Now()), idAt(time.Now())
		claim, err := b.store.CreateImport(t.Context(), importer.NewImport{}, uuid.New())
		if err != nil {
			t.Fatal(err)
		}
		b.store.mu.Lock()
		b.store.forgotten = []uuid.UUID{forgotten}
		b.store.mu.Unlock()
		for _, id := range []uuid.UUID{forgotten, stray, claim.ID} {
			if err := b.spool.Create(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(30 * time.Minute) // virtual
		if b.spool.has(forgotten) {
			t.Error("the forgotten upload's file is still there")
		}
		b.spool.mu.Lock()
		if b.spool.removals != 1 {
			t.Errorf("%d removals, want one: a bucket asks for money to be asked about files that are gone", b.spool.removals)
		}
		b.spool.mu.Unlock()
		if !b.spool.has(stray) {
			t.Error("a file of half an hour was removed: its import may be about to be created")
		}
		fresh := idAt(time.Now())
		if err := b.spool.Create(t.Context(), fresh); err != nil {
			t.Fatal(err)
		}
		time.Sleep(32 * time.Minute)
		if b.spool.has(stray) {
			t.Error("a file without an import is still there after an hour")
		}
		if !b.spool.has(fresh) || !b.spool.has(claim.ID) {
			t.Error("a file that may be needed was removed")
		}
	})
}

// A bucket may have files that somebody else needs.
func TestStraysMayBeKeptLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(_ *bundle, o *actors.Options) { o.StrayAfter = 3 * time.Hour })
		foreign := idAt(time.Now())
		if err := b.spool.Create(t.Context(), foreign); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if !b.spool.has(foreign) {
			t.Error("a file without an import was removed too early")
		}
		time.Sleep(62 * time.Minute)
		if b.spool.has(foreign) {
			t.Error("a file without an import is still there after its time")
		}
	})
}

// trimmed is a log with events to delete.
type trimmed struct {
	*eventLog
	old   atomic.Int64
	calls atomic.Int64
}

func (l *trimmed) TrimEvents(_ context.Context, keep time.Duration, limit int) (int, error) {
	if keep != 7*24*time.Hour {
		return 0, fmt.Errorf("keeps events for %v", keep)
	}
	l.calls.Add(1)
	n := min(l.old.Load(), int64(limit))
	l.old.Add(-n)
	return int(n), nil
}

func TestHousekeepingDeletesOldEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &trimmed{eventLog: &eventLog{epoch: "e1"}}
		setup(t, func(_ *bundle, o *actors.Options) { o.Events = l })
		synctest.Wait()
		l.old.Store(2_500)
		l.calls.Store(0)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, calls := l.old.Load(), l.calls.Load(); got != 0 || calls != 3 {
			t.Errorf("%d old events are left after %d batches, want none after 3", got, calls)
		}
	})
}

// idAt makes a UUIDv7 of virtual time: the library's never go back to it from
// the time of other tests.
func idAt(at time.Time) (id uuid.UUID) {
	id = uuid.New()
	for i, ms := 5, at.UnixMilli(); i >= 0; i, ms = i-1, ms>>8 {
		id[i] = byte(ms)
	}
	id[6] = id[6]&0x0f | 0x70
	return id
}
