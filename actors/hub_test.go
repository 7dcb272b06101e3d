package actors_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"importer"
	"importer/actors"
)

// eventLog is an EventLog of one topic that a test fills by itself.
type eventLog struct {
	lonely

	mu             sync.Mutex
	epoch          string
	head           int64
	floor          int64 // events up to here are deleted
	snapshots      int
	reads          int                             // of events
	bytes          int                             // of an event's data
	beforeSnapshot func(ctx context.Context) error // before the state is read
	afterSnapshot  func()                          // when it was read, before it is answered
	beforeRead     func(ctx context.Context) error
	afterRead      func()
}

func (l *eventLog) TopicSnapshot(ctx context.Context, topic string) (importer.Snapshot, error) {
	l.mu.Lock()
	before, after := l.beforeSnapshot, l.afterSnapshot
	l.snapshots++
	l.mu.Unlock()
	if before != nil {
		if err := before(ctx); err != nil {
			return importer.Snapshot{}, err
		}
	}
	l.mu.Lock()
	snap := importer.Snapshot{Epoch: l.epoch, Seq: l.head, Data: stateAt(l.head)}
	l.mu.Unlock()
	if after != nil {
		after()
	}
	return snap, nil
}

func (l *eventLog) ReadLog(ctx context.Context, _ string, after int64, limit int) (importer.Log, error) {
	l.mu.Lock()
	before, done := l.beforeRead, l.afterRead
	l.reads++
	l.mu.Unlock()
	if before != nil {
		if err := before(ctx); err != nil {
			return importer.Log{}, err
		}
	}
	log, err := l.read(after, limit)
	if done != nil {
		done()
	}
	return log, err
}

func (l *eventLog) read(after int64, limit int) (importer.Log, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	log := importer.Log{Epoch: l.epoch, Head: l.head, Floor: l.floor}
	for seq := max(after, l.floor) + 1; seq <= l.head && len(log.Events) < limit; seq++ {
		log.Events = append(log.Events, l.event(seq))
	}
	return log, nil
}

// commit appends events up to seq without telling anybody.
func (l *eventLog) commit(seq int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.head = max(l.head, seq)
}

func (l *eventLog) counts() (snapshots, reads int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.snapshots, l.reads
}

// event is the one of that seq.
func (l *eventLog) event(seq int64) importer.Event {
	e := event(seq)
	if l.bytes > 0 {
		e.Data = json.RawMessage(`"` + strings.Repeat("x", l.bytes-2) + `"`)
	}
	return e
}

// stateAt is what a snapshot says.
func stateAt(seq int64) json.RawMessage { return json.RawMessage(fmt.Sprintf(`{"seq":%d}`, seq)) }

func event(seq int64) importer.Event {
	return importer.Event{Topic: importer.TopicProducts, Seq: seq, Kind: "k", At: time.Unix(seq, 0).UTC(), Data: json.RawMessage(`{}`)}
}

// hubSetup starts a System that has nothing to import.
func hubSetup(t *testing.T) (*actors.System, *eventLog) {
	t.Helper()
	l := &eventLog{epoch: "e1"}
	b := setup(t, func(_ *bundle, o *actors.Options) { o.Events = l })
	return b.system, l
}

func publish(s *actors.System, l *eventLog, seqs ...int64) {
	for _, seq := range seqs {
		l.commit(seq)
		s.Publish([]importer.Event{event(seq)})
	}
}

func TestHubPassesEventsInOrderAndOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		l.commit(2)
		w := &watcher{}
		s.Subscribe(importer.TopicProducts, nil, w)
		synctest.Wait()
		publish(s, l, 4, 3, 3, 4, 1, 6)
		synctest.Wait()
		if got, want := w.seqs(), []int64{3, 4}; !slices.Equal(got, want) {
			t.Errorf("before the gap closes: got %v, want %v", got, want)
		}
		publish(s, l, 5)
		synctest.Wait()
		if got, want := w.seqs(), []int64{3, 4, 5, 6}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		time.Sleep(time.Second)
		if _, reads := l.counts(); reads != 0 {
			t.Errorf("the log was read %d times for gaps that closed by themselves", reads)
		}
		if w.log[0] != "subscribed" || w.reasons[0] != "fresh" || w.snapshots[0].Seq != 2 {
			t.Errorf("got %v %v %v, want a fresh snapshot at 2 first", w.log, w.reasons, w.snapshots)
		}
	})
}

func TestHubRefillsAGapThatLasts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		w := &watcher{}
		s.Subscribe(importer.TopicProducts, nil, w)
		synctest.Wait()
		l.commit(7) // another machine's
		fail := true
		l.beforeRead = func(context.Context) error {
			if fail {
				fail = false
				return errAway
			}
			return nil
		}
		publish(s, l, 8)
		time.Sleep(49 * time.Millisecond)
		synctest.Wait()
		if _, reads := l.counts(); reads != 0 {
			t.Error("the log was read at once")
		}
		time.Sleep(time.Second) // a refill that fails, and its retry
		synctest.Wait()
		if got, want := w.seqs(), []int64{1, 2, 3, 4, 5, 6, 7, 8}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// More events wait for one that is missing than the hub holds.
func TestHubRefillsAGapThatIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		w := &watcher{}
		s.Subscribe(importer.TopicProducts, nil, w)
		synctest.Wait()
		for seq := int64(2); seq <= 2_500; seq++ {
			publish(s, l, seq)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := w.seqs(); !slices.Equal(got, sequence(2_500)) {
			t.Errorf("got %d events, want 2500 in order", len(got))
		}
	})
}

// Events that retention has deleted cannot be refilled: a snapshot has to do.
func TestHubAnswersALostGapWithASnapshot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		w := &watcher{}
		s.Subscribe(importer.TopicProducts, nil, w)
		synctest.Wait()
		l.mu.Lock()
		l.floor = 30
		l.mu.Unlock()
		publish(s, l, 30)
		time.Sleep(time.Second)
		publish(s, l, 31)
		synctest.Wait()
		if want := []string{"fresh", "gap"}; !slices.Equal(w.reasons, want) {
			t.Errorf("got snapshots %v, want %v", w.reasons, want)
		}
		if got, want := w.seqs(), []int64{31}; !slices.Equal(got, want) {
			t.Errorf("got events %v, want %v", got, want)
		}
	})
}

// A failover has lost the latest commits: the hub has heard of events that
// nobody will ever bring.
func TestHubDoesNotWaitForEventsTheLogHasLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		l.commit(5)
		w := &watcher{}
		s.Subscribe(importer.TopicProducts, nil, w)
		synctest.Wait()
		s.Publish([]importer.Event{event(9)})
		time.Sleep(time.Second)
		publish(s, l, 6)
		time.Sleep(time.Second)
		synctest.Wait()
		if want := []string{"fresh", "gap"}; !slices.Equal(w.reasons, want) || !slices.Equal(w.seqs(), []int64{6}) {
			t.Errorf("got %q and events %v, want %q and 6", w.reasons, w.seqs(), want)
		}
		if _, reads := l.counts(); reads != 1 {
			t.Errorf("read events %d times, want once", reads)
		}
	})
}

// The state is read at seq 5; then 6 and 7 are committed, passed on, and only
// then the answer comes.
func TestHubCompletesASnapshotThatEventsOvertook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		first, late := &watcher{}, &watcher{}
		l.commit(4)
		s.Subscribe(importer.TopicProducts, nil, first)
		synctest.Wait()
		publish(s, l, 5)
		read, answer := make(chan struct{}), make(chan struct{})
		l.mu.Lock()
		l.afterSnapshot = func() { close(read); <-answer }
		l.mu.Unlock()
		s.Subscribe(importer.TopicProducts, nil, late)
		<-read
		publish(s, l, 6, 7)
		synctest.Wait()
		close(answer)
		synctest.Wait()
		publish(s, l, 8)
		synctest.Wait()
		if got, want := first.seqs(), []int64{5, 6, 7, 8}; !slices.Equal(got, want) {
			t.Errorf("first: got %v, want %v", got, want)
		}
		if got, want := late.seqs(), []int64{6, 7, 8}; !slices.Equal(got, want) || late.snapshots[0].Seq != 5 {
			t.Errorf("late: got %v after a snapshot at %d, want %v after 5", got, late.snapshots[0].Seq, want)
		}
	})
}

// The state is read at seq 9, of which the hub has heard only 7: nobody may
// get 8 and 9 twice or never.
func TestHubServesASnapshotThatIsAheadOfIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		first, late := &watcher{}, &watcher{}
		s.Subscribe(importer.TopicProducts, nil, first)
		synctest.Wait()
		publish(s, l, 1, 2, 3, 4, 5, 6, 7)
		l.commit(9)
		s.Subscribe(importer.TopicProducts, nil, late)
		synctest.Wait()
		publish(s, l, 9, 8, 10)
		synctest.Wait()
		if got, want := first.seqs(), []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}; !slices.Equal(got, want) {
			t.Errorf("first: got %v, want %v", got, want)
		}
		if got, want := late.seqs(), []int64{10}; !slices.Equal(got, want) || late.snapshots[0].Seq != 9 {
			t.Errorf("late: got %v after a snapshot at %d, want %v after 9", got, late.snapshots[0].Seq, want)
		}
	})
}

// One read of the log serves all who wait for it.
func TestHubReadsOneSnapshotForAStormOfSubscribers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		go_ := make(chan struct{})
		l.beforeSnapshot = func(context.Context) error { <-go_; return nil }
		all := make([]*watcher, 100)
		for i := range all {
			all[i] = &watcher{}
			s.Subscribe(importer.TopicProducts, nil, all[i])
		}
		synctest.Wait()
		close(go_)
		synctest.Wait()
		for _, w := range all {
			if w.count("subscribed") != 1 {
				t.Fatalf("got %v, want one answer each", w.log)
			}
		}
		if snapshots, _ := l.counts(); snapshots != 1 {
			t.Errorf("read %d snapshots, want 1", snapshots)
		}
	})
}

// More events pass during one read than the hub keeps: it reads again.
func TestHubReadsAgainWhenASnapshotIsTooOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		first, late := &watcher{}, &watcher{}
		s.Subscribe(importer.TopicProducts, nil, first)
		time.Sleep(time.Second) // virtual: a fresh snapshot would be shared
		synctest.Wait()
		var once sync.Once
		l.mu.Lock()
		l.afterSnapshot = func() {
			once.Do(func() {
				for seq := int64(1); seq <= 600; seq++ {
					publish(s, l, seq)
				}
			})
		}
		l.mu.Unlock()
		s.Subscribe(importer.TopicProducts, nil, late)
		synctest.Wait()
		publish(s, l, 601)
		synctest.Wait()
		if got, want := late.seqs(), []int64{601}; !slices.Equal(got, want) || late.snapshots[0].Seq != 600 {
			t.Errorf("late: got %v after a snapshot at %d, want %v after 600", got, late.snapshots[0].Seq, want)
		}
		if got := len(first.seqs()); got != 601 {
			t.Errorf("first: got %d events, want 601", got)
		}
	})
}

func TestHubSaysWhyThereIsASnapshot(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		since *importer.Cursor
		want  string
	}{
		{nil, "fresh"},
		{&importer.Cursor{Epoch: "e1", Seq: 1}, "gap"},
		{&importer.Cursor{Epoch: "e0", Seq: 3}, "epoch"},
		{&importer.Cursor{Epoch: "e1", Seq: 6}, "ahead"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, l := hubSetup(t)
			l.commit(5)
			l.floor = 2
			w := &watcher{}
			s.Subscribe(importer.TopicProducts, c.since, w)
			synctest.Wait()
			if !slices.Equal(w.reasons, []string{c.want}) {
				t.Errorf("since %+v: got %v, want %s", c.since, w.reasons, c.want)
			}
		})
	}
}

// A restored log begins a new epoch: all who follow the old one start anew.
func TestHubFollowsANewEpoch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		old, late := &watcher{}, &watcher{}
		s.Subscribe(importer.TopicProducts, nil, old)
		synctest.Wait()
		publish(s, l, 1, 2, 3)
		synctest.Wait()
		l.mu.Lock()
		l.epoch, l.head = "e2", 1
		l.mu.Unlock()
		s.Subscribe(importer.TopicProducts, nil, late)
		synctest.Wait()
		publish(s, l, 2)
		synctest.Wait()
		if want := []string{"fresh", "epoch"}; !slices.Equal(old.reasons, want) {
			t.Errorf("old: got %v, want %v", old.reasons, want)
		}
		if got, want := old.seqs(), []int64{1, 2, 3, 2}; !slices.Equal(got, want) {
			t.Errorf("old: got %v, want %v", got, want)
		}
		if got, want := late.seqs(), []int64{2}; !slices.Equal(got, want) {
			t.Errorf("late: got %v, want %v", got, want)
		}
	})
}

func TestHubRefusesWhatTheLogRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		gone := importer.Errorf(importer.NotFound, "There is no such import.")
		l.beforeSnapshot = func(context.Context) error { return gone }
		w := &watcher{}
		s.Subscribe(importer.TopicProducts, nil, w)
		synctest.Wait()
		if want := []string{"refused"}; !slices.Equal(w.log, want) || !errors.Is(w.refusals[0], gone) {
			t.Errorf("got %v %v, want one refusal", w.log, w.refusals)
		}
		l.mu.Lock()
		l.beforeSnapshot = func(context.Context) error { panic("log") }
		l.mu.Unlock()
		s.Subscribe(importer.TopicProducts, nil, w)
		synctest.Wait()
		if w.count("refused") != 2 {
			t.Errorf("got %v, want a refusal after the panic too", w.log)
		}
	})
}

func TestUnsubscribedGetsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		go_ := make(chan struct{})
		l.beforeSnapshot = func(context.Context) error { <-go_; return nil }
		during, after := &watcher{}, &watcher{}
		s.Subscribe(importer.TopicProducts, nil, during)
		s.Unsubscribe(importer.TopicProducts, during)
		s.Subscribe(importer.TopicProducts, nil, after)
		synctest.Wait()
		close(go_)
		synctest.Wait()
		s.Unsubscribe(importer.TopicProducts, after)
		publish(s, l, 1)
		synctest.Wait()
		if len(during.log) != 0 || !slices.Equal(after.log, []string{"subscribed"}) {
			t.Errorf("got %v and %v, want nothing and the answer", during.log, after.log)
		}
	})
}

func TestSubscribingAgainGivesASnapshotAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := hubSetup(t)
		w := &watcher{}
		s.Subscribe(importer.TopicProducts, nil, w)
		publish(s, l, 1)
		synctest.Wait()
		s.Subscribe(importer.TopicProducts, &importer.Cursor{Epoch: "e1", Seq: 1}, w)
		synctest.Wait()
		publish(s, l, 2)
		synctest.Wait()
		if w.count("subscribed") != 2 || w.seqs()[len(w.seqs())-1] != 2 || w.count("event") > 2 {
			t.Errorf("got %v with %v", w.log, w.seqs())
		}
	})
}

func TestSubscriberThatPanicsIsDroppedAlone(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"subscribed", "event"} {
		synctest.Test(t, func(t *testing.T) {
			s, l := hubSetup(t)
			bad, good := &watcher{}, &watcher{}
			bad.onCall = func(kind string) {
				if kind == at {
					panic("subscriber")
				}
			}
			s.Subscribe(importer.TopicProducts, nil, bad)
			s.Subscribe(importer.TopicProducts, nil, good)
			synctest.Wait()
			publish(s, l, 1, 2)
			time.Sleep(time.Second)
			publish(s, l, 3)
			synctest.Wait()
			if got, want := good.seqs(), []int64{1, 2, 3}; !slices.Equal(got, want) {
				t.Errorf("good: got %v, want %v", got, want)
			}
			if got := bad.count(at); got != 1 {
				t.Errorf("bad was called %d times after its panic", got-1)
			}
		})
	}
}

func TestFramesAreThoseOfTheProtocol(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, nil)
		id := b.begin(importer.NewImport{Size: 10}).ID
		topic := importer.ImportTopic(id)
		w := b.watch(topic)
		b.append(id, "sku,n")
		synctest.Wait()
		if _, err := b.store.CancelImport(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(w.frames) != 2 {
			t.Fatalf("got frames %v, want an update and an event", w.frames)
		}
		for i, want := range []map[string]any{
			{"type": "update", "topic": topic, "seq": 1., "rev": float64(w.updates[0].Rev)},
			{"type": "event", "topic": topic, "seq": 2., "kind": "import.cancelled"},
		} {
			var got map[string]any
			if err := json.Unmarshal([]byte(w.frames[i]), &got); err != nil {
				t.Fatal(err)
			}
			data := got["data"].(map[string]any)
			delete(got, "data")
			if want["type"] == "event" {
				if _, err := time.Parse(time.RFC3339, got["at"].(string)); err != nil || data["import"] == nil {
					t.Errorf("event frame %s", w.frames[i])
				}
				delete(got, "at")
			} else if data["state"] != "uploading" || data["counts"] == nil || data["progress"].(map[string]any)["bytes"] != 5. {
				t.Errorf("update frame %s", w.frames[i])
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("frame %d (-want +got):\n%s", i, diff)
			}
		}
	})
}

// Who comes while an import runs sees its progress at once.
func TestLateSubscriberGetsTheLastUpdate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, nil)
		id := b.begin(importer.NewImport{Size: 10}).ID
		b.append(id, "sku,n")
		synctest.Wait()
		w := b.watch(importer.ImportTopic(id))
		if len(w.lasts) != 1 || w.lasts[0] == nil || w.lasts[0].Seq != w.snapshots[0].Seq || w.lasts[0].Rev == 0 {
			t.Errorf("got %+v with the snapshot, want the update of its seq", w.lasts)
		}
		// An event makes it stale.
		if _, err := b.store.CancelImport(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if late := b.watch(importer.ImportTopic(id)); late.lasts[0] != nil {
			t.Errorf("got %+v, want none after the event", late.lasts[0])
		}
	})
}

func sequence(n int) (s []int64) {
	for i := range n {
		s = append(s, int64(i+1))
	}
	return s
}

func TestStartRefusesIncompleteOptions(t *testing.T) {
	t.Parallel()
	if s, err := actors.Start(actors.Options{Node: uuid.New()}); err == nil {
		t.Errorf("got %v, want an error", s)
	}
}
