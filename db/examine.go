package db

import (
	"context"
	"time"

	"importer"
)

// Examination is what can be good or bad about a database; whoever asks
// judges.
type Examination struct {
	Server   string // version, such as 15.18
	Major    int
	Database string
	Role     string
	Encoding string

	Skew      time.Duration // how far its clock is ahead of ours; wrong by RoundTrip/2 at most
	RoundTrip time.Duration

	ReadOnly  bool // a standby, or told to be
	MayCreate bool // tables, in the schema that is used
	MayAlter  bool // the tables that are there: migrations do
	Trigrams  bool // the extension pg_trgm is installed
	Available bool // it could be: its files are there
	Durable   bool // a commit outlives a crash of the database's machine without damage

	Connections    int // open now, of everybody
	MaxConnections int // for ordinary roles
	Pool           int // what this program takes at most
}

// Examine asks the database about itself.
func (d *DB) Examine(ctx context.Context) (Examination, error) {
	e := Examination{Pool: int(d.pool.Config().MaxConns)}
	err := d.pool.QueryRow(ctx, `
		SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000,
			current_database(), current_user, current_setting('server_encoding'),
			pg_is_in_recovery() OR current_setting('transaction_read_only')::bool,
			coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
			coalesce((SELECT bool_and(pg_has_role(relowner, 'USAGE')) FROM pg_class
				WHERE oid IN (to_regclass('schema_migrations'), to_regclass('imports'), to_regclass('products'))), true),
			EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm'),
			EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm'),
			current_setting('fsync')::bool AND current_setting('full_page_writes')::bool,
			(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
			current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int`,
	).Scan(&e.Server, &e.Major, &e.Database, &e.Role, &e.Encoding, &e.ReadOnly, &e.MayCreate, &e.MayAlter,
		&e.Trigrams, &e.Available, &e.Durable, &e.Connections, &e.MaxConnections)
	if err != nil {
		return e, domain("examine the database", err)
	}
	e.Skew, e.RoundTrip, err = d.skew(ctx)
	return e, domain("compare clocks", err)
}

// skew compares the clocks a few times; the fastest answer is the most exact.
func (d *DB) skew(ctx context.Context) (ahead, roundTrip time.Duration, err error) {
	for i := range 4 {
		var theirs time.Time
		asked := time.Now()
		if err := d.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&theirs); err != nil {
			return 0, 0, err
		}
		took := time.Since(asked)
		if i == 0 || took < roundTrip {
			ahead, roundTrip = theirs.Sub(asked.Add(took/2)), took
		}
	}
	return ahead, roundTrip, nil
}

// Heard says whether a hint of one machine reaches another, by one to itself.
// It waits for it until ctx ends.
func (d *DB) Heard(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	up, heard, lost := make(chan struct{}), make(chan struct{}, 1), make(chan error, 1)
	go func() {
		lost <- d.Listen(ctx, func() { close(up) }, func() {
			select {
			case heard <- struct{}{}:
			default:
			}
		})
	}()
	select {
	case <-up:
	case err := <-lost:
		return err
	}
	if err := d.Hint(ctx); err != nil {
		return err
	}
	select {
	case <-heard:
		return nil
	case err := <-lost:
		if ctx.Err() != nil {
			return importer.Errorf(importer.Unavailable, "No hint arrived.")
		}
		return err
	case <-ctx.Done():
		return importer.Errorf(importer.Unavailable, "No hint arrived.")
	}
}
