package db

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"importer"
)

// Status says how things stand, all as of one moment. It takes a few ms, also
// with a million products, and 35 with a million deliveries to 2,000 webhooks.
func (d *DB) Status(ctx context.Context) (importer.StoreStatus, error) {
	s := importer.StoreStatus{Imports: map[importer.State]int64{
		importer.Uploading: 0, importer.Queued: 0, importer.Scanning: 0, importer.Writing: 0,
		importer.Completed: 0, importer.Failed: 0, importer.Cancelled: 0,
	}}
	one := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, d.pool, one, func(tx pgx.Tx) (err error) {
		if err := importsByState(ctx, tx, &s); err != nil {
			return err
		}
		if s.Machines, err = machines(ctx, tx); err != nil {
			return err
		}
		if s.Indexing, err = readIndexing(ctx, tx); err != nil {
			return err
		}
		if s.Webhooks, err = backlog(ctx, tx); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT pg_database_size(current_database()), current_setting('server_version')").Scan(&s.Bytes, &s.Version)
	})
	return s, domain("read the status", err)
}

func importsByState(ctx context.Context, tx pgx.Tx, s *importer.StoreStatus) error {
	rows, err := tx.Query(ctx, `
		SELECT state, count(*), coalesce(extract(epoch FROM now() - min(greatest(uploaded_at, not_before)) FILTER (WHERE state = 'queued')), 0)::float8
		FROM imports GROUP BY state`)
	if err != nil {
		return err
	}
	var state importer.State
	var n int64
	var waits float64 // below 0: not due yet
	_, err = pgx.ForEachRow(rows, []any{&state, &n, &waits}, func() error {
		s.Imports[state] = n
		s.QueuedFor = max(s.QueuedFor, time.Duration(waits*float64(time.Second)))
		return nil
	})
	return err
}

// backlog looks at one delivery a webhook to find what is overdue. Webhooks
// that fail or are paused have to wait; theirs is no fault of ours.
func backlog(ctx context.Context, tx pgx.Tx) (b importer.Backlog, err error) {
	var waits float64
	err = tx.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM (
				SELECT FROM webhook_deliveries AS d JOIN webhooks AS w ON w.id = d.webhook_id WHERE d.state = 'pending' LIMIT $1) AS counted),
			coalesce(extract(epoch FROM now() - min(due.next_attempt_at)), 0)::float8
		FROM webhooks AS w CROSS JOIN LATERAL (
			SELECT next_attempt_at FROM webhook_deliveries AS d
			WHERE d.webhook_id = w.id AND d.state = 'pending' ORDER BY next_attempt_at, id LIMIT 1) AS due
		WHERE w.state = 'active' AND w.failures = 0`, importer.MaxBacklog).Scan(&b.Pending, &waits)
	b.OverdueFor = max(0, time.Duration(waits*float64(time.Second)))
	return b, err
}

// PoolStatus is how busy the connections to the database are.
type PoolStatus struct {
	InUse, Idle, Opening, Max int32
	Acquired, Waited          int64 // acquisitions in all, and those that had to wait
	WaitedFor                 time.Duration
	Abandoned                 int64 // by a caller that ran out of time
}

// Pool tells without asking the database.
func (d *DB) Pool() PoolStatus { return poolStatus(d.pool.Stat()) }

func poolStatus(s *pgxpool.Stat) PoolStatus {
	return PoolStatus{
		InUse: s.AcquiredConns(), Idle: s.IdleConns(), Opening: s.ConstructingConns(), Max: s.MaxConns(),
		Acquired: s.AcquireCount(), Waited: s.EmptyAcquireCount(), WaitedFor: s.EmptyAcquireWaitTime(),
		Abandoned: s.CanceledAcquireCount(),
	}
}
