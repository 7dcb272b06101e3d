package db_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"importer"
	"importer/db/dbtest"
)

// Whoever did not hear the answer says again that the file is whole.
func TestUploadedAgain(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := dbtest.Open(t)
	for _, state := range []importer.State{importer.Queued, importer.Scanning, importer.Writing, importer.Completed, importer.Failed} {
		c := created(t, d)
		advance(t, d, c, state, 0)
		before, _ := d.Import(ctx, c.ID)
		again, err := d.Uploaded(ctx, c.ID, before.Size)
		if diff := cmp.Diff(before, again); err != nil || diff != "" {
			t.Errorf("in %s: %v (-before +after):\n%s", state, err, diff)
		}
	}
	c := created(t, d)
	advance(t, d, c, importer.Cancelled, 0)
	_, err := d.Uploaded(ctx, c.ID, 1000)
	if e, ok := errors.AsType[*importer.Error](err); !ok || e.Code != importer.Conflict || !strings.Contains(e.Message, "cancelled") {
		t.Errorf("cancelled: got %v, want a conflict that says so", err)
	}
}

// The end of an upload and a cancel, at the same time: whichever comes first,
// the import is cancelled, and its file is whole or not.
func TestCancelAtTheEndOfAnUpload(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := dbtest.Open(t)
	for range 50 {
		c := created(t, d)
		var uploaded error
		var wg sync.WaitGroup
		wg.Go(func() { _, uploaded = d.Uploaded(ctx, c.ID, 1000) })
		cancelled, err := d.CancelImport(ctx, c.ID)
		wg.Wait()
		if err != nil || cancelled.Whole != (uploaded == nil) {
			t.Fatalf("got whole %v (%v), and %v for the upload", cancelled.Whole, err, uploaded)
		}
		if uploaded != nil && importer.ErrorCode(uploaded) != importer.Conflict {
			t.Errorf("got %v for the upload, want a conflict", uploaded)
		}
		if i, err := d.Import(ctx, c.ID); err != nil || i.State != importer.Cancelled {
			t.Errorf("got %s import (%v), want it cancelled", i.State, err)
		}
	}
}
