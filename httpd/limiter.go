package httpd

import (
	"maps"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"importer"
)

// How often one client may ask for what costs much: a search reads many pages
// of the database, an upload makes an import.
const (
	searchRate, searchBurst = 20.0, 100 // a second, and at once
	uploadRate, uploadBurst = 5.0, 100
)

// limiter has a token bucket for each client.
type limiter struct {
	rate  rate.Limit
	burst int

	mu sync.Mutex
	of map[string]*rate.Limiter
}

const clientsKept = 10_000

func newLimiter(perSecond float64, burst int) *limiter {
	return &limiter{rate: rate.Limit(perSecond), burst: burst, of: map[string]*rate.Limiter{}}
}

// take counts a request and returns 0, or how long to wait for the next.
func (l *limiter) take(client string, now time.Time) time.Duration {
	b := l.bucket(client, now)
	r := b.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// giveBack undoes a take: what it counted was no harm. rate.Reservation cannot
// be cancelled once its time has come.
func (l *limiter) giveBack(client string, now time.Time) {
	b := l.bucket(client, now)
	if b.TokensAt(now) < float64(l.burst) {
		b.AllowN(now, -1)
	}
}

func (l *limiter) bucket(client string, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.of[client]
	if b == nil {
		if len(l.of) >= clientsKept {
			l.forget(now)
		}
		b = rate.NewLimiter(l.rate, l.burst)
		l.of[client] = b
	}
	return b
}

// forget drops the clients that a new bucket would treat alike; all of them
// when that is none.
func (l *limiter) forget(now time.Time) {
	maps.DeleteFunc(l.of, func(_ string, b *rate.Limiter) bool { return b.TokensAt(now) >= float64(l.burst) })
	if len(l.of) >= clientsKept {
		clear(l.of)
	}
}

// tooOften is the answer to what comes too often: 429 (RFC 6585 section 4) with
// the seconds to wait.
func tooOften(wait time.Duration, detail string) *Problem {
	seconds := strconv.Itoa(int(max(1, math.Ceil(wait.Seconds()))))
	p := newProblem(http.StatusTooManyRequests, importer.Limited, detail+" Try again in "+seconds+" s.", nil)
	p.header = http.Header{"Retry-After": {seconds}}
	return p
}
