package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"importer"
	"importer/client"
	"importer/db/dbtest"
	"importer/internal/golden"
)

// scrape is one answer of /metrics.
type scrape map[string]*dto.MetricFamily

// metricsURL waits for the private port of a server to be told in its log.
func (p *process) metricsURL() string {
	p.t.Helper()
	var m []string
	eventually(p.t, "the server says where its metrics are", func() bool {
		m = regexp.MustCompile(`"addr":"([^"]+)",.*"message":"metrics"`).FindStringSubmatch(p.log.String())
		return m != nil
	})
	return "http://" + m[1]
}

func (p *process) scrape() scrape {
	p.t.Helper()
	_, content := fetch(p.t, p.metricsURL()+"/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(content))
	if err != nil {
		p.t.Fatalf("not in Prometheus' format: %v\n%s", err, content)
	}
	return families
}

func fetch(t testing.TB, url string) (int, []byte) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, content
}

// value sums the samples of a metric that have these labels, given in pairs;
// -1 when there is none. A histogram's value is its count.
func (s scrape) value(name string, labels ...string) float64 {
	sum, found := 0.0, false
	for _, m := range s[name].GetMetric() {
		if !has(m, labels) {
			continue
		}
		found = true
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	if !found {
		return -1
	}
	return sum
}

func has(m *dto.Metric, labels []string) bool {
	got := map[string]string{}
	for _, l := range m.GetLabel() {
		got[l.GetName()] = l.GetValue()
	}
	for i := 0; i < len(labels); i += 2 {
		if got[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}

// TestMetrics holds a scrape against what has really happened.
func TestMetrics(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	p := serveProcess(t, []string{"DATABASE_URL=" + url, "IMPORTER_METRICS_ADDR=127.0.0.1:0"}, "--data-dir", t.TempDir())
	before := p.scrape()
	if got := before.value("importer_rows_total", "outcome", "created"); got != 0 {
		t.Errorf("before any import %v rows were created, want 0", got)
	}

	through := newFront(t, p)
	watcher := subscribe(t, "watcher", through, importer.TopicImports)
	eventually(t, "it watches", func() bool { return watcher.seq(importer.TopicImports) >= 0 })

	file := "sku,name\n"
	for i := range 25_000 {
		file += fmt.Sprintf("M-%d,Name\n", i)
	}
	imported(t, p, "metrics.csv", file+",No SKU\n,No SKU either\n")
	imported(t, p, "again.csv", "sku,name\nM-1,Name\nM-2,Older name\nm-2,Another name\n")
	failed, err := p.client.Upload(t.Context(), strings.NewReader("colour\nred\n"), client.Upload{Filename: "bad.csv", Size: 11})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the third import has failed", func() bool {
		im, err := p.client.Import(t.Context(), failed)
		return err == nil && im.State == importer.Failed
	})

	// Two events happen while the watcher is cut off.
	through.cut()
	eventually(t, "the watcher is back", func() bool {
		return p.scrape().value("importer_socket_subscriptions_total", "outcome", "recovered") == 1
	})
	created, err := p.client.CreateProduct(t.Context(), importer.ProductFields{SKU: new("HAND-1"), Name: new("By hand")}, "")
	if err != nil {
		t.Fatal(err)
	}
	if code, _ := fetch(t, p.url+fmt.Sprintf("/api/products/%d", created.ID)); code != http.StatusOK {
		t.Errorf("get a product: status %d", code)
	}

	var got scrape
	eventually(t, "all is sent and noted", func() bool {
		got = p.scrape()
		return got.value("importer_socket_queued_bytes") == 0 && got.value("importer_imports_ended_total") == 3
	})
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"importer_build_info", []string{"version", "dev"}, 1},
		{"importer_imports", []string{"state", "completed"}, 2},
		{"importer_imports", []string{"state", "failed"}, 1},
		{"importer_imports", []string{"state", "writing"}, 0},
		{"importer_imports_ended_total", []string{"state", "completed"}, 2},
		{"importer_imports_ended_total", []string{"state", "failed", "code", "missing_column"}, 1},
		{"importer_rows_total", []string{"outcome", "created"}, 25_000},
		{"importer_rows_total", []string{"outcome", "updated"}, 1},
		{"importer_rows_total", []string{"outcome", "unchanged"}, 1},
		{"importer_rows_total", []string{"outcome", "repeated"}, 1},
		{"importer_rows_total", []string{"outcome", "rejected"}, 2},
		{"importer_import_duration_seconds", nil, 2},
		{"importer_batch_duration_seconds", nil, 4}, // 3 of 10,000 rows, and 1
		{"importer_products", nil, 25_001},
		{"importer_queue_oldest_seconds", nil, 0},
		{"importer_machines", nil, 1},
		{"importer_postgres_up", nil, 1},
		{"importer_sockets_open", nil, 1},
		{"importer_socket_subscriptions_total", []string{"outcome", "fresh"}, 1},
		{"importer_socket_subscriptions_total", []string{"outcome", "recovered"}, 1},
		{"importer_webhook_attempts_total", []string{"class", "delivered"}, 0},
		{"importer_webhook_breakers_open", nil, 0},
		{"importer_import_takeovers_total", nil, 0},
		{"importer_actor_restarts_total", nil, 0},
		{"importer_actors_given_up_total", nil, 0},
		{"importer_http_requests_total", []string{"route", "GET /api/products/{id}", "code", "200"}, 1},
		{"importer_http_requests_total", []string{"route", "POST /api/products", "code", "201"}, 1},
		{"importer_http_request_duration_seconds", []string{"route", "POST /api/products"}, 1},
		{"importer_http_requests_total", []string{"route", "GET /ws", "code", "101"}, 2},
	} {
		if v := got.value(c.name, c.labels...); v != c.want {
			t.Errorf("%s%q is %v, want %v", c.name, c.labels, v, c.want)
		}
	}
	for _, name := range []string{
		"importer_postgres_database_bytes", "importer_postgres_pool_acquires_total", "importer_postgres_pool_connections_max",
		"importer_data_dir_free_bytes", "importer_data_dir_size_bytes",
		"importer_socket_event_lag_seconds", "go_goroutines", "process_resident_memory_bytes",
	} {
		if got.value(name) <= 0 {
			t.Errorf("%s is %v, want more than 0", name, got.value(name))
		}
	}
	golden.File(t, "../../docs/metrics.md", got.list())
}

// Names and help texts keep to the conventions, and nothing has a label that
// could take any value.
func TestMetricsAreLinted(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t), "IMPORTER_METRICS_ADDR=127.0.0.1:0"}, "--data-dir", t.TempDir())
	_, content := fetch(t, p.metricsURL()+"/metrics")
	problems, err := promlint.New(bytes.NewReader(content)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
	for name, family := range p.scrape() {
		if strings.HasPrefix(name, "importer_") && len(family.GetMetric()) > 60 {
			t.Errorf("%s has %d series", name, len(family.GetMetric()))
		}
	}
}

func TestPrivatePort(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	env := []string{"DATABASE_URL=" + dbtest.URL(t)}
	code, _, stderr := runProgram(t, append(env, "IMPORTER_METRICS_ADDR="+taken.Addr().String()), "serve", "--addr", "127.0.0.1:0", "--data-dir", t.TempDir())
	if code != exitFailed || !strings.Contains(stderr, "--metrics-addr") {
		t.Errorf("a taken port that was asked for: exit code %d, %q, want a failure that names the flag", code, tail(stderr, 3))
	}
	// Without being asked for it does no harm: of two servers one at most has it.
	first := serveProcess(t, env, "--data-dir", t.TempDir())
	second := serveProcess(t, env, "--data-dir", t.TempDir())
	eventually(t, "one of two servers says that the default port is taken", func() bool {
		return strings.Contains(first.log.String()+second.log.String(), "no metrics and no profiles")
	})

	p := serveProcess(t, append(env, "IMPORTER_METRICS_ADDR=127.0.0.1:0"), "--data-dir", t.TempDir())
	private := p.metricsURL()
	for path, want := range map[string]int{
		"/metrics": 200, "/debug/pprof/": 200, "/debug/pprof/heap?debug=1": 200,
		"/debug/pprof/cmdline": 404, // a flag may hold a password
		"/":                    404, "/api/products": 404, "/healthz": 404,
	} {
		if code, _ := fetch(t, private+path); code != want {
			t.Errorf("%s on the private port: status %d, want %d", path, code, want)
		}
	}
	for _, path := range []string{"/metrics", "/debug/pprof/heap"} {
		if _, content := fetch(t, p.url+path); bytes.Contains(content, []byte("# HELP")) || bytes.Contains(content, []byte("heap profile")) {
			t.Errorf("%s is answered on the public port", path)
		}
	}
	none := serveProcess(t, append(env, "IMPORTER_METRICS_ADDR="), "--data-dir", t.TempDir())
	if strings.Contains(none.log.String(), `"message":"metrics"`) {
		t.Error("an empty address does not mean none")
	}
}

func TestStatusShowsAllMachines(t *testing.T) {
	t.Parallel()
	env := []string{"DATABASE_URL=" + dbtest.URL(t)}
	a := serveProcess(t, env, "--data-dir", t.TempDir())
	b := serveProcess(t, env, "--data-dir", t.TempDir())
	status := func() (s struct {
		Machine  string
		Machines []importer.Machine
	}) {
		_, content := fetch(t, a.url+"/api/status")
		if err := json.Unmarshal(content, &s); err != nil {
			t.Fatalf("%v: %s", err, content)
		}
		return s
	}
	eventually(t, "both machines are there", func() bool { return len(status().Machines) == 2 })
	for _, m := range status().Machines {
		if !m.Alive || m.Name == "" || m.Version != version {
			t.Errorf("got %+v", m)
		}
	}
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	if s := status(); len(s.Machines) != 1 || s.Machines[0].ID.String() != s.Machine {
		t.Errorf("after the other one has left: %+v", s)
	}
}

// imported uploads a file and waits for the end of its import. It asks again
// and again, for a socket would be counted.
func imported(t *testing.T, p *process, name, content string) importer.Import {
	t.Helper()
	id, err := p.client.Upload(t.Context(), strings.NewReader(content), client.Upload{Filename: name, Size: int64(len(content))})
	if err != nil {
		t.Fatal(err)
	}
	var im importer.Import
	eventually(t, name+" is imported", func() bool {
		im, err = p.client.Import(t.Context(), id)
		return err == nil && im.State.Ended()
	})
	if im.State != importer.Completed {
		t.Fatalf("%s: %s, %+v", name, im.State, im.Error)
	}
	return im
}
