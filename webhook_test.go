package importer_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"importer"
)

func TestWebhookFields(t *testing.T) {
	t.Parallel()
	w := importer.DefaultWebhook()
	f := importer.WebhookFields{
		URL:     new(" https://Example.com/hooks?a=b "),
		Events:  new([]string{"import.*", "product.created", "import.*"}),
		Headers: new(map[string]string{"Authorization": "Bearer x"}),
	}
	if err := w.Apply(f, false); err != nil {
		t.Fatal(err)
	}
	want := importer.DefaultWebhook()
	want.URL = "https://Example.com/hooks?a=b"
	want.Events = []string{"import.*", "product.created"}
	want.Headers = map[string]string{"Authorization": "Bearer x"}
	if diff := cmp.Diff(want, w); diff != "" {
		t.Error(diff)
	}
	if err := w.Apply(importer.WebhookFields{}, false); err != nil {
		t.Errorf("nothing to change: %v", err)
	}
}

// TestWebhookFieldsRefused asks of every refusal that it points at the field
// and leaves the webhook as it was.
func TestWebhookFieldsRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3000)
	many := map[string]string{}
	for r := 'a'; r <= 'z'; r++ {
		many["X-"+string(r)] = "1"
	}
	for _, c := range []struct {
		name, pointer string
		f             importer.WebhookFields
	}{
		{"no scheme", "/url", importer.WebhookFields{URL: new("example.com/hooks")}},
		{"plain http", "/url", importer.WebhookFields{URL: new("http://example.com")}},
		{"another scheme", "/url", importer.WebhookFields{URL: new("gopher://example.com")}},
		{"script", "/url", importer.WebhookFields{URL: new("javascript:alert(1)")}},
		{"no host", "/url", importer.WebhookFields{URL: new("https:///x")}},
		{"only a port", "/url", importer.WebhookFields{URL: new("https://:443/x")}},
		{"password", "/url", importer.WebhookFields{URL: new("https://u:p@example.com")}},
		{"fragment", "/url", importer.WebhookFields{URL: new("https://example.com/#x")}},
		{"control character", "/url", importer.WebhookFields{URL: new("https://example.com/\x00")}},
		{"space", "/url", importer.WebhookFields{URL: new("https://example.com/a b")}},
		{"too long", "/url", importer.WebhookFields{URL: new("https://example.com/" + long)}},
		{"empty", "/url", importer.WebhookFields{URL: new("")}},
		{"no events", "/events", importer.WebhookFields{Events: new([]string{})}},
		{"unknown event", "/events/1", importer.WebhookFields{Events: new([]string{"*", "import.done"})}},
		{"unknown family", "/events/0", importer.WebhookFields{Events: new([]string{"imp.*"})}},
		{"half a family", "/events/0", importer.WebhookFields{Events: new([]string{"import*"})}},
		{"test", "/events/0", importer.WebhookFields{Events: new([]string{"webhook.test"})}},
		{"host header", "/headers/Host", importer.WebhookFields{Headers: new(map[string]string{"Host": "x"})}},
		{"signature", "/headers/Webhook-Signature", importer.WebhookFields{Headers: new(map[string]string{"Webhook-Signature": "x"})}},
		{"content type", "/headers/content-type", importer.WebhookFields{Headers: new(map[string]string{"content-type": "x"})}},
		{"resending", "/headers/Idempotency-Key", importer.WebhookFields{Headers: new(map[string]string{"Idempotency-Key": "x"})}},
		{"name with a slash", "/headers/a~1b", importer.WebhookFields{Headers: new(map[string]string{"a/b": "x"})}},
		{"line break", "/headers/X-A", importer.WebhookFields{Headers: new(map[string]string{"X-A": "x\r\nHost: y"})}},
		{"long value", "/headers/X-A", importer.WebhookFields{Headers: new(map[string]string{"X-A": long})}},
		{"many headers", "/headers", importer.WebhookFields{Headers: &many}},
		{"short timeout", "/timeout_ms", importer.WebhookFields{TimeoutMS: new(999)}},
		{"long timeout", "/timeout_ms", importer.WebhookFields{TimeoutMS: new(30_001)}},
		{"none in flight", "/max_in_flight", importer.WebhookFields{MaxInFlight: new(0)}},
		{"many in flight", "/max_in_flight", importer.WebhookFields{MaxInFlight: new(33)}},
		{"negative rate", "/rate_per_s", importer.WebhookFields{RatePerS: new(-1.0)}},
		{"tiny rate", "/rate_per_s", importer.WebhookFields{RatePerS: new(0.001)}},
		{"no number", "/rate_per_s", importer.WebhookFields{RatePerS: new(math.NaN())}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := importer.DefaultWebhook()
			w.URL, w.Events = "https://example.com", []string{"*"}
			before := w
			err := w.Apply(c.f, false)
			e, ok := errors.AsType[*importer.Error](err)
			if !ok || e.Code != importer.Invalid || len(e.Fields) != 1 || e.Fields[0].Pointer != c.pointer {
				t.Errorf("got %+v, want one complaint about %s", err, c.pointer)
			}
			if diff := cmp.Diff(before, w); diff != "" {
				t.Errorf("changed: %s", diff)
			}
		})
	}
}

func TestWebhookCreationNeedsURLAndEvents(t *testing.T) {
	t.Parallel()
	w := importer.DefaultWebhook()
	e, ok := errors.AsType[*importer.Error](w.Apply(importer.WebhookFields{}, false))
	if !ok || len(e.Fields) != 2 || e.Fields[0].Pointer != "/url" || e.Fields[1].Pointer != "/events" {
		t.Errorf("got %+v, want complaints about url and events", e)
	}
}

func TestWebhookSwitch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to importer.WebhookState
		enabled  bool
	}{
		{importer.WebhookActive, importer.WebhookActive, true},
		{importer.WebhookActive, importer.WebhookPaused, false},
		{importer.WebhookPaused, importer.WebhookActive, true},
		{importer.WebhookPaused, importer.WebhookPaused, false},
		{importer.WebhookDisabled, importer.WebhookActive, true},
		{importer.WebhookDisabled, importer.WebhookDisabled, false},
	} {
		w := importer.DefaultWebhook()
		w.URL, w.Events = "https://example.com", []string{"*"}
		w.State, w.Enabled = c.from, c.from == importer.WebhookActive
		if err := w.Apply(importer.WebhookFields{Enabled: &c.enabled}, false); err != nil {
			t.Fatal(err)
		}
		if w.State != c.to || w.Enabled != (c.to == importer.WebhookActive) {
			t.Errorf("%s switched to %v is %s (enabled %v), want %s", c.from, c.enabled, w.State, w.Enabled, c.to)
		}
	}
}

func TestMatchesEvent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		filter, event string
		want          bool
	}{
		{"*", "import.failed", true},
		{"import.failed", "import.failed", true},
		{"import.*", "import.failed", true},
		{"import.*", "imports.failed", false},
		{"product.*", "products.changed", false},
		{"import.failed", "import.completed", false},
		{"", "import.failed", false},
		{".*", "import.failed", false},
	} {
		if got := importer.MatchesEvent(c.filter, c.event); got != c.want {
			t.Errorf("%q matches %q: %v, want %v", c.filter, c.event, got, c.want)
		}
	}
}
