package actors

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"importer"
)

func cutAll(limit int, rows []importer.Row) (batches [][]importer.Row) {
	w := window{limit: limit}
	take := func(number int, rows func() []importer.Row) {
		if number != len(batches) {
			panic("numbers have a gap")
		}
		batches = append(batches, rows())
	}
	for _, r := range rows {
		if w.add(r) {
			w.cut(take)
		}
	}
	w.cut(take)
	return batches
}

func TestWindowSortsByKeyAndLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		// Keys with long common beginnings, NULs and bytes over 127: whatever
		// the prefix of a place makes of them, order is that of the bytes.
		keys := rapid.SliceOfDistinct(rapid.StringOfN(rapid.SampledFrom([]rune("a\x00é")), 0, 12, -1), rapid.ID[string]).Draw(t, "keys")
		shared := rapid.SampledFrom([]string{"", "sku-"}).Draw(t, "shared")
		limit := rapid.IntRange(1, 7).Draw(t, "limit")
		var rows []importer.Row
		var want []string
		for _, k := range keys {
			rows = append(rows, importer.Row{Key: shared + k})
			want = append(want, shared+k)
		}
		slices.Sort(want)
		var got []string
		batches := cutAll(limit, rows)
		for i, b := range batches {
			if len(b) != limit && i < len(batches)-1 || len(b) == 0 {
				t.Fatalf("batch %d has %d rows, want %d", i, len(b), limit)
			}
			for _, r := range b {
				got = append(got, r.Key)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func TestWindowCutsByBytesToo(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("x", 1<<20)
	var rows []importer.Row
	for i := range 60 {
		rows = append(rows, importer.Row{Key: string(rune('0' + i)), Description: text})
	}
	var got []int
	for _, b := range cutAll(10_000, rows) {
		got = append(got, len(b))
	}
	// 24 rows fill a window of 24 MiB, 4 a batch of 4 MiB.
	want := slices.Repeat([]int{4}, 15)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows a batch (-want +got):\n%s", diff)
	}
}

func BenchmarkWindow(b *testing.B) {
	rows := make([]importer.Row, windowRows)
	for i := range rows {
		k := i * 7919 % windowRows
		rows[i].Key = "sku-" + string([]byte{byte('0' + k/10000%10), byte('0' + k/1000%10), byte('0' + k/100%10), byte('0' + k/10%10), byte('0' + k%10)})
	}
	w := window{limit: importer.DefaultBatchRows}
	for b.Loop() {
		for _, r := range rows {
			w.add(r)
		}
		w.cut(func(_ int, rows func() []importer.Row) { rows() })
	}
	b.ReportMetric(float64(windowRows*b.N)/b.Elapsed().Seconds(), "rows/s")
}
