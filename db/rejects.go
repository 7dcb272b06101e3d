package db

import (
	"context"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"importer"
)

// What EachReject reads at a time: at most so many rows, and no further row
// once the raw records reach so many bytes.
const (
	rejectPageRows  = 1000
	rejectPageBytes = 4 << 20
)

type rejectRow struct {
	bun.BaseModel `bun:"table:import_rejects,alias:r"`

	ImportID uuid.UUID `bun:",pk"`
	Line     int64     `bun:",pk"`
	Reason   string
	Field    string
	SKU      string
	Name     string
	Raw      []byte
}

func (r *rejectRow) toReject() importer.Reject {
	return importer.Reject{Line: r.Line, Reason: r.Reason, Field: r.Field, SKU: r.SKU, Name: r.Name, Raw: r.Raw}
}

// AddRejects records rejected rows; rows already recorded are skipped, so a
// second scan of the file may add them again.
func (d *DB) AddRejects(ctx context.Context, id uuid.UUID, epoch int64, rejects []importer.Reject) error {
	if len(rejects) == 0 {
		return nil
	}
	rows := make([]rejectRow, len(rejects))
	for i, r := range rejects {
		rows[i] = rejectRow{ImportID: id, Line: r.Line, Reason: r.Reason, Field: r.Field, SKU: cleanText(r.SKU), Name: cleanText(r.Name), Raw: r.Raw}
	}
	err := d.write(ctx, func(ctx context.Context, t *tx) error {
		held, err := t.NewSelect().Model((*importRow)(nil)).
			Where("id = ?", id).Where("epoch = ?", epoch).Where("owner IS NOT NULL").
			Where("state IN ('uploading', 'queued', 'scanning', 'writing')").
			For("SHARE").Exists(ctx)
		if err != nil {
			return err
		}
		if !held {
			return importer.ErrLeaseLost
		}
		_, err = t.NewInsert().Model(&rows).On("CONFLICT DO NOTHING").Exec(ctx)
		return err
	})
	return domain("add rejects", err)
}

// Rejects lists rejected rows by line, those after line `after`, without Raw.
func (d *DB) Rejects(ctx context.Context, id uuid.UUID, after int64, limit int) (importer.Page[importer.Reject], error) {
	page := importer.Page[importer.Reject]{Items: []importer.Reject{}}
	if _, err := d.Import(ctx, id); err != nil {
		return page, err
	}
	total, err := d.bun.NewSelect().Model((*rejectRow)(nil)).Where("import_id = ?", id).Count(ctx)
	if err != nil {
		return page, domain("count rejects", err)
	}
	page.Total = total

	limit = max(limit, 1)
	var rows []rejectRow
	err = d.bun.NewSelect().Model(&rows).ExcludeColumn("raw").
		Where("import_id = ?", id).Where("line > ?", after).
		OrderExpr("line").Limit(int64(limit) + 1).Scan(ctx)
	if err != nil {
		return page, domain("list rejects", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next := strconv.FormatInt(rows[limit-1].Line, 10)
		page.Next = &next
	}
	for i := range rows {
		page.Items = append(page.Items, rows[i].toReject())
	}
	return page, nil
}

// EachReject calls f with every rejected row, Raw included, by line. It holds
// no connection while f runs, for f may write to a slow client, and reads by
// rows and bytes, for a record may have 4 MiB.
func (d *DB) EachReject(ctx context.Context, id uuid.UUID, f func(importer.Reject) error) error {
	if _, err := d.Import(ctx, id); err != nil {
		return err
	}
	for after := int64(-1); ; {
		var rows []rejectRow
		err := d.bun.NewRaw(`
			SELECT * FROM (
				SELECT *, coalesce(sum(length(raw)) OVER (ORDER BY line ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS bytes_before
				FROM (SELECT * FROM import_rejects WHERE import_id = ? AND line > ? ORDER BY line LIMIT ?) AS page
			) AS sized
			WHERE bytes_before < ? ORDER BY line`,
			id, after, rejectPageRows, rejectPageBytes).Scan(ctx, &rows)
		if err != nil {
			return domain("read rejects", err)
		}
		if len(rows) == 0 {
			return nil
		}
		for i := range rows {
			if err := f(rows[i].toReject()); err != nil {
				return err
			}
		}
		after = rows[len(rows)-1].Line
	}
}

// RejectHead returns what a file of rejected rows begins with.
func (d *DB) RejectHead(ctx context.Context, id uuid.UUID) (importer.Head, error) {
	r := new(importRow)
	if err := d.bun.NewSelect().Model(r).Where("id = ?", id).Scan(ctx); err != nil {
		return importer.Head{}, domain("read header", err)
	}
	return importer.Head{Encoding: r.Encoding, Delimiter: r.Delimiter, Mapping: notNil(r.Mapping), Columns: r.Columns, Raw: r.Header}, nil
}

// cleanText makes what could be read of a broken record fit a text column.
func cleanText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
