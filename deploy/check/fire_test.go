package check_test

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/promqltest"
)

// Each alert is held against series on which it has to fire and others on
// which it must not, as an hour and more of scrapes a minute apart.
func TestAlertsFire(t *testing.T) {
	t.Parallel()
	const (
		batches = `importer_batch_duration_seconds_bucket`
		lags    = `importer_socket_event_lag_seconds_bucket`
		resumes = `importer_socket_subscriptions_total`
		sent    = `importer_webhook_attempts_total`
		asked   = `importer_http_requests_total`
	)
	cases := map[string]struct{ fires, rests string }{
		"ImporterDown":         {`up{job="importer"} 0x180`, `up{job="importer"} 1x180`},
		"ImporterGone":         {`up{job="importer"} 0x180`, `importer_build_info{version="v1"} 1x180`},
		"ImporterDatabaseAway": {`importer_postgres_up{instance="a"} 0x180`, `importer_postgres_up{instance="a"} 1x180`},
		"ImporterQueueWaits":   {`importer_queue_oldest_seconds 0+60x180`, `importer_queue_oldest_seconds 40x180`},
		"ImporterImportsBreak": {
			`importer_imports_ended_total{state="failed", code="storage_lost"} 0x150 1x30`,
			`importer_imports_ended_total{state="failed", code="missing_column"} 0+1x180`,
		},
		"ImporterSlowBatches": {
			batches + `{le="1"} 0x180` + "\n" + batches + `{le="5"} 0+10x180` + "\n" + batches + `{le="+Inf"} 0+10x180`,
			batches + `{le="1"} 0+10x180` + "\n" + batches + `{le="5"} 0+10x180` + "\n" + batches + `{le="+Inf"} 0+10x180`,
		},
		"ImporterPoolExhausted": {`importer_postgres_pool_wait_seconds_total 0+120x180`, `importer_postgres_pool_wait_seconds_total 0+6x180`},
		"ImporterDiskFillsUp": {
			"importer_data_dir_free_bytes 9x180\nimporter_data_dir_size_bytes 100x180",
			"importer_data_dir_free_bytes 11x180\nimporter_data_dir_size_bytes 100x180",
		},
		"ImporterActorsFail":  {`importer_actor_restarts_total{actor="writer"} 0+1x180`, `importer_actor_restarts_total{actor="writer"} 0x178 3x2`},
		"ImporterMachinesDie": {`importer_import_takeovers_total{lease="expired"} 0x170 5x10`, `importer_import_takeovers_total{lease="released"} 0x170 5x10`},
		"ImporterEventsLate": {
			lags + `{le="0.5"} 0x180` + "\n" + lags + `{le="10"} 0+10x180` + "\n" + lags + `{le="+Inf"} 0+10x180`,
			lags + `{le="0.5"} 0+10x180` + "\n" + lags + `{le="10"} 0+10x180` + "\n" + lags + `{le="+Inf"} 0+10x180`,
		},
		"ImporterResumesFail": {
			resumes + `{outcome="epoch"} 0+9x180` + "\n" + resumes + `{outcome="recovered"} 0+1x180`,
			resumes + `{outcome="fresh"} 0+90x180` + "\n" + resumes + `{outcome="gap"} 0+1x180` + "\n" + resumes + `{outcome="recovered"} 0+9x180`,
		},
		"ImporterErrors": {
			asked + `{code="200"} 0+95x180` + "\n" + asked + `{code="503"} 0+5x180`,
			asked + `{code="200"} 0+99x180` + "\n" + asked + `{code="404"} 0+50x180` + "\n" + asked + `{code="500"} 0+1x180`,
		},
		"ImporterSearchBehind":    {`importer_search_pending_products 5x180`, `importer_search_pending_products 500000x100 0x1 500000x79`},
		"ImporterWebhooksFail":    {sent + `{class="delivered"} 0+1x180` + "\n" + sent + `{class="timeout"} 0+3x180`, sent + `{class="delivered"} 0+3x180` + "\n" + sent + `{class="timeout"} 0+1x180`},
		"ImporterWebhooksLate":    {`importer_webhook_overdue_seconds 0+60x180`, `importer_webhook_overdue_seconds 600x180`},
		"ImporterWebhookDisabled": {`importer_webhooks_disabled_total 0x150 1x30`, `importer_webhooks_disabled_total 1x180`},
		"ImporterVersionsDiffer":  {"importer_build_info{version=\"v1\"} 1x180\nimporter_build_info{version=\"v2\"} 1x180", "importer_build_info{instance=\"a\"} 1x180\nimporter_build_info{instance=\"b\"} 1x180"},
	}
	for _, r := range rules(t) {
		c, ok := cases[r.Alert]
		if !ok {
			t.Errorf("there is no case for %s", r.Alert)
			continue
		}
		delete(cases, r.Alert)
		t.Run(r.Alert, func(t *testing.T) {
			t.Parallel()
			if !answers(t, c.fires, r.Expr) {
				t.Errorf("it does not fire on\n%s", c.fires)
			}
			if answers(t, c.rests, r.Expr) {
				t.Errorf("it fires on\n%s", c.rests)
			}
		})
	}
	for name := range cases {
		t.Errorf("there is no alert %s", name)
	}
}

// answers tells whether an expression selects anything at the end of series.
func answers(t *testing.T, series, expression string) bool {
	t.Helper()
	storage := promqltest.LoadedStorage(t, "load 1m\n"+series)
	defer storage.Close()
	engine := promqltest.NewTestEngine(t, false, 0, 100_000)
	end := time.Unix(0, 0).Add(3 * time.Hour)
	query, err := engine.NewInstantQuery(t.Context(), storage, nil, expression, end)
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	result := query.Exec(t.Context())
	vector, err := result.Vector()
	if err != nil {
		t.Fatal(err)
	}
	return len(vector) > 0
}
