package db

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"importer"
)

// maxPayload is what a webhook may weigh, in bytes.
const maxPayload = 64 << 10

// outboxRow is an event that waits to be sent to integrations.
type outboxRow struct {
	bun.BaseModel `bun:"table:webhook_events,alias:w"`

	ID        string `bun:",pk"`
	Type      string
	Payload   []byte
	CreatedAt time.Time
}

// productData is the data of the events of one product. A description that
// would make a webhook too large is left out, and that is said.
type productData struct {
	Product            importer.Product `json:"product"`
	DescriptionOmitted bool             `json:"description_omitted,omitempty"`
}

type changedData struct {
	ImportID uuid.UUID `json:"import_id"`
	Created  int64     `json:"created"`
	Updated  int64     `json:"updated"`
}

type deletedAllData struct {
	Deleted int64 `json:"deleted"`
}

// announceProduct leaves the event of a change to one product.
func (t *tx) announceProduct(kind string, p importer.Product, at time.Time) error {
	data, err := json.Marshal(productData{Product: p})
	if err != nil {
		return err
	}
	const envelope = 1 << 10
	if len(data) > maxPayload-envelope {
		p.Description = ""
		if data, err = json.Marshal(productData{Product: p, DescriptionOmitted: true}); err != nil {
			return err
		}
	}
	t.events = append(t.events, importer.Event{Topic: importer.TopicProducts, Kind: kind, At: at, Data: data})
	return nil
}

// announceBulk leaves the event of a change to many products.
func (t *tx) announceBulk(kind string, data any, at time.Time) error {
	raw, err := json.Marshal(data)
	t.events = append(t.events, importer.Event{Topic: importer.TopicProducts, Kind: kind, At: at, Data: raw})
	return err
}

// announceEnd leaves the event that the catalogue was changed, when an import
// ends that has changed it. One that was retried tells what is new since it
// ended before.
func (t *tx) announceEnd(r *importRow, at time.Time) error {
	if !r.State.Ended() || r.NewCreated+r.NewUpdated == 0 {
		return nil
	}
	return t.announceBulk(importer.EventProductsChanged, changedData{r.ID, r.NewCreated, r.NewUpdated}, at)
}

// appendOutbox writes what integrations are to hear of numbered events: those
// of the catalogue.
func appendOutbox(ctx context.Context, t *tx, events []importer.Event) error {
	var rows []outboxRow
	for _, e := range events {
		if e.Topic != importer.TopicProducts {
			continue
		}
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		payload, err := webhookPayload(e)
		if err != nil {
			return err
		}
		rows = append(rows, outboxRow{ID: "msg_" + id.String(), Type: e.Kind, Payload: payload, CreatedAt: e.At})
	}
	if len(rows) == 0 {
		return nil
	}
	_, err := t.NewInsert().Model(&rows).Exec(ctx)
	return err
}

// webhookPayload is the body of a webhook. data also has the number of the
// event in its topic, for receivers that care for the order.
func webhookPayload(e importer.Event) ([]byte, error) {
	data := map[string]json.RawMessage{}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return nil, err
	}
	seq, err := json.Marshal(e.Seq)
	if err != nil {
		return nil, err
	}
	data["seq"] = seq
	body, err := json.Marshal(struct {
		Type      string                     `json:"type"`
		Timestamp time.Time                  `json:"timestamp"`
		Data      map[string]json.RawMessage `json:"data"`
	}{e.Kind, e.At, data})
	return body, err
}
