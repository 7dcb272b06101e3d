package actors_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"importer"
	"importer/actors"
)

// checkGrows holds for all updates a client applies, in order.
func checkGrows(t *testing.T, updates []importer.Update) (all []importer.ImportUpdate) {
	t.Helper()
	var seq, rev int64
	var last importer.Progress
	for _, u := range updates {
		var data importer.ImportUpdate
		if err := json.Unmarshal(u.Data, &data); err != nil {
			t.Fatal(err)
		}
		p := data.Progress
		if u.Seq < seq || u.Seq == seq && u.Rev <= rev {
			t.Errorf("(seq, rev) went from (%d, %d) to (%d, %d)", seq, rev, u.Seq, u.Rev)
		}
		if p.Bytes < last.Bytes || p.BytesScanned < last.BytesScanned || p.RowsScanned < last.RowsScanned ||
			p.RowsDone < last.RowsDone || p.RowsTotal < last.RowsTotal || p.Percent < last.Percent {
			t.Errorf("progress fell from %+v to %+v", last, p)
		}
		seq, rev, last = u.Seq, u.Rev, p
		all = append(all, data)
	}
	return all
}

// slowly makes each batch take a while of virtual time.
func slowly(b *bundle, d time.Duration) {
	b.store.beforeMerge = func(ctx context.Context, _ importer.Batch) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestProgressGrowsThroughAllPhases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(b *bundle, _ *actors.Options) { slowly(b, 130*time.Millisecond) })
		text, _ := file(20_000, 15_000)
		id := b.begin(importer.NewImport{BatchRows: 500, Size: int64(len(text))}).ID
		w := b.watch(importer.ImportTopic(id))
		for part := range strings.SplitAfterSeq(text, "0\n") { // a slow upload in small parts
			b.append(id, part)
			time.Sleep(2 * time.Millisecond)
		}
		b.finish(id)
		b.await(id, importer.Completed)
		until(t, "the last update", func() bool { return w.progress().Phase == importer.PhaseComplete })
		w.mu.Lock()
		defer w.mu.Unlock()
		all := checkGrows(t, w.updates)
		phases := map[importer.Phase]int{}
		rates := 0
		for i, u := range all {
			phases[u.Progress.Phase]++
			if u.Progress.Phase == importer.PhaseWriting && u.Progress.RowsPerSecond > 0 {
				rates++
			}
			if i > 0 && i < len(all)-1 { // the last one is not held back
				if gap := w.updateAt[i].Sub(w.updateAt[i-1]); gap < 100*time.Millisecond {
					t.Errorf("update %d came %v after the one before, want at least 100ms", i, gap)
				}
			}
		}
		if phases[importer.PhaseUploading] == 0 || phases[importer.PhaseWriting] < 5 || rates < 5 || phases[importer.PhaseComplete] != 1 {
			t.Errorf("phases %v, %d with a rate of writing", phases, rates)
		}
		if last := all[len(all)-1]; last.State != importer.Completed || last.Progress.Percent != 100 || last.Progress.RowsDone != 15_000 || last.Progress.RowsTotal != 15_000 {
			t.Errorf("last update %+v", last)
		}
	})
}

func TestFirstByteIsShownAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, nil)
		id := b.begin(importer.NewImport{Size: 1_000}).ID
		w := b.watch(importer.ImportTopic(id))
		synctest.Wait()
		before := time.Now()
		b.append(id, "s")
		synctest.Wait()
		if p := w.progress(); p.Bytes != 1 || !time.Now().Equal(before) {
			t.Errorf("after %v: got %+v, want 1 byte at once", time.Since(before), p)
		}
	})
}

// Progress that is saved is what other machines show: it has to be there
// within a second or so.
func TestProgressIsSavedEverySecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(b *bundle, _ *actors.Options) { slowly(b, 250*time.Millisecond) })
		text, _ := file(20_000, 20_000)
		began := time.Now()
		id := b.upload(importer.NewImport{BatchRows: 500}, text)
		b.await(id, importer.Completed)
		seconds := int(time.Since(began).Seconds())
		b.store.mu.Lock()
		defer b.store.mu.Unlock()
		saved := b.store.imports[id].progress
		if len(saved) < seconds-2 || len(saved) > 2*seconds+2 {
			t.Errorf("saved %d times in %d s, want once a second", len(saved), seconds)
		}
		for i := 1; i < len(saved); i++ {
			if saved[i].Percent < saved[i-1].Percent {
				t.Errorf("percent fell from %v to %v", saved[i-1].Percent, saved[i].Percent)
			}
		}
	})
}

// An update that was on its way when the import was cancelled must not show
// it as running.
func TestNoUpdateContradictsTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, func(b *bundle, _ *actors.Options) { slowly(b, 900*time.Millisecond) })
		text, _ := file(20_000, 20_000)
		id := b.upload(importer.NewImport{BatchRows: 500}, text)
		w := b.watch(importer.ImportTopic(id))
		until(t, "rows to be written", func() bool { return w.progress().RowsDone > 0 })
		time.Sleep(50 * time.Millisecond) // virtual: neither a tick nor a renewal is due
		if _, err := b.store.CancelImport(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		n := w.count("update")
		time.Sleep(2 * time.Second) // virtual; the actor finds out at the next batch
		if got := w.count("update"); got != n {
			t.Errorf("got %d updates after the cancellation, want none", got-n)
		}
	})
}
