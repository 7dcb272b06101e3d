package importer_test

import (
	"testing"

	"pgregory.net/rapid"

	"importer"
)

// Whatever arrives in whatever order, the bar never moves back, and only a
// completed import is at 100.
func TestFoldNeverGoesBack(t *testing.T) {
	t.Parallel()
	figure := rapid.Int64Range(0, 1_000)
	rapid.Check(t, func(t *rapid.T) {
		var shown importer.Progress
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			next := shown.Fold(importer.Progress{
				Phase:        rapid.SampledFrom([]importer.Phase{importer.PhaseUploading, importer.PhaseParsing, importer.PhaseWriting}).Draw(t, "phase"),
				Bytes:        figure.Draw(t, "bytes"),
				BytesTotal:   figure.Draw(t, "bytes total"),
				BytesScanned: figure.Draw(t, "scanned"),
				RowsDone:     figure.Draw(t, "done"),
				RowsTotal:    figure.Draw(t, "total"),
			})
			if next.Percent < shown.Percent || next.Bytes < shown.Bytes || next.BytesScanned < shown.BytesScanned || next.RowsDone < shown.RowsDone {
				t.Fatalf("from %+v back to %+v", shown, next)
			}
			if next.Percent >= 100 {
				t.Fatalf("%v percent before the end", next.Percent)
			}
			shown = next
		}
		if got := shown.Fold(importer.Progress{Phase: importer.PhaseComplete}).Percent; got != 100 {
			t.Fatalf("complete at %v percent", got)
		}
	})
}

func TestPercentOfTheThreeKindsOfWork(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p    importer.Progress
		want float64
	}{
		{importer.Progress{}, 0},
		{importer.Progress{Bytes: 50}, 0}, // total not known yet
		{importer.Progress{Bytes: 50, BytesTotal: 100}, 7.5},
		{importer.Progress{Bytes: 100, BytesTotal: 100, BytesScanned: 100}, 30},
		{importer.Progress{Bytes: 100, BytesTotal: 100, BytesScanned: 100, RowsDone: 5, RowsTotal: 10}, 65},
		{importer.Progress{Bytes: 100, BytesTotal: 100, BytesScanned: 100, RowsDone: 10, RowsTotal: 10}, 99.9},
	} {
		if got := (importer.Progress{}).Fold(c.p).Percent; got != c.want {
			t.Errorf("%+v: got %v %%, want %v", c.p, got, c.want)
		}
	}
}
