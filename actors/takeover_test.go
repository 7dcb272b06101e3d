package actors_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"importer"
	"importer/actors"
)

// TestTakeoverGoesOnFromALedgerWithHoles runs the same import on a first
// machine that writes only some of its batches, then on a second.
func TestTakeoverGoesOnFromALedgerWithHoles(t *testing.T) {
	t.Parallel()
	text, want := file(25_000, 18_000)
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(b *bundle, _ *actors.Options) {
			b.store.beforeMerge = func(ctx context.Context, batch importer.Batch) error {
				if batch.Number%3 == 1 {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}
		})
		id := b.upload(importer.NewImport{BatchRows: 500}, text)
		until(t, "some batches", func() bool { return b.batches(id) >= 2 })
		b.shutdown()
		holes := b.batches(id)
		b.store.beforeMerge = nil
		next := b.second(nil)
		imp := next.await(id, importer.Completed)
		next.checkCounts(imp, importer.Counts{Rows: 25_000, Created: 18_000, Duplicates: 7_000})
		next.checkCatalogue(want)
		if all := next.batches(id); all != 36 || holes >= all {
			t.Errorf("%d batches, %d of them by the first machine, want 36 in all", all, holes)
		}
	})
}

func (b *bundle) batches(id uuid.UUID) int {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	return len(b.store.imports[id].ledger)
}

// TestAnyLedgerGivesTheSameResult: whichever batches are written by whomever,
// the catalogue and the counts are those of one run.
func TestAnyLedgerGivesTheSameResult(t *testing.T) {
	t.Parallel()
	text, want := file(3_000, 2_000)
	rapid.Check(t, func(rt *rapid.T) {
		written := rapid.SliceOfN(rapid.Bool(), 20, 20).Draw(rt, "written")
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			done := 0
			b := setup(t, func(b *bundle, o *actors.Options) {
				o.Writers = 10 // hung ones must not keep the others from their batches
				b.store.beforeMerge = func(ctx context.Context, batch importer.Batch) error {
					if !written[batch.Number] {
						<-ctx.Done()
						return ctx.Err()
					}
					mu.Lock()
					done++
					mu.Unlock()
					return nil
				}
			})
			id := b.upload(importer.NewImport{BatchRows: 100}, text)
			time.Sleep(5 * time.Second) // virtual: all that can be written is
			b.shutdown()
			b.store.beforeMerge = nil
			next := b.second(nil)
			next.checkCounts(next.await(id, importer.Completed), importer.Counts{Rows: 3_000, Created: 2_000, Duplicates: 1_000})
			next.checkCatalogue(want)
			if next.store.again != 0 {
				t.Errorf("%d batches of the ledger were sent again, want none", next.store.again)
			}
		})
	})
}

// A machine that dies without a word is replaced when its lease runs out; its
// last words are fenced, and what people see does not fall back.
func TestTakeoverFromAMachineThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		dead := false
		text, want := file(20_000, 15_000)
		b := setup(t, func(b *bundle, _ *actors.Options) {
			slowly(b, 200*time.Millisecond)
			b.store.beforeStep = func(ctx context.Context, _ string, _ uuid.UUID) error {
				mu.Lock()
				hung := dead
				mu.Unlock()
				if hung && ctx.Value(survivor{}) == nil {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}
		})
		id := b.upload(importer.NewImport{BatchRows: 500}, text)
		until(t, "a third of the batches", func() bool { return b.batches(id) >= 10 })
		time.Sleep(1500 * time.Millisecond) // so that the lease was renewed and progress saved
		mu.Lock()
		dead = true
		mu.Unlock()
		b.store.mu.Lock()
		saved := b.store.imports[id].Progress
		b.store.mu.Unlock()

		next := b.second(func(_ *bundle, o *actors.Options) { o.Store, o.Events = surviving{b.store}, surviving{b.store} })
		w := next.watch(importer.ImportTopic(id))
		imp := next.await(id, importer.Completed)
		next.checkCounts(imp, importer.Counts{Rows: 20_000, Created: 15_000, Duplicates: 5_000})
		next.checkCatalogue(want)
		if imp.Attempts != 2 {
			t.Errorf("got %d attempts, want 2", imp.Attempts)
		}
		until(t, "the last update", func() bool { return w.progress().Phase == importer.PhaseComplete })
		w.mu.Lock()
		all := checkGrows(t, w.updates)
		w.mu.Unlock()
		for _, u := range all {
			if u.Progress.Percent < saved.Percent || u.Progress.RowsDone < saved.RowsDone {
				t.Fatalf("after the takeover: got %+v, want at least %+v", u.Progress, saved)
			}
		}
	})
}

// survivor marks the calls of the machine that still reaches the database.
type survivor struct{}

type surviving struct{ *memory }

func (s surviving) mark(ctx context.Context) context.Context {
	return context.WithValue(ctx, survivor{}, true)
}

func (s surviving) ClaimImports(ctx context.Context, node uuid.UUID, limit int) ([]importer.Claim, error) {
	return s.memory.ClaimImports(s.mark(ctx), node, limit)
}

func (s surviving) Renew(ctx context.Context, id uuid.UUID, epoch int64, p importer.Progress, c importer.Counts) error {
	return s.memory.Renew(s.mark(ctx), id, epoch, p, c)
}

func (s surviving) StartScan(ctx context.Context, id uuid.UUID, epoch int64) (importer.Import, error) {
	return s.memory.StartScan(s.mark(ctx), id, epoch)
}

func (s surviving) StartWrite(ctx context.Context, id uuid.UUID, epoch int64, scan importer.Scan) (importer.Import, error) {
	return s.memory.StartWrite(s.mark(ctx), id, epoch, scan)
}

func (s surviving) Ledger(ctx context.Context, id uuid.UUID) (map[int]struct{}, importer.Counts, error) {
	return s.memory.Ledger(s.mark(ctx), id)
}

func (s surviving) MergeBatch(ctx context.Context, b importer.Batch, way importer.MergeWay) (importer.Merged, error) {
	return s.memory.MergeBatch(s.mark(ctx), b, way)
}

func (s surviving) Complete(ctx context.Context, id uuid.UUID, epoch int64, scan importer.Scan) (importer.Import, error) {
	return s.memory.Complete(s.mark(ctx), id, epoch, scan)
}

func (s surviving) TopicSnapshot(ctx context.Context, topic string) (importer.Snapshot, error) {
	return s.memory.TopicSnapshot(s.mark(ctx), topic)
}
