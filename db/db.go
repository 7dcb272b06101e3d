// Package db keeps products, imports and events in PostgreSQL. It implements
// importer.ImportStore and importer.EventLog; only cmd/importer makes one.
//
// SQL is written here and nowhere else. Transactions are short, lock rows in
// one order (import, products by key, topics by name), and append the events
// of a change in the transaction that makes it. The package starts no
// goroutines and decides nothing about when work is done.
//
// Leases are timed by the database's clock, so that machines need not agree
// on theirs. Times that people see come from Options.Now.
package db

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/rs/zerolog"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"importer"
)

// Options say how to reach the database.
type Options struct {
	URL      string // postgres://…, also of a transaction pooler
	Direct   string // the same database without a pooler, to listen on; empty: URL
	MaxConns int    // 0: the larger of 4 and the number of CPUs
	Log      zerolog.Logger
	Now      func() time.Time // nil: time.Now

	AllowHTTP bool // webhooks may have plain http URLs
}

// DB is a database. It is safe for use by several goroutines.
type DB struct {
	pool     *pgxpool.Pool
	direct   string  // URL to listen on
	bun      *bun.DB // on the same pool
	log      zerolog.Logger
	clock    func() time.Time
	onCommit func([]importer.Event)

	allowHTTP bool
}

var (
	_ importer.ImportStore  = (*DB)(nil)
	_ importer.ProductStore = (*DB)(nil)
	_ importer.EventLog     = (*DB)(nil)
	_ importer.StatusStore  = (*DB)(nil)
	_ importer.WebhookStore = (*DB)(nil)
	_ importer.WebhookQueue = (*DB)(nil)
	_ importer.AccessStore  = (*DB)(nil)
)

// Open prepares a pool of connections. It does not connect yet: Ping does.
func Open(o Options) (*DB, error) {
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		// The error may quote the URL with its password.
		return nil, importer.Errorf(importer.Invalid, "The database URL is not valid. It looks like postgres://user:password@host:5432/name.")
	}
	if o.MaxConns > 0 {
		config.MaxConns = int32(min(o.MaxConns, math.MaxInt32))
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	// No named statements and no session settings, so that a transaction
	// pooler may hand every transaction to another session. Planning anew
	// costs 0.2 ms of a batch's 50.
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	direct := o.Direct
	if direct == "" {
		direct = o.URL
	}
	clock := o.Now
	if clock == nil {
		clock = time.Now
	}
	return &DB{
		pool:   pool,
		direct: direct,
		// An older release has to read rows of a newer schema.
		bun:      bun.NewDB(stdlib.OpenDBFromPool(pool), pgdialect.New(), bun.WithDiscardUnknownColumns()),
		log:      o.Log,
		clock:    clock,
		onCommit: func([]importer.Event) {},

		allowHTTP: o.AllowHTTP,
	}, nil
}

// OnCommit sets what is told about events once they are committed. It is
// called by the goroutine that made the change, must not block, and may see
// the events of two changes in either order. Set it before the first use.
func (d *DB) OnCommit(f func([]importer.Event)) { d.onCommit = f }

// Ping checks that the database answers. Unavailable when it does not.
func (d *DB) Ping(ctx context.Context) error {
	return domain("reach the database", d.pool.Ping(ctx))
}

// Close closes all connections. Those in use are waited for.
func (d *DB) Close() error {
	err := d.bun.Close()
	d.pool.Close()
	return err
}

// now is the time that people see, in the precision that Postgres keeps.
func (d *DB) now() time.Time { return d.clock().UTC().Truncate(time.Microsecond) }

// tx is one short transaction and the events that it will append.
type tx struct {
	bun.Tx
	events []importer.Event
}

// write runs f in a transaction, appends the events f left in it as its last
// step, so that the topics are locked for as short as can be, and tells
// about them after the commit. f may run several times.
func (d *DB) write(ctx context.Context, f func(ctx context.Context, t *tx) error) error {
	var events []importer.Event
	err := d.retry(ctx, func() error {
		return d.bun.RunInTx(ctx, &sql.TxOptions{}, func(ctx context.Context, btx bun.Tx) error {
			t := &tx{Tx: btx}
			// A machine that freezes here must not block those that take over.
			if _, err := t.ExecContext(ctx, "SET LOCAL idle_in_transaction_session_timeout = '10s'"); err != nil {
				return err
			}
			if err := f(ctx, t); err != nil {
				return err
			}
			var err error
			events, err = appendEvents(ctx, t, t.events)
			return err
		})
	})
	if err == nil && len(events) > 0 {
		d.onCommit(events)
	}
	return err
}
