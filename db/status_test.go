package db_test

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"importer"
	"importer/db/dbtest"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	empty, err := d.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(empty.Imports) != 7 || empty.QueuedFor != 0 || len(empty.Machines) != 0 || empty.Bytes < 1<<20 || empty.Version == "" {
		t.Errorf("of an empty database: %+v", empty)
	}

	want := map[importer.State]int64{}
	for i, state := range []importer.State{importer.Uploading, importer.Queued, importer.Scanning, importer.Writing, importer.Completed, importer.Failed, importer.Cancelled} {
		for range i + 1 {
			advance(t, d, created(t, d), state, 0)
		}
		want[state] = int64(i + 1)
	}
	merge(t, d, writing(t, d, 2), 0, rowsOf("a", "b"))
	want[importer.Writing]++
	mustExec(t, conn, "UPDATE imports SET uploaded_at = now() - interval '1 hour' WHERE state = 'queued' AND id = (SELECT min(id::text)::uuid FROM imports WHERE state = 'queued')")
	mustExec(t, conn, "UPDATE imports SET not_before = now() - interval '2 hours'")
	// Queued an hour ago, but put off until later.
	mustExec(t, conn, "UPDATE imports SET not_before = now() + interval '1 hour' WHERE state = 'queued' AND uploaded_at > now() - interval '30 minutes'")

	got, err := d.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got.Imports); diff != "" {
		t.Errorf("imports (-want +got):\n%s", diff)
	}
	if got.QueuedFor < time.Hour || got.QueuedFor > 2*time.Hour {
		t.Errorf("queued for %v, want an hour and a moment", got.QueuedFor)
	}
	if got.Indexing != (importer.Indexing{Total: 2, Pending: 2}) {
		t.Errorf("indexing: %+v", got.Indexing)
	}
}

func TestMachines(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	began := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	see := func(id uuid.UUID, name string, at time.Time) {
		t.Helper()
		if err := d.MachineSeen(t.Context(), importer.Machine{ID: id, Name: name, Version: "1.2.3", StartedAt: at}); err != nil {
			t.Fatal(err)
		}
	}
	machines := func() []importer.Machine {
		t.Helper()
		s, err := d.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.Machines
	}
	gone := uuid.New()
	see(nodeA, "a", began)
	see(gone, "long gone", began)
	see(nodeB, "b", began.Add(time.Hour))
	begun, second := created(t, d), created(t, d) // their leases are nodeA's
	advance(t, d, second, importer.Writing, 0)
	hook, err := d.CreateWebhook(t.Context(), importer.WebhookFields{URL: new("https://example.com"), Events: new([]string{"*"})})
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, conn, "UPDATE webhooks SET owner = '"+nodeA.String()+"', lease_until = now() + interval '1 hour' WHERE id = '"+hook.ID.String()+"'")
	advance(t, d, created(t, d), importer.Completed, 0)
	mustExec(t, conn, "UPDATE imports SET lease_until = now() + interval '1 hour'")
	mustExec(t, conn, "UPDATE machines SET seen_at = now() - interval '1 minute' WHERE name = 'a'")
	mustExec(t, conn, "UPDATE machines SET seen_at = now() - interval '2 hours' WHERE name = 'long gone'")
	see(nodeB, "b", began.Add(time.Hour))

	got := machines()
	if len(got) != 2 || got[0].ID != nodeB || got[1].ID != nodeA {
		t.Fatalf("got %+v, want b and a, and nothing of what is long gone", got)
	}
	if b := got[0]; !b.Alive || b.Imports != 0 || b.Name != "b" || b.Version != "1.2.3" || !b.StartedAt.Equal(began.Add(time.Hour)) {
		t.Errorf("b: %+v", b)
	}
	a := got[1]
	if a.Alive || a.Imports != 2 || a.Webhooks != 1 {
		t.Errorf("a, of which nothing was heard for a minute: %+v, want it not alive, with 2 imports and a webhook", a)
	}
	wantLeases := []importer.Lease{{ImportID: begun.ID, Filename: begun.Filename, State: importer.Uploading}, {ImportID: second.ID, Filename: second.Filename, State: importer.Writing}}
	if diff := gocmp.Diff(wantLeases, a.Leases); diff != "" {
		t.Errorf("the leases of a (-want +got):\n%s", diff)
	}
	see(nodeA, "a", began)
	if a := machines()[1]; !a.Alive {
		t.Errorf("a is back: %+v", a)
	}
	if err := d.MachineLeft(t.Context(), nodeA); err != nil {
		t.Fatal(err)
	}
	if got := machines(); len(got) != 1 {
		t.Errorf("after a has left: %+v", got)
	}
}

// TestBacklog tells what waits for its receiver from what waits for us.
func TestBacklog(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	want := func(what string, pending int64, from, to time.Duration) {
		t.Helper()
		s, err := d.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if b := s.Webhooks; b.Pending != pending || b.OverdueFor < from || b.OverdueFor > to {
			t.Errorf("%s: %+v, want %d pending, overdue from %v to %v", what, b, pending, from, to)
		}
	}
	want("no webhooks", 0, 0, 0)
	w, err := d.CreateWebhook(t.Context(), importer.WebhookFields{URL: new("https://example.com"), Events: new([]string{"*"})})
	if err != nil {
		t.Fatal(err)
	}
	want("nothing to send", 0, 0, 0)
	mustExec(t, conn, "INSERT INTO webhook_deliveries (webhook_id, event_id, type, next_attempt_at) SELECT '"+w.ID.String()+"', 'msg_'||i, 'x', now() + i * interval '1 hour' FROM generate_series(1, 3) AS i")
	want("nothing is due", 3, 0, 0)
	mustExec(t, conn, "UPDATE webhook_deliveries SET next_attempt_at = now() - interval '10 minutes' WHERE event_id = 'msg_2'")
	mustExec(t, conn, "UPDATE webhook_deliveries SET state = 'delivered', next_attempt_at = NULL WHERE event_id = 'msg_3'")
	want("one is overdue", 2, 10*time.Minute, time.Hour)
	mustExec(t, conn, "UPDATE webhooks SET failures = 3")
	want("its receiver fails", 2, 0, 0)
	mustExec(t, conn, "UPDATE webhooks SET failures = 0, state = 'paused'")
	want("it is paused", 2, 0, 0)
	mustExec(t, conn, "DELETE FROM webhooks")
	want("it is deleted", 0, 0, 0)
}
