package db

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"importer"
)

// channel is what machines tell each other on that there are new events. The
// message is empty: whoever hears it looks into the log.
const channel = "importer_events"

// hangUp bounds how long a connection may take to say goodbye.
const hangUp = time.Second

// hearTime is how long a hint of our own may take to come back.
const hearTime = 5 * time.Second

// Listen calls hint whenever a machine, this one included, says that it
// appended events. It has a connection of its own, for LISTEN belongs to a
// session. It calls up once a hint of its own has come back: through a
// transaction pooler LISTEN succeeds, on a session that others are given next.
func (d *DB) Listen(ctx context.Context, up, hint func()) error {
	config, err := pgx.ParseConfig(d.direct)
	if err != nil {
		// The error may quote the URL with its password.
		return importer.Errorf(importer.Invalid, "The URL of the direct connection to the database is not valid.")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second // as the pool
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // as the pool
	kind, err := pooling(ctx, config)
	switch {
	case err != nil:
		return domain("connect to listen", err)
	case kind == TransactionPooling:
		return importer.Errorf(importer.Unavailable, "Through a transaction pooler nobody can listen. Set DIRECT_DATABASE_URL to the database itself, past the pooler.")
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return domain("connect to listen", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hangUp)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return domain("listen", err)
	}
	if err := d.Hint(ctx); err != nil {
		return err
	}
	back, cancel := context.WithTimeout(ctx, hearTime)
	defer cancel()
	switch _, err := conn.WaitForNotification(back); {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return importer.Errorf(importer.Unavailable, "A hint of its own did not come back. Check that DIRECT_DATABASE_URL leads to the same database as DATABASE_URL, past any transaction pooler.")
	case err != nil:
		return domain("listen", err)
	}
	up()
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return domain("listen", err)
		}
		hint()
	}
}

// Hint tells the other machines that there are new events. It is a statement
// of its own: within the transaction of the change, notifying takes a lock
// that lets one commit through at a time.
func (d *DB) Hint(ctx context.Context) error {
	_, err := d.pool.Exec(ctx, "SELECT pg_notify($1, '')", channel)
	return domain("notify", err)
}
