package db

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"importer"
)

// outboxRow is an event that waits to be sent to webhooks.
type outboxRow struct {
	bun.BaseModel `bun:"table:webhook_events,alias:v"`

	ID        string `bun:",pk"`
	Type      string
	Payload   []byte
	CreatedAt time.Time
}

// newOutboxRow makes a row of a body that is ready. Its id sorts by time.
func newOutboxRow(kind string, at time.Time, data any) (outboxRow, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return outboxRow{}, err
	}
	payload, err := json.Marshal(importer.WebhookBody[any]{Type: kind, Timestamp: at, Data: data})
	return outboxRow{ID: "msg_" + id.String(), Type: kind, Payload: payload, CreatedAt: at}, err
}

// forWebhooks says of which events webhooks hear, by topic. What an import
// changed is told batch by batch instead (tellChanged); an import's own topic
// repeats that of the list.
var forWebhooks = map[string][]string{
	importer.TopicProducts: {
		importer.EventProductCreated, importer.EventProductUpdated, importer.EventProductDeleted, importer.EventProductsDeletedAll,
	},
	importer.TopicImports: {
		importer.EventImportStarted, importer.EventImportCompleted, importer.EventImportFailed, importer.EventImportCancelled,
	},
	importer.TopicWebhooks: {importer.EventWebhookDisabled},
}

// appendOutbox writes what webhooks are to hear of numbered events.
func appendOutbox(ctx context.Context, t *tx, events []importer.Event) error {
	var rows []outboxRow
	for _, e := range events {
		if !slices.Contains(forWebhooks[e.Topic], e.Kind) {
			continue
		}
		data := map[string]json.RawMessage{}
		if err := json.Unmarshal(e.Data, &data); err != nil {
			return err
		}
		var err error
		if e.Topic == importer.TopicWebhooks {
			if data["webhook"], err = withoutHeaders(data["webhook"]); err != nil {
				return err
			}
		}
		if data["seq"], err = json.Marshal(e.Seq); err != nil {
			return err
		}
		row, err := newOutboxRow(e.Kind, e.At, data)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil
	}
	_, err := t.NewInsert().Model(&rows).Exec(ctx)
	return err
}

func withoutHeaders(webhook json.RawMessage) (json.RawMessage, error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(webhook, &fields); err != nil {
		return nil, err
	}
	fields["headers"] = json.RawMessage("{}")
	return json.Marshal(fields)
}

// wantedBy is a condition on webhooks: those that want the type of event in
// the given column or parameter, and may get it.
func wantedBy(eventType string) string {
	return `state <> 'disabled' AND EXISTS (
		SELECT FROM unnest(events) AS f
		WHERE f = '*' OR f = ` + eventType + ` OR right(f, 2) = '.*' AND starts_with(` + eventType + `, left(f, -1)))`
}
