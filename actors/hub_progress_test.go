package actors

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"importer"
)

// quietLog is a log in which nothing happens.
type quietLog struct{ importer.EventLog }

func (quietLog) TopicSnapshot(context.Context, string) (importer.Snapshot, error) {
	return importer.Snapshot{Epoch: "e1", Seq: 1, Data: json.RawMessage(`{}`)}, nil
}

func (quietLog) NewEvents(context.Context, map[string]int64, int) (importer.News, error) {
	return importer.News{Epoch: "e1"}, nil
}

func (quietLog) Listen(ctx context.Context, _, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

func (quietLog) Hint(context.Context) error { return nil }

// bar is a subscriber that notes when updates come.
type bar struct {
	mu   sync.Mutex
	at   []time.Time
	rows []int64
	revs []int64

	withSnapshot *importer.Update
}

func (b *bar) Subscribed(_ string, s importer.Subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.withSnapshot = s.Update
}

func (*bar) Refused(string, error)        {}
func (*bar) Event(importer.Event, []byte) {}

func (b *bar) Update(u importer.Update, _ []byte) {
	var data importer.ImportUpdate
	if err := json.Unmarshal(u.Data, &data); err != nil {
		panic(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at, b.rows, b.revs = append(b.at, time.Now()), append(b.rows, data.Progress.RowsDone), append(b.revs, u.Rev)
}

// startHub starts a hub alone, on a log in which nothing happens.
func startHub(t *testing.T) (send func(msg any)) {
	t.Helper()
	return startHubOn(t, quietLog{})
}

func startHubOn(t *testing.T, log importer.EventLog) (send func(msg any)) {
	t.Helper()
	s := &settings{Options{Events: log, Now: time.Now, DeafEvery: time.Second, CheckEvery: time.Second}, newHouse(t)}
	hub := newHub(s)
	to := s.spawn(nil, hubSpec, func() behavior { return hub })
	t.Cleanup(func() {
		s.reap(to)
		s.live.Wait()
	})
	return func(msg any) { s.send(to, msg) }
}

// 500 updates a second come in, ten go out, and the last of them in time.
func TestHubBoundsUpdates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		send, id, b := startHub(t), uuid.New(), &bar{}
		report := func(rows int64) {
			send(progressed{id, importer.ImportUpdate{State: importer.Writing, Progress: importer.Progress{RowsDone: rows}}})
		}
		send(subscribe{importer.ImportTopic(id), nil, b})
		synctest.Wait()
		began := time.Now()
		for n := range int64(1_000) {
			report(n + 1)
			time.Sleep(2 * time.Millisecond)
		}
		ended := time.Now()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(b.at); n < 20 || n > 22 {
			t.Errorf("got %d updates in 2 s, want 20 or so", n)
		}
		for i := range b.at {
			if i > 0 && (b.at[i].Sub(b.at[i-1]) < 100*time.Millisecond || b.rows[i] <= b.rows[i-1] || b.revs[i] <= b.revs[i-1]) {
				t.Errorf("update %d: %d rows as rev %d, %v after %d rows as rev %d", i, b.rows[i], b.revs[i], b.at[i].Sub(b.at[i-1]), b.rows[i-1], b.revs[i-1])
			}
		}
		if first, last := b.at[0].Sub(began), b.at[len(b.at)-1].Sub(ended); first != 0 || b.rows[0] != 1 || last > 150*time.Millisecond || b.rows[len(b.rows)-1] != 1_000 {
			t.Errorf("the first came after %v with %d rows, the last after %v with %d", first, b.rows[0], last, b.rows[len(b.rows)-1])
		}
	})
}

// With a thousand viewers each gets half as many, and the last in time still.
func TestHubBoundsUpdatesOfAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		send, id := startHub(t), uuid.New()
		viewers := make([]*bar, 1_000)
		for i := range viewers {
			viewers[i] = &bar{}
			send(subscribe{importer.ImportTopic(id), nil, viewers[i]})
		}
		synctest.Wait()
		for n := range int64(200) {
			send(progressed{id, importer.ImportUpdate{State: importer.Writing, Progress: importer.Progress{RowsDone: n + 1}}})
			time.Sleep(10 * time.Millisecond)
		}
		ended := time.Now()
		time.Sleep(time.Second)
		synctest.Wait()
		for i, b := range viewers {
			n := len(b.at)
			if n < 10 || n > 11 {
				t.Fatalf("viewer %d got %d updates in 2 s, want 10 or so", i, n)
			}
			if last := b.at[n-1].Sub(ended); last > 200*time.Millisecond || b.rows[n-1] != 200 {
				t.Fatalf("viewer %d got the last after %v, with %d rows", i, last, b.rows[n-1])
			}
		}
	})
}

// The state is read when the import has failed already; that it has is told
// later than progress from before. Nobody must be told that it goes on.
func TestProgressFromBeforeTheSnapshotIsStale(t *testing.T) {
	t.Parallel()
	for _, found := range []importer.State{importer.Failed, importer.Writing} {
		synctest.Test(t, func(t *testing.T) {
			id, b := uuid.New(), &bar{}
			send := startHubOn(t, foundLog{state: found})
			send(progressed{id, importer.ImportUpdate{State: importer.Scanning}})
			send(subscribe{importer.ImportTopic(id), nil, b})
			synctest.Wait()
			if len(b.rows) > 0 || b.withSnapshot != nil {
				t.Errorf("%s: told of progress from before", found)
			}
			send(progressed{id, importer.ImportUpdate{State: importer.Writing, Progress: importer.Progress{RowsDone: 5}}})
			time.Sleep(time.Second)
			synctest.Wait()
			if got, want := len(b.rows), map[importer.State]int{importer.Writing: 1}[found]; got != want {
				t.Errorf("%s: got %d updates of an import that writes, want %d", found, got, want)
			}
		})
	}
}

// foundLog finds an import in a state, after event 2.
type foundLog struct {
	quietLog
	state importer.State
}

func (l foundLog) TopicSnapshot(context.Context, string) (importer.Snapshot, error) {
	return importer.Snapshot{Epoch: "e1", Seq: 2, Data: json.RawMessage(`{"import":{"state":"` + string(l.state) + `"}}`)}, nil
}

// An update that waits for its turn is stale when an event comes.
func TestAnEventDiscardsAnUpdateThatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		send, id, b := startHub(t), uuid.New(), &bar{}
		send(subscribe{importer.ImportTopic(id), nil, b})
		synctest.Wait()
		for rows := range int64(2) {
			send(progressed{id, importer.ImportUpdate{State: importer.Writing, Progress: importer.Progress{RowsDone: rows}}})
		}
		send(publish{[]importer.Event{{Topic: importer.ImportTopic(id), Seq: 2, Kind: importer.EventImportCancelled, Data: json.RawMessage(`{}`)}}})
		time.Sleep(time.Second)
		synctest.Wait()
		if len(b.rows) != 1 || b.rows[0] != 0 {
			t.Errorf("got updates with %v rows, want the first alone", b.rows)
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		n, size, want int
	}{
		{"by number", 400, 100, recentMax},
		{"by bytes", 400, 10_000, recentBytes / (2*10_000 + 100)}, // data and frame
		{"an event too large", 2, 2 << 20, 0},
	} {
		top := newTopic(importer.TopicProducts, time.Now, newHouse(t).log)
		top.enter("e1", 0)
		top.members[&bar{}] = &member{}
		data := json.RawMessage(`"` + strings.Repeat("x", c.size-2) + `"`)
		for seq := range int64(c.n) {
			top.offer(importer.Event{Topic: top.name, Seq: seq + 1, Data: data})
		}
		if got := len(top.recent.events); got > c.want || got < c.want-1 || top.recent.bytes > recentBytes || len(top.recent.frames) != got || top.seq != int64(c.n) {
			t.Errorf("%s: keeps %d events of %d bytes, want %d", c.name, got, top.recent.bytes, c.want)
		}
	}
}
