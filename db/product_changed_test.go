package db_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"importer"
	"importer/db/dbtest"
)

// outbox reads the events of a type that wait for webhooks.
func outbox(t testing.TB, conn *pgx.Conn, kind string) (payloads [][]byte) {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT payload FROM webhook_events WHERE type = $1 ORDER BY id", kind)
	if err == nil {
		payloads, err = pgx.CollectRows(rows, pgx.RowTo[[]byte])
	}
	if err != nil {
		t.Fatal(err)
	}
	return payloads
}

func changedIn(t testing.TB, conn *pgx.Conn) (skus []string) {
	t.Helper()
	for _, p := range outbox(t, conn, importer.EventProductsChanged) {
		var body importer.WebhookBody[importer.ProductsChangedEvent]
		if err := json.Unmarshal(p, &body); err != nil {
			t.Fatal(err)
		}
		if n := len(body.Data.SKUs); n < 1 || n > importer.MaxChangedSKUs || len(p) > importer.MaxPayload {
			t.Errorf("an event of %d SKUs, %d bytes", n, len(p))
		}
		skus = append(skus, body.Data.SKUs...)
	}
	return skus
}

// TestChangedProductsAreTold merges in each way: created and updated rows are
// told, unchanged ones are not, each by its SKU as it is written now.
func TestChangedProductsAreTold(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run("way "+string(way), func(t *testing.T) {
			t.Parallel()
			url := dbtest.URL(t)
			d, conn := dbtest.OpenURL(t, url), connect(t, url)
			var skus []string
			for i := range 10 {
				skus = append(skus, fmt.Sprintf("Old-%d", i))
			}
			merge(t, d, writing(t, d, 10), 0, rowsOf(skus...))
			if got := changedIn(t, conn); got != nil {
				t.Fatalf("told though nobody wants it: %v", got)
			}
			hook(t, d, func(f *importer.WebhookFields) { f.Events = new([]string{"products.changed"}) })

			rows := rowsOf("NEW-1", "old-3", "Old-5", "Old-6", "Old-7", "Old-8")
			rows[2].Name = "another"
			for _, again := range []bool{false, true} {
				m, err := d.MergeBatch(t.Context(), batchOf(writing(t, d, 6), 0, rows), way)
				want := importer.Merged{Created: 1, Updated: 2, Unchanged: 3}
				if again {
					want = importer.Merged{Unchanged: 6}
				}
				if m.Next = ""; err != nil || m != want {
					t.Fatalf("got %+v, %v, want %+v", m, err, want)
				}
			}
			got := changedIn(t, conn)
			slices.Sort(got)
			if diff := gocmp.Diff([]string{"NEW-1", "Old-5", "old-3"}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestChangedProductsAreToldInParts(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	hook(t, d)
	var skus []string
	for i := range 1_200 {
		skus = append(skus, fmt.Sprintf("%04d", i))
	}
	long := strings.Repeat(`"`, 250) // twice as long in JSON
	for i := range 300 {
		skus = append(skus, fmt.Sprintf("A%04d%s", i, long))
	}
	c := writing(t, d, int64(len(skus)))
	merge(t, d, c, 0, rowsOf(skus...))
	if diff := gocmp.Diff(skus, changedIn(t, conn)); diff != "" {
		t.Error(diff)
	}
	// The batch is there already: nothing is told again.
	if m, err := d.MergeBatch(t.Context(), batchOf(c, 0, rowsOf(skus...)), ""); err != nil || !m.Again {
		t.Fatalf("got %+v, %v", m, err)
	}
	if n := len(changedIn(t, conn)); n != len(skus) {
		t.Errorf("told %d, want %d", n, len(skus))
	}
}

func TestProgressIsToldEveryFewSeconds(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	c := writing(t, d, 10)
	renew := func(rows int64) {
		t.Helper()
		if err := d.Renew(ctx, c.ID, c.Epoch, importer.Progress{Phase: importer.PhaseWriting, RowsDone: rows}, importer.Counts{Created: rows}); err != nil {
			t.Fatal(err)
		}
	}
	told := func(want ...int64) {
		t.Helper()
		var got []int64
		for _, p := range outbox(t, conn, importer.EventImportProgress) {
			var body importer.WebhookBody[importer.ImportEvent]
			if err := json.Unmarshal(p, &body); err != nil {
				t.Fatal(err)
			}
			if body.Data.Import.ID != c.ID || body.Data.Import.State != importer.Writing {
				t.Errorf("told %s", p)
			}
			got = append(got, body.Data.Import.Progress.RowsDone)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	renew(1)
	told()
	hook(t, d, func(f *importer.WebhookFields) { f.Events = new([]string{"import.progress"}) })
	renew(2)
	renew(3)
	told(2)
	mustExec(t, conn, "UPDATE imports SET progress_told = now() - interval '5 s'")
	renew(4)
	told(2, 4)
}

// TestImportsAreTold: what begins and ends, once each.
func TestImportsAreTold(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	advance(t, d, created(t, d), importer.Completed, 0)
	advance(t, d, created(t, d), importer.Failed, 0)
	advance(t, d, created(t, d), importer.Cancelled, 0)
	for kind, want := range map[string]int{
		importer.EventImportStarted: 3, importer.EventImportCompleted: 1, importer.EventImportFailed: 1, importer.EventImportCancelled: 1,
		importer.EventImportCreated: 0, importer.EventImportQueued: 0, importer.EventImportWriting: 0,
	} {
		payloads := outbox(t, conn, kind)
		if len(payloads) != want {
			t.Errorf("%s was told %d times, want %d", kind, len(payloads), want)
		}
		for _, p := range payloads {
			var body importer.WebhookBody[importer.ImportEvent]
			if err := json.Unmarshal(p, &body); err != nil || body.Type != kind || body.Data.Seq == 0 {
				t.Errorf("%s: %v, %s", kind, err, p)
			}
		}
	}
}
