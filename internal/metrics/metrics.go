// Package metrics is what the program tells Prometheus, and the private port
// on which it does. Its Metrics are the observers of httpd and actors; cmd
// wires them, and gives it what to ask at each scrape. It decides nothing.
//
// Every label has few different values: never an import, a path, a host or a
// SKU.
package metrics

import (
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"importer"
)

// Metrics are the figures of one process.
type Metrics struct {
	registry *prometheus.Registry

	requests       *prometheus.CounterVec
	requestSeconds *prometheus.HistogramVec

	subscribes  *prometheus.CounterVec
	replayed    prometheus.Counter
	cuts        *prometheus.CounterVec
	pingSeconds prometheus.Histogram
	lagSeconds  prometheus.Histogram

	rows         *prometheus.CounterVec
	batchSeconds prometheus.Histogram
	ended        *prometheus.CounterVec
	importTime   prometheus.Histogram
	takeovers    *prometheus.CounterVec
	restarts     *prometheus.CounterVec
	givenUp      *prometheus.CounterVec
	deadLetters  prometheus.Counter

	webhooks webhooks
}

// New makes the figures of a build, with those of the Go runtime and of the
// process beside them.
func New(version, commit string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),

		requests:       counters("http_requests_total", "Answered HTTP requests, by route pattern and status.", "route", "code"),
		requestSeconds: histograms("http_request_duration_seconds", "Time to answer HTTP requests, uploads and exports included.", []float64{.001, .005, .02, .1, .5, 2, 10, 60}, "route"),

		subscribes:  counters("socket_subscriptions_total", "Answered subscribes on WebSockets: recovered, the reason for a snapshot (fresh, gap, epoch, ahead), or refused.", "outcome"),
		replayed:    counter("socket_replayed_events_total", "Events sent again to clients that came back."),
		cuts:        counters("socket_cuts_total", "WebSockets ended by the server, by close code.", "code"),
		pingSeconds: histogram("socket_ping_duration_seconds", "Time from a ping on a WebSocket to the next sign of life of its client.", []float64{.001, .005, .02, .1, .5, 2, 10}),
		lagSeconds:  histogram("socket_event_lag_seconds", "Age of the oldest event in a message when it went out on a WebSocket, by the clocks of the machines.", []float64{.005, .02, .05, .1, .5, 2, 10, 60}),

		rows:         counters("rows_total", "Rows of imports that were dealt with, by outcome; repeated are those that a later row with the same SKU supersedes. A scan that is done again counts its rejected rows again.", "outcome"),
		batchSeconds: histogram("batch_duration_seconds", "Time to merge one batch into the catalogue.", []float64{.01, .02, .05, .1, .2, .5, 1, 5, 30}),
		ended:        counters("imports_ended_total", "Imports that this machine brought to an end, and the error's code of those that failed.", "state", "code"),
		importTime:   histogram("import_duration_seconds", "Time from the start of a completed import to its end, on whatever machines.", []float64{.1, .5, 1, 2, 5, 10, 30, 60, 300, 1800}),
		takeovers:    counters("import_takeovers_total", "Imports claimed here that another machine had begun: it has released them, as when it is stopped, or its lease has expired, as when it dies.", "lease"),
		restarts:     counters("actor_restarts_total", "Failures of actors after which they were restarted.", "actor"),
		givenUp:      counters("actors_given_up_total", "Failures of actors after which they were given up.", "actor"),
		deadLetters:  counter("dead_letters_total", "Messages between actors that reached nobody; a few at the end of an import are normal."),

		webhooks: newWebhooks(),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "importer_build_info", Help: "Always 1; the labels say what is running."}, []string{"version", "commit", "goversion"})
	build.WithLabelValues(version, commit, runtime.Version()).Set(1)
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build,
		m.requests, m.requestSeconds, m.subscribes, m.replayed, m.cuts, m.pingSeconds, m.lagSeconds,
		m.rows, m.batchSeconds, m.ended, m.importTime, m.takeovers, m.restarts, m.givenUp, m.deadLetters,
	)
	m.registry.MustRegister(m.webhooks.all()...)
	m.begin()
	return m
}

// begin makes the counters of what is known to come start at 0, so that a
// rate sees their first step.
func (m *Metrics) begin() {
	for _, outcome := range []string{"created", "updated", "unchanged", "repeated", "rejected"} {
		m.rows.WithLabelValues(outcome)
	}
	m.ended.WithLabelValues(string(importer.Completed), "")
	for _, code := range []importer.Code{importer.PipelineFailed, importer.StorageFull, importer.StorageLost, importer.DatabaseUnavailable} {
		m.ended.WithLabelValues(string(importer.Failed), string(code)) // what an operator has to look at
	}
	for _, outcome := range []string{"recovered", "fresh", "gap", "epoch", "ahead", "refused"} {
		m.subscribes.WithLabelValues(outcome)
	}
	for _, code := range []string{"1012", "4000", "4001"} {
		m.cuts.WithLabelValues(code)
	}
	for _, lease := range []string{leaseExpired, leaseReleased} {
		m.takeovers.WithLabelValues(lease)
	}
	for _, actor := range []string{"hub", "imports", "indexer", "results", "webhooks", "writer"} {
		m.restarts.WithLabelValues(actor)
	}
	for _, actor := range []string{"import", "parser", "deduper", "sender", "writer"} {
		m.givenUp.WithLabelValues(actor)
	}
}

// Answered implements httpd.Observer.
func (m *Metrics) Answered(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.requestSeconds.WithLabelValues(route).Observe(took.Seconds())
}

// Subscribed implements httpd.Observer.
func (m *Metrics) Subscribed(outcome string, replayed int) {
	m.subscribes.WithLabelValues(outcome).Inc()
	m.replayed.Add(float64(replayed))
}

// Cut implements httpd.Observer.
func (m *Metrics) Cut(code int) { m.cuts.WithLabelValues(strconv.Itoa(code)).Inc() }

// Ponged implements httpd.Observer.
func (m *Metrics) Ponged(after time.Duration) { m.pingSeconds.Observe(after.Seconds()) }

// Sent implements httpd.Observer.
func (m *Metrics) Sent(lag time.Duration) { m.lagSeconds.Observe(lag.Seconds()) }

// Merged implements actors.Observer.
func (m *Metrics) Merged(b importer.Merged, took time.Duration) {
	m.batchSeconds.Observe(took.Seconds())
	m.rows.WithLabelValues("created").Add(float64(b.Created))
	m.rows.WithLabelValues("updated").Add(float64(b.Updated))
	m.rows.WithLabelValues("unchanged").Add(float64(b.Unchanged))
}

// Rejected implements actors.Observer.
func (m *Metrics) Rejected(rows int) { m.rows.WithLabelValues("rejected").Add(float64(rows)) }

// Ended implements actors.Observer. Repeated rows are counted here because
// only the end of an import knows them exactly.
func (m *Metrics) Ended(imp importer.Import) {
	code := importer.Code("")
	if imp.Error != nil {
		code = imp.Error.Code
	}
	m.ended.WithLabelValues(string(imp.State), string(code)).Inc()
	if imp.State != importer.Completed {
		return
	}
	m.rows.WithLabelValues("repeated").Add(float64(imp.Counts.Duplicates))
	if imp.StartedAt != nil && imp.FinishedAt != nil {
		m.importTime.Observe(imp.FinishedAt.Sub(*imp.StartedAt).Seconds())
	}
}

// TakenOver implements actors.Observer.
func (m *Metrics) TakenOver(expired bool) {
	if expired {
		m.takeovers.WithLabelValues(leaseExpired).Inc()
	} else {
		m.takeovers.WithLabelValues(leaseReleased).Inc()
	}
}

// Restarted implements actors.Observer.
func (m *Metrics) Restarted(actor string) { m.restarts.WithLabelValues(actor).Inc() }

// GivenUp implements actors.Observer.
func (m *Metrics) GivenUp(actor string) { m.givenUp.WithLabelValues(actor).Inc() }

// DeadLetter implements actors.Observer.
func (m *Metrics) DeadLetter() { m.deadLetters.Inc() }

// How the lease of an import ended that was taken over.
const leaseExpired, leaseReleased = "expired", "released"

const namespace = "importer"

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
}

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
}

func histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
}
