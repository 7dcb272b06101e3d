package importer

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
)

// Webhook is an address that is told of events: one signed POST each
// (Standard Webhooks), at least once, with one id however often it is sent.
type Webhook struct {
	ID          uuid.UUID         `json:"id"` // v7
	URL         string            `json:"url"`
	Events      []string          `json:"events"`  // types, or with a wildcard: import.*, *
	Enabled     bool              `json:"enabled"` // State is active
	State       WebhookState      `json:"state"`
	StateReason string            `json:"state_reason"` // why it is disabled, a sentence; else ""
	Headers     map[string]string `json:"headers"`      // sent with each delivery; never nil
	TimeoutMS   int               `json:"timeout_ms"`   // for a whole answer, its body included
	MaxInFlight int               `json:"max_in_flight"`
	RatePerS    float64           `json:"rate_per_s"`   // deliveries started a second; 0 means no limit
	StrictOrder bool              `json:"strict_order"` // one at a time, the next only when the one before is through
	Version     int64             `json:"version"`      // grows with every change by people; the ETag

	LastAttempt *Attempt    `json:"last_attempt"`
	Week        WebhookWeek `json:"week"`
	Pending     int64       `json:"pending"` // deliveries that wait for their first or next attempt; more than MaxPending are not counted

	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`

	Secret string `json:"secret,omitempty"` // in the answer to its creation only
}

// WebhookState is whether a webhook is sent to.
//
//	active ◀─▶ paused                 people switch it
//	active ──▶ disabled ──▶ active    410 Gone, or three days of failing; people switch it on again
//
// Events that happen while it is paused wait for it; those that happen while
// it is disabled are not for it.
type WebhookState string

// The states of a webhook.
const (
	WebhookActive   WebhookState = "active"
	WebhookPaused   WebhookState = "paused"
	WebhookDisabled WebhookState = "disabled"
)

// WebhookWeek counts the deliveries of the last seven days that ended.
type WebhookWeek struct {
	Delivered int64 `json:"delivered"`
	Failed    int64 `json:"failed"` // given up after the last attempt
}

// WebhookFields is what people say of a webhook. A nil field is left as it
// is; creating needs URL and Events, the others have defaults.
type WebhookFields struct {
	URL         *string            `json:"url,omitempty"`
	Events      *[]string          `json:"events,omitempty"`
	Enabled     *bool              `json:"enabled,omitempty"`
	Headers     *map[string]string `json:"headers,omitempty"`
	TimeoutMS   *int               `json:"timeout_ms,omitempty"`    // 1,000 to 30,000; default 15,000
	MaxInFlight *int               `json:"max_in_flight,omitempty"` // 1 to 32; default 8
	RatePerS    *float64           `json:"rate_per_s,omitempty"`    // 0 to 1,000; default 0: no limit
	StrictOrder *bool              `json:"strict_order,omitempty"`
}

// WebhookSecret is what deliveries are signed with. After a rotation both
// sign, until OldUntil.
type WebhookSecret struct {
	Secret   string     `json:"secret"` // whsec_ and base64
	OldUntil *time.Time `json:"old_until"`
}

// Delivery is one event for one webhook.
type Delivery struct {
	ID        int64         `json:"id"`
	WebhookID uuid.UUID     `json:"webhook_id"`
	EventID   string        `json:"event_id"` // msg_…, the header webhook-id
	Type      string        `json:"type"`
	State     DeliveryState `json:"state"`
	Attempts  []Attempt     `json:"attempts"` // newest first; in a list only the newest
	Tries     int           `json:"tries"`    // attempts so far
	CreatedAt time.Time     `json:"created_at"`

	NextAttemptAt *time.Time      `json:"next_attempt_at"` // nil when no more will be made
	Payload       json.RawMessage `json:"payload"`         // the body as it is sent; null in a list
}

// DeliveryState is what became of a delivery.
//
//	pending ─▶ delivered
//	   │  ▲
//	   ▼  │ resend (also of a delivered one: the same id once more)
//	exhausted | cancelled
type DeliveryState string

// The states of a delivery.
const (
	DeliveryPending   DeliveryState = "pending"   // waits for its first or next attempt
	DeliveryDelivered DeliveryState = "delivered" // answered with 2xx
	DeliveryExhausted DeliveryState = "exhausted" // failed ten times in 75 hours
	DeliveryCancelled DeliveryState = "cancelled" // its webhook was disabled
)

// Attempt is one request, and what came of it.
type Attempt struct {
	At       time.Time `json:"at"`
	N        int       `json:"n"` // 1 for the first of its delivery; 0 for a test
	OK       bool      `json:"ok"`
	Status   int       `json:"status"` // 0 when there was no answer
	Error    string    `json:"error"`  // a class of failure, below; "" for none
	MS       int64     `json:"ms"`
	RemoteIP string    `json:"remote_ip"`
	Response string    `json:"response"` // the first 4 KiB of the body; what is not UTF-8 is replaced
	// Request headers as they were sent, signature included, but for the values
	// of those that people have set; only with a test and with one delivery.
	Request map[string]string `json:"request,omitempty"`
}

// The classes of failed attempts.
const (
	AttemptStatus   = "status"    // an answer, but not with 2xx
	AttemptRedirect = "redirect"  // 3xx; redirects are never followed
	AttemptTimeout  = "timeout"   // no whole answer in time
	AttemptDNS      = "dns"       // the host has no address
	AttemptRefused  = "refused"   // nobody listens there, or no route to it
	AttemptReset    = "reset"     // the connection was cut
	AttemptTLS      = "tls"       // no trusted TLS connection
	AttemptBlocked  = "blocked"   // the address is private or reserved
	AttemptBadReply = "bad_reply" // the answer is not HTTP, or its headers are over 32 KiB
	AttemptOther    = "other"
)

// ErrBlocked is why a connection was not made: AttemptBlocked.
var ErrBlocked = errors.New("the address is private or reserved")

// DeliveryQuery selects deliveries of one webhook, newest first.
type DeliveryQuery struct {
	WebhookID uuid.UUID
	States    []DeliveryState // none means all
	Retrying  bool            // of the pending ones only those that have failed before
	Type      string          // "" means all
	Before    string          // the Next of the page before, or ""
	Limit     int             // 1 to 100
}

// Event kinds of the topic webhooks. Data is {"webhook": …}, as the REST API
// shows it, without its secret. What webhooks get of it is also without the
// headers, which may be secrets of another receiver.
const (
	EventWebhookCreated   = "webhook.created"
	EventWebhookUpdated   = "webhook.updated"
	EventWebhookDeleted   = "webhook.deleted" // as it was
	EventWebhookDisabled  = "webhook.disabled"
	EventWebhookAttempted = "webhook.attempted" // data is WebhooksAttempted
)

// WebhooksAttempted is the data of EventWebhookAttempted: webhooks that were
// sent to since the last one, at most once a second a machine.
type WebhooksAttempted struct {
	Attempted []WebhookAttempted `json:"attempted"`
}

// WebhookAttempted is one of WebhooksAttempted.
type WebhookAttempted struct {
	ID          uuid.UUID `json:"id"`
	LastAttempt Attempt   `json:"last_attempt"` // without its response
}

// WebhookStore keeps webhooks and their deliveries for people and programs.
// db implements it. Every change appends its event to the topic webhooks in
// the same transaction. Errors are *Error: Invalid with a pointer a field,
// NotFound, Conflict, Precondition when version is not the webhook's (0 means
// any), Malformed for a cursor that is not one of ours, Unavailable.
type WebhookStore interface {
	// Webhooks lists all, oldest first. There are MaxWebhooks at most.
	Webhooks(ctx context.Context) ([]Webhook, error)
	Webhook(ctx context.Context, id uuid.UUID) (Webhook, error)
	// CreateWebhook makes a secret; the answer is the only one that has it.
	CreateWebhook(ctx context.Context, f WebhookFields) (Webhook, error)
	// UpdateWebhook changes what is set. Enabled switches; switching a disabled
	// one on forgets its failures.
	UpdateWebhook(ctx context.Context, id uuid.UUID, version int64, f WebhookFields) (Webhook, error)
	DeleteWebhook(ctx context.Context, id uuid.UUID, version int64) error
	// WebhookSecret reveals the secret.
	WebhookSecret(ctx context.Context, id uuid.UUID) (WebhookSecret, error)
	// RotateWebhookSecret makes a new one; the old one signs too for a day.
	RotateWebhookSecret(ctx context.Context, id uuid.UUID) (WebhookSecret, error)

	Deliveries(ctx context.Context, q DeliveryQuery) (Page[Delivery], error)
	Delivery(ctx context.Context, id int64) (Delivery, error)
	// Resend makes a delivery due at once, with all its attempts to come; it
	// keeps its id.
	Resend(ctx context.Context, id int64) (Delivery, error)
	// ResendFailed does so with all that were given up since, and returns how
	// many those are.
	ResendFailed(ctx context.Context, webhook uuid.UUID, since time.Time) (int64, error)
}

// MaxPending is how far Webhook.Pending counts.
const MaxPending = 1_000

// MaxWebhooks is how many webhooks there may be.
const MaxWebhooks = 2_000

// WebhookSender sends. actors.System implements it.
type WebhookSender interface {
	// TestWebhook sends a signed webhook.test at once, past the queue, and
	// returns what came of it; a failed attempt is no error.
	TestWebhook(ctx context.Context, id uuid.UUID) (Attempt, error)
	// WakeWebhooks looks for deliveries now: one was made due. It returns at once.
	WakeWebhooks()
}
