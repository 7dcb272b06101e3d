package main

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"importer/client"
	"importer/db/dbtest"
)

// secret stands for what must be printed nowhere: the tests put it wherever
// passwords, tokens and rows are, and every process that they start is
// searched for it.
const secret = "s3cret-that-nobody-may-see"

// withPassword puts the secret into the URL of a test's database, which goes
// by accounts and does not ask for it.
func withPassword(kv string) string {
	name, value, _ := strings.Cut(kv, "=")
	if !strings.HasSuffix(name, "DATABASE_URL") || !strings.Contains(value, "host=") || strings.Contains(value, "password") {
		return kv
	}
	return kv + " password='" + secret + "'"
}

// discreet fails the test when a process has printed the secret.
func discreet(t testing.TB, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if strings.Contains(line, secret) {
			t.Errorf("a secret is printed: %s", line)
		}
	}
}

// TestSecretsAreNotLogged hands the server secrets in every way there is, in
// good requests and in bad ones, at the most talkative level.
func TestSecretsAreNotLogged(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{
		"private Postgres": nil, // whose log is in the server's
		"DATABASE_URL":     {"DATABASE_URL=" + dbtest.URL(t)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := serveProcess(t, append(env, "IMPORTER_ADMIN_TOKEN="+secret, "IMPORTER_TOKEN="+secret), "--data-dir", dataDir(t))
			cl, err := client.New(client.Options{Server: p.url, Token: secret})
			if err != nil {
				t.Fatal(err)
			}
			var given []string // secrets that the server has made
			ask := func(method, path, body string, header ...string) {
				t.Helper()
				req, err := http.NewRequestWithContext(t.Context(), method, p.url+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+secret)
				req.Header.Set("Content-Type", "application/json")
				for i := 0; i < len(header); i += 2 {
					req.Header.Set(header[i], header[i+1])
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				answer, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				given = append(given, secretsOf(resp.Header, answer)...)
			}
			// Products: one that is made, one that is there already, one too
			// long, one that is no JSON, and searches for it.
			product := fmt.Sprintf(`{"sku":%q,"name":%q,"description":%q}`, secret, secret, secret)
			ask("POST", "/api/products", product)
			ask("POST", "/api/products", product, "Idempotency-Key", secret)
			ask("POST", "/api/products", fmt.Sprintf(`{"sku":%q,"name":%q}`, secret, strings.Repeat(secret, 100)))
			ask("POST", "/api/products", `{"sku":`+secret)
			ask("PATCH", "/api/products/1", fmt.Sprintf(`{"name":%q}`, secret), "If-Match", secret)
			ask("GET", "/api/products?q="+secret+"&sku="+secret, "")
			ask("GET", "/api/products?cursor="+secret, "")
			// Tokens where they do not belong, too.
			ask("GET", "/api/imports", "", "Cookie", "importer_session="+secret, "X-Request-Id", "with a space "+secret)
			ask("GET", "/ws?ticket="+secret, "")
			ask("GET", "/api/status?token="+secret, "")
			ask("POST", "/api/session", fmt.Sprintf(`{"password":%q}`, secret))
			ask("POST", "/api/session", fmt.Sprintf(`{"password":%q}`, "wrong-"+secret))
			ask("PUT", "/api/password", fmt.Sprintf(`{"password":%q}`, "long-"+secret))
			ask("PUT", "/api/password", fmt.Sprintf(`{"current":%q,"password":%q}`, secret, secret[:5]))
			ask("POST", "/api/session", fmt.Sprintf(`{"password":%q}`, "long-"+secret))
			ask("POST", "/api/tokens", `{"name":"a token","scope":"read"}`)
			ask("POST", "/api/tokens", fmt.Sprintf(`{"name":%q,"scope":%q}`, secret, secret), "Cookie", "importer_session="+secret)
			ask("POST", "/api/ws-tickets", "")
			if len(given) != 4 { // two sessions, a token, a ticket
				t.Errorf("the server has made %d secrets", len(given))
			}
			for _, s := range given {
				ask("GET", "/api/imports", "", "Authorization", "Bearer "+s, "Cookie", "importer_session="+s)
				ask("GET", "/ws?ticket="+s, "")
			}
			ask("POST", "/api/webhooks", fmt.Sprintf(`{"url":"https://user:%s@127.0.0.1:1/%s","events":["*"],"headers":{"Authorization":%q}}`, secret, secret, secret))
			ask("POST", "/api/webhooks", fmt.Sprintf(`{"url":"https://127.0.0.1:1/?key=%s","events":["*"],"headers":{"X-Key":%q}}`, secret, secret))

			// Rows of every fate: written, repeated, rejected; bytes that are no
			// text; a quote without an end; a header with it; no header.
			row := secret + ",Name " + secret + ",About " + secret + "\n"
			for _, file := range []string{
				"sku,name,description\n" + row + row + "," + secret + ",no SKU\n" + secret + strings.Repeat("x", 300) + ",too long,\n",
				"sku,name\n" + secret + ",\xff\xfe\x00" + secret + "\n",
				"sku,name\n" + secret + ",\"" + secret + "\n",
				secret + ",name\n" + row,
				"\x1f\x8b" + secret,
			} {
				id, err := cl.Upload(t.Context(), strings.NewReader(file), client.Upload{Filename: "a.csv", Size: int64(len(file))})
				if err != nil {
					t.Fatal(err)
				}
				eventually(t, "the import ends", func() bool {
					im, err := cl.Import(t.Context(), id)
					return err == nil && im.State.Ended()
				})
			}
			if log := p.log.String(); !strings.Contains(log, `"message":"request"`) || !strings.Contains(log, "import ends here") {
				t.Errorf("the log does not tell of requests and imports:\n%s", tail(log, 5))
			}
			if err := p.stop(); err != nil {
				t.Error(err)
			}
			for _, s := range given {
				if strings.Contains(p.log.String(), s) {
					t.Errorf("a secret that the server has made is logged: %.12s…", s)
				}
			}
			// serveProcess searches the log for the one that the test has made.
		})
	}
}

// secretsOf finds what an answer gives out that nobody else may know: secrets of
// webhooks, tokens and cookies.
func secretsOf(header http.Header, answer []byte) (found []string) {
	for _, m := range regexp.MustCompile(`"(?:secret|token|ticket)":\s*"([^"]{16,})"`).FindAllSubmatch(answer, -1) {
		found = append(found, string(m[1]))
	}
	for _, cookie := range (&http.Response{Header: header}).Cookies() {
		if len(cookie.Value) >= 16 {
			found = append(found, cookie.Value)
		}
	}
	return found
}

// The client's commands keep their token, whatever the answer.
func TestClientsAreDiscreet(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"watch", "--server", "http://127.0.0.1:1"},
		{"watch", "--server", "http://user:" + secret + "@127.0.0.1:1"},
		{"import", "--server", "http://127.0.0.1:1", "--token", secret, "no-file.csv"},
		{"healthcheck", "--server", "http://user:" + secret + "@127.0.0.1:1"},
	} {
		if code, _, stderr := runProgram(t, []string{"IMPORTER_TOKEN=" + secret}, args...); code != exitFailed || stderr == "" {
			t.Errorf("%v: exit code %d, %q", args, code, stderr)
		}
	}
}

// The search finds what it is to find.
func TestDiscreet(t *testing.T) {
	t.Parallel()
	header := http.Header{"Set-Cookie": {"session=0123456789abcdef; HttpOnly"}}
	if got := secretsOf(header, []byte(`{"secret":"whsec_0123456789abcdef","name":"plain"}`)); !slices.Equal(got, []string{"whsec_0123456789abcdef", "0123456789abcdef"}) {
		t.Errorf("the secrets of an answer: %q", got)
	}
	var spy spyTB
	discreet(&spy, "a line\n{\"level\":\"info\",\"token\":\""+secret+"\"}\n")
	if spy.errors != 1 {
		t.Errorf("%d complaints about a log with the secret in it, want 1", spy.errors)
	}
	if got := withPassword("DATABASE_URL=host=/tmp dbname=x"); !strings.Contains(got, secret) {
		t.Errorf("no secret in %q", got)
	}
}

// spyTB counts what a test would have failed for.
type spyTB struct {
	testing.TB
	errors int
}

func (s *spyTB) Helper()               {}
func (s *spyTB) Errorf(string, ...any) { s.errors++ }
