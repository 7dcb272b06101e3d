package actors_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"importer"
	"importer/actors"
)

// fuse makes the hub crash: its clock panics after it was lit.
type fuse struct{ ticks atomic.Int64 }

// light lets the clock be read n times more.
func (f *fuse) light(n int64) { f.ticks.Store(n + 1) }

func (f *fuse) now() time.Time {
	if f.ticks.Load() > 0 && f.ticks.Add(-1) == 0 {
		panic("clock")
	}
	return time.Now()
}

// fragile is a System whose hub can be made to crash.
func fragile(t *testing.T) (*actors.System, *shared, *fuse) {
	t.Helper()
	l, f := newShared(), &fuse{}
	b := setup(t, func(_ *bundle, o *actors.Options) { o.Events, o.Now = l, f.now })
	synctest.Wait()
	return b.system, l, f
}

// A crash in the middle of passing events on: those at fault come from the
// log, and nobody gets one twice.
func TestHubCrashLosesNoEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l, f := fragile(t)
		all := []*watcher{follow(s), follow(s), follow(s)}
		publish(s, l.eventLog, 1)
		synctest.Wait()
		f.light(1) // the next event passes, the one after it does not
		l.commit(5)
		s.Publish([]importer.Event{event(2), event(3), event(4), event(5)})
		synctest.Wait()
		if f.ticks.Load() != 0 {
			t.Fatal("the hub has not crashed")
		}
		publish(s, l.eventLog, 6) // while it rests
		time.Sleep(time.Second)   // less than any look in vain
		publish(s, l.eventLog, 7)
		synctest.Wait()
		for i, w := range all {
			if got, want := w.seqs(), sequence(7); !slices.Equal(got, want) {
				t.Errorf("subscriber %d: got %v, want %v", i, got, want)
			}
		}
	})
}

// A crash while a subscriber is answered: it is answered after it.
func TestHubCrashLosesNoSubscriber(t *testing.T) {
	t.Parallel()
	for _, from := range []*importer.Cursor{nil, {Epoch: "e1", Seq: 3}, {Epoch: "e0", Seq: 3}} {
		for ticks := range int64(3) {
			synctest.Test(t, func(t *testing.T) {
				s, l, f := fragile(t)
				l.commit(6)
				f.light(ticks)
				r := newReader(from)
				s.Subscribe(importer.TopicProducts, from, r)
				time.Sleep(time.Second)
				synctest.Wait()
				publish(s, l.eventLog, 7)
				time.Sleep(time.Second)
				synctest.Wait()
				if r.seq != 7 || r.answers == 0 || len(r.wrong) > 0 {
					t.Errorf("since %+v, crash after %d: at %d after %d answers, %v", from, ticks, r.seq, r.answers, r.wrong)
				}
			})
		}
	}
}

// The hub goes on to hear and to look after a crash.
func TestHubCrashDoesNotDeafenIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l, f := fragile(t)
		w := follow(s)
		for n := range int64(20) {
			f.light(n % 4)
			time.Sleep(2500 * time.Millisecond)
		}
		f.ticks.Store(0)
		time.Sleep(10 * time.Second) // the longest rest
		synctest.Wait()
		l.tally()
		l.commit(int64(len(w.seqs())) + 5)
		if err := l.Hint(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		if got, want := w.seqs(), sequence(5); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		time.Sleep(time.Minute)
		if _, _, looks := l.tally(); looks < 29 || looks > 32 {
			t.Errorf("%d looks in a minute, want 30", looks)
		}
	})
}
