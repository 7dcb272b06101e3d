package actors_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"importer"
	"importer/actors"
	"importer/db"
	"importer/db/dbtest"
	"importer/internal/csvfile"
)

// hubMachine is a System for its hub, on a database of several machines. Its
// looks are so rare that only hints can be what brings events, unless a test
// says otherwise.
func hubMachine(t *testing.T, url string, deaf, check time.Duration) (*actors.System, *db.DB) {
	t.Helper()
	store := dbtest.OpenURL(t, url)
	b := &bundle{t: t, spool: newMemorySpool(), node: uuid.New()}
	var err error
	b.system, err = actors.Start(actors.Options{
		Store: store, Events: store, Spool: b.spool, OpenRows: csvfile.Open, Node: b.node,
		OnCommit: store.OnCommit, Log: zerolog.Nop(), DeafEvery: deaf, CheckEvery: check,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.shutdown)
	return b.system, store
}

// clocked is a reader that notes when events come.
type clocked struct {
	reader
	at        map[int64]time.Time
	snapshots int
}

func (c *clocked) Subscribed(topic string, s importer.Subscription) {
	if s.Reason != "" {
		c.snapshots++
		s.Snapshot = stateAt(s.Seq) // what the state is is no business of these tests
	}
	c.reader.Subscribed(topic, s)
	for _, e := range s.Events {
		c.note(e.Seq)
	}
}

func (c *clocked) Event(e importer.Event, frame []byte) {
	c.reader.Event(e, frame)
	c.note(e.Seq)
}

func (c *clocked) note(seq int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at[seq] = time.Now()
}

func (c *clocked) has(seq int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answers > 0 && c.seq >= seq
}

func (c *clocked) check(t *testing.T, head int64) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.wrong) > 0 || c.seq != head {
		t.Errorf("at %d of %d, wrong %q", c.seq, head, c.wrong)
	}
}

func joined(t *testing.T, s *actors.System, since *importer.Cursor) *clocked {
	t.Helper()
	c := &clocked{reader: reader{seq: unread}, at: map[int64]time.Time{}}
	if since != nil {
		c.epoch, c.seq = since.Epoch, since.Seq
	}
	s.Subscribe(importer.TopicImports, since, c)
	until(t, "the answer", func() bool { return c.has(0) })
	return c
}

// announce appends an event to the topic of the list, and says when.
func announce(t *testing.T, d *db.DB) time.Time {
	t.Helper()
	if _, err := d.CreateImport(t.Context(), importer.NewImport{Resumable: true}, uuid.New()); err != nil {
		t.Error(err)
	}
	return time.Now()
}

func TestPostgresEventsReachOtherMachines(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	a, storeA := hubMachine(t, url, 10*time.Millisecond, time.Hour)
	b, storeB := hubMachine(t, url, 10*time.Millisecond, time.Hour)
	until(t, "both to listen", func() bool { return listening(t, url) == 2 })
	here, there := joined(t, a, nil), joined(t, b, nil)
	const n = 100
	var wg sync.WaitGroup
	var mu sync.Mutex
	sent := map[int64]time.Time{}
	for _, d := range []*db.DB{storeA, storeB} {
		wg.Go(func() {
			pace := time.NewTicker(5 * time.Millisecond)
			defer pace.Stop()
			for range n {
				<-pace.C
				at := announce(t, d)
				mu.Lock()
				sent[int64(len(sent)+1)] = at // about: the other one may have been between
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	until(t, "all events on both", func() bool { return here.has(2*n) && there.has(2*n) })
	here.check(t, 2*n)
	there.check(t, 2*n)
	var took []time.Duration
	for seq, at := range sent {
		took = append(took, max(here.at[seq].Sub(at), there.at[seq].Sub(at)))
	}
	slices.Sort(took)
	t.Logf("commit on one machine to subscriber on the other: p50 %v, p95 %v, most %v", took[n], took[2*n*95/100], took[2*n-1])
}

// listening counts the connections that listen.
func listening(t *testing.T, url string) (n int) {
	t.Helper()
	ask(t, url, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'", &n)
	return n
}

func ask(t *testing.T, url, sql string, into any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), sql).Scan(into); err != nil {
		t.Fatal(err)
	}
}

// A connection that listens is cut again and again. Hints are lost then, but
// the safety net is too far off to be what helps: it is what the hub does when
// it loses and regains its hearing.
func TestPostgresListenersAreCut(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	_, storeA := hubMachine(t, url, 50*time.Millisecond, time.Hour)
	b, _ := hubMachine(t, url, 50*time.Millisecond, time.Hour)
	until(t, "both to listen", func() bool { return listening(t, url) == 2 })
	there := joined(t, b, nil)
	head := int64(0)
	for range 5 {
		for range 5 {
			announce(t, storeA)
			head++
		}
		var cut int
		ask(t, url, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'", &cut)
		if cut == 0 {
			t.Error("there was nothing to cut")
		}
		for range 5 {
			announce(t, storeA)
			head++
		}
		until(t, "what was appended around the cut", func() bool { return there.has(head) })
		until(t, "both to listen again", func() bool { return listening(t, url) == 2 })
	}
	there.check(t, head)
}

// Nobody can listen at all, as through a transaction pooler: looking will do.
func TestPostgresWithoutListening(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	storeA := dbtest.OpenURL(t, url)
	deaf, err := db.Open(db.Options{URL: url, Direct: "postgres://nobody@127.0.0.1:1/none?sslmode=disable", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { deaf.Close() })
	b := setup(t, func(_ *bundle, o *actors.Options) { o.Events = deaf })
	there := joined(t, b.system, nil)
	for range 10 {
		announce(t, storeA)
	}
	until(t, "all events", func() bool { return there.has(10) })
	there.check(t, 10)
}

// A client goes from machine to machine while both append.
func TestPostgresResumeAcrossMachines(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	a, storeA := hubMachine(t, url, 10*time.Millisecond, time.Second)
	b, storeB := hubMachine(t, url, 10*time.Millisecond, time.Second)
	joined(t, b, nil) // somebody stays on b: it follows the topic
	first := joined(t, a, nil)
	since := first.cursor()
	a.Unsubscribe(importer.TopicImports, first)
	var wg sync.WaitGroup
	const n = 150
	for _, d := range []*db.DB{storeA, storeB} {
		wg.Go(func() {
			for range n {
				announce(t, d)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	var last *clocked
	moves := 0
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		s := []*actors.System{a, b}[moves%2]
		last = joined(t, s, since)
		if last.answers != 1 || len(last.wrong) > 0 {
			t.Fatalf("move %d since %+v: %d answers, wrong %q", moves, since, last.answers, last.wrong)
		}
		since = last.cursor()
		moves++
		if !over {
			s.Unsubscribe(importer.TopicImports, last)
		}
	}
	until(t, "the last event", func() bool { return last.has(2 * n) })
	last.check(t, 2*n)
	if last.snapshots > 0 || moves < 3 {
		t.Errorf("%d snapshots in the last of %d moves, want replays", last.snapshots, moves)
	}
}

// A cursor from before retention gets the state.
func TestPostgresVeryOldCursor(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	a, store := hubMachine(t, url, time.Second, time.Second)
	for range 5 {
		announce(t, store)
	}
	var moved int
	ask(t, url, "WITH old AS (UPDATE stream_event SET at = at - interval '8 days' WHERE seq <= 3 RETURNING 1) SELECT count(*) FROM old", &moved)
	if n, err := store.TrimEvents(t.Context(), 7*24*time.Hour, 1_000); err != nil || n != moved {
		t.Fatalf("deleted %d, %v, want %d", n, err, moved)
	}
	log, err := store.ReadLog(t.Context(), importer.TopicImports, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		seq    int64
		reason string
	}{{2, "gap"}, {3, ""}} {
		w := &watcher{}
		a.Subscribe(importer.TopicImports, &importer.Cursor{Epoch: log.Epoch, Seq: c.seq}, w)
		until(t, "the answer", func() bool { return w.count("subscribed") == 1 })
		if w.reasons[0] != c.reason || w.snapshots[0].Seq != 5 {
			t.Errorf("since %d: got %q at %d, want %q at 5", c.seq, w.reasons[0], w.snapshots[0].Seq, c.reason)
		}
	}
}

// Who watches an import on another machine than the one it runs on sees it
// move and end.
func TestPostgresProgressElsewhere(t *testing.T) {
	t.Parallel()
	url, dir := dbtest.URL(t), t.TempDir()
	hold := make(chan struct{})
	a := startMachine(t, url, dir, func(d *disturbed) {
		d.beforeMerge = func(ctx context.Context, b importer.Batch) error {
			if b.Number < 5 {
				return nil
			}
			select { // until the other machine has shown what was written
			case <-hold:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	b, _ := hubMachine(t, url, time.Second, time.Second)
	text, _ := catalogue(t, 20_000)
	id := a.upload(importer.NewImport{BatchRows: 1_000}, text)
	w := &watcher{}
	b.Subscribe(importer.ImportTopic(id), nil, w)
	until(t, "rows written elsewhere", func() bool { return w.progress().RowsDone >= 4_000 })
	close(hold)
	until(t, "the end", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.events) > 0 && w.events[len(w.events)-1].Kind == importer.EventImportCompleted
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	checkGrows(t, w.updates)
}
