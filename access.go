package importer

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Scope is what a caller may do. Each includes those before it.
type Scope string

// The scopes, from least to most.
const (
	ScopeRead   Scope = "read"   // look at products and imports, and follow them live
	ScopeImport Scope = "import" // upload files, cancel imports and try them again
	ScopeWrite  Scope = "write"  // change and delete products
	ScopeAdmin  Scope = "admin"  // everything: webhooks, tokens, sessions and the password, too
)

// Scopes lists them, from least to most.
func Scopes() []Scope { return []Scope{ScopeRead, ScopeImport, ScopeWrite, ScopeAdmin} }

// Includes reports whether who has s may do what other asks for.
func (s Scope) Includes(other Scope) bool {
	mine, wanted := slices.Index(Scopes(), s), slices.Index(Scopes(), other)
	return mine >= wanted && wanted >= 0
}

// TopicScope is the scope that following a topic takes.
func TopicScope(topic string) Scope {
	if topic == TopicWebhooks {
		return ScopeAdmin
	}
	return ScopeRead
}

// CallerKind is how a caller was recognised.
type CallerKind string

// The kinds of callers.
const (
	CallerAnybody    CallerKind = "anybody"     // no credentials are set up, and this machine asks
	CallerAdminToken CallerKind = "admin_token" // the one of the settings
	CallerSession    CallerKind = "session"     // somebody who has signed in
	CallerToken      CallerKind = "token"       // a program with an API token
)

// Caller is who makes a request.
type Caller struct {
	Kind    CallerKind
	ID      uuid.UUID // of the session or the token
	Name    string    // of the token
	Scope   Scope
	Expires time.Time // zero: never
}

// Secret is the SHA-256 of something random that only its owner has: the
// database never sees more of it. What is random needs no slow hash.
type Secret [32]byte

// Session is a browser that has signed in.
type Session struct {
	ID        uuid.UUID `json:"id"` // v7; it opens nothing
	CreatedAt time.Time `json:"created_at"`
	SeenAt    time.Time `json:"seen_at"`    // up to a minute before the last request
	ExpiresAt time.Time `json:"expires_at"` // if nothing is asked until then, and at the latest
	Address   string    `json:"address"`    // it signed in from
	Browser   string    `json:"browser"`    // its User-Agent, cut to 200 bytes
	Current   bool      `json:"current"`    // it is the one that asks
}

// How long a session lasts (OWASP, Session Management).
const (
	SessionIdle = 24 * time.Hour      // without a request
	SessionLife = 14 * 24 * time.Hour // in any case
	TicketLife  = 30 * time.Second
)

// MaxTokens is how many API tokens there may be.
const MaxTokens = 200

// Token is an API token of a program, without what opens the door.
type Token struct {
	ID         uuid.UUID  `json:"id"` // v7
	Name       string     `json:"name"`
	Scope      Scope      `json:"scope"`
	Hint       string     `json:"hint"` // its last four characters
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at"` // up to a minute before the last request
	ExpiresAt  *time.Time `json:"expires_at"`   // null: never

	Token string `json:"token,omitempty"` // in the answer to its creation only
}

// AccessStore keeps who may come in. What is not there, has expired or was
// revoked is an Error with the code Unauthorized; with NotFound where it is
// named by its id.
type AccessStore interface {
	// Password is the hash of the password that people sign in with; "" when
	// none was set. SetPassword ends all sessions but keep.
	Password(ctx context.Context) (hash string, err error)
	SetPassword(ctx context.Context, hash string, keep uuid.UUID) error

	// StartSession and CreateToken take what is shown of them and the secret
	// that opens them. UseSession and UseToken find and prolong by it.
	StartSession(ctx context.Context, s Session, secret Secret) (Session, error)
	UseSession(ctx context.Context, secret Secret) (Session, error)
	Sessions(ctx context.Context) ([]Session, error) // newest first
	EndSession(ctx context.Context, id uuid.UUID) error

	CreateToken(ctx context.Context, t Token, secret Secret) (Token, error)
	UseToken(ctx context.Context, secret Secret) (Token, error)
	Tokens(ctx context.Context) ([]Token, error) // newest first
	RevokeToken(ctx context.Context, id uuid.UUID) error

	// CreateTicket lets whoever brings the secret be the caller once, within
	// TicketLife.
	CreateTicket(ctx context.Context, c Caller, secret Secret) (expires time.Time, err error)
	UseTicket(ctx context.Context, secret Secret) (Caller, error)

	// Holds reports whether the session or token of a caller is still good.
	Holds(ctx context.Context, c Caller) (bool, error)
}
