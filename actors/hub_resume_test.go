package actors_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"importer"
	"importer/actors"
)

// since subscribes with a cursor of the log's epoch.
func since(s *actors.System, seq int64) *watcher {
	w := &watcher{}
	s.Subscribe(importer.TopicProducts, &importer.Cursor{Epoch: "e1", Seq: seq}, w)
	return w
}

// checkReplay wants one answer with the events from after+1 to head.
func checkReplay(t *testing.T, w *watcher, after, head int64) {
	t.Helper()
	if !slices.Equal(w.reasons, []string{""}) || w.snapshots[0].Seq != head || w.snapshots[0].Epoch != "e1" || w.snapshots[0].Data != nil {
		t.Fatalf("got reasons %q, answers %+v, want a replay to %d", w.reasons, w.snapshots, head)
	}
	if got, want := w.seqs(), sequence(int(head))[after:]; !slices.Equal(got, want) || w.count("event") != 0 {
		t.Errorf("got events %v (%d of them on their own), want %v in the answer", got, w.count("event"), want)
	}
}

func TestResumeFromMemoryReadsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		l.commit(10)
		s.Subscribe(importer.TopicProducts, nil, &watcher{})
		synctest.Wait()
		for seq := int64(11); seq <= 300; seq++ {
			publish(s, l, seq)
		}
		last, first, none := since(s, 299), since(s, 44), since(s, 300)
		synctest.Wait()
		checkReplay(t, last, 299, 300)
		checkReplay(t, first, 44, 300)
		checkReplay(t, none, 300, 300)
		if snapshots, reads := l.counts(); snapshots != 1 || reads != 0 {
			t.Errorf("read %d snapshots and %d times events, want the first snapshot alone", snapshots, reads)
		}
		older := since(s, 43) // 257 events ago
		synctest.Wait()
		checkReplay(t, older, 43, 300)
		if _, reads := l.counts(); reads != 1 {
			t.Errorf("read events %d times, want once for what is older than 256 events", reads)
		}
	})
}

// Nobody follows the topic here: a server that was restarted.
func TestResumeFromTheLogAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		l.commit(20)
		w := since(s, 15)
		synctest.Wait()
		publish(s, l, 22, 21)
		synctest.Wait()
		if got, want := w.seqs(), []int64{16, 17, 18, 19, 20, 21, 22}; !slices.Equal(got, want) || w.reasons[0] != "" {
			t.Errorf("got %v (%q), want %v", got, w.reasons, want)
		}
		checkCounts(t, l, 0, 1)
	})
}

func checkCounts(t *testing.T, l *eventLog, wantSnapshots, wantReads int) {
	t.Helper()
	if snapshots, reads := l.counts(); snapshots != wantSnapshots || reads != wantReads {
		t.Errorf("read %d snapshots and %d times events, want %d and %d", snapshots, reads, wantSnapshots, wantReads)
	}
}

// What is committed during the read comes after the replay, once.
func TestResumeIsMergedWithWhatIsPublishedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, followed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, l := hubSetup(t)
			l.commit(500)
			if followed {
				s.Subscribe(importer.TopicProducts, nil, &watcher{})
				synctest.Wait()
			}
			read, answer := make(chan struct{}), make(chan struct{})
			l.beforeRead = func(context.Context) error { close(read); <-answer; return nil }
			w := since(s, 100)
			<-read
			publish(s, l, 502, 501, 503) // the read is under way and will see them too
			synctest.Wait()
			close(answer)
			synctest.Wait()
			publish(s, l, 504)
			synctest.Wait()
			if got, want := w.seqs(), sequence(504)[100:]; !slices.Equal(got, want) || w.count("subscribed") != 1 {
				t.Errorf("followed %v: got %v, want %v", followed, got, want)
			}
		})
	}
}

// So much passes during the read that it does not join what is in memory: the
// hub reads again.
func TestResumeReadsAgainWhenItsEventsAreTooOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		l.commit(2_000)
		s.Subscribe(importer.TopicProducts, nil, &watcher{})
		synctest.Wait()
		var once sync.Once
		l.afterRead = func() {
			once.Do(func() {
				for seq := int64(2_001); seq <= 3_100; seq++ {
					publish(s, l, seq)
				}
			})
		}
		near, far := newReader(&importer.Cursor{Epoch: "e1", Seq: 1_990}), since(s, 1_100)
		s.Subscribe(importer.TopicProducts, near.cursor(), near)
		synctest.Wait()
		publish(s, l, 3_101)
		synctest.Wait()
		if near.seq != 3_101 || len(near.wrong) > 0 {
			t.Errorf("near is at %d, %v", near.seq, near.wrong)
		}
		if !slices.Equal(far.reasons, []string{"gap"}) || !slices.Equal(far.seqs(), []int64{3_101}) {
			t.Errorf("far: got %q and %d events, want a snapshot for what it missed", far.reasons, len(far.seqs()))
		}
	})
}

// A storm: everybody comes back at once, each from somewhere else.
func TestResumeStormReadsTheLogAtMostThreeTimes(t *testing.T) {
	t.Parallel()
	for _, followed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, l := hubSetup(t)
			const head, n = 3_000, 2_000
			l.commit(head)
			known := 0
			if followed {
				s.Subscribe(importer.TopicProducts, nil, &watcher{})
				time.Sleep(time.Second) // a snapshot of this moment would be shared
				known, _ = l.counts()
			}
			all := make([]*watcher, n)
			for i := range all {
				// A step of 7 visits them in no order; the first 2,000 events
				// are too far back.
				all[i] = since(s, int64(i*7%head))
			}
			synctest.Wait()
			for i, w := range all {
				if from := int64(i * 7 % head); from < head-1_000 {
					if !slices.Equal(w.reasons, []string{"gap"}) || w.snapshots[0].Seq != head {
						t.Fatalf("since %d: got %q, want a snapshot at %d for a gap", from, w.reasons, head)
					}
				} else {
					checkReplay(t, w, from, head)
				}
			}
			snapshots, reads := l.counts()
			if snapshots-known+reads > 3 {
				t.Errorf("followed %v: read %d snapshots and %d times events, want no more than 3 in all", followed, snapshots-known, reads)
			}
		})
	}
}

// Those who come back within a second share one read, also when they do not
// come at once.
func TestResumeStormThatTricklesIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		l.commit(900)
		for i := range 2_000 {
			w := since(s, int64(i%900))
			time.Sleep(400 * time.Microsecond)
			if i%100 == 0 {
				synctest.Wait()
				checkReplay(t, w, int64(i%900), 900)
			}
		}
		checkCounts(t, l, 0, 1)
	})
}

// Each comes when those before it are answered, from further back.
func TestResumeReadsAheadForThoseWhoFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		l.commit(1_000)
		for _, after := range []int64{900, 800, 700, 100, 0} {
			w := since(s, after)
			synctest.Wait()
			checkReplay(t, w, after, 1_000)
		}
		checkCounts(t, l, 0, 2)
	})
}

// A subscriber that has to get a snapshot, of which it knows nothing yet, is
// not refused because the state cannot be read for a while.
func TestSnapshotThatCannotBeReadIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		w := &watcher{}
		s.Subscribe(importer.TopicProducts, nil, w)
		synctest.Wait()
		var away atomic.Bool
		away.Store(true)
		l.mu.Lock()
		l.floor = 20
		l.beforeSnapshot = func(context.Context) error {
			if away.Load() {
				return errAway
			}
			return nil
		}
		l.mu.Unlock()
		publish(s, l, 30) // a gap that the log cannot fill
		time.Sleep(2 * time.Second)
		away.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if want := []string{"fresh", "gap"}; !slices.Equal(w.reasons, want) || w.count("refused") != 0 {
			t.Errorf("got %v with %q, want %q", w.log, w.reasons, want)
		}
		if snapshots, _ := l.counts(); snapshots > 15 {
			t.Errorf("read %d snapshots in 3 s", snapshots)
		}
	})
}

func TestFreshSubscribersShareASnapshotUntilAnEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		l.commit(1)
		for range 5 {
			w := &watcher{}
			s.Subscribe(importer.TopicProducts, nil, w)
			synctest.Wait()
			if w.snapshots[0].Seq != 1 {
				t.Errorf("got a snapshot at %d, want 1", w.snapshots[0].Seq)
			}
		}
		checkCounts(t, l, 1, 0)
		publish(s, l, 2)
		w := &watcher{}
		s.Subscribe(importer.TopicProducts, nil, w)
		synctest.Wait()
		if w.snapshots[0].Seq != 2 {
			t.Errorf("got a snapshot at %d, want 2", w.snapshots[0].Seq)
		}
		checkCounts(t, l, 2, 0)
		time.Sleep(250 * time.Millisecond)
		s.Subscribe(importer.TopicProducts, nil, &watcher{})
		synctest.Wait()
		checkCounts(t, l, 3, 0) // the row of an import changes without events
	})
}

func TestResumeHasLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		head, floor int64
		bytes       int
		since       int64
		want        string
	}{
		{"as many as are replayed", 1_500, 0, 0, 500, ""},
		{"one more", 1_500, 0, 0, 499, "gap"},
		{"just after the floor", 1_500, 1_200, 0, 1_200, ""},
		{"behind the floor", 1_500, 1_200, 0, 1_199, "gap"},
		{"as many bytes as are replayed", 500, 0, 1 << 10, 244, ""},
		{"more bytes", 500, 0, 1 << 10, 243, "gap"},
		{"more bytes than are kept", 900, 0, 4 << 10, 10, "gap"},
		{"below zero", 5, 0, 0, -1, "gap"},
		{"nothing missed of nothing", 0, 0, 0, 0, ""},
	} {
		for _, followed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", c.name, followed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s, l := hubSetup(t)
					l.floor, l.bytes = c.floor, c.bytes
					l.commit(c.head)
					if followed {
						s.Subscribe(importer.TopicProducts, nil, &watcher{})
						synctest.Wait()
					}
					w := since(s, c.since)
					synctest.Wait()
					if !slices.Equal(w.reasons, []string{c.want}) || w.snapshots[0].Seq != c.head {
						t.Fatalf("got %q at %v, want %q", w.reasons, w.snapshots, c.want)
					}
					if c.want == "" {
						checkReplay(t, w, c.since, c.head)
					}
				})
			})
		}
	}
}

// Another machine has committed what this one has not heard of: a client that
// comes from there is not ahead of the log.
func TestResumeAheadOfThisMachine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		first := &watcher{}
		s.Subscribe(importer.TopicProducts, nil, first)
		synctest.Wait()
		l.commit(7)
		w := since(s, 6)
		synctest.Wait()
		if got := w.seqs(); !slices.Equal(got, []int64{7}) || w.reasons[0] != "" {
			t.Errorf("got %v (%q), want event 7", got, w.reasons)
		}
		if got, want := first.seqs(), sequence(7); !slices.Equal(got, want) {
			t.Errorf("first: got %v, want %v", got, want)
		}
		if ahead := since(s, 8); true {
			synctest.Wait()
			if !slices.Equal(ahead.reasons, []string{"ahead"}) || ahead.snapshots[0].Seq != 7 {
				t.Errorf("got %q at %v, want ahead with a snapshot at 7", ahead.reasons, ahead.snapshots)
			}
		}
	})
}

// The log cannot be read: who comes is refused, who was there waits.
func TestLogThatCannotBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		l.commit(300)
		there := &watcher{}
		s.Subscribe(importer.TopicProducts, nil, there)
		synctest.Wait()
		var away atomic.Bool
		away.Store(true)
		down := func(context.Context) error {
			if away.Load() {
				return errAway
			}
			return nil
		}
		l.mu.Lock()
		l.beforeRead, l.beforeSnapshot = down, down
		l.floor = 320
		l.mu.Unlock()
		publish(s, l, 330) // a gap that the log cannot fill
		time.Sleep(time.Second)
		w := since(s, 1)
		time.Sleep(time.Second)
		synctest.Wait()
		if !slices.Equal(w.log, []string{"refused"}) {
			t.Errorf("got %v, want a refusal", w.log)
		}
		if _, reads := l.counts(); reads > 10 {
			t.Errorf("read %d times in 2 s", reads)
		}
		away.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if want := []string{"fresh", "gap"}; !slices.Equal(there.reasons, want) || there.snapshots[1].Seq != 330 {
			t.Errorf("got %q, want %q when the log is back", there.reasons, want)
		}
	})
}

// An import that does not exist has no event to be replayed, and no state.
func TestResumeOfAnImportThatDoesNotExist(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, nil)
		w := &watcher{}
		b.system.Subscribe(importer.ImportTopic(idAt(time.Now())), &importer.Cursor{Epoch: "e1"}, w)
		synctest.Wait()
		if !slices.Equal(w.log, []string{"refused"}) || importer.ErrorCode(w.refusals[0]) != importer.NotFound {
			t.Errorf("got %v %v, want a refusal", w.log, w.refusals)
		}
	})
}
