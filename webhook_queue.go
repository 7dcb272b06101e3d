package importer

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// WebhookTarget is what a request to a webhook needs.
type WebhookTarget struct {
	ID          uuid.UUID
	Version     int64 // of the webhook when this was read
	URL         string
	Secrets     []string // whsec_…; the newest first, a second one only during a rotation
	Headers     map[string]string
	Timeout     time.Duration
	MaxInFlight int
	RatePerS    float64 // 0 means no limit
	StrictOrder bool
}

// WebhookClaim is the right to send to a webhook: a lease of LeaseTime that
// has to be renewed, fenced by Epoch, as that of an import is. One machine at
// a time has it, so that limits, order and breaker are plain local state.
type WebhookClaim struct {
	WebhookTarget
	Epoch      int64
	Failures   int           // attempts in a row that failed, of any delivery
	FailingFor time.Duration // since the first of those
}

// DueDelivery is a delivery to attempt now.
type DueDelivery struct {
	ID      int64
	EventID string // msg_…
	Tries   int    // attempts so far
	Payload []byte // the exact body
}

// AttemptResult is an attempt to record, and what follows from it for its
// delivery: when Attempt.OK, it is delivered; else it is retried, or given up.
type AttemptResult struct {
	Webhook  uuid.UUID
	Epoch    int64
	Delivery int64
	EventID  string
	Attempt  Attempt       // At is set by the store
	Age      time.Duration // since the attempt began; the store subtracts it from its own clock
	RetryIn  time.Duration // when not OK
	GiveUp   bool          // when not OK: no more attempts
	Spared   bool          // when not OK: it does not count as one of the delivery's attempts
}

// WebhookRelease gives a claim back. It is made after the results of all its
// attempts are saved.
type WebhookRelease struct {
	ID       uuid.UUID
	Epoch    int64
	Failures int
	Pause    time.Duration // nobody sends to it for so long
	Used     time.Duration // the sum of the times its requests took: what fairness goes by
	Disable  string        // why, a sentence for people, when the webhook is to be disabled; else ""
}

// WebhookQueue is what senders work off. db implements it. All of it is safe
// on several machines at once; times are the database's.
type WebhookQueue interface {
	// FanOut makes deliveries of up to limit events that wait for it, and
	// returns how many events it took; products.changed only with bulk.
	FanOut(ctx context.Context, limit int, bulk bool) (int, error)
	// ClaimWebhooks takes up to limit active webhooks that have something due
	// and that nobody sends to, those first that were served least of late.
	ClaimWebhooks(ctx context.Context, node uuid.UUID, limit int) ([]WebhookClaim, error)
	// RenewWebhooks renews the claims of node on ids and returns the epochs of
	// those it still has.
	RenewWebhooks(ctx context.Context, node uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]int64, error)
	// DueDeliveries lists up to limit deliveries of a claim that are due, the
	// longest due first, without those in busy. With StrictOrder these are the
	// oldest that wait, in order, as far as they are due. None when the webhook
	// was paused, disabled, changed (its Version is another) or deleted, or when
	// somebody else has the claim.
	DueDeliveries(ctx context.Context, c WebhookClaim, busy []int64, limit int) ([]DueDelivery, error)
	// ProbeDelivery picks one delivery to find out whether a failing webhook is
	// well again, whether it is due or not: the one tried least, or the one
	// tried most. None as with DueDeliveries.
	ProbeDelivery(ctx context.Context, c WebhookClaim, triedMost bool) ([]DueDelivery, error)
	// SaveAttempts records attempts. A success counts whoever reports it, for it
	// is a fact; a failure changes its delivery only under the current epoch.
	SaveAttempts(ctx context.Context, node uuid.UUID, results []AttemptResult) error
	// TellAttempts appends webhook.attempted to the topic webhooks, for those who
	// watch. Call it once a second at most.
	TellAttempts(ctx context.Context, last []WebhookAttempted) error
	// ReleaseWebhooks gives claims back; those that were lost are left alone.
	ReleaseWebhooks(ctx context.Context, releases []WebhookRelease) error
	// WebhookTarget reads what a test needs. NotFound.
	WebhookTarget(ctx context.Context, id uuid.UUID) (WebhookTarget, error)
	// SaveTest records the attempt of a test; it belongs to no delivery.
	SaveTest(ctx context.Context, node, webhook uuid.UUID, eventID string, a Attempt) error
	// TrimWebhooks makes room: it makes the coming days' partitions of attempts,
	// drops those older than keep, deletes up to limit events and ended
	// deliveries that are older, and returns how many it deleted.
	TrimWebhooks(ctx context.Context, keep time.Duration, limit int) (int, error)
}

// WebhookRetention is how long events, deliveries and attempts are kept.
const WebhookRetention = 30 * 24 * time.Hour
