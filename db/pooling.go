package db

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"importer"
)

// Pooling is what stands between a connection and the database.
type Pooling string

// With transaction pooling each transaction may get another session, so what
// belongs to a session is lost: LISTEN, above all.
const (
	NoPooling          Pooling = "none"
	SessionPooling     Pooling = "session"
	TransactionPooling Pooling = "transaction"
)

// Pooling finds out by what it sees: that of the connections for transactions,
// and that of the one that is listened on.
func (d *DB) Pooling(ctx context.Context) (pooled, direct Pooling, err error) {
	if pooled, err = pooling(ctx, d.pool.Config().ConnConfig); err != nil {
		return "", "", domain("look for a pooler", err)
	}
	config, err := pgx.ParseConfig(d.direct)
	if err != nil {
		return "", "", importer.Errorf(importer.Invalid, "The URL of the direct connection to the database is not valid.")
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	direct, err = pooling(ctx, config)
	return pooled, direct, domain("look for a pooler", err)
}

// pooling looks at sessions. Two open connections that get the same session
// one after the other share it, which only a transaction pooler does. One
// whose session has another number than the one it was told when it connected
// (a cancel key that the pooler made up) goes through a pooler of some kind.
func pooling(ctx context.Context, config *pgx.ConnConfig) (Pooling, error) {
	one, err := pgx.ConnectConfig(ctx, config.Copy())
	if err != nil {
		return "", err
	}
	defer one.Close(ctx)
	other, err := pgx.ConnectConfig(ctx, config.Copy())
	if err != nil {
		return "", err
	}
	defer other.Close(ctx)

	found := NoPooling
	// A pooler need not give the session that was used last: it may take turns.
	for range 4 {
		ours, err := session(ctx, one)
		if err != nil {
			return "", err
		}
		if ours != one.PgConn().PID() {
			found = SessionPooling
		}
		tx, err := other.Begin(ctx)
		if err != nil {
			return "", err
		}
		theirs, err := session(ctx, tx)
		if err == nil && theirs != ours {
			// While the other is kept busy ours may have moved.
			var again uint32
			again, err = session(ctx, one)
			if again != ours {
				theirs = ours
			}
		}
		if rolled := tx.Rollback(ctx); err == nil {
			err = rolled
		}
		if err != nil {
			return "", err
		}
		if theirs == ours {
			return TransactionPooling, nil
		}
	}
	return found, nil
}

// session is the number of the backend that serves the next statement.
func session(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) (pid uint32, err error) {
	if err = q.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		return 0, fmt.Errorf("which session: %w", err)
	}
	return pid, nil
}
