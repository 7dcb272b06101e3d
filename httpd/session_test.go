package httpd_test

import (
	"net/http"
	"strings"
	"testing"

	"importer"
	"importer/httpd"
)

const password = "correct horse battery"

// send is do with JSON.
func (b *bench) send(method, path, body string, header ...string) reply {
	b.t.Helper()
	return b.do(method, path, strings.NewReader(body), append([]string{"Content-Type", "application/json"}, header...)...)
}

// cookie is the one that an answer sets, for requests and as it is.
func (b *bench) cookie(r reply) (header string, set *http.Cookie) {
	b.t.Helper()
	cookies := (&http.Response{Header: r.header}).Cookies()
	if len(cookies) != 1 {
		b.t.Fatalf("got cookies %v in a %d, want one", cookies, r.status)
	}
	return cookies[0].Name + "=" + cookies[0].Value, cookies[0]
}

// withPassword is a server that people can sign in to, and one who has.
func withPassword(t *testing.T, change ...func(*httpd.Options)) (b *bench, cookie string) {
	t.Helper()
	b = setup(t, change...)
	r := b.send("PUT", "/api/password", `{"password":"`+password+`"}`)
	if r.status != 200 {
		t.Fatalf("set the password: %d %s", r.status, r.body)
	}
	cookie, _ = b.cookie(r)
	return b, cookie
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	b, first := withPassword(t)
	if r := b.do("GET", "/api/products", nil); r.status != 401 {
		t.Errorf("without a session: %d", r.status)
	}
	state := decode[httpd.SessionState](b, b.do("GET", "/api/session", nil), 200)
	if state.Caller != "nobody" || !state.Required || !state.PasswordSet {
		t.Errorf("a stranger is told %+v", state)
	}
	b.problem(b.send("POST", "/api/session", `{"password":"correct horse batterz"}`), 401, importer.Unauthorized)
	r := b.send("POST", "/api/session", `{"password":"`+password+`"}`)
	state = decode[httpd.SessionState](b, r, 200)
	if state.Caller != importer.CallerSession || state.Scope != importer.ScopeAdmin || state.ExpiresAt == nil {
		t.Errorf("signed in: %+v", state)
	}
	header, set := b.cookie(r)
	if !set.HttpOnly || set.SameSite != http.SameSiteLaxMode || set.Path != "/" || set.Domain != "" || set.Secure || set.MaxAge <= 0 {
		t.Errorf("the cookie is %v", set)
	}
	if header == first {
		t.Error("two sessions have one secret")
	}
	again := b.send("POST", "/api/session", `{"password":"`+password+`"}`, "Cookie", header, "X-Forwarded-Proto", "https")
	third, secure := b.cookie(again)
	if third == header || !secure.Secure {
		t.Errorf("signing in again, behind TLS, gives %v", secure)
	}
	if r := b.do("GET", "/api/products", nil, "Cookie", header); r.status != 200 {
		t.Errorf("with the cookie: %d", r.status)
	}
	out := b.do("DELETE", "/api/session", nil, "Cookie", header)
	if _, gone := b.cookie(out); out.status != 204 || gone.MaxAge >= 0 {
		t.Errorf("sign out: %d, %v", out.status, gone)
	}
	if r := b.do("GET", "/api/products", nil, "Cookie", header); r.status != 401 {
		t.Errorf("a copy of the cookie after signing out: %d", r.status)
	}
	if r := b.do("DELETE", "/api/session", nil); r.status != 204 {
		t.Errorf("signing out without a session: %d", r.status)
	}
	if r := b.do("GET", "/api/products", nil, "Cookie", third); r.status != 200 {
		t.Errorf("another session: %d", r.status)
	}
}

func TestPasswordsAreNotGuessed(t *testing.T) {
	t.Parallel()
	b, _ := withPassword(t)
	limited := 0
	for range 12 {
		r := b.send("POST", "/api/session", `{"password":"wrong"}`)
		if r.status == 429 {
			limited++
		} else if r.status != 401 {
			t.Errorf("a wrong password: %d", r.status)
		}
	}
	if limited < 5 {
		t.Errorf("%d of 12 guesses were refused", limited)
	}
	b.problem(b.send("POST", "/api/session", `{"password":"`+password+`"}`), 429, importer.Limited) // else one could go on guessing

	// Signing in again and again counts for nothing.
	b, _ = withPassword(t)
	for i := range 8 {
		if r := b.send("POST", "/api/session", `{"password":"`+password+`"}`); r.status != 200 {
			t.Errorf("sign-in %d: %d", i+1, r.status)
		}
	}
}

func TestSetPassword(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.problem(b.send("POST", "/api/session", `{"password":"anything"}`), 409, importer.Conflict)
	for body, pointer := range map[string]string{`{"password":"elevenchars"}`: "/password", `{"password":"` + strings.Repeat("x", 201) + `"}`: "/password", `{}`: "/password"} {
		p := b.problem(b.send("PUT", "/api/password", body), 422, importer.Invalid)
		if len(p.Errors) == 0 || !strings.HasPrefix(pointer, p.Errors[0].Pointer) {
			t.Errorf("%.40s: errors %v", body, p.Errors)
		}
	}
	b, mine := withPassword(t)
	other, _ := b.cookie(b.send("POST", "/api/session", `{"password":"`+password+`"}`))
	for _, current := range []string{"", `"current":"wrong",`} {
		p := b.problem(b.send("PUT", "/api/password", `{`+current+`"password":"another long one"}`, "Cookie", mine), 422, importer.Invalid)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != "/current" {
			t.Errorf("%q: errors %v", current, p.Errors)
		}
	}
	if r := b.send("PUT", "/api/password", `{"current":"`+password+`","password":"another long one"}`, "Cookie", mine); r.status != 200 {
		t.Fatalf("change the password: %d %s", r.status, r.body)
	}
	for cookie, want := range map[string]int{mine: 200, other: 401} {
		if r := b.do("GET", "/api/products", nil, "Cookie", cookie); r.status != want {
			t.Errorf("a session after the change: %d, want %d", r.status, want)
		}
	}
	for given, want := range map[string]int{password: 401, "another long one": 200} {
		if r := b.send("POST", "/api/session", `{"password":"`+given+`"}`); r.status != want {
			t.Errorf("%q: %d, want %d", given, r.status, want)
		}
	}
	if !strings.HasPrefix(b.access.hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("the store has %.40q", b.access.hash)
	}
}

// The admin token signs in where no password is known, and sets a new one.
func TestAdminTokenSignsIn(t *testing.T) {
	t.Parallel()
	b := guarded(t)
	cookie, _ := b.cookie(b.send("POST", "/api/session", `{"password":"`+adminToken+`"}`))
	if r := b.do("GET", "/api/tokens", nil, "Cookie", cookie); r.status != 200 {
		t.Errorf("signed in with the admin token: %d", r.status)
	}
	b.problem(b.send("POST", "/api/session", `{"password":"another thing"}`), 401, importer.Unauthorized)
	if r := b.send("PUT", "/api/password", `{"password":"`+password+`"}`, "Cookie", cookie); r.status != 200 {
		t.Errorf("set the first password: %d", r.status)
	}
	if r := b.send("PUT", "/api/password", `{"password":"forgotten the old"}`, "Authorization", "Bearer "+adminToken); r.status != 200 {
		t.Errorf("set another one with the admin token: %d", r.status)
	}
}

func TestSessionsCanBeEnded(t *testing.T) {
	t.Parallel()
	b, mine := withPassword(t)
	lost, _ := b.cookie(b.send("POST", "/api/session", `{"password":"`+password+`"}`, "User-Agent", "Lost/1.0"))
	list := decode[httpd.SessionList](b, b.do("GET", "/api/sessions", nil, "Cookie", mine), 200)
	if len(list.Items) != 2 {
		t.Fatalf("%d sessions", len(list.Items))
	}
	for _, s := range list.Items {
		if s.Current != (s.Browser != "Lost/1.0") || s.Address != "127.0.0.1" {
			t.Errorf("listed as %+v", s)
		}
		if !s.Current {
			if r := b.do("DELETE", "/api/sessions/"+s.ID.String(), nil, "Cookie", mine); r.status != 204 {
				t.Errorf("end it: %d", r.status)
			}
		}
	}
	if r := b.do("GET", "/api/products", nil, "Cookie", lost); r.status != 401 {
		t.Errorf("the ended session: %d", r.status)
	}
	for _, id := range []string{"1", "0198c0de-7f3a-7000-8000-000000000001"} {
		b.problem(b.do("DELETE", "/api/sessions/"+id, nil, "Cookie", mine), 404, importer.NotFound)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	b, mine := withPassword(t)
	for _, c := range []struct{ body, pointer string }{
		{`{"name":" ","scope":"read"}`, "/name"},
		{`{"name":"` + strings.Repeat("ü", 101) + `","scope":"read"}`, "/name"},
		{`{"name":"a\nb","scope":"read"}`, "/name"},
		{`{"name":"a","scope":"everything"}`, "/scope"},
		{`{"name":"a","scope":"read","expires_at":"2020-01-01T00:00:00Z"}`, "/expires_at"},
	} {
		p := b.problem(b.send("POST", "/api/tokens", c.body, "Cookie", mine), 422, importer.Invalid)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != c.pointer {
			t.Errorf("%.60s: errors %v", c.body, p.Errors)
		}
	}
	made := decode[importer.Token](b, b.send("POST", "/api/tokens", `{"name":" nightly ","scope":"import"}`, "Cookie", mine), 201)
	if made.Name != "nightly" || !strings.HasPrefix(made.Token, "imp_") || len(made.Token) < 40 || !strings.HasSuffix(made.Token, made.Hint) {
		t.Errorf("made %+v", made)
	}
	r := b.do("GET", "/api/tokens", nil, "Cookie", mine)
	if list := decode[httpd.TokenList](b, r, 200); len(list.Items) != 1 || strings.Contains(string(r.body), made.Token) {
		t.Errorf("listed %s", r.body)
	}
	bearer := "Bearer " + made.Token
	for path, want := range map[string]int{"/api/products": 200, "/api/webhooks": 403, "/api/tokens": 403} {
		if r := b.do("GET", path, nil, "Authorization", bearer); r.status != want {
			t.Errorf("%s: %d, want %d", path, r.status, want)
		} else if want == 403 && !strings.Contains(r.header.Get("WWW-Authenticate"), `scope="admin"`) {
			t.Errorf("%s does not say what scope: %v", path, r.header)
		}
	}
	state := decode[httpd.SessionState](b, b.do("GET", "/api/session", nil, "Authorization", bearer), 200)
	if state.Caller != importer.CallerToken || state.Scope != importer.ScopeImport {
		t.Errorf("it is told %+v", state)
	}
	if r := b.do("DELETE", "/api/tokens/"+made.ID.String(), nil, "Cookie", mine); r.status != 204 {
		t.Errorf("revoke: %d", r.status)
	}
	if r := b.do("GET", "/api/products", nil, "Authorization", bearer); r.status != 401 {
		t.Errorf("the revoked token: %d", r.status)
	}
	b.problem(b.do("DELETE", "/api/tokens/"+made.ID.String(), nil, "Cookie", mine), 404, importer.NotFound)
}
