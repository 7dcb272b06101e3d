package httpd

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"importer"
)

// door decides who comes in. A handshake is refused with 503 while that is
// cheap: before the upgrade. A client with too many connections hears it in a
// close code, since a page sees no status, and must learn not to come back.
type door struct {
	options SocketOptions

	mu      sync.Mutex
	budget  budget // of handshakes
	opening int    // handshakes under way
	inside  int
	clients map[string]int // connections of each, see visit.client
}

// acceptBurst is how many seconds' worth of handshakes may come at once after
// a quiet time.
const acceptBurst = 4

func newDoor(o SocketOptions) door {
	rate, burst := float64(o.Accept), float64(acceptBurst*o.Accept)
	return door{options: o, budget: budget{rate: rate, most: burst, left: burst, at: time.Now()}, clients: map[string]int{}}
}

// knock asks for a handshake; after true, shut must follow.
func (d *door) knock(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inside >= d.options.Conns || d.opening >= d.options.Handshakes || !d.budget.take(now) {
		return false
	}
	d.opening++
	return true
}

func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opening--
}

// enter counts a connection in, or returns the code and reason to close it
// with. After 0, leave must follow.
func (d *door) enter(client string, loopback bool) (websocket.StatusCode, string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	most := d.options.PerClient
	if loopback {
		most = d.options.PerLoopback
	}
	switch {
	case d.inside >= d.options.Conns:
		return closeCapacity, "the server is full"
	case d.clients[client] >= most:
		return closeTooMany, "too many connections of one client"
	}
	d.inside++
	d.clients[client]++
	return 0, ""
}

func (d *door) leave(client string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inside--
	if d.clients[client]--; d.clients[client] == 0 {
		delete(d.clients, client)
	}
}

const (
	retryMost    = 10               // seconds in Retry-After; clients come back somewhere before
	capacityWait = 10 * time.Second // the same, for those who were let in to be told
)

// tryLater answers 503 with a time to come back after that differs from
// client to client.
func tryLater(w http.ResponseWriter, detail string) {
	p := newProblem(http.StatusServiceUnavailable, importer.Unavailable, detail, nil)
	h := w.Header()
	h.Set("Retry-After", strconv.Itoa(1+rand.N(retryMost)))
	h.Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone: nothing to tell it
}
