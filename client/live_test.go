package client_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"importer"
	"importer/client"
	"importer/db/dbtest"
	"importer/httpd"
)

// Whatever the network does between a client and the server, the client
// notices, comes back, and has seen every event once. What there was is in the
// log in Postgres.
func TestNetworkFaults(t *testing.T) {
	t.Parallel()
	beats := httpd.SocketOptions{Ping: 300 * time.Millisecond, Pong: 300 * time.Millisecond}
	calm := httpd.SocketOptions{Ping: 2 * time.Second, Pong: 2 * time.Second}
	for name, c := range map[string]struct {
		socket httpd.SocketOptions
		fault  func(n *network)
		down   int  // times the client must have noticed
		jumps  bool // more is missed than a server replays: a snapshot may take its place
	}{
		"cut again and again": {beats, func(n *network) {
			for i := range 4 {
				n.publish(10)
				n.toxic(`{"name":"cut","type":"timeout","stream":"downstream","attributes":{"timeout":1}}`)
				n.publish(10)
				n.until("the client has noticed", func() bool { return n.heard().downs > i })
				n.heal("cut")
				n.until("the client is back", n.caughtUp)
			}
		}, 4, false},
		"half open: both sides believe in a connection that is none": {beats, func(n *network) {
			n.publish(5)
			n.until("the client has seen them", n.caughtUp)
			n.toxic(`{"name":"hole","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`)
			n.toxic(`{"name":"hole2","type":"timeout","stream":"upstream","attributes":{"timeout":0}}`)
			n.publish(20)
			n.until("the client has noticed", func() bool { return n.heard().downs > 0 })
			n.publish(20)
			n.heal("hole", "hole2")
		}, 1, false},
		"half open one way: the server hears the client, but not the other way round": {beats, func(n *network) {
			n.publish(5)
			n.toxic(`{"name":"hole","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`)
			n.publish(20)
			n.until("the client has noticed", func() bool { return n.heard().downs > 0 })
			n.heal("hole")
		}, 1, false},
		"reset": {beats, func(n *network) {
			n.publish(5)
			n.toxic(`{"name":"reset","type":"reset_peer","stream":"downstream","attributes":{"timeout":0}}`)
			n.publish(20)
			n.until("the client has noticed", func() bool { return n.heard().downs > 0 })
			n.heal("reset")
			n.publish(5)
		}, 1, false},
		"cut in the middle of a frame": {beats, func(n *network) {
			n.toxic(`{"name":"short","type":"limit_data","stream":"downstream","attributes":{"bytes":30000}}`)
			for range 3 {
				n.publish(15)
				n.until("the client is back", n.caughtUp)
			}
			n.heal("short")
			n.publish(5)
		}, 1, false},
		"a long way with jitter": {calm, func(n *network) {
			n.toxic(`{"name":"far","type":"latency","stream":"downstream","attributes":{"latency":200,"jitter":150}}`)
			n.toxic(`{"name":"far2","type":"latency","stream":"upstream","attributes":{"latency":200,"jitter":150}}`)
			n.publish(100)
		}, 0, false},
		"in crumbs": {calm, func(n *network) {
			n.toxic(`{"name":"crumbs","type":"slicer","stream":"downstream","attributes":{"average_size":50,"size_variation":30,"delay":10}}`)
			n.publish(50)
		}, 0, false},
		"a link slower than what happens": {httpd.SocketOptions{Ping: 2 * time.Second, Pong: 2 * time.Second, Queue: 300 << 10}, func(n *network) {
			n.toxic(`{"name":"slow","type":"bandwidth","stream":"downstream","attributes":{"rate":20}}`)
			n.until("the client has noticed that it was cut off", func() bool { n.publish(20); return n.heard().downs > 0 })
			n.heal("slow")
			n.publish(20)
		}, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, c.socket)
			n.until("the client follows", func() bool { return n.heard().snapshots > 0 })
			c.fault(n)
			n.until("the client has seen everything", n.caughtUp)
			got := n.heard()
			if want := n.log(got.first); !slices.Equal(want, got.events) {
				t.Errorf("saw %s", firstDifference(want, got.events))
			}
			if got.snapshots > 1 && !c.jumps {
				t.Errorf("%d snapshots, want the first only: %v", got.snapshots, got.reasons)
			}
			if got.downs < c.down {
				t.Errorf("the client noticed %d faults, want %d", got.downs, c.down)
			}
		})
	}
}

func firstDifference(want, got []string) string {
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			return fmt.Sprintf("%d events, want %d; the first that differs is\n%.120q, want\n%.120q", len(got), len(want), got[min(i, len(got)):min(i+1, len(got))], want[min(i, len(want)):min(i+1, len(want))])
		}
	}
	return "the same"
}

// network is a server, a proxy that can be told to fail, and a client behind
// it that follows the list of imports.
type network struct {
	t     *testing.T
	live  *live
	proxy *toxiproxy.Proxy

	mu   sync.Mutex
	seen report
}

// report is what the client was told.
type report struct {
	first     int64    // seq of the last snapshot
	events    []string // since then
	last      int64
	snapshots int
	reasons   []string
	downs     int
}

func newNetwork(t *testing.T, socket httpd.SocketOptions) *network {
	t.Helper()
	l, err := startLive(dbtest.URL(t), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.stop(); err != nil {
			t.Error(err)
		}
	})
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	n := &network{t: t, live: l, proxy: toxiproxy.NewProxy(api, "server", "127.0.0.1:0", strings.TrimPrefix(l.url, "http://"))}
	if err := n.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.proxy.Stop)

	c, err := client.New(client.Options{Server: "http://" + n.proxy.Listen})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		for m, err := range c.Watch(ctx, importer.TopicImports) {
			if err != nil {
				if ctx.Err() == nil {
					t.Errorf("the stream ended: %v", err)
				}
				return
			}
			n.take(m)
		}
	})
	t.Cleanup(func() {
		cancel()
		watching.Wait()
	})
	return n
}

func (n *network) take(m client.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case m.Snapshot != nil:
		n.seen.snapshots++
		n.seen.first, n.seen.last, n.seen.events = m.Snapshot.Seq, m.Snapshot.Seq, nil
		n.seen.reasons = append(n.seen.reasons, m.Snapshot.Reason)
	case m.Event != nil:
		n.seen.last = m.Event.Seq
		n.seen.events = append(n.seen.events, line(*m.Event))
	case m.Down != nil:
		n.seen.downs++
	}
}

func line(e importer.Event) string { return fmt.Sprintf("%d %s %s", e.Seq, e.Kind, e.Data) }

func (n *network) heard() report {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.seen
}

// publish commits n imports, each with two events.
func (n *network) publish(imports int) {
	n.t.Helper()
	for range imports {
		c, err := n.live.db.CreateImport(n.t.Context(), importer.NewImport{Filename: "a.csv"}, n.live.node)
		if err == nil {
			_, err = n.live.db.CancelImport(n.t.Context(), c.ID)
		}
		if err != nil {
			n.t.Fatal(err)
		}
	}
}

// log is what Postgres has of the topic after an event.
func (n *network) log(after int64) (lines []string) {
	n.t.Helper()
	log, err := n.live.db.ReadLog(n.t.Context(), importer.TopicImports, after, 100_000)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, e := range log.Events {
		lines = append(lines, line(e))
	}
	return lines
}

func (n *network) caughtUp() bool {
	last := n.heard().last
	return last > 0 && len(n.log(last)) == 0
}

func (n *network) toxic(spec string) {
	n.t.Helper()
	if _, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(spec)); err != nil {
		n.t.Fatal(err)
	}
}

func (n *network) heal(toxics ...string) {
	n.t.Helper()
	for _, name := range toxics {
		if err := n.proxy.Toxics.RemoveToxic(n.t.Context(), name); err != nil {
			n.t.Fatal(err)
		}
	}
}

// until polls; the time is for a loaded machine.
func (n *network) until(what string, ok func() bool) {
	n.t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			got := n.heard()
			n.t.Fatalf("waited in vain until %s: it is at event %d, %d connections lost, snapshots %v", what, got.last, got.downs, got.reasons)
		}
	}
}
