package db_test

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"importer"
	"importer/db"
	"importer/db/dbtest"
)

// week is longer than anything in these tests takes.
const week = 7 * 24 * time.Hour

// appended makes n events on the topic of the list, and returns them.
func appended(t testing.TB, d *db.DB, n int) []importer.Event {
	t.Helper()
	for range n {
		created(t, d)
	}
	events := eventsOf(t, d, importer.TopicImports)
	if len(events) != n {
		t.Fatalf("got %d events, want %d", len(events), n)
	}
	return events
}

// eventsOf is the log of a topic.
func eventsOf(t testing.TB, d *db.DB, topic string) []importer.Event {
	t.Helper()
	log, err := d.ReadLog(t.Context(), topic, 0, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	return log.Events
}

func TestReadLog(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	empty, err := d.ReadLog(t.Context(), importer.TopicImports, 0, 10)
	if err != nil || empty.Epoch == "" {
		t.Fatalf("got %+v, %v, want the epoch of an empty log", empty, err)
	}
	epoch := empty.Epoch
	if diff := gocmp.Diff(importer.Log{Epoch: epoch}, empty); diff != "" {
		t.Errorf("empty (-want +got):\n%s", diff)
	}
	events := appended(t, d, 5)
	mustExec(t, conn, "UPDATE stream_head SET floor = 1 WHERE topic = 'imports'")
	mustExec(t, conn, "DELETE FROM stream_event WHERE topic = 'imports' AND seq = 1")
	for _, c := range []struct {
		after int64
		limit int
		want  []importer.Event
	}{
		{-1, 10, events[1:]},
		{0, 2, events[1:3]},
		{3, 10, events[3:]},
		{5, 10, nil},
		{99, 10, nil},
	} {
		got, err := d.ReadLog(t.Context(), importer.TopicImports, c.after, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(importer.Log{Epoch: epoch, Head: 5, Floor: 1, Events: c.want}, got); diff != "" {
			t.Errorf("after %d, %d of them (-want +got):\n%s", c.after, c.limit, diff)
		}
	}
}

// TestReadLogAgreesWithItsHead reads while events are appended: the head must
// be the last event's.
func TestReadLogAgreesWithItsHead(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		wg.Go(func() { appendUntil(t, d, done) })
	}
	defer wg.Wait()
	defer close(done)
	for heads := map[int64]bool{}; len(heads) < 20; {
		log, err := d.ReadLog(t.Context(), importer.TopicImports, 0, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(log.Events)) != log.Head {
			t.Fatalf("got %d events and a head of %d", len(log.Events), log.Head)
		}
		heads[log.Head] = true
	}
}

// appendUntil appends at least one event.
func appendUntil(t *testing.T, d *db.DB, done <-chan struct{}) {
	for {
		if _, err := d.CreateImport(t.Context(), importer.NewImport{BatchRows: 1}, nodeA); err != nil {
			t.Error(err)
			return
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestNewEvents(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := dbtest.Open(t)
	first, second := created(t, d), created(t, d)
	advance(t, d, first, importer.Queued, 0)
	topic := importer.ImportTopic
	seqs := func(seen map[string]int64, limit int) map[string][]int64 {
		t.Helper()
		news, err := d.NewEvents(ctx, seen, limit)
		if log, _ := d.ReadLog(ctx, topic(first.ID), 0, 1); err != nil || news.Epoch != log.Epoch || news.Floors != nil {
			t.Fatalf("got epoch %q and floors %v, %v, want %q", news.Epoch, news.Floors, err, log.Epoch)
		}
		got := map[string][]int64{}
		for _, e := range news.Events {
			want, err := d.ReadLog(ctx, e.Topic, e.Seq-1, 1)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(want.Events, []importer.Event{e}); diff != "" {
				t.Errorf("%s %d (-stored +got):\n%s", e.Topic, e.Seq, diff)
			}
			got[e.Topic] = append(got[e.Topic], e.Seq)
		}
		return got
	}
	for _, c := range []struct {
		name  string
		seen  map[string]int64
		limit int
		want  map[string][]int64
	}{
		{"nothing watched", nil, 10, map[string][]int64{}},
		{"nothing new", map[string]int64{topic(first.ID): 2, "imports": 3, "products": 0}, 10, map[string][]int64{}},
		{"some new", map[string]int64{topic(first.ID): 1, topic(second.ID): 0, "imports": 1, "webhooks": 7}, 10,
			map[string][]int64{topic(first.ID): {2}, topic(second.ID): {1}, "imports": {2, 3}}},
		{"limited", map[string]int64{"imports": 0}, 2, map[string][]int64{"imports": {1, 2}}},
	} {
		if diff := gocmp.Diff(c.want, seqs(c.seen, c.limit)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestNewEventsTellWhichAreGone(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	appended(t, d, 3)
	mustExec(t, conn, "UPDATE stream_head SET floor = 2 WHERE topic = 'imports'")
	mustExec(t, conn, "DELETE FROM stream_event WHERE topic = 'imports' AND seq <= 2")
	for seen, want := range map[int64]map[string]int64{0: {"imports": 2}, 1: {"imports": 2}, 2: nil, 3: nil} {
		news, err := d.NewEvents(ctx, map[string]int64{"imports": seen, "products": 0}, 10)
		if err != nil || len(news.Events) != int(min(1, 3-seen)) {
			t.Errorf("after %d: got %d events, %v", seen, len(news.Events), err)
		}
		if diff := gocmp.Diff(want, news.Floors); diff != "" {
			t.Errorf("after %d, floors (-want +got):\n%s", seen, diff)
		}
	}
}

func TestImportUpdates(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	c, other := writing(t, d, 50), created(t, d)
	progress := importer.Progress{Phase: importer.PhaseWriting, RowsDone: 20, RowsTotal: 50, Percent: 40}
	if err := d.Renew(ctx, c.ID, c.Epoch, progress, importer.Counts{Rows: 50, Created: 20}); err != nil {
		t.Fatal(err)
	}
	updates, err := d.ImportUpdates(ctx, []uuid.UUID{c.ID, nodeA})
	if err != nil || len(updates) != 1 {
		t.Fatalf("got %+v, %v, want one update", updates, err)
	}
	u := updates[0]
	imp, err := d.Import(ctx, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	snap, err := d.TopicSnapshot(ctx, importer.ImportTopic(c.ID))
	if err != nil {
		t.Fatal(err)
	}
	var data importer.ImportUpdate
	if err := json.Unmarshal(u.Data, &data); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(importer.ImportUpdate{State: imp.State, Counts: imp.Counts, Progress: imp.Progress}, data); diff != "" || data.Progress.Percent < 40 {
		t.Errorf("(-row +got):\n%s", diff)
	}
	if u.Topic != importer.ImportTopic(c.ID) || u.Seq != snap.Seq {
		t.Errorf("got %s at %d, want seq %d", u.Topic, u.Seq, snap.Seq)
	}
	// Rev is the database's time of the last renewal, give or take its run.
	var age int64
	if err := conn.QueryRow(ctx, "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint - $1", u.Rev).Scan(&age); err != nil || age < 0 || age > 5*60_000 {
		t.Errorf("saved %d ms ago, %v", age, err)
	}
	if again, err := d.ImportUpdates(ctx, []uuid.UUID{c.ID}); err != nil || again[0].Rev != u.Rev {
		t.Errorf("got %+v, %v, want the same while nothing is saved", again, err)
	}
	if both, err := d.ImportUpdates(ctx, []uuid.UUID{c.ID, other.ID}); err != nil || len(both) != 2 {
		t.Errorf("got %+v, %v, want two", both, err)
	}
}

func TestTrimEvents(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	events := appended(t, d, 10)
	if n, err := d.TrimEvents(ctx, week, 100); err != nil || n != 0 {
		t.Fatalf("of young events: got %d, %v, want none", n, err)
	}
	mustExec(t, conn, "UPDATE stream_event SET at = at - interval '8 days' WHERE topic = 'imports' AND seq <= 6")
	total := 0
	for range 3 { // batches of 4: 4, 2 and none
		n, err := d.TrimEvents(ctx, week, 4)
		if err != nil || n > 4 {
			t.Fatalf("got %d, %v, want at most 4", n, err)
		}
		total += n
	}
	log, err := d.ReadLog(ctx, importer.TopicImports, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(importer.Log{Epoch: log.Epoch, Head: 10, Floor: 6, Events: events[6:]}, log); diff != "" || total != 6 {
		t.Errorf("deleted %d, log (-want +got):\n%s", total, diff)
	}
	// All of them: the seq goes on from where it was.
	mustExec(t, conn, "UPDATE stream_event SET at = at - interval '8 days'")
	if _, err := d.TrimEvents(ctx, week, 100); err != nil {
		t.Fatal(err)
	}
	created(t, d)
	if log, err = d.ReadLog(ctx, importer.TopicImports, 10, 100); err != nil || log.Head != 11 || log.Floor != 10 || len(log.Events) != 1 {
		t.Errorf("got %+v, %v, want event 11 above a floor of 10", log, err)
	}
}

// Machines that trim at once, while events are appended to the same topics,
// neither fail nor delete a young event.
func TestTrimEventsOnManyMachines(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	mustExec(t, conn, `INSERT INTO stream_event (topic, seq, kind, data, at)
		SELECT topic, seq, 'k', '{}', now() - interval '8 days' FROM unnest(ARRAY['imports', 'products', 'webhooks']) AS topic, generate_series(1, 300) AS seq`)
	mustExec(t, conn, "INSERT INTO stream_head (topic, seq) VALUES ('imports', 300), ('products', 300), ('webhooks', 300)")
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for range 4 {
		other := dbtest.OpenURL(t, url)
		wg.Go(func() {
			for {
				n, err := other.TrimEvents(t.Context(), week, 50)
				if err != nil {
					t.Error(err)
				}
				if n == 0 {
					return
				}
				mu.Lock()
				total += n
				mu.Unlock()
			}
		})
	}
	var appending sync.WaitGroup
	done := make(chan struct{})
	appending.Go(func() { appendUntil(t, d, done) })
	wg.Wait()
	close(done)
	appending.Wait()
	if _, err := d.TrimEvents(t.Context(), week, 1_000); err != nil {
		t.Error(err)
	}
	log, err := d.ReadLog(t.Context(), importer.TopicImports, 0, 100_000)
	if err != nil || log.Floor != 300 || log.Head <= 300 || int64(len(log.Events)) != log.Head-300 {
		t.Errorf("got %d events, floor %d, head %d, %v, want those over a floor of 300", len(log.Events), log.Floor, log.Head, err)
	}
	if total > 900 || total < 1 {
		t.Errorf("deleted %d, want at most 900", total)
	}
}
