package actors

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"importer"
)

func ok(*http.Request, int) *http.Response { return status(200) }

func TestSenderDelivers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, r := &fakeQueue{}, newReceivers(ok)
		a, b := q.add(300, nil), q.add(5, nil)
		startSending(t, q, r, 64)
		time.Sleep(10 * time.Second)
		for _, h := range []*fakeHook{a, b} {
			if n, sent := q.count(h, importer.DeliveryDelivered), len(r.came(h)); n != len(h.deliveries) || sent != n {
				t.Errorf("delivered %d with %d requests, want %d", n, sent, len(h.deliveries))
			}
		}
		if q.look(func() {}); a.leaseUntil != (time.Time{}) || b.leaseUntil != (time.Time{}) {
			t.Error("the claims were not given back")
		}
		if n := len(q.told); n < 1 || n > 10 {
			t.Errorf("watchers were told %d times in 10 s", n)
		}
	})
}

// A webhook begins with one request at a time and doubles with each success,
// up to its limit.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, r := &fakeQueue{}, newReceivers(ok)
		h := q.add(40, func(w *importer.WebhookTarget) { w.MaxInFlight = 6 })
		startSending(t, q, r, 64)
		time.Sleep(5 * time.Second)
		came := r.came(h)
		// One, then two together, then four, then six.
		for i, group := range []int{0, 1, 1, 2} {
			if want := came[0].Add(time.Duration(group*10) * time.Millisecond); !came[i].Equal(want) {
				t.Errorf("request %d came after %v, want %v", i, came[i].Sub(came[0]), want.Sub(came[0]))
			}
		}
		if n := r.mostAtOnce(h); n != 6 {
			t.Errorf("%d at once, want 6", n)
		}
	})
}

// One that hangs costs one slot; the others are served meanwhile.
func TestHangingWebhooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{}
		hanging := map[string]bool{}
		r := newReceivers(func(req *http.Request, _ int) *http.Response {
			if hanging[req.URL.Hostname()] {
				return nil
			}
			return status(200)
		})
		var bad []*fakeHook
		for range 12 {
			h := q.add(50, nil)
			hanging[h.ID.String()+".example"] = true
			bad = append(bad, h)
		}
		good := q.add(100, nil)
		startSending(t, q, r, 16)
		time.Sleep(5 * time.Second)
		if n := q.count(good, importer.DeliveryDelivered); n != 100 {
			t.Errorf("%d of 100 were delivered beside those that hang", n)
		}
		time.Sleep(time.Minute) // they have failed once: now they share a quarter of the slots
		for _, h := range bad {
			if n := r.mostAtOnce(h); n != 1 {
				t.Errorf("%d requests at once to one that hangs", n)
			}
		}
		q.look(func() {
			for range 100 {
				q.queue(good)
			}
		})
		r.mu.Lock()
		r.allTop = r.nowAll
		r.mu.Unlock()
		time.Sleep(5 * time.Second)
		if n := q.count(good, importer.DeliveryDelivered); n != 200 {
			t.Errorf("%d of 200 were delivered later", n)
		}
		r.mu.Lock()
		now := 0
		for host, n := range r.now {
			if hanging[host] {
				now += n
			}
		}
		r.mu.Unlock()
		if now > 4 {
			t.Errorf("%d slots of 16 are with webhooks that fail, want at most a quarter", now)
		}
	})
}

// The rate holds from one turn to the next.
func TestRate(t *testing.T) {
	t.Parallel()
	for _, perS := range []float64{0.5, 4} {
		synctest.Test(t, func(t *testing.T) {
			q, r := &fakeQueue{}, newReceivers(ok)
			h := q.add(20, func(w *importer.WebhookTarget) { w.RatePerS = perS })
			startSending(t, q, r, 64)
			time.Sleep(80 * time.Second)
			came := r.came(h)
			if len(came) != 20 {
				t.Fatalf("%v a second: %d requests, want 20", perS, len(came))
			}
			least := time.Duration(float64(time.Second) / perS)
			for i := 1; i < len(came); i++ {
				if gap := came[i].Sub(came[i-1]); gap < least-time.Millisecond || gap > least+2*time.Second {
					t.Errorf("%v a second: request %d after %v", perS, i, gap)
				}
			}
		})
	}
}

// With strict order nothing overtakes, also when one fails.
func TestStrictOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{}
		r := newReceivers(func(_ *http.Request, nth int) *http.Response {
			if nth == 3 || nth == 4 {
				return status(500)
			}
			return status(200)
		})
		h := q.add(6, func(w *importer.WebhookTarget) { w.StrictOrder = true })
		startSending(t, q, r, 64)
		time.Sleep(10 * time.Minute)
		want := []string{"msg_1", "msg_2", "msg_3", "msg_3", "msg_3", "msg_4", "msg_5", "msg_6"}
		if got := r.order(h); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if n := r.mostAtOnce(h); n != 1 {
			t.Errorf("%d at once", n)
		}
	})
}

// A delivery is tried ten times, with one id. TestJudge has the waits between.
func TestRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{}
		h := q.add(1, nil)
		sick := h.ID.String() + ".example"
		r := newReceivers(func(req *http.Request, nth int) *http.Response {
			// Others get through, so that it is the delivery that is at fault.
			if req.URL.Hostname() == sick && req.Header.Get("Webhook-Id") == "msg_1" {
				return status(500)
			}
			return status(200)
		})
		startSending(t, q, r, 64)
		for range 12 {
			time.Sleep(time.Minute)
			q.look(func() {
				h.deliveries[0].dueAt = time.Now()
				q.queue(h)
			})
		}
		var d importer.DeliveryState
		var attempts []importer.Attempt
		q.look(func() { d, attempts = h.deliveries[0].state, h.deliveries[0].attempts })
		if d != importer.DeliveryExhausted || len(attempts) != 10 {
			t.Fatalf("%s after %d attempts, want exhausted after 10", d, len(attempts))
		}
		for i, a := range attempts {
			if a.N != i+1 || a.OK || a.Status != 500 || a.Error != importer.AttemptStatus || a.Response != "seen" {
				t.Errorf("attempt %d: %+v", i+1, a)
			}
		}
	})
}

// Five failures in a row open the breaker: then there is one request at a
// time, at ever longer distances, until one succeeds.
func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{}
		well := time.Now().Add(20 * time.Minute)
		r := newReceivers(func(*http.Request, int) *http.Response {
			if time.Now().Before(well) {
				return status(500)
			}
			return status(200)
		})
		h := q.add(200, nil)
		startSending(t, q, r, 64)
		time.Sleep(20 * time.Minute)
		came := r.came(h)
		// 5 at once or so, then after 1, 2, 4 … 256, 300, 300 s.
		if len(came) < 10 || len(came) > 20 {
			t.Errorf("%d requests to one that fails for 20 minutes", len(came))
		}
		for i := 6; i < len(came); i++ {
			if gap, least := came[i].Sub(came[i-1]), breaker(i-1); gap < least {
				t.Errorf("probe %d came %v after the one before, want %v", i, gap, least)
			}
		}
		if n := r.mostAtOnce(h); n != 1 {
			t.Errorf("%d requests at once to one that fails", n)
		}
		time.Sleep(10 * time.Minute) // the next probe finds that it is well
		if n := q.count(h, importer.DeliveryDelivered); n < 195 {
			t.Errorf("%d of 200 are delivered after it was well", n)
		}
	})
}

// 429, and 503 with Retry-After, make the webhook wait as long as it asks, and
// are no failures.
func TestRetryAfterIsKept(t *testing.T) {
	t.Parallel()
	for _, code := range []int{429, 503} {
		for after, want := range map[string]time.Duration{"30": 30 * time.Second, "99999": time.Hour} {
			synctest.Test(t, func(t *testing.T) {
				q := &fakeQueue{}
				r := newReceivers(func(_ *http.Request, nth int) *http.Response {
					if nth <= 12 {
						return status(code, "Retry-After", after)
					}
					return status(200)
				})
				h := q.add(1, nil)
				startSending(t, q, r, 64)
				time.Sleep(13*want + time.Minute)
				came := r.came(h)
				if len(came) != 13 || q.count(h, importer.DeliveryDelivered) != 1 {
					t.Fatalf("%d, Retry-After %s: %d requests", code, after, len(came))
				}
				for i := 1; i < len(came); i++ {
					if gap := came[i].Sub(came[i-1]); gap < want || gap > want+3*time.Second {
						t.Errorf("%d, Retry-After %s: request %d after %v", code, after, i, gap)
					}
				}
				q.look(func() {
					if h.failures != 0 || h.deliveries[0].Tries != 1 {
						t.Errorf("%d failures, %d tries", h.failures, h.deliveries[0].Tries)
					}
				})
			})
		}
	}
}

func TestGoneDisables(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, r := &fakeQueue{}, newReceivers(func(*http.Request, int) *http.Response { return status(410) })
		h := q.add(5, nil)
		startSending(t, q, r, 64)
		time.Sleep(time.Minute)
		if n := len(r.came(h)); n != 1 || h.disabled == "" {
			t.Errorf("%d requests, disabled: %q", n, h.disabled)
		}
	})
}

func TestThreeDaysOfFailingDisable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, r := &fakeQueue{}, newReceivers(func(*http.Request, int) *http.Response { return status(503) })
		h := q.add(200, nil)
		h.failures, h.failing = 3, time.Now().Add(-71*time.Hour)
		startSending(t, q, r, 64)
		time.Sleep(50 * time.Minute)
		q.look(func() {
			if h.disabled != "" {
				t.Errorf("disabled before three days: %s", h.disabled)
			}
		})
		time.Sleep(20 * time.Minute)
		q.look(func() {
			if h.disabled == "" {
				t.Error("not disabled after three days")
			}
		})
	})
}

// While the store is away nothing more is sent than what was known to be due,
// what was sent is saved once it is back, and nothing is sent twice.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, r := &fakeQueue{}, newReceivers(ok)
		h := q.add(500, nil)
		startSending(t, q, r, 64)
		time.Sleep(100 * time.Millisecond)
		q.look(func() { q.down = true })
		time.Sleep(20 * time.Second)
		sent := len(r.came(h))
		if sent == 0 || sent > q.count(h, importer.DeliveryDelivered)+64 {
			t.Errorf("%d were sent, of which %d are saved: more than there are slots", sent, q.count(h, importer.DeliveryDelivered))
		}
		q.look(func() { q.down = false })
		time.Sleep(20 * time.Second)
		ids := r.order(h)
		slices.Sort(ids)
		if n := len(slices.Compact(slices.Clone(ids))); n != 500 || len(ids) != 500 {
			t.Errorf("%d requests, %d different, want 500 of each", len(ids), n)
		}
		if n := q.count(h, importer.DeliveryDelivered); n != 500 {
			t.Errorf("%d are delivered", n)
		}
	})
}

// A shutdown lets what is under way come to its end, saves it and gives the
// claims back; nothing begins any more.
func TestSendingShutsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, r := &fakeQueue{}, newReceivers(ok)
		h := q.add(500, nil)
		x := startSending(t, q, r, 64)
		time.Sleep(55 * time.Millisecond)
		x.shutdown()
		sent := len(r.came(h))
		if saved := q.count(h, importer.DeliveryDelivered); sent == 0 || sent == 500 || saved != sent {
			t.Errorf("%d were sent, %d are saved", sent, saved)
		}
		q.look(func() {
			if !h.leaseUntil.IsZero() {
				t.Error("the claim was not given back")
			}
		})
		time.Sleep(time.Minute)
		if n := len(r.came(h)); n != sent {
			t.Errorf("%d were sent after the end", n-sent)
		}
	})
}

// Nobody begins a request when the lease may have run out: not one that has
// waited for its slot meanwhile.
func TestStaleLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{}
		r := newReceivers(func(_ *http.Request, nth int) *http.Response {
			if nth > 7 {
				time.Sleep(12 * time.Second)
			}
			return status(200)
		})
		h := q.add(40, nil)
		startSending(t, q, r, 1) // and four that linger: of eight at once three wait
		time.Sleep(6 * time.Second)
		q.look(func() { q.down = true }) // no renewal gets through, and no result
		lost := time.Now()
		time.Sleep(time.Minute)
		q.look(func() { q.down = false })
		back := time.Now()
		time.Sleep(20 * time.Minute)
		if n, sent := q.count(h, importer.DeliveryDelivered), len(r.came(h)); n != 40 || sent != 40 {
			t.Errorf("%d of 40 are delivered, with %d requests", n, sent)
		}
		for i, at := range r.came(h) {
			if at.Sub(lost) > freshFor && at.Before(back) {
				t.Errorf("request %d began %v after the last renewal", i, at.Sub(lost))
			}
		}
	})
}

// A request that takes long gives its slot to others.
func TestLingering(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{}
		r := newReceivers(func(req *http.Request, _ int) *http.Response { return nil })
		var hooks []*fakeHook
		for range 30 {
			hooks = append(hooks, q.add(3, nil))
		}
		startSending(t, q, r, 4)
		time.Sleep(14 * time.Second)
		reached := 0
		for _, h := range hooks {
			reached += len(r.came(h))
		}
		if most := 4 + 4*lingerers; reached != most || r.allTop != most {
			t.Errorf("%d were reached, %d at once, want %d", reached, r.allTop, most)
		}
	})
}

// A webhook that was changed is claimed afresh within a turn.
func TestLostClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &fakeQueue{}
		r := newReceivers(func(_ *http.Request, nth int) *http.Response {
			if nth == 1 {
				time.Sleep(10 * time.Second)
			}
			return status(200)
		})
		h := q.add(3, nil)
		startSending(t, q, r, 64)
		time.Sleep(time.Second)
		q.look(func() { h.epoch++; h.leaseUntil = time.Now().Add(5 * time.Second) }) // another machine has it
		time.Sleep(time.Minute)
		if n := q.count(h, importer.DeliveryDelivered); n != 3 {
			t.Errorf("%d of 3 are delivered", n)
		}
		if n := len(r.came(h)); n > 4 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestSlotsAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, r := &fakeQueue{}, newReceivers(ok)
		var hooks []*fakeHook
		for i := range 30 {
			hooks = append(hooks, q.add(50+i, nil))
		}
		startSending(t, q, r, 10)
		time.Sleep(time.Minute)
		for i, h := range hooks {
			if n := q.count(h, importer.DeliveryDelivered); n != 50+i {
				t.Errorf("webhook %d: %d of %d are delivered", i, n, 50+i)
			}
		}
		if r.allTop > 10 {
			t.Errorf("%d requests at once, want at most 10", r.allTop)
		}
	})
}

func TestJudge(t *testing.T) {
	t.Parallel()
	answered := func(status int) answer {
		a := answer{Attempt: importer.Attempt{Status: status}}
		a.Error = classify(status, nil)
		a.OK = a.Error == ""
		return a
	}
	for tries := range 10 {
		v := judge(answered(500), tries, 0, 0)
		if last := tries == 9; v.giveUp != last || !v.failed || v.disable != "" {
			t.Errorf("try %d: %+v", tries+1, v)
		} else if want := [10]time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour}[tries]; v.retryIn < want*8/10 || v.retryIn > want*12/10 {
			t.Errorf("try %d: again in %v, want %v or so", tries+1, v.retryIn, want)
		}
	}
	for _, code := range []int{200, 201, 204, 299} {
		if v := judge(answered(code), 0, 7, 0); v != (verdict{}) {
			t.Errorf("%d: %+v", code, v)
		}
	}
	for _, code := range []int{100, 301, 302, 307, 400, 404, 408, 500, 503} {
		if v := judge(answered(code), 0, 0, 0); !v.failed || v.spared || v.disable != "" {
			t.Errorf("%d: %+v", code, v)
		}
	}
	if v := judge(answered(429), 3, 2, 0); v.failed || !v.spared || v.pause != minPause || v.giveUp {
		t.Errorf("429 without Retry-After: %+v", v)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "abc": 0, "-5": 0, "NaN": 0, "0": 0, "120": 2 * time.Minute, " 1.5 ": 1500 * time.Millisecond, "1e99": time.Hour,
		now.Add(20 * time.Minute).Format(http.TimeFormat): 20 * time.Minute, now.Add(-time.Hour).Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

// TestBreakersAreCounted: the gauge comes back to 0.
func TestBreakersAreCounted(t *testing.T) {
	t.Parallel()
	m := newWebhooks(&settings{Options{WebhookSlots: 4, Now: time.Now, WebhookTransport: newReceivers(ok)}, newHouse(t)}, nil)
	seen := &breakerCount{}
	m.Observe = seen
	w := importer.WebhookRelease{}
	for _, failures := range []int{1, 5, 6, 7, 0, 0, 5} {
		w.Failures = failures
		m.noteBreaker(w)
	}
	if seen.open != 1 || seen.opened != 2 {
		t.Errorf("got %+v, want one open that opened twice", *seen)
	}
	for id := range m.broken {
		m.broken[id] = time.Now().Add(-breakerHeard - time.Second)
	}
	m.forgetBreakers()
	if seen.open != 0 {
		t.Errorf("%d are open", seen.open)
	}
}

type breakerCount struct {
	unobserved
	open, opened int
}

func (b *breakerCount) BreakerOpened() { b.open++; b.opened++ }
func (b *breakerCount) BreakerClosed() { b.open-- }
