package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"importer"
)

// webhookRow is what people say of a webhook: its row, but for the columns
// that senders write.
type webhookRow struct {
	bun.BaseModel `bun:"table:webhooks,alias:w"`

	ID          uuid.UUID         `bun:",pk"`
	URL         string            `bun:"url"`
	Events      []string          `bun:",array"`
	Headers     map[string]string `bun:"type:jsonb"`
	TimeoutMS   int               `bun:"timeout_ms"`
	MaxInFlight int
	RatePerS    float64 `bun:"rate_per_s"`
	StrictOrder bool
	State       importer.WebhookState
	StateReason string
	Version     int64
	CreatedAt   time.Time
	UpdatedAt   time.Time

	Secret         string
	OldSecret      *string
	OldSecretUntil *time.Time
}

// webhookView is a webhook with what is known of its deliveries.
type webhookView struct {
	webhookRow

	LastAttempt *importer.Attempt `bun:"type:json"`
	Delivered   int64
	Failed      int64
	Pending     int64
}

// selectWebhooks reads views: per webhook, seven rows of counts and MaxPending
// entries of an index at most.
func selectWebhooks(q bun.IDB) *bun.SelectQuery {
	return q.NewSelect().
		ColumnExpr("w.*, week.delivered, week.failed, waiting.pending").
		TableExpr("webhooks AS w").
		Join(`CROSS JOIN LATERAL (SELECT coalesce(sum(delivered), 0)::bigint AS delivered, coalesce(sum(failed), 0)::bigint AS failed
			FROM webhook_days AS c WHERE c.webhook_id = w.id AND c.day > (now() AT TIME ZONE 'UTC')::date - 7) AS week`).
		Join(`CROSS JOIN LATERAL (SELECT count(*) AS pending
			FROM (SELECT FROM webhook_deliveries AS d WHERE d.webhook_id = w.id AND d.state = 'pending' LIMIT ?) AS counted) AS waiting`, importer.MaxPending)
}

func (r *webhookRow) toWebhook() importer.Webhook {
	return importer.Webhook{
		ID: r.ID, URL: r.URL, Events: r.Events, Enabled: r.State == importer.WebhookActive,
		State: r.State, StateReason: r.StateReason, Headers: notNil(r.Headers),
		TimeoutMS: r.TimeoutMS, MaxInFlight: r.MaxInFlight, RatePerS: r.RatePerS, StrictOrder: r.StrictOrder,
		Version: r.Version, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
}

// take puts what people have changed into the row.
func (r *webhookRow) take(w importer.Webhook) {
	r.URL, r.Events, r.Headers = w.URL, w.Events, w.Headers
	r.TimeoutMS, r.MaxInFlight, r.RatePerS, r.StrictOrder = w.TimeoutMS, w.MaxInFlight, w.RatePerS, w.StrictOrder
	r.State, r.StateReason = w.State, w.StateReason
}

func (v *webhookView) toWebhook() importer.Webhook {
	w := v.webhookRow.toWebhook()
	w.LastAttempt = v.LastAttempt
	w.Week = importer.WebhookWeek{Delivered: v.Delivered, Failed: v.Failed}
	w.Pending = v.Pending
	if w.LastAttempt != nil {
		w.LastAttempt.At = w.LastAttempt.At.UTC()
	}
	return w
}

// readWebhook reads a view, within a transaction or not.
func readWebhook(ctx context.Context, q bun.IDB, id uuid.UUID) (importer.Webhook, error) {
	v := new(webhookView)
	if err := selectWebhooks(q).Where("w.id = ?", id).Scan(ctx, v); err != nil {
		return importer.Webhook{}, err
	}
	return v.toWebhook(), nil
}

func readWebhooks(ctx context.Context, q bun.IDB, limit int) ([]importer.Webhook, error) {
	var views []webhookView
	if err := selectWebhooks(q).OrderExpr("w.id").Limit(int64(limit)).Scan(ctx, &views); err != nil {
		return nil, err
	}
	list := make([]importer.Webhook, len(views))
	for i := range views {
		list[i] = views[i].toWebhook()
	}
	return list, nil
}

// webhooksSnapshot reads the first snapshotWebhooks; the REST API has all.
func (d *DB) webhooksSnapshot(ctx context.Context) (importer.Snapshot, error) {
	var s importer.Snapshot
	one := &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	err := d.bun.RunInTx(ctx, one, func(ctx context.Context, tx bun.Tx) error {
		err := tx.NewRaw("SELECT p.epoch, coalesce(h.seq, 0) FROM stream_epoch AS p LEFT JOIN stream_head AS h ON h.topic = ?", importer.TopicWebhooks).
			Scan(ctx, &s.Epoch, &s.Seq)
		if err != nil {
			return err
		}
		list, err := readWebhooks(ctx, tx, snapshotWebhooks)
		if err != nil {
			return err
		}
		s.Data, err = json.Marshal(struct {
			Webhooks []importer.Webhook `json:"webhooks"`
		}{list})
		return err
	})
	return s, domain("read snapshot of "+importer.TopicWebhooks, err)
}

// webhookData is the data of the events of one webhook.
type webhookData struct {
	Webhook importer.Webhook `json:"webhook"`
}

// announceWebhook leaves the event of a change to a webhook. It reads it
// again, as lists show it.
func (t *tx) announceWebhook(ctx context.Context, kind string, id uuid.UUID, at time.Time) (importer.Webhook, error) {
	w, err := readWebhook(ctx, t, id)
	if err != nil {
		return w, err
	}
	return w, t.announceData(importer.TopicWebhooks, kind, webhookData{w}, at)
}

// announceData leaves an event.
func (t *tx) announceData(topic, kind string, data any, at time.Time) error {
	raw, err := json.Marshal(data)
	t.events = append(t.events, importer.Event{Topic: topic, Kind: kind, At: at, Data: raw})
	return err
}
