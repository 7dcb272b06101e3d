package db

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"importer"
)

// keepMachines is how long a machine is listed after its last sign of life.
const keepMachines = time.Hour

// MachineSeen notes a sign of life of a machine, and forgets those that gave
// none for long.
func (d *DB) MachineSeen(ctx context.Context, m importer.Machine) error {
	batch := &pgx.Batch{}
	batch.Queue(`INSERT INTO machines (id, name, version, started_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET seen_at = now()`, m.ID, m.Name, m.Version, m.StartedAt)
	batch.Queue("DELETE FROM machines WHERE seen_at < now() - $1::interval", interval(keepMachines))
	return domain("note a machine", d.pool.SendBatch(ctx, batch).Close())
}

// MachineLeft forgets a machine that has ended in good order.
func (d *DB) MachineLeft(ctx context.Context, id uuid.UUID) error {
	_, err := d.pool.Exec(ctx, "DELETE FROM machines WHERE id = $1", id)
	return domain("forget a machine", err)
}

// machines lists those that are there, newest first, with what they hold
// leases of.
func machines(ctx context.Context, tx pgx.Tx) ([]importer.Machine, error) {
	rows, err := tx.Query(ctx, `
		SELECT id, name, version, started_at, seen_at, seen_at > now() - $1::interval,
			(SELECT count(*) FROM imports i WHERE i.owner = m.id AND lease_until > now()
				AND state IN ('uploading', 'queued', 'scanning', 'writing')),
			(SELECT count(*) FROM webhooks w WHERE w.owner = m.id AND lease_until > now())
		FROM machines m ORDER BY started_at DESC, id LIMIT 100`, interval(importer.MachineGone))
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m importer.Machine, err error) {
		err = row.Scan(&m.ID, &m.Name, &m.Version, &m.StartedAt, &m.SeenAt, &m.Alive, &m.Imports, &m.Webhooks)
		m.StartedAt, m.SeenAt = m.StartedAt.UTC(), m.SeenAt.UTC()
		m.Leases = []importer.Lease{}
		return m, err
	})
	if err != nil {
		return nil, err
	}
	return all, addLeases(ctx, tx, all)
}

// maxLeases bounds what is listed. A machine has a few places to run.
const maxLeases = 200

// addLeases names the imports that the machines work on, the oldest first.
func addLeases(ctx context.Context, tx pgx.Tx, all []importer.Machine) error {
	rows, err := tx.Query(ctx, `
		SELECT owner, id, filename, state FROM imports
		WHERE lease_until > now() AND state IN ('uploading', 'queued', 'scanning', 'writing') AND owner IS NOT NULL
		ORDER BY id LIMIT $1`, maxLeases)
	if err != nil {
		return err
	}
	var owner uuid.UUID
	var l importer.Lease
	_, err = pgx.ForEachRow(rows, []any{&owner, &l.ImportID, &l.Filename, &l.State}, func() error {
		for i := range all {
			if all[i].ID == owner {
				all[i].Leases = append(all[i].Leases, l)
			}
		}
		return nil
	})
	return err
}
