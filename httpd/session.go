package httpd

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"github.com/google/uuid"

	"importer"
)

// SessionState says who asks.
type SessionState struct {
	Required    bool                `json:"required" doc:"Requests have to bring credentials."`
	PasswordSet bool                `json:"password_set" doc:"There is a password to sign in with."`
	Caller      importer.CallerKind `json:"caller" enum:"anybody,admin_token,session,token,nobody" doc:"How the request was recognised; nobody: it was not. anybody: no credentials are set up."`
	Scope       importer.Scope      `json:"scope,omitempty" enum:"read,import,write,admin" doc:"What it may do."`
	ExpiresAt   *time.Time          `json:"expires_at,omitempty" doc:"The end of the session if nothing is asked until then, or of the token."`
}

type sessionAnswer struct {
	SetCookie []http.Cookie `header:"Set-Cookie"`
	Body      SessionState
}

func (s *Server) session(ctx context.Context, _ *struct{}) (*sessionAnswer, error) {
	state, err := s.sessionState(ctx, visitOf(ctx).caller)
	return &sessionAnswer{Body: state}, err
}

func (s *Server) sessionState(ctx context.Context, c importer.Caller) (SessionState, error) {
	hash, err := s.Access.Password(ctx)
	if err != nil {
		return SessionState{}, err
	}
	state := SessionState{Required: hash != "" || s.AdminToken != "", PasswordSet: hash != "", Caller: c.Kind, Scope: c.Scope}
	if c.Kind == "" {
		state.Caller = "nobody"
	}
	if !c.Expires.IsZero() {
		state.ExpiresAt = &c.Expires
	}
	return state, nil
}

type signIn struct {
	Body struct {
		Password string `json:"password" minLength:"1" maxLength:"1000" doc:"The password, or the server's admin token."`
	}
}

// signIn begins a session, under a secret of its own each time: one that
// somebody has planted in the browser before opens nothing (OWASP, session
// fixation).
func (s *Server) signIn(ctx context.Context, in *signIn) (*sessionAnswer, error) {
	if err := s.access.checkPassword(ctx, visitOf(ctx), in.Body.Password, "The password is wrong."); err != nil {
		return nil, err
	}
	return s.startSession(ctx)
}

func (s *Server) startSession(ctx context.Context) (*sessionAnswer, error) {
	v := visitOf(ctx)
	text := newSecret("")
	begun, err := s.Access.StartSession(ctx, importer.Session{Address: v.address.String(), Browser: cut(v.browser, 200)}, hashed(text))
	if err != nil {
		return nil, err
	}
	state, err := s.sessionState(ctx, importer.Caller{Kind: importer.CallerSession, ID: begun.ID, Scope: importer.ScopeAdmin, Expires: begun.ExpiresAt})
	cookie := sessionCookie(v, text, int(importer.SessionLife/time.Second))
	return &sessionAnswer{SetCookie: []http.Cookie{cookie}, Body: state}, err
}

type cookieAnswer struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
}

func (s *Server) signOut(ctx context.Context, _ *struct{}) (*cookieAnswer, error) {
	v := visitOf(ctx)
	if v.caller.Kind == importer.CallerSession {
		if err := s.Access.EndSession(ctx, v.caller.ID); err != nil && importer.ErrorCode(err) != importer.NotFound {
			return nil, err
		}
	}
	return &cookieAnswer{sessionCookie(v, "", -1)}, nil
}

type setPassword struct {
	Body struct {
		Current  string `json:"current,omitempty" maxLength:"1000" doc:"The password that is to be changed, or the admin token. Not needed while there is none, nor with the admin token as the credentials."`
		Password string `json:"password" maxLength:"200" doc:"The new one: 12 to 200 characters. Length counts, not their kinds."`
	}
}

const leastPassword = 12 // characters

// setPassword signs out every browser but the one that asks.
func (s *Server) setPassword(ctx context.Context, in *setPassword) (*sessionAnswer, error) {
	if utf8.RuneCountInString(in.Body.Password) < leastPassword {
		return nil, &importer.Error{Code: importer.Invalid, Message: "The password is too short.",
			Fields: []importer.FieldError{{Pointer: "/password", Detail: "has to have 12 characters at least"}}}
	}
	v := visitOf(ctx)
	old, err := s.Access.Password(ctx)
	if err != nil {
		return nil, err
	}
	if old != "" && v.caller.Kind != importer.CallerAdminToken {
		err := s.access.checkPassword(ctx, v, in.Body.Current, "")
		if importer.ErrorCode(err) == importer.Unauthorized {
			return nil, &importer.Error{Code: importer.Invalid, Message: "The current password is wrong.",
				Fields: []importer.FieldError{{Pointer: "/current", Detail: "is not the current password"}}}
		}
		if err != nil {
			return nil, err
		}
	}
	hash, err := s.access.hash(ctx, in.Body.Password)
	if err != nil {
		return nil, err
	}
	keep := uuid.Nil
	if v.caller.Kind == importer.CallerSession {
		keep = v.caller.ID
	}
	if err := s.Access.SetPassword(ctx, hash, keep); err != nil {
		return nil, err
	}
	s.access.passwordIsSet()
	if v.caller.Kind == importer.CallerAnybody {
		return s.startSession(ctx) // whoever set it should not be asked for it next
	}
	return s.session(ctx, nil)
}

// The parameters of argon2id that OWASP recommends first (Password Storage
// Cheat Sheet): 19 MiB, two passes, one lane.
var hashing = argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

func (a *access) hash(ctx context.Context, password string) (string, error) {
	if err := a.awaitHashing(ctx); err != nil {
		return "", err
	}
	defer func() { <-a.hashing }()
	return argon2id.CreateHash(password, &hashing)
}

// checkPassword compares with the password and the admin token. Each try
// counts before it is looked at, for a comparison is what costs; a right one
// is given back.
func (a *access) checkPassword(ctx context.Context, v *visit, given, wrong string) error {
	from := network(v.address).String()
	if wait := a.guesses.take(from, a.now()); wait > 0 {
		return tooOften(wait, "The password was wrong too often.")
	}
	right, err := a.isPassword(ctx, given)
	if right || err != nil {
		a.guesses.giveBack(from, a.now())
	}
	if !right && err == nil {
		return importer.Errorf(importer.Unauthorized, "%s", wrong)
	}
	return err
}

func (a *access) isPassword(ctx context.Context, given string) (bool, error) {
	if a.isAdminToken(given) {
		return true, nil
	}
	hash, err := a.store.Password(ctx)
	switch {
	case err != nil:
		return false, err
	case hash == "" && a.admin == nil:
		return false, importer.Errorf(importer.Conflict, "This server has no password yet: nobody has to sign in.")
	case hash == "":
		return false, nil
	}
	if err := a.awaitHashing(ctx); err != nil {
		return false, err
	}
	defer func() { <-a.hashing }()
	return argon2id.ComparePasswordAndHash(given, hash)
}

func (a *access) awaitHashing(ctx context.Context) error {
	select {
	case a.hashing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *access) passwordIsSet() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answered, a.set = true, true
}

// sessionSecret is that of the cookie. On /ws a browser always names the page
// that connects; without that name the cookie counts for nothing.
func sessionSecret(r *http.Request) (importer.Secret, bool) {
	cookie, err := r.Cookie(cookieName)
	if err != nil || cookie.Value == "" || r.URL.Path == "/ws" && r.Header.Get("Origin") == "" {
		return importer.Secret{}, false
	}
	return hashed(cookie.Value), true
}

// sessionCookie lasts for some seconds; less than 0 deletes it.
func sessionCookie(v *visit, value string, seconds int) http.Cookie {
	return http.Cookie{Name: cookieName, Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, Secure: v.secure, SameSite: http.SameSiteLaxMode} //nolint:gosec // Secure wherever there is TLS
}

// cut shortens a text to some bytes.
func cut(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "")
}

// newSecret is 256 random bits behind a prefix.
func newSecret(prefix string) string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}

func hashed(text string) importer.Secret { return sha256.Sum256([]byte(text)) }
