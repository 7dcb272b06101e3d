package db

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"importer"
)

// importRow is a row of imports, but for the columns that live by the
// database's clock (lease_until, not_before, bytes_at): SQL sets and compares
// those, and they never come to Go.
type importRow struct {
	bun.BaseModel `bun:"table:imports,alias:i"`

	ID        uuid.UUID `bun:",pk"`
	Filename  string
	Size      int64
	State     importer.State
	DryRun    bool
	Resumable bool
	BatchRows int

	Encoding  string
	Delimiter string
	Mapping   map[string]string `bun:"type:jsonb"`
	Columns   []string          `bun:"type:jsonb"`
	Header    []byte

	Rows       int64
	Created    int64
	Updated    int64
	Unchanged  int64
	Duplicates int64
	Rejected   int64
	Progress   importer.Progress     `bun:"type:jsonb"`
	Error      *importer.ImportError `bun:"type:jsonb"`

	Owner       *uuid.UUID
	Epoch       int64
	Attempts    int
	StuckClaims int
	StuckAt     int64

	// What was told of Created and Updated when the import ended before, and
	// what is new now that it ends.
	ToldCreated int64
	ToldUpdated int64
	NewCreated  int64 `bun:"-"`
	NewUpdated  int64 `bun:"-"`

	CreatedAt  time.Time
	UploadedAt *time.Time
	StartedAt  *time.Time
	FinishedAt *time.Time
}

func (r *importRow) toImport() importer.Import {
	return importer.Import{
		ID: r.ID, Filename: r.Filename, Size: r.Size, State: r.State,
		DryRun: r.DryRun, Resumable: r.Resumable,
		Counts: importer.Counts{
			Rows: r.Rows, Created: r.Created, Updated: r.Updated, Unchanged: r.Unchanged,
			Duplicates: r.Duplicates, Rejected: r.Rejected,
		},
		Progress: r.Progress,
		Encoding: r.Encoding, Delimiter: r.Delimiter, Mapping: notNil(r.Mapping),
		Error: r.Error, Attempts: r.Attempts, Whole: r.UploadedAt != nil,
		CreatedAt: r.CreatedAt.UTC(), StartedAt: utc(r.StartedAt), FinishedAt: utc(r.FinishedAt),
	}
}

func (r *importRow) toClaim() importer.Claim {
	return importer.Claim{Import: r.toImport(), Epoch: r.Epoch, BatchRows: r.BatchRows}
}

// learn takes in what a scan found. A scan that ended before the head was
// understood leaves the mapping as it was.
func (r *importRow) learn(s importer.Scan) {
	r.Encoding, r.Delimiter, r.Header = s.Encoding, s.Delimiter, s.Raw
	if s.Columns != nil {
		r.Columns = s.Columns
	}
	if s.Mapping != nil {
		r.Mapping = s.Mapping
	}
	r.Rows, r.Duplicates, r.Rejected = s.Rows, s.Duplicates, s.Rejected
}

// end moves the import to a final state. written is the ledger's sum, read
// under the row's lock: no batch can be added after it.
func (r *importRow) end(state importer.State, written importer.Counts, at time.Time) {
	r.State = state
	r.Created, r.Updated, r.Unchanged = written.Created, written.Updated, written.Unchanged
	r.NewCreated, r.NewUpdated = written.Created-r.ToldCreated, written.Updated-r.ToldUpdated
	r.ToldCreated, r.ToldUpdated = written.Created, written.Updated
	r.Owner = nil
	r.FinishedAt = &at
	r.Progress.RowsPerSecond, r.Progress.Notice = 0, ""
}

// changeImport locks an import, lets change alter it and saves it. change
// returns the kind of the event, or "" when nobody needs to hear of it.
func (d *DB) changeImport(ctx context.Context, id uuid.UUID, change func(ctx context.Context, t *tx, r *importRow) (kind string, err error)) (importer.Import, error) {
	var result importer.Import
	err := d.write(ctx, func(ctx context.Context, t *tx) error {
		r := new(importRow)
		if err := t.NewSelect().Model(r).Where("id = ?", id).For("UPDATE").Scan(ctx); err != nil {
			return err
		}
		kind, err := change(ctx, t, r)
		if err != nil {
			return err
		}
		if _, err := t.NewUpdate().Model(r).WherePK().Exec(ctx); err != nil {
			return err
		}
		result = r.toImport()
		if kind == "" {
			return nil
		}
		return t.announce(kind, r, d.now())
	})
	return result, err
}

func notNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
