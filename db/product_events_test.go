package db_test

import (
	"fmt"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"importer"
	"importer/db/dbtest"
)

// TestImportsThatChangedSomethingSaySo has an import of each kind of end.
func TestImportsThatChangedSomethingSaySo(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	var want []told
	run := func(end string, skus ...string) {
		c := writing(t, d, int64(len(skus)))
		m := merge(t, d, c, 0, rowsOf(skus...))
		var err error
		switch end {
		case "complete":
			_, err = d.Complete(ctx, c.ID, c.Epoch, scanOf(int64(len(skus)), 0, 0))
		case "fail":
			_, err = d.Fail(ctx, c.ID, c.Epoch, importer.Scan{}, importer.ImportError{Code: importer.PipelineFailed})
		case "cancel":
			_, err = d.CancelImport(ctx, c.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.Created+m.Updated > 0 {
			want = append(want, told{importer.EventProductsChanged, fmt.Sprintf(`{"import_id":"%s","created":%d,"updated":%d}`, c.ID, m.Created, m.Updated)})
		}
	}
	run("complete", "a", "b")
	run("complete", "a", "b")
	run("fail", "a", "c")
	run("cancel", "A", "d")
	run("cancel", "A", "d")
	advance(t, d, created(t, d), importer.Cancelled, 0)
	if diff := gocmp.Diff(want, productEvents(t, d, conn)); diff != "" || len(want) != 3 {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestRetriedImportsSayWhatIsNew ends one import three times, on two machines:
// whoever adds up what the events say comes to what was done.
func TestRetriedImportsSayWhatIsNew(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	create(t, d, "b")
	scan := scanOf(4, 0, 0)
	c := writing(t, d, 4)
	again := func(node uuid.UUID) importer.Claim {
		t.Helper()
		claims, err := d.ClaimImports(ctx, node, 10)
		if err != nil || len(claims) != 1 {
			t.Fatalf("claimed %+v, %v, want the import", claims, err)
		}
		if _, err := d.StartScan(ctx, c.ID, claims[0].Epoch); err != nil {
			t.Fatal(err)
		}
		if _, err := d.StartWrite(ctx, c.ID, claims[0].Epoch, scan); err != nil {
			t.Fatal(err)
		}
		return claims[0]
	}
	retry := func() {
		t.Helper()
		if _, err := d.RetryImport(ctx, c.ID); err != nil {
			t.Fatal(err)
		}
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	merge(t, d, c, 0, rowsOf("a", "B"))
	_, err := d.CancelImport(ctx, c.ID)
	check(err)

	retry()
	c = again(nodeA)
	if m := merge(t, d, c, 0, rowsOf("a", "B")); !m.Again {
		t.Fatalf("got %+v, want what the ledger has", m)
	}
	check(d.Renew(ctx, c.ID, c.Epoch, importer.Progress{}, importer.Counts{Created: 1, Updated: 1}))
	merge(t, d, c, 1, rowsOf("c"))
	check(d.Renew(ctx, c.ID, c.Epoch, importer.Progress{}, importer.Counts{Created: 2, Updated: 1}))
	check(d.Release(ctx, c.ID, c.Epoch, time.Time{}))
	c = again(nodeB)
	_, err = d.Fail(ctx, c.ID, c.Epoch, scan, importer.ImportError{Code: importer.PipelineFailed, Retry: true})
	check(err)

	retry()
	c = again(nodeB)
	_, err = d.CancelImport(ctx, c.ID)
	check(err)

	retry()
	c = again(nodeA)
	merge(t, d, c, 2, rowsOf("d"))
	done, err := d.Complete(ctx, c.ID, c.Epoch, scan)
	if want := (importer.Counts{Rows: 4, Created: 3, Updated: 1}); err != nil || done.Counts != want {
		t.Errorf("got %+v, %v, want %+v", done.Counts, err, want)
	}
	var want []told
	for _, counts := range []string{`"created":1,"updated":1`, `"created":1,"updated":0`, `"created":1,"updated":0`} {
		want = append(want, told{importer.EventProductsChanged, fmt.Sprintf(`{"import_id":"%s",%s}`, c.ID, counts)})
	}
	if diff := gocmp.Diff(want, productEvents(t, d, conn)[1:]); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
