package httpd

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"importer"
)

// gate lets only those in who know the admin token: programs send it as a
// bearer token (RFC 6750), browsers ask for it themselves and send it as the
// password of whatever user (RFC 7617), also with their WebSocket. Probes need
// none.
//
// Guessing is slowed down by address, and for all together.
type gate struct {
	token [sha256.Size]byte

	mu  sync.Mutex
	all *rate.Limiter
	of  map[string]*rate.Limiter // by address; dropped all at once when they are many
}

const (
	wrongTokens    = 5 // at once, from one address; then one in wrongEvery
	wrongEvery     = 3 * time.Second
	wrongOfAll     = 100 // a second
	watchedClients = 10_000
)

func newGate(token string) *gate {
	return &gate{token: sha256.Sum256([]byte(token)), all: rate.NewLimiter(wrongOfAll, wrongOfAll), of: map[string]*rate.Limiter{}}
}

func (g *gate) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, some := credentials(r)
		switch {
		case isProbe(r), some && g.knows(given):
			next.ServeHTTP(w, r)
		case some && !g.mayGuess(r):
			fail(w, r, importer.Errorf(importer.Limited, "The token was wrong too often. Try again in a moment."))
		default:
			w.Header().Add("WWW-Authenticate", `Basic realm="Product Importer", charset="UTF-8"`)
			w.Header().Add("WWW-Authenticate", `Bearer realm="Product Importer"`)
			fail(w, r, importer.Errorf(importer.Unauthorized, "This needs the server's admin token: as a bearer token, or as the password in a browser."))
		}
	})
}

// knows compares in a time that says nothing of how much was right.
func (g *gate) knows(given string) bool {
	sum := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1
}

// mayGuess counts a wrong token.
func (g *gate) mayGuess(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	limiter := g.of[host]
	if limiter == nil {
		if len(g.of) >= watchedClients {
			clear(g.of)
		}
		limiter = rate.NewLimiter(rate.Every(wrongEvery), wrongTokens)
		g.of[host] = limiter
	}
	return limiter.Allow() && g.all.Allow()
}

// credentials are the token that a request carries.
func credentials(r *http.Request) (token string, ok bool) {
	if _, password, ok := r.BasicAuth(); ok {
		return password, true
	}
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}
