package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"importer/internal/sample"
)

// counter is a receiver that only counts, for what a receiver that looks
// closely would be too slow for. Paths under /hang/ never answer.
type counter struct {
	url    string
	n      atomic.Int64
	canary func(body []byte) // called for /canary
}

func newCounter(b *testing.B) *counter {
	b.Helper()
	c := &counter{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		switch {
		case err != nil:
		case strings.HasPrefix(r.URL.Path, "/hang/"):
			<-r.Context().Done()
		case r.URL.Path == "/canary":
			c.canary(body)
		default:
			c.n.Add(1)
		}
	}))
	b.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	c.url = s.URL
	return c
}

// BenchmarkWebhookBacklog has 1,000 webhooks with 1,000 deliveries each, and
// one more that gets an event a second: how fast the backlog goes, and how
// long that one waits meanwhile; then the same with 300 that hang.
func BenchmarkWebhookBacklog(b *testing.B) {
	webhooks, events, seconds := setting("HOOK_WEBHOOKS", 1_000), setting("HOOK_EVENTS", 1_000), setting("HOOK_SECONDS", 20)
	for _, hanging := range []int{0, setting("HOOK_HANGING", 300)} {
		b.Run(fmt.Sprintf("hanging=%d", hanging), func(b *testing.B) {
			for b.Loop() {
				bench := startBenchWith(b, openly)
				c := newCounter(b)
				var mu sync.Mutex
				var waits []float64
				sent := map[int64]time.Time{}
				c.canary = func(body []byte) {
					at := time.Now()
					_, tail, _ := strings.Cut(string(body), `"n":`)
					n, err := strconv.ParseInt(strings.TrimRight(tail, "}"), 10, 64)
					mu.Lock()
					defer mu.Unlock()
					if began, ok := sent[n]; ok && err == nil {
						waits = append(waits, at.Sub(began).Seconds())
						delete(sent, n)
					}
				}
				backlog(b, bench.conn, c.url, webhooks, events)
				canary := bench.canary(b, c.url+"/canary")
				if _, err := bench.conn.Exec(b.Context(), `UPDATE webhooks SET url = replace(url, $1, $1 || '/hang') WHERE id IN (SELECT id FROM webhooks WHERE url LIKE $1 || '/%' AND url NOT LIKE '%canary' LIMIT $2)`, c.url, hanging); err != nil {
					b.Fatal(err)
				}
				began, before := time.Now(), c.n.Load()
				for n := range seconds {
					mu.Lock()
					sent[int64(n)] = time.Now()
					mu.Unlock()
					canary(int64(n))
					time.Sleep(time.Second)
				}
				took := time.Since(began).Seconds()
				b.ReportMetric(float64(c.n.Load()-before)/took, "POSTs/s")
				for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
					mu.Lock()
					left := len(sent)
					mu.Unlock()
					if left == 0 {
						break
					}
				}
				mu.Lock()
				slices.Sort(waits)
				b.ReportMetric(float64(len(sent)), "canary-lost")
				if len(waits) > 0 {
					b.ReportMetric(waits[len(waits)/2], "s/canary-p50")
					b.ReportMetric(waits[len(waits)*95/100], "s/canary-p95")
				}
				mu.Unlock()
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(bench.peakMiB(b), "peak-MiB")
				bench.stop()
			}
		})
	}
}

// canary makes a webhook, and returns what gives it an event.
func (x *bench) canary(b *testing.B, url string) func(n int64) {
	b.Helper()
	_, err := x.conn.Exec(b.Context(), `INSERT INTO webhooks (id, url, events, headers, timeout_ms, max_in_flight, rate_per_s, strict_order, state, state_reason, secret, version, created_at, updated_at)
		VALUES (gen_random_uuid(), $1, '{product.updated}', '{}', 5000, 8, 0, false, 'active', '', 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=', 1, now(), now())`, url)
	if err != nil {
		b.Fatal(err)
	}
	return func(n int64) {
		_, err := x.conn.Exec(b.Context(), `INSERT INTO webhook_events (id, type, payload, created_at)
			VALUES ('msg_7fffffff-canary-' || $1::bigint, 'product.updated', convert_to('{"type":"product.updated","n":' || $1::bigint || '}', 'UTF8'), now())`, n)
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWebhookCrash sends 12,000 deliveries while the server, or Postgres,
// is ended again and again. Nothing may be lost.
func BenchmarkWebhookCrash(b *testing.B) {
	const webhooks, ends = 12, 4
	events := setting("HOOK_DELIVERIES", 12_000) / webhooks
	for _, how := range []string{"kill-9", "SIGTERM", "postgres-frozen-20s"} {
		b.Run(how, func(b *testing.B) {
			for b.Loop() {
				bench := startBenchWith(b, openly)
				r := newReceiver(b)
				r.takes = 20 * time.Millisecond
				backlog(b, bench.conn, r.url, webhooks, events)
				until := func(n int) {
					for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
						if different, _ := r.got(); different >= n {
							return
						}
					}
				}
				if how == "postgres-frozen-20s" {
					until(webhooks * events / 4)
					release := freeze(b, runningPostmaster(bench.dir))
					time.Sleep(20 * time.Second)
					release()
				} else {
					for n := range ends {
						until(webhooks * events * (n + 1) / (ends + 2))
						if how == "kill-9" {
							bench.kill()
						} else if err := bench.process.stop(); err != nil {
							b.Error(err)
						}
						bench.process = serveProcess(b, []string{openly, "IMPORTER_LOG_LEVEL=warn"}, "--data-dir", bench.dir)
					}
				}
				until(webhooks * events)
				time.Sleep(2 * time.Second) // for what would come again
				different, again := r.got()
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(webhooks*events-different), "lost")
				b.ReportMetric(float64(again), "repeated")
				bench.stop()
			}
		})
	}
}

// freeze stops Postgres and all its processes (proc(5), stat) until release.
func freeze(b *testing.B, postmaster int) (release func()) {
	b.Helper()
	pids := []int{postmaster}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range stats {
		content, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(content), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(postmaster) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	return func() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
}

// runningPostmaster is 0 when there is none.
func runningPostmaster(dir string) int {
	content, err := os.ReadFile(filepath.Join(dir, "postgres", "data", "postmaster.pid"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil || syscall.Kill(pid, 0) != nil {
		return 0
	}
	return pid
}

// BenchmarkWebhookImport imports a catalogue with ten webhooks that answer and
// ten that hang, and without, in turns, and compares the medians.
func BenchmarkWebhookImport(b *testing.B) {
	rows, pairs := setting("HOOK_ROWS", 500_000), setting("HOOK_PAIRS", 3)
	file := filepath.Join(b.TempDir(), "catalogue.csv")
	if _, err := writeSample(file, sample.Options{Rows: rows, Repeats: 0.05, Seed: 1}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c := newCounter(b)
		rate, peak := map[bool][]float64{}, map[bool]float64{}
		for i := range 2 * pairs {
			hooked := i%4 == 1 || i%4 == 2 // without, with, with, without: the machine drifts
			bench := startBenchWith(b, openly)
			if hooked {
				backlog(b, bench.conn, c.url, 20, 0)
				if _, err := bench.conn.Exec(b.Context(), `UPDATE webhooks SET events = '{*}', url = CASE WHEN right(url, 1) < '5' THEN replace(url, $1, $1 || '/hang') ELSE url END`, c.url); err != nil {
					b.Fatal(err)
				}
			}
			took := bench.importSecondsWith(b, file, 0)
			rate[hooked] = append(rate[hooked], float64(rows)/took)
			peak[hooked] = max(peak[hooked], bench.peakMiB(b))
			bench.stop()
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(median(rate[false]), "rows/s-alone")
		b.ReportMetric(median(rate[true]), "rows/s-with-webhooks")
		b.ReportMetric(100*median(rate[true])/median(rate[false]), "%")
		b.ReportMetric(peak[true]-peak[false], "peak-MiB-more")
		b.ReportMetric(float64(c.n.Load()), "POSTs")
	}
}

// startBenchWith is startBench with more in the environment.
func startBenchWith(b *testing.B, env ...string) *bench {
	b.Helper()
	dir, err := os.MkdirTemp("", "importer-bench-")
	if err != nil {
		b.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	x := &bench{dir: dir, process: serveProcess(b, append(env, "IMPORTER_LOG_LEVEL=warn"), "--data-dir", dir)}
	if x.conn, err = pgx.Connect(context.Background(), privateURL(b, dir)); err != nil {
		b.Fatal(err)
	}
	return x
}
