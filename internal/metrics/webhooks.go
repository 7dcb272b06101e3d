package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"importer"
)

// webhooks are the figures of what is sent to webhooks.
type webhooks struct {
	attempts       *prometheus.CounterVec
	attemptSeconds prometheus.Histogram
	breakersOpen   prometheus.Gauge
	breakerOpened  prometheus.Counter
	disabled       prometheus.Counter
}

func newWebhooks() webhooks {
	w := webhooks{
		attempts:       counters("webhook_attempts_total", "Requests to webhooks: delivered, or the class of the failure.", "class"),
		attemptSeconds: histogram("webhook_attempt_duration_seconds", "Time of a request to a webhook, its whole answer included.", []float64{.01, .05, .1, .5, 1, 2, 5, 15, 30}),
		breakersOpen:   gauge("webhook_breakers_open", "Webhooks of this machine that fail so often that they are only probed."),
		breakerOpened:  counter("webhook_breaker_openings_total", "Times that a webhook began to be only probed."),
		disabled:       counter("webhooks_disabled_total", "Webhooks that were disabled because they failed for days, or said that they are gone."),
	}
	for _, class := range []string{
		"delivered", importer.AttemptStatus, importer.AttemptRedirect, importer.AttemptTimeout, importer.AttemptDNS, importer.AttemptRefused,
		importer.AttemptReset, importer.AttemptTLS, importer.AttemptBlocked, importer.AttemptBadReply, importer.AttemptOther,
	} {
		w.attempts.WithLabelValues(class)
	}
	return w
}

func (w webhooks) all() []prometheus.Collector {
	return []prometheus.Collector{w.attempts, w.attemptSeconds, w.breakersOpen, w.breakerOpened, w.disabled}
}

// Attempted implements actors.Observer.
func (m *Metrics) Attempted(class string, took time.Duration) {
	m.webhooks.attempts.WithLabelValues(class).Inc()
	m.webhooks.attemptSeconds.Observe(took.Seconds())
}

// BreakerOpened implements actors.Observer.
func (m *Metrics) BreakerOpened() {
	m.webhooks.breakersOpen.Inc()
	m.webhooks.breakerOpened.Inc()
}

// BreakerClosed implements actors.Observer.
func (m *Metrics) BreakerClosed() { m.webhooks.breakersOpen.Dec() }

// WebhookDisabled implements actors.Observer.
func (m *Metrics) WebhookDisabled() { m.webhooks.disabled.Inc() }
