package actors

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"importer"
)

// What follows from the answer of a receiver.

// retries is how long after a failed attempt the next one is due: ten attempts
// within 75 hours. The last failure gives up.
var retries = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

const (
	jitter = 0.2 // of a wait, up or down, so that what failed together does not come together

	maxPause     = time.Hour       // that a receiver may ask for
	minPause     = time.Second     // after a 429 that does not say for how long
	breakerAfter = 5               // failures in a row
	maxBreaker   = 5 * time.Minute // between two probes
	disableAfter = 72 * time.Hour  // of failing
)

// verdict is what follows from an answer for its delivery and its webhook.
type verdict struct {
	retryIn time.Duration // of the delivery, when it failed
	giveUp  bool
	spared  bool          // the attempt does not count as one of the delivery's
	failed  bool          // nor as a failure of the webhook, unless this is set
	pause   time.Duration // of the webhook
	disable string        // why, when it is
}

// judge decides. tries are the attempts of the delivery before this one,
// failures those in a row of its webhook before it, failing since when.
func judge(a answer, tries, failures int, failing time.Duration) verdict {
	switch {
	case a.OK:
		return verdict{}
	case a.Status == http.StatusGone:
		return verdict{failed: true, disable: "It answered 410 Gone: nobody listens there any more."}
	case a.Status == http.StatusTooManyRequests, a.Status == http.StatusServiceUnavailable && a.retryAfter > 0:
		// It asks for less and is not broken: all of it waits.
		pause := min(max(a.retryAfter, minPause), maxPause)
		return verdict{retryIn: pause, spared: true, pause: pause}
	}
	v := verdict{failed: true, giveUp: tries >= len(retries), pause: breaker(failures + 1)}
	if !v.giveUp {
		v.retryIn = jittered(retries[tries])
	}
	if failing > disableAfter {
		v.disable = fmt.Sprintf("It has failed for more than three days; the last time: %s.", describe(a.Attempt))
	}
	return v
}

// breaker is how long a webhook rests after so many failures in a row: not at
// all, then ever longer. After each rest it is probed with one delivery.
func breaker(failures int) time.Duration {
	if failures < breakerAfter {
		return 0
	}
	return min(time.Second<<min(failures-breakerAfter, 16), maxBreaker)
}

// slots is with how many requests at once a webhook goes on: it starts with
// one and doubles, so that one that hangs costs one.
func slots(now, most int, ok bool) int {
	if ok {
		return min(now*2, most)
	}
	return max(now/2, 1)
}

func jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 - jitter + 2*jitter*rand.Float64()))
}

// describe says in a sentence's part what went wrong.
func describe(a importer.Attempt) string {
	switch a.Error {
	case importer.AttemptStatus, importer.AttemptRedirect:
		return fmt.Sprintf("the answer was %d %s", a.Status, http.StatusText(a.Status))
	case importer.AttemptTimeout:
		return "no answer came in time"
	case importer.AttemptDNS:
		return "the host has no address"
	case importer.AttemptRefused:
		return "the connection was refused"
	case importer.AttemptReset:
		return "the connection was cut"
	case importer.AttemptTLS:
		return "there was no trusted TLS connection"
	case importer.AttemptBlocked:
		return "its address is private or reserved"
	case importer.AttemptBadReply:
		return "the answer was no proper HTTP"
	}
	return "the request failed"
}
