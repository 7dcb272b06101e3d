package db

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"importer"
	"importer/migrations"
)

// migrationLock is the advisory lock under which one machine migrates while
// the others wait. Any number does that nothing else in this database uses.
const migrationLock = 0x696d706f72746572

type migration struct {
	version   int
	name, sql string
}

// Migrate brings the schema up to date. Machines that start together may all
// call it. A schema from a newer release is refused: Conflict.
//
// The lock is one of a transaction, not of a session: it works through a
// transaction pooler, and Postgres frees it whatever becomes of the machine.
func (d *DB) Migrate(ctx context.Context) error {
	all, err := loadMigrations()
	if err != nil {
		return err
	}
	for done := false; !done; {
		err := pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
			done, err = d.migrateOne(ctx, tx, all)
			return err
		})
		if err != nil {
			return domain("migrate", err)
		}
	}
	return nil
}

// migrateOne applies the next migration. done says that there was none.
func (d *DB) migrateOne(ctx context.Context, tx pgx.Tx, all []migration) (done bool, err error) {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
		return false, err
	}
	if _, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS schema_migrations (
		version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`); err != nil {
		return false, err
	}
	missing, err := missingMigrations(ctx, tx, all)
	if err != nil || len(missing) == 0 {
		return err == nil, err
	}
	next := missing[0]
	if _, err := tx.Exec(ctx, next.sql); err != nil {
		return false, fmt.Errorf("%s: %w", next.name, err)
	}
	if _, err := tx.Exec(ctx, "INSERT INTO schema_migrations (version, name) VALUES ($1, $2)", next.version, next.name); err != nil {
		return false, err
	}
	d.log.Info().Str("migration", next.name).Msg("migrated")
	return false, nil
}

// Unmigrated names the migrations that the database does not have yet.
// Conflict when it has those of a newer release.
func (d *DB) Unmigrated(ctx context.Context) ([]string, error) {
	all, err := loadMigrations()
	if err != nil {
		return nil, err
	}
	missing, err := missingMigrations(ctx, d.pool, all)
	if sqlState(err) == undefinedTable {
		missing, err = all, nil
	}
	var names []string
	for _, m := range missing {
		names = append(names, m.name)
	}
	return names, domain("read schema version", err)
}

// missingMigrations returns those of all that were not applied. It looks at
// each, for one may be merged after another with a higher number.
func missingMigrations(ctx context.Context, q interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}, all []migration) (missing []migration, err error) {
	rows, err := q.Query(ctx, "SELECT version FROM schema_migrations ORDER BY version")
	if err != nil {
		return nil, err
	}
	applied, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return nil, err
	}
	newest := all[len(all)-1].version
	if n := len(applied); n > 0 && applied[n-1] > newest {
		return nil, importer.Errorf(importer.Conflict,
			"The database has schema version %d, but this program knows versions up to %d only. A newer release has migrated it: run that one, or restore a backup.", applied[n-1], newest)
	}
	for _, m := range all {
		if !slices.Contains(applied, m.version) {
			missing = append(missing, m)
		}
	}
	return missing, nil
}

// loadMigrations returns the migrations in order of their versions.
func loadMigrations() ([]migration, error) {
	names, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, file := range names { // sorted, and all numbers have four digits
		name := strings.TrimSuffix(file, ".sql")
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.Atoi(number)
		if err != nil || len(number) != 4 || len(all) > 0 && version <= all[len(all)-1].version {
			return nil, fmt.Errorf("migration %s: it should have a number of its own, of four digits", file)
		}
		text, err := migrations.Files.ReadFile(file)
		if err != nil {
			return nil, err
		}
		all = append(all, migration{version, name, string(text)})
	}
	if len(all) == 0 {
		return nil, errors.New("no migrations")
	}
	return all, nil
}
