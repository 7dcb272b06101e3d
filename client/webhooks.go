package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"importer"
)

// EventType is a type of event that webhooks get, from the server's catalogue.
type EventType struct {
	Type        string          `json:"type"`
	Description string          `json:"description"`
	Schema      json.RawMessage `json:"schema"` // JSON Schema of the body
	Example     json.RawMessage `json:"example"`
}

// Webhooks lists all webhooks, oldest first.
func (c *Client) Webhooks(ctx context.Context) ([]importer.Webhook, error) {
	type answer struct{ Items []importer.Webhook }
	r, err := c.request(ctx).SetResult(&answer{}).Get("/api/webhooks")
	a, err := finish[answer](r, err)
	return a.Items, err
}

// Webhook returns one webhook.
func (c *Client) Webhook(ctx context.Context, id uuid.UUID) (importer.Webhook, error) {
	r, err := c.request(ctx).SetResult(&importer.Webhook{}).Get(webhookPath(id))
	return finish[importer.Webhook](r, err)
}

// CreateWebhook adds a webhook. Its answer is the only one with the secret in
// it. key is as for CreateProduct; an answer that is given again for it has no
// secret.
func (c *Client) CreateWebhook(ctx context.Context, f importer.WebhookFields, key string) (importer.Webhook, error) {
	q := c.request(ctx).SetBody(f).SetResult(&importer.Webhook{})
	if key != "" {
		q.SetHeader("Idempotency-Key", key)
	}
	r, err := q.Post("/api/webhooks")
	return finish[importer.Webhook](r, err)
}

// UpdateWebhook changes the fields that are set; version as for UpdateProduct.
func (c *Client) UpdateWebhook(ctx context.Context, id uuid.UUID, version int64, f importer.WebhookFields) (importer.Webhook, error) {
	r, err := ifMatch(c.request(ctx), version).SetBody(f).SetResult(&importer.Webhook{}).Patch(webhookPath(id))
	return finish[importer.Webhook](r, err)
}

// DeleteWebhook deletes a webhook; version as for UpdateProduct.
func (c *Client) DeleteWebhook(ctx context.Context, id uuid.UUID, version int64) error {
	return done(ifMatch(c.request(ctx), version).Delete(webhookPath(id)))
}

// TestWebhook sends a webhook.test and returns what came of it. That the
// attempt failed is no error.
func (c *Client) TestWebhook(ctx context.Context, id uuid.UUID) (importer.Attempt, error) {
	r, err := c.request(ctx).SetResult(&importer.Attempt{}).Post(webhookPath(id) + "/test")
	return finish[importer.Attempt](r, err)
}

// WebhookSecret reveals the secret.
func (c *Client) WebhookSecret(ctx context.Context, id uuid.UUID) (importer.WebhookSecret, error) {
	r, err := c.request(ctx).SetResult(&importer.WebhookSecret{}).Get(webhookPath(id) + "/secret")
	return finish[importer.WebhookSecret](r, err)
}

// RotateWebhookSecret makes a new secret; the old one signs too for a day.
func (c *Client) RotateWebhookSecret(ctx context.Context, id uuid.UUID) (importer.WebhookSecret, error) {
	r, err := c.request(ctx).SetResult(&importer.WebhookSecret{}).Post(webhookPath(id) + "/rotate-secret")
	return finish[importer.WebhookSecret](r, err)
}

// Deliveries returns one page of the deliveries of a webhook, newest first.
func (c *Client) Deliveries(ctx context.Context, q importer.DeliveryQuery) (importer.Page[importer.Delivery], error) {
	params := url.Values{}
	for _, state := range q.States {
		params.Add("state", string(state))
	}
	for name, value := range map[string]string{"type": q.Type, "cursor": q.Before} {
		if value != "" {
			params.Set(name, value)
		}
	}
	if q.Retrying {
		params.Set("retrying", "true")
	}
	if q.Limit > 0 {
		params.Set("limit", strconv.Itoa(q.Limit))
	}
	r, err := c.request(ctx).SetQueryParamsFromValues(params).SetResult(&importer.Page[importer.Delivery]{}).Get(webhookPath(q.WebhookID) + "/deliveries")
	return finish[importer.Page[importer.Delivery]](r, err)
}

// EachDelivery goes through all deliveries that match, a page at a time. An
// error ends it.
func (c *Client) EachDelivery(ctx context.Context, q importer.DeliveryQuery) iter.Seq2[importer.Delivery, error] {
	return func(yield func(importer.Delivery, error) bool) {
		for {
			page, err := c.Deliveries(ctx, q)
			if err != nil {
				yield(importer.Delivery{}, err)
				return
			}
			for _, d := range page.Items {
				if !yield(d, nil) {
					return
				}
			}
			if page.Next == nil {
				return
			}
			q.Before = *page.Next
		}
	}
}

// Delivery returns a delivery with all its attempts and its body.
func (c *Client) Delivery(ctx context.Context, id int64) (importer.Delivery, error) {
	r, err := c.request(ctx).SetResult(&importer.Delivery{}).Get(deliveryPath(id))
	return finish[importer.Delivery](r, err)
}

// Resend sends a delivery again, with the id it has.
func (c *Client) Resend(ctx context.Context, id int64) (importer.Delivery, error) {
	r, err := c.request(ctx).SetResult(&importer.Delivery{}).Post(deliveryPath(id) + "/resend")
	return finish[importer.Delivery](r, err)
}

// ResendFailed sends again all that was given up since, and returns how many
// those are.
func (c *Client) ResendFailed(ctx context.Context, webhook uuid.UUID, since time.Time) (int64, error) {
	type answer struct{ Resent int64 }
	r, err := c.request(ctx).SetQueryParam("since", since.UTC().Format(time.RFC3339Nano)).SetResult(&answer{}).Post(webhookPath(webhook) + "/resend")
	a, err := finish[answer](r, err)
	return a.Resent, err
}

// EventTypes is the server's catalogue of what webhooks can be told.
func (c *Client) EventTypes(ctx context.Context) ([]EventType, error) {
	type answer struct{ Items []EventType }
	r, err := c.request(ctx).SetResult(&answer{}).Get("/api/event-types")
	a, err := finish[answer](r, err)
	return a.Items, err
}

func webhookPath(id uuid.UUID) string { return "/api/webhooks/" + id.String() }

func deliveryPath(id int64) string { return "/api/deliveries/" + strconv.FormatInt(id, 10) }
