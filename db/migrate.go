package db

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	var current int
	if err := tx.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM schema_migrations").Scan(&current); err != nil {
		return false, err
	}
	newest := all[len(all)-1].version
	if current > newest {
		return false, importer.Errorf(importer.Conflict,
			"The database has schema version %d, but this program knows versions up to %d only. A newer release has migrated it: run that one, or restore a backup.", current, newest)
	}
	for _, m := range all {
		if m.version <= current {
			continue
		}
		if _, err := tx.Exec(ctx, m.sql); err != nil {
			return false, fmt.Errorf("%s: %w", m.name, err)
		}
		if _, err := tx.Exec(ctx, "INSERT INTO schema_migrations (version, name) VALUES ($1, $2)", m.version, m.name); err != nil {
			return false, err
		}
		d.log.Info().Str("migration", m.name).Msg("migrated")
		return false, nil
	}
	return true, nil
}

// loadMigrations returns the migrations in order of their versions, 1, 2, 3 …
func loadMigrations() ([]migration, error) {
	names, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		return nil, err
	}
	var all []migration
	for i, file := range names {
		name := strings.TrimSuffix(file, ".sql")
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s: it should be number %d", file, i+1)
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
