package httpd

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// A route that says nothing of its callers is for nobody, not even for those
// who may do everything.
func TestRouteWithoutARightIsRefused(t *testing.T) {
	t.Parallel()
	s := &Server{Options: Options{AdminToken: "0123456789abcdef", Now: time.Now, Log: zerolog.Nop(), Observe: unobserved{}}}
	s.access = newAccess(nil, s.AdminToken, time.Now)
	answer := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	sf := &surface{mux: http.NewServeMux(), rights: map[string]right{}}
	sf.serve(admin, "GET /declared", http.HandlerFunc(answer))
	sf.mux.HandleFunc("GET /planted", answer)
	for path, want := range map[string]int{"/declared": http.StatusNoContent, "/planted": http.StatusForbidden, "/nothing": http.StatusForbidden} {
		r, w := httptest.NewRequest("GET", path, nil), httptest.NewRecorder()
		r.Header.Set("Authorization", "Bearer "+s.AdminToken)
		s.middleware(sf).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}

func TestAddressBehindAProxy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header string
		values []string
		want   string
	}{
		{"", []string{"203.0.113.9"}, "192.0.2.1"}, // nobody is believed
		{"Fly-Client-Ip", []string{"203.0.113.9"}, "203.0.113.9"},
		{"Fly-Client-Ip", []string{"[2001:db8::9]:1234"}, "2001:db8::9"},
		{"X-Forwarded-For", []string{"10.0.0.1, 203.0.113.8", "203.0.113.9"}, "203.0.113.9"},
		{"X-Forwarded-For", []string{"203.0.113.9, unknown"}, "192.0.2.1"},
		{"X-Forwarded-For", nil, "192.0.2.1"},
	} {
		r := &http.Request{RemoteAddr: "192.0.2.1:1234", Header: http.Header{"Fly-Client-Ip": c.values, "X-Forwarded-For": c.values}}
		if got := addressOf(r, c.header).String(); got != c.want {
			t.Errorf("%q %q: got %s, want %s", c.header, c.values, got, c.want)
		}
	}
}

func TestLimiter(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l := newLimiter(0.5, 2)
	for i, want := range []time.Duration{0, 0, 2 * time.Second, 2 * time.Second} {
		if got := l.take("a", now); got != want {
			t.Errorf("take %d: wait %v, want %v", i+1, got, want)
		}
	}
	if got := l.take("b", now); got != 0 {
		t.Errorf("another client waits %v", got)
	}
	l.giveBack("a", now)
	if got := l.take("a", now); got != 0 {
		t.Errorf("after one was given back: wait %v", got)
	}
	if got := l.take("a", now.Add(2*time.Second)); got != 0 {
		t.Errorf("two seconds later: wait %v", got)
	}
	for i := range clientsKept + 10 { // those who come once do not stay
		l.take(string(rune(i+1000)), now)
	}
	if len(l.of) > clientsKept {
		t.Errorf("%d clients are kept", len(l.of))
	}
}
