package main

import (
	"net/http"
	"strings"
	"testing"

	"importer"
	"importer/client"
	"importer/db/dbtest"
	"importer/internal/sample"
)

// TestAdminToken lets a server be reached from elsewhere, by those who know
// the token: over REST, the upload and the socket.
func TestAdminToken(t *testing.T) {
	t.Parallel()
	env := []string{"DATABASE_URL=" + dbtest.URL(t), "IMPORTER_ADMIN_TOKEN=" + secret + secret}
	p := serveProcess(t, env, "--data-dir", t.TempDir(), "--addr", "0.0.0.0:0")
	url := strings.Replace(p.url, "0.0.0.0", "127.0.0.1", 1)
	resp, err := http.Get(url + "/api/products")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without the token: %d", resp.StatusCode)
	}
	stranger, err := client.New(client.Options{Server: url})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range stranger.Watch(t.Context(), importer.TopicImports) {
		if importer.ErrorCode(err) != importer.Unauthorized {
			t.Errorf("the socket without the token: %v", err)
		}
		break
	}
	file, want := writeCatalogue(t, sample.Options{Rows: 500, Seed: 1})
	if code, _, stderr := runProgram(t, []string{"IMPORTER_TOKEN=" + secret + secret}, "import", "--server", url, file); code != 0 {
		t.Fatalf("code %d: %s", code, stderr)
	}
	known, err := client.New(client.Options{Server: url, Token: secret + secret})
	if err != nil {
		t.Fatal(err)
	}
	if page, err := known.Products(t.Context(), importer.ProductQuery{}); err != nil || page.Total != int64(want.Created) {
		t.Errorf("%d products, %v", page.Total, err)
	}
	if code, _, stderr := runProgram(t, nil, "healthcheck", "--server", url); code != 0 {
		t.Errorf("a probe: %d, %s", code, stderr)
	}
}

func TestWithoutTokenNobodyGetsInFromElsewhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ env, says string }{
		{"", "set IMPORTER_ADMIN_TOKEN"},
		{"IMPORTER_ADMIN_TOKEN=short", "want 16 at least"},
	} {
		env := []string{"DATABASE_URL=postgres://127.0.0.1:1/none"}
		if c.env != "" {
			env = append(env, c.env)
		}
		code, _, stderr := runProgram(t, env, "serve", "--addr", "0.0.0.0:0")
		if code != exitUsage || !strings.Contains(stderr, c.says) {
			t.Errorf("%q: code %d, %s", c.env, code, stderr)
		}
	}
}
