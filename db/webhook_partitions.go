package db

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// partitionLock is the advisory lock under which partitions come and go.
const partitionLock = 0x61747465

// partitionPrefix and a date name a partition.
const partitionPrefix = "webhook_attempts_"

// withPartitions runs f again when it found no partition for what it wrote:
// housekeeping makes them two days ahead, but the first day, and after a long
// rest, somebody comes earlier.
func (d *DB) withPartitions(ctx context.Context, f func() error) error {
	err := d.retry(ctx, f)
	if sqlState(err) != noPartition {
		return err
	}
	if err := d.makePartitions(ctx); err != nil {
		return err
	}
	return d.retry(ctx, f)
}

// makePartitions makes those of yesterday, for attempts that began then, to
// the day after tomorrow.
func (d *DB) makePartitions(ctx context.Context) error {
	return pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		today, err := lockPartitions(ctx, tx)
		if err != nil {
			return err
		}
		for day := -1; day <= 2; day++ {
			from := today.AddDate(0, 0, day)
			_, err := tx.Exec(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s PARTITION OF webhook_attempts FOR VALUES FROM ('%s 00:00+00') TO ('%s 00:00+00')",
				partitionPrefix+from.Format("20060102"), from.Format(time.DateOnly), from.AddDate(0, 0, 1).Format(time.DateOnly)))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// dropPartitions drops those that ended more than keep ago.
func (d *DB) dropPartitions(ctx context.Context, keep time.Duration) error {
	return pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		today, err := lockPartitions(ctx, tx)
		if err != nil {
			return err
		}
		oldest := partitionPrefix + today.Add(-keep).Format("20060102")
		rows, err := tx.Query(ctx, `SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
			WHERE i.inhparent = 'webhook_attempts'::regclass AND c.relname < $1 ORDER BY 1`, oldest)
		if err != nil {
			return err
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, name := range names {
			if _, err := tx.Exec(ctx, "DROP TABLE "+pgx.Identifier{name}.Sanitize()); err != nil {
				return err
			}
		}
		return nil
	})
}

// lockPartitions returns the day, by this database's clock in UTC.
func lockPartitions(ctx context.Context, tx pgx.Tx) (today time.Time, err error) {
	// Whoever waits for these locks is waited for by every attempt.
	if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '2s'"); err != nil {
		return today, err
	}
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(partitionLock)); err != nil {
		return today, err
	}
	err = tx.QueryRow(ctx, "SELECT (now() AT TIME ZONE 'UTC')::date").Scan(&today)
	return today, err
}
