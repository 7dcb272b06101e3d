package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"importer"
)

type deliveryRow struct {
	bun.BaseModel `bun:"table:webhook_deliveries,alias:d"`

	ID            int64 `bun:",pk"`
	WebhookID     uuid.UUID
	EventID       string
	Type          string
	State         importer.DeliveryState
	Tries         int
	NextAttemptAt *time.Time
	CreatedAt     time.Time
}

func (r *deliveryRow) toDelivery() importer.Delivery {
	return importer.Delivery{
		ID: r.ID, WebhookID: r.WebhookID, EventID: r.EventID, Type: r.Type, State: r.State, Tries: r.Tries,
		Attempts: []importer.Attempt{}, CreatedAt: r.CreatedAt.UTC(), NextAttemptAt: utc(r.NextAttemptAt),
	}
}

// attemptRow is an attempt of a delivery.
type attemptRow struct {
	bun.BaseModel `bun:"table:webhook_attempts,alias:a"`

	At         time.Time
	DeliveryID int64
	N          int
	OK         bool `bun:"ok"`
	Status     int
	Error      string
	MS         int64 `bun:"ms"`
	RemoteIP   string
	Response   string
	Request    map[string]string `bun:"type:json"`
}

func (r *attemptRow) toAttempt() importer.Attempt {
	return importer.Attempt{
		At: r.At.UTC(), N: r.N, OK: r.OK, Status: r.Status, Error: r.Error, MS: r.MS,
		RemoteIP: r.RemoteIP, Response: r.Response, Request: r.Request,
	}
}

// Deliveries lists deliveries of a webhook, newest first. Total counts up to
// MaxPending.
func (d *DB) Deliveries(ctx context.Context, q importer.DeliveryQuery) (importer.Page[importer.Delivery], error) {
	page := importer.Page[importer.Delivery]{Items: []importer.Delivery{}}
	before, err := deliveryCursor(q.Before)
	if err != nil {
		return page, err
	}
	if _, err := d.Webhook(ctx, q.WebhookID); err != nil {
		return page, err
	}
	filtered := func(s *bun.SelectQuery) *bun.SelectQuery {
		s = s.Where("webhook_id = ?", q.WebhookID)
		if len(q.States) > 0 {
			s = s.Where("state IN (?)", bun.List(q.States))
		}
		if q.Retrying {
			s = s.Where("state = 'pending' AND tries > 0")
		}
		if q.Type != "" {
			s = s.Where("type = ?", q.Type)
		}
		return s
	}
	some := filtered(d.bun.NewSelect().Table("webhook_deliveries")).ColumnExpr("1").Limit(importer.MaxPending)
	if err := d.bun.NewSelect().ColumnExpr("count(*)").TableExpr("(?) AS counted", some).Scan(ctx, &page.Total); err != nil {
		return page, domain("count deliveries", err)
	}
	var rows []deliveryRow
	limit := min(max(q.Limit, 1), 100)
	list := filtered(d.bun.NewSelect().Model(&rows)).OrderExpr("id DESC").Limit(int64(limit) + 1)
	if before > 0 {
		list = list.Where("id < ?", before)
	}
	if err := list.Scan(ctx); err != nil {
		return page, domain("list deliveries", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next := strconv.FormatInt(rows[limit-1].ID, 10)
		page.Next = &next
	}
	for i := range rows {
		page.Items = append(page.Items, rows[i].toDelivery())
	}
	return page, domain("list deliveries", d.addNewest(ctx, page.Items))
}

func deliveryCursor(cursor string) (before int64, err error) {
	if cursor == "" {
		return 0, nil
	}
	before, err = strconv.ParseInt(cursor, 10, 64)
	if err != nil || before < 1 || strconv.FormatInt(before, 10) != cursor {
		const why = "This cursor does not belong to this list. Take the next of a page, or start at the beginning."
		return 0, &importer.Error{Code: importer.Malformed, Message: why, Fields: []importer.FieldError{{Pointer: "cursor", Detail: why}}}
	}
	return before, nil
}

// addNewest adds the newest attempt to each delivery, without its headers. No
// attempt is older than its delivery, so most partitions are not looked at.
func (d *DB) addNewest(ctx context.Context, list []importer.Delivery) error {
	if len(list) == 0 {
		return nil
	}
	ids, at := make([]int64, len(list)), map[int64]int{}
	for i := range list {
		ids[i] = list[i].ID
		at[list[i].ID] = i
	}
	var rows []attemptRow
	err := d.bun.NewSelect().
		ColumnExpr("a.at, a.delivery_id, a.n, a.ok, a.status, a.error, a.ms, a.remote_ip, a.response").
		TableExpr("webhook_deliveries AS d").
		Join(`CROSS JOIN LATERAL (SELECT * FROM webhook_attempts AS a
			WHERE a.delivery_id = d.id AND a.at >= d.created_at - interval '1 minute' ORDER BY a.at DESC LIMIT 1) AS a`).
		Where("d.id IN (?)", bun.List(ids)).
		Scan(ctx, &rows)
	for i := range rows {
		delivery := &list[at[rows[i].DeliveryID]]
		delivery.Attempts = append(delivery.Attempts, rows[i].toAttempt())
	}
	return err
}

// Delivery returns a delivery with all its attempts and its body.
func (d *DB) Delivery(ctx context.Context, id int64) (importer.Delivery, error) {
	r := new(deliveryRow)
	err := d.bun.NewSelect().Model(r).Where("d.id = ?", id).Where("EXISTS (SELECT FROM webhooks WHERE id = d.webhook_id)").Scan(ctx)
	if err != nil {
		return importer.Delivery{}, deliveryError("read delivery", err)
	}
	delivery := r.toDelivery()
	var attempts []attemptRow
	err = d.bun.NewSelect().Model(&attempts).
		Where("delivery_id = ?", id).Where("at >= ?", r.CreatedAt.Add(-time.Minute)).
		OrderExpr("at DESC").Limit(100).Scan(ctx)
	if err != nil {
		return importer.Delivery{}, domain("read attempts", err)
	}
	for i := range attempts {
		delivery.Attempts = append(delivery.Attempts, attempts[i].toAttempt())
	}
	var payload []byte
	err = d.bun.NewSelect().Table("webhook_events").Column("payload").Where("id = ?", r.EventID).Scan(ctx, &payload)
	if err != nil && !errors.Is(err, sql.ErrNoRows) { // it may just have become too old
		return importer.Delivery{}, domain("read event", err)
	}
	delivery.Payload = json.RawMessage(payload)
	return delivery, nil
}

// Resend makes a delivery due at once, with all its attempts to come. A pause
// of its webhook after failures ends.
func (d *DB) Resend(ctx context.Context, id int64) (importer.Delivery, error) {
	err := d.write(ctx, func(ctx context.Context, t *tx) error {
		r := new(deliveryRow)
		if err := t.NewSelect().Model(r).Where("id = ?", id).For("UPDATE").Scan(ctx); err != nil {
			return err
		}
		if err := t.endPause(ctx, r.WebhookID); err != nil {
			return err
		}
		_, err := t.NewUpdate().Table("webhook_deliveries").
			Set("state = 'pending', tries = 0, next_attempt_at = now()").Where("id = ?", id).Exec(ctx)
		return err
	})
	if err != nil {
		return importer.Delivery{}, deliveryError("resend", err)
	}
	return d.Delivery(ctx, id)
}

// ResendFailed does so with all that were given up, of those made since.
func (d *DB) ResendFailed(ctx context.Context, webhook uuid.UUID, since time.Time) (int64, error) {
	var n int64
	err := d.write(ctx, func(ctx context.Context, t *tx) error {
		if err := t.endPause(ctx, webhook); err != nil {
			return err
		}
		result, err := t.NewUpdate().Table("webhook_deliveries").
			Set("state = 'pending', tries = 0, next_attempt_at = now()").
			Where("webhook_id = ?", webhook).Where("state IN ('exhausted', 'cancelled')").Where("created_at >= ?", since).Exec(ctx)
		if err == nil {
			n, err = result.RowsAffected()
		}
		return err
	})
	return n, webhookError("resend failed deliveries", err)
}

// endPause lets a webhook be sent to at once. NotFound when it is gone, and
// Conflict when it is disabled.
func (t *tx) endPause(ctx context.Context, webhook uuid.UUID) error {
	var state importer.WebhookState
	err := t.NewUpdate().Table("webhooks").Set("not_before = '-infinity'").Where("id = ?", webhook).
		Returning("state").Scan(ctx, &state)
	if err == nil && state == importer.WebhookDisabled {
		return importer.Errorf(importer.Conflict, "The webhook is disabled. Switch it on first, then send again.")
	}
	return err
}

// deliveryError is domain for what can go wrong with one delivery.
func deliveryError(doing string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return importer.Errorf(importer.NotFound, "There is no such delivery. Deliveries are kept for 30 days.")
	}
	return domain(doing, err)
}
