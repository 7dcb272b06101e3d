package db

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"importer"
)

// saveAttempts records a batch in one statement. Times are this database's.
const saveAttempts = `
	WITH r AS (
		SELECT *, now() - make_interval(secs => age) AS at
		FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::integer[], $6::boolean[], $7::integer[], $8::text[],
			$9::bigint[], $10::text[], $11::text[], $12::text[], $13::float8[], $14::float8[], $15::boolean[], $16::boolean[])
			AS r (delivery_id, webhook_id, epoch, event_id, n, ok, status, error, ms, remote_ip, response, request, age, retry_in, give_up, spared)
	), logged AS (
		INSERT INTO webhook_attempts (at, webhook_id, delivery_id, event_id, n, ok, status, error, ms, remote_ip, response, request, node)
		SELECT at, webhook_id, delivery_id, event_id, n, ok, status, error, ms, remote_ip, response, request::json, $17 FROM r
	), ended AS (
		UPDATE webhook_deliveries AS d SET
			tries = CASE WHEN r.spared THEN d.tries ELSE greatest(d.tries, r.n) END,
			state = CASE WHEN r.ok THEN 'delivered' WHEN r.give_up THEN 'exhausted' ELSE 'pending' END,
			next_attempt_at = CASE WHEN NOT r.ok AND NOT r.give_up THEN now() + make_interval(secs => r.retry_in) END
		FROM r LEFT JOIN webhooks AS w ON w.id = r.webhook_id
		WHERE d.id = r.delivery_id AND CASE WHEN r.ok THEN d.state <> 'delivered' ELSE d.state = 'pending' AND w.epoch = r.epoch END
		RETURNING d.webhook_id, d.state
	), counted AS (
		INSERT INTO webhook_days AS c (webhook_id, day, delivered, failed)
		SELECT webhook_id, (now() AT TIME ZONE 'UTC')::date,
			count(*) FILTER (WHERE state = 'delivered'), count(*) FILTER (WHERE state = 'exhausted')
		FROM ended WHERE state <> 'pending' GROUP BY webhook_id ORDER BY webhook_id
		ON CONFLICT (webhook_id, day) DO UPDATE SET delivered = c.delivered + excluded.delivered, failed = c.failed + excluded.failed
	), latest AS (
		SELECT DISTINCT ON (webhook_id) * FROM r ORDER BY webhook_id, age
	), held AS (
		SELECT w.id FROM webhooks AS w JOIN latest ON latest.webhook_id = w.id ORDER BY w.id FOR UPDATE OF w
	)
	UPDATE webhooks AS w SET last_attempt = json_build_object('at', l.at, 'n', l.n, 'ok', l.ok, 'status', l.status,
		'error', l.error, 'ms', l.ms, 'remote_ip', l.remote_ip, 'response', '')
	FROM latest AS l JOIN held ON held.id = l.webhook_id WHERE w.id = l.webhook_id`

// SaveAttempts records attempts, and what follows for their deliveries.
func (d *DB) SaveAttempts(ctx context.Context, node uuid.UUID, results []importer.AttemptResult) error {
	if len(results) == 0 {
		return nil
	}
	n := len(results)
	deliveries, webhooks, epochs, events := make([]int64, n), make([]uuid.UUID, n), make([]int64, n), make([]string, n)
	tries, oks, statuses, errors := make([]int, n), make([]bool, n), make([]int, n), make([]string, n)
	ms, ips, responses, requests := make([]int64, n), make([]string, n), make([]string, n), make([]string, n)
	ages, waits, givenUp, spared := make([]float64, n), make([]float64, n), make([]bool, n), make([]bool, n)
	for i, r := range results {
		a := r.Attempt
		deliveries[i], webhooks[i], epochs[i], events[i] = r.Delivery, r.Webhook, r.Epoch, r.EventID
		tries[i], oks[i], statuses[i], errors[i] = a.N, a.OK, a.Status, a.Error
		ms[i], ips[i], responses[i] = a.MS, a.RemoteIP, storable(a.Response)
		ages[i], waits[i], givenUp[i], spared[i] = max(r.Age, 0).Seconds(), max(r.RetryIn, 0).Seconds(), r.GiveUp, r.Spared
		request, err := json.Marshal(a.Request)
		if err != nil {
			return err
		}
		requests[i] = string(request)
	}
	return domain("save attempts", d.withPartitions(ctx, func() error {
		_, err := d.pool.Exec(ctx, saveAttempts, deliveries, texts(webhooks), epochs, events, tries, oks, statuses, errors,
			ms, ips, responses, requests, ages, waits, givenUp, spared, node)
		return err
	}))
}

// SaveTest records the attempt of a test; At is the database's, again.
func (d *DB) SaveTest(ctx context.Context, node, webhook uuid.UUID, eventID string, a importer.Attempt) error {
	request, err := json.Marshal(a.Request)
	if err != nil {
		return err
	}
	return domain("save test", d.withPartitions(ctx, func() error {
		return d.write(ctx, func(ctx context.Context, t *tx) error {
			result, err := t.NewUpdate().Table("webhooks").
				Set(`last_attempt = json_build_object('at', now() - ? * interval '1 ms', 'n', ?::int, 'ok', ?::boolean, 'status', ?::int,
					'error', ?::text, 'ms', ?::bigint, 'remote_ip', ?::text, 'response', '')`, a.MS, a.N, a.OK, a.Status, a.Error, a.MS, a.RemoteIP).
				Where("id = ?", webhook).Exec(ctx)
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); n == 0 {
				return err // it was deleted meanwhile
			}
			_, err = t.NewRaw(`INSERT INTO webhook_attempts (at, webhook_id, event_id, n, ok, status, error, ms, remote_ip, response, request, node)
				VALUES (now() - ? * interval '1 ms', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?::json, ?)`,
				a.MS, webhook, eventID, a.N, a.OK, a.Status, a.Error, a.MS, a.RemoteIP, storable(a.Response), string(request), node).Exec(ctx)
			if err != nil {
				return err
			}
			w, err := readWebhook(ctx, t, webhook)
			if err != nil {
				return err
			}
			return t.announceAttempts([]importer.WebhookAttempted{{ID: webhook, LastAttempt: *w.LastAttempt}}, d.now())
		})
	}))
}

// TellAttempts appends webhook.attempted for those who watch.
func (d *DB) TellAttempts(ctx context.Context, last []importer.WebhookAttempted) error {
	return domain("tell attempts", d.write(ctx, func(_ context.Context, t *tx) error {
		return t.announceAttempts(last, d.now())
	}))
}

func (t *tx) announceAttempts(last []importer.WebhookAttempted, at time.Time) error {
	return t.announceData(importer.TopicWebhooks, importer.EventWebhookAttempted, importer.WebhooksAttempted{Attempted: last}, at)
}

// TrimWebhooks makes the coming days' partitions and deletes what is older
// than keep.
func (d *DB) TrimWebhooks(ctx context.Context, keep time.Duration, limit int) (int, error) {
	if err := d.makePartitions(ctx); err != nil {
		return 0, domain("make partitions", err)
	}
	if err := d.dropPartitions(ctx, keep); err != nil {
		return 0, domain("drop partitions", err)
	}
	oldest := d.now().Add(-keep)
	var events, deliveries, days int
	err := d.pool.QueryRow(ctx, `
		WITH events AS (
			DELETE FROM webhook_events WHERE id IN (SELECT id FROM webhook_events WHERE id < $1 ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED) RETURNING 1
		), deliveries AS (
			DELETE FROM webhook_deliveries WHERE id IN (
				SELECT id FROM (SELECT id, created_at FROM webhook_deliveries ORDER BY id LIMIT $3) AS oldest WHERE created_at < $2) RETURNING 1
		), days AS (
			DELETE FROM webhook_days WHERE day < $2::date RETURNING 1
		)
		SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM deliveries), (SELECT count(*) FROM days)`,
		eventIDAt(oldest), oldest, limit).Scan(&events, &deliveries, &days)
	return events + deliveries, domain("trim webhooks", err)
}

// eventIDAt is the lowest id of an event made at that time: a UUIDv7 begins
// with the milliseconds (RFC 9562, section 5.7).
func eventIDAt(at time.Time) string {
	hex := fmt.Sprintf("%012x", at.UnixMilli())
	return "msg_" + hex[:8] + "-" + hex[8:]
}

// storable makes a text of bytes that came from anywhere.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
