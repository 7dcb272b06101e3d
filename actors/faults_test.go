package actors_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"importer"
	"importer/actors"
	"importer/internal/csvfile"
)

var errAway = &importer.Error{Code: importer.Unavailable, Message: "The database cannot be reached."}

// TestWritersFailAtRandom panics and fails before and after the commit of
// batches. Whatever happens, every batch is in the catalogue once.
func TestWritersFailAtRandom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		rnd, left := rand.New(rand.NewPCG(3, 4)), 5 // as many as one writer may fail in a minute
		fault := func() int {
			mu.Lock()
			defer mu.Unlock()
			if left == 0 || rnd.IntN(4) > 0 {
				return -1
			}
			left--
			return rnd.IntN(4)
		}
		b := setup(t, func(b *bundle, _ *actors.Options) {
			b.store.beforeMerge = func(context.Context, importer.Batch) error {
				switch fault() {
				case 0:
					panic("driver, before the commit")
				case 1:
					return errors.New("error before the commit")
				}
				return nil
			}
			b.store.afterMerge = func(context.Context, importer.Batch) error {
				switch fault() {
				case 0:
					panic("driver, after the commit")
				case 1:
					return errors.New("connection lost after the commit")
				}
				return nil
			}
		})
		text, want := file(20_000, 15_000)
		imp := b.await(b.upload(importer.NewImport{BatchRows: 500}, text), importer.Completed)
		b.checkCounts(imp, importer.Counts{Rows: 20_000, Created: 15_000, Duplicates: 5_000})
		b.checkCatalogue(want)
		if left > 0 {
			t.Errorf("%d faults were left over", left)
		}
	})
}

// TestBatchIsRedeliveredAfterItsCommit loses every first answer.
func TestBatchIsRedeliveredAfterItsCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lost sync.Map
		b := setup(t, func(b *bundle, _ *actors.Options) {
			b.store.afterMerge = func(_ context.Context, batch importer.Batch) error {
				if _, again := lost.LoadOrStore(batch.Number, true); !again {
					panic("answer lost")
				}
				return nil
			}
		})
		text, want := file(4_000, 4_000)
		id := b.begin(importer.NewImport{BatchRows: 1_000}).ID
		w := b.watch(importer.ImportTopic(id))
		b.append(id, text)
		b.finish(id)
		b.checkCounts(b.await(id, importer.Completed), importer.Counts{Rows: 4_000, Created: 4_000})
		b.checkCatalogue(want)
		if b.store.again != 4 {
			t.Errorf("%d batches were there already, want 4", b.store.again)
		}
		until(t, "the last update", func() bool { return w.progress().Phase == importer.PhaseComplete })
		if got := w.progress().RowsDone; got != 4_000 {
			t.Errorf("got %d rows done, want 4000: none counted twice", got)
		}
	})
}

func TestWritersThatKeepFailingFailTheImport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		var tries atomic.Int64
		b := setup(t, func(b *bundle, o *actors.Options) {
			o.Writers = 1
			b.store.beforeMerge = func(_ context.Context, batch importer.Batch) error {
				if batch.Number >= 3 && broken.Load() {
					tries.Add(1)
					panic("driver blew up")
				}
				return nil
			}
		})
		broken.Store(true)
		text, want := file(6_000, 6_000)
		id := b.upload(importer.NewImport{BatchRows: 1_000}, text)
		imp := b.await(id, importer.Failed)
		if imp.Error.Code != importer.PipelineFailed || !imp.Error.Retry || !strings.Contains(imp.Error.Message, "3000 rows") {
			t.Errorf("got %+v, want pipeline_failed with 3000 rows saved and a retry", imp.Error)
		}
		if strings.Contains(imp.Error.Message, "driver") {
			t.Errorf("message %q tells of the inside", imp.Error.Message)
		}
		if got := tries.Load(); got != 6 {
			t.Errorf("the batch was tried %d times, want 6", got)
		}
		// The process lives, and a retry goes on from the ledger.
		broken.Store(false)
		if _, err := b.store.RetryImport(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		b.system.Wake(id)
		b.checkCounts(b.await(id, importer.Completed), importer.Counts{Rows: 6_000, Created: 6_000})
		b.checkCatalogue(want)
	})
}

func TestFullDatabaseIsNamedInTheFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(b *bundle, _ *actors.Options) {
			b.store.beforeMerge = func(context.Context, importer.Batch) error {
				return &importer.Error{Code: importer.StorageFull, Message: "The database has no disk space left."}
			}
		})
		text, _ := file(1_000, 1_000)
		imp := b.await(b.upload(importer.NewImport{}, text), importer.Failed)
		if imp.Error.Code != importer.StorageFull || !imp.Error.Retry || !strings.HasPrefix(imp.Error.Message, "The database has no disk space left.") {
			t.Errorf("got %+v", imp.Error)
		}
	})
}

func TestReaderThatPanicsFailsTheImport(t *testing.T) {
	t.Parallel()
	var opens atomic.Int64
	whole := make(chan struct{}) // an import that failed before would not take the rest of its file
	b := setup(t, func(_ *bundle, o *actors.Options) {
		o.OpenRows = func(source io.Reader, mapping map[string]string, limit int64) importer.RowReader {
			if opens.Add(1) == 1 {
				<-whole
				panic("reader")
			}
			return csvfile.Open(source, mapping, limit)
		}
	})
	text, want := file(1_000, 900)
	id := b.upload(importer.NewImport{}, text)
	close(whole)
	if imp := b.await(id, importer.Failed); imp.Error.Code != importer.PipelineFailed || !imp.Error.Retry {
		t.Errorf("got %+v", imp.Error)
	}
	if _, err := b.store.RetryImport(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	b.system.Wake(id)
	b.await(id, importer.Completed)
	b.checkCatalogue(want)
}

func TestFileThatIsGoneFailsTheImport(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	claim, err := b.store.CreateImport(t.Context(), importer.NewImport{}, uuid.New())
	if err != nil {
		t.Fatal(err)
	}
	b.orphan(claim.ID, importer.Writing)
	b.store.mu.Lock()
	b.store.imports[claim.ID].ledger[0] = importer.Merged{Created: 40} // more than its last sign of life told
	b.store.mu.Unlock()
	b.system.Wake(claim.ID)
	imp := b.await(claim.ID, importer.Failed)
	if imp.Error.Code != importer.StorageLost || imp.Error.Retry || !strings.Contains(imp.Error.Message, "40 rows were written before and stay") {
		t.Errorf("got %+v, want storage_lost without a retry", imp.Error)
	}
}

// orphan takes an import's owner away, as the death of its machine does.
func (b *bundle) orphan(id uuid.UUID, state importer.State) {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	i := b.store.imports[id]
	i.State, i.owner = state, uuid.Nil
}

// outage makes the store unreachable from one batch on.
type outage struct {
	from, until atomic.Int64 // unix nanoseconds
}

func (o *outage) begin(d time.Duration) {
	now := time.Now()
	o.until.Store(now.Add(d).UnixNano())
	o.from.Store(now.UnixNano())
}

func (o *outage) err() error {
	if now := time.Now().UnixNano(); o.from.Load() > 0 && now < o.until.Load() {
		return errAway
	}
	return nil
}

func (o *outage) hook(b *bundle, at int, d time.Duration) {
	var once sync.Once
	b.store.beforeMerge = func(_ context.Context, batch importer.Batch) error {
		if batch.Number == at {
			once.Do(func() { o.begin(d) })
		}
		return o.err()
	}
	b.store.beforeStep = func(context.Context, string, uuid.UUID) error { return o.err() }
}

func TestDatabaseAwayForAWhileIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var o outage
		b := setup(t, func(b *bundle, _ *actors.Options) { o.hook(b, 3, 40*time.Second) })
		text, want := file(8_000, 6_000)
		id := b.begin(importer.NewImport{BatchRows: 500}).ID
		w := b.watch(importer.ImportTopic(id))
		b.append(id, text)
		b.finish(id)
		until(t, "the notice", func() bool { return w.progress().Notice == "Waiting for the database" })
		b.checkCounts(b.await(id, importer.Completed), importer.Counts{Rows: 8_000, Created: 6_000, Duplicates: 2_000})
		b.checkCatalogue(want)
		until(t, "the notice to go", func() bool { return w.progress().Notice == "" })
	})
}

// TestDatabaseAwayAtEveryStep begins the outage at each call of the store.
func TestDatabaseAwayAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"StartScan", "Ledger", "StartWrite", "Complete", "Renew", "AddRejects", "Import"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var o outage
				var once sync.Once
				b := setup(t, func(b *bundle, _ *actors.Options) {
					b.store.beforeStep = func(_ context.Context, step string, _ uuid.UUID) error {
						if step == name {
							once.Do(func() { o.begin(7 * time.Second) })
						}
						return o.err()
					}
				})
				text, want := file(2_000, 1_500)
				id := b.begin(importer.NewImport{}).ID
				b.append(id, text+",a row without a SKU,\n")
				time.Sleep(3 * time.Second) // of virtual time, with an upload that waits
				until(t, "the upload to end", func() bool { return o.err() == nil })
				b.finish(id)
				b.checkCounts(b.await(id, importer.Completed), importer.Counts{Rows: 2_001, Created: 1_500, Duplicates: 500, Rejected: 1})
				b.checkCatalogue(want)
				if o.from.Load() == 0 {
					t.Errorf("%s was never called", name)
				}
			})
		})
	}
}

// After a minute the attempt is given up, not the import.
func TestDatabaseAwayForLongReleasesTheImport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var o outage
		b := setup(t, func(b *bundle, _ *actors.Options) { o.hook(b, 3, 3*time.Minute) })
		text, want := file(8_000, 6_000)
		id := b.upload(importer.NewImport{BatchRows: 500}, text)
		until(t, "the outage", func() bool { return o.from.Load() > 0 })
		time.Sleep(4 * time.Minute) // virtual
		imp := b.await(id, importer.Completed)
		b.checkCounts(imp, importer.Counts{Rows: 8_000, Created: 6_000, Duplicates: 2_000})
		b.checkCatalogue(want)
		if imp.Attempts != 2 {
			t.Errorf("got %d attempts, want 2: the first one was given up", imp.Attempts)
		}
	})
}

// TestCommitsThatTheDatabaseLosesAreMadeAgain: at the end a batch that was
// acknowledged is gone, as after a failover to a copy that lagged.
func TestCommitsThatTheDatabaseLosesAreMadeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lose sync.Once
		b := setup(t, func(b *bundle, _ *actors.Options) {
			var last importer.Batch
			b.store.afterMerge = func(_ context.Context, batch importer.Batch) error {
				b.store.mu.Lock()
				defer b.store.mu.Unlock()
				last = batch
				return nil
			}
			b.store.beforeStep = func(_ context.Context, step string, id uuid.UUID) error {
				if step != "Complete" {
					return nil
				}
				lose.Do(func() {
					b.store.mu.Lock()
					defer b.store.mu.Unlock()
					delete(b.store.imports[id].ledger, last.Number)
					delete(b.store.merges, batchName(id, last.Number))
					for _, r := range last.Rows {
						delete(b.store.catalogue, r.Key)
					}
				})
				return nil
			}
		})
		text, want := file(8_000, 6_000)
		imp := b.await(b.upload(importer.NewImport{BatchRows: 500}, text), importer.Completed)
		b.checkCounts(imp, importer.Counts{Rows: 8_000, Created: 6_000, Duplicates: 2_000})
		b.checkCatalogue(want)
		if imp.Attempts != 2 {
			t.Errorf("got %d attempts, want 2", imp.Attempts)
		}
	})
}

// Only the batches cannot be written: the lease holds, so the import has to be
// released in so many words.
func TestWritersStalledForLongReleaseTheImport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var released atomic.Int64
		began := time.Now()
		b := setup(t, func(b *bundle, _ *actors.Options) {
			b.store.beforeMerge = func(context.Context, importer.Batch) error {
				if released.Load() == 0 {
					return errAway
				}
				return nil
			}
			b.store.beforeStep = func(_ context.Context, name string, _ uuid.UUID) error {
				if name == "Release" {
					released.CompareAndSwap(0, int64(time.Since(began)))
				}
				return nil
			}
		})
		text, want := file(2_000, 2_000)
		id := b.upload(importer.NewImport{BatchRows: 500}, text)
		b.await(id, importer.Completed)
		b.checkCatalogue(want)
		if at := time.Duration(released.Load()); at < 60*time.Second || at > 62*time.Second {
			t.Errorf("released after %v, want a minute", at)
		}
		b.store.mu.Lock()
		defer b.store.mu.Unlock()
		if pause := b.store.imports[id].notBefore.Sub(began) - time.Duration(released.Load()); pause < 4*time.Second || pause > 6*time.Second {
			t.Errorf("may be claimed after %v, want about 5s", pause)
		}
	})
}

// No batch is begun once the lease may have run out, until it is renewed.
func TestNoNewBatchesWithoutALease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var renewFails atomic.Bool
		var failedAt, worst atomic.Int64
		b := setup(t, func(b *bundle, o *actors.Options) {
			o.Writers = 1
			b.store.beforeStep = func(_ context.Context, name string, _ uuid.UUID) error {
				if (name == "Renew" || name == "ClaimImports") && renewFails.Load() {
					return errAway
				}
				return nil
			}
			b.store.beforeMerge = func(ctx context.Context, batch importer.Batch) error {
				if batch.Number == 2 {
					failedAt.Store(time.Now().UnixNano())
					renewFails.Store(true)
				}
				if renewFails.Load() {
					worst.Store(max(worst.Load(), time.Now().UnixNano()-failedAt.Load()))
				}
				select {
				case <-time.After(500 * time.Millisecond):
				case <-ctx.Done():
				}
				return nil
			}
		})
		text, want := file(50_000, 50_000)
		id := b.upload(importer.NewImport{BatchRows: 1_000}, text)
		until(t, "the lease to be lost from sight", func() bool { return renewFails.Load() })
		time.Sleep(20 * time.Second) // virtual
		renewFails.Store(false)
		// 8 s to the hold, and the batch that was on its way to the writer.
		if got := time.Duration(worst.Load()); got > 10*time.Second || got < 6*time.Second {
			t.Errorf("the last batch began %v after renewals failed, want 8s to 10s", got)
		}
		b.await(id, importer.Completed)
		b.checkCatalogue(want)
	})
}

// A fenced attempt says nothing more to the store.
func TestLostLeaseEndsTheAttemptQuietly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fenced atomic.Bool
		var calls sync.Map
		b := setup(t, func(b *bundle, _ *actors.Options) {
			b.store.beforeMerge = func(_ context.Context, batch importer.Batch) error {
				if batch.Number == 3 {
					b.store.mu.Lock()
					i := b.store.imports[batch.ImportID]
					i.Epoch, i.owner, i.lease = i.Epoch+1, uuid.New(), time.Now().Add(time.Hour)
					b.store.mu.Unlock()
					fenced.Store(true)
				}
				return nil
			}
			b.store.beforeStep = func(_ context.Context, name string, _ uuid.UUID) error {
				if fenced.Load() {
					calls.Store(name, true)
				}
				return nil
			}
		})
		text, _ := file(8_000, 8_000)
		id := b.upload(importer.NewImport{BatchRows: 500}, text)
		until(t, "the lease to be lost", fenced.Load)
		time.Sleep(time.Minute) // virtual
		for _, name := range []string{"Fail", "Release", "Complete", "StartScan"} {
			if _, called := calls.Load(name); called {
				t.Errorf("%s was called without the lease", name)
			}
		}
		if got := b.state(id); got != importer.Writing {
			t.Errorf("state is %s, want writing: the other machine's", got)
		}
		if !b.spool.has(id) {
			t.Error("the file was removed from under the other machine")
		}
	})
}

// With the store gone for good the attempt gives up by itself.
func TestFailureThatCannotBeRecordedIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var gone atomic.Bool
		b := setup(t, func(b *bundle, o *actors.Options) {
			o.OpenRows = func(io.Reader, map[string]string, int64) importer.RowReader {
				gone.Store(true)
				panic("reader")
			}
			b.store.beforeStep = func(_ context.Context, name string, _ uuid.UUID) error {
				if gone.Load() && name != "ClaimImports" {
					return errAway
				}
				return nil
			}
		})
		id := b.upload(importer.NewImport{}, "sku,name\na,b\n")
		until(t, "the crash", gone.Load)
		time.Sleep(50 * time.Second) // virtual
		b.store.mu.Lock()
		epoch := b.store.imports[id].Epoch
		b.store.mu.Unlock()
		time.Sleep(70 * time.Second)
		b.store.mu.Lock()
		defer b.store.mu.Unlock()
		if i := b.store.imports[id]; i.Epoch == epoch || i.State.Ended() {
			t.Errorf("epoch %d, state %s: want it claimed anew after the lease ran out", i.Epoch, i.State)
		}
	})
}

// TestSupervisorThatPanicsFailsItsImportOnly makes the clock panic, which only
// a supervisor looks at while an upload waits.
func TestSupervisorThatPanicsFailsItsImportOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var armed atomic.Bool
		b := setup(t, func(_ *bundle, o *actors.Options) {
			o.Now = func() time.Time {
				if armed.Swap(false) {
					panic("clock")
				}
				return time.Now()
			}
		})
		id := b.begin(importer.NewImport{}).ID
		synctest.Wait()
		armed.Store(true)
		imp := b.await(id, importer.Failed)
		if imp.Error.Code != importer.PipelineFailed || !imp.Error.Retry {
			t.Errorf("got %+v", imp.Error)
		}
		text, want := file(1_000, 1_000)
		b.await(b.upload(importer.NewImport{}, text), importer.Completed)
		b.checkCatalogue(want)
	})
}

// TestStepsThatKeepFailingFailTheImport goes through every call that moves it.
func TestStepsThatKeepFailingFailTheImport(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"StartScan", "Ledger", "StartWrite", "Complete"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				b := setup(t, func(b *bundle, _ *actors.Options) {
					b.store.beforeStep = func(_ context.Context, step string, _ uuid.UUID) error {
						if step == name {
							if calls.Add(1)%2 == 0 {
								panic("store")
							}
							return errors.New("no")
						}
						return nil
					}
				})
				text, _ := file(1_000, 1_000)
				imp := b.await(b.upload(importer.NewImport{}, text), importer.Failed)
				if imp.Error.Code != importer.PipelineFailed || !imp.Error.Retry {
					t.Errorf("got %+v", imp.Error)
				}
				want := int64(6)
				if name == "Ledger" {
					want++ // for what the failure says is saved
				}
				if got := calls.Load(); got != want {
					t.Errorf("%s was called %d times, want %d", name, got, want)
				}
			})
		})
	}
}
