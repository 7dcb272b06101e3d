package httpd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"importer"
	"importer/internal/golden"
)

// TestLimitsAreDocumented holds the table of docs/security.md against the
// numbers that the server goes by.
func TestLimitsAreDocumented(t *testing.T) {
	t.Parallel()
	golden.Part(t, "../docs/security.md", "limits", limitsTable())
}

func limitsTable() string {
	s := SocketOptions{}.withDefaults()
	size := func(n int) string {
		if n >= 1<<20 {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/(1<<20)), ".0") + " MiB"
		}
		return fmt.Sprintf("%d KiB", n>>10)
	}
	span := func(d time.Duration) string {
		if d >= time.Minute {
			return fmt.Sprintf("%d min", d/time.Minute)
		}
		return fmt.Sprintf("%d s", d/time.Second)
	}
	rate := func(burst int, perSecond float64) string {
		if perSecond < 1 {
			return fmt.Sprintf("%d at once, then one in %.0f s", burst, 1/perSecond)
		}
		return fmt.Sprintf("%d at once, then %.0f a second", burst, perSecond)
	}
	var b strings.Builder
	b.WriteString("| What | Limit | Over it |\n|---|---|---|\n")
	for _, row := range [][3]string{
		{"wrong credentials from one address", rate(guessBurst, guessRate), "429 `limited`"},
		{"searches and exports of one client", rate(searchBurst, searchRate), "429 `limited`"},
		{"uploads that one client begins", rate(uploadBurst, uploadRate), "429 `limited`"},
		{"passwords that are compared at once", fmt.Sprint(hashes), "they wait"},
		{"API tokens", fmt.Sprint(importer.MaxTokens), "409 `conflict`"},
		{"a header", size(maxHeader), "431"},
		{"a header that arrives", span(headerTime), "the connection ends"},
		{"a body of JSON", size(maxBody), "413 `file_too_large`"},
		{"an ordinary body that arrives; an answer, or a part of a long one, that is taken", span(answerTime), "the connection ends"},
		{"a connection without a request", span(idleTime), "it ends"},
		{"an upload, also after decompression", "2 GiB, `--max-upload-bytes`", "413 `file_too_large`; unpacked, the import fails with it"},
		{"an upload that sends nothing", span(uploadIdle), "400 `upload_incomplete`; one in parts goes on later"},
		{"imports that run at once on a machine", "4, `--max-imports`", "they wait in turn, and say so"},
		{"sockets of one client", fmt.Sprint(s.PerClient), fmt.Sprintf("close code %d", closeTooMany)},
		{"sockets of a machine; handshakes a second; at once", fmt.Sprintf("%d; %d; %d", s.Conns, s.Accept, s.Handshakes), "503 with `Retry-After`"},
		{"subscriptions of one socket", fmt.Sprint(maxTopics), "error `limited`"},
		{"a message to the server", size(maxFrame), "close code 1009"},
		{"messages to the server on one socket", rate(s.Burst, float64(s.Rate)), fmt.Sprintf("close code %d", closeRate)},
		{"bytes that wait for a slow reader; a message that leaves", size(s.Queue) + "; " + span(s.Write), "a reset; it resumes where it was"},
		{"an answer to a heartbeat", span(s.Pong), fmt.Sprintf("close code %d", closeNoPong)},
	} {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", row[0], row[1], row[2])
	}
	return b.String()
}
