package httpd_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"importer"
	"importer/httpd"
)

// The clients are in a process of their own; what is measured is this one.
// SOCKET_BENCH_SECONDS is how long each measures, SOCKET_BENCH_SCALE the
// percentage of the connections.

func fromEnv(name string, value int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return value
}

func benchTime() time.Duration {
	return time.Duration(fromEnv("SOCKET_BENCH_SECONDS", 5)) * time.Second
}

func scaled(conns int) int { return max(10, conns*fromEnv("SOCKET_BENCH_SCALE", 100)/100) }

// socketBench is a server with a hub that only fans out.
type socketBench struct {
	b       *testing.B
	hub     *fakeHub
	address string
	seq     int64
}

func newSocketBench(b *testing.B) *socketBench {
	b.Helper()
	s := &socketBench{b: b, hub: newFakeHub()}
	server, err := httpd.New(httpd.Options{
		Imports: newFakeStore(), Products: newFakeProducts(), Events: &fakeEvents{}, Status: &fakeStatus{}, Importer: newFakeImporter(), Hub: s.hub, Webhooks: noWebhooks{}, WebhookSender: &fakeSender{}, Access: newFakeAccess(),
		Spool: struct{ importer.Spool }{}, Node: uuid.New(), MaxUpload: 1, Log: zerolog.Nop(),
		Socket: httpd.SocketOptions{Conns: 20_000, Accept: 20_000},
	})
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s.address = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.WithoutCancel(b.Context()), l) }()
	b.Cleanup(func() {
		if err := server.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
		if err := <-served; err != nil {
			b.Error(err)
		}
	})
	return s
}

// child is a running swarm.
type child struct {
	b    *testing.B
	in   io.Writer
	out  *bufio.Scanner
	stop func() // waits for its end
}

// clients starts a swarm and waits until all of it follows the topic.
func (s *socketBench) clients(conns int, deaf bool) *child {
	s.b.Helper()
	spec, err := json.Marshal(swarm{Address: s.address, Topic: "imports", Conns: conns, Deaf: deaf})
	if err != nil {
		s.b.Fatal(err)
	}
	before := s.hub.count("imports")
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), swarmEnv+"="+string(spec))
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		s.b.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		s.b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		s.b.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		in.Close()
		if err := c.Wait(); err != nil {
			s.b.Errorf("swarm: %v", err)
		}
	})
	s.b.Cleanup(stop)
	swarm := &child{s.b, in, bufio.NewScanner(out), stop}
	if !swarm.out.Scan() || swarm.out.Text() != "connected" {
		s.b.Fatalf("the swarm said %q", swarm.out.Text())
	}
	if !poll(func() bool { return s.hub.count("imports") == before+conns }) {
		s.b.Fatalf("%d of %d clients subscribed", s.hub.count("imports")-before, conns)
	}
	return swarm
}

func (c *child) result(last int64) swarmResult {
	c.b.Helper()
	fmt.Fprintln(c.in, last)
	var r swarmResult
	if !c.out.Scan() {
		c.b.Fatal("the swarm is gone")
	}
	if err := json.Unmarshal(c.out.Bytes(), &r); err != nil {
		c.b.Fatal(err)
	}
	return r
}

// publish sends events at a rate, each with the time it was sent at.
func (s *socketBench) publish(rate int, d time.Duration, size int) {
	pad := strings.Repeat("x", size)
	s.pace(rate, d, func() {
		s.seq++
		s.hub.event("imports", s.seq, fmt.Sprintf(`{"sent":%d,"pad":%q}`, time.Now().UnixNano(), pad))
	})
}

// pace does something rate times a second. What is late is made up for, so
// that the number is always the same.
func (s *socketBench) pace(rate int, d time.Duration, do func()) {
	began := time.Now()
	for i := range int(d.Seconds() * float64(rate)) {
		time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		do()
	}
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkSocketDeliveries(b *testing.B) {
	conns := scaled(2000)
	for _, rate := range []int{20, 200} {
		b.Run(fmt.Sprintf("conns=%d/events=%d", conns, rate), func(b *testing.B) {
			s := newSocketBench(b)
			clients := s.clients(conns, false)
			var events int64
			var r swarmResult
			used, began := cpu(), time.Now()
			for b.Loop() {
				s.publish(rate, benchTime(), 300)
				r = clients.result(s.seq)
				events += r.Events
				s.check(r, conns)
			}
			used, took := cpu()-used, time.Since(began)
			b.ReportMetric(float64(events)/took.Seconds(), "deliveries/s")
			b.ReportMetric(float64(used.Microseconds())/float64(events), "cpu-µs/delivery")
			b.ReportMetric(float64(r.P99.Microseconds())/1000, "p99-ms")
			b.ReportMetric(0, "ns/op")
			b.Logf("%d published to %d clients: %v; %.2f CPU-s in %.2f s", s.seq, conns, r, used.Seconds(), took.Seconds())
		})
	}
}

// check ends the benchmark when anything was lost.
func (s *socketBench) check(r swarmResult, conns int) {
	s.b.Helper()
	if r.Missed != 0 || r.Repeated != 0 || r.Lost != 0 {
		s.b.Fatalf("%d clients got %v", conns, r)
	}
}

// rss is the memory of this process in bytes, where Linux tells it.
func rss(b *testing.B) int {
	b.Helper()
	debug.FreeOSMemory()
	content, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(content))[1])
	if err != nil {
		b.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func BenchmarkSocketIdleMemory(b *testing.B) {
	for _, conns := range []int{scaled(2000), scaled(8000)} {
		b.Run(fmt.Sprintf("conns=%d", conns), func(b *testing.B) {
			s := newSocketBench(b)
			before, goroutines := rss(b), runtime.NumGoroutine()
			for b.Loop() {
				clients := s.clients(conns, false)
				with := rss(b)
				b.ReportMetric(float64(with-before)/1024/float64(conns), "KiB/conn")
				b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/float64(conns), "goroutines/conn")
				b.Logf("%d connections, from %d MiB to %d MiB", conns, before>>20, with>>20)
				clients.stop()
				if !poll(func() bool { return s.hub.count("imports") == 0 }) {
					b.Fatalf("%d connections are left", s.hub.count("imports"))
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkSocketUpdates shows that progress is conflated: however often it
// changes, a client gets at most one message in 20 ms.
func BenchmarkSocketUpdates(b *testing.B) {
	const rate = 500
	conns := scaled(200)
	s := newSocketBench(b)
	clients := s.clients(conns, false)
	var r swarmResult
	var rev, updates int64
	used, began := cpu(), time.Now()
	for b.Loop() {
		s.pace(rate, benchTime(), func() {
			rev++
			s.hub.update("imports", s.seq, rev)
		})
		s.publish(1, time.Second, 0) // when it is there all updates are
		r = clients.result(s.seq)
		updates += r.Updates
		s.check(r, conns)
	}
	used, took := cpu()-used, time.Since(began)
	b.ReportMetric(float64(updates)/took.Seconds()/float64(conns), "updates/s/conn")
	b.ReportMetric(float64(used.Microseconds())/float64(updates), "cpu-µs/update")
	b.ReportMetric(0, "ns/op")
	b.Logf("%d updates made for %d clients: %v; %.2f CPU-s in %.2f s", rev, conns, r, used.Seconds(), took.Seconds())
}

// BenchmarkSocketDeafReaders shows that clients that never read are cut, and
// that the others do not notice.
func BenchmarkSocketDeafReaders(b *testing.B) {
	const rate, size, deaf = 100, 4 << 10, 10
	conns := scaled(100)
	s := newSocketBench(b)
	clients := s.clients(conns, false)
	for b.Loop() {
		s.publish(rate, benchTime(), size)
		without := clients.result(s.seq)
		s.check(without, conns)
		s.clients(deaf, true)
		began := time.Now()
		cut := make(chan time.Duration, 1)
		go func() {
			poll(func() bool { return s.hub.count("imports") == conns })
			cut <- time.Since(began)
		}()
		s.publish(rate, max(10*time.Second, benchTime()), size)
		with := clients.result(s.seq)
		s.check(with, conns)
		took := <-cut
		if left := s.hub.count("imports") - conns; left > 0 {
			b.Fatalf("%d of %d clients that never read are still there after %v", left, deaf, took)
		}
		b.ReportMetric(took.Seconds(), "cut-s")
		b.ReportMetric(float64(without.P99.Microseconds())/1000, "p99-without-ms")
		b.ReportMetric(float64(with.P99.Microseconds())/1000, "p99-with-ms")
		b.Logf("without: %v", without)
		b.Logf("with %d that never read: %v; all cut after %v", deaf, with, took)
	}
	b.ReportMetric(0, "ns/op")
}
