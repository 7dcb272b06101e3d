package importer

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Limits of a webhook's fields.
const (
	MaxWebhookURL     = 2048 // bytes
	MaxWebhookHeaders = 20
	MaxWebhookHeader  = 1024 // bytes of a value
)

// DefaultWebhook is what a webhook is before anything is said of it.
func DefaultWebhook() Webhook {
	return Webhook{
		Events: []string{}, Enabled: true, State: WebhookActive, Headers: map[string]string{},
		TimeoutMS: 15_000, MaxInFlight: 8, Version: 1,
	}
}

// Apply checks f and puts what it says into w, or returns Invalid with a
// pointer to every wrong field and leaves w as it is. allowHTTP lets plain
// http through, for development. It does not look at where the host leads:
// that is checked when a connection is made, every time.
func (w *Webhook) Apply(f WebhookFields, allowHTTP bool) error {
	next := *w
	var wrong []FieldError
	complain := func(pointer, format string, args ...any) {
		wrong = append(wrong, FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
	if f.URL != nil {
		u, reason := webhookURL(*f.URL, allowHTTP)
		if next.URL = u; reason != "" {
			complain("/url", "%s", reason)
		}
	} else if w.URL == "" {
		complain("/url", "Say where to send the events.")
	}
	if f.Events != nil {
		next.Events = slices.Compact(slices.Sorted(slices.Values(*f.Events)))
		for i, filter := range *f.Events {
			if reason := checkFilter(filter); reason != "" {
				complain(fmt.Sprintf("/events/%d", i), "%s", reason)
			}
		}
	}
	if len(next.Events) == 0 {
		complain("/events", "Choose at least one type of event, or * for all.")
	}
	if f.Headers != nil {
		next.Headers = maps.Clone(*f.Headers)
		if next.Headers == nil {
			next.Headers = map[string]string{}
		}
		if len(next.Headers) > MaxWebhookHeaders {
			complain("/headers", "There are %d headers; at most %d are allowed.", len(next.Headers), MaxWebhookHeaders)
		}
		for _, name := range slices.Sorted(maps.Keys(next.Headers)) {
			if reason := checkHeader(name, next.Headers[name]); reason != "" {
				complain("/headers/"+pointerToken(name), "%s", reason)
			}
		}
	}
	if f.TimeoutMS != nil {
		if next.TimeoutMS = *f.TimeoutMS; next.TimeoutMS < 1_000 || next.TimeoutMS > 30_000 {
			complain("/timeout_ms", "The time to answer is from 1,000 to 30,000 ms.")
		}
	}
	if f.MaxInFlight != nil {
		if next.MaxInFlight = *f.MaxInFlight; next.MaxInFlight < 1 || next.MaxInFlight > 32 {
			complain("/max_in_flight", "From 1 to 32 deliveries may be on their way at once.")
		}
	}
	if f.RatePerS != nil {
		next.RatePerS = *f.RatePerS
		if inRange := next.RatePerS >= 0.01 && next.RatePerS <= 1_000; !inRange && next.RatePerS != 0 { // NaN is neither
			complain("/rate_per_s", "From 0.01 to 1,000 deliveries a second, or 0 for no limit.")
		}
	}
	if f.StrictOrder != nil {
		next.StrictOrder = *f.StrictOrder
	}
	switch {
	case f.Enabled == nil:
	case *f.Enabled:
		next.Enabled, next.State, next.StateReason = true, WebhookActive, ""
	case next.State == WebhookActive:
		next.Enabled, next.State, next.StateReason = false, WebhookPaused, ""
	}
	if len(wrong) > 0 {
		return &Error{Code: Invalid, Message: "The webhook was not saved: " + wrong[0].Detail, Fields: wrong}
	}
	*w = next
	return nil
}

// webhookURL returns the address in the form it is kept, or what is wrong with it.
func webhookURL(s string, allowHTTP bool) (clean, reason string) {
	s = strings.TrimSpace(s)
	if len(s) > MaxWebhookURL {
		return "", fmt.Sprintf("The URL is longer than %d bytes.", MaxWebhookURL)
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Opaque != "" || u.Host == "" || u.Hostname() == "":
		return "", "This is not a URL. It looks like https://example.com/hooks."
	case u.Scheme != "https" && u.Scheme != "http":
		return "", "The URL has to begin with https://."
	case u.Scheme == "http" && !allowHTTP:
		return "", "Only https:// is allowed, for deliveries carry your data. (For development, IMPORTER_WEBHOOK_ALLOW_PRIVATE=true allows http:// too.)"
	case u.User != nil:
		return "", "A user name or password in the URL would be shown in lists and logs. Send an Authorization header instead."
	case u.Fragment != "":
		return "", "A fragment (#…) is never sent. Leave it out."
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return "", "The URL contains spaces or control characters."
	}
	return u.String(), ""
}

func checkFilter(filter string) (reason string) {
	if filter == EventWebhookTest {
		return "webhook.test needs no choosing: it comes when you send a test."
	}
	for _, t := range WebhookTypes() {
		if MatchesEvent(filter, t) {
			return ""
		}
	}
	return fmt.Sprintf("There is no type of event %q. They are %s; import.* stands for a family and * for all.",
		filter, strings.Join(WebhookTypes(), ", "))
}

// reservedHeaders are ours to set; those that begin with content- or webhook-
// are too. net/http silently sends a request with an Idempotency-Key again.
var reservedHeaders = []string{
	"host", "connection", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer",
	"transfer-encoding", "upgrade", "expect", "user-agent", "accept-encoding", "cookie", "idempotency-key", "x-idempotency-key",
}

func checkHeader(name, value string) (reason string) {
	lower := strings.ToLower(name)
	switch {
	case name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isTokenRune(r) }):
		return "The name of a header is made of letters, digits and hyphens."
	case slices.Contains(reservedHeaders, lower) || strings.HasPrefix(lower, "content-") || strings.HasPrefix(lower, "webhook-"):
		return fmt.Sprintf("%s cannot be set: the importer or the connection decides it.", name)
	case len(value) > MaxWebhookHeader:
		return fmt.Sprintf("The value is longer than %d bytes.", MaxWebhookHeader)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f || r == '�' }):
		return "The value contains a line break or another control character."
	}
	return ""
}

// isTokenRune is tchar of RFC 9110, section 5.6.2.
func isTokenRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

// pointerToken escapes a name for a JSON pointer (RFC 6901, section 3).
func pointerToken(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}
