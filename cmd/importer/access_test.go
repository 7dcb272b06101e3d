package main

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"importer"
	"importer/client"
	"importer/db/dbtest"
	"importer/internal/sample"
)

// answered is the status of an address, with a bearer token if there is one.
func answered(t *testing.T, url, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// setPassword sets the first one of a server: the secret.
func setPassword(t *testing.T, url string) {
	t.Helper()
	send(t, "PUT", url+"/api/password", `{"password":"`+secret+`"}`)
}

// TestAdminToken lets a server be reached from elsewhere, by those who know
// the token: over REST, the upload and the socket.
func TestAdminToken(t *testing.T) {
	t.Parallel()
	env := []string{"DATABASE_URL=" + dbtest.URL(t), "IMPORTER_ADMIN_TOKEN=" + secret + secret}
	p := serveProcess(t, env, "--data-dir", t.TempDir(), "--addr", "0.0.0.0:0")
	url := strings.Replace(p.url, "0.0.0.0", "127.0.0.1", 1)
	if got := answered(t, url+"/api/products", ""); got != http.StatusUnauthorized {
		t.Errorf("without the token: %d", got)
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

// Without credentials the server is for this machine; a password of the
// database counts as much as a token of the settings.
func TestWithoutCredentialsNobodyGetsInFromElsewhere(t *testing.T) {
	t.Parallel()
	env, dir := []string{"DATABASE_URL=" + dbtest.URL(t)}, t.TempDir()
	elsewhere := []string{"serve", "--data-dir", dir, "--addr", "0.0.0.0:0", "--metrics-addr", ""}
	if code, stdout, stderr := runProgram(t, nil, elsewhere...); code != exitUsage || stdout != "" || !strings.Contains(stderr, "set IMPORTER_ADMIN_TOKEN") {
		t.Errorf("without a database: code %d, %s %s", code, stdout, stderr)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the refused start left %v (%v)", left, err)
	}
	code, _, stderr := runProgram(t, env, elsewhere...)
	if code != exitUsage || !strings.Contains(stderr, "set IMPORTER_ADMIN_TOKEN") || !strings.Contains(stderr, "password") || !strings.Contains(stderr, "127.0.0.1") {
		t.Errorf("nothing is set up: code %d, %s", code, stderr)
	}
	if code, _, stderr := runProgram(t, append(env, "IMPORTER_ADMIN_TOKEN=short"), elsewhere...); code != exitUsage || !strings.Contains(stderr, "want 16 at least") {
		t.Errorf("a short token: code %d, %s", code, stderr)
	}
	_, found := doctor(t, env, "--addr", "0.0.0.0:0")
	wantFound(t, found, "access", stateFail, "serve refuses")
	_, found = doctor(t, env, "--addr", "127.0.0.1:0")
	wantFound(t, found, "access", stateOK, "nobody has to sign in")
	_, found = doctor(t, append(env, "IMPORTER_ADMIN_TOKEN="+secret), "--addr", "0.0.0.0:0")
	wantFound(t, found, "access", stateOK, "the admin token")

	home := serveProcess(t, env, "--data-dir", t.TempDir())
	setPassword(t, home.url)
	_, found = doctor(t, env, "--addr", "0.0.0.0:0")
	wantFound(t, found, "access", stateOK, "the password")
	world := serveProcess(t, env, "--data-dir", t.TempDir(), "--addr", "0.0.0.0:0")
	if got := answered(t, strings.Replace(world.url, "0.0.0.0", "127.0.0.1", 1)+"/api/products", ""); got != http.StatusUnauthorized {
		t.Errorf("a stranger: %d", got)
	}
}

// TestTokens makes an API token on one machine and uses it on another, for
// what its scope allows, until it is revoked.
func TestTokens(t *testing.T) {
	t.Parallel()
	db := "DATABASE_URL=" + dbtest.URL(t)
	one := serveProcess(t, []string{db, "IMPORTER_ADMIN_TOKEN=" + secret}, "--data-dir", t.TempDir())
	two := serveProcess(t, []string{db}, "--data-dir", t.TempDir())
	setPassword(t, two.url) // it has no admin token, and asks for credentials from now on
	admin := []string{"IMPORTER_SERVER=" + one.url, "IMPORTER_TOKEN=" + secret}
	token := func(args ...string) (stdout string) {
		t.Helper()
		code, stdout, stderr := runProgram(t, admin, append([]string{"token"}, args...)...)
		if code != 0 {
			t.Fatalf("token %v: code %d, %s", args, code, stderr)
		}
		return strings.TrimSpace(stdout)
	}
	reading := token("create", "reports")
	var importing importer.Token
	if err := json.Unmarshal([]byte(token("create", "--scope", "import", "--days", "30", "--json", "nightly")), &importing); err != nil {
		t.Fatal(err)
	}
	if left := time.Until(*importing.ExpiresAt); left < 29*24*time.Hour || left > 31*24*time.Hour {
		t.Errorf("it expires in %v", left)
	}
	file, want := writeCatalogue(t, sample.Options{Rows: 100, Seed: 1})
	upload := func(token string) (code int, stderr string) {
		code, _, stderr = runProgram(t, []string{"IMPORTER_SERVER=" + two.url, "IMPORTER_TOKEN=" + token}, "import", file)
		return code, stderr
	}
	if code, stderr := upload(reading); code != exitFailed || !strings.Contains(stderr, "takes the scope import") {
		t.Errorf("an import with the scope read: code %d, %s", code, stderr)
	}
	if code, stderr := upload(importing.Token); code != 0 {
		t.Errorf("an import with the scope import: code %d, %s", code, stderr)
	}
	cl, err := client.New(client.Options{Server: two.url, Token: reading})
	if err != nil {
		t.Fatal(err)
	}
	if page, err := cl.Products(t.Context(), importer.ProductQuery{}); err != nil || page.Total != int64(want.Created) {
		t.Errorf("%d products, %v", page.Total, err)
	}
	if list := token("list"); !strings.Contains(list, "nightly") || !strings.Contains(list, "reports") || strings.Contains(list, reading) || strings.Contains(list, importing.Token) {
		t.Errorf("listed:\n%s", list)
	}

	token("revoke", importing.ID.String())
	if code, stderr := upload(importing.Token); code != exitFailed || !strings.Contains(stderr, "credentials") {
		t.Errorf("an import with the revoked token: code %d, %s", code, stderr)
	}
	for args, says := range map[string]string{"revoke nightly": "not the id", "create": "one argument", "create --scope all x": "scope", "list it": "no arguments", "make": "no command", "create --days -1 x": "less than 0"} {
		if code, _, stderr := runProgram(t, admin, append([]string{"token"}, strings.Fields(args)...)...); code == 0 || !strings.Contains(stderr, says) {
			t.Errorf("token %s: code %d, %s", args, code, stderr)
		}
	}
}
