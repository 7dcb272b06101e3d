package main

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"importer/db/dbtest"
)

// TestWebhookListen has it register itself, hear of an edit, refuse what is
// not signed, and leave nothing behind.
func TestWebhookListen(t *testing.T) {
	t.Parallel()
	p := serveProcess(t, []string{"DATABASE_URL=" + dbtest.URL(t), openly}, "--data-dir", t.TempDir())
	out, errs := &lockedBuffer{}, &lockedBuffer{}
	cmd := program(nil, "webhook-listen", "--addr", "127.0.0.1:0", "--register", "--events", "product.*", "--json", "--server", p.url)
	cmd.Stdout, cmd.Stderr = out, errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var url string
	eventually(t, "it listens", func() bool {
		_, rest, ok := strings.Cut(errs.String(), "Listening for webhooks at ")
		url, _, _ = strings.Cut(rest, "\n")
		return ok && strings.HasSuffix(rest, "\n")
	})
	send(t, "POST", p.url+"/api/products", `{"sku":"LMP-1","name":"Lamp"}`)
	var first heard
	eventually(t, "it has heard", func() bool { return json.Unmarshal([]byte(out.String()), &first) == nil })
	if first.Type != "product.created" || first.Signed != "ok" || first.Times != 1 || first.Status != 204 || !strings.Contains(string(first.Body), "LMP-1") {
		t.Errorf("heard %+v", first)
	}
	resp, err := http.Post(url, "application/json", strings.NewReader(`{"type":"product.created"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("an unsigned request: %d", resp.StatusCode)
	}
	eventually(t, "it says so", func() bool { return strings.Contains(out.String(), `"signed":"bad: `) })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("it did not end")
	}
	if list, err := p.client.Webhooks(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%d webhooks are left, %v", len(list), err)
	}
}

func TestWebhookListenUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"x"}, {"--status", "99"}, {"--secret", "!!"}, {"--register", "--secret", "whsec_AAAA"}} {
		if code, _, stderr := runProgram(t, nil, append([]string{"webhook-listen"}, args...)...); code != exitUsage || stderr == "" {
			t.Errorf("%v: code %d, %q", args, code, stderr)
		}
	}
}
