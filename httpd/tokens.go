package httpd

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"importer"
)

// SessionList is all sessions there are.
type SessionList struct {
	Items []importer.Session `json:"items"`
}

func (s *Server) listSessions(ctx context.Context, _ *struct{}) (*body[SessionList], error) {
	list, err := s.Access.Sessions(ctx)
	if err != nil {
		return nil, err
	}
	caller := visitOf(ctx).caller
	for i := range list {
		list[i].Current = caller.Kind == importer.CallerSession && list[i].ID == caller.ID
	}
	return &body[SessionList]{SessionList{append([]importer.Session{}, list...)}}, nil
}

// AccessID is the id in a path. It is exported for huma, which looks into it.
type AccessID struct {
	ID string `path:"id" doc:"Its id (UUID)."`
}

func (s *Server) endSession(ctx context.Context, in *AccessID) (*struct{}, error) {
	return nil, byID(ctx, in, "session", s.Access.EndSession)
}

// byID does something to what an id names. What is no UUID names nothing.
func byID(ctx context.Context, in *AccessID, what string, f func(context.Context, uuid.UUID) error) error {
	id, err := uuid.Parse(in.ID)
	if err != nil {
		return importer.Errorf(importer.NotFound, "There is no %s %q.", what, shortened(in.ID))
	}
	return f(ctx, id)
}

// TokenList is all tokens there are.
type TokenList struct {
	Items []importer.Token `json:"items"`
}

func (s *Server) listTokens(ctx context.Context, _ *struct{}) (*body[TokenList], error) {
	list, err := s.Access.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	return &body[TokenList]{TokenList{append([]importer.Token{}, list...)}}, nil
}

type createToken struct {
	Body struct {
		Name      string         `json:"name" doc:"For people: whose it is. Up to 100 characters."`
		Scope     importer.Scope `json:"scope" enum:"read,import,write,admin" doc:"What it may do; each includes those before it. read: look and follow. import: upload, cancel, retry. write: change and delete products. admin: everything."`
		ExpiresAt *time.Time     `json:"expires_at,omitempty" doc:"Not given: never."`
	}
}

type createdToken struct {
	Body importer.Token
}

const longestName = 100 // characters

// createToken answers with the token; nobody can have it shown again.
func (s *Server) createToken(ctx context.Context, in *createToken) (*createdToken, error) {
	name := strings.TrimSpace(in.Body.Name)
	var wrong []importer.FieldError
	switch {
	case name == "":
		wrong = append(wrong, importer.FieldError{Pointer: "/name", Detail: "is empty"})
	case utf8.RuneCountInString(name) > longestName:
		wrong = append(wrong, importer.FieldError{Pointer: "/name", Detail: "is over 100 characters"})
	case strings.ContainsFunc(name, unicode.IsControl):
		wrong = append(wrong, importer.FieldError{Pointer: "/name", Detail: "has a control character in it"})
	}
	if at := in.Body.ExpiresAt; at != nil && !at.After(s.Now()) {
		wrong = append(wrong, importer.FieldError{Pointer: "/expires_at", Detail: "is in the past"})
	}
	if len(wrong) > 0 {
		return nil, &importer.Error{Code: importer.Invalid, Message: "The token cannot be created like this.", Fields: wrong}
	}
	text := newSecret(tokenStart)
	t, err := s.Access.CreateToken(ctx, importer.Token{Name: name, Scope: in.Body.Scope, Hint: text[len(text)-4:], ExpiresAt: in.Body.ExpiresAt}, hashed(text))
	if err != nil {
		return nil, err
	}
	t.Token = text
	return &createdToken{t}, nil
}

func (s *Server) revokeToken(ctx context.Context, in *AccessID) (*struct{}, error) {
	return nil, byID(ctx, in, "token", s.Access.RevokeToken)
}

// Ticket opens one WebSocket.
type Ticket struct {
	Ticket    string    `json:"ticket" doc:"For the address: /ws?ticket=…"`
	ExpiresAt time.Time `json:"expires_at"`
}

// createTicket is for pages of other sites, whose WebSocket can send neither a
// header nor our cookie: their own server gets one with its token and hands it
// on.
func (s *Server) createTicket(ctx context.Context, _ *struct{}) (*body[Ticket], error) {
	text := newSecret("")
	expires, err := s.Access.CreateTicket(ctx, visitOf(ctx).caller, hashed(text))
	if err != nil {
		return nil, err
	}
	return &body[Ticket]{Ticket{text, expires}}, nil
}
