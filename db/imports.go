package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"importer"
)

// keepFiles is how long the file of a failed or cancelled import is kept for
// a retry.
const keepFiles = 7 * 24 * time.Hour

// CreateImport registers an upload that begins, owned by node.
func (d *DB) CreateImport(ctx context.Context, n importer.NewImport, node uuid.UUID) (importer.Claim, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return importer.Claim{}, err
	}
	if n.BatchRows == 0 {
		n.BatchRows = importer.DefaultBatchRows
	}
	r := &importRow{
		ID: id, Filename: n.Filename, Size: n.Size, State: importer.Uploading,
		DryRun: n.DryRun, Resumable: n.Resumable, BatchRows: n.BatchRows,
		Mapping: notNil(n.Mapping), Columns: []string{},
		Progress: importer.Progress{Phase: importer.PhaseUploading, BytesTotal: n.Size},
		Owner:    &node, Epoch: 1, Attempts: 1,
		CreatedAt: d.now(),
	}
	err = d.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.NewInsert().Model(r).Value("lease_until", "now() + ?::interval", leaseTime).Exec(ctx)
		if err != nil {
			return err
		}
		return t.announce(importer.EventImportCreated, r, r.CreatedAt)
	})
	return r.toClaim(), domain("create import", err)
}

// Import returns an import.
func (d *DB) Import(ctx context.Context, id uuid.UUID) (importer.Import, error) {
	r := new(importRow)
	if err := d.bun.NewSelect().Model(r).Where("id = ?", id).Scan(ctx); err != nil {
		return importer.Import{}, domain("read import", err)
	}
	return r.toImport(), nil
}

// Imports lists imports, newest first. Ids are v7, so they sort by time.
func (d *DB) Imports(ctx context.Context, p importer.ImportPage) (importer.Page[importer.Import], error) {
	page := importer.Page[importer.Import]{Items: []importer.Import{}}
	var rows []importRow
	q := d.bun.NewSelect().Model(&rows)
	if len(p.States) > 0 {
		q = q.Where("state IN (?)", bun.List(p.States))
	}
	total, err := q.Count(ctx)
	if err != nil {
		return page, domain("count imports", err)
	}
	page.Total = total

	if p.Before != "" {
		before, err := uuid.Parse(p.Before)
		if err != nil {
			return page, importer.Errorf(importer.Malformed, "%q is not a cursor of this list.", p.Before)
		}
		q = q.Where("id < ?", before)
	}
	limit := min(max(p.Limit, 1), 100)
	if err := q.OrderExpr("id DESC").Limit(int64(limit) + 1).Scan(ctx); err != nil {
		return page, domain("list imports", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next := rows[limit-1].ID.String()
		page.Next = &next
	}
	for _, r := range rows {
		page.Items = append(page.Items, r.toImport())
	}
	return page, nil
}

// Uploaded says that the file is whole and safe: uploading to queued. A node
// that scans it already keeps its claim and goes on. Said again it changes
// nothing: whoever did not hear the answer may ask once more.
func (d *DB) Uploaded(ctx context.Context, id uuid.UUID, size int64) (importer.Import, error) {
	i, err := d.changeImport(ctx, id, func(_ context.Context, _ *tx, r *importRow) (string, error) {
		switch {
		case r.State == importer.Cancelled:
			return "", importer.Errorf(importer.Conflict, "The import was cancelled while its file was uploading.")
		case r.State != importer.Uploading && r.UploadedAt != nil && r.Size == size:
			return "", nil
		case r.State != importer.Uploading:
			return "", stateConflict(r, "its upload has ended before")
		}
		at := d.now()
		r.State, r.Size, r.UploadedAt = importer.Queued, size, &at
		whole := r.Progress
		whole.Phase, whole.Bytes, whole.BytesTotal = importer.PhaseParsing, size, size
		r.Progress = r.Progress.Fold(whole)
		return importer.EventImportQueued, nil
	})
	return i, domain("end upload", err)
}

// UploadFailed ends an import whose file will not come.
func (d *DB) UploadFailed(ctx context.Context, id uuid.UUID, why importer.ImportError) error {
	_, err := d.changeImport(ctx, id, func(_ context.Context, _ *tx, r *importRow) (string, error) {
		if r.State != importer.Uploading {
			return "", stateConflict(r, "its upload has ended before")
		}
		r.Error = &why
		r.end(importer.Failed, importer.Counts{}, d.now())
		return importer.EventImportFailed, nil
	})
	return domain("fail upload", err)
}

// CancelImport ends an import at once. The state changes under the lock that
// every batch takes with its last statement, so a batch in flight is either
// in the counts returned here or rolled back.
func (d *DB) CancelImport(ctx context.Context, id uuid.UUID) (importer.Import, error) {
	i, err := d.changeImport(ctx, id, func(ctx context.Context, t *tx, r *importRow) (string, error) {
		if r.State.Ended() {
			return "", stateConflict(r, "there is nothing to cancel")
		}
		written, err := ledgerSum(ctx, t, id)
		if err != nil {
			return "", err
		}
		r.end(importer.Cancelled, written, d.now())
		return importer.EventImportCancelled, nil
	})
	return i, domain("cancel import", err)
}

// RetryImport queues a failed or cancelled import again. The ledger stays:
// batches that were written are skipped. So do the rejects, which the new
// scan records again.
func (d *DB) RetryImport(ctx context.Context, id uuid.UUID) (importer.Import, error) {
	i, err := d.changeImport(ctx, id, func(ctx context.Context, t *tx, r *importRow) (string, error) {
		switch {
		case r.State != importer.Failed && r.State != importer.Cancelled:
			return "", stateConflict(r, "only one that failed or was cancelled can be retried")
		case r.UploadedAt == nil:
			return "", importer.Errorf(importer.Conflict, "The file did not arrive whole, so there is nothing to retry. Upload it again.")
		case r.Error != nil && !r.Error.Retry:
			return "", importer.Errorf(importer.Conflict, "A retry of the same file would fail again. Correct the file and upload it.")
		case r.FinishedAt != nil && d.now().Sub(*r.FinishedAt) > keepFiles:
			return "", importer.Errorf(importer.Conflict, "The file is no longer kept. Upload it again.")
		}
		r.State, r.Error, r.Owner, r.StartedAt, r.FinishedAt = importer.Queued, nil, nil, nil, nil
		r.Epoch++
		r.Attempts, r.StuckClaims, r.StuckAt = 0, 0, 0
		r.Progress = importer.Progress{
			Phase: importer.PhaseParsing, Percent: r.Progress.Percent,
			Bytes: r.Progress.Bytes, BytesTotal: r.Progress.BytesTotal,
		}
		_, err := t.NewUpdate().Table("imports").Set("not_before = now()").Where("id = ?", id).Exec(ctx)
		return importer.EventImportQueued, err
	})
	return i, domain("retry import", err)
}

func stateConflict(r *importRow, why string) error {
	return importer.Errorf(importer.Conflict, "%s", fmt.Sprintf("The import is %s: %s.", r.State, why))
}
