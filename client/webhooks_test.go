package client_test

import (
	"context"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/google/uuid"

	"importer"
	"importer/client"
	"importer/db/dbtest"
	"importer/httpd"
)

// Add a webhook; keep its secret, with which the receiver checks what it gets.
func ExampleClient_CreateWebhook() {
	server, stop := exampleServer()
	defer stop()
	ctx := context.Background()
	c, err := client.New(client.Options{Server: server})
	if err != nil {
		log.Fatal(err)
	}
	url, events := "https://example.com/hooks", []string{"import.completed", "product.*"}
	w, err := c.CreateWebhook(ctx, importer.WebhookFields{URL: &url, Events: &events}, "our-shop")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(w.URL, w.State, w.Secret[:6])
	// Output:
	// https://example.com/hooks active whsec_
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	l, err := startLive(dbtest.URL(t), httpd.SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.stop() })
	c, err := client.New(client.Options{Server: l.url})
	if err != nil {
		t.Fatal(err)
	}
	url, events := "https://example.com/hooks", []string{"product.*"}
	w, err := c.CreateWebhook(ctx, importer.WebhookFields{URL: &url, Events: &events}, "k")
	if err != nil || w.Secret == "" {
		t.Fatal(w, err)
	}
	if again, err := c.CreateWebhook(ctx, importer.WebhookFields{URL: &url, Events: &events}, "k"); err != nil || again.ID != w.ID || again.Secret != "" {
		t.Errorf("created again: %+v, %v", again, err)
	}
	if s, err := c.WebhookSecret(ctx, w.ID); err != nil || s.Secret != w.Secret {
		t.Errorf("secret %+v, %v", s, err)
	}
	if s, err := c.RotateWebhookSecret(ctx, w.ID); err != nil || s.Secret == w.Secret || s.OldUntil == nil {
		t.Errorf("rotated %+v, %v", s, err)
	}
	if _, err := c.UpdateWebhook(ctx, w.ID, 1, importer.WebhookFields{Enabled: new(false)}); importer.ErrorCode(err) != importer.Precondition {
		t.Errorf("changed an old version: %v", err)
	}
	if got, err := c.UpdateWebhook(ctx, w.ID, 2, importer.WebhookFields{Enabled: new(false)}); err != nil || got.State != importer.WebhookPaused {
		t.Errorf("changed %+v, %v", got, err)
	}
	for _, sku := range []string{"A", "B", "C"} {
		if _, err := c.CreateProduct(ctx, importer.ProductFields{SKU: &sku, Name: &sku}, ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.db.FanOut(ctx, 100, true); err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for d, err := range c.EachDelivery(ctx, importer.DeliveryQuery{WebhookID: w.ID, Limit: 2, Type: "product.created"}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, d.ID)
	}
	if len(ids) != 3 {
		t.Fatalf("got deliveries %v, want 3", ids)
	}
	if d, err := c.Delivery(ctx, ids[0]); err != nil || d.Type != "product.created" || len(d.Payload) < 10 {
		t.Errorf("delivery %+v, %v", d, err)
	}
	if d, err := c.Resend(ctx, ids[0]); err != nil || d.State != importer.DeliveryPending {
		t.Errorf("resent %+v, %v", d, err)
	}
	if n, err := c.ResendFailed(ctx, w.ID, time.Now().Add(-time.Hour)); err != nil || n != 0 {
		t.Errorf("resent %d, %v", n, err)
	}
	if types, err := c.EventTypes(ctx); err != nil || len(types) != len(importer.WebhookTypes())+1 {
		t.Errorf("%d types, %v", len(types), err)
	}
	if list, err := c.Webhooks(ctx); err != nil || len(list) != 1 {
		t.Errorf("%d webhooks, %v", len(list), err)
	}
	if err := c.DeleteWebhook(ctx, w.ID, 0); err != nil {
		t.Error(err)
	}
	if _, err := c.Webhook(ctx, w.ID); importer.ErrorCode(err) != importer.NotFound {
		t.Errorf("one that is gone: %v", err)
	}
	if _, err := c.TestWebhook(ctx, uuid.New()); err == nil {
		t.Error("tested one that is not there")
	}
}
