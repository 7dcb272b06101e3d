package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"importer"
	"importer/client"
	"importer/db/dbtest"
	"importer/internal/sample"
)

// receiver is the program of an integrator: it verifies what it gets and
// counts it, by the path it comes to and its id.
type receiver struct {
	url    string
	secret string        // "" to take anything
	takes  time.Duration // for an answer

	mu   sync.Mutex
	seen map[string]map[string]int // path → webhook-id → how often
	last map[string][]byte         // type → body
	n    int
	bad  []error
}

func newReceiver(t testing.TB) *receiver {
	t.Helper()
	r := &receiver{seen: map[string]map[string]int{}, last: map[string][]byte{}}
	s := httptest.NewServer(r)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, err := range r.bad {
			t.Error(err)
		}
	})
	r.url = s.URL
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender was killed in the middle
	}
	select {
	case <-time.After(r.takes):
	case <-req.Context().Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.secret != "" {
		verifier, err := standardwebhooks.NewWebhook(r.secret)
		if err == nil {
			err = verifier.Verify(body, req.Header)
		}
		if err != nil {
			r.bad = append(r.bad, err)
		}
	}
	var what struct{ Type string }
	if err := json.Unmarshal(body, &what); err != nil {
		r.bad = append(r.bad, err)
	}
	r.last[what.Type] = body
	if r.seen[req.URL.Path] == nil {
		r.seen[req.URL.Path] = map[string]int{}
	}
	r.seen[req.URL.Path][req.Header.Get("Webhook-Id")]++
	r.n++
	w.WriteHeader(http.StatusNoContent)
}

// got is how many different deliveries came, and how many came again.
func (r *receiver) got() (different, again int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ids := range r.seen {
		different += len(ids)
	}
	return different, r.n - different
}

// body is the last one of a type, or nil.
func (r *receiver) body(kind string) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last[kind]
}

// backlog makes webhooks at paths of a receiver, and the same events for each,
// all due. The ids are of times to come, for housekeeping deletes old ones.
func backlog(t testing.TB, conn *pgx.Conn, url string, webhooks, events int) {
	t.Helper()
	for _, sql := range []string{
		fmt.Sprintf(`INSERT INTO webhooks (id, url, events, headers, timeout_ms, max_in_flight, rate_per_s, strict_order, state, state_reason, secret, version, created_at, updated_at)
			SELECT gen_random_uuid(), '%s/' || n, '{product.*}', '{}', 5000, 8, 0, false, 'active', '', 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=', 1, now(), now()
			FROM generate_series(1, %d) AS n`, url, webhooks),
		fmt.Sprintf(`INSERT INTO webhook_events (id, type, payload, created_at, fanned_out)
			SELECT 'msg_7fffffff-' || to_char(n, 'FM00000000'), 'product.created', convert_to('{"type":"product.created","data":{"n":' || n || '}}', 'UTF8'), now(), true
			FROM generate_series(1, %d) AS n`, events),
		`INSERT INTO webhook_deliveries (webhook_id, event_id, type) SELECT w.id, e.id, e.type FROM webhook_events AS e CROSS JOIN webhooks AS w ORDER BY e.id`,
		"ANALYZE webhook_deliveries", "ANALYZE webhooks",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
}

// openly lets a server send to this machine.
const openly = "IMPORTER_WEBHOOK_ALLOW_PRIVATE=true"

// TestWebhooksFromEndToEnd creates a webhook over the API and looks at what
// comes of it for an edit, an import and a test.
func TestWebhooksFromEndToEnd(t *testing.T) {
	t.Parallel()
	database, r := dbtest.URL(t), newReceiver(t)
	p := serveProcess(t, []string{"DATABASE_URL=" + database, openly}, "--data-dir", t.TempDir())
	r.mu.Lock() // nothing is verified before the secret is known
	answer := send(t, "POST", p.url+"/api/webhooks", fmt.Sprintf(`{"url":%q,"events":["*"]}`, r.url+"/hook"))
	var w importer.Webhook
	if err := json.Unmarshal(answer, &w); err != nil || w.Secret == "" {
		t.Fatalf("%v: %s", err, answer)
	}
	r.secret = w.Secret
	r.mu.Unlock()

	answer = send(t, "POST", p.url+"/api/webhooks/"+w.ID.String()+"/test", "")
	var a importer.Attempt
	if err := json.Unmarshal(answer, &a); err != nil || !a.OK || a.Status != 204 {
		t.Errorf("test: %v: %s", err, answer)
	}
	send(t, "POST", p.url+"/api/products", `{"sku":"LMP-1","name":"Lamp"}`)
	file, want := writeCatalogue(t, sample.Options{Rows: 1_200, Seed: 1})
	importFile(t, p, file, client.Upload{})
	send(t, "DELETE", p.url+"/api/products?confirm=delete-all", "")
	for _, kind := range []string{
		importer.EventWebhookTest, importer.EventProductCreated, importer.EventImportStarted, importer.EventProductsChanged,
		importer.EventImportCompleted, importer.EventProductsDeletedAll,
	} {
		eventually(t, kind+" has come", func() bool { return r.body(kind) != nil })
	}
	var changed importer.WebhookBody[importer.ProductsChangedEvent]
	if err := json.Unmarshal(r.body(importer.EventProductsChanged), &changed); err != nil || len(changed.Data.SKUs) == 0 {
		t.Errorf("products.changed: %v, %d SKUs", err, len(changed.Data.SKUs))
	}
	var completed importer.WebhookBody[importer.ImportEvent]
	if err := json.Unmarshal(r.body(importer.EventImportCompleted), &completed); err != nil || completed.Data.Import.Counts.Created != int64(want.Created) {
		t.Errorf("import.completed: %v, %+v", err, completed.Data.Import.Counts)
	}
	conn := connectTo(t, database)
	eventually(t, "all is delivered", func() bool { return pendingDeliveries(t, conn) == 0 })
	if _, again := r.got(); again != 0 {
		t.Errorf("%d came again", again)
	}
}

// TestPrivateAddressesAreRefused without the switch: nothing is sent, whatever
// the URL says.
func TestPrivateAddressesAreRefused(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t)}, "--data-dir", t.TempDir())
	answer := send(t, "POST", p.url+"/api/webhooks", `{"url":"https://localhost/hook","events":["*"]}`)
	var w importer.Webhook
	if err := json.Unmarshal(answer, &w); err != nil {
		t.Fatal(err)
	}
	answer = send(t, "POST", p.url+"/api/webhooks/"+w.ID.String()+"/test", "")
	var a importer.Attempt
	if err := json.Unmarshal(answer, &a); err != nil || a.OK || a.Error != importer.AttemptBlocked || a.RemoteIP != "" {
		t.Errorf("%v: %s", err, answer)
	}
}

// TestWebhooksSurviveTheirSender ends the server while it sends, in three
// ways, and starts it again: nothing is lost. Only a kill leaves requests of
// which nobody knows, and those are made again with the same id.
func TestWebhooksSurviveTheirSender(t *testing.T) {
	t.Parallel()
	const webhooks, events, ends, slots = 6, 600, 3, 128
	for name, c := range map[string]struct {
		end     func(p *process)
		repeats int
	}{
		"kill -9": {func(p *process) { p.kill() }, ends * slots},
		"SIGTERM": {func(p *process) {
			if err := p.stop(); err != nil {
				t.Error(err)
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, r := dbtest.URL(t), newReceiver(t)
			r.takes = 40 * time.Millisecond
			env, dir := []string{"DATABASE_URL=" + url, openly}, t.TempDir()
			p := serveProcess(t, env, "--data-dir", dir) // it migrates
			conn := connectTo(t, url)
			backlog(t, conn, r.url, webhooks, events)
			for range ends {
				before, _ := r.got()
				eventually(t, "it sends", func() bool { n, _ := r.got(); return n > before+100 })
				c.end(p)
				p = serveProcess(t, env, "--data-dir", dir)
			}
			eventually(t, "all is delivered", func() bool { return pendingDeliveries(t, conn) == 0 })
			different, again := r.got()
			if different != webhooks*events || again > c.repeats {
				t.Errorf("%d deliveries came and %d came again, want %d and at most %d", different, again, webhooks*events, c.repeats)
			}
		})
	}
}

// TestWebhooksSurvivePostgres kills the database while the server sends: what
// was sent is saved when it is back, and nothing is sent twice.
func TestWebhooksSurvivePostgres(t *testing.T) {
	t.Parallel()
	const webhooks, events = 4, 300
	dir, r := dataDir(t), newReceiver(t)
	r.takes = 10 * time.Millisecond
	serveProcess(t, []string{openly}, "--data-dir", dir)
	backlog(t, connectTo(t, privateURL(t, dir)), r.url, webhooks, events)
	eventually(t, "it sends", func() bool { n, _ := r.got(); return n > 100 })
	if err := syscall.Kill(postmaster(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all has come", func() bool { n, _ := r.got(); return n == webhooks*events })
	eventually(t, "all is saved", func() bool {
		again, err := pgx.Connect(t.Context(), privateURL(t, dir))
		if err != nil {
			return false
		}
		defer again.Close(t.Context())
		return pendingDeliveries(t, again) == 0
	})
	if _, again := r.got(); again != 0 {
		t.Errorf("%d came again", again)
	}
}

func connectTo(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func pendingDeliveries(t testing.TB, conn *pgx.Conn) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM webhook_deliveries WHERE state = 'pending') + (SELECT count(*) FROM webhook_events WHERE NOT fanned_out)").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// send makes a request that has to succeed.
func send(t testing.TB, method, url, body string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %d, %v: %s", method, url, resp.StatusCode, err, answer)
	}
	return answer
}
