package importer

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Types of events that only webhooks get; none is in the log of a topic.
const (
	// EventWebhookTest is what a test sends, whatever the webhook's events are.
	EventWebhookTest = "webhook.test"
	// EventImportProgress comes at most every ProgressEvery an import.
	EventImportProgress = "import.progress"
)

const (
	// ProgressEvery is the least time between two import.progress of an import.
	ProgressEvery = 5 * time.Second
	// MaxChangedSKUs is how many SKUs one products.changed names at most.
	MaxChangedSKUs = 500
	// MaxPayload is what the body of a delivery may weigh, in bytes.
	MaxPayload = 64 << 10
)

// WebhookTypes lists the types of events that a webhook can ask for, sorted.
// webhook.test is not among them: it comes when somebody asks for it.
func WebhookTypes() []string {
	types := []string{
		EventProductCreated, EventProductUpdated, EventProductDeleted,
		EventProductsChanged, EventProductsDeletedAll,
		EventImportStarted, EventImportProgress, EventImportCompleted, EventImportFailed, EventImportCancelled,
		EventWebhookDisabled,
	}
	slices.Sort(types)
	return types
}

// MatchesEvent reports whether a filter of a webhook selects an event type:
// the type itself, a family like import.*, or * for all.
func MatchesEvent(filter, eventType string) bool {
	if family, ok := strings.CutSuffix(filter, ".*"); ok {
		return strings.HasPrefix(eventType, family+".")
	}
	return filter == "*" || filter == eventType
}

// WebhookBody is the body of a delivery (Standard Webhooks, "Payload
// structure"). Data has a member seq where the event is one of a topic's log:
// it grows with every event of that topic, for receivers that care for order.
type WebhookBody[T any] struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"` // when it happened, not when it was sent
	Data      T         `json:"data"`
}

// ProductEvent is the data of product.created, .updated and .deleted.
type ProductEvent struct {
	Product            Product `json:"product"`                       // as it is after the change; as it was when deleted
	DescriptionOmitted bool    `json:"description_omitted,omitempty"` // it would not have fitted into MaxPayload
	Seq                int64   `json:"seq"`
}

// ProductsChangedEvent is the data of products.changed: what a batch of an
// import changed. There are several a batch.
type ProductsChangedEvent struct {
	ImportID uuid.UUID `json:"import_id"`
	Batch    int       `json:"batch"`
	SKUs     []string  `json:"skus"` // MaxChangedSKUs at most; created or changed
}

// ProductsDeletedEvent is the data of products.deleted_all.
type ProductsDeletedEvent struct {
	Deleted int64 `json:"deleted"`
	Seq     int64 `json:"seq"`
}

// ImportEvent is the data of import.started, .completed, .failed, .cancelled
// and .progress; of progress without seq.
type ImportEvent struct {
	Import Import `json:"import"`
	Seq    int64  `json:"seq,omitempty"`
}

// WebhookEvent is the data of webhook.disabled.
type WebhookEvent struct {
	Webhook Webhook `json:"webhook"`
	Seq     int64   `json:"seq"`
}

// TestEvent is the data of webhook.test.
type TestEvent struct {
	WebhookID uuid.UUID `json:"webhook_id"`
	Message   string    `json:"message"`
}
