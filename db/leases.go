package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"importer"
)

// leaseTime is importer.LeaseTime as an interval of Postgres.
var leaseTime = interval(importer.LeaseTime)

// maxStuckClaims is how many claims in a row may end without the import
// having got further: then it is the import that breaks its machines.
const maxStuckClaims = 5

// ClaimImports takes up to limit imports that are due and unowned, oldest
// first. One that got stuck again and again is failed instead.
func (d *DB) ClaimImports(ctx context.Context, node uuid.UUID, limit int) ([]importer.Claim, error) {
	var claims []importer.Claim
	err := d.write(ctx, func(ctx context.Context, t *tx) error {
		claims = nil
		var due []importRow
		err := t.NewSelect().Model(&due).
			Where("state IN ('queued', 'scanning', 'writing')").
			Where("not_before <= now()").
			Where("owner IS NULL OR lease_until <= now()").
			OrderExpr("id").Limit(int64(limit)).For("UPDATE SKIP LOCKED").Scan(ctx)
		if err != nil {
			return err
		}
		var ids []uuid.UUID
		for i := range due {
			r := &due[i]
			expired := r.Owner != nil
			kind, err := d.claim(ctx, t, r, node)
			if err != nil {
				return err
			}
			if _, err := t.NewUpdate().Model(r).WherePK().Exec(ctx); err != nil {
				return err
			}
			if kind != "" {
				if err := t.announce(kind, r, d.now()); err != nil {
					return err
				}
			}
			if !r.State.Ended() {
				ids = append(ids, r.ID)
				c := r.toClaim()
				c.Expired = expired
				claims = append(claims, c)
			}
		}
		if len(ids) == 0 {
			return nil
		}
		_, err = t.NewUpdate().Table("imports").Set("lease_until = now() + ?::interval", leaseTime).
			Where("id IN (?)", bun.List(ids)).Exec(ctx)
		return err
	})
	if err != nil {
		return nil, domain("claim imports", err)
	}
	return claims, nil
}

// Renew keeps the lease and saves progress. Percent does not fall below what
// is saved, so that it also holds across a takeover.
func (d *DB) Renew(ctx context.Context, id uuid.UUID, epoch int64, p importer.Progress, c importer.Counts) error {
	progress, err := json.Marshal(p)
	if err != nil {
		return domain("renew lease", err)
	}
	var tell bool
	err = d.bun.NewUpdate().Table("imports").
		Set("lease_until = now() + ?::interval", leaseTime).
		Set("bytes_at = CASE WHEN (progress->>'bytes')::bigint < ? THEN now() ELSE bytes_at END", p.Bytes).
		Set("progress = ?::jsonb || jsonb_build_object('percent', greatest((progress->>'percent')::float8, ?::float8))", string(progress), p.Percent).
		Set("rows = ?, created = ?, updated = ?, unchanged = ?, duplicates = ?, rejected = ?",
			c.Rows, c.Created, c.Updated, c.Unchanged, c.Duplicates, c.Rejected).
		Where("id = ?", id).Where("epoch = ?", epoch).Where("owner IS NOT NULL").
		Where("state IN ('uploading', 'queued', 'scanning', 'writing')").
		Returning(progressDue, progressEvery).
		Scan(ctx, &tell)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return importer.ErrLeaseLost
	case err != nil:
		return domain("renew lease", err)
	case tell:
		return domain("tell progress", d.tellProgress(ctx, id, epoch))
	}
	return nil
}

// progressEvery is importer.ProgressEvery as an interval of Postgres.
var progressEvery = interval(importer.ProgressEvery)

// progressDue asks whether a webhook wants to hear of an import's progress now.
var progressDue = "progress_told <= now() - ?::interval AND EXISTS (SELECT FROM webhooks WHERE " + wantedBy("'"+importer.EventImportProgress+"'") + ")"

// tellProgress leaves an import.progress for webhooks.
func (d *DB) tellProgress(ctx context.Context, id uuid.UUID, epoch int64) error {
	return d.write(ctx, func(ctx context.Context, t *tx) error {
		r := new(importRow)
		err := t.NewUpdate().Model(r).Set("progress_told = now()").
			Where("id = ?", id).Where("epoch = ?", epoch).Where("progress_told <= now() - ?::interval", progressEvery).
			Returning("*").Scan(ctx)
		if err != nil {
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			return err
		}
		row, err := newOutboxRow(importer.EventImportProgress, d.now(), importer.ImportEvent{Import: r.toImport()})
		if err != nil {
			return err
		}
		_, err = t.NewInsert().Model(&row).Exec(ctx)
		return err
	})
}

// Release gives the import back, for anyone to claim from notBefore on.
func (d *DB) Release(ctx context.Context, id uuid.UUID, epoch int64, notBefore time.Time) error {
	wait := interval(max(0, notBefore.Sub(d.now())))
	_, err := d.step(ctx, id, epoch, func(ctx context.Context, t *tx, r *importRow) (string, error) {
		r.Owner = nil
		_, err := t.NewUpdate().Table("imports").Set("not_before = now() + ?::interval", wait).Where("id = ?", id).Exec(ctx)
		return "", err
	})
	return domain("release lease", err)
}

// ForgottenUploads fails uploads that nothing will continue: those in one
// piece whose machine is gone, and resumable ones that have not grown for as
// long as older. It returns the imports of the last 30 days whose files are
// no longer needed, again on every call, so that a file is removed even if
// the machine that was told first has died.
func (d *DB) ForgottenUploads(ctx context.Context, older time.Duration) ([]uuid.UUID, error) {
	err := d.write(ctx, func(ctx context.Context, t *tx) error {
		var lost []importRow
		err := t.NewSelect().Model(&lost).
			Where("state = 'uploading'").
			Where("CASE WHEN resumable THEN bytes_at < now() - ?::interval ELSE owner IS NULL OR lease_until <= now() END", interval(older)).
			OrderExpr("id").Limit(100).For("UPDATE SKIP LOCKED").Scan(ctx)
		if err != nil {
			return err
		}
		for i := range lost {
			r := &lost[i]
			r.Error = &importer.ImportError{
				Code:    importer.UploadIncomplete,
				Message: "The upload broke off before the file was whole. Nothing was imported; upload the file again.",
			}
			r.end(importer.Failed, importer.Counts{}, d.now())
			if _, err := t.NewUpdate().Model(r).WherePK().Exec(ctx); err != nil {
				return err
			}
			if err := t.announce(importer.EventImportFailed, r, d.now()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, domain("fail forgotten uploads", err)
	}

	now := d.now()
	var ids []uuid.UUID
	err = d.bun.NewSelect().Table("imports").Column("id").
		Where("finished_at > ?", now.Add(-30*24*time.Hour)).
		Where("state = 'completed' OR uploaded_at IS NULL OR (error IS NOT NULL AND NOT (error->>'retry')::boolean) OR finished_at < ?", now.Add(-keepFiles)).
		OrderExpr("finished_at").Scan(ctx, &ids)
	if err != nil {
		return nil, domain("list files to remove", err)
	}
	return ids, nil
}

// claim makes node the owner of r, or fails r when it is hopeless.
func (d *DB) claim(ctx context.Context, t *tx, r *importRow, node uuid.UUID) (kind string, err error) {
	far := int64(0)
	if r.State == importer.Writing {
		batches, err := t.NewSelect().Table("import_batches").Where("import_id = ?", r.ID).Count(ctx)
		if err != nil {
			return "", err
		}
		far = 1 + batches
	}
	if far > r.StuckAt {
		r.StuckAt, r.StuckClaims = far, 0
	}
	r.Epoch++
	if r.StuckClaims == maxStuckClaims {
		written, err := ledgerSum(ctx, t, r.ID)
		if err != nil {
			return "", err
		}
		r.Error = &importer.ImportError{
			Code:    importer.PipelineFailed,
			Message: "Five attempts in a row ended without getting any further. What was written before is kept; a retry goes on from there.",
			Retry:   true,
		}
		r.end(importer.Failed, written, d.now())
		return importer.EventImportFailed, nil
	}
	r.StuckClaims++
	r.Attempts++
	r.Owner = &node
	if r.State == importer.Queued {
		return "", nil // StartScan says so
	}
	return importer.EventImportStarted, nil
}

// interval writes a duration as an interval of Postgres.
func interval(d time.Duration) string {
	return strconv.FormatInt(d.Microseconds(), 10) + " microseconds"
}
