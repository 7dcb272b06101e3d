package httpd

import (
	"context"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"importer"
)

// access recognises callers:
//
//   - programs by a bearer token (RFC 6750) or the password of Basic
//     authentication (RFC 7617): an API token, or the server's admin token;
//   - browsers by the cookie of a session;
//   - pages of other sites by a ticket on the address of /ws;
//   - whoever asks this machine by its own name, while nothing is set up.
//
// Guessing is slowed down by address.
type access struct {
	store   importer.AccessStore
	admin   *importer.Secret // nil: there is no admin token
	now     func() time.Time
	guesses *limiter
	hashing chan struct{} // one for each password that is compared now

	mu       sync.Mutex
	asked    time.Time // when the store was asked for a password
	answered bool      // it has said
	set      bool      // there is one
	standing map[callerKey]standing
}

const (
	guessBurst = 5               // wrong ones at once, from one address
	guessRate  = 1.0 / 3         // more of them a second
	askEvery   = time.Second     // for a password that another machine may have set
	standsFor  = 5 * time.Second // before a caller of a socket is looked up again
	tokenStart = "imp_"          // of API tokens, so that people and scanners know one when they see it
	hashes     = 2               // compared at once: each takes memory and tens of milliseconds of a core
	cookieName = "importer_session"
)

func newAccess(store importer.AccessStore, adminToken string, now func() time.Time) *access {
	a := &access{store: store, now: now, guesses: newLimiter(guessRate, guessBurst), hashing: make(chan struct{}, hashes), standing: map[callerKey]standing{}}
	if adminToken != "" {
		sum := hashed(adminToken)
		a.admin = &sum
	}
	return a
}

// admit lets a request through to its route if its caller may go there.
func (s *Server) admit(sf *surface, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		need, declared, limit := sf.of(r)
		if declared && need == public {
			next.ServeHTTP(w, r)
			return
		}
		v := visitOf(r.Context())
		caller, err := s.access.identify(r, v.address)
		switch {
		case err == nil:
		case need == anyone && importer.ErrorCode(err) == importer.Unauthorized:
			caller = importer.Caller{}
		default:
			challenge(w, r, err)
			return
		}
		v.caller = caller
		if caller.Kind == importer.CallerSession || caller.Kind == importer.CallerToken {
			zerolog.Ctx(r.Context()).UpdateContext(func(c zerolog.Context) zerolog.Context {
				return c.Stringer(string(caller.Kind)+"_id", caller.ID)
			})
		}
		if need != anyone && (!declared || !caller.Scope.Includes(importer.Scope(need))) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="Product Importer", error="insufficient_scope", scope="`+string(need)+`"`)
			fail(w, r, importer.Errorf(importer.Forbidden, "This takes the scope %s; these credentials have %s.", need, caller.Scope))
			return
		}
		if limit != nil && !v.local() {
			if wait := limit.take(v.client(), s.Now()); wait > 0 {
				fail(w, r, tooOften(wait, "These requests come too fast. Wait, and ask for less at once."))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// challenge answers a request whose caller is not known, as RFC 6750 section 3
// has it. Basic is not offered: a browser would ask for a password itself,
// over the dashboard's own page.
func challenge(w http.ResponseWriter, r *http.Request, err error) {
	if importer.ErrorCode(err) == importer.Unauthorized {
		ask := `Bearer realm="Product Importer"`
		if r.Header.Get("Authorization") != "" {
			ask += `, error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", ask)
	}
	fail(w, r, err)
}

// identify finds out who asks.
func (a *access) identify(r *http.Request, from netip.Addr) (importer.Caller, error) {
	if ticket := r.URL.Query().Get("ticket"); ticket != "" && r.URL.Path == "/ws" {
		return a.guess(from, func() (importer.Caller, error) { return a.store.UseTicket(r.Context(), hashed(ticket)) })
	}
	token, some := credentials(r)
	if some {
		caller, err := a.guess(from, func() (importer.Caller, error) { return a.bearer(r.Context(), token) })
		if importer.ErrorCode(err) != importer.Unauthorized {
			return caller, err
		}
		if guarded, uncertain := a.guarded(r.Context()); guarded || uncertain != nil {
			return importer.Caller{}, err
		}
	}
	if secret, ok := sessionSecret(r); ok && !some {
		s, err := a.store.UseSession(r.Context(), secret)
		if importer.ErrorCode(err) != importer.Unauthorized {
			return importer.Caller{Kind: importer.CallerSession, ID: s.ID, Scope: importer.ScopeAdmin, Expires: s.ExpiresAt}, err
		}
	}
	guarded, err := a.guarded(r.Context())
	switch {
	case err != nil:
		return importer.Caller{}, err
	case guarded:
		return importer.Caller{}, importer.Errorf(importer.Unauthorized, "This needs credentials: sign in, or send an API token as a bearer token.")
	case !isLocalName(r.Host):
		// Else a page of any site could have its own name lead here, and do
		// all that people on this machine may (DNS rebinding).
		return importer.Caller{}, importer.Errorf(importer.Forbidden, "Without a password or admin token this server answers to localhost only, and was asked for %q. Set one, or open it as http://localhost.", shortened(r.Host))
	case isForwarded(r):
		return importer.Caller{}, importer.Errorf(importer.Forbidden, "Without a password or admin token this server is for people on this machine, and the request came through a proxy. Set one, or open it as http://localhost.")
	}
	return importer.Caller{Kind: importer.CallerAnybody, Scope: importer.ScopeAdmin}, nil
}

// guess tries what may be wrong. Once too much was wrong, the answer to what
// is wrong says so; what is right is let in all the same, for it cannot be
// found by trying.
func (a *access) guess(from netip.Addr, try func() (importer.Caller, error)) (importer.Caller, error) {
	caller, err := try()
	if importer.ErrorCode(err) == importer.Unauthorized {
		if wait := a.guesses.take(network(from).String(), a.now()); wait > 0 {
			return importer.Caller{}, tooOften(wait, "The credentials were wrong too often.")
		}
	}
	return caller, err
}

// bearer knows the tokens.
func (a *access) bearer(ctx context.Context, token string) (importer.Caller, error) {
	if a.isAdminToken(token) {
		return importer.Caller{Kind: importer.CallerAdminToken, Scope: importer.ScopeAdmin}, nil
	}
	if !strings.HasPrefix(token, tokenStart) {
		return importer.Caller{}, importer.Errorf(importer.Unauthorized, "This token is not known here.")
	}
	t, err := a.store.UseToken(ctx, hashed(token))
	if err != nil {
		return importer.Caller{}, err
	}
	caller := importer.Caller{Kind: importer.CallerToken, ID: t.ID, Name: t.Name, Scope: t.Scope}
	if t.ExpiresAt != nil {
		caller.Expires = *t.ExpiresAt
	}
	return caller, nil
}

// isAdminToken compares in a time that says nothing of how much was right.
func (a *access) isAdminToken(given string) bool {
	sum := hashed(given)
	return a.admin != nil && subtle.ConstantTimeCompare(sum[:], a.admin[:]) == 1
}

// guarded reports whether callers need credentials: that they do never
// changes back, that they do not is asked again. While the database is away
// the last answer holds.
func (a *access) guarded(ctx context.Context) (bool, error) {
	if a.admin != nil {
		return true, nil
	}
	a.mu.Lock()
	if a.answered && (a.set || a.now().Sub(a.asked) < askEvery) {
		defer a.mu.Unlock()
		return a.set, nil
	}
	a.asked = a.now()
	a.mu.Unlock()
	hash, err := a.store.Password(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil && !a.answered {
		return false, err
	}
	if err == nil {
		a.answered, a.set = true, a.set || hash != ""
	}
	return a.set, nil
}

// credentials are the token that a request carries.
func credentials(r *http.Request) (token string, ok bool) {
	if _, password, ok := r.BasicAuth(); ok {
		return password, true
	}
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

// isForwarded reports whether a request says that it came through a proxy: a
// tunnel to a laptop may call it localhost, and bring anybody.
func isForwarded(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return true
		}
	}
	return false
}

// isLocalName reports whether a Host header names this machine as seen from
// itself.
func isLocalName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}
