package db_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"importer"
	"importer/db"
	"importer/db/dbtest"
)

// fanOut does so until nothing waits.
func fanOut(t testing.TB, d *db.DB) {
	t.Helper()
	for {
		n, err := d.FanOut(t.Context(), 500, true)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

// claimOne claims the one webhook that has something due.
func claimOne(t testing.TB, d *db.DB, node uuid.UUID) importer.WebhookClaim {
	t.Helper()
	claims, err := d.ClaimWebhooks(t.Context(), node, 10)
	if err != nil || len(claims) != 1 {
		t.Fatalf("got %d claims, %v, want 1", len(claims), err)
	}
	return claims[0]
}

// dueFor lists what a claim may send.
func dueFor(t testing.TB, d *db.DB, c importer.WebhookClaim, busy ...int64) []importer.DueDelivery {
	t.Helper()
	list, err := d.DueDeliveries(t.Context(), c, busy, 100)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// outcome is an attempt of a delivery.
func outcome(c importer.WebhookClaim, v importer.DueDelivery, status int) importer.AttemptResult {
	r := importer.AttemptResult{
		Webhook: c.ID, Epoch: c.Epoch, Delivery: v.ID, EventID: v.EventID,
		Attempt: importer.Attempt{
			N: v.Tries + 1, OK: status/100 == 2, Status: status, MS: 12, RemoteIP: "192.0.2.1", Response: "seen\x00\xff",
			Request: map[string]string{"Webhook-Id": v.EventID},
		},
		Age: 20 * time.Millisecond, RetryIn: time.Hour,
	}
	if !r.Attempt.OK {
		r.Attempt.Error = importer.AttemptStatus
	}
	return r
}

func save(t testing.TB, d *db.DB, results ...importer.AttemptResult) {
	t.Helper()
	if err := d.SaveAttempts(t.Context(), nodeA, results); err != nil {
		t.Fatal(err)
	}
}

func release(t testing.TB, d *db.DB, r importer.WebhookRelease) {
	t.Helper()
	if err := d.ReleaseWebhooks(t.Context(), []importer.WebhookRelease{r}); err != nil {
		t.Fatal(err)
	}
}

func delivery(t testing.TB, d *db.DB, id int64) importer.Delivery {
	t.Helper()
	v, err := d.Delivery(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestDeliveryFromEventToAnswer(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), dbtest.Open(t)
	w := hook(t, d, func(f *importer.WebhookFields) {
		f.Events = new([]string{"product.*"})
		f.Headers = new(map[string]string{"X-Shop": "1"})
		f.RatePerS, f.MaxInFlight, f.TimeoutMS = new(2.5), new(3), new(2_000)
	})
	create(t, d, "A-1")
	created(t, d) // an event of an import, for which it did not ask
	fanOut(t, d)

	c := claimOne(t, d, nodeA)
	want := importer.WebhookTarget{
		ID: w.ID, Version: 1, URL: w.URL, Secrets: []string{w.Secret}, Headers: w.Headers,
		Timeout: 2 * time.Second, MaxInFlight: 3, RatePerS: 2.5,
	}
	if diff := gocmp.Diff(want, c.WebhookTarget); diff != "" || c.Epoch != 1 || c.Failures != 0 || c.FailingFor != 0 {
		t.Errorf("claim %+v: %s", c, diff)
	}
	if others, err := d.ClaimWebhooks(ctx, nodeB, 10); err != nil || len(others) != 0 {
		t.Errorf("claimed twice: %v, %v", others, err)
	}
	due := dueFor(t, d, c)
	if len(due) != 1 || due[0].Tries != 0 || !strings.HasPrefix(string(due[0].Payload), `{"type":"product.created",`) {
		t.Fatalf("due: %+v", due)
	}
	if busy := dueFor(t, d, c, due[0].ID); len(busy) != 0 {
		t.Errorf("busy ones are due: %+v", busy)
	}

	save(t, d, outcome(c, due[0], 500))
	v := delivery(t, d, due[0].ID)
	if v.State != importer.DeliveryPending || v.Tries != 1 || v.NextAttemptAt == nil || time.Until(*v.NextAttemptAt) < 50*time.Minute || len(dueFor(t, d, c)) != 0 {
		t.Errorf("after a failure: %+v", v)
	}
	release(t, d, importer.WebhookRelease{ID: w.ID, Epoch: c.Epoch, Failures: 1, Used: time.Second})
	if got, err := d.ClaimWebhooks(ctx, nodeB, 10); err != nil || len(got) != 0 {
		t.Errorf("claimed with nothing due: %v, %v", got, err)
	}

	if _, err := d.Resend(ctx, v.ID); err != nil {
		t.Fatal(err)
	}
	c = claimOne(t, d, nodeB)
	if c.Epoch != 2 || c.Failures != 1 || c.FailingFor <= 0 {
		t.Errorf("claimed again: %+v", c)
	}
	save(t, d, outcome(c, dueFor(t, d, c)[0], 204))
	v = delivery(t, d, v.ID)
	if v.State != importer.DeliveryDelivered || v.NextAttemptAt != nil || len(v.Attempts) != 2 || v.EventID != due[0].EventID || string(v.Payload) != string(due[0].Payload) {
		t.Errorf("after a success: %+v", v)
	}
	a := v.Attempts[0]
	if age := time.Since(a.At); age < 0 || age > time.Minute {
		t.Errorf("attempted at %v", a.At)
	}
	a.At = time.Time{}
	wantAttempt := importer.Attempt{N: 1, OK: true, Status: 204, MS: 12, RemoteIP: "192.0.2.1", Response: "seen��", Request: map[string]string{"Webhook-Id": v.EventID}}
	if diff := gocmp.Diff(wantAttempt, a); diff != "" {
		t.Error(diff)
	}
	got, err := d.Webhook(ctx, w.ID)
	if err != nil || got.Week != (importer.WebhookWeek{Delivered: 1}) || got.LastAttempt == nil || got.LastAttempt.Status != 204 || got.Pending != 0 || got.Version != 1 {
		t.Errorf("the webhook: %+v, %v", got, err)
	}
}

// TestFanOutAtOnce has several machines fan out while events are still being
// committed: each webhook gets each event once.
func TestFanOutAtOnce(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	const products = 60
	for range 3 {
		hook(t, d)
	}
	// An event whose transaction commits last, though its id is the lowest.
	late := connect(t, url)
	tx, err := late.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, tx, "INSERT INTO webhook_events (id, type, payload, created_at) VALUES ('msg_0', 'product.created', '{}', now())")

	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		other := dbtest.OpenURL(t, url)
		wg.Go(func() {
			for {
				n, err := other.FanOut(t.Context(), 7, true)
				if err != nil {
					t.Error(err)
					return
				}
				select {
				case <-done:
					if n == 0 {
						return
					}
				default:
				}
			}
		})
	}
	for i := range products {
		create(t, d, fmt.Sprint("A-", i))
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(done)
	wg.Wait()
	fanOut(t, d) // the last may have been skipped while another had it
	var n, distinct int
	if err := conn.QueryRow(t.Context(), "SELECT count(*), count(DISTINCT (event_id, webhook_id)) FROM webhook_deliveries").Scan(&n, &distinct); err != nil {
		t.Fatal(err)
	}
	if want := 3 * (products + 1); n != want || distinct != want {
		t.Errorf("got %d deliveries, %d different, want %d", n, distinct, want)
	}
}

func TestUnwantedEventsGo(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	hook(t, d, func(f *importer.WebhookFields) { f.Events = new([]string{"import.failed"}) })
	create(t, d, "A-1")
	fanOut(t, d)
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM webhook_events").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d events are left, %v", n, err)
	}
}

// TestWebhookClaimsAreFenced lets a lease end and another machine go on.
func TestWebhookClaimsAreFenced(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	w := hook(t, d)
	for i := range 3 {
		create(t, d, fmt.Sprint("A-", i))
	}
	fanOut(t, d)
	old := claimOne(t, d, nodeA)
	due := dueFor(t, d, old)
	if held, err := d.RenewWebhooks(ctx, nodeA, []uuid.UUID{w.ID}); err != nil || held[w.ID] != 1 {
		t.Errorf("renewed %v, %v", held, err)
	}
	mustExec(t, conn, "UPDATE webhooks SET lease_until = now() - interval '1 s'")
	c := claimOne(t, d, nodeB)
	if c.Epoch != 2 {
		t.Errorf("epoch %d, want 2", c.Epoch)
	}
	if held, err := d.RenewWebhooks(ctx, nodeA, []uuid.UUID{w.ID}); err != nil || len(held) != 0 {
		t.Errorf("the old owner renewed %v, %v", held, err)
	}
	if got := dueFor(t, d, old); len(got) != 0 {
		t.Errorf("the old owner may send %d", len(got))
	}
	failed := outcome(old, due[0], 500)
	failed.GiveUp = true
	save(t, d, failed, outcome(old, due[1], 200))
	if v := delivery(t, d, due[0].ID); v.State != importer.DeliveryPending || v.Tries != 0 || len(v.Attempts) != 1 {
		t.Errorf("a failure told by the old owner: %+v", v)
	}
	if v := delivery(t, d, due[1].ID); v.State != importer.DeliveryDelivered {
		t.Errorf("a success told by the old owner: %+v", v)
	}
	save(t, d, outcome(c, due[1], 500), outcome(c, due[1], 200)) // the new owner had sent it, too
	if v := delivery(t, d, due[1].ID); v.State != importer.DeliveryDelivered {
		t.Errorf("delivered, then told otherwise: %+v", v)
	}
	release(t, d, importer.WebhookRelease{ID: w.ID, Epoch: 1, Failures: 9, Pause: time.Hour, Disable: "No."})
	if held, err := d.RenewWebhooks(ctx, nodeB, []uuid.UUID{w.ID}); err != nil || held[w.ID] != 2 {
		t.Errorf("released by the old owner: %v, %v", held, err)
	}
	got, err := d.Webhook(ctx, w.ID)
	if err != nil || got.State != importer.WebhookActive || got.Week.Delivered != 1 {
		t.Errorf("the webhook: %+v, %v", got, err)
	}
}

// TestNobodySendsToAChangedWebhook: an edit is in force with the next delivery.
func TestNobodySendsToAChangedWebhook(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), dbtest.Open(t)
	w := hook(t, d)
	create(t, d, "A-1")
	fanOut(t, d)
	c := claimOne(t, d, nodeA)
	if len(dueFor(t, d, c)) != 1 {
		t.Fatal("nothing is due")
	}
	if _, err := d.UpdateWebhook(ctx, w.ID, 0, importer.WebhookFields{URL: new("https://example.com/new")}); err != nil {
		t.Fatal(err)
	}
	if len(dueFor(t, d, c)) != 0 {
		t.Error("due under the old version")
	}
	release(t, d, importer.WebhookRelease{ID: w.ID, Epoch: c.Epoch})
	if c = claimOne(t, d, nodeA); c.URL != "https://example.com/new" || len(dueFor(t, d, c)) != 1 {
		t.Errorf("claimed %+v", c)
	}
	if _, err := d.UpdateWebhook(ctx, w.ID, 0, importer.WebhookFields{Enabled: new(false)}); err != nil {
		t.Fatal(err)
	}
	c.Version++
	if len(dueFor(t, d, c)) != 0 {
		t.Error("due while paused")
	}
	release(t, d, importer.WebhookRelease{ID: w.ID, Epoch: c.Epoch})
	if got, err := d.ClaimWebhooks(ctx, nodeA, 10); err != nil || len(got) != 0 {
		t.Errorf("claimed while paused: %v, %v", got, err)
	}
	create(t, d, "A-2")
	fanOut(t, d)
	if _, err := d.UpdateWebhook(ctx, w.ID, 0, importer.WebhookFields{Enabled: new(true)}); err != nil {
		t.Fatal(err)
	}
	if n := len(dueFor(t, d, claimOne(t, d, nodeA))); n != 2 {
		t.Errorf("%d are due after the pause, want both", n)
	}
}

func TestStrictOrder(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), dbtest.Open(t)
	hook(t, d, func(f *importer.WebhookFields) { f.StrictOrder = new(true) })
	for i := range 3 {
		create(t, d, fmt.Sprint("A-", i))
	}
	fanOut(t, d)
	c := claimOne(t, d, nodeA)
	due := dueFor(t, d, c)
	if len(due) != 3 || due[0].ID > due[1].ID || due[1].ID > due[2].ID {
		t.Fatalf("got %+v, want three in order", due)
	}
	if got := dueFor(t, d, c, due[0].ID); len(got) != 0 {
		t.Errorf("%d may overtake the one on its way", len(got))
	}
	save(t, d, outcome(c, due[0], 500))
	if got := dueFor(t, d, c); len(got) != 0 {
		t.Errorf("%d may overtake the one that waits", len(got))
	}
	probe, err := d.ProbeDelivery(ctx, c, true)
	if err != nil || len(probe) != 1 || probe[0].ID != due[0].ID {
		t.Errorf("probe %+v, %v, want the oldest", probe, err)
	}
	save(t, d, outcome(c, probe[0], 200))
	if got := dueFor(t, d, c); len(got) != 2 || got[0].ID != due[1].ID {
		t.Errorf("got %+v, want the other two", got)
	}
}

func TestProbes(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), dbtest.Open(t)
	hook(t, d)
	for i := range 3 {
		create(t, d, fmt.Sprint("A-", i))
	}
	fanOut(t, d)
	c := claimOne(t, d, nodeA)
	due := dueFor(t, d, c)
	save(t, d, outcome(c, due[0], 500))
	for most, want := range map[bool]int64{true: due[0].ID, false: due[1].ID} {
		probe, err := d.ProbeDelivery(ctx, c, most)
		if err != nil || len(probe) != 1 || probe[0].ID != want {
			t.Errorf("tried most %v: %+v, %v, want %d", most, probe, err, want)
		}
	}
}

// TestDisabledWhileEventsAreFannedOut holds a delivery at the moment it is
// made, and disables its webhook meanwhile.
func TestDisabledWhileEventsAreFannedOut(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	w := hook(t, d)
	create(t, d, "A-1")
	fanOut(t, d)
	c := claimOne(t, d, nodeA)
	create(t, d, "A-2")
	mustExec(t, conn, `
		CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END';
		CREATE TRIGGER held BEFORE INSERT ON webhook_deliveries FOR EACH ROW EXECUTE FUNCTION held()`)
	other := begin(t, conn)
	mustExec(t, other, "SELECT pg_advisory_xact_lock(1)")
	fanned, disabled := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := d.FanOut(context.Background(), 500, true)
		fanned <- err
	}()
	waitForLock(t, url)
	go func() {
		disabled <- d.ReleaseWebhooks(context.Background(), []importer.WebhookRelease{{ID: w.ID, Epoch: c.Epoch, Failures: 1, Disable: "It answered 410 Gone."}})
	}()
	waitForLocks(t, url, 2)
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, done := range []chan error{fanned, disabled} {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	create(t, d, "A-3")
	fanOut(t, d)
	var states []string
	if err := conn.QueryRow(t.Context(), "SELECT array_agg(state ORDER BY id) FROM webhook_deliveries WHERE webhook_id = $1", w.ID).Scan(&states); err != nil {
		t.Fatal(err)
	}
	if want := []string{"cancelled", "cancelled"}; !slices.Equal(states, want) {
		t.Errorf("deliveries of the disabled one are %v, want %v", states, want)
	}
}

func TestDisablingAWebhook(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), dbtest.Open(t)
	w := hook(t, d, func(f *importer.WebhookFields) { f.Headers = new(map[string]string{"X-Key": "tell-nobody"}) })
	other := hook(t, d, func(f *importer.WebhookFields) { f.Events = new([]string{"webhook.disabled"}) })
	create(t, d, "A-1")
	create(t, d, "A-2")
	fanOut(t, d)
	c := claimOne(t, d, nodeA)
	due := dueFor(t, d, c)
	gone := outcome(c, due[0], 410)
	gone.GiveUp = true
	save(t, d, gone)
	release(t, d, importer.WebhookRelease{ID: w.ID, Epoch: c.Epoch, Failures: 1, Disable: "It answered 410 Gone."})
	got, err := d.Webhook(ctx, w.ID)
	if err != nil || got.State != importer.WebhookDisabled || got.Enabled || got.StateReason != "It answered 410 Gone." || got.Week.Failed != 1 {
		t.Errorf("the webhook: %+v, %v", got, err)
	}
	if v := delivery(t, d, due[1].ID); v.State != importer.DeliveryCancelled || v.NextAttemptAt != nil {
		t.Errorf("what waited: %+v", v)
	}
	if _, err := d.Resend(ctx, due[1].ID); importer.ErrorCode(err) != importer.Conflict {
		t.Errorf("resent to a disabled one: %v", err)
	}
	fanOut(t, d)
	c = claimOne(t, d, nodeA)
	due = dueFor(t, d, c)
	if c.ID != other.ID || len(due) != 1 || !strings.Contains(string(due[0].Payload), "410 Gone") || strings.Contains(string(due[0].Payload), "tell-nobody") {
		t.Errorf("the other one gets %+v", due)
	}

	if _, err := d.UpdateWebhook(ctx, w.ID, 0, importer.WebhookFields{Enabled: new(true)}); err != nil {
		t.Fatal(err)
	}
	if n, err := d.ResendFailed(ctx, w.ID, time.Now().Add(-time.Hour)); err != nil || n != 2 {
		t.Errorf("resent %d, %v, want both", n, err)
	}
	if n, err := d.ResendFailed(ctx, w.ID, time.Now().Add(-time.Hour)); err != nil || n != 0 {
		t.Errorf("resent %d, %v, for none is failed any more", n, err)
	}
	if c := claimOne(t, d, nodeA); c.ID != w.ID || c.Failures != 0 || c.FailingFor != 0 || len(dueFor(t, d, c)) != 2 {
		t.Errorf("switched on again: %+v", c)
	}
}

// TestFairness claims those first that were served least, in time.
func TestFairness(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), dbtest.Open(t)
	slow, quick, fresh := hook(t, d), hook(t, d), hook(t, d)
	create(t, d, "A-1")
	fanOut(t, d)
	claims, err := d.ClaimWebhooks(ctx, nodeA, 10)
	if err != nil || len(claims) != 3 {
		t.Fatal(claims, err)
	}
	err = d.ReleaseWebhooks(ctx, []importer.WebhookRelease{
		{ID: fresh.ID, Epoch: 1}, {ID: slow.ID, Epoch: 1, Used: 30 * time.Second}, {ID: quick.ID, Epoch: 1, Used: time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []uuid.UUID{fresh.ID, quick.ID, slow.ID} {
		claims, err := d.ClaimWebhooks(ctx, nodeA, 1)
		if err != nil || len(claims) != 1 || claims[0].ID != want {
			t.Fatalf("got %+v, %v, want %v", claims, err, want)
		}
	}
}

func TestPausedWebhooksWait(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	w := hook(t, d)
	create(t, d, "A-1")
	fanOut(t, d)
	c := claimOne(t, d, nodeA)
	release(t, d, importer.WebhookRelease{ID: w.ID, Epoch: c.Epoch, Failures: 5, Pause: time.Hour})
	if got, err := d.ClaimWebhooks(ctx, nodeA, 10); err != nil || len(got) != 0 {
		t.Errorf("claimed during its pause: %v, %v", got, err)
	}
	mustExec(t, conn, "UPDATE webhooks SET not_before = now()")
	if c := claimOne(t, d, nodeA); c.Failures != 5 {
		t.Errorf("got %+v", c)
	}
}

// TestDeliveryList pages through deliveries by every filter.
func TestDeliveryList(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), dbtest.Open(t)
	w, other := hook(t, d), hook(t, d, func(f *importer.WebhookFields) { f.Enabled = new(false) })
	for i := range 7 {
		create(t, d, fmt.Sprint("A-", i))
	}
	fanOut(t, d)
	c := claimOne(t, d, nodeA)
	due := dueFor(t, d, c)
	gaveUp := outcome(c, due[2], 404)
	gaveUp.GiveUp = true
	save(t, d, outcome(c, due[0], 200), outcome(c, due[1], 500), gaveUp)
	list := func(q importer.DeliveryQuery) (ids []int64) {
		t.Helper()
		q.WebhookID, q.Limit = w.ID, 2
		for {
			page, err := d.Deliveries(ctx, q)
			if err != nil || len(page.Items) > 2 {
				t.Fatalf("%d, %v", len(page.Items), err)
			}
			for _, v := range page.Items {
				ids = append(ids, v.ID)
				if v.Payload != nil || (v.Tries > 0) != (len(v.Attempts) == 1) || v.WebhookID != w.ID {
					t.Errorf("listed %+v", v)
				}
			}
			if page.Next == nil {
				if int(page.Total) != len(ids) {
					t.Errorf("total %d of %d", page.Total, len(ids))
				}
				return ids
			}
			q.Before = *page.Next
		}
	}
	all := make([]int64, 7)
	for i := range all {
		all[i] = due[6-i].ID
	}
	for _, q := range []struct {
		name string
		importer.DeliveryQuery
		want []int64
	}{
		{"all", importer.DeliveryQuery{}, all},
		{"delivered", importer.DeliveryQuery{States: []importer.DeliveryState{importer.DeliveryDelivered}}, []int64{due[0].ID}},
		{"failed", importer.DeliveryQuery{States: []importer.DeliveryState{importer.DeliveryExhausted, importer.DeliveryCancelled}}, []int64{due[2].ID}},
		{"retrying", importer.DeliveryQuery{Retrying: true}, []int64{due[1].ID}},
		{"a type", importer.DeliveryQuery{Type: "product.created"}, all},
		{"another type", importer.DeliveryQuery{Type: "import.failed"}, nil},
	} {
		if diff := gocmp.Diff(q.want, list(q.DeliveryQuery)); diff != "" {
			t.Errorf("%s: %s", q.name, diff)
		}
	}
	if page, err := d.Deliveries(ctx, importer.DeliveryQuery{WebhookID: other.ID, Limit: 100}); err != nil || len(page.Items) != 7 {
		t.Errorf("of the other: %d, %v", len(page.Items), err)
	}
	for _, cursor := range []string{"x", "-1", "0", "01", "1 ", "99999999999999999999"} {
		if _, err := d.Deliveries(ctx, importer.DeliveryQuery{WebhookID: w.ID, Before: cursor, Limit: 2}); importer.ErrorCode(err) != importer.Malformed {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
}

func TestSavingTheSameAttemptAgain(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), dbtest.Open(t)
	w := hook(t, d)
	create(t, d, "A-1")
	fanOut(t, d)
	c := claimOne(t, d, nodeA)
	r := outcome(c, dueFor(t, d, c)[0], 200)
	save(t, d, r)
	save(t, d, r) // its caller did not hear of the commit
	got, err := d.Webhook(ctx, w.ID)
	if err != nil || got.Week.Delivered != 1 {
		t.Errorf("counted %+v, %v, want one", got.Week, err)
	}
}

func TestTestsAndWatchers(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), dbtest.Open(t)
	w := hook(t, d)
	a := importer.Attempt{Status: 500, Error: importer.AttemptStatus, MS: 30, RemoteIP: "192.0.2.1", Response: "no"}
	if err := d.SaveTest(ctx, nodeA, w.ID, "msg_test", a); err != nil {
		t.Fatal(err)
	}
	if err := d.SaveTest(ctx, nodeA, uuid.New(), "msg_test", a); err != nil {
		t.Errorf("of a webhook that is gone: %v", err)
	}
	got, err := d.Webhook(ctx, w.ID)
	if err != nil || got.LastAttempt == nil || got.LastAttempt.Status != 500 || got.LastAttempt.Response != "" {
		t.Errorf("last attempt %+v, %v", got.LastAttempt, err)
	}
	if err := d.TellAttempts(ctx, []importer.WebhookAttempted{{ID: w.ID, LastAttempt: a}}); err != nil {
		t.Fatal(err)
	}
	events := eventsOf(t, d, importer.TopicWebhooks)
	if len(events) != 3 || events[1].Kind != importer.EventWebhookAttempted || events[2].Kind != importer.EventWebhookAttempted {
		t.Errorf("got %+v", events)
	}
}

// TestTrimWebhooks moves everything into the past.
func TestTrimWebhooks(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	w := hook(t, d)
	create(t, d, "A-1")
	fanOut(t, d)
	c := claimOne(t, d, nodeA)
	save(t, d, outcome(c, dueFor(t, d, c)[0], 200)) // makes the partitions
	partitions := func() (names []string) {
		rows, err := conn.Query(ctx, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'webhook_attempts'::regclass ORDER BY 1")
		if err == nil {
			names, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	before := partitions()
	if n, err := d.TrimWebhooks(ctx, importer.WebhookRetention, 100); err != nil || n != 0 || len(before) != 4 {
		t.Errorf("trimmed %d, %v, with partitions %v", n, err, before)
	}
	mustExec(t, conn, `CREATE TABLE webhook_attempts_20200101 PARTITION OF webhook_attempts FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-01-02 00:00+00')`)
	mustExec(t, conn, `INSERT INTO webhook_events VALUES ('msg_01800000-0000-7000-8000-000000000000', 'product.created', '{}', '2022-01-01', true)`)
	mustExec(t, conn, `UPDATE webhook_deliveries SET created_at = '2022-01-01'`)
	if n, err := d.TrimWebhooks(ctx, importer.WebhookRetention, 100); err != nil || n != 2 {
		t.Errorf("trimmed %d, %v, want an event and a delivery", n, err)
	}
	if diff := gocmp.Diff(before, partitions()); diff != "" {
		t.Error(diff)
	}
	var events int
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM webhook_events").Scan(&events); err != nil || events != 1 {
		t.Errorf("%d events are left, %v", events, err)
	}
	if got, err := d.Webhook(ctx, w.ID); err != nil || got.Week.Delivered != 1 {
		t.Errorf("the week: %+v, %v", got.Week, err)
	}
}

// TestListsGoByIndex looks at the plans for a webhook with a long history.
func TestListsGoByIndex(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := dbtest.URL(t)
	d, conn := dbtest.OpenURL(t, url), connect(t, url)
	w := hook(t, d)
	mustExec(t, conn, `INSERT INTO webhook_deliveries (webhook_id, event_id, type, state)
		SELECT CASE WHEN n % 10 = 0 THEN '`+w.ID.String()+`'::uuid ELSE gen_random_uuid() END, 'msg_' || n, 'product.created', 'delivered' FROM generate_series(1, 100000) AS n`)
	mustExec(t, conn, "ANALYZE webhook_deliveries")
	for _, sql := range []string{
		"SELECT * FROM webhook_deliveries WHERE webhook_id = $1 ORDER BY id DESC LIMIT 26",
		"SELECT * FROM webhook_deliveries WHERE webhook_id = $1 AND state IN ('exhausted', 'cancelled') ORDER BY id DESC LIMIT 26",
		"SELECT count(*) FROM (SELECT FROM webhook_deliveries WHERE webhook_id = $1 AND state = 'pending' LIMIT 1000) AS counted",
	} {
		rows, err := conn.Query(ctx, "EXPLAIN "+sql, w.ID)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || strings.Contains(strings.Join(plan, "\n"), "Seq Scan") {
			t.Errorf("%s: %v\n%s", sql, err, strings.Join(plan, "\n"))
		}
	}
	if page, err := d.Deliveries(ctx, importer.DeliveryQuery{WebhookID: w.ID, Limit: 100}); err != nil || len(page.Items) != 100 || page.Total != importer.MaxPending {
		t.Errorf("got %d of %d, %v", len(page.Items), page.Total, err)
	}
}
