package httpd_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"importer"
)

// asyncDocument is the description of /ws, as far as tests need it.
type asyncDocument struct {
	Operations map[string]struct {
		Messages []map[string]string
	}
	Components struct {
		Messages map[string]struct {
			Payload  map[string]string
			Examples []struct {
				Name    string
				Payload json.RawMessage
			}
		}
		Schemas map[string]any
	}
}

// frameSchemas are the schemas of the frames by their type.
type frameSchemas struct {
	document asyncDocument
	exact    map[string]*jsonschema.Schema // nothing undocumented, and all data
	outer    map[string]*jsonschema.Schema // the same, but data is what a test made up
	loose    map[string]*jsonschema.Schema // with fields of the future
}

var schemas = sync.OnceValue(func() *frameSchemas {
	content, err := os.ReadFile("asyncapi.json")
	if err != nil {
		panic(err)
	}
	s := &frameSchemas{}
	if err := json.Unmarshal(content, &s.document); err != nil {
		panic(err)
	}
	s.exact = compileFrames(content, forbidMore)
	s.outer = compileFrames(content, func(schemas map[string]any) {
		forbidMore(schemas)
		for _, name := range []string{"EventData", "ImportUpdate", "Snapshot"} {
			schemas[name] = map[string]any{"type": "object"}
		}
	})
	s.loose = compileFrames(content, func(map[string]any) {})
	return s
})

// forbidMore makes all objects closed that say what they hold.
func forbidMore(schemas map[string]any) {
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if _, says := v["properties"]; says && v["type"] == "object" {
				v["additionalProperties"] = false
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(schemas)
}

func compileFrames(content []byte, change func(schemas map[string]any)) map[string]*jsonschema.Schema {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		panic(err)
	}
	components := doc.(map[string]any)["components"].(map[string]any)
	change(components["schemas"].(map[string]any))
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7) // AsyncAPI 3.0's own dialect is a superset of it
	c.AssertFormat()
	if err := c.AddResource("asyncapi.json", doc); err != nil {
		panic(err)
	}
	compiled := map[string]*jsonschema.Schema{}
	for name, m := range components["messages"].(map[string]any) {
		compiled[name] = c.MustCompile("asyncapi.json" + m.(map[string]any)["payload"].(map[string]any)["$ref"].(string))
	}
	return compiled
}

// checkFrame holds a frame against the schema of its type.
func checkFrame(t *testing.T, schemas map[string]*jsonschema.Schema, frame []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(frame))
	if err != nil {
		t.Errorf("frame %s: %v", frame, err)
		return
	}
	kind, _ := v.(map[string]any)["type"].(string)
	schema := schemas[kind]
	if schema == nil {
		t.Errorf("frame %.200s is not described", frame)
		return
	}
	if err := schema.Validate(v); err != nil {
		t.Errorf("frame %.500s: %v", frame, err)
	}
}

func TestAsyncAPIIsServed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.client = &http.Client{Transport: &http.Transport{}} // the OpenAPI document does not announce this one
	t.Cleanup(b.client.CloseIdleConnections)
	r := b.do("GET", "/api/asyncapi.json", nil)
	want, err := os.ReadFile("asyncapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if r.status != http.StatusOK || !bytes.Equal(r.body, want) {
		t.Errorf("got status %d and %d bytes, want 200 and the document", r.status, len(r.body))
	}
	if got := r.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("got content type %q", got)
	}
}

func TestAsyncAPIExamples(t *testing.T) {
	t.Parallel()
	for name, m := range schemas().document.Components.Messages {
		if len(m.Examples) == 0 {
			t.Errorf("%s has no example", name)
		}
		for _, e := range m.Examples {
			checkFrame(t, schemas().exact, e.Payload)
			if !bytes.Contains(e.Payload, []byte(`"type": "`+name+`"`)) {
				t.Errorf("%s: example %q is of another type", name, e.Name)
			}
		}
	}
}

// Each side's operation names what the other may say, and nothing is left out.
func TestAsyncAPIDirections(t *testing.T) {
	t.Parallel()
	said := map[string]bool{}
	for operation, o := range schemas().document.Operations {
		for _, ref := range o.Messages {
			name := strings.TrimPrefix(ref["$ref"], "#/channels/ws/messages/")
			if schemas().document.Components.Messages[name].Payload == nil {
				t.Errorf("%s: there is no message %q", operation, name)
			}
			said[name] = true
		}
	}
	for name := range schemas().document.Components.Messages {
		if !said[name] {
			t.Errorf("nobody says %s", name)
		}
	}
}

// The data of every kind of event, as the domain's types encode it.
func TestAsyncAPIDescribesTheDomain(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	id := uuid.Must(uuid.NewV7())
	begun := importer.Import{ID: id, State: importer.Uploading, Mapping: map[string]string{}, Attempts: 1, CreatedAt: at}
	failed := importer.Import{
		ID: id, Filename: "a.csv", Size: 7, State: importer.Failed, Mapping: map[string]string{"sku": "Art."}, Attempts: 2, CreatedAt: at, StartedAt: &at, FinishedAt: &at,
		Error: &importer.ImportError{Code: importer.MissingColumn, Message: "No.", Retry: true}, Progress: importer.Progress{Percent: 12.5, RowsPerSecond: 1e6},
	}
	product := map[string]any{"product": importer.Product{ID: 1, SKU: "A", CreatedAt: at, UpdatedAt: at}}
	hook := importer.DefaultWebhook()
	hook.ID, hook.Events, hook.LastAttempt = id, []string{"*"}, &importer.Attempt{At: at, Status: 500, Error: importer.AttemptStatus}
	for kind, data := range map[string]any{
		importer.EventImportCreated:      map[string]any{"import": begun},
		importer.EventImportQueued:       map[string]any{"import": begun},
		importer.EventImportStarted:      map[string]any{"import": begun},
		importer.EventImportWriting:      map[string]any{"import": begun},
		importer.EventImportCompleted:    map[string]any{"import": failed},
		importer.EventImportFailed:       map[string]any{"import": failed},
		importer.EventImportCancelled:    map[string]any{"import": failed},
		importer.EventProductCreated:     product,
		importer.EventProductUpdated:     product,
		importer.EventProductDeleted:     product,
		importer.EventProductsChanged:    map[string]any{"import_id": id, "created": 1, "updated": 2},
		importer.EventProductsDeletedAll: map[string]any{"deleted": 3},
		importer.EventWebhookCreated:     map[string]any{"webhook": hook},
		importer.EventWebhookUpdated:     map[string]any{"webhook": hook},
		importer.EventWebhookDeleted:     map[string]any{"webhook": hook},
		importer.EventWebhookDisabled:    map[string]any{"webhook": hook},
		importer.EventWebhookAttempted:   importer.WebhooksAttempted{Attempted: []importer.WebhookAttempted{{ID: id, LastAttempt: importer.Attempt{At: at}}}},
	} {
		e := importer.Event{Topic: importer.ImportTopic(id), Seq: 1, Kind: kind, At: at, Data: encoded(data)}
		checkFrame(t, schemas().exact, encoded(struct {
			Type string `json:"type"`
			importer.Event
		}{"event", e}))
		if !bytes.Contains(encoded(schemas().document.Components.Schemas["Kind"]), encoded(kind)) {
			t.Errorf("the document does not name %s", kind)
		}
	}
	u := importer.Update{Topic: importer.ImportTopic(id), Seq: 1, Rev: 1, Data: encoded(importer.ImportUpdate{State: importer.Writing})}
	checkFrame(t, schemas().exact, encoded(struct {
		Type string `json:"type"`
		importer.Update
	}{"update", u}))

	b := setup(t)
	p := b.connect()
	p.schemas = schemas().exact
	for _, s := range []importer.Subscription{
		{Reason: "fresh", Snapshot: encoded(map[string]any{"import": failed})},
		{Reason: "gap", Snapshot: encoded(map[string]any{"import": begun}), Update: &u},
		{Reason: "epoch", Snapshot: encoded(map[string]any{"imports": []importer.Import{begun, failed}})},
		{Reason: "epoch", Snapshot: encoded(map[string]any{"webhooks": []importer.Webhook{hook, importer.DefaultWebhook()}})},
		{Reason: "ahead", Snapshot: json.RawMessage("{}")},
		{Events: []importer.Event{{Seq: 1, Kind: "later.kind", At: at, Data: encoded(product)}}, Update: &u},
		{},
	} {
		b.hub.answer = func(topic string, _ *importer.Cursor, to importer.Subscriber) { to.Subscribed(topic, s) }
		p.send(`{"type":"subscribe","id":1,"topic":"imports"}`)
		p.next()
	}
}

func encoded(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
