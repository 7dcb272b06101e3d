package db_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"importer"
	"importer/db"
	"importer/db/dbtest"
)

// hook makes a webhook that wants everything, but for what change says.
func hook(t testing.TB, d *db.DB, change ...func(*importer.WebhookFields)) importer.Webhook {
	t.Helper()
	f := importer.WebhookFields{URL: new("https://example.com/hooks"), Events: new([]string{"*"})}
	for _, c := range change {
		c(&f)
	}
	w, err := d.CreateWebhook(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWebhookLivesAndDies(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), dbtest.Open(t)
	w := hook(t, d, func(f *importer.WebhookFields) {
		f.Headers = new(map[string]string{"Authorization": "Bearer tell-nobody"})
	})
	if !strings.HasPrefix(w.Secret, "whsec_") || w.State != importer.WebhookActive || !w.Enabled || w.Version != 1 {
		t.Errorf("created %+v", w)
	}
	shown := w
	shown.Secret = ""
	same := func(what string, got importer.Webhook, err error) {
		t.Helper()
		if diff := gocmp.Diff(shown, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", what, err, diff)
		}
	}
	got, err := d.Webhook(ctx, w.ID)
	same("read", got, err)

	got, err = d.UpdateWebhook(ctx, w.ID, 1, importer.WebhookFields{URL: new("https://example.com/hooks")})
	same("nothing changed", got, err)
	shown.Enabled, shown.State, shown.Version, shown.TimeoutMS = false, importer.WebhookPaused, 2, 2_000
	got, err = d.UpdateWebhook(ctx, w.ID, 1, importer.WebhookFields{Enabled: new(false), TimeoutMS: new(2_000)})
	shown.UpdatedAt = got.UpdatedAt
	same("paused", got, err)
	if _, err := d.UpdateWebhook(ctx, w.ID, 1, importer.WebhookFields{Enabled: new(true)}); importer.ErrorCode(err) != importer.Precondition {
		t.Errorf("an old version: %v", err)
	}
	if _, err := d.UpdateWebhook(ctx, w.ID, 0, importer.WebhookFields{TimeoutMS: new(1)}); importer.ErrorCode(err) != importer.Invalid {
		t.Errorf("a wrong field: %v", err)
	}
	list, err := d.Webhooks(ctx)
	if err != nil || len(list) != 1 {
		t.Fatalf("got %d webhooks, %v", len(list), err)
	}
	same("in the list", list[0], nil)

	if err := d.DeleteWebhook(ctx, w.ID, 1); importer.ErrorCode(err) != importer.Precondition {
		t.Errorf("deleted by an old version: %v", err)
	}
	if err := d.DeleteWebhook(ctx, w.ID, 2); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"read":   second(d.Webhook(ctx, w.ID)),
		"change": second(d.UpdateWebhook(ctx, w.ID, 0, importer.WebhookFields{})),
		"reveal": second(d.WebhookSecret(ctx, w.ID)),
		"rotate": second(d.RotateWebhookSecret(ctx, w.ID)),
		"delete": d.DeleteWebhook(ctx, w.ID, 0),
		"target": second(d.WebhookTarget(ctx, w.ID)),
		"resend": second(d.ResendFailed(ctx, w.ID, time.Time{})),
		"list":   second(d.Deliveries(ctx, importer.DeliveryQuery{WebhookID: w.ID, Limit: 10})),
	} {
		if importer.ErrorCode(err) != importer.NotFound {
			t.Errorf("%s one that is gone: %v", what, err)
		}
	}

	var kinds []string
	for _, e := range eventsOf(t, d, importer.TopicWebhooks) {
		kinds = append(kinds, e.Kind)
		if strings.Contains(string(e.Data), "whsec_") {
			t.Errorf("%s tells the secret: %s", e.Kind, e.Data)
		}
	}
	if diff := gocmp.Diff([]string{importer.EventWebhookCreated, importer.EventWebhookUpdated, importer.EventWebhookDeleted}, kinds); diff != "" {
		t.Error(diff)
	}
}

func second[T any](_ T, err error) error { return err }

func TestWebhookSecretRotates(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	now := time.Now().UTC().Truncate(time.Microsecond)
	d := openAt(t, dbtest.URL(t), func() time.Time { return now })
	w := hook(t, d)
	first, err := d.WebhookSecret(ctx, w.ID)
	if err != nil || first.Secret != w.Secret || first.OldUntil != nil {
		t.Fatalf("got %+v, %v, want %s", first, err, w.Secret)
	}
	rotated, err := d.RotateWebhookSecret(ctx, w.ID)
	if err != nil || rotated.Secret == w.Secret || rotated.OldUntil == nil || !rotated.OldUntil.Equal(now.Add(24*time.Hour)) {
		t.Fatalf("got %+v, %v", rotated, err)
	}
	target, err := d.WebhookTarget(ctx, w.ID)
	if diff := gocmp.Diff([]string{rotated.Secret, w.Secret}, target.Secrets); diff != "" || err != nil {
		t.Errorf("both sign: %v %s", err, diff)
	}
	again, err := d.RotateWebhookSecret(ctx, w.ID)
	if err != nil {
		t.Fatal(err)
	}
	target, err = d.WebhookTarget(ctx, w.ID)
	if diff := gocmp.Diff([]string{again.Secret, rotated.Secret}, target.Secrets); diff != "" || err != nil {
		t.Errorf("the last two sign: %v %s", err, diff)
	}
	now = now.Add(25 * time.Hour)
	if s, err := d.WebhookSecret(ctx, w.ID); err != nil || s.OldUntil != nil || s.Secret != again.Secret {
		t.Errorf("a day later: %+v, %v", s, err)
	}
}

func TestWebhookOverHTTPNeedsTheSwitch(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d := dbtest.OpenURL(t, url)
	plain := importer.WebhookFields{URL: new("http://localhost:8000/"), Events: new([]string{"*"})}
	_, err := d.CreateWebhook(t.Context(), plain)
	e, ok := errors.AsType[*importer.Error](err)
	if !ok || e.Code != importer.Invalid || e.Fields[0].Pointer != "/url" {
		t.Errorf("got %v", err)
	}
	dev, err := db.Open(db.Options{URL: url, AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	if _, err := dev.CreateWebhook(t.Context(), plain); err != nil {
		t.Error(err)
	}
}

func TestWebhooksAreBounded(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	mustExec(t, conn, `INSERT INTO webhooks (id, url, events, headers, timeout_ms, max_in_flight, rate_per_s, strict_order, state, state_reason, secret, version, created_at, updated_at)
		SELECT gen_random_uuid(), 'https://example.com', '{*}', '{}', 15000, 8, 0, false, 'active', '', 'whsec_', 1, now(), now() FROM generate_series(1, 2000)`)
	_, err := d.CreateWebhook(t.Context(), importer.WebhookFields{URL: new("https://example.com"), Events: new([]string{"*"})})
	if importer.ErrorCode(err) != importer.Conflict {
		t.Errorf("the 2,001st: %v", err)
	}
	list, err := d.Webhooks(t.Context())
	if err != nil || len(list) != importer.MaxWebhooks {
		t.Errorf("listed %d, %v", len(list), err)
	}
}

func TestWebhooksSnapshot(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), dbtest.Open(t)
	read := func() (importer.Snapshot, []importer.Webhook) {
		t.Helper()
		s, err := d.TopicSnapshot(ctx, importer.TopicWebhooks)
		var data struct{ Webhooks []importer.Webhook }
		if err == nil {
			err = json.Unmarshal(s.Data, &data)
		}
		if err != nil {
			t.Fatal(err)
		}
		return s, data.Webhooks
	}
	if s, list := read(); s.Seq != 0 || string(s.Data) != `{"webhooks":[]}` || len(list) != 0 {
		t.Errorf("empty: %d %s", s.Seq, s.Data)
	}
	a, b := hook(t, d), hook(t, d)
	s, list := read()
	if s.Seq != 2 || s.Epoch == "" || len(list) != 2 || list[0].ID != a.ID || list[1].ID != b.ID || strings.Contains(string(s.Data), "whsec_") {
		t.Errorf("got %d %s", s.Seq, s.Data)
	}
}
