package actors_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"importer"
	"importer/actors"
)

// watched notes what an Observer is told.
type watched struct {
	mu        sync.Mutex
	merged    int64 // rows
	rejected  int
	ended     []importer.State
	takenOver []bool
	restarted []string
	givenUp   []string
}

func (w *watched) note(f func()) { w.mu.Lock(); defer w.mu.Unlock(); f() }
func (w *watched) Merged(m importer.Merged, _ time.Duration) {
	w.note(func() { w.merged += m.Created + m.Updated + m.Unchanged })
}
func (w *watched) Rejected(rows int)       { w.note(func() { w.rejected += rows }) }
func (w *watched) Ended(i importer.Import) { w.note(func() { w.ended = append(w.ended, i.State) }) }
func (w *watched) TakenOver(expired bool) {
	w.note(func() { w.takenOver = append(w.takenOver, expired) })
}
func (w *watched) Restarted(actor string) {
	w.note(func() { w.restarted = append(w.restarted, actor) })
}
func (w *watched) GivenUp(actor string)            { w.note(func() { w.givenUp = append(w.givenUp, actor) }) }
func (w *watched) DeadLetter()                     {}
func (w *watched) Attempted(string, time.Duration) {}
func (w *watched) BreakerOpened()                  {}
func (w *watched) BreakerClosed()                  {}
func (w *watched) WebhookDisabled()                {}

// Each row is counted once, whatever fails on the way; what fails is counted,
// too, and so is each way of taking an import over.
func TestObserverIsToldWhatHappens(t *testing.T) {
	t.Parallel()
	text, _ := file(4_000, 4_000)
	text += ",without a SKU\n,another\n"
	synctest.Test(t, func(t *testing.T) {
		var broken, slow atomic.Bool
		first, second := &watched{}, &watched{}
		b := setup(t, func(b *bundle, o *actors.Options) {
			o.Writers, o.Observe = 1, first
			b.store.beforeMerge = func(ctx context.Context, batch importer.Batch) error {
				if batch.Number == 1 && broken.CompareAndSwap(true, false) {
					panic("driver blew up")
				}
				if batch.Number == 2 && slow.Load() {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}
		})
		broken.Store(true)
		b.await(b.upload(importer.NewImport{BatchRows: 1_000}, text), importer.Completed)
		if first.merged != 4_000 || first.rejected != 2 || !slices.Equal(first.restarted, []string{"writer"}) || len(first.givenUp) != 0 ||
			!slices.Equal(first.ended, []importer.State{importer.Completed}) || len(first.takenOver) != 0 {
			t.Errorf("of an import whose writer failed once: %+v", first)
		}

		slow.Store(true)
		id := b.upload(importer.NewImport{BatchRows: 1_000}, text)
		until(t, "some batches", func() bool { return b.batches(id) == 2 })
		b.shutdown()
		slow.Store(false)
		next := b.second(func(_ *bundle, o *actors.Options) { o.Observe = second })
		next.await(id, importer.Completed)
		if second.merged != 2_000 || !slices.Equal(second.takenOver, []bool{false}) {
			t.Errorf("of an import that was handed over with two batches to go: %+v", second)
		}
	})
}
