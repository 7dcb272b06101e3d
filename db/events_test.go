package db_test

import (
	"encoding/json"
	"errors"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"importer"
	"importer/db/dbtest"
)

// TestEventsAreContiguous has eight writers on the list's topic, all of them
// on the topic of one import too.
func TestEventsAreContiguous(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := dbtest.Open(t)
	var mu sync.Mutex
	told := map[string]map[int64]importer.Event{}
	d.OnCommit(func(events []importer.Event) {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range events {
			if told[e.Topic] == nil {
				told[e.Topic] = map[int64]importer.Event{}
			}
			told[e.Topic][e.Seq] = e
		}
	})
	shared := created(t, d)
	advance(t, d, shared, importer.Queued, 0)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				own := created(t, d)
				if _, err := d.CancelImport(ctx, own.ID); err != nil {
					t.Error(err)
				}
				// One of the eight is refused now and then: that appends nothing.
				for _, step := range []func() error{
					func() error { _, err := d.CancelImport(ctx, shared.ID); return err },
					func() error { _, err := d.RetryImport(ctx, shared.ID); return err },
				} {
					if err := step(); err != nil && importer.ErrorCode(err) != importer.Conflict {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for topic, least := range map[string]int{importer.TopicImports: 160, importer.ImportTopic(shared.ID): 20} {
		events := eventsOf(t, d, topic)
		if len(events) < least {
			t.Errorf("%s: got %d events, want at least %d", topic, len(events), least)
		}
		for i, e := range events {
			if e.Seq != int64(i+1) {
				t.Fatalf("%s: event %d has seq %d", topic, i+1, e.Seq)
			}
			if diff := gocmp.Diff(e, told[topic][e.Seq]); diff != "" {
				t.Errorf("%s %d (-stored +told):\n%s", topic, e.Seq, diff)
			}
		}
		if len(told[topic]) != len(events) {
			t.Errorf("%s: told of %d events, want %d", topic, len(told[topic]), len(events))
		}
	}
}

func TestARefusedChangeAppendsNothing(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	c := created(t, d)
	d.OnCommit(func(e []importer.Event) { t.Errorf("told of %+v", e) })
	if _, err := d.RetryImport(t.Context(), c.ID); importer.ErrorCode(err) != importer.Conflict {
		t.Fatalf("got %v, want %v", err, importer.Conflict)
	}
	if _, err := d.Complete(t.Context(), c.ID, 7, importer.Scan{}); !errors.Is(err, importer.ErrLeaseLost) {
		t.Fatalf("got %v, want %v", err, importer.ErrLeaseLost)
	}
	if events := eventsOf(t, d, importer.TopicImports); len(events) != 1 {
		t.Errorf("got %+v, want the creation alone", events)
	}
}

// TestSnapshotAgreesWithItsSeq takes snapshots while the state changes: each
// must show the state that the event of its seq made.
func TestSnapshotAgreesWithItsSeq(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := dbtest.Open(t)
	c := created(t, d)
	advance(t, d, c, importer.Queued, 0)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := d.CancelImport(ctx, c.ID); err != nil {
				t.Error(err)
				return
			}
			if _, err := d.RetryImport(ctx, c.ID); err != nil {
				t.Error(err)
				return
			}
		}
	})
	snapshots := map[string][]importer.Snapshot{}
	for range 100 {
		for _, topic := range []string{importer.ImportTopic(c.ID), importer.TopicImports} {
			s, err := d.TopicSnapshot(ctx, topic)
			if err != nil {
				t.Fatal(err)
			}
			snapshots[topic] = append(snapshots[topic], s)
		}
	}
	close(stop)
	wg.Wait()

	for topic, taken := range snapshots {
		events := eventsOf(t, d, topic)
		if taken[0].Seq == taken[len(taken)-1].Seq {
			t.Errorf("%s: nothing changed meanwhile", topic)
		}
		for _, s := range taken {
			var state struct {
				Import  importer.Import
				Imports []importer.Import
			}
			var event struct{ Import importer.Import }
			if err := errors.Join(json.Unmarshal(s.Data, &state), json.Unmarshal(events[s.Seq-1].Data, &event)); err != nil {
				t.Fatal(err)
			}
			if topic == importer.TopicImports {
				state.Import = state.Imports[0]
			}
			if diff := gocmp.Diff(event.Import, state.Import); diff != "" {
				t.Fatalf("%s at %d (-event +snapshot):\n%s", topic, s.Seq, diff)
			}
		}
	}
}

func TestSnapshotsOfOtherTopics(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := dbtest.Open(t)
	empty, err := d.TopicSnapshot(ctx, importer.TopicImports)
	if err != nil || string(empty.Data) != `{"imports":[]}` || empty.Seq != 0 || empty.Epoch == "" {
		t.Errorf("empty list: got %+v, %v", empty, err)
	}
	first, second := created(t, d), created(t, d)
	list, err := d.TopicSnapshot(ctx, importer.TopicImports)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(map[string]any{"imports": []importer.Import{second.Import, first.Import}})
	if string(list.Data) != string(want) || list.Seq != 2 || list.Epoch != empty.Epoch {
		t.Errorf("list: got %s at %d of %s, want %s", list.Data, list.Seq, list.Epoch, want)
	}
	if s, err := d.TopicSnapshot(ctx, importer.TopicProducts); err != nil || string(s.Data) != "{}" || s.Seq != 0 {
		t.Errorf("products: got %+v, %v", s, err)
	}
	if _, err := d.TopicSnapshot(ctx, "nonsense"); importer.ErrorCode(err) != importer.NotFound {
		t.Errorf("nonsense: got %v, want %v", err, importer.NotFound)
	}
}
