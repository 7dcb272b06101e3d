package db

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"importer"
)

// disablingGate is the advisory lock between fanning out, which shares it, and
// a webhook that is disabled: no delivery is made for it behind the back of
// the statement that cancels those there are.
const disablingGate = 0x776562686f6f6b73

// fanOutRows bounds the deliveries that one statement makes, more or less.
const fanOutRows = 50_000

// FanOut makes deliveries of up to limit events that wait for it. Events are
// taken by a flag, not by a position in a sequence: one that commits late is
// not skipped. What nobody wants is deleted.
func (d *DB) FanOut(ctx context.Context, limit int, bulk bool) (int, error) {
	// The gate is a statement of its own: the next one sees what was there once
	// it was passed.
	both := new(pgx.Batch)
	both.Queue("SELECT pg_advisory_xact_lock_shared($1)", int64(disablingGate))
	var n int
	both.Queue(`
		WITH e AS (
			SELECT id, type, created_at FROM webhook_events WHERE NOT fanned_out AND ($3 OR type <> $4) ORDER BY id
			LIMIT least($1, $2 / greatest((SELECT count(*) FROM webhooks), 1) + 1) FOR UPDATE SKIP LOCKED
		), wanted AS (
			SELECT w.id AS webhook_id, e.id, e.type FROM e JOIN webhooks AS w ON `+wantedBy("e.type")+`
		), made AS (
			INSERT INTO webhook_deliveries (webhook_id, event_id, type) SELECT * FROM wanted ORDER BY id
		), marked AS (
			UPDATE webhook_events AS v SET fanned_out = true FROM e
			WHERE v.id = e.id AND EXISTS (SELECT FROM wanted WHERE wanted.id = e.id)
		), unwanted AS (
			DELETE FROM webhook_events AS v USING e
			WHERE v.id = e.id AND NOT EXISTS (SELECT FROM wanted WHERE wanted.id = e.id)
		)
		SELECT count(*) FROM e`, limit, fanOutRows, bulk, importer.EventProductsChanged).
		QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
	return n, domain("fan events out", d.pool.SendBatch(ctx, both).Close())
}

// halving is by how much, of e, load falls in a second: by half in a minute.
const halving = "0.01155"

// targetColumns are those of a webhookTarget, in order.
const targetColumns = `w.id, w.version, w.url, w.secret, CASE WHEN w.old_secret_until > now() THEN w.old_secret END,
	w.headers, w.timeout_ms, w.max_in_flight, w.rate_per_s, w.strict_order`

// ClaimWebhooks takes up to limit webhooks that have something due and that
// nobody sends to, those first that were served least of late, in seconds of
// requests: one that hangs waits for its turn as those that answer do.
func (d *DB) ClaimWebhooks(ctx context.Context, node uuid.UUID, limit int) ([]importer.WebhookClaim, error) {
	rows, err := d.pool.Query(ctx, `
		WITH c AS (
			SELECT w.id FROM webhooks AS w
			WHERE w.state = 'active' AND w.not_before <= now() AND w.lease_until <= now() AND EXISTS (
				SELECT FROM webhook_deliveries AS d
				WHERE d.webhook_id = w.id AND d.state = 'pending' AND d.next_attempt_at <= now())
			ORDER BY w.load * exp(-`+halving+` * extract(epoch FROM now() - w.served_at)::float8) LIMIT $2 FOR UPDATE OF w SKIP LOCKED
		)
		UPDATE webhooks AS w SET owner = $1, epoch = epoch + 1, lease_until = now() + $3::interval FROM c WHERE w.id = c.id
		RETURNING `+targetColumns+`, w.epoch, w.failures, coalesce(extract(epoch FROM now() - w.failing_since), 0)::float8`,
		node, limit, leaseTime)
	if err != nil {
		return nil, domain("claim webhooks", err)
	}
	claims, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c importer.WebhookClaim, err error) {
		var failing float64
		c.WebhookTarget, err = scanTarget(row, &c.Epoch, &c.Failures, &failing)
		c.FailingFor = time.Duration(failing * float64(time.Second))
		return c, err
	})
	return claims, domain("claim webhooks", err)
}

func scanTarget(row pgx.CollectableRow, more ...any) (t importer.WebhookTarget, err error) {
	var secret string
	var old *string
	var ms int
	into := []any{&t.ID, &t.Version, &t.URL, &secret, &old, &t.Headers, &ms, &t.MaxInFlight, &t.RatePerS, &t.StrictOrder}
	if err := row.Scan(append(into, more...)...); err != nil {
		return t, err
	}
	t.Secrets = []string{secret}
	if old != nil {
		t.Secrets = append(t.Secrets, *old)
	}
	t.Timeout = time.Duration(ms) * time.Millisecond
	return t, nil
}

// WebhookTarget reads what a test needs.
func (d *DB) WebhookTarget(ctx context.Context, id uuid.UUID) (importer.WebhookTarget, error) {
	rows, err := d.pool.Query(ctx, "SELECT "+targetColumns+" FROM webhooks AS w WHERE w.id = $1", id)
	if err != nil {
		return importer.WebhookTarget{}, domain("read webhook", err)
	}
	t, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (importer.WebhookTarget, error) { return scanTarget(row) })
	return t, webhookError("read webhook", err)
}

// RenewWebhooks renews claims and returns the epochs of those that node has.
func (d *DB) RenewWebhooks(ctx context.Context, node uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]int64, error) {
	rows, err := d.pool.Query(ctx, `
		WITH mine AS (SELECT id FROM webhooks WHERE id = ANY($1::uuid[]) AND owner = $2 ORDER BY id FOR UPDATE)
		UPDATE webhooks AS w SET lease_until = now() + $3::interval FROM mine WHERE w.id = mine.id
		RETURNING w.id, w.epoch`, texts(ids), node, leaseTime)
	if err != nil {
		return nil, domain("renew webhooks", err)
	}
	held := map[uuid.UUID]int64{}
	var id uuid.UUID
	var epoch int64
	_, err = pgx.ForEachRow(rows, []any{&id, &epoch}, func() error {
		held[id] = epoch
		return nil
	})
	return held, domain("renew webhooks", err)
}

// ofClaim joins what a claim may send: nothing once the webhook has changed.
const ofClaim = `
	FROM webhooks AS w JOIN webhook_deliveries AS d ON d.webhook_id = w.id JOIN webhook_events AS v ON v.id = d.event_id
	WHERE w.id = $1 AND w.epoch = $2 AND w.version = $3 AND w.state = 'active' AND d.state = 'pending'`

// DueDeliveries lists up to limit deliveries of a claim that are due.
func (d *DB) DueDeliveries(ctx context.Context, c importer.WebhookClaim, busy []int64, limit int) ([]importer.DueDelivery, error) {
	if c.StrictOrder {
		return d.nextInOrder(ctx, c, busy, limit)
	}
	return d.due(ctx, `
		SELECT d.id, d.event_id, d.tries, v.payload`+ofClaim+` AND d.next_attempt_at <= now() AND d.id <> ALL($4::bigint[])
		ORDER BY d.next_attempt_at, d.id LIMIT $5`, c.ID, c.Epoch, c.Version, notNone(busy), limit)
}

// nextInOrder lists the oldest, up to the first that is busy or not due.
func (d *DB) nextInOrder(ctx context.Context, c importer.WebhookClaim, busy []int64, limit int) ([]importer.DueDelivery, error) {
	return d.due(ctx, `
		SELECT id, event_id, tries, payload FROM (
			SELECT *, bool_and(next_attempt_at <= now() AND id <> ALL($4::bigint[])) OVER (ORDER BY id) AS go FROM (
				SELECT d.id, d.event_id, d.tries, d.next_attempt_at, v.payload`+ofClaim+` ORDER BY d.id LIMIT $5
			) AS oldest
		) AS waiting WHERE go ORDER BY id`, c.ID, c.Epoch, c.Version, notNone(busy), limit)
}

// ProbeDelivery picks one delivery of a failing webhook: the head of the index
// has those not tried yet, its tail those tried most, so that neither a
// delivery that always fails nor a backlog hides that the webhook is well.
func (d *DB) ProbeDelivery(ctx context.Context, c importer.WebhookClaim, triedMost bool) ([]importer.DueDelivery, error) {
	order := "d.next_attempt_at, d.id"
	switch {
	case c.StrictOrder:
		order = "d.id"
	case triedMost:
		order = "d.next_attempt_at DESC, d.id DESC"
	}
	return d.due(ctx, "SELECT d.id, d.event_id, d.tries, v.payload"+ofClaim+" ORDER BY "+order+" LIMIT 1", c.ID, c.Epoch, c.Version)
}

func (d *DB) due(ctx context.Context, sql string, args ...any) ([]importer.DueDelivery, error) {
	rows, err := d.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, domain("read due deliveries", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (v importer.DueDelivery, err error) {
		err = row.Scan(&v.ID, &v.EventID, &v.Tries, &v.Payload)
		return v, err
	})
	return list, domain("read due deliveries", err)
}

// ReleaseWebhooks gives claims back. One that disables its webhook cancels
// what waits, and tells.
func (d *DB) ReleaseWebhooks(ctx context.Context, releases []importer.WebhookRelease) error {
	n := len(releases)
	ids, epochs, failures := make([]uuid.UUID, n), make([]int64, n), make([]int, n)
	pauses, used := make([]float64, n), make([]float64, n)
	for i, r := range releases {
		ids[i], epochs[i], failures[i], pauses[i], used[i] = r.ID, r.Epoch, r.Failures, r.Pause.Seconds(), r.Used.Seconds()
		if r.Disable != "" {
			if err := d.disable(ctx, r); err != nil {
				return webhookError("disable webhook", err)
			}
		}
	}
	err := d.retry(ctx, func() error {
		_, err := d.pool.Exec(ctx, `
			WITH r AS (
				SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::integer[], $4::float8[], $5::float8[]) AS r (id, epoch, failures, pause, used)
			), held AS (
				SELECT r.* FROM r JOIN webhooks AS w ON w.id = r.id AND w.epoch = r.epoch ORDER BY w.id FOR UPDATE OF w
			)
			UPDATE webhooks AS w SET owner = NULL, lease_until = '-infinity',
				failures = held.failures,
				failing_since = CASE WHEN held.failures > 0 THEN coalesce(w.failing_since, now()) END,
				not_before = CASE WHEN held.pause > 0 THEN now() + make_interval(secs => held.pause) ELSE w.not_before END,
				load = w.load * exp(-`+halving+` * least(extract(epoch FROM now() - w.served_at), 3600)::float8) + held.used,
				served_at = now()
			FROM held WHERE w.id = held.id`, texts(ids), epochs, failures, pauses, used)
		return err
	})
	return domain("release webhooks", err)
}

func (d *DB) disable(ctx context.Context, r importer.WebhookRelease) error {
	return d.write(ctx, func(ctx context.Context, t *tx) error {
		if _, err := t.ExecContext(ctx, "SELECT pg_advisory_xact_lock(?)", int64(disablingGate)); err != nil {
			return err
		}
		at := d.now()
		result, err := t.NewUpdate().Table("webhooks").
			Set("state = 'disabled', state_reason = ?, version = version + 1, updated_at = ?", r.Disable, at).
			Where("id = ?", r.ID).Where("epoch = ?", r.Epoch).Where("state <> 'disabled'").Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); n == 0 {
			return err // it is somebody else's, or gone
		}
		_, err = t.NewUpdate().Table("webhook_deliveries").Set("state = 'cancelled', next_attempt_at = NULL").
			Where("webhook_id = ?", r.ID).Where("state = 'pending'").Exec(ctx)
		if err != nil {
			return err
		}
		_, err = t.announceWebhook(ctx, importer.EventWebhookDisabled, r.ID, at)
		return err
	})
}

// texts writes ids as Postgres reads them.
func texts(ids []uuid.UUID) []string {
	s := make([]string, len(ids))
	for i, id := range ids {
		s[i] = id.String()
	}
	return s
}

// notNone makes an empty array of nil, with which <> ALL would be null.
func notNone(ids []int64) []int64 {
	if ids == nil {
		return []int64{}
	}
	return ids
}
