package db

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"importer"
)

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
	if len(data) > importer.MaxPayload-envelope {
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
	return t.announceData(importer.TopicProducts, kind, data, at)
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
