package httpd_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

// swarmEnv makes the test binary a swarm of clients: its value is a swarm. A
// process of its own, so that the server's memory and CPU can be told apart.
const swarmEnv = "HTTPD_TEST_SWARM"

// swarm is what clients the parent wants.
type swarm struct {
	Address string // host:port of the server
	Topic   string
	Conns   int
	Deaf    bool // subscribe and then never read
}

// swarmResult is what they have seen when all have seen the last event, or
// when it does not come.
type swarmResult struct {
	Events   int64 // received by all together
	Missed   int64
	Repeated int64
	Updates  int64
	Messages int64
	Lost     int64         // connections that ended
	P50, P99 time.Duration // from the publication of an event to its arrival
}

// swarmMain is the child. It writes a line when all clients follow the topic,
// is told the number of the last event on a line, and answers with a result.
// Then it lives until its input ends.
func swarmMain(spec string) error {
	var s swarm
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		return err
	}
	clients := make([]*swarmClient, s.Conns)
	errs := make(chan error, s.Conns)
	slots := make(chan struct{}, 64) // handshakes at once
	for i := range clients {
		clients[i] = &swarmClient{}
		slots <- struct{}{}
		go func() {
			errs <- clients[i].connect(s)
			<-slots
		}()
	}
	for range clients {
		if err := <-errs; err != nil {
			return err
		}
	}
	fmt.Println("connected")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		last, err := strconv.ParseInt(in.Text(), 10, 64)
		if err != nil {
			return err
		}
		if err := json.NewEncoder(os.Stdout).Encode(gather(clients, last)); err != nil {
			return err
		}
	}
	return in.Err()
}

type swarmClient struct {
	last     atomic.Int64 // seq
	missed   atomic.Int64
	repeated atomic.Int64
	events   atomic.Int64
	updates  atomic.Int64
	messages atomic.Int64
	lost     atomic.Bool

	mu      sync.Mutex
	waits   []time.Duration
	message []byte
}

func (c *swarmClient) connect(s swarm) error {
	if s.Deaf {
		return c.connectDeaf(s)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+s.Address+"/ws", nil)
	if err != nil {
		return err
	}
	ws.SetReadLimit(-1)
	if err := ws.Write(ctx, websocket.MessageText, subscribeTo(s.Topic)); err != nil {
		return err
	}
	for {
		_, message, err := ws.Read(ctx)
		if err != nil {
			return err
		}
		if bytes.Contains(message, []byte(`"type":"subscribed"`)) {
			break
		}
	}
	go c.read(ws)
	return nil
}

// connectDeaf does it by hand: the kernel holds little of what nobody reads.
func (c *swarmClient) connectDeaf(s swarm) error {
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) })
	}}
	conn, err := d.Dial("tcp", s.Address)
	if err != nil {
		return err
	}
	fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", s.Address)
	frame := subscribeTo(s.Topic)
	_, err = conn.Write(append([]byte{0x81, 0x80 | byte(len(frame)), 0, 0, 0, 0}, frame...)) // masked with zeros
	return err
}

func subscribeTo(topic string) []byte {
	return fmt.Appendf(nil, `{"type":"subscribe","id":1,"topic":%q}`, topic)
}

func (c *swarmClient) read(ws *websocket.Conn) {
	defer c.lost.Store(true)
	for {
		_, r, err := ws.Reader(context.Background())
		if err != nil {
			return
		}
		buf := bytes.NewBuffer(c.message[:0])
		if _, err := buf.ReadFrom(r); err != nil {
			return
		}
		c.message = buf.Bytes()
		c.messages.Add(1)
		if bytes.Contains(c.message, []byte(`"type":"ping"`)) && ws.Write(context.Background(), websocket.MessageText, []byte(`{"type":"pong"}`)) != nil {
			return
		}
		c.updates.Add(int64(bytes.Count(c.message, []byte(`"type":"update"`))))
		now := time.Now()
		for rest := c.message; ; {
			_, after, found := bytes.Cut(rest, []byte(`"type":"event"`))
			if !found {
				break
			}
			c.event(number(after, `"seq":`), now.Sub(time.Unix(0, number(after, `"sent":`))))
			rest = after
		}
	}
}

func (c *swarmClient) event(seq int64, waited time.Duration) {
	last := c.last.Load()
	switch {
	case seq <= last:
		c.repeated.Add(1)
		return
	case seq > last+1:
		c.missed.Add(seq - last - 1)
	}
	c.mu.Lock()
	c.waits = append(c.waits, waited)
	c.mu.Unlock()
	c.events.Add(1)
	c.last.Store(seq)
}

// number is the integer after a key; parsing all of the JSON would cost more
// than the server does.
func number(b []byte, key string) int64 {
	_, after, _ := bytes.Cut(b, []byte(key))
	end := bytes.IndexAny(after, ",}")
	n, _ := strconv.ParseInt(string(after[:max(end, 0)]), 10, 64)
	return n
}

// gather waits until all have seen the last event, or nothing comes any more,
// and sums up what came since it was last asked.
func gather(clients []*swarmClient, last int64) swarmResult {
	sum := func(of func(*swarmClient) int64) (n int64) {
		for _, c := range clients {
			n += of(c)
		}
		return n
	}
	behind := func() int64 {
		return sum(func(c *swarmClient) int64 {
			if c.lost.Load() {
				return 0
			}
			return max(0, last-c.last.Load())
		})
	}
	for before, still := int64(-1), 0; behind() > 0 && still < 50; time.Sleep(100 * time.Millisecond) {
		if now := behind(); now == before {
			still++
		} else {
			before, still = now, 0
		}
	}
	take := func(of func(*swarmClient) *atomic.Int64) int64 {
		return sum(func(c *swarmClient) int64 { return of(c).Swap(0) })
	}
	r := swarmResult{
		Events:   take(func(c *swarmClient) *atomic.Int64 { return &c.events }),
		Missed:   behind() + take(func(c *swarmClient) *atomic.Int64 { return &c.missed }),
		Repeated: take(func(c *swarmClient) *atomic.Int64 { return &c.repeated }),
		Updates:  take(func(c *swarmClient) *atomic.Int64 { return &c.updates }),
		Messages: take(func(c *swarmClient) *atomic.Int64 { return &c.messages }),
	}
	var waits []time.Duration
	for _, c := range clients {
		if c.lost.Load() {
			r.Lost++
		}
		c.mu.Lock()
		waits = append(waits, c.waits...)
		c.waits = c.waits[:0]
		c.mu.Unlock()
	}
	if slices.Sort(waits); len(waits) > 0 {
		r.P50, r.P99 = waits[len(waits)/2], waits[len(waits)*99/100]
	}
	return r
}

func (r swarmResult) String() string {
	return strings.Join([]string{
		fmt.Sprintf("%d events, %d missed, %d repeated", r.Events, r.Missed, r.Repeated),
		fmt.Sprintf("%d updates in %d messages", r.Updates, r.Messages),
		fmt.Sprintf("p50 %v, p99 %v", r.P50.Round(100*time.Microsecond), r.P99.Round(100*time.Microsecond)),
		fmt.Sprintf("%d connections lost", r.Lost),
	}, "; ")
}
