package metrics_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"importer"
	"importer/internal/metrics"
)

// scrape returns the samples whose name begins with prefix, sorted.
func scrape(m *metrics.Metrics, prefix string) []string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var samples []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, prefix) && !strings.Contains(line, "_bucket{") {
			samples = append(samples, strings.TrimSpace(line))
		}
	}
	slices.Sort(samples)
	return samples
}

func TestWebhooksAreCounted(t *testing.T) {
	t.Parallel()
	m := metrics.New("v1", "")
	m.Attempted("delivered", 250*time.Millisecond)
	m.Attempted("timeout", 15*time.Second)
	m.Attempted("timeout", 15*time.Second)
	m.BreakerOpened()
	m.BreakerOpened()
	m.BreakerClosed()
	m.WebhookDisabled()
	want := []string{
		`importer_webhook_attempt_duration_seconds_count 3`,
		`importer_webhook_attempt_duration_seconds_sum 30.25`,
		`importer_webhook_attempts_total{class="delivered"} 1`,
		`importer_webhook_attempts_total{class="timeout"} 2`,
		`importer_webhook_breaker_openings_total 2`,
		`importer_webhook_breakers_open 1`,
		`importer_webhooks_disabled_total 1`,
	}
	got := slices.DeleteFunc(scrape(m, "importer_webhook"), func(sample string) bool { return strings.HasSuffix(sample, "} 0") }) // other classes
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestImportsAreCounted(t *testing.T) {
	t.Parallel()
	m := metrics.New("v1", "")
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ended := began.Add(1500 * time.Millisecond)
	m.Ended(importer.Import{State: importer.Completed, StartedAt: &began, FinishedAt: &ended, Counts: importer.Counts{Rows: 10, Duplicates: 3}})
	m.Ended(importer.Import{State: importer.Failed, Error: &importer.ImportError{Code: importer.StorageFull}, StartedAt: &began, FinishedAt: &ended, Counts: importer.Counts{Rows: 10, Duplicates: 3}})
	m.TakenOver(true)
	m.TakenOver(false)
	m.TakenOver(false)
	want := []string{
		`importer_import_duration_seconds_count 1`,
		`importer_import_duration_seconds_sum 1.5`,
		`importer_import_takeovers_total{lease="expired"} 1`,
		`importer_import_takeovers_total{lease="released"} 2`,
		`importer_imports_ended_total{code="",state="completed"} 1`,
		`importer_imports_ended_total{code="database_unavailable",state="failed"} 0`,
		`importer_imports_ended_total{code="pipeline_failed",state="failed"} 0`,
		`importer_imports_ended_total{code="storage_full",state="failed"} 1`,
		`importer_imports_ended_total{code="storage_lost",state="failed"} 0`,
	}
	if diff := cmp.Diff(want, scrape(m, "importer_import")); diff != "" {
		t.Error(diff)
	}
	if got := scrape(m, `importer_rows_total{outcome="repeated"}`); !slices.Equal(got, []string{`importer_rows_total{outcome="repeated"} 3`}) {
		t.Errorf("repeated rows: %q", got)
	}
}

type store struct {
	status importer.StoreStatus
	err    error
}

func (s *store) Status(context.Context) (importer.StoreStatus, error) { return s.status, s.err }

// What cannot be looked up is left out; the rest of the scrape is there.
func TestAScrapeDoesWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	m := metrics.New("v1", "")
	s := &store{status: importer.StoreStatus{
		Imports: map[importer.State]int64{importer.Queued: 2}, QueuedFor: 90 * time.Second, Bytes: 1 << 20,
		Machines: []importer.Machine{{Alive: true}, {Alive: false}},
		Indexing: importer.Indexing{Total: 10, Pending: 4},
		Webhooks: importer.Backlog{Pending: 7, OverdueFor: 1500 * time.Millisecond},
	}}
	m.Ask(metrics.Sources{
		Store:   s,
		Pool:    func() metrics.Pool { return metrics.Pool{InUse: 3, Max: 4, WaitedFor: time.Second} },
		Sockets: func() (int, int64) { return 2, 4096 },
		Room:    func() (uint64, uint64, error) { return 0, 0, errors.New("no such disk") },
	})
	asked := []string{"importer_data", "importer_imports{", "importer_machines", "importer_postgres_up", "importer_queue", "importer_search", "importer_sockets", "importer_webhook_pending", "importer_webhook_overdue"}
	look := func() (samples []string) {
		for _, prefix := range asked {
			samples = append(samples, scrape(m, prefix)...)
		}
		return samples
	}
	want := []string{
		`importer_imports{state="queued"} 2`, `importer_machines 1`, `importer_postgres_up 1`, `importer_queue_oldest_seconds 90`,
		`importer_search_pending_products 4`, `importer_sockets_open 2`, `importer_webhook_pending_deliveries 7`, `importer_webhook_overdue_seconds 1.5`,
	}
	if diff := cmp.Diff(want, look()); diff != "" {
		t.Error(diff)
	}
	s.err = errors.New("away")
	if diff := cmp.Diff([]string{`importer_postgres_up 0`, `importer_sockets_open 2`}, look()); diff != "" {
		t.Error(diff)
	}
}
