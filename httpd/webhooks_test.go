package httpd_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"importer"
	"importer/db"
	"importer/db/dbtest"
	"importer/httpd"
)

// withWebhooks is a server with real webhooks and a fake sender.
func withWebhooks(t *testing.T) (*bench, *db.DB) {
	t.Helper()
	store := dbtest.Open(t)
	return setup(t, func(o *httpd.Options) { o.Webhooks, o.Products = store, store }), store
}

const aWebhook = `{"url":"https://example.com/hooks","events":["import.*"],"headers":{"X-Shop":"1"}}`

func (b *bench) json(method, path, body string, header ...string) reply {
	b.t.Helper()
	return b.do(method, path, strings.NewReader(body), append([]string{"Content-Type", "application/json"}, header...)...)
}

func TestWebhooksOverHTTP(t *testing.T) {
	t.Parallel()
	b, _ := withWebhooks(t)
	if list := decode[httpd.WebhookList](b, b.do("GET", "/api/webhooks", nil), 200); len(list.Items) != 0 || list.Total != 0 {
		t.Errorf("got %+v", list)
	}
	r := b.json("POST", "/api/webhooks", aWebhook)
	w := decode[importer.Webhook](b, r, 201)
	if !strings.HasPrefix(w.Secret, "whsec_") || r.header.Get("ETag") != `"1"` || r.header.Get("Cache-Control") != "no-store" || r.header.Get("Location") != "/api/webhooks/"+w.ID.String() {
		t.Errorf("created %s with %v", r.body, r.header)
	}
	path := r.header.Get("Location")
	shown := w
	shown.Secret = ""
	got := decode[importer.Webhook](b, b.do("GET", path, nil), 200)
	if diff := cmp.Diff(shown, got); diff != "" {
		t.Error(diff)
	}
	if r := b.do("GET", path, nil, "If-None-Match", `"1"`); r.status != 304 {
		t.Errorf("not modified: %d", r.status)
	}
	if list := decode[httpd.WebhookList](b, b.do("GET", "/api/webhooks", nil), 200); len(list.Items) != 1 || list.Items[0].Secret != "" || list.Total != 1 {
		t.Errorf("listed %+v", list)
	}

	r = b.json("PATCH", path, `{"enabled":false,"timeout_ms":2000}`, "If-Match", `"1"`)
	if got := decode[importer.Webhook](b, r, 200); got.State != importer.WebhookPaused || got.TimeoutMS != 2000 || r.header.Get("ETag") != `"2"` {
		t.Errorf("changed %s", r.body)
	}
	if b.sender.wakes() != 1 {
		t.Error("the senders were not woken")
	}
	r = b.json("PATCH", path, `{"enabled":true}`, "If-Match", `"1"`)
	p := b.problem(r, 412, importer.Precondition)
	if current, ok := p.Current.(map[string]any); !ok || current["state"] != "paused" || r.header.Get("ETag") != `"2"` {
		t.Errorf("412 with %v", p.Current)
	}

	b.sender.answer = importer.Attempt{At: time.Now().UTC(), OK: true, Status: 204, Request: map[string]string{"Webhook-Id": "msg_1"}}
	if a := decode[importer.Attempt](b, b.do("POST", path+"/test", nil), 200); !a.OK || a.Request["Webhook-Id"] != "msg_1" {
		t.Errorf("tested %+v", a)
	}
	r = b.do("GET", path+"/secret", nil)
	if s := decode[importer.WebhookSecret](b, r, 200); s.Secret != w.Secret || s.OldUntil != nil || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("revealed %s", r.body)
	}
	if s := decode[importer.WebhookSecret](b, b.do("POST", path+"/rotate-secret", nil), 200); s.Secret == w.Secret || s.OldUntil == nil {
		t.Errorf("rotated %+v", s)
	}

	b.problem(b.do("DELETE", path, nil, "If-Match", `"1"`), 412, importer.Precondition)
	if r := b.do("DELETE", path, nil, "If-Match", `"3"`); r.status != 204 {
		t.Errorf("deleted: %d %s", r.status, r.body)
	}
	b.sender.err = importer.Errorf(importer.NotFound, "none")
	for _, gone := range []string{path, "/api/webhooks/x", "/api/webhooks/" + uuid.NewString()} {
		b.problem(b.do("GET", gone, nil), 404, importer.NotFound)
		b.problem(b.json("PATCH", gone, `{}`), 404, importer.NotFound)
		b.problem(b.do("DELETE", gone, nil), 404, importer.NotFound)
		b.problem(b.do("POST", gone+"/test", nil), 404, importer.NotFound)
		b.problem(b.do("GET", gone+"/secret", nil), 404, importer.NotFound)
		b.problem(b.do("POST", gone+"/rotate-secret", nil), 404, importer.NotFound)
		b.problem(b.do("GET", gone+"/deliveries", nil), 404, importer.NotFound)
		b.problem(b.do("POST", gone+"/resend?since=2026-01-01T00:00:00Z", nil), 404, importer.NotFound)
	}
}

func TestWebhookFieldsAreRefused(t *testing.T) {
	t.Parallel()
	b, _ := withWebhooks(t)
	for _, c := range []struct {
		body, pointer string
		status        int
	}{
		{`{}`, "/url", 422},
		{`{"url":"http://example.com","events":["*"]}`, "/url", 422},
		{`{"url":"https://example.com","events":[]}`, "/events", 422},
		{`{"url":"https://example.com","events":["import.done"]}`, "/events/0", 422},
		{`{"url":"https://example.com","events":["*"],"headers":{"Host":"x"}}`, "/headers/Host", 422},
		{`{"url":"https://example.com","events":["*"],"timeout_ms":1}`, "/timeout_ms", 422},
		{`{"url":"https://example.com","events":["*"],"timeout_ms":null}`, "/timeout_ms", 422},
		{`{"url":"https://example.com","events":["*"],"timeout_ms":"1000"}`, "/timeout_ms", 422},
		{`{"url":"https://example.com","events":["*"],"secret":"whsec_x"}`, "/secret", 422},
		{`{"url":5,"events":["*"]}`, "/url", 422},
	} {
		p := b.problem(b.json("POST", "/api/webhooks", c.body), c.status, importer.Invalid)
		if len(p.Errors) == 0 || p.Errors[0].Pointer != c.pointer {
			t.Errorf("%s: got %+v, want one about %s", c.body, p.Errors, c.pointer)
		}
	}
	b.problem(b.json("POST", "/api/webhooks", `{"url":`), 400, importer.Malformed)
	b.problem(b.json("POST", "/api/webhooks", ``), 400, importer.Malformed)
}

// TestWebhookIsCreatedOnce: a client that did not hear the answer asks again.
func TestWebhookIsCreatedOnce(t *testing.T) {
	t.Parallel()
	b, store := withWebhooks(t)
	first := decode[importer.Webhook](b, b.json("POST", "/api/webhooks", aWebhook, "Idempotency-Key", "k1"), 201)
	r := b.json("POST", "/api/webhooks", aWebhook, "Idempotency-Key", "k1")
	again := decode[importer.Webhook](b, r, 201)
	if again.ID != first.ID || first.Secret == "" || again.Secret != "" || r.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("got %s", r.body)
	}
	if list, err := store.Webhooks(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("there are %d, %v", len(list), err)
	}
}

func TestDeliveriesOverHTTP(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b, store := withWebhooks(t)
	w := decode[importer.Webhook](b, b.json("POST", "/api/webhooks", `{"url":"https://example.com","events":["product.*"]}`), 201)
	for _, sku := range []string{"A", "B", "C"} {
		if _, err := store.CreateProduct(ctx, importer.ProductFields{SKU: &sku, Name: &sku}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.FanOut(ctx, 10, true); err != nil {
		t.Fatal(err)
	}
	node := uuid.New()
	claims, err := store.ClaimWebhooks(ctx, node, 1)
	if err != nil || len(claims) != 1 {
		t.Fatal(claims, err)
	}
	due, err := store.DueDeliveries(ctx, claims[0], nil, 10)
	if err != nil || len(due) != 3 {
		t.Fatal(due, err)
	}
	result := func(i int, a importer.Attempt, giveUp bool) importer.AttemptResult {
		return importer.AttemptResult{Webhook: w.ID, Epoch: claims[0].Epoch, Delivery: due[i].ID, EventID: due[i].EventID, Attempt: a, GiveUp: giveUp, RetryIn: time.Hour}
	}
	err = store.SaveAttempts(ctx, node, []importer.AttemptResult{
		result(0, importer.Attempt{N: 1, OK: true, Status: 200, Response: "<script>alert(1)</script>", Request: map[string]string{"Webhook-Id": due[0].EventID}}, false),
		result(1, importer.Attempt{N: 1, Status: 500, Error: importer.AttemptStatus}, true),
	})
	if err != nil {
		t.Fatal(err)
	}
	path := "/api/webhooks/" + w.ID.String()
	list := func(query string) importer.Page[importer.Delivery] {
		t.Helper()
		return decode[importer.Page[importer.Delivery]](b, b.do("GET", path+"/deliveries"+query, nil), 200)
	}
	page := list("?limit=2")
	if len(page.Items) != 2 || page.Next == nil || page.Total != 3 || page.Items[0].ID != due[2].ID {
		t.Errorf("first page %+v", page)
	}
	if page = list("?limit=2&cursor=" + *page.Next); len(page.Items) != 1 || page.Next != nil || page.Items[0].ID != due[0].ID || len(page.Items[0].Attempts) != 1 {
		t.Errorf("second page %+v", page)
	}
	for query, want := range map[string]int{"?state=delivered": 1, "?state=exhausted&state=cancelled": 1, "?state=pending": 1, "?retrying=true": 0, "?type=product.created": 3, "?type=x": 0} {
		if got := list(query); len(got.Items) != want || int(got.Total) != want {
			t.Errorf("%s: %d of %d, want %d", query, len(got.Items), got.Total, want)
		}
	}
	for _, query := range []string{"?state=x", "?limit=0", "?limit=101", "?retrying=false", "?sort=id"} {
		b.problem(b.do("GET", path+"/deliveries"+query, nil), 422, importer.Invalid)
	}
	b.problem(b.do("GET", path+"/deliveries?cursor=x", nil), 400, importer.Malformed)

	d := decode[importer.Delivery](b, b.do("GET", "/api/deliveries/"+fmt.Sprint(due[0].ID), nil), 200)
	if d.State != importer.DeliveryDelivered || len(d.Attempts) != 1 || d.Attempts[0].Request["Webhook-Id"] != due[0].EventID || !json.Valid(d.Payload) || string(d.Payload) != string(due[0].Payload) {
		t.Errorf("got %+v", d)
	}
	if d := decode[importer.Delivery](b, b.do("POST", "/api/deliveries/"+fmt.Sprint(due[0].ID)+"/resend", nil), 200); d.State != importer.DeliveryPending || d.EventID != due[0].EventID || d.Tries != 0 {
		t.Errorf("resent %+v", d)
	}
	if b.sender.wakes() != 1 {
		t.Error("the senders were not woken")
	}
	if r := decode[httpd.Resent](b, b.do("POST", path+"/resend?since=2026-01-01T00:00:00Z", nil), 200); r.Resent != 1 || b.sender.wakes() != 1 {
		t.Errorf("resent %+v", r)
	}
	b.problem(b.do("POST", path+"/resend", nil), 422, importer.Invalid)
	b.problem(b.do("POST", path+"/resend?since=yesterday", nil), 422, importer.Invalid)
	b.problem(b.do("GET", "/api/deliveries/999999", nil), 404, importer.NotFound)
	b.problem(b.do("POST", "/api/deliveries/999999/resend", nil), 404, importer.NotFound)
	b.problem(b.do("GET", "/api/deliveries/x", nil), 422, importer.Invalid)
}

// TestEventTypes holds every example against its schema, and the catalogue
// against the types that a webhook can ask for.
func TestEventTypes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	list := decode[struct {
		Items []struct {
			Type, Description string
			Schema            json.RawMessage
			Example           map[string]any
		}
	}](b, b.do("GET", "/api/event-types", nil), http.StatusOK)
	want := map[string]bool{importer.EventWebhookTest: true}
	for _, kind := range importer.WebhookTypes() {
		want[kind] = true
	}
	for _, e := range list.Items {
		if !want[e.Type] || e.Description == "" {
			t.Errorf("%s: %q", e.Type, e.Description)
		}
		delete(want, e.Type)
		schema := compile(t, e.Schema)
		if err := schema.Validate(any(e.Example)); err != nil {
			t.Errorf("%s: the example is not as its schema says: %v", e.Type, err)
		}
		e.Example["data"] = "no"
		if schema.Validate(any(e.Example)) == nil {
			t.Errorf("%s: the schema takes anything", e.Type)
		}
	}
	if len(want) > 0 {
		t.Errorf("missing are %v", want)
	}
}

func compile(t *testing.T, raw json.RawMessage) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	return s
}
