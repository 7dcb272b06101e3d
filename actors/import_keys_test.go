package actors

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

func TestKeyTableKeepsTheLastRowOfEachKey(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOf(rapid.StringMatching(`[a-d]{0,2}`)).Draw(t, "keys")
		checkKeys(t, keys)
	})
}

// TestKeyTableWithCrowdedFilter has false marks: a thousand times more keys
// than the filter is made for.
func TestKeyTableWithCrowdedFilter(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	keys := make([]string, 60_000)
	for i := range keys {
		keys[i] = strconv.Itoa(rnd.IntN(50_000))
	}
	table := newKeyTable()
	table.filters[0] = newBitTable(4096)
	checkTable(t, table, keys)
	if int(table.repeats) == repeatsOf(keys) {
		t.Error("no false marks: this test shows nothing")
	}
}

// TestKeyTableGrowsThroughItsFilters has keys that repeat across them.
func TestKeyTableGrowsThroughItsFilters(t *testing.T) {
	t.Parallel()
	distinct := (filterBits[0] + filterBits[1]) / filterShare * 5 / 4
	keys := make([]string, distinct*3/2)
	for i := range keys {
		keys[i] = strconv.Itoa(i % distinct)
	}
	table := newKeyTable()
	checkTable(t, table, keys)
	if got := len(table.filters); got != 3 {
		t.Errorf("got %d filters, want 3", got)
	}
	// A few keys in ten million find false marks at this size.
	if got, want := int(table.repeats), repeatsOf(keys); got > want+5 {
		t.Errorf("got %d repeats, want %d and next to no false ones", got, want)
	}
}

type errorer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func checkKeys(t errorer, keys []string) {
	t.Helper()
	checkTable(t, newKeyTable(), keys)
}

func checkTable(t errorer, table *keyTable, keys []string) {
	t.Helper()
	last := map[string]int{}
	for i, k := range keys {
		table.add(k, uint32(i))
		last[k] = i
	}
	if got, least := int(table.repeats), repeatsOf(keys); got < least {
		t.Fatalf("got %d repeats, want at least %d", got, least)
	}
	for i, k := range keys {
		if got, want := table.keeps(k, uint32(i)), last[k] == i; got != want {
			t.Fatalf("row %d with key %q: kept %v, want %v", i, k, got, want)
		}
	}
}

func repeatsOf(keys []string) int {
	distinct := map[string]struct{}{}
	for _, k := range keys {
		distinct[k] = struct{}{}
	}
	return len(keys) - len(distinct)
}

// fillKeys adds 10 million rows, 5 % of which repeat an earlier key.
func fillKeys(t *keyTable, rows int) {
	buf := make([]byte, 0, 32)
	for i := range rows {
		k := i
		if i%20 == 19 {
			k = i - 16
		}
		buf = strconv.AppendInt(append(buf[:0], "sku-"...), int64(k), 10)
		t.add(string(buf), uint32(i))
	}
}

func TestKeyTableOf10MillionRowsFits40MB(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	got, entries, repeats := filledSize(10_000_000)
	t.Logf("%.1f MB for %d entries, %d of them by false marks", float64(got)/1e6, entries, repeats-500_000)
	if got > 40e6 {
		t.Errorf("got %.1f MB, want at most 40", float64(got)/1e6)
	}
}

func BenchmarkKeys(b *testing.B) {
	const rows = 10_000_000
	var size int64
	for b.Loop() {
		size, _, _ = filledSize(rows)
	}
	b.ReportMetric(float64(size)/1e6, "MB")
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// filledSize is how much less the heap has when a filled table is let go. To
// compare with the heap before it was made would count what other tests leave.
func filledSize(rows int) (size int64, entries, repeats int) {
	table := newKeyTable()
	fillKeys(table, rows)
	with := heap()
	entries, repeats = int(table.entries), int(table.repeats)
	runtime.KeepAlive(table)
	return with - heap(), entries, repeats
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // what pools hold goes with the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
