package httpd

import (
	"net/http"
	"time"

	"importer"
)

// Observer is told what happens, for figures. Its methods must not block, and
// what they are told has few different values: a route is a pattern, never a
// path.
type Observer interface {
	// Answered: a request to a route has its answer, or is a WebSocket now.
	Answered(route string, status int, took time.Duration)
	// Subscribed: a subscribe was answered. outcome is recovered, with the
	// number of events replayed, the reason for a snapshot, or refused.
	Subscribed(outcome string, replayed int)
	// Cut: the server ended a connection with a close code, or for slowness.
	Cut(code int)
	// Ponged: a client gave a sign of life that long after a ping.
	Ponged(after time.Duration)
	// Sent: a message went out, and its oldest event is that old.
	Sent(lag time.Duration)
}

// Outcomes of a subscribe besides the reasons for a snapshot.
const (
	outcomeRecovered = "recovered"
	outcomeRefused   = "refused"
)

func outcomeOf(s importer.Subscription) string {
	if s.Reason == "" {
		return outcomeRecovered
	}
	return s.Reason
}

// routeOf is the pattern that the mux has found for a request.
func routeOf(r *http.Request) string {
	if r.Pattern == "" {
		return "none"
	}
	return r.Pattern
}

// unobserved is the Observer when nobody wants figures.
type unobserved struct{}

func (unobserved) Answered(string, int, time.Duration) {}
func (unobserved) Subscribed(string, int)              {}
func (unobserved) Cut(int)                             {}
func (unobserved) Ponged(time.Duration)                {}
func (unobserved) Sent(time.Duration)                  {}
