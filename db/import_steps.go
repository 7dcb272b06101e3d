package db

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"importer"
)

// StartScan moves a whole file's import to scanning. After a takeover the
// import is there already, or further on, and stays as it is.
func (d *DB) StartScan(ctx context.Context, id uuid.UUID, epoch int64) (importer.Import, error) {
	i, err := d.step(ctx, id, epoch, func(_ context.Context, _ *tx, r *importRow) (string, error) {
		switch r.State {
		case importer.Scanning, importer.Writing:
			return "", nil
		case importer.Queued:
			at := d.now()
			r.State, r.StartedAt = importer.Scanning, &at
			return importer.EventImportStarted, nil
		}
		return "", stateConflict(r, "it cannot start before the file is whole")
	})
	return i, domain("start scan", err)
}

// StartWrite records the scan and moves to writing, where it may be already.
func (d *DB) StartWrite(ctx context.Context, id uuid.UUID, epoch int64, s importer.Scan) (importer.Import, error) {
	i, err := d.step(ctx, id, epoch, func(ctx context.Context, t *tx, r *importRow) (string, error) {
		if r.State != importer.Scanning && r.State != importer.Writing {
			return "", stateConflict(r, "it cannot write before it is scanned")
		}
		if err := t.passWritingGate(ctx); err != nil {
			return "", err
		}
		r.learn(s)
		scanned := r.Progress
		scanned.Phase, scanned.RowsScanned, scanned.RowsTotal = importer.PhaseWriting, s.Rows, validRows(s)
		r.Progress = r.Progress.Fold(scanned)
		if r.State == importer.Writing {
			return "", nil
		}
		r.State = importer.Writing
		return importer.EventImportWriting, nil
	})
	return i, domain("start to write", err)
}

// Complete ends the import with the counts of its ledger, which must account
// for every row. A dry run ends after its scan and wrote nothing.
func (d *DB) Complete(ctx context.Context, id uuid.UUID, epoch int64, s importer.Scan) (importer.Import, error) {
	i, err := d.step(ctx, id, epoch, func(ctx context.Context, t *tx, r *importRow) (string, error) {
		last := importer.Writing
		if r.DryRun {
			last = importer.Scanning
		}
		if r.State != last {
			return "", stateConflict(r, "it cannot complete yet")
		}
		written, err := ledgerSum(ctx, t, id)
		if err != nil {
			return "", err
		}
		if valid := validRows(s); !r.DryRun && written.Written() != valid {
			return "", fmt.Errorf("the ledger accounts for %d rows of %d: %w", written.Written(), valid, importer.ErrLedgerShort)
		}
		r.learn(s)
		r.end(importer.Completed, written, d.now())
		done := r.Progress
		done.Phase, done.RowsScanned, done.RowsDone = importer.PhaseComplete, s.Rows, written.Written()
		done.RowsTotal = done.RowsDone
		r.Progress = r.Progress.Fold(done)
		return importer.EventImportCompleted, nil
	})
	return i, domain("complete import", err)
}

// Fail ends the import with the reason; s is what was known of the file.
func (d *DB) Fail(ctx context.Context, id uuid.UUID, epoch int64, s importer.Scan, why importer.ImportError) (importer.Import, error) {
	i, err := d.step(ctx, id, epoch, func(ctx context.Context, t *tx, r *importRow) (string, error) {
		written, err := ledgerSum(ctx, t, id)
		if err != nil {
			return "", err
		}
		r.learn(s)
		r.Error = &why
		r.end(importer.Failed, written, d.now())
		return importer.EventImportFailed, nil
	})
	return i, domain("fail import", err)
}

// step is changeImport for whoever holds the lease of that epoch.
func (d *DB) step(ctx context.Context, id uuid.UUID, epoch int64, change func(ctx context.Context, t *tx, r *importRow) (string, error)) (importer.Import, error) {
	return d.changeImport(ctx, id, func(ctx context.Context, t *tx, r *importRow) (string, error) {
		if r.Epoch != epoch || r.Owner == nil || r.State.Ended() {
			return "", importer.ErrLeaseLost
		}
		return change(ctx, t, r)
	})
}

// validRows is how many rows a scan leaves to write.
func validRows(s importer.Scan) int64 { return s.Rows - s.Duplicates - s.Rejected }
