package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"importer"
	"importer/db"
	"importer/db/dbtest"
)

// TestWebhookMetrics sends to a receiver that answers and to one that does not,
// until the breaker of that one opens.
func TestWebhookMetrics(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	p := serveProcess(t, []string{"DATABASE_URL=" + url, "IMPORTER_METRICS_ADDR=127.0.0.1:0", "IMPORTER_WEBHOOK_ALLOW_PRIVATE=true"}, "--data-dir", t.TempDir())
	store, err := db.Open(db.Options{URL: url, AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(good.Close)
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }))
	t.Cleanup(gone.Close)
	for _, to := range []string{good.URL, "http://127.0.0.1:1/nobody", gone.URL} {
		if _, err := store.CreateWebhook(t.Context(), importer.WebhookFields{URL: &to, Events: new([]string{importer.EventProductCreated})}); err != nil {
			t.Fatal(err)
		}
	}
	const products = 8
	for i := range products {
		if _, err := p.client.CreateProduct(t.Context(), importer.ProductFields{SKU: new(fmt.Sprintf("W-%d", i)), Name: new("Told of")}, ""); err != nil {
			t.Fatal(err)
		}
	}
	var got scrape
	eventually(t, "the breaker of the one that does not answer is open", func() bool {
		got = p.scrape()
		return got.value("importer_webhook_breakers_open") == 1 && got.value("importer_webhook_attempts_total", "class", "delivered") == products && got.value("importer_webhooks_disabled_total") == 1
	})
	if refused := got.value("importer_webhook_attempts_total", "class", importer.AttemptRefused); refused < 5 {
		t.Errorf("%v attempts were refused, want 5 or more: they opened the breaker", refused)
	}
	if answered := got.value("importer_webhook_attempts_total", "class", importer.AttemptStatus); answered < 1 {
		t.Errorf("%v attempts were answered with 410, want one or more", answered)
	}
	if all, seconds := got.value("importer_webhook_attempts_total"), got.value("importer_webhook_attempt_duration_seconds"); all != seconds {
		t.Errorf("%v attempts, but the time of %v", all, seconds)
	}
	eventually(t, "those to nobody wait, and no others", func() bool { return p.scrape().value("importer_webhook_pending_deliveries") == products })
	if opened := got.value("importer_webhook_breaker_openings_total"); opened != 1 {
		t.Errorf("a breaker has opened %v times, want once", opened)
	}
}
