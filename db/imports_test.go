package db_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"importer"
	"importer/db"
	"importer/db/dbtest"
)

var (
	nodeA = uuid.MustParse("00000000-0000-7000-8000-00000000000a")
	nodeB = uuid.MustParse("00000000-0000-7000-8000-00000000000b")
)

// scanOf is a scan of a file with three columns.
func scanOf(rows, duplicates, rejected int64) importer.Scan {
	return importer.Scan{
		Head: importer.Head{
			Encoding: "utf-8", Delimiter: ";", Columns: []string{"SKU", "Name", "Text"}, Raw: []byte("SKU;Name;Text"),
			Mapping: map[string]string{"sku": "SKU", "name": "Name", "description": "Text"},
		},
		Rows: rows, Duplicates: duplicates, Rejected: rejected,
	}
}

// created registers an upload on nodeA.
func created(t testing.TB, d *db.DB, change ...func(*importer.NewImport)) importer.Claim {
	t.Helper()
	n := importer.NewImport{Filename: "products.csv", Size: 1000, BatchRows: 10}
	for _, f := range change {
		f(&n)
	}
	c, err := d.CreateImport(t.Context(), n, nodeA)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// writing is an import that nodeA has scanned and may write.
func writing(t testing.TB, d *db.DB, rows int64) importer.Claim {
	t.Helper()
	c := created(t, d)
	advance(t, d, c, importer.Writing, rows)
	return c
}

// advance takes a new import on to a state.
func advance(t testing.TB, d *db.DB, c importer.Claim, to importer.State, rows int64) {
	t.Helper()
	ctx := t.Context()
	if to == importer.Uploading {
		return
	}
	_, err := d.Uploaded(ctx, c.ID, 1000)
	if err == nil && to != importer.Queued {
		_, err = d.StartScan(ctx, c.ID, c.Epoch)
	}
	if err == nil && (to == importer.Writing || to == importer.Completed) {
		_, err = d.StartWrite(ctx, c.ID, c.Epoch, scanOf(rows, 0, 0))
	}
	switch {
	case err != nil:
	case to == importer.Completed:
		_, err = d.Complete(ctx, c.ID, c.Epoch, scanOf(rows, 0, 0))
	case to == importer.Failed:
		_, err = d.Fail(ctx, c.ID, c.Epoch, importer.Scan{}, importer.ImportError{Code: importer.StorageFull, Message: "Full.", Retry: true})
	case to == importer.Cancelled:
		_, err = d.CancelImport(ctx, c.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestImportRunsThroughItsStates(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := dbtest.Open(t)
	var heard []importer.Event
	d.OnCommit(func(e []importer.Event) { heard = append(heard, e...) })

	c := created(t, d, func(n *importer.NewImport) {
		n.Filename = `it's "ü" \ ?.csv`
		n.Resumable = true
		n.Mapping = map[string]string{"sku": "SKU"}
	})
	if c.Epoch != 1 || c.BatchRows != 10 || c.State != importer.Uploading || c.Attempts != 1 || !c.Resumable || c.ID.Version() != 7 {
		t.Errorf("created: got %+v", c)
	}
	queued, err := d.Uploaded(ctx, c.ID, 1234)
	if err != nil {
		t.Fatal(err)
	}
	if queued.State != importer.Queued || queued.Size != 1234 || queued.Progress.Bytes != 1234 || queued.Progress.Percent != 15 {
		t.Errorf("uploaded: got %+v", queued)
	}
	started, err := d.StartScan(ctx, c.ID, c.Epoch)
	if err != nil || started.State != importer.Scanning || started.StartedAt == nil {
		t.Errorf("started: got %+v, %v", started, err)
	}
	scan := scanOf(10, 2, 3)
	written, err := d.StartWrite(ctx, c.ID, c.Epoch, scan)
	if err != nil || written.State != importer.Writing || written.Progress.RowsTotal != 5 {
		t.Errorf("writing: got %+v, %v", written, err)
	}
	if _, err := d.MergeBatch(ctx, importer.Batch{ImportID: c.ID, Epoch: c.Epoch, Rows: rowsOf("a", "b", "c", "d", "e")}, ""); err != nil {
		t.Fatal(err)
	}
	done, err := d.Complete(ctx, c.ID, c.Epoch, scan)
	if err != nil {
		t.Fatal(err)
	}
	want := importer.Import{
		ID: c.ID, Filename: `it's "ü" \ ?.csv`, Size: 1234, State: importer.Completed, Resumable: true,
		Counts:   importer.Counts{Rows: 10, Created: 5, Duplicates: 2, Rejected: 3},
		Progress: importer.Progress{Phase: importer.PhaseComplete, Bytes: 1234, BytesTotal: 1234, RowsScanned: 10, RowsDone: 5, RowsTotal: 5, Percent: 100},
		Encoding: "utf-8", Delimiter: ";", Mapping: scan.Mapping, Attempts: 1, Whole: true,
		CreatedAt: c.CreatedAt, StartedAt: started.StartedAt, FinishedAt: done.FinishedAt,
	}
	if diff := cmp.Diff(want, done); diff != "" || done.FinishedAt == nil {
		t.Errorf("completed (-want +got):\n%s", diff)
	}
	read, err := d.Import(ctx, c.ID)
	if diff := cmp.Diff(done, read); err != nil || diff != "" {
		t.Errorf("read back: %v (-want +got):\n%s", err, diff)
	}

	kinds := []string{importer.EventImportCreated, importer.EventImportQueued, importer.EventImportStarted, importer.EventImportWriting, importer.EventImportCompleted}
	for _, topic := range []string{importer.TopicImports, importer.ImportTopic(c.ID)} {
		events := eventsOf(t, d, topic)
		var got []string
		for i, e := range events {
			got = append(got, e.Kind)
			if e.Seq != int64(i+1) || e.Topic != topic {
				t.Errorf("event %d of %s: got %s %d", i, topic, e.Topic, e.Seq)
			}
		}
		if diff := cmp.Diff(kinds, got); diff != "" {
			t.Errorf("kinds on %s (-want +got):\n%s", topic, diff)
		}
		told := ofTopic(heard, topic)
		if diff := cmp.Diff(events, told); diff != "" {
			t.Errorf("told after the commit (-stored +told):\n%s", diff)
		}
		var last struct{ Import importer.Import }
		if err := json.Unmarshal(events[4].Data, &last); err != nil {
			t.Fatal(err)
		}
		last.Import.Whole = done.Whole // it is not sent
		if diff := cmp.Diff(done, last.Import); diff != "" {
			t.Errorf("data of the last event (-want +got):\n%s", diff)
		}
	}
}

func ofTopic(events []importer.Event, topic string) []importer.Event {
	var of []importer.Event
	for _, e := range events {
		if e.Topic == topic {
			of = append(of, e)
		}
	}
	return of
}

// TestStepsInEveryState tries every step in every state.
func TestStepsInEveryState(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	states := []importer.State{importer.Uploading, importer.Queued, importer.Scanning, importer.Writing, importer.Completed, importer.Failed, importer.Cancelled}
	const (
		ok   = "ok"
		lost = "lease lost"
		no   = "conflict"
	)
	// One letter a state, in the order above: o = ok, l = lease lost, c = conflict.
	tests := []struct {
		name string
		want string
		step func(context.Context, importer.Claim) error
	}{
		{"Uploaded", "o cc cccc", func(ctx context.Context, c importer.Claim) error { _, err := d.Uploaded(ctx, c.ID, 5); return err }},
		{"UploadFailed", "o cc cccc", func(ctx context.Context, c importer.Claim) error {
			return d.UploadFailed(ctx, c.ID, importer.ImportError{Code: importer.UploadIncomplete})
		}},
		{"StartScan", "c oo olll", func(ctx context.Context, c importer.Claim) error {
			_, err := d.StartScan(ctx, c.ID, c.Epoch)
			return err
		}},
		{"StartWrite", "c co olll", func(ctx context.Context, c importer.Claim) error {
			_, err := d.StartWrite(ctx, c.ID, c.Epoch, scanOf(0, 0, 0))
			return err
		}},
		{"Complete", "c cc olll", func(ctx context.Context, c importer.Claim) error {
			_, err := d.Complete(ctx, c.ID, c.Epoch, scanOf(0, 0, 0))
			return err
		}},
		{"Fail", "o oo olll", func(ctx context.Context, c importer.Claim) error {
			_, err := d.Fail(ctx, c.ID, c.Epoch, importer.Scan{}, importer.ImportError{Code: importer.Internal})
			return err
		}},
		{"CancelImport", "o oo occc", func(ctx context.Context, c importer.Claim) error { _, err := d.CancelImport(ctx, c.ID); return err }},
		{"RetryImport", "c cc ccoo", func(ctx context.Context, c importer.Claim) error { _, err := d.RetryImport(ctx, c.ID); return err }},
		{"Renew", "o oo olll", func(ctx context.Context, c importer.Claim) error {
			return d.Renew(ctx, c.ID, c.Epoch, importer.Progress{}, importer.Counts{})
		}},
		{"Release", "o oo olll", func(ctx context.Context, c importer.Claim) error {
			return d.Release(ctx, c.ID, c.Epoch, time.Time{})
		}},
		{"AddRejects", "o oo olll", func(ctx context.Context, c importer.Claim) error {
			return d.AddRejects(ctx, c.ID, c.Epoch, []importer.Reject{{Line: 2}})
		}},
		{"MergeBatch", "l ll olll", func(ctx context.Context, c importer.Claim) error {
			_, err := d.MergeBatch(ctx, importer.Batch{ImportID: c.ID, Epoch: c.Epoch, Rows: rowsOf(c.ID.String())}, "")
			return err
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			wants := strings.ReplaceAll(test.want, " ", "")
			for i, state := range states {
				c := created(t, d)
				advance(t, d, c, state, 0)
				before, _ := d.Import(t.Context(), c.ID)

				err := test.step(t.Context(), c)

				want := map[byte]string{'o': ok, 'l': lost, 'c': no}[wants[i]]
				got := ok
				switch {
				case errors.Is(err, importer.ErrLeaseLost):
					got = lost
				case importer.ErrorCode(err) == importer.Conflict:
					got = no
				case err != nil:
					got = err.Error()
				}
				if got != want {
					t.Errorf("in %s: got %s, want %s", state, got, want)
				}
				after, _ := d.Import(t.Context(), c.ID)
				if want != ok && !cmp.Equal(before, after) {
					t.Errorf("in %s: refused, but it changed: %s", state, cmp.Diff(before, after))
				}
			}
		})
	}
}

func TestStepsOfAnOldEpochAreRefused(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	c := writing(t, d, 1)
	old := c.Epoch - 1
	steps := map[string]func(context.Context) error{
		"StartScan":  func(ctx context.Context) error { _, err := d.StartScan(ctx, c.ID, old); return err },
		"StartWrite": func(ctx context.Context) error { _, err := d.StartWrite(ctx, c.ID, old, scanOf(1, 0, 0)); return err },
		"Complete":   func(ctx context.Context) error { _, err := d.Complete(ctx, c.ID, old, scanOf(0, 0, 0)); return err },
		"Fail": func(ctx context.Context) error {
			_, err := d.Fail(ctx, c.ID, old, importer.Scan{}, importer.ImportError{})
			return err
		},
		"Renew": func(ctx context.Context) error {
			return d.Renew(ctx, c.ID, old, importer.Progress{}, importer.Counts{})
		},
		"Release":    func(ctx context.Context) error { return d.Release(ctx, c.ID, old, time.Time{}) },
		"AddRejects": func(ctx context.Context) error { return d.AddRejects(ctx, c.ID, old, []importer.Reject{{Line: 2}}) },
		"MergeBatch": func(ctx context.Context) error {
			_, err := d.MergeBatch(ctx, importer.Batch{ImportID: c.ID, Epoch: old, Rows: rowsOf("x")}, "")
			return err
		},
	}
	for name, step := range steps {
		if err := step(t.Context()); !errors.Is(err, importer.ErrLeaseLost) {
			t.Errorf("%s: got %v, want %v", name, err, importer.ErrLeaseLost)
		}
	}
}

func TestUnknownImport(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	id := uuid.New()
	steps := map[string]func(context.Context) error{
		"Import":        func(ctx context.Context) error { _, err := d.Import(ctx, id); return err },
		"Uploaded":      func(ctx context.Context) error { _, err := d.Uploaded(ctx, id, 1); return err },
		"CancelImport":  func(ctx context.Context) error { _, err := d.CancelImport(ctx, id); return err },
		"RetryImport":   func(ctx context.Context) error { _, err := d.RetryImport(ctx, id); return err },
		"StartScan":     func(ctx context.Context) error { _, err := d.StartScan(ctx, id, 1); return err },
		"Rejects":       func(ctx context.Context) error { _, err := d.Rejects(ctx, id, 0, 10); return err },
		"EachReject":    func(ctx context.Context) error { return d.EachReject(ctx, id, nil) },
		"RejectHead":    func(ctx context.Context) error { _, err := d.RejectHead(ctx, id); return err },
		"TopicSnapshot": func(ctx context.Context) error { _, err := d.TopicSnapshot(ctx, importer.ImportTopic(id)); return err },
	}
	for name, step := range steps {
		if err := step(t.Context()); importer.ErrorCode(err) != importer.NotFound {
			t.Errorf("%s: got %v, want %v", name, err, importer.NotFound)
		}
	}
}

func TestDryRunEndsAfterItsScan(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	c := created(t, d, func(n *importer.NewImport) { n.DryRun = true })
	advance(t, d, c, importer.Scanning, 0)
	done, err := d.Complete(t.Context(), c.ID, c.Epoch, scanOf(7, 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	if want := (importer.Counts{Rows: 7, Duplicates: 1, Rejected: 1}); done.Counts != want || done.Progress.Percent != 100 {
		t.Errorf("got %+v at %v %%, want %+v at 100 %%", done.Counts, done.Progress.Percent, want)
	}
}

func TestCompleteNeedsTheWholeLedger(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	c := writing(t, d, 3)
	if _, err := d.MergeBatch(t.Context(), importer.Batch{ImportID: c.ID, Epoch: c.Epoch, Rows: rowsOf("a", "b")}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Complete(t.Context(), c.ID, c.Epoch, scanOf(3, 0, 0)); !errors.Is(err, importer.ErrLedgerShort) {
		t.Errorf("two rows of three are written: got %v, want %v", err, importer.ErrLedgerShort)
	}
	if i, _ := d.Import(t.Context(), c.ID); i.State != importer.Writing {
		t.Errorf("state: got %s, want %s", i.State, importer.Writing)
	}
}

func TestEndedImportsCountWhatIsWritten(t *testing.T) {
	t.Parallel()
	d := dbtest.Open(t)
	end := map[string]func(context.Context, importer.Claim) (importer.Import, error){
		"cancelled": func(ctx context.Context, c importer.Claim) (importer.Import, error) { return d.CancelImport(ctx, c.ID) },
		"failed": func(ctx context.Context, c importer.Claim) (importer.Import, error) {
			return d.Fail(ctx, c.ID, c.Epoch, scanOf(9, 1, 1), importer.ImportError{Code: importer.StorageFull, Message: "No room.", Retry: true})
		},
	}
	for name, end := range end {
		c := writing(t, d, 9)
		merge(t, d, c, 0, rowsOf(name+"1", name+"2"))
		merge(t, d, c, 1, rowsOf(name+"1", name+"3"))
		i, err := end(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if i.Counts.Created != 3 || i.Counts.Unchanged != 1 || i.Counts.Written() != 4 || i.FinishedAt == nil {
			t.Errorf("%s: got %+v", name, i)
		}
		if string(i.State) != name || (i.Error != nil) != (name == "failed") {
			t.Errorf("got %s with %v, want %s", i.State, i.Error, name)
		}
	}
}

func TestRetryKeepsTheLedgerAndThePercentage(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := dbtest.Open(t)
	c := writing(t, d, 4)
	merge(t, d, c, 0, rowsOf("a", "b"))
	if err := d.Renew(ctx, c.ID, c.Epoch, importer.Progress{Percent: 65, Bytes: 1000, BytesTotal: 1000, BytesScanned: 1000}, importer.Counts{}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Fail(ctx, c.ID, c.Epoch, scanOf(4, 0, 0), importer.ImportError{Code: importer.StorageFull, Message: "No room.", Retry: true}); err != nil {
		t.Fatal(err)
	}
	i, err := d.RetryImport(ctx, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	if i.State != importer.Queued || i.Error != nil || i.FinishedAt != nil || i.StartedAt != nil || i.Attempts != 0 ||
		i.Progress.Percent != 65 || i.Progress.BytesScanned != 0 {
		t.Errorf("retried: got %+v", i)
	}
	if err := d.Renew(ctx, c.ID, c.Epoch, importer.Progress{}, importer.Counts{}); !errors.Is(err, importer.ErrLeaseLost) {
		t.Errorf("the old lease: got %v, want %v", err, importer.ErrLeaseLost)
	}
	claims, err := d.ClaimImports(ctx, nodeB, 10)
	if err != nil || len(claims) != 1 || claims[0].Epoch != c.Epoch+2 || claims[0].Attempts != 1 {
		t.Fatalf("claimed: got %+v, %v", claims, err)
	}
	batches, sum, err := d.Ledger(ctx, c.ID)
	if diff := cmp.Diff(map[int]struct{}{0: {}}, batches); err != nil || diff != "" || sum.Created != 2 {
		t.Errorf("ledger: %v, %+v (-want +got):\n%s", err, sum, diff)
	}
}

func TestRetryIsRefusedWhereItCannotHelp(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	clock := time.Now()
	d := openAt(t, dbtest.URL(t), func() time.Time { return clock })

	half := created(t, d)
	advance(t, d, half, importer.Uploading, 0)
	if _, err := d.CancelImport(ctx, half.ID); err != nil {
		t.Fatal(err)
	}
	broken := created(t, d)
	advance(t, d, broken, importer.Scanning, 0)
	if _, err := d.Fail(ctx, broken.ID, broken.Epoch, importer.Scan{}, importer.ImportError{Code: importer.MissingColumn}); err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]uuid.UUID{"half a file": half.ID, "a broken file": broken.ID} {
		if _, err := d.RetryImport(ctx, id); importer.ErrorCode(err) != importer.Conflict {
			t.Errorf("%s: got %v, want %v", name, err, importer.Conflict)
		}
	}

	old := created(t, d)
	advance(t, d, old, importer.Cancelled, 0)
	clock = clock.Add(8 * 24 * time.Hour)
	if _, err := d.RetryImport(ctx, old.ID); importer.ErrorCode(err) != importer.Conflict {
		t.Errorf("a file of last week: got %v, want %v", err, importer.Conflict)
	}
}

func TestImportsPages(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := dbtest.Open(t)
	var want []uuid.UUID
	for i := range 7 {
		c := created(t, d, func(n *importer.NewImport) { n.Filename = fmt.Sprint(i) })
		want = append([]uuid.UUID{c.ID}, want...)
		if i%2 == 0 {
			advance(t, d, c, importer.Cancelled, 0)
		}
	}
	var got []uuid.UUID
	for p := (importer.ImportPage{Limit: 3}); ; {
		page, err := d.Imports(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		if page.Total != 7 {
			t.Errorf("total: got %d, want 7", page.Total)
		}
		for _, i := range page.Items {
			got = append(got, i.ID)
		}
		if page.Next == nil {
			break
		}
		p.Before = *page.Next
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}

	page, err := d.Imports(ctx, importer.ImportPage{States: []importer.State{importer.Cancelled, importer.Failed}, Limit: 4})
	if err != nil || page.Total != 4 || len(page.Items) != 4 || page.Next != nil {
		t.Errorf("cancelled: got %d of %d, next %v, %v", len(page.Items), page.Total, page.Next, err)
	}
	page, err = d.Imports(ctx, importer.ImportPage{States: []importer.State{importer.Completed}, Limit: 4})
	if err != nil || page.Items == nil || len(page.Items) != 0 || page.Total != 0 {
		t.Errorf("completed: got %+v, %v", page, err)
	}
	if _, err := d.Imports(ctx, importer.ImportPage{Before: "x", Limit: 1}); importer.ErrorCode(err) != importer.Malformed {
		t.Errorf("broken cursor: got %v, want %v", err, importer.Malformed)
	}
}

// openAt opens a database with a clock.
func openAt(t testing.TB, url string, now func() time.Time) *db.DB {
	t.Helper()
	d, err := db.Open(db.Options{URL: url, MaxConns: 8, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}
