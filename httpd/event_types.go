package httpd

import (
	"context"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"importer"
)

// EventType is a type of event that webhooks get.
type EventType struct {
	Type        string `json:"type" doc:"As a webhook asks for it."`
	Description string `json:"description"`
	Schema      any    `json:"schema" doc:"JSON Schema (2020-12) of the body of a delivery."`
	Example     any    `json:"example" doc:"A body."`
}

// EventTypeList is the catalogue of events.
type EventTypeList struct {
	Items []EventType `json:"items"`
}

// eventTypes is the catalogue: schemas and examples come from the types that
// the bodies are made of.
func eventTypes() EventTypeList {
	product := func(kind, says string) EventType {
		return eventType(kind, says, importer.ProductEvent{Product: exampleProduct, Seq: 7})
	}
	ended := func(kind, says string, state importer.State, change func(*importer.Import)) EventType {
		i := exampleImport
		i.State = state
		if change != nil {
			change(&i)
		}
		return eventType(kind, says, importer.ImportEvent{Import: i, Seq: 12})
	}
	disabled := exampleWebhook
	disabled.Headers = map[string]string{}
	disabled.State, disabled.Enabled, disabled.StateReason = importer.WebhookDisabled, false, "It answered 410 Gone: nobody listens there any more."
	end := exampleTime.Add(2e9)
	return EventTypeList{[]EventType{
		product(importer.EventProductCreated, "Somebody created a product, in the dashboard or over the API. Imports tell of theirs in products.changed."),
		product(importer.EventProductUpdated, "Somebody changed a product; the product as it is now."),
		product(importer.EventProductDeleted, "Somebody deleted a product; the product as it was."),
		eventType(importer.EventProductsChanged, "An import created or changed products: their SKUs, up to 500 an event, as the import goes on. Read what you need of them.",
			importer.ProductsChangedEvent{ImportID: exampleImport.ID, Batch: 3, SKUs: []string{"LMP-1", "LMP-2"}}),
		eventType(importer.EventProductsDeletedAll, "Somebody deleted all products.", importer.ProductsDeletedEvent{Deleted: 500_000, Seq: 8}),
		ended(importer.EventImportStarted, "An import's file is whole and a machine works on it. It may come again when another machine goes on with it.", importer.Scanning, nil),
		eventType(importer.EventImportProgress, "How far an import is, every 5 seconds at most.", importer.ImportEvent{Import: exampleImport}),
		ended(importer.EventImportCompleted, "All rows of the file are in the catalogue or listed as rejected.", importer.Completed, func(i *importer.Import) {
			i.Counts = importer.Counts{Rows: 500_000, Created: 474_997, Duplicates: 25_000, Rejected: 3}
			i.Progress.Phase, i.Progress.RowsDone, i.Progress.Percent, i.FinishedAt = importer.PhaseComplete, 474_997, 100, &end
		}),
		ended(importer.EventImportFailed, "An import has ended early; error says why, and whether a retry can help.", importer.Failed, func(i *importer.Import) {
			i.Error = &importer.ImportError{Code: importer.StorageFull, Message: "The database has no disk space left. What is written stays.", Retry: true}
			i.FinishedAt = &end
		}),
		ended(importer.EventImportCancelled, "Somebody cancelled an import; what it had written stays.", importer.Cancelled, func(i *importer.Import) { i.FinishedAt = &end }),
		eventType(importer.EventWebhookDisabled, "Another webhook is not sent to any more, because it failed for three days or said that it is gone. Its headers are left out.", importer.WebhookEvent{Webhook: disabled, Seq: 4}),
		eventType(importer.EventWebhookTest, "Somebody pressed Test. It needs no choosing.", importer.TestEvent{WebhookID: exampleWebhook.ID, Message: "This is a test. Your webhook works."}),
	}}
}

func eventType[T any](kind, says string, data T) EventType {
	r := huma.NewMapRegistry("#/$defs/", huma.DefaultSchemaNamer)
	schema := huma.SchemaFromType(r, reflect.TypeFor[importer.WebhookBody[T]]())
	nullables(r)
	schema.Properties["type"].Enum = []any{kind}
	// A receiver should not break when a member is added.
	for _, s := range r.Map() {
		s.AdditionalProperties = nil
	}
	schema.AdditionalProperties = nil
	return EventType{kind, says, described{schema, "https://json-schema.org/draft/2020-12/schema", r.Map()}, importer.WebhookBody[T]{Type: kind, Timestamp: exampleTime, Data: data}}
}

// described is a schema that stands by itself.
type described struct {
	*huma.Schema
	dialect string
	defs    map[string]*huma.Schema
}

// MarshalJSON implements json.Marshaler.
func (d described) MarshalJSON() ([]byte, error) {
	whole := *d.Schema
	whole.Extensions = map[string]any{"$schema": d.dialect}
	if len(d.defs) > 0 {
		whole.Extensions["$defs"] = d.defs
	}
	return whole.MarshalJSON()
}

func (s *Server) listEventTypes(context.Context, *struct{}) (*body[EventTypeList], error) {
	return &body[EventTypeList]{eventTypes()}, nil
}
