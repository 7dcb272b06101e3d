package db_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"importer"
	"importer/db"
	"importer/db/dbtest"
)

// claim is ClaimImports, which must work.
func claim(t testing.TB, d *db.DB, node uuid.UUID, limit int) []importer.Claim {
	t.Helper()
	claims, err := d.ClaimImports(t.Context(), node, limit)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestClaimTakesWhatIsDue(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	want := map[uuid.UUID]bool{}
	for _, state := range []importer.State{importer.Uploading, importer.Queued, importer.Scanning, importer.Writing, importer.Completed, importer.Failed, importer.Cancelled} {
		c := created(t, d)
		advance(t, d, c, state, 0)
		if !state.Ended() && state != importer.Uploading {
			want[c.ID] = true
		}
	}
	mustExec(t, conn, "UPDATE imports SET lease_until = lease_until + interval '1 hour'") // this may be a slow machine
	if got := claim(t, d, nodeB, 10); len(got) != 0 {
		t.Errorf("while nodeA's leases last: got %d claims, want none", len(got))
	}
	mustExec(t, conn, "UPDATE imports SET lease_until = now() - interval '1 ms'")
	first := claim(t, d, nodeB, 2)
	rest := claim(t, d, nodeB, 10)
	if len(first) != 2 || len(rest) != 1 || first[0].ID.String() > first[1].ID.String() || first[1].ID.String() > rest[0].ID.String() {
		t.Errorf("got %d and %d claims, want the 2 oldest and then 1", len(first), len(rest))
	}
	for _, c := range append(first, rest...) {
		if !c.Expired {
			t.Errorf("the lease that %s had before was not given back, but the claim does not say so", c.State)
		}
		if !want[c.ID] || c.Epoch != 2 || c.Attempts != 2 || c.BatchRows != 10 {
			t.Errorf("got %+v, want one that is due", c)
		}
		if err := d.Renew(t.Context(), c.ID, 1, importer.Progress{}, importer.Counts{}); !errors.Is(err, importer.ErrLeaseLost) {
			t.Errorf("the old lease of %s: got %v, want %v", c.State, err, importer.ErrLeaseLost)
		}
		if err := d.Renew(t.Context(), c.ID, 2, importer.Progress{}, importer.Counts{}); err != nil {
			t.Errorf("the new lease of %s: %v", c.State, err)
		}
		// A takeover of work that had begun is news; a first claim is not.
		events := eventsOf(t, d, importer.ImportTopic(c.ID))
		last := map[importer.State]string{importer.Queued: importer.EventImportQueued}[c.State]
		if last == "" {
			last = importer.EventImportStarted
		}
		if got := events[len(events)-1].Kind; got != last {
			t.Errorf("last event of one %s: got %s, want %s", c.State, got, last)
		}
	}
}

func TestClaimOfWhatWasReleased(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	c := created(t, d)
	advance(t, d, c, importer.Writing, 0)
	if err := d.Release(t.Context(), c.ID, c.Epoch, time.Now()); err != nil {
		t.Fatal(err)
	}
	if got := claim(t, d, nodeB, 10); len(got) != 1 || got[0].Expired {
		t.Errorf("got %+v, want the import, given back", got)
	}
}

func TestClaimsByManyNodesAreDisjoint(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	const imports = 30
	for range imports {
		advance(t, d, created(t, d), importer.Queued, 0)
	}
	mustExec(t, conn, "UPDATE imports SET owner = NULL")
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		taken = map[uuid.UUID]int{}
	)
	for range 4 {
		wg.Go(func() {
			// An empty answer may mean that the others hold the rows just now.
			for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
				for _, c := range claim(t, d, uuid.New(), 2) {
					mu.Lock()
					taken[c.ID]++
					mu.Unlock()
				}
				mu.Lock()
				done := len(taken) == imports
				mu.Unlock()
				if done {
					return
				}
			}
		})
	}
	wg.Wait()
	if len(taken) != imports {
		t.Errorf("got %d imports claimed, want %d", len(taken), imports)
	}
	for id, n := range taken {
		if n != 1 {
			t.Errorf("%s was claimed %d times", id, n)
		}
	}
}

func TestReleaseGivesBack(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	clock := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC) // far from the database's
	url := dbtest.URL(t)
	d := openAt(t, url, func() time.Time { return clock })
	conn := connect(t, url)
	c := writing(t, d, 0)
	if err := d.Release(ctx, c.ID, c.Epoch, clock.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := claim(t, d, nodeB, 1); len(got) != 0 {
		t.Errorf("an hour early: got %+v, want nothing", got)
	}
	if err := d.Renew(ctx, c.ID, c.Epoch, importer.Progress{}, importer.Counts{}); !errors.Is(err, importer.ErrLeaseLost) {
		t.Errorf("renewed after the release: got %v, want %v", err, importer.ErrLeaseLost)
	}
	mustExec(t, conn, "UPDATE imports SET not_before = not_before - interval '1 hour'")
	got := claim(t, d, nodeB, 1)
	if len(got) != 1 {
		t.Fatalf("when it is due: got %d claims, want 1", len(got))
	}
	if err := d.Release(ctx, c.ID, got[0].Epoch, clock.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := claim(t, d, nodeA, 1); len(got) != 1 {
		t.Errorf("released without a wait: got %d claims, want 1", len(got))
	}
}

func TestRenewKeepsTheLeaseAndThePercentage(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	for _, state := range []importer.State{importer.Uploading, importer.Queued, importer.Scanning, importer.Writing} {
		c := created(t, d)
		advance(t, d, c, state, 0)
		mustExec(t, conn, "UPDATE imports SET lease_until = now() WHERE id = $1", c.ID)
		p := importer.Progress{Phase: importer.PhaseWriting, Bytes: 5, RowsDone: 7, RowsPerSecond: 1.5, Percent: 50, Notice: "it's slow"}
		counts := importer.Counts{Rows: 1, Created: 2, Updated: 3, Unchanged: 4, Duplicates: 5, Rejected: 6}
		if err := d.Renew(ctx, c.ID, c.Epoch, p, counts); err != nil {
			t.Fatal(err)
		}
		var lease float64
		if err := conn.QueryRow(ctx, "SELECT extract(epoch FROM lease_until - now())::float8 FROM imports WHERE id = $1", c.ID).Scan(&lease); err != nil {
			t.Fatal(err)
		}
		if lease <= 0 || lease > importer.LeaseTime.Seconds() {
			t.Errorf("in %s: got a lease of %v s, want up to %v", state, lease, importer.LeaseTime)
		}
		i, err := d.Import(ctx, c.ID)
		if err != nil || i.Counts != counts || i.Progress != p {
			t.Errorf("in %s: got %+v %+v, %v", state, i.Counts, i.Progress, err)
		}
		p.Percent = 20 // another machine scans again
		if err := d.Renew(ctx, c.ID, c.Epoch, p, counts); err != nil {
			t.Fatal(err)
		}
		if i, _ := d.Import(ctx, c.ID); i.Progress.Percent != 50 {
			t.Errorf("in %s: the percentage fell from 50 to %v", state, i.Progress.Percent)
		}
	}
}

func TestUploadedKeepsTheClaim(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	c := created(t, d)
	if _, err := d.Uploaded(t.Context(), c.ID, 10); err != nil {
		t.Fatal(err)
	}
	if got := claim(t, d, nodeB, 1); len(got) != 0 {
		t.Errorf("got %+v, want the claim to stay with its node", got)
	}
	if _, err := d.StartScan(t.Context(), c.ID, c.Epoch); err != nil {
		t.Errorf("the scan goes on: %v", err)
	}
}

// TestStuckImportsAreGivenUp claims an import again and again, as if each
// machine died of it.
func TestStuckImportsAreGivenUp(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	c := writing(t, d, 9)
	takeOver := func() []importer.Claim {
		mustExec(t, conn, "UPDATE imports SET lease_until = now()")
		return claim(t, d, nodeB, 1)
	}
	for range 4 {
		if got := takeOver(); len(got) != 1 {
			t.Fatal("given up early")
		}
	}
	last := takeOver()
	merge(t, d, last[0], 0, rowsOf("a")) // it got further: the count begins again
	for n := range 5 {
		if got := takeOver(); len(got) != 1 {
			t.Fatalf("claim %d after a batch: given up early", n+1)
		}
	}
	if got := takeOver(); len(got) != 0 {
		t.Fatalf("got %+v, want it given up after five claims", got)
	}
	i, err := d.Import(t.Context(), c.ID)
	if err != nil || i.State != importer.Failed || i.Error == nil || i.Error.Code != importer.PipelineFailed || !i.Error.Retry || i.Counts.Created != 1 {
		t.Errorf("got %+v with %+v, %v", i, i.Error, err)
	}
	events := eventsOf(t, d, importer.ImportTopic(c.ID))
	if last := events[len(events)-1]; last.Kind != importer.EventImportFailed {
		t.Errorf("last event: got %+v", last)
	}

	if _, err := d.RetryImport(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if got := claim(t, d, nodeA, 1); len(got) != 1 {
		t.Errorf("after a retry: got %d claims, want 1", len(got))
	}
}

func TestForgottenUploads(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := dbtest.URL(t)
	clock := time.Now()
	d := openAt(t, url, func() time.Time { return clock })
	conn := connect(t, url)
	resumable := func(n *importer.NewImport) { n.Resumable = true }

	arriving := created(t, d)
	mustExec(t, conn, "UPDATE imports SET lease_until = lease_until + interval '1 hour'") // this may be a slow machine
	dropped := created(t, d)
	mustExec(t, conn, "UPDATE imports SET lease_until = now() WHERE id = $1", dropped.ID)
	paused := created(t, d, resumable)
	mustExec(t, conn, "UPDATE imports SET lease_until = now(), bytes_at = now() - interval '59 min' WHERE id = $1", paused.ID)
	abandoned := created(t, d, resumable)
	growing := created(t, d, resumable)
	mustExec(t, conn, "UPDATE imports SET bytes_at = now() - interval '61 min' WHERE id = ANY ($1)", []uuid.UUID{abandoned.ID, growing.ID})
	for c, bytes := range map[*importer.Claim]int64{&abandoned: 0, &growing: 1} {
		if err := d.Renew(ctx, c.ID, c.Epoch, importer.Progress{Bytes: bytes}, importer.Counts{}); err != nil {
			t.Fatal(err)
		}
	}
	queued, completed, hopeless, failed, cancelled := created(t, d), created(t, d), created(t, d), created(t, d), created(t, d)
	advance(t, d, queued, importer.Queued, 0)
	advance(t, d, completed, importer.Completed, 0)
	advance(t, d, hopeless, importer.Scanning, 0)
	if _, err := d.Fail(ctx, hopeless.ID, hopeless.Epoch, importer.Scan{}, importer.ImportError{Code: importer.EmptyFile}); err != nil {
		t.Fatal(err)
	}
	advance(t, d, failed, importer.Failed, 0)
	advance(t, d, cancelled, importer.Cancelled, 0)

	names := map[uuid.UUID]string{
		arriving.ID: "arriving", dropped.ID: "dropped", paused.ID: "paused", abandoned.ID: "abandoned", growing.ID: "growing",
		queued.ID: "queued", completed.ID: "completed", hopeless.ID: "hopeless", failed.ID: "failed", cancelled.ID: "cancelled",
	}
	forget := func() map[string]bool {
		t.Helper()
		ids, err := d.ForgottenUploads(ctx, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, id := range ids {
			got[names[id]] = true
		}
		return got
	}
	soon := map[string]bool{"dropped": true, "abandoned": true, "completed": true, "hopeless": true}
	for range 2 { // told again, for the first to hear of it may have died
		if diff := gocmp.Diff(soon, forget()); diff != "" {
			t.Errorf("files to remove (-want +got):\n%s", diff)
		}
	}
	for _, c := range []importer.Claim{dropped, abandoned} {
		i, err := d.Import(ctx, c.ID)
		if err != nil || i.State != importer.Failed || i.Error == nil || i.Error.Code != importer.UploadIncomplete || i.Error.Retry {
			t.Errorf("%s: got %s with %+v, %v", names[c.ID], i.State, i.Error, err)
		}
	}
	for _, c := range []importer.Claim{arriving, paused, growing} {
		if i, _ := d.Import(ctx, c.ID); i.State != importer.Uploading {
			t.Errorf("%s: got %s, want %s", names[c.ID], i.State, importer.Uploading)
		}
	}

	clock = clock.Add(7*24*time.Hour + time.Minute)
	soon["failed"], soon["cancelled"] = true, true
	if diff := gocmp.Diff(soon, forget()); diff != "" {
		t.Errorf("files to remove a week later (-want +got):\n%s", diff)
	}
	clock = clock.Add(30 * 24 * time.Hour)
	if got := forget(); len(got) != 0 {
		t.Errorf("a month later: got %v, want nothing", got)
	}
}
