package httpd_test

import (
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"importer"
	"importer/httpd"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	now := at
	lost := false
	b := setup(t, func(o *httpd.Options) {
		o.Now, o.Commit = func() time.Time { return now }, "abc"
		o.Room = func() (uint64, uint64, error) {
			if lost {
				return 0, 0, os.ErrNotExist
			}
			return 3, 4, nil
		}
	})
	b.status.StoreStatus = importer.StoreStatus{
		Imports:   map[importer.State]int64{importer.Queued: 3},
		QueuedFor: 1500 * time.Millisecond,
		Indexing:  importer.Indexing{Total: 5, Pending: 2, Indexed: 3},
		Webhooks:  importer.Backlog{Pending: 8, OverdueFor: 2500 * time.Millisecond},
		Bytes:     42, Version: "17.1",
	}
	now = at.Add(90 * time.Second)
	r := b.do("GET", "/api/status", nil)
	got := decode[httpd.Status](b, r, http.StatusOK)
	if got.Version != "test" || got.Commit != "abc" || !got.StartedAt.Equal(at) || got.Uptime != 90 || got.Machine == uuid.Nil {
		t.Errorf("the machine that answers: %+v", got)
	}
	if got.Imports[importer.Queued] != 3 || got.QueuedFor != 1.5 || got.Indexing.Pending != 2 || got.Database != (httpd.DatabaseStatus{Version: "17.1", Bytes: 42}) {
		t.Errorf("the database: %+v", got)
	}
	if got.Webhooks != (httpd.WebhookStatus{Pending: 8, OverdueFor: 2.5}) || got.Disk != (httpd.DiskStatus{Free: 3, Total: 4}) {
		t.Errorf("webhooks and disk: %+v, %+v", got.Webhooks, got.Disk)
	}
	lost = true
	if got := decode[httpd.Status](b, b.do("GET", "/api/status", nil), http.StatusOK); got.Disk != (httpd.DiskStatus{}) {
		t.Errorf("a disk that cannot be looked at: %+v", got.Disk)
	}
	if got.Machines == nil || len(got.Machines) != 0 {
		t.Errorf("no machines are %v, want an empty list", got.Machines)
	}

	b.status.down = importer.Errorf(importer.Unavailable, "The database is away.")
	b.problem(b.do("GET", "/api/status", nil), http.StatusServiceUnavailable, importer.Unavailable)
}

// observed notes what it is told.
type observed struct {
	mu     sync.Mutex
	routes []string
	status []int
	cuts   []int
	subs   []string
	events int // replayed
	pongs  int
	lags   []time.Duration
}

func (o *observed) Answered(route string, status int, _ time.Duration) {
	o.note(func() { o.routes, o.status = append(o.routes, route), append(o.status, status) })
}

func (o *observed) Subscribed(outcome string, replayed int) {
	o.note(func() { o.subs, o.events = append(o.subs, outcome), o.events+replayed })
}

func (o *observed) Cut(code int)            { o.note(func() { o.cuts = append(o.cuts, code) }) }
func (o *observed) Ponged(time.Duration)    { o.note(func() { o.pongs++ }) }
func (o *observed) Sent(lag time.Duration)  { o.note(func() { o.lags = append(o.lags, lag) }) }
func (o *observed) note(f func())           { o.mu.Lock(); defer o.mu.Unlock(); f() }
func (o *observed) look(f func() bool) bool { o.mu.Lock(); defer o.mu.Unlock(); return f() }

func TestRoutesAreObservedAsPatterns(t *testing.T) {
	t.Parallel()
	o := &observed{}
	b := setup(t, func(opts *httpd.Options) { opts.Observe = o })
	b.do("GET", "/api/imports/"+uuid.NewString(), nil)
	b.do("GET", "/api/imports", nil)
	b.do("GET", "/api/nonsense/"+uuid.NewString(), nil)
	b.do("GET", "/healthz", nil)
	b.do("POST", "/api/imports", nil, "Origin", "https://elsewhere.example")
	want := []string{"GET /api/imports/{id}", "GET /api/imports", "/api/", "GET /healthz", "none"}
	// The answer may be here before the server has noted it.
	eventually(t, "five answers", func() bool { return o.look(func() bool { return len(o.routes) == 5 }) })
	slices.Sort(want)
	slices.Sort(o.routes)
	slices.Sort(o.status)
	if !slices.Equal(o.routes, want) || !slices.Equal(o.status, []int{200, 200, 403, 404, 404}) {
		t.Errorf("got %q with %v, want %q", o.routes, o.status, want)
	}
}

func TestSocketsAreObserved(t *testing.T) {
	t.Parallel()
	o := &observed{}
	b := setup(t, func(opts *httpd.Options) {
		opts.Observe = o
		opts.Socket = httpd.SocketOptions{Ping: 60 * time.Millisecond}
	})
	log := newFakeLog(b.hub)
	log.append("imports", "{}")
	log.append("imports", "{}")

	p := b.connect()
	if got := b.server.SocketStatus(); got.Open != 1 {
		t.Errorf("got %+v, want one connection", got)
	}
	p.send(`{"type":"subscribe","id":1,"topic":"imports","since":{"epoch":"e1","seq":0}}`)
	p.send(`{"type":"subscribe","id":2,"topic":"products","since":{"epoch":"old","seq":9}}`)
	eventually(t, "the subscriptions", func() bool { return b.hub.count("imports") == 1 && b.hub.count("products") == 1 })
	log.append("imports", "{}")
	eventually(t, "an event's age", func() bool { return o.look(func() bool { return len(o.lags) == 1 }) })
	for p.next() != `{"type":"ping"}` {
	}
	p.send(`{"type":"pong"}`)
	eventually(t, "a sign of life", func() bool { return o.look(func() bool { return o.pongs > 0 }) })
	p.shout("nonsense")
	p.wantClose(4500)
	eventually(t, "the end", func() bool { return b.server.SocketStatus().Open == 0 })

	if !slices.Equal(o.subs, []string{"recovered", "epoch"}) || o.events != 2 {
		t.Errorf("subscribes: got %q with %d events replayed, want a recovery with 2 and a snapshot", o.subs, o.events)
	}
	if !slices.Equal(o.cuts, []int{4500}) {
		t.Errorf("cuts: got %v", o.cuts)
	}
	if o.lags[0] < time.Hour {
		t.Errorf("an event of January is %v old", o.lags[0])
	}
}
