package actors_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"importer"
)

func TestImportWritesEveryKeyOnceWithItsLastRow(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	text, want := file(30_000, 19_001)
	id := b.upload(importer.NewImport{BatchRows: 1_000}, text)
	imp := b.await(id, importer.Completed)
	wantCounts := importer.Counts{Rows: 30_000, Created: 19_001, Duplicates: 10_999}
	if diff := cmp.Diff(wantCounts, imp.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	b.checkCatalogue(want)
	until(t, "the file to be removed", func() bool { return !b.spool.has(id) })
}
