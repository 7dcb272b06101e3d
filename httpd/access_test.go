package httpd_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"importer"
	"importer/httpd"
	"importer/internal/golden"
)

const adminToken = "0123456789abcdef"

func guarded(t *testing.T, change ...func(*httpd.Options)) *bench {
	t.Helper()
	return setup(t, append([]func(*httpd.Options){func(o *httpd.Options) {
		o.AdminToken = adminToken
		o.Web = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) })
	}}, change...)...)
}

// token makes one of a scope.
func (b *bench) token(scope importer.Scope) string {
	b.t.Helper()
	r := b.do("POST", "/api/tokens", strings.NewReader(`{"name":"of a test","scope":"`+string(scope)+`"}`), "Content-Type", "application/json", "Authorization", "Bearer "+adminToken)
	return decode[importer.Token](b, r, 201).Token
}

// TestRights holds the table of docs/security.md against the router, both
// ways, and then every route against the table, for callers of each kind.
func TestRights(t *testing.T) {
	t.Parallel()
	b := guarded(t)
	table := rightsTable(b)
	golden.Part(t, "../docs/security.md", "rights", table)

	callers := []struct {
		name, header string
		scope        importer.Scope
	}{
		{"a stranger", "", ""},
		{"read", "Bearer " + b.token(importer.ScopeRead), importer.ScopeRead},
		{"import", "Bearer " + b.token(importer.ScopeImport), importer.ScopeImport},
		{"write", "Bearer " + b.token(importer.ScopeWrite), importer.ScopeWrite},
		{"admin", "Bearer " + b.token(importer.ScopeAdmin), importer.ScopeAdmin},
		{"the admin token", "Bearer " + adminToken, importer.ScopeAdmin},
	}
	rows := 0
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		if len(cells) < 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		rows++
		method, path, _ := strings.Cut(strings.Trim(cells[1], " `"), " ")
		need := strings.TrimSpace(cells[2])
		for _, c := range callers {
			header := []string{"Content-Type", "text/csv"}
			if c.header != "" {
				header = append(header, "Authorization", c.header)
			}
			got := b.do(method, strings.ReplaceAll(path, "{id}", "1"), nil, header...).status
			refused := got == 401 || got == 403
			want := 0
			switch {
			case need == "public" || need == "anyone":
				if refused && path != "/api/session" {
					want = 200
				}
			case c.scope == "" && got != 401:
				want = 401
			case c.scope != "" && !c.scope.Includes(importer.Scope(need)) && got != 403:
				want = 403
			case c.scope.Includes(importer.Scope(need)) && refused:
				want = 200
			}
			if want != 0 {
				t.Errorf("%s %s for %s: got %d, want %d", method, path, c.name, got, want)
			}
		}
	}
	if rows < 50 {
		t.Errorf("the table has %d rows: where are the others?", rows)
	}
}

// rightsTable is what the document says of every operation, and what no
// document tells of.
func rightsTable(b *bench) string {
	rank := []string{"public", "anyone", "read", "import", "write", "admin"}
	type row struct{ need, route, says string }
	rows := []row{
		{"public", "GET /", "The dashboard's files"},
		{"public", "GET /docs", "The API for people"},
		{"read", "GET /api/nothing", "What does not exist: 404 for those who may look"},
	}
	for path, methods := range contract().Paths {
		for method, op := range methods {
			need := op.Scope
			switch {
			case need == "" && (path == "/api/session" && method != "post"):
				need = "anyone"
			case need == "":
				need = "public"
			}
			rows = append(rows, row{need, strings.ToUpper(method) + " " + path, op.Summary})
		}
	}
	slices.SortFunc(rows, func(a, b row) int {
		if d := slices.Index(rank, a.need) - slices.Index(rank, b.need); d != 0 {
			return d
		}
		_, p, _ := strings.Cut(a.route, " ")
		_, q, _ := strings.Cut(b.route, " ")
		return strings.Compare(p+a.route, q+b.route)
	})
	var t bytes.Buffer
	fmt.Fprintf(&t, "| Route | Right | |\n|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&t, "| `%s` | %s | %s |\n", r.route, r.need, r.says)
	}
	return t.String()
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, header string
		want         int
	}{
		{"bearer", "Bearer " + adminToken, 200},
		{"in another case", "bearer  " + adminToken + " ", 200},
		{"basic", basic("", adminToken), 200},
		{"basic with a name", basic("anna", adminToken), 200},
		{"wrong", "Bearer 0123456789abcdeg", 401},
		{"a part", "Bearer 0123456789abcde", 401},
		{"empty", "Bearer ", 401},
		{"wrong password", basic(adminToken, "x"), 401},
		{"another scheme", "Token " + adminToken, 401},
		{"a token that is not there", "Bearer imp_" + adminToken, 401},
	} {
		b := guarded(t) // wrong ones are counted
		r := b.do("GET", "/api/products", nil, "Authorization", c.header)
		if r.status != c.want {
			t.Errorf("%s: %d, want %d", c.name, r.status, c.want)
		}
		if r.status == 401 && !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer ") {
			t.Errorf("%s: %v does not say what to bring", c.name, r.header)
		}
	}
}

func basic(user, password string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

// TestGuessingIsSlow: after a few wrong tokens there is no answer to more, and
// the right one is let in all the same.
func TestGuessingIsSlow(t *testing.T) {
	t.Parallel()
	b := guarded(t)
	limited := 0
	for range 40 {
		r := b.do("GET", "/api/products", nil, "Authorization", "Bearer wrong")
		if r.status == 429 {
			limited++
			b.problem(r, 429, importer.Limited)
			if r.header.Get("Retry-After") == "" {
				t.Error("429 without Retry-After")
			}
		}
	}
	if limited < 20 {
		t.Errorf("%d of 40 guesses were refused", limited)
	}
	if r := b.do("GET", "/api/products", nil, "Authorization", "Bearer "+adminToken); r.status != 200 {
		t.Errorf("the right token: %d", r.status)
	}
}

// Another site's page may not use what the browser remembers.
func TestOtherSitesMayNotUseCredentials(t *testing.T) {
	t.Parallel()
	b := guarded(t)
	r := b.do("DELETE", "/api/products?confirm=delete-all", nil, "Authorization", basic("", adminToken), "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")
	b.problem(r, 403, importer.Forbidden)
}

// While nothing is set up, a page could have a name of its own lead to this
// machine, and then do all that its people may.
func TestWithoutCredentialsOnlyLocalNamesAreAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ask := func(host string) reply {
		req, err := http.NewRequestWithContext(t.Context(), "GET", b.url+"/api/products", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := b.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var body bytes.Buffer
		if _, err := body.ReadFrom(resp.Body); err != nil {
			t.Fatal(err)
		}
		return reply{resp.StatusCode, resp.Header, body.Bytes()}
	}
	for _, host := range []string{"localhost", "LOCALHOST:8080", "127.0.0.1", "127.8.8.8:80", "[::1]:8080"} {
		if r := ask(host); r.status != 200 {
			t.Errorf("%s: %d", host, r.status)
		}
	}
	for _, host := range []string{"evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8080", "10.0.0.1", "[2001:db8::1]"} {
		b.problem(ask(host), 403, importer.Forbidden)
	}
	for _, header := range []string{"X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"} { // a tunnel brings others
		b.problem(b.do("GET", "/api/products", nil, header, "203.0.113.7"), 403, importer.Forbidden)
	}
	b.access.hash = "set"
	eventually(t, "the password to be noticed", func() bool { return ask("localhost").status == 401 })
}

// A database that is away closes no door and opens none.
func TestCallersWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	b := guarded(t)
	token := b.token(importer.ScopeRead)
	b.access.fail(importer.Errorf(importer.DatabaseUnavailable, "The database is away."))
	if r := b.do("GET", "/api/products", nil, "Authorization", "Bearer "+adminToken); r.status != 200 {
		t.Errorf("the admin token: %d", r.status)
	}
	b.problem(b.do("GET", "/api/products", nil, "Authorization", "Bearer "+token), 503, importer.DatabaseUnavailable)
	b.problem(b.do("GET", "/api/products", nil, "Cookie", "importer_session=x"), 503, importer.DatabaseUnavailable)
	if r := b.do("GET", "/api/products", nil); r.status != 401 {
		t.Errorf("a stranger: %d", r.status)
	}

	open := setup(t)
	open.access.fail(importer.Errorf(importer.DatabaseUnavailable, "The database is away."))
	open.problem(open.do("GET", "/api/products", nil), 503, importer.DatabaseUnavailable)
}

// One token's searches are bounded; others do not pay for them.
func TestSearchesAreLimited(t *testing.T) {
	t.Parallel()
	still := time.Now()
	b := guarded(t, func(o *httpd.Options) { o.Now = func() time.Time { return still } })
	greedy, modest := b.token(importer.ScopeRead), b.token(importer.ScopeRead)
	for i := range 100 {
		if r := b.do("GET", "/api/products", nil, "Authorization", "Bearer "+greedy); r.status != 200 {
			t.Fatalf("search %d: %d", i+1, r.status)
		}
	}
	r := b.do("GET", "/api/products?q=lamp", nil, "Authorization", "Bearer "+greedy)
	b.problem(r, 429, importer.Limited)
	if got := r.header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After is %q, want a second", got)
	}
	for path, token := range map[string]string{"/api/products": modest, "/api/imports": greedy} {
		if r := b.do("GET", path, nil, "Authorization", "Bearer "+token); r.status != 200 {
			t.Errorf("%s: %d", path, r.status)
		}
	}
}
