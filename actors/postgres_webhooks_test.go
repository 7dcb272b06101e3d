package actors_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"importer"
	"importer/actors"
	"importer/db"
	"importer/db/dbtest"
	"importer/internal/csvfile"
	"importer/internal/guard"
)

// postOffice is a machine that sends to webhooks.
type postOffice struct {
	store  *db.DB
	system *actors.System
}

func newPostOffice(t *testing.T, url string) *postOffice {
	t.Helper()
	store, err := db.Open(db.Options{URL: url, MaxConns: 8, Log: zerolog.Nop(), AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	transport := guard.Transport(guard.Options{AllowPrivate: true})
	p := &postOffice{store: store}
	p.system, err = actors.Start(actors.Options{
		Store: store, Events: store, Spool: newMemorySpool(), OpenRows: csvfile.Open, Node: uuid.New(), OnCommit: store.OnCommit,
		Webhooks: store, WebhookTransport: transport, Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b := &bundle{t: t, system: p.system}
		b.shutdown()
		transport.CloseIdleConnections()
		store.Close()
	})
	return p
}

// mailbox is a receiver that verifies what it gets.
type mailbox struct {
	t      *testing.T
	url    string
	secret string
	answer func(nth int) int // nil: 204

	mu  sync.Mutex
	ids map[string]int
	all int
}

func newMailbox(t *testing.T) *mailbox {
	m := &mailbox{t: t, ids: map[string]int{}}
	s := httptest.NewServer(m)
	t.Cleanup(s.Close)
	m.url = s.URL
	return m
}

func (m *mailbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		m.t.Error(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	verifier, err := standardwebhooks.NewWebhook(m.secret)
	if err == nil {
		err = verifier.Verify(body, r.Header)
	}
	if err != nil {
		m.t.Error(err)
	}
	m.all++
	code := http.StatusNoContent
	if m.answer != nil {
		code = m.answer(m.all)
	}
	if code/100 == 2 {
		m.ids[r.Header.Get("Webhook-Id")]++
	}
	w.WriteHeader(code)
}

// got is how many different events came, and how many came again.
func (m *mailbox) got() (different, again int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.ids {
		again += n - 1
	}
	return len(m.ids), again
}

func (p *postOffice) hook(m *mailbox, events ...string) importer.Webhook {
	m.t.Helper()
	m.mu.Lock() // it may come before its secret is known
	defer m.mu.Unlock()
	w, err := p.store.CreateWebhook(m.t.Context(), importer.WebhookFields{URL: &m.url, Events: &events})
	if err != nil {
		m.t.Fatal(err)
	}
	m.secret = w.Secret
	return w
}

func (p *postOffice) create(t *testing.T, sku string) {
	t.Helper()
	if _, err := p.store.CreateProduct(t.Context(), importer.ProductFields{SKU: &sku, Name: &sku}); err != nil {
		t.Fatal(err)
	}
}

func awaitEvents(t *testing.T, m *mailbox, want int) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		n, again := m.got()
		if n >= want {
			if n > want || again > 0 {
				t.Errorf("%d events came, %d of them again, want %d", n, again, want)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d events came", n, want)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestWebhooksOfTwoMachines: each event comes once to each webhook, whoever
// has committed it and whoever sends it.
func TestWebhooksOfTwoMachines(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	a, b := newPostOffice(t, url), newPostOffice(t, url)
	boxes := []*mailbox{newMailbox(t), newMailbox(t), newMailbox(t)}
	for _, m := range boxes {
		a.hook(m, "product.created")
	}
	const products = 120
	var wg sync.WaitGroup
	for i, p := range []*postOffice{a, b} {
		wg.Go(func() {
			for n := range products / 2 {
				p.create(t, fmt.Sprintf("%d-%d", i, n))
			}
		})
	}
	wg.Wait()
	for _, m := range boxes {
		awaitEvents(t, m, products)
	}
}

// TestFailedDeliveriesComeAgain, with the same id, as soon as somebody asks.
func TestFailedDeliveriesComeAgain(t *testing.T) {
	t.Parallel()
	p, m := newPostOffice(t, dbtest.URL(t)), newMailbox(t)
	m.answer = func(nth int) int {
		if nth == 1 {
			return 500
		}
		return 200
	}
	w := p.hook(m, "*")
	p.create(t, "A-1")
	var failed importer.Delivery
	deadline := time.Now().Add(30 * time.Second)
	for failed.Tries == 0 && time.Now().Before(deadline) {
		page, err := p.store.Deliveries(t.Context(), importer.DeliveryQuery{WebhookID: w.ID, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Items) == 1 {
			failed = page.Items[0]
		}
	}
	if failed.State != importer.DeliveryPending || len(failed.Attempts) != 1 || failed.Attempts[0].Status != 500 {
		t.Fatalf("got %+v", failed)
	}
	if _, err := p.store.Resend(t.Context(), failed.ID); err != nil {
		t.Fatal(err)
	}
	p.system.WakeWebhooks()
	awaitEvents(t, m, 1)
	if m.ids[failed.EventID] != 1 {
		t.Errorf("came as %v, want %s", m.ids, failed.EventID)
	}
}

func TestTestingAWebhook(t *testing.T) {
	t.Parallel()
	p, m := newPostOffice(t, dbtest.URL(t)), newMailbox(t)
	w := p.hook(m, "import.failed")
	if _, err := p.store.UpdateWebhook(t.Context(), w.ID, 0, importer.WebhookFields{Enabled: new(false)}); err != nil {
		t.Fatal(err)
	}
	a, err := p.system.TestWebhook(t.Context(), w.ID) // also while it is paused
	if err != nil || !a.OK || a.Status != 204 || a.RemoteIP != "127.0.0.1" || a.Request["Webhook-Signature"] == "" || a.At.IsZero() {
		t.Errorf("got %+v, %v", a, err)
	}
	m.answer = func(int) int { return 500 }
	if a, err := p.system.TestWebhook(t.Context(), w.ID); err != nil || a.OK || a.Error != importer.AttemptStatus {
		t.Errorf("got %+v, %v", a, err)
	}
	if _, err := p.system.TestWebhook(t.Context(), uuid.New()); importer.ErrorCode(err) != importer.NotFound {
		t.Errorf("one that is not there: %v", err)
	}
	got, err := p.store.Webhook(t.Context(), w.ID)
	if err != nil || got.LastAttempt == nil || got.LastAttempt.Status != 500 {
		t.Errorf("last attempt: %+v, %v", got.LastAttempt, err)
	}
}

// TestImportsGoFirst: what an import changes is told once it does not write
// any more; other events go out meanwhile.
func TestImportsGoFirst(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p, m := newPostOffice(t, dbtest.URL(t)), newMailbox(t)
	p.hook(m, "products.changed", "product.created")
	elsewhere := uuid.New()
	c, err := p.store.CreateImport(ctx, importer.NewImport{BatchRows: 10}, elsewhere)
	if err == nil {
		_, err = p.store.Uploaded(ctx, c.ID, 10)
	}
	if err == nil {
		_, err = p.store.StartScan(ctx, c.ID, c.Epoch)
	}
	if err == nil {
		_, err = p.store.StartWrite(ctx, c.ID, c.Epoch, importer.Scan{Rows: 1})
	}
	if err == nil {
		_, err = p.store.MergeBatch(ctx, importer.Batch{ImportID: c.ID, Epoch: c.Epoch, Rows: []importer.Row{{SKU: "A", Key: "a", Name: "A"}}}, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	p.create(t, "B-1")
	awaitEvents(t, m, 1)
	if _, err := p.store.CancelImport(ctx, c.ID); err != nil {
		t.Fatal(err)
	}
	p.system.WakeWebhooks()
	awaitEvents(t, m, 2)
}
