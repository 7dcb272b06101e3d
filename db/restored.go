package db

import (
	"context"

	"github.com/jackc/pgx/v5"

	"importer"
)

// Restored is what was put right after a restore.
type Restored struct {
	Epoch    string `json:"epoch"`           // of the log of events, new
	Sessions int64  `json:"sessions_ended"`  //
	Tokens   int64  `json:"api_tokens"`      // that are as the backup has them
	Webhooks int64  `json:"webhooks_paused"` // when that was asked for
}

// Restore makes a copy of the database one that servers may start on. Clients
// have seen events that the backup does not have, whose numbers are about to
// be given to others: with a new epoch they load everything anew. Sessions end,
// for those that were ended since the backup are back with it. Machines of then
// are forgotten; what they had leases of is taken over. A copy that is not to
// take the original's place must not tell its receivers anything.
func (d *DB) Restore(ctx context.Context, pauseWebhooks bool) (done Restored, err error) {
	err = pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "UPDATE stream_epoch SET epoch = left(gen_random_uuid()::text, 8) RETURNING epoch").Scan(&done.Epoch); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM api_tokens").Scan(&done.Tokens); err != nil {
			return err
		}
		for _, step := range []struct {
			sql  string
			rows *int64
		}{
			{"DELETE FROM sessions", &done.Sessions},
			{"DELETE FROM ws_tickets", nil},
			{"DELETE FROM machines", nil},
			{"UPDATE imports SET lease_until = now() WHERE owner IS NOT NULL", nil},
			{"UPDATE webhooks SET lease_until = now() WHERE owner IS NOT NULL", nil},
		} {
			tag, err := tx.Exec(ctx, step.sql)
			if err != nil {
				return err
			}
			if step.rows != nil {
				*step.rows = tag.RowsAffected()
			}
		}
		if !pauseWebhooks {
			return nil
		}
		tag, err := tx.Exec(ctx, `UPDATE webhooks SET state = $1, state_reason = '', version = version + 1, updated_at = now()
			WHERE state <> $1`, importer.WebhookPaused)
		done.Webhooks = tag.RowsAffected()
		return err
	})
	return done, domain("put a restored database right", err)
}
