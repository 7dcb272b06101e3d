package db

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"importer"
)

// The ways to put a batch into the catalogue. The counts are the same.
const (
	// copyIn copies the rows straight into the table: twice as fast as any
	// other way, if all of them are new. One that is not undoes the batch.
	copyIn importer.MergeWay = "copy"
	// filter drops the rows that are there and equal, then upserts the rest,
	// so that importing the same again writes nothing.
	filter importer.MergeWay = "filter"
	// wary is filter after a copy was undone: it takes two batches of new rows
	// in a row, not one, to try that again.
	wary importer.MergeWay = "wary"
	// upsert is filter without its first step, for when it would drop nothing.
	upsert importer.MergeWay = "upsert"
)

// beginBatch sets what holds for the transaction alone, for a pooler may give
// the session to somebody else afterwards.
//
// A batch's commit does not wait for the disk, which makes an import of new
// rows a tenth faster. A crash of Postgres may lose the latest batches, each
// with its ledger row; what completes the import waits, compares the ledger
// with the scan, and has what is missing written again.
//
// A generic plan costs no time for looking at the arrays (5 ms a batch), and
// does not know how long they are, so it looks every key up by the index; one
// that knows tends to scan the whole catalogue for every batch.
const beginBatch = `BEGIN;
	SET LOCAL synchronous_commit = off;
	SET LOCAL plan_cache_mode = force_generic_plan;
	SET LOCAL idle_in_transaction_session_timeout = '10s'`

// recordBatch is the last statement of a batch. It waits for a change of the
// import that is going on and then inserts nothing if the import was ended or
// taken over, so that the ledger never grows behind the back of those.
const recordBatch = `
	WITH recorded AS (
		INSERT INTO import_batches (import_id, batch, created, updated, unchanged)
		SELECT id, $3, $4, $5, $6 FROM imports WHERE id = $1 AND epoch = $2 AND state = 'writing' FOR SHARE
		ON CONFLICT DO NOTHING
		RETURNING created
	), counted AS (
		INSERT INTO product_totals (delta) SELECT created FROM recorded WHERE created > 0
	)
	SELECT FROM recorded`

// Rows are locked in key order, by bytes, as copyIn does: overlapping imports
// wait for each other but never deadlock.
const (
	upsertAll     = givenRows + "SELECT * FROM given" + upsertTodo
	upsertChanged = givenRows + "SELECT given.* FROM given LEFT JOIN products AS p USING (sku_key) WHERE p.id IS NULL OR " +
		"p.sku <> given.sku OR p.name <> given.name OR ($5 AND p.description <> given.description)" + upsertTodo

	givenRows = `
	WITH given AS (
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS given (sku_key, sku, name, description)
	), todo AS (
		`
	upsertTodo = `
	), done AS (
		INSERT INTO products AS p (sku_key, sku, name, description)
		SELECT sku_key, sku, name, description FROM todo ORDER BY sku_key COLLATE "C"
		ON CONFLICT (sku_key) DO UPDATE SET
			sku = excluded.sku, name = excluded.name,
			description = CASE WHEN $5 THEN excluded.description ELSE p.description END,
			version = p.version + 1, updated_at = now()
		WHERE p.sku <> excluded.sku OR p.name <> excluded.name OR ($5 AND p.description <> excluded.description)
		RETURNING xmax = 0 AS created, -- an update leaves its lock in xmax
			sku_key
	)
	SELECT count(*) FILTER (WHERE created), count(*) FILTER (WHERE NOT created),
		-- Which they are, if that has to be exact or they are the smaller part.
		CASE WHEN $6 OR count(*) * 2 < cardinality($1) THEN string_agg(sku_key, E'\n') ELSE '' END
	FROM done`
)

// errNotRecorded means that the ledger did not take the batch.
var errNotRecorded = errors.New("batch not recorded")

// MergeBatch writes one batch and its ledger row in one transaction. A batch
// that an earlier try committed, without its caller hearing of it, is rolled
// back, and the ledger's counts are returned.
func (d *DB) MergeBatch(ctx context.Context, b importer.Batch, way importer.MergeWay) (importer.Merged, error) {
	var m importer.Merged
	err := d.retry(ctx, func() (err error) {
		m, err = d.mergeBatch(ctx, b, way)
		return err
	})
	if errors.Is(err, errNotRecorded) {
		m, err = d.mergedBefore(ctx, b)
	}
	return m, domain(fmt.Sprintf("merge batch %d", b.Number), err)
}

func (d *DB) mergeBatch(ctx context.Context, b importer.Batch, way importer.MergeWay) (importer.Merged, error) {
	if way == "" {
		var err error
		if way, err = d.firstWay(ctx); err != nil {
			return importer.Merged{}, err
		}
	}
	m, err := d.mergeInTx(ctx, b, way)
	if way == copyIn && sqlState(err) == uniqueViolation {
		way = wary
		m, err = d.mergeInTx(ctx, b, way)
	}
	if err != nil {
		return importer.Merged{}, err
	}
	m.Next = nextWay(way, m)
	return m, nil
}

// firstWay decides for a writer that knows nothing of the catalogue.
func (d *DB) firstWay(ctx context.Context) (importer.MergeWay, error) {
	var filled bool
	err := d.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM products)").Scan(&filled)
	if filled {
		return filter, err
	}
	return copyIn, err
}

// nextWay expects the next batch to be like this one.
func nextWay(way importer.MergeWay, m importer.Merged) importer.MergeWay {
	switch {
	case way == copyIn:
		return copyIn
	case m.Updated == 0 && m.Unchanged == 0 && way == wary:
		return filter
	case m.Updated == 0 && m.Unchanged == 0:
		return copyIn
	case way == wary:
		return wary
	case m.Unchanged == 0:
		return upsert
	}
	return filter
}

func (d *DB) mergeInTx(ctx context.Context, b importer.Batch, way importer.MergeWay) (importer.Merged, error) {
	var m importer.Merged
	var changed string
	err := pgx.BeginTxFunc(ctx, d.pool, pgx.TxOptions{BeginQuery: beginBatch}, func(tx pgx.Tx) (err error) {
		tell, err := wantsChanged(ctx, tx)
		if err != nil {
			return err
		}
		switch way {
		case copyIn:
			m.Created, err = copyRows(ctx, tx, b.Rows)
		case upsert:
			m.Created, m.Updated, changed, err = putRows(ctx, tx, b, upsertAll, tell)
		default:
			m.Created, m.Updated, changed, err = putRows(ctx, tx, b, upsertChanged, tell)
		}
		if err != nil {
			return err
		}
		m.Unchanged = int64(len(b.Rows)) - m.Created - m.Updated
		rows := changedRows(b, m, changed)
		if err := queueBatch(ctx, tx, b, rows, m); err != nil {
			return err
		}
		if tell && len(rows) > 0 {
			if err := tellChanged(ctx, tx, b, rows, d.now()); err != nil {
				return err
			}
		}
		tag, err := tx.Exec(ctx, recordBatch, b.ImportID, b.Epoch, b.Number, m.Created, m.Updated, m.Unchanged)
		if err == nil && tag.RowsAffected() == 0 {
			err = errNotRecorded
		}
		return err
	})
	return m, err
}

// mergedBefore reads what the ledger says of a batch that it did not take.
func (d *DB) mergedBefore(ctx context.Context, b importer.Batch) (importer.Merged, error) {
	m := importer.Merged{Again: true, Next: wary}
	err := d.pool.QueryRow(ctx, "SELECT created, updated, unchanged FROM import_batches WHERE import_id = $1 AND batch = $2",
		b.ImportID, b.Number).Scan(&m.Created, &m.Updated, &m.Unchanged)
	if errors.Is(err, pgx.ErrNoRows) {
		return importer.Merged{}, importer.ErrLeaseLost
	}
	return m, err
}

// copyRows fails with a unique violation when one of the rows is there.
func copyRows(ctx context.Context, tx pgx.Tx, rows []importer.Row) (created int64, err error) {
	tag, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(copyData(rows)),
		"COPY products (sku_key, sku, name, description) FROM STDIN BINARY")
	return tag.RowsAffected(), err
}

// putRows runs one of the statements that take the rows as arrays. changed
// lists the keys of the rows it wrote, a line each, unless those are many and
// it does not matter exactly.
func putRows(ctx context.Context, tx pgx.Tx, b importer.Batch, sql string, exactly bool) (created, updated int64, changed string, err error) {
	const binaryFormat = 1
	result := tx.Conn().PgConn().ExecParams(ctx, sql, [][]byte{
		textArray(b.Rows, func(r *importer.Row) string { return r.Key }),
		textArray(b.Rows, func(r *importer.Row) string { return r.SKU }),
		textArray(b.Rows, func(r *importer.Row) string { return r.Name }),
		textArray(b.Rows, func(r *importer.Row) string { return r.Description }),
		binaryBool(b.HasDescription),
		binaryBool(exactly),
	}, nil, []int16{binaryFormat}, []int16{binaryFormat}).Read()
	if result.Err != nil {
		return 0, 0, "", result.Err
	}
	counts := result.Rows[0]
	return int64(binary.BigEndian.Uint64(counts[0])), int64(binary.BigEndian.Uint64(counts[1])), string(counts[2]), nil
}
