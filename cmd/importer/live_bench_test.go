package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"importer"
	"importer/client"
	"importer/db/dbtest"
	"importer/internal/sample"
)

// The figures of the live stream. The server is a process of its own; the load
// is this one. Sizes come from the environment, see scripts/bench-ws.

// setting reads a size.
func setting(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// settings reads a list of sizes.
func settings(name string, otherwise ...int) (list []int) {
	for _, s := range strings.Split(os.Getenv(name), ",") {
		if n, err := strconv.Atoi(s); err == nil {
			list = append(list, n)
		}
	}
	if len(list) == 0 {
		return otherwise
	}
	return list
}

func liveServer(b *testing.B, url string, args ...string) *process {
	b.Helper()
	return serveProcess(b, []string{"DATABASE_URL=" + url, "IMPORTER_LOG_LEVEL=warn"}, append([]string{"--data-dir", b.TempDir()}, args...)...)
}

// BenchmarkLiveEvents commits events at a rate and delivers each to everybody.
func BenchmarkLiveEvents(b *testing.B) {
	subscribers, d := setting("LIVE_SUBSCRIBERS", 2_000), time.Duration(setting("LIVE_SECONDS", 20))*time.Second
	for _, rate := range settings("LIVE_RATES", 20, 200) {
		b.Run(fmt.Sprintf("subscribers=%d/rate=%d", subscribers, rate), func(b *testing.B) {
			needFiles(b, subscribers)
			for b.Loop() {
				url := dbtest.URL(b)
				p, pub := liveServer(b, url), newPublisher(b, url)
				l := connect(b, p.url, importer.TopicImports, subscribers)
				before := cpuSeconds(b, p.cmd.Process.Pid)
				made := pub.publish(b, rate, d)
				missing := l.await(pub.head(b, importer.TopicImports), 30*time.Second)
				cpu := cpuSeconds(b, p.cmd.Process.Pid) - before
				delivered := l.events.Load()
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(made, "events/s")
				b.ReportMetric(float64(delivered), "delivered")
				b.ReportMetric(float64(l.missed.Load()+missing), "missed")
				b.ReportMetric(float64(l.repeated.Load()), "repeated")
				b.ReportMetric(cpu, "cpu-s")
				b.ReportMetric(1e6*cpu/float64(delivered), "cpu-µs/delivered")
				l.drop()
			}
		})
	}
}

// BenchmarkLiveIdle is what a connection costs that waits for something to
// happen, subscribed to the list of imports.
func BenchmarkLiveIdle(b *testing.B) {
	for _, n := range settings("LIVE_IDLE", 2_000, 8_000) {
		b.Run(fmt.Sprintf("connections=%d", n), func(b *testing.B) {
			needFiles(b, n)
			for b.Loop() {
				p := liveServer(b, dbtest.URL(b))
				connect(b, p.url, importer.TopicImports, 1).drop() // what the first one brings with it
				before := settledKiB(b, p.cmd.Process.Pid)
				l := connect(b, p.url, importer.TopicImports, n)
				after := settledKiB(b, p.cmd.Process.Pid)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric((after-before)/float64(n), "KiB/connection")
				b.ReportMetric(after/1024, "MiB")
				l.drop()
			}
		})
	}
}

// BenchmarkLiveStorm drops everybody at once, has events missed, and lets all
// come back within five seconds: with the server up all the while, and with a
// server that was killed and started again.
func BenchmarkLiveStorm(b *testing.B) {
	subscribers, missed := setting("LIVE_SUBSCRIBERS", 2_000), setting("LIVE_MISSED", 300)
	for _, killed := range []bool{false, true} {
		b.Run(fmt.Sprintf("subscribers=%d/missed=%d/killed=%v", subscribers, missed, killed), func(b *testing.B) {
			needFiles(b, subscribers)
			for b.Loop() {
				url := dbtest.URL(b)
				wire := newWire(b, url)
				p, pub := liveServer(b, wire.url), newPublisher(b, url)
				l := connect(b, p.url, importer.TopicImports, subscribers)
				for range 5 {
					pub.change(b)
				}
				l.await(pub.head(b, importer.TopicImports), 30*time.Second)
				if killed {
					p.kill()
				}
				l.drop()
				for range missed / 2 {
					pub.change(b)
				}
				queries := wire.logReads.Load()
				if killed {
					liveServer(b, wire.url, "--addr", strings.TrimPrefix(p.url, "http://"))
				}
				took := l.resume(b, 5*time.Second)
				queries = wire.logReads.Load() - queries
				for range 5 { // a gap at the end would not be seen otherwise
					pub.change(b)
				}
				missing := l.await(pub.head(b, importer.TopicImports), 30*time.Second)
				recovered := float64(l.recovered.Load())
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(took.Seconds(), "s/all-ready")
				b.ReportMetric(float64(l.missed.Load()+missing), "missed")
				b.ReportMetric(float64(l.repeated.Load()), "repeated")
				b.ReportMetric(100*recovered/(recovered+float64(l.snapshots.Load())), "%recovered")
				b.ReportMetric(float64(queries), "log-queries/topic")
				b.ReportMetric(float64(l.refused.Load()), "refused-at-first")
				l.drop()
			}
		})
	}
}

// BenchmarkLiveViewers imports a catalogue with viewers of it and without, in
// turns, and compares the medians.
func BenchmarkLiveViewers(b *testing.B) {
	rows, viewers, pairs := setting("LIVE_ROWS", 500_000), setting("LIVE_VIEWERS", 1_000), setting("LIVE_PAIRS", 3)
	needFiles(b, viewers)
	file := filepath.Join(b.TempDir(), "catalogue.csv")
	if _, err := writeSample(file, sample.Options{Rows: rows, Repeats: 0.05, Seed: 1}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		bench := startBench(b)
		var with, without []float64
		for i := range 2 * pairs {
			if i%4 == 1 || i%4 == 2 { // without, with, with, without: the machine drifts
				with = append(with, float64(rows)/bench.importSecondsWith(b, file, viewers))
			} else {
				without = append(without, float64(rows)/bench.importSecondsWith(b, file, 0))
			}
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(median(without), "rows/s-alone")
		b.ReportMetric(median(with), "rows/s-watched")
		b.ReportMetric(100*median(with)/median(without), "%")
		bench.stop()
	}
}

// importSecondsWith times an import into an empty catalogue from the moment
// its viewers are there.
func (x *bench) importSecondsWith(b *testing.B, file string, viewers int) float64 {
	b.Helper()
	if _, err := x.conn.Exec(b.Context(), "TRUNCATE products"); err != nil {
		b.Fatal(err)
	}
	x.settle(b)
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	var start time.Time
	watching := &load{}
	id, err := x.client.Upload(b.Context(), f, client.Upload{Filename: "catalogue.csv", Size: info.Size(), Created: func(id uuid.UUID) {
		watching = connect(b, x.url, importer.ImportTopic(id), viewers)
		start = time.Now()
	}})
	if err != nil {
		b.Fatal(err)
	}
	defer watching.drop()
	for im, err := range x.client.WatchImport(b.Context(), id) {
		if err != nil || (im.State.Ended() && im.State != importer.Completed) {
			b.Fatalf("%v %+v", err, im)
		}
	}
	took := time.Since(start).Seconds()
	if missing := watching.await(5, 10*time.Second); missing > 0 || watching.missed.Load() > 0 {
		b.Errorf("viewers missed %d events", missing+watching.missed.Load())
	}
	return took
}

// needFiles checks that so many connections can be open here and there.
func needFiles(b *testing.B, connections int) {
	b.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		b.Fatal(err)
	}
	if need := uint64(connections + 200); limit.Cur < need {
		b.Fatalf("%d open files are allowed, want %d: ulimit -n %d", limit.Cur, need, need)
	}
}

// wire stands between a server and Postgres and counts the queries that read
// a topic's log, in the bytes of the protocol (message Parse).
type wire struct {
	url      string
	logReads atomic.Int64
}

// logRead is in db.DB.ReadLog, and in no other statement.
var logRead = []byte("FROM stream_event WHERE topic = $1 AND seq > $2")

func newWire(b *testing.B, url string) *wire {
	b.Helper()
	dir, err := os.MkdirTemp("", "wire") // short: the name of a socket is
	if err != nil {
		b.Fatal(err)
	}
	host, port := param(url, "host"), param(url, "port")
	name := ".s.PGSQL." + port
	l, err := net.Listen("unix", filepath.Join(dir, name))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		l.Close()
		os.RemoveAll(dir)
	})
	w := &wire{url: url + " host=" + dir}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", filepath.Join(host, name))
			if err != nil {
				in.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(in, out)
				in.Close()
			}()
			go func() {
				w.count(out, in)
				out.Close()
			}()
		}
	}()
	return w
}

// count copies and looks for the statement, also across two reads.
func (w *wire) count(to io.Writer, from io.Reader) {
	buf := make([]byte, 64<<10)
	var kept []byte
	for {
		n, err := from.Read(buf)
		kept = append(kept, buf[:n]...)
		w.logReads.Add(int64(bytes.Count(kept, logRead)))
		kept = slices.Clone(kept[max(0, len(kept)-len(logRead)+1):])
		if _, writeErr := to.Write(buf[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// param is one of a connection string like "host=/tmp port=5432"; the last one
// counts.
func param(dsn, name string) (value string) {
	for _, field := range strings.Fields(dsn) {
		if k, v, _ := strings.Cut(field, "="); k == name {
			value = strings.Trim(v, "'")
		}
	}
	return value
}
