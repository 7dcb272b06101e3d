package actors_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"importer"
	"importer/actors"
)

// twoMachines share a log; what is published on a is not told b directly.
func twoMachines(t *testing.T) (a, b *actors.System, l *shared) {
	t.Helper()
	l = newShared()
	first := setup(t, func(_ *bundle, o *actors.Options) { o.Events = l })
	second := setup(t, func(_ *bundle, o *actors.Options) { o.Events = l })
	synctest.Wait() // both listen
	return first.system, second.system, l
}

func follow(s *actors.System) *watcher {
	w := &watcher{}
	s.Subscribe(importer.TopicProducts, nil, w)
	synctest.Wait()
	return w
}

func TestEventsReachOtherMachinesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b, l := twoMachines(t)
		here, there := follow(a), follow(b)
		time.Sleep(time.Second)
		for seq := int64(1); seq <= 3; seq++ {
			publish(a, l.eventLog, seq)
			time.Sleep(20 * time.Millisecond) // virtual
			synctest.Wait()
			for name, w := range map[string]*watcher{"here": here, "there": there} {
				if got, want := w.seqs(), sequence(int(seq)); !slices.Equal(got, want) {
					t.Errorf("%s: got %v, want %v", name, got, want)
				}
			}
		}
	})
}

// A thousand commits in a second are fifty hints and fifty looks or so.
func TestHintsAndLooksAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b, l := twoMachines(t)
		there := follow(b)
		time.Sleep(time.Second)
		l.tally()
		for seq := int64(1); seq <= 1_000; seq++ {
			publish(a, l.eventLog, seq)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if got, want := there.seqs(), sequence(1_000); !slices.Equal(got, want) {
			t.Errorf("got %d events, want all in order", len(got))
		}
		// Nobody follows the topic on a: there only b looks.
		if _, hints, looks := l.tally(); hints > 55 || looks > 55 || hints < 20 || looks < 20 {
			t.Errorf("%d hints and %d looks, want about 50", hints, looks)
		}
	})
}

// Many machines together give more hints than one may.
func TestLooksAreBoundedWhoeverHints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, b, l := twoMachines(t)
		there := follow(b)
		l.tally()
		for seq := int64(1); seq <= 1_000; seq++ {
			l.commit(seq)
			if err := l.Hint(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		if got := there.seqs(); !slices.Equal(got, sequence(1_000)) {
			t.Errorf("got %d events, want 1000 in order", len(got))
		}
		if _, _, looks := l.tally(); looks > 55 {
			t.Errorf("%d looks in a second, want about 50", looks)
		}
	})
}

// The look has read the log already when the hint comes.
func TestAHintDuringALookIsHeeded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, b, l := twoMachines(t)
		there := follow(b)
		looked, answer := make(chan struct{}), make(chan struct{})
		var once sync.Once
		l.mu.Lock()
		l.afterLook = func() { once.Do(func() { close(looked); <-answer }) }
		l.mu.Unlock()
		<-looked
		l.commit(1)
		if err := l.Hint(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		close(answer)
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		if got := there.seqs(); !slices.Equal(got, []int64{1}) {
			t.Errorf("got %v, want event 1", got)
		}
	})
}

func TestAMachineWithoutNewsIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, _, l := twoMachines(t)
		time.Sleep(time.Minute)
		if _, hints, looks := l.tally(); hints != 0 || looks != 0 {
			t.Errorf("%d hints and %d looks with nobody there, want none", hints, looks)
		}
		follow(a)
		l.tally()
		time.Sleep(time.Minute)
		if _, hints, looks := l.tally(); hints != 0 || looks < 29 || looks > 31 {
			t.Errorf("%d hints and %d looks in a minute, want a look every 2 s", hints, looks)
		}
	})
}

func TestAMachineThatCannotHearLooksOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b, l := twoMachines(t)
		there := follow(b)
		l.cut(true)
		synctest.Wait()
		for seq := int64(1); seq <= 10; seq++ {
			publish(a, l.eventLog, seq)
			time.Sleep(250 * time.Millisecond)
			synctest.Wait()
			if got, want := there.seqs(), sequence(int(seq)); !slices.Equal(got, want) {
				t.Errorf("after 250 ms: got %v, want %v", got, want)
			}
		}
		l.tally()
		time.Sleep(time.Minute)
		if listens, _, looks := l.tally(); listens < 12 || listens > 60 || looks < 220 || looks > 250 {
			t.Errorf("in a minute %d tries to listen and %d looks, want some twenty by two machines, and 240 by one", listens, looks)
		}
		l.cut(false)
		time.Sleep(10 * time.Second)
		l.tally()
		publish(a, l.eventLog, 11)
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		if got, want := there.seqs(), sequence(11); !slices.Equal(got, want) {
			t.Errorf("when it hears again: got %v, want %v", got, want)
		}
		time.Sleep(time.Minute)
		if listens, _, looks := l.tally(); listens != 0 || looks > 35 {
			t.Errorf("in a minute %d tries to listen and %d looks, want none and 30", listens, looks)
		}
	})
}

func TestAHintThatIsLostCostsTwoSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b, l := twoMachines(t)
		there := follow(b)
		l.mu.Lock()
		l.silent = true
		l.mu.Unlock()
		publish(a, l.eventLog, 1)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := there.seqs(); !slices.Equal(got, []int64{1}) {
			t.Errorf("got %v, want event 1", got)
		}
	})
}

// More has happened elsewhere than one look brings.
func TestALookThatIsFullGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, b, l := twoMachines(t)
		there := follow(b)
		l.commit(4_500)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := there.seqs(); !slices.Equal(got, sequence(4_500)) {
			t.Errorf("got %d events, want 4500 in order", len(got))
		}
	})
}

func TestALookFindsANewEpoch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, b, l := twoMachines(t)
		l.commit(5)
		there := follow(b)
		l.eventLog.mu.Lock()
		l.epoch, l.head = "e2", 2
		l.eventLog.mu.Unlock()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if want := []string{"fresh", "epoch"}; !slices.Equal(there.reasons, want) || there.snapshots[1].Seq != 2 {
			t.Errorf("got %q at %+v, want %q", there.reasons, there.snapshots, want)
		}
	})
}

// A machine that was away for so long that the events it missed are deleted,
// and nothing has happened since.
func TestALookFindsThatEventsAreGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, b, l := twoMachines(t)
		there := follow(b)
		l.commit(5)
		l.eventLog.mu.Lock()
		l.floor = 5
		l.eventLog.mu.Unlock()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if want := []string{"fresh", "gap"}; !slices.Equal(there.reasons, want) || there.snapshots[1].Seq != 5 {
			t.Fatalf("got %q at %+v, want %q", there.reasons, there.snapshots, want)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(there.reasons) != 2 {
			t.Errorf("got %q, want to be told once", there.reasons)
		}
	})
}

// far is a log in which imports of another machine go on.
type far struct {
	*memory

	mu    sync.Mutex
	now   map[uuid.UUID]importer.Update
	asked [][]uuid.UUID
}

func (l *far) ImportUpdates(_ context.Context, ids []uuid.UUID) (all []importer.Update, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, ids)
	for _, id := range ids {
		if u, ok := l.now[id]; ok {
			all = append(all, u)
		}
	}
	return all, nil
}

func (l *far) save(id uuid.UUID, seq, rev, rows int64, s importer.State) {
	data, _ := json.Marshal(importer.ImportUpdate{State: s, Progress: importer.Progress{RowsDone: rows}})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now[id] = importer.Update{Topic: importer.ImportTopic(id), Seq: seq, Rev: rev, Data: data}
}

func (l *far) questions() (asked [][]uuid.UUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked, l.asked = l.asked, nil
	return asked
}

func TestProgressOfImportsElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &far{memory: newMemory(), now: map[uuid.UUID]importer.Update{}}
		b := setup(t, func(b *bundle, o *actors.Options) { b.store = l.memory; o.Store, o.Events = l, l })
		var ids []uuid.UUID
		var all []*watcher
		for range 3 {
			claim, err := l.CreateImport(t.Context(), importer.NewImport{}, uuid.New()) // another node's
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, claim.ID)
			all = append(all, b.watch(importer.ImportTopic(claim.ID)))
		}
		b.watch(importer.TopicImports)
		l.save(ids[0], 1, 1_000, 10, importer.Uploading)
		l.save(ids[1], 2, 1_000, 10, importer.Queued)    // of an event that has not come here yet
		l.save(ids[2], 1, 1_000, 10, importer.Completed) // the event says so, and more
		time.Sleep(1500 * time.Millisecond)
		l.save(ids[0], 1, 2_000, 20, importer.Uploading)
		time.Sleep(time.Second)
		l.save(ids[0], 1, 3_000, 20, importer.Uploading) // saved again, the same
		time.Sleep(time.Second)
		l.save(ids[0], 1, 1_500, 15, importer.Uploading) // read from a copy that lags
		time.Sleep(time.Second)
		synctest.Wait()
		var revs, rows []int64
		for _, u := range all[0].updates {
			var data importer.ImportUpdate
			if err := json.Unmarshal(u.Data, &data); err != nil {
				t.Fatal(err)
			}
			revs, rows = append(revs, u.Rev), append(rows, data.Progress.RowsDone)
		}
		if !slices.Equal(revs, []int64{1_000, 2_000}) || !slices.Equal(rows, []int64{10, 20}) {
			t.Errorf("got revs %v with rows %v, want what changed", revs, rows)
		}
		for i, w := range all[1:] {
			if n := w.count("update"); n != 0 {
				t.Errorf("import %d: got %d updates, want none", i+2, n)
			}
		}
		asked := l.questions()
		if len(asked) != 4 || len(asked[0]) != 3 || len(asked[3]) != 2 {
			t.Errorf("asked %v, want one question a second for all imports that have not ended", asked)
		}
		// One that runs here speaks for itself.
		claim := b.begin(importer.NewImport{Size: 10})
		w := b.watch(importer.ImportTopic(claim.ID))
		b.append(claim.ID, "sku")
		l.save(claim.ID, 1, 1<<60, 99, importer.Uploading)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		for _, ids := range l.questions() {
			if slices.Contains(ids, claim.ID) {
				t.Error("asked for the progress of an import that runs here")
			}
		}
		if n := w.count("update"); n != 1 {
			t.Errorf("got %d updates, want that of the first bytes", n)
		}
	})
}
