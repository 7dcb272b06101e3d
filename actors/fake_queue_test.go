package actors

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"importer"
)

// fakeQueue is the queue of webhooks in memory, by the clock of its bubble.
type fakeQueue struct {
	importer.WebhookQueue

	mu       sync.Mutex
	hooks    []*fakeHook
	down     bool // every call fails
	slow     time.Duration
	released []importer.WebhookRelease
	told     [][]importer.WebhookAttempted
	tests    []importer.Attempt
}

// fakeHook is a webhook with its deliveries.
type fakeHook struct {
	importer.WebhookTarget
	epoch      int64
	leaseUntil time.Time
	notBefore  time.Time
	failures   int
	failing    time.Time
	disabled   string
	deliveries []*fakeDelivery
}

type fakeDelivery struct {
	importer.DueDelivery
	dueAt    time.Time
	state    importer.DeliveryState
	attempts []importer.Attempt
}

var errDown = importer.Errorf(importer.Unavailable, "down")

// add makes a webhook with n deliveries that are due; their ids grow by one.
func (q *fakeQueue) add(n int, change func(*importer.WebhookTarget)) *fakeHook {
	id := uuid.New()
	h := &fakeHook{WebhookTarget: importer.WebhookTarget{
		ID: id, Version: 1, URL: "https://" + id.String() + ".example/", Secrets: []string{"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="},
		Timeout: 15 * time.Second, MaxInFlight: 8,
	}}
	if change != nil {
		change(&h.WebhookTarget)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for range n {
		q.queue(h)
	}
	q.hooks = append(q.hooks, h)
	return h
}

func (q *fakeQueue) queue(h *fakeHook) {
	id := int64(len(h.deliveries) + 1)
	h.deliveries = append(h.deliveries, &fakeDelivery{
		DueDelivery: importer.DueDelivery{ID: id, EventID: "msg_" + strconv.FormatInt(id, 10), Payload: []byte("{}")},
		dueAt:       time.Now(), state: importer.DeliveryPending,
	})
}

// look reads under the lock.
func (q *fakeQueue) look(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f()
}

// count is how many deliveries of h are in a state.
func (q *fakeQueue) count(h *fakeHook, state importer.DeliveryState) (n int) {
	q.look(func() {
		for _, d := range h.deliveries {
			if d.state == state {
				n++
			}
		}
	})
	return n
}

func (q *fakeQueue) call() error {
	time.Sleep(q.slow)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.down {
		return errDown
	}
	return nil
}

func (q *fakeQueue) FanOut(context.Context, int, bool) (int, error) { return 0, q.call() }

func (q *fakeQueue) TrimWebhooks(context.Context, time.Duration, int) (int, error) {
	return 0, q.call()
}

func (q *fakeQueue) ClaimWebhooks(_ context.Context, _ uuid.UUID, limit int) (claims []importer.WebhookClaim, err error) {
	if err := q.call(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for _, h := range q.hooks {
		due := slices.ContainsFunc(h.deliveries, func(d *fakeDelivery) bool {
			return d.state == importer.DeliveryPending && !d.dueAt.After(now)
		})
		if len(claims) == limit || h.disabled != "" || now.Before(h.notBefore) || now.Before(h.leaseUntil) || !due {
			continue
		}
		h.epoch++
		h.leaseUntil = now.Add(importer.LeaseTime)
		c := importer.WebhookClaim{WebhookTarget: h.WebhookTarget, Epoch: h.epoch, Failures: h.failures}
		if h.failures > 0 {
			c.FailingFor = now.Sub(h.failing)
		}
		claims = append(claims, c)
	}
	return claims, nil
}

func (q *fakeQueue) RenewWebhooks(_ context.Context, _ uuid.UUID, ids []uuid.UUID) (map[uuid.UUID]int64, error) {
	if err := q.call(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	held := map[uuid.UUID]int64{}
	for _, h := range q.hooks {
		if slices.Contains(ids, h.ID) {
			h.leaseUntil = time.Now().Add(importer.LeaseTime)
			held[h.ID] = h.epoch
		}
	}
	return held, nil
}

func (q *fakeQueue) find(id uuid.UUID) *fakeHook {
	for _, h := range q.hooks {
		if h.ID == id {
			return h
		}
	}
	return nil
}

func (q *fakeQueue) DueDeliveries(_ context.Context, c importer.WebhookClaim, busy []int64, limit int) (due []importer.DueDelivery, err error) {
	if err := q.call(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	h := q.find(c.ID)
	for _, d := range h.deliveries {
		switch {
		case d.state != importer.DeliveryPending:
		case len(due) == limit:
		case d.dueAt.After(time.Now()) || slices.Contains(busy, d.ID):
			if c.StrictOrder {
				return due, nil
			}
		case h.epoch == c.Epoch && h.Version == c.Version:
			due = append(due, d.DueDelivery)
		}
	}
	return due, nil
}

func (q *fakeQueue) ProbeDelivery(_ context.Context, c importer.WebhookClaim, triedMost bool) ([]importer.DueDelivery, error) {
	if err := q.call(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var pick *fakeDelivery
	for _, d := range q.find(c.ID).deliveries {
		if d.state != importer.DeliveryPending {
			continue
		}
		if pick == nil || triedMost && d.dueAt.After(pick.dueAt) || !triedMost && d.dueAt.Before(pick.dueAt) {
			pick = d
		}
	}
	if pick == nil {
		return nil, nil
	}
	return []importer.DueDelivery{pick.DueDelivery}, nil
}

func (q *fakeQueue) SaveAttempts(_ context.Context, _ uuid.UUID, results []importer.AttemptResult) error {
	if err := q.call(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range results {
		h := q.find(r.Webhook)
		d := h.deliveries[r.Delivery-1]
		d.attempts = append(d.attempts, r.Attempt)
		switch {
		case r.Attempt.OK:
			d.state = importer.DeliveryDelivered
		case h.epoch != r.Epoch:
		case r.GiveUp:
			d.state = importer.DeliveryExhausted
		default:
			d.dueAt = time.Now().Add(r.RetryIn)
		}
		if !r.Spared {
			d.Tries = r.Attempt.N
		}
	}
	return nil
}

func (q *fakeQueue) TellAttempts(_ context.Context, last []importer.WebhookAttempted) error {
	if err := q.call(); err != nil {
		return err
	}
	q.look(func() { q.told = append(q.told, last) })
	return nil
}

func (q *fakeQueue) ReleaseWebhooks(_ context.Context, releases []importer.WebhookRelease) error {
	if err := q.call(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range releases {
		q.released = append(q.released, r)
		h := q.find(r.ID)
		if h.epoch != r.Epoch {
			continue
		}
		switch {
		case r.Failures == 0:
			h.failing = time.Time{}
		case h.failures == 0:
			h.failing = time.Now()
		}
		h.failures, h.leaseUntil, h.disabled = r.Failures, time.Time{}, r.Disable
		if r.Pause > 0 {
			h.notBefore = time.Now().Add(r.Pause)
		}
	}
	return nil
}

func (q *fakeQueue) WebhookTarget(_ context.Context, id uuid.UUID) (importer.WebhookTarget, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if h := q.find(id); h != nil {
		return h.WebhookTarget, nil
	}
	return importer.WebhookTarget{}, importer.Errorf(importer.NotFound, "none")
}

func (q *fakeQueue) SaveTest(_ context.Context, _, _ uuid.UUID, _ string, a importer.Attempt) error {
	q.look(func() { q.tests = append(q.tests, a) })
	return nil
}

// receivers answers requests in place of the network. It notes when they came
// and how many of a host were under way at once.
type receivers struct {
	answer func(req *http.Request, nth int) *http.Response // nil: no answer until the sender gives up; nth of its host, from 1

	mu     sync.Mutex
	at     map[string][]time.Time
	ids    map[string][]string
	now    map[string]int
	most   map[string]int
	nowAll int
	allTop int
}

func newReceivers(answer func(req *http.Request, nth int) *http.Response) *receivers {
	return &receivers{answer: answer, at: map[string][]time.Time{}, ids: map[string][]string{}, now: map[string]int{}, most: map[string]int{}}
}

// RoundTrip takes 10 ms.
func (r *receivers) RoundTrip(req *http.Request) (*http.Response, error) {
	host := req.URL.Host
	r.mu.Lock()
	r.at[host] = append(r.at[host], time.Now())
	r.ids[host] = append(r.ids[host], req.Header.Get("Webhook-Id"))
	nth := len(r.at[host])
	r.now[host]++
	r.most[host] = max(r.most[host], r.now[host])
	r.nowAll++
	r.allTop = max(r.allTop, r.nowAll)
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.now[host]--
		r.nowAll--
		r.mu.Unlock()
	}()
	resp := r.answer(req, nth)
	wait := time.After(10 * time.Millisecond)
	if resp == nil {
		wait = nil
	}
	select {
	case <-wait:
		return resp, nil
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

// came is when requests came to a webhook.
func (r *receivers) came(h *fakeHook) []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.at[strings.Trim(strings.TrimPrefix(h.URL, "https://"), "/")])
}

func (r *receivers) order(h *fakeHook) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ids[h.ID.String()+".example"])
}

func (r *receivers) mostAtOnce(h *fakeHook) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most[h.ID.String()+".example"]
}

func status(code int, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader("seen"))}
}

// sending is the actors that send, on a fake queue.
type sending struct {
	t        *testing.T
	house    *house
	webhooks pid
	results  pid
	closed   chan struct{}
	closing  sync.Once
}

// startSending starts them in a bubble. They are shut down with the test.
func startSending(t *testing.T, q *fakeQueue, r *receivers, slots int) *sending {
	t.Helper()
	s := &settings{Options{
		Webhooks: q, WebhookTransport: r, WebhookSlots: slots, Node: uuid.New(), Observe: unobserved{}, Now: time.Now,
	}, newHouse(t)}
	x := &sending{t: t, house: s.house, closed: make(chan struct{})}
	results := newResults(s)
	x.results = s.spawn(nil, resultsSpec, func() behavior { return results })
	webhooks := newWebhooks(s, x.results)
	x.webhooks = s.spawn(nil, webhooksSpec, func() behavior { return webhooks })
	t.Cleanup(func() {
		x.shutdown()
		s.reap(x.webhooks)
		s.reap(x.results)
		s.live.Wait()
	})
	return x
}

// shutdown lets what is under way come to its end.
func (x *sending) shutdown() {
	x.closing.Do(func() { x.house.send(x.webhooks, shutDown{x.closed}) })
	<-x.closed
}
