package actors_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"importer"
	"importer/actors"
	"importer/internal/csvfile"
)

func TestImportWritesEveryKeyOnceWithItsLastRow(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	text, want := file(30_000, 19_001)
	id := b.upload(importer.NewImport{BatchRows: 1_000}, text)
	imp := b.await(id, importer.Completed)
	b.checkCounts(imp, importer.Counts{Rows: 30_000, Created: 19_001, Duplicates: 10_999})
	b.checkCatalogue(want)
	until(t, "the file to be removed", func() bool { return !b.spool.has(id) })
}

func TestImportAgainChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	text, want := file(5_000, 4_000)
	b.await(b.upload(importer.NewImport{}, text), importer.Completed)
	imp := b.await(b.upload(importer.NewImport{}, text), importer.Completed)
	b.checkCounts(imp, importer.Counts{Rows: 5_000, Unchanged: 4_000, Duplicates: 1_000})
	b.checkCatalogue(want)
}

func TestImportRecordsRejectsByLine(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	var text strings.Builder
	text.WriteString("sku,name\n")
	for i := range 3_000 {
		if i%3 == 0 {
			fmt.Fprintf(&text, ",no sku %d\n", i)
		} else {
			fmt.Fprintf(&text, "s%d,n\n", i)
		}
	}
	id := b.upload(importer.NewImport{}, text.String())
	b.checkCounts(b.await(id, importer.Completed), importer.Counts{Rows: 3_000, Created: 2_000, Rejected: 1_000})
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	rejects := b.store.imports[id].rejects
	if len(rejects) != 1_000 {
		t.Errorf("got %d rejects, want 1000", len(rejects))
	}
	for i := 0; i < 3_000; i += 3 {
		if r := rejects[int64(i+2)]; r.Reason != importer.ReasonMissingSKU || string(r.Raw) != fmt.Sprintf(",no sku %d", i) {
			t.Fatalf("line %d: got %+v", i+2, r)
		}
	}
}

func TestImportOfAFileThatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		code       importer.Code
		counts     importer.Counts
	}{
		{"empty", "", importer.EmptyFile, importer.Counts{}},
		{"header only", "sku,name\n", importer.NoDataRows, importer.Counts{}},
		{"no sku column", "a,b\n1,2\n", importer.MissingColumn, importer.Counts{}},
		{"no valid row", "sku,name\n,x\n,y\n", importer.NoValidRows, importer.Counts{Rows: 2, Rejected: 2}},
		{"not a csv", "PK\x03\x04 and so on", importer.UnsupportedFormat, importer.Counts{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			imp := b.await(b.upload(importer.NewImport{}, c.text), importer.Failed)
			if imp.Error.Code != c.code || imp.Error.Retry || !strings.Contains(imp.Error.Message, "Nothing was written") {
				t.Errorf("got %+v, want code %s without retry", imp.Error, c.code)
			}
			b.checkCounts(imp, c.counts)
			b.checkCatalogue(map[string]string{})
		})
	}
}

func TestImportTooLargeWritesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, func(_ *bundle, o *actors.Options) { o.MaxFileBytes = 100_000 })
	text, _ := file(5_000, 5_000)
	imp := b.await(b.upload(importer.NewImport{}, text), importer.Failed)
	if imp.Error.Code != importer.TooLarge {
		t.Errorf("got %+v, want %s", imp.Error, importer.TooLarge)
	}
	b.checkCatalogue(map[string]string{})
}

// A dry run reads twice only when there are repeats to count exactly.
func TestDryRunCountsAndWritesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		distinct, opens int
	}{{4_000, 2}, {5_000, 1}} {
		b := setup(t, nil)
		text, _ := file(5_000, c.distinct)
		imp := b.await(b.upload(importer.NewImport{DryRun: true}, text), importer.Completed)
		b.checkCounts(imp, importer.Counts{Rows: 5_000, Duplicates: int64(5_000 - c.distinct)})
		b.checkCatalogue(map[string]string{})
		if b.spool.opens != c.opens {
			t.Errorf("%d distinct: file was read %d times, want %d", c.distinct, b.spool.opens, c.opens)
		}
	}
}

func TestScanGoesOnWhileTheUploadGrows(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	text, want := file(20_000, 12_000)
	id := b.begin(importer.NewImport{Size: int64(len(text))}).ID
	w := b.watch(importer.ImportTopic(id))
	half := len(text) / 2 // in the middle of a row
	b.append(id, text[:half])
	until(t, "rows to be scanned during the upload", func() bool { return w.progress().RowsScanned > 5_000 })
	if u := w.progress(); u.Phase != importer.PhaseUploading || u.RowsTotal != 0 {
		t.Errorf("got %+v, want the phase uploading without a total", u)
	}
	b.append(id, text[half:])
	until(t, "all rows to be scanned", func() bool { return w.progress().RowsScanned >= 18_000 })
	if got := b.state(id); got != importer.Uploading {
		t.Errorf("state is %s before the upload is whole, want uploading", got)
	}
	b.checkCatalogue(map[string]string{}) // nothing is written before that
	b.finish(id)
	b.checkCounts(b.await(id, importer.Completed), importer.Counts{Rows: 20_000, Created: 12_000, Duplicates: 8_000})
	b.checkCatalogue(want)
	if b.spool.opens != 2 {
		t.Errorf("file was read %d times, want 2: the scan was not done again", b.spool.opens)
	}
}

// The upload's last part may arrive at another machine.
func TestUploadEndedElsewhereIsNoticed(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	text, want := file(1_000, 1_000)
	id := b.begin(importer.NewImport{Size: int64(len(text))}).ID
	b.append(id, text)
	if err := b.spool.Seal(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := b.store.Uploaded(t.Context(), id, int64(len(text))); err != nil {
		t.Fatal(err)
	}
	// Nobody calls Wake.
	b.await(id, importer.Completed)
	b.checkCatalogue(want)
}

func TestFileThatShrankIsNotWritten(t *testing.T) {
	t.Parallel()
	text, _ := file(3_000, 3_000)
	var opens atomic.Int64
	b := setup(t, func(_ *bundle, o *actors.Options) {
		o.OpenRows = func(source io.Reader, mapping map[string]string, limit int64) importer.RowReader {
			if opens.Add(1) == 2 {
				source = strings.NewReader(text[:len(text)/2])
			}
			return csvfile.Open(source, mapping, limit)
		}
	})
	imp := b.await(b.upload(importer.NewImport{}, text), importer.Failed)
	if imp.Error.Code != importer.StorageLost {
		t.Errorf("got %+v, want %s", imp.Error, importer.StorageLost)
	}
}

// Memory is bounded by what is in flight: rows that were read and are neither
// written nor dropped. Writers that never come back must stop the reader.
func TestRowsInFlightAreBounded(t *testing.T) {
	t.Parallel()
	const rows, batch, writers = 400_000, 1_000, 2
	release := make(chan struct{})
	var merged, highest atomic.Int64
	var pass, reading atomic.Int64
	b := setup(t, func(b *bundle, o *actors.Options) {
		o.Writers = writers
		o.OpenRows = func(io.Reader, map[string]string, int64) importer.RowReader {
			if pass.Add(1) == 1 {
				return &madeRows{n: rows}
			}
			return &madeRows{n: rows, yield: func(n int) {
				reading.Store(int64(n))
				highest.Store(max(highest.Load(), int64(n)-merged.Load()))
			}}
		}
		b.store.beforeMerge = func(ctx context.Context, batch importer.Batch) error {
			select {
			case <-release:
			case <-ctx.Done():
				return ctx.Err()
			}
			merged.Add(int64(len(batch.Rows)))
			return nil
		}
	})
	id := b.upload(importer.NewImport{BatchRows: batch}, "any")
	// One window is cut, its batches wait, and the reader stands still.
	until(t, "the reader to have filled a window", func() bool { return reading.Load() >= 100_000 })
	for range 200 {
		release <- struct{}{} // 200 batches, while the reader follows
	}
	close(release)
	b.checkCounts(b.await(id, importer.Completed), importer.Counts{Rows: rows, Created: rows})
	// A window that fills, what the writers hold, and two chunks on the way.
	const bound = 100_000 + writers*2*batch + 3*2_000
	if got := highest.Load(); got > bound || got < 100_000 {
		t.Errorf("%d rows were in flight, want at most %d", got, bound)
	}
}

// madeRows yields n valid rows with keys of their own.
type madeRows struct {
	n, at int
	yield func(n int)
}

func (r *madeRows) Head() (importer.Head, error) {
	return importer.Head{Encoding: "utf-8", Delimiter: ",", Mapping: map[string]string{"sku": "sku", "name": "name"}}, nil
}

func (r *madeRows) Next() (importer.Record, error) {
	if r.at == r.n {
		return importer.Record{}, io.EOF
	}
	r.at++
	if r.yield != nil {
		r.yield(r.at)
	}
	sku := fmt.Sprintf("s%07d", r.at*7919%r.n)
	return importer.Record{Row: importer.Row{SKU: sku, Key: sku, Name: "n"}}, nil
}

func (r *madeRows) Offset() int64 { return int64(r.at) }

func (b *bundle) checkCounts(imp importer.Import, want importer.Counts) {
	b.t.Helper()
	if diff := cmp.Diff(want, imp.Counts); diff != "" {
		b.t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func (b *bundle) state(id uuid.UUID) importer.State {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	return b.store.imports[id].State
}
