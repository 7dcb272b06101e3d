package db_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"importer"
	"importer/db"
	"importer/db/dbtest"
)

var ways = []importer.MergeWay{"", "copy", "filter", "wary", "upsert"}

// rowsOf makes rows with these SKUs.
func rowsOf(skus ...string) []importer.Row {
	rows := make([]importer.Row, len(skus))
	for i, sku := range skus {
		rows[i] = importer.Row{SKU: sku, Key: importer.SKUKey(sku), Name: "name of " + sku, Description: "about " + sku}
	}
	return rows
}

// merge writes a batch of a claimed import.
func merge(t testing.TB, d *db.DB, c importer.Claim, number int, rows []importer.Row) importer.Merged {
	t.Helper()
	m, err := d.MergeBatch(t.Context(), batchOf(c, number, rows), "")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func batchOf(c importer.Claim, number int, rows []importer.Row) importer.Batch {
	return importer.Batch{ImportID: c.ID, Epoch: c.Epoch, Number: number, Rows: rows, HasDescription: true}
}

// stored is a product as far as a merge has a say in it, and where its row is.
type stored struct {
	SKU, Name, Description string
	Active                 bool
	Version                int64
	Row                    string // ctid and xmin: differs once the row is written
	Lock                   string // xmax: differs once the row is locked
}

func catalogue(t testing.TB, conn *pgx.Conn) map[string]stored {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT sku_key, sku, name, description, active, version, ctid::text || xmin, xmax::text FROM products")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]stored{}
	var key string
	var p stored
	_, err = pgx.ForEachRow(rows, []any{&key, &p.SKU, &p.Name, &p.Description, &p.Active, &p.Version, &p.Row, &p.Lock}, func() error {
		all[key] = p
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func mustExec(t testing.TB, conn interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
}, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// TestMergeCountsExactly has a row of every kind in one batch.
func TestMergeCountsExactly(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run("way "+string(way), func(t *testing.T) {
			t.Parallel()
			url := dbtest.URL(t)
			d, conn := dbtest.OpenURL(t, url), connect(t, url)
			c := writing(t, d, 0)
			merge(t, d, c, 0, rowsOf("description", "name", "other", "same", "spelling"))
			mustExec(t, conn, "UPDATE products SET active = false, created_at = '2020-01-01', updated_at = '2020-01-01'")

			rows := rowsOf("Description", "name", "new 'q' \\ \"é\"", "same", "SPELLING")
			rows[0] = importer.Row{SKU: "description", Key: "description", Name: "name of description", Description: ""}
			rows[1].Name = "another"
			rows[4].Name, rows[4].Description = "name of spelling", "about spelling"
			m, err := d.MergeBatch(t.Context(), batchOf(c, 1, rows), way)
			if err != nil {
				t.Fatal(err)
			}
			if m.Created != 1 || m.Updated != 3 || m.Unchanged != 1 || m.Again {
				t.Errorf("got %+v, want 1 created, 3 updated, 1 unchanged", m)
			}
			want := map[string]stored{
				"description":      {SKU: "description", Name: "name of description", Version: 2},
				"name":             {SKU: "name", Name: "another", Description: "about name", Version: 2},
				"new 'q' \\ \"é\"": {SKU: "new 'q' \\ \"é\"", Name: "name of new 'q' \\ \"é\"", Description: "about new 'q' \\ \"é\"", Active: true, Version: 1},
				"other":            {SKU: "other", Name: "name of other", Description: "about other", Version: 1},
				"same":             {SKU: "same", Name: "name of same", Description: "about same", Version: 1},
				"spelling":         {SKU: "SPELLING", Name: "name of spelling", Description: "about spelling", Version: 2},
			}
			if diff := gocmp.Diff(want, catalogue(t, conn), ignoreRows); diff != "" {
				t.Errorf("catalogue (-want +got):\n%s", diff)
			}
			var touched []string
			err = conn.QueryRow(t.Context(), `SELECT array_agg(sku_key ORDER BY sku_key) FROM products
				WHERE created_at = '2020-01-01' AND updated_at > '2020-01-02'`).Scan(&touched)
			if diff := gocmp.Diff([]string{"description", "name", "spelling"}, touched); err != nil || diff != "" {
				t.Errorf("updated_at moved: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

var ignoreRows = gocmp.FilterPath(func(p gocmp.Path) bool {
	return p.Last().String() == ".Row" || p.Last().String() == ".Lock"
}, gocmp.Ignore())

func TestMergeWithoutDescriptionColumn(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run("way "+string(way), func(t *testing.T) {
			t.Parallel()
			url := dbtest.URL(t)
			d, conn := dbtest.OpenURL(t, url), connect(t, url)
			c := writing(t, d, 0)
			merge(t, d, c, 0, rowsOf("changed", "same"))
			b := batchOf(c, 1, []importer.Row{
				{SKU: "changed", Key: "changed", Name: "x"}, {SKU: "new", Key: "new", Name: "y"}, {SKU: "same", Key: "same", Name: "name of same"},
			})
			b.HasDescription = false
			m, err := d.MergeBatch(t.Context(), b, way)
			if err != nil || m.Created != 1 || m.Updated != 1 || m.Unchanged != 1 {
				t.Errorf("got %+v, %v, want one of each", m, err)
			}
			want := map[string]stored{
				"changed": {SKU: "changed", Name: "x", Description: "about changed", Active: true, Version: 2},
				"new":     {SKU: "new", Name: "y", Active: true, Version: 1},
				"same":    {SKU: "same", Name: "name of same", Description: "about same", Active: true, Version: 1},
			}
			if diff := gocmp.Diff(want, catalogue(t, conn), ignoreRows); diff != "" {
				t.Errorf("catalogue (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMergingTheSameAgainWritesNoRow(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	c := writing(t, d, 0)
	var skus []string
	for i := range 1000 {
		skus = append(skus, fmt.Sprintf("sku-%04d", i))
	}
	merge(t, d, c, 0, rowsOf(skus...))
	before := catalogue(t, conn)
	for i, way := range []importer.MergeWay{"", "filter", "wary"} {
		m, err := d.MergeBatch(t.Context(), batchOf(c, i+1, rowsOf(skus...)), way)
		if err != nil || m.Unchanged != 1000 || m.Created+m.Updated != 0 {
			t.Errorf("way %q: got %+v, %v, want 1000 unchanged", way, m, err)
		}
		if diff := gocmp.Diff(before, catalogue(t, conn)); diff != "" {
			t.Errorf("way %q: rows were touched (-before +after):\n%s", way, diff)
		}
	}
}

// TestWays follows a writer through catalogues that change under it.
func TestWays(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		way          importer.MergeWay
		skus, change string
		want         importer.MergeWay
	}{
		{"filled, half known", "", "a new", "", "filter"},
		{"copy of new rows", "copy", "new1 new2", "", "copy"},
		{"copy meets a known row", "copy", "a new", "", "wary"},
		{"copy meets only known rows", "copy", "a b", "", "wary"},
		{"wary of some known", "wary", "a new", "", "wary"},
		{"wary of all new", "wary", "new1 new2", "", "filter"},
		{"filter of all new", "filter", "new1 new2", "", "copy"},
		{"filter of equal rows", "filter", "a b", "", "filter"},
		{"filter of changed rows", "filter", "a b", "changed", "upsert"},
		{"filter of changed and new rows", "filter", "a new", "changed", "upsert"},
		{"upsert of changed rows", "upsert", "a b", "changed", "upsert"},
		{"upsert with an equal row", "upsert", "a b", "", "filter"},
		{"upsert of all new", "upsert", "new1 new2", "", "copy"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := dbtest.Open(t)
			c := writing(t, d, 0)
			if first := merge(t, d, c, 0, rowsOf("a", "b")); first.Next != "copy" {
				t.Fatalf("into the empty catalogue: got next %q, want copy", first.Next)
			}
			rows := rowsOf(strings.Fields(test.skus)...)
			for i := range rows {
				rows[i].Name += test.change
			}
			m, err := d.MergeBatch(t.Context(), batchOf(c, 1, rows), test.way)
			if err != nil || m.Next != test.want {
				t.Errorf("got next %q, %v, want %q", m.Next, err, test.want)
			}
		})
	}
}

func TestMergingABatchTwiceReturnsTheLedger(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	c := writing(t, d, 0)
	merge(t, d, c, 0, rowsOf("a", "b"))
	changed := rowsOf("b", "c")
	changed[0].Name = "changed"
	first := merge(t, d, c, 1, changed)
	mustExec(t, conn, "UPDATE products SET name = 'edited meanwhile' WHERE sku = 'b'")
	before := catalogue(t, conn)
	for _, way := range ways {
		again, err := d.MergeBatch(t.Context(), batchOf(c, 1, changed), way)
		if err != nil || !again.Again || again.Created != first.Created || again.Updated != first.Updated || again.Unchanged != first.Unchanged {
			t.Errorf("way %q: got %+v, %v, want the counts of %+v again", way, again, err, first)
		}
		after := catalogue(t, conn)
		if diff := gocmp.Diff(before, after, gocmp.FilterPath(func(p gocmp.Path) bool { return p.Last().String() == ".Lock" }, gocmp.Ignore())); diff != "" {
			t.Errorf("way %q: written again (-before +after):\n%s", way, diff)
		}
	}
	if _, sum, err := d.Ledger(t.Context(), c.ID); err != nil || sum.Created != 3 || sum.Updated != 1 {
		t.Errorf("ledger: got %+v, %v", sum, err)
	}
}
