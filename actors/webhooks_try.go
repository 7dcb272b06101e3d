package actors

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"importer"
)

// testMessage is what a webhook.test says.
const testMessage = "This is a test. Your webhook works."

// TestWebhook sends a signed webhook.test at once, past the queue, over the
// same guarded connections as everything else, and records it.
func (s *System) TestWebhook(ctx context.Context, id uuid.UUID) (importer.Attempt, error) {
	if s.Webhooks == nil {
		return importer.Attempt{}, importer.Errorf(importer.Unavailable, "This machine does not send to webhooks.")
	}
	target, err := s.Webhooks.WebhookTarget(ctx, id)
	if err != nil {
		return importer.Attempt{}, err
	}
	event, err := uuid.NewV7()
	if err != nil {
		return importer.Attempt{}, err
	}
	at, eventID := s.Now().UTC(), "msg_"+event.String()
	payload, err := json.Marshal(importer.WebhookBody[importer.TestEvent]{
		Type: importer.EventWebhookTest, Timestamp: at, Data: importer.TestEvent{WebhookID: id, Message: testMessage},
	})
	if err != nil {
		return importer.Attempt{}, err
	}
	a, err := s.client.post(ctx, target, eventID, payload)
	if err != nil {
		return importer.Attempt{}, err
	}
	a.At = at
	class := a.Error
	if a.OK {
		class = "delivered"
	}
	s.Observe.Attempted(class, a.took)
	// It was made, whether its caller still wants to know or not.
	saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	return a.Attempt, s.Webhooks.SaveTest(saving, s.Node, id, eventID, a.Attempt)
}

// WakeWebhooks looks for deliveries now.
func (s *System) WakeWebhooks() {
	if s.webhooks != nil {
		s.send(s.webhooks, wakeWebhooks{})
	}
}
