package db_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"importer"
	"importer/db/dbtest"
)

// TestMergeAgainstAModel merges random batches into random catalogues, by any
// way, and compares with a map that does the same.
func TestMergeAgainstAModel(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)

	// Few keys and few texts, so that batches meet the catalogue and each
	// other; some that would show wrong quoting or a wrong sort order.
	sku := rapid.SampledFrom([]string{"a", "A", "b", "B", "a b", "a-b", "a_b", "é", "É", "Z", "z", "0", "NULL", `"`, `\`, "{}", "'", "日本", "🙂"})
	text := rapid.SampledFrom([]string{"", "x", "X", `{"a",\b}`, "NULL", "line\nbreak", "日本"})
	row := rapid.Custom(func(t *rapid.T) importer.Row {
		s := sku.Draw(t, "sku")
		return importer.Row{SKU: s, Key: importer.SKUKey(s), Name: text.Draw(t, "name"), Description: text.Draw(t, "description")}
	})
	batch := rapid.Custom(func(t *rapid.T) []importer.Row {
		rows := rapid.SliceOfNDistinct(row, 0, 12, func(r importer.Row) string { return r.Key }).Draw(t, "rows")
		slices.SortFunc(rows, func(a, b importer.Row) int { return cmp.Compare(a.Key, b.Key) })
		return rows
	})

	rapid.Check(t, func(rt *rapid.T) {
		mustExec(t, conn, "TRUNCATE products")
		c := writing(t, d, 0)
		model := map[string]stored{}
		way := importer.MergeWay("")
		for n := range rapid.IntRange(1, 6).Draw(rt, "batches") {
			b := batchOf(c, n, batch.Draw(rt, "batch"))
			b.HasDescription = rapid.Bool().Draw(rt, "has description")
			if !b.HasDescription {
				for i := range b.Rows {
					b.Rows[i].Description = ""
				}
			}
			if rapid.Bool().Draw(rt, "another way") {
				way = rapid.SampledFrom(ways).Draw(rt, "way")
			}
			if key := "a"; rapid.Bool().Draw(rt, "deactivate") {
				mustExec(t, conn, "UPDATE products SET active = false WHERE sku_key = $1", key)
				if p, ok := model[key]; ok {
					p.Active = false
					model[key] = p
				}
			}

			got, err := d.MergeBatch(t.Context(), b, way)
			if err != nil {
				rt.Fatal(err)
			}
			way = got.Next
			want := mergeModel(model, b)
			if got.Next = ""; got != want {
				rt.Fatalf("batch %d: got %+v, want %+v", n, got, want)
			}
		}
		if diff := gocmp.Diff(model, catalogue(t, conn), ignoreRows); diff != "" {
			rt.Fatalf("catalogue (-want +got):\n%s", diff)
		}
	})
}

// mergeModel is what MergeBatch does, to a map.
func mergeModel(model map[string]stored, b importer.Batch) (m importer.Merged) {
	for _, r := range b.Rows {
		old, exists := model[r.Key]
		p := old
		p.SKU, p.Name = r.SKU, r.Name
		if b.HasDescription || !exists {
			p.Description = r.Description
		}
		switch {
		case !exists:
			p.Active, p.Version = true, 1
			m.Created++
		case p != old:
			p.Version++
			m.Updated++
		default:
			m.Unchanged++
		}
		model[r.Key] = p
	}
	return m
}

// TestMergeLongTexts has values that Postgres stores out of line, and a batch
// with empty ones only.
func TestMergeLongTexts(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	c := writing(t, d, 0)
	long := make([]byte, importer.MaxDescription)
	for i := range long {
		long[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[i*i%36]
	}
	for n, way := range ways {
		rows := rowsOf(fmt.Sprintf("long %d", n))
		rows[0].Description = string(long)
		for again := range 2 {
			m, err := d.MergeBatch(t.Context(), batchOf(c, 2*n+again, rows), way)
			if err != nil || m.Created != int64(1-again) || m.Unchanged != int64(again) {
				t.Errorf("way %q: got %+v, %v", way, m, err)
			}
		}
	}
	for key, p := range catalogue(t, conn) {
		if p.Description != string(long) {
			t.Errorf("%s: got %d bytes, want %d", key, len(p.Description), len(long))
		}
	}
}
