package db

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"reflect"
	"time"

	"github.com/google/uuid"

	"importer"
)

const (
	// rotationOverlap is how long an old secret signs beside its successor.
	rotationOverlap = 24 * time.Hour
	// snapshotWebhooks is how many webhooks the snapshot of their topic holds.
	snapshotWebhooks = 100
)

// Webhooks lists all webhooks, oldest first.
func (d *DB) Webhooks(ctx context.Context) ([]importer.Webhook, error) {
	list, err := readWebhooks(ctx, d.bun, importer.MaxWebhooks)
	return list, webhookError("list webhooks", err)
}

// Webhook returns a webhook.
func (d *DB) Webhook(ctx context.Context, id uuid.UUID) (importer.Webhook, error) {
	w, err := readWebhook(ctx, d.bun, id)
	return w, webhookError("read webhook", err)
}

// CreateWebhook adds a webhook with a new secret.
func (d *DB) CreateWebhook(ctx context.Context, f importer.WebhookFields) (importer.Webhook, error) {
	w := importer.DefaultWebhook()
	if err := w.Apply(f, d.allowHTTP); err != nil {
		return importer.Webhook{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return importer.Webhook{}, err
	}
	r := &webhookRow{ID: id, Version: 1, Secret: newSecret()}
	r.take(w)
	err = d.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.NewSelect().Table("webhooks").Count(ctx)
		if err != nil {
			return err
		}
		if n >= importer.MaxWebhooks {
			return importer.Errorf(importer.Conflict, "There are %d webhooks already, which is as many as there may be. Delete one that is not needed.", n)
		}
		r.CreatedAt = d.now()
		r.UpdatedAt = r.CreatedAt
		if _, err := t.NewInsert().Model(r).Exec(ctx); err != nil {
			return err
		}
		w, err = t.announceWebhook(ctx, importer.EventWebhookCreated, r.ID, r.CreatedAt)
		return err
	})
	if err != nil {
		return importer.Webhook{}, webhookError("create webhook", err)
	}
	w.Secret = r.Secret
	return w, nil
}

// UpdateWebhook changes what f names. A change to what is there already writes
// nothing, and the version stays. What waits is due for a look at once.
func (d *DB) UpdateWebhook(ctx context.Context, id uuid.UUID, version int64, f importer.WebhookFields) (importer.Webhook, error) {
	var result importer.Webhook
	err := d.changeWebhook(ctx, id, version, func(ctx context.Context, t *tx, r *webhookRow) error {
		before := r.toWebhook()
		w := before
		if err := w.Apply(f, d.allowHTTP); err != nil {
			return err
		}
		if reflect.DeepEqual(before, w) {
			var err error
			result, err = readWebhook(ctx, t, id)
			return err
		}
		r.take(w)
		r.Version++
		r.UpdatedAt = d.now()
		update := t.NewUpdate().Model(r).WherePK().Set("not_before = '-infinity'")
		for _, column := range []string{"url", "events", "headers", "timeout_ms", "max_in_flight", "rate_per_s", "strict_order", "state", "state_reason", "version", "updated_at"} {
			update = update.Column(column)
		}
		if before.State != importer.WebhookActive && w.State == importer.WebhookActive {
			update = update.Set("failures = 0").Set("failing_since = NULL")
		}
		if _, err := update.Exec(ctx); err != nil {
			return err
		}
		var err error
		result, err = t.announceWebhook(ctx, importer.EventWebhookUpdated, id, r.UpdatedAt)
		return err
	})
	return result, webhookError("change webhook", err)
}

// DeleteWebhook removes a webhook. Its deliveries are out of sight at once,
// and are deleted when they are old.
func (d *DB) DeleteWebhook(ctx context.Context, id uuid.UUID, version int64) error {
	err := d.changeWebhook(ctx, id, version, func(ctx context.Context, t *tx, r *webhookRow) error {
		if _, err := t.announceWebhook(ctx, importer.EventWebhookDeleted, id, d.now()); err != nil {
			return err
		}
		if _, err := t.NewDelete().Table("webhook_days").Where("webhook_id = ?", id).Exec(ctx); err != nil {
			return err
		}
		_, err := t.NewDelete().Model(r).WherePK().Exec(ctx)
		return err
	})
	return webhookError("delete webhook", err)
}

// WebhookSecret reveals the secret.
func (d *DB) WebhookSecret(ctx context.Context, id uuid.UUID) (importer.WebhookSecret, error) {
	r := new(webhookRow)
	if err := d.bun.NewSelect().Model(r).Where("id = ?", id).Scan(ctx); err != nil {
		return importer.WebhookSecret{}, webhookError("read secret", err)
	}
	return r.toSecret(d.now()), nil
}

// RotateWebhookSecret makes a new secret; the old one signs too for a day. The
// one before that does no longer.
func (d *DB) RotateWebhookSecret(ctx context.Context, id uuid.UUID) (importer.WebhookSecret, error) {
	var result importer.WebhookSecret
	err := d.changeWebhook(ctx, id, 0, func(ctx context.Context, t *tx, r *webhookRow) error {
		at := d.now()
		until, old := at.Add(rotationOverlap), r.Secret
		r.OldSecret, r.OldSecretUntil, r.Secret = &old, &until, newSecret()
		r.Version++
		r.UpdatedAt = at
		_, err := t.NewUpdate().Model(r).WherePK().Column("secret", "old_secret", "old_secret_until", "version", "updated_at").Exec(ctx)
		if err != nil {
			return err
		}
		result = r.toSecret(at)
		_, err = t.announceWebhook(ctx, importer.EventWebhookUpdated, id, at)
		return err
	})
	return result, webhookError("rotate secret", err)
}

func (r *webhookRow) toSecret(now time.Time) importer.WebhookSecret {
	s := importer.WebhookSecret{Secret: r.Secret}
	if r.OldSecretUntil != nil && r.OldSecretUntil.After(now) {
		s.OldUntil = utc(r.OldSecretUntil)
	}
	return s
}

// changeWebhook locks a webhook and checks its version; 0 is any.
func (d *DB) changeWebhook(ctx context.Context, id uuid.UUID, version int64, change func(ctx context.Context, t *tx, r *webhookRow) error) error {
	return d.write(ctx, func(ctx context.Context, t *tx) error {
		r := new(webhookRow)
		if err := t.NewSelect().Model(r).Where("id = ?", id).For("UPDATE").Scan(ctx); err != nil {
			return err
		}
		if version != 0 && version != r.Version {
			return importer.Errorf(importer.Precondition, "Somebody has changed this webhook since you read it: it is at version %d, not %d. Read it again and repeat your change.", r.Version, version)
		}
		return change(ctx, t, r)
	})
}

// newSecret makes a secret of the Standard Webhooks, of 256 random bits.
func newSecret() string {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(key[:])
}

// webhookError is domain for what can go wrong with one webhook.
func webhookError(doing string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return importer.Errorf(importer.NotFound, "There is no such webhook.")
	}
	return domain(doing, err)
}
