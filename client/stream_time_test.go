package client_test

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// connections lets a client try n times against a server and returns how long
// it stayed away before each try after the first. Time is synctest's.
func connections(t *testing.T, n int, answer func(i int, w http.ResponseWriter, r *http.Request)) (waits []time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var left time.Time // when the client lost the connection before
	var tries int
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if tries > 0 {
			waits = append(waits, time.Since(left))
		}
		answer(tries, w, r)
		tries++
	}))
	for m, err := range c.Watch(t.Context(), "imports") {
		if err != nil {
			t.Fatal(err)
		}
		if m.Down == nil {
			t.Fatalf("got %+v", m)
		}
		mu.Lock()
		left = time.Now()
		done := len(waits) == n-1
		mu.Unlock()
		if done {
			break
		}
	}
	return waits
}

func restart(t *testing.T, w http.ResponseWriter, r *http.Request, messages ...string) {
	p := accept(t, w, r)
	p.say(messages...)
	p.close(1012)
}

func TestBackoffIsJitteredAndGrows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		waits := connections(t, 300, func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
		})
		for i, bound := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second} {
			if waits[i] > bound+time.Millisecond {
				t.Errorf("try %d after %v, want at most %v", i+2, waits[i], bound)
			}
		}
		late := waits[6:] // uniform up to 30 s
		if longest := slices.Max(late); longest > 30*time.Second+time.Millisecond || longest < 27*time.Second {
			t.Errorf("the longest wait is %v, want just under 30 s", longest)
		}
		if shortest := slices.Min(late); shortest > 3*time.Second {
			t.Errorf("the shortest wait of %d is %v: no full jitter", len(late), shortest)
		}
	})
}

func TestBackoffStartsAnewAfterAHealthyConnection(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		healthy time.Duration
		reset   bool
	}{
		"29 s": {29 * time.Second, false},
		"31 s": {31 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				longest := time.Duration(0)
				for range 20 { // one draw may be short by chance
					waits := connections(t, 9, func(i int, w http.ResponseWriter, r *http.Request) {
						if i != 7 {
							w.WriteHeader(http.StatusBadGateway)
							return
						}
						p := accept(t, w, r)
						time.Sleep(c.healthy)
						p.close(1012)
					})
					longest = max(longest, waits[7])
				}
				if got := longest <= 501*time.Millisecond; got != c.reset {
					t.Errorf("waited up to %v after a connection of %v", longest, c.healthy)
				}
			})
		})
	}
}

func TestByeSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		waits := connections(t, 200, func(_ int, w http.ResponseWriter, r *http.Request) {
			restart(t, w, r, `{"type":"bye","code":1012,"reason":"restart","reconnect":true,"after_ms":[2000,10000]}`)
		})
		if first, last := slices.Min(waits), slices.Max(waits); first < 2*time.Second || first > 3*time.Second || last < 9*time.Second || last > 10001*time.Millisecond {
			t.Errorf("came back between %v and %v, want all over 2 s to 10 s", first, last)
		}
	})
}

// A bye counts once: when the next try fails, the client is on its own.
func TestByeIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		waits := connections(t, 3, func(i int, w http.ResponseWriter, r *http.Request) {
			if i > 0 {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			restart(t, w, r, `{"type":"bye","code":1012,"reason":"restart","reconnect":true,"after_ms":[60000,60001]}`)
		})
		if waits[0] < time.Minute || waits[1] > 1001*time.Millisecond {
			t.Errorf("waited %v, want a minute and then a second at most", waits)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]func() string{
		"seconds": func() string { return "7" },
		"a date":  func() string { return time.Now().Add(7 * time.Second).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				waits := connections(t, 50, func(_ int, w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Retry-After", value())
					w.WriteHeader(http.StatusServiceUnavailable)
				})
				if first, last := slices.Min(waits), slices.Max(waits); first < 6*time.Second || last > 7501*time.Millisecond || first == last {
					t.Errorf("came back between %v and %v, want 7 s and a jitter", first, last)
				}
			})
		})
	}
}

func TestSilenceIsALostConnection(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		says []string
		want time.Duration
	}{
		"before hello":                     {nil, 40 * time.Second},
		"ping_ms and pong_ms after it":     {[]string{`{"type":"hello","v":1,"ping_ms":3000,"pong_ms":1500}`}, 4500 * time.Millisecond},
		"a moment after bye":               {[]string{`{"type":"hello","v":1,"ping_ms":3000,"pong_ms":1500}`, `{"type":"bye","code":1012,"reason":"restart","reconnect":true}`}, 5 * time.Second},
		"any frame is a sign of life":      {[]string{`{"type":"hello","v":1,"ping_ms":3000,"pong_ms":1500}`, "", `{"type":"news"}`}, 8500 * time.Millisecond},
		"a hello without times is ignored": {[]string{`{"type":"hello","v":1}`}, 40 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				cl := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					p := accept(t, w, r)
					for _, m := range c.says {
						if m == "" {
							time.Sleep(4 * time.Second)
							continue
						}
						p.say(m)
					}
					p.wait()
				}))
				for m := range cl.Watch(t.Context(), "imports") {
					if m.Down == nil {
						t.Errorf("got %+v", m)
					}
					break
				}
				if got := time.Since(began); got != c.want {
					t.Errorf("gave the connection up after %v, want %v", got, c.want)
				}
			})
		})
	}
}

// A refusal for good at the handshake is not tried again.
func TestHandshakeRefused(t *testing.T) {
	t.Parallel()
	for status, again := range map[int]bool{401: false, 403: false, 404: false, 400: false, 429: true, 500: true, 502: true, 503: true} {
		synctest.Test(t, func(t *testing.T) {
			var tries atomic.Int64
			c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tries.Add(1)
				if r.Header.Get("Authorization") != "Bearer secret" {
					t.Errorf("no token: %v", r.Header)
				}
				w.WriteHeader(status)
			}))
			ended := false
			for _, err := range c.Watch(t.Context(), "imports") {
				if ended = err != nil; ended || tries.Load() == 3 {
					break
				}
			}
			if ended == again {
				t.Errorf("status %d: tried %d times, ended %v", status, tries.Load(), ended)
			}
		})
	}
}
