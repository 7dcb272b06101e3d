package actors_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"importer"
	"importer/actors"
)

// jam makes every batch wait until its context ends.
type jam struct {
	hanging atomic.Int64
	over    atomic.Bool
}

func (j *jam) hook(b *bundle) {
	b.store.beforeMerge = func(ctx context.Context, _ importer.Batch) error {
		if j.over.Load() {
			return nil
		}
		j.hanging.Add(1)
		defer j.hanging.Add(-1)
		<-ctx.Done()
		return ctx.Err()
	}
}

// cancel does what httpd does.
func (b *bundle) cancel(id uuid.UUID) {
	b.t.Helper()
	if _, err := b.store.CancelImport(b.t.Context(), id); err != nil {
		b.t.Fatal(err)
	}
	b.system.Stop(id)
}

func TestCancelWhileItUploads(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	text, _ := file(5_000, 5_000)
	id := b.begin(importer.NewImport{Size: int64(2 * len(text))}).ID
	w := b.watch(importer.ImportTopic(id))
	b.append(id, text)
	until(t, "rows to be scanned", func() bool { return w.progress().RowsScanned > 0 })
	b.cancel(id)
	b.shutdown() // nothing may be left that waits for the upload
	if got := b.state(id); got != importer.Cancelled {
		t.Errorf("state is %s, want cancelled", got)
	}
}

func TestCancelWhileItScans(t *testing.T) {
	t.Parallel()
	reached, hold := make(chan struct{}), make(chan struct{})
	b := setup(t, func(b *bundle, _ *actors.Options) {
		b.store.beforeStep = func(ctx context.Context, name string, _ uuid.UUID) error {
			if name == "AddRejects" {
				close(reached)
				select {
				case <-hold:
				case <-ctx.Done():
				}
			}
			return nil
		}
	})
	id := b.upload(importer.NewImport{}, "sku,name\n,no sku\na,b\n")
	<-reached
	b.cancel(id)
	b.shutdown()
	close(hold)
	if got := b.state(id); got != importer.Cancelled {
		t.Errorf("state is %s, want cancelled", got)
	}
}

func TestCancelWhileEveryWriterHangs(t *testing.T) {
	t.Parallel()
	var j jam
	b := setup(t, func(b *bundle, _ *actors.Options) { j.hook(b) })
	text, _ := file(20_000, 20_000)
	id := b.upload(importer.NewImport{BatchRows: 500}, text)
	until(t, "both writers to hang", func() bool { return j.hanging.Load() == 2 })
	b.cancel(id)
	until(t, "the writers to let go", func() bool { return j.hanging.Load() == 0 })
	// The place is free again: with MaxImports of 4, a fifth import runs.
	j.over.Store(true)
	text, want := file(1_000, 1_000)
	b.await(b.upload(importer.NewImport{}, text), importer.Completed)
	b.checkCatalogue(want)
}

func TestShutdownWhileEveryWriterHangs(t *testing.T) {
	t.Parallel()
	var j jam
	b := setup(t, func(b *bundle, _ *actors.Options) { j.hook(b) })
	text, want := file(20_000, 20_000)
	id := b.upload(importer.NewImport{BatchRows: 500}, text)
	until(t, "both writers to hang", func() bool { return j.hanging.Load() == 2 })
	b.shutdown()
	b.store.mu.Lock()
	i := *b.store.imports[id]
	b.store.mu.Unlock()
	if i.owner != uuid.Nil || i.notBefore.After(time.Now()) || i.State != importer.Writing {
		t.Errorf("owner %v, not before %v, state %s: want the lease given back at once", i.owner, i.notBefore, i.State)
	}
	// Any machine goes on.
	j.over.Store(true)
	next := b.second(nil)
	next.checkCounts(next.await(id, importer.Completed), importer.Counts{Rows: 20_000, Created: 20_000})
	next.checkCatalogue(want)
}

func TestShutdownTwiceAndWithoutWork(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.shutdown()
	b.shutdown()
}

// What comes after the shutdown is dropped without harm.
func TestCallsAfterShutdownDoNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.shutdown()
	id := b.begin(importer.NewImport{}).ID
	b.system.Received(id, 1)
	b.system.Wake(id)
	b.system.Stop(id)
	b.system.Subscribe(importer.TopicImports, nil, &watcher{})
	b.system.Unsubscribe(importer.TopicImports, &watcher{})
}

// A shutdown that nobody can finish in time says so.
func TestShutdownKeepsItsDeadline(t *testing.T) {
	t.Parallel()
	release, hanging := make(chan struct{}), make(chan struct{}, 10)
	b := setup(t, func(b *bundle, _ *actors.Options) {
		b.store.beforeMerge = func(context.Context, importer.Batch) error {
			hanging <- struct{}{}
			<-release // deaf to its context
			return nil
		}
	})
	b.upload(importer.NewImport{}, "sku,name\na,b\n")
	<-hanging
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.system.Shutdown(ctx); err == nil {
		t.Error("want an error")
	}
	close(release)
}

func TestTwentyImportsOfWhichHalfAreCancelled(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	want := map[uuid.UUID]bool{}
	text, products := file(5_000, 4_000)
	for i := range 20 {
		id := b.upload(importer.NewImport{BatchRows: 200}, text)
		want[id] = i%2 == 0
		if i%2 == 1 {
			// Some end before they are cancelled.
			if _, err := b.store.CancelImport(t.Context(), id); err != nil {
				want[id] = true
			}
			b.system.Stop(id)
		}
	}
	for id, completes := range want {
		if completes {
			b.checkSum(b.await(id, importer.Completed))
		} else {
			b.await(id, importer.Cancelled)
		}
	}
	b.checkCatalogue(products)
}

// checkSum checks what holds for every completed import.
func (b *bundle) checkSum(imp importer.Import) {
	b.t.Helper()
	if c := imp.Counts; c.Rows != c.Created+c.Updated+c.Unchanged+c.Duplicates+c.Rejected {
		b.t.Errorf("counts do not add up: %+v", c)
	}
}

// Uploads that are whole wait for a place to run, and get one in turn.
func TestNoMoreImportsRunThanThereArePlaces(t *testing.T) {
	t.Parallel()
	var running, most atomic.Int64
	release := make(chan struct{})
	b := setup(t, func(b *bundle, o *actors.Options) {
		o.MaxImports, o.Writers = 2, 1
		b.store.beforeMerge = func(ctx context.Context, _ importer.Batch) error {
			n := running.Add(1)
			defer running.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			select {
			case <-release:
			case <-ctx.Done():
			}
			return nil
		}
	})
	var ids []uuid.UUID
	for range 6 {
		ids = append(ids, b.upload(importer.NewImport{}, "sku,name\na,b\n"))
	}
	last := b.watch(importer.ImportTopic(ids[5]))
	until(t, "all places to be taken", func() bool { return running.Load() == 2 })
	until(t, "the notice of one that waits", func() bool {
		return last.progress().Notice == "Waiting for other imports to finish"
	})
	close(release)
	for _, id := range ids {
		b.await(id, importer.Completed)
	}
	if got := most.Load(); got != 2 {
		t.Errorf("%d imports wrote at once, want 2", got)
	}
}

// With one place imports run in the order in which their files were whole,
// and none of them is passed over.
func TestImportsRunInTurn(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var order []uuid.UUID
	release := make(chan struct{})
	b := setup(t, func(b *bundle, o *actors.Options) {
		o.MaxImports, o.Writers = 1, 1
		b.store.beforeMerge = func(ctx context.Context, batch importer.Batch) error {
			mu.Lock()
			order = append(order, batch.ImportID)
			mu.Unlock()
			select {
			case <-release:
			case <-ctx.Done():
			}
			return nil
		}
	})
	var ids []uuid.UUID
	for range 8 {
		ids = append(ids, b.upload(importer.NewImport{}, "sku,name\na,b\n"))
	}
	close(release)
	for _, id := range ids {
		b.await(id, importer.Completed)
	}
	mu.Lock()
	defer mu.Unlock()
	if d := cmp.Diff(ids, order); d != "" {
		t.Errorf("they ran in another order (-uploaded +run):\n%s", d)
	}
}

// A claim that is granted while the System shuts down goes back at once.
func TestShutdownGivesALateClaimBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		var id uuid.UUID
		b := setup(t, func(b *bundle, _ *actors.Options) {
			claim, err := b.store.CreateImport(t.Context(), importer.NewImport{}, uuid.New())
			if err != nil {
				t.Fatal(err)
			}
			id = claim.ID
			b.orphan(id, importer.Queued)
			b.store.beforeStep = func(_ context.Context, name string, _ uuid.UUID) error {
				if name == "ClaimImports" {
					<-answer
				}
				return nil
			}
		})
		synctest.Wait() // the claim is under way
		go b.shutdown()
		synctest.Wait() // it waits for the claim
		close(answer)
		synctest.Wait()
		b.store.mu.Lock()
		defer b.store.mu.Unlock()
		if i := b.store.imports[id]; i.owner != uuid.Nil || i.Epoch != 2 {
			t.Errorf("owner %v, epoch %d: want it claimed and given back", i.owner, i.Epoch)
		}
	})
}
