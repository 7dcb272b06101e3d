package httpd_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"importer"
)

// fakeAccess keeps who may come in in memory, without ends of their own.
type fakeAccess struct {
	mu       sync.Mutex
	hash     string
	away     error // the database's, when it is
	sessions map[importer.Secret]importer.Session
	tokens   map[importer.Secret]importer.Token
	tickets  map[importer.Secret]importer.Caller
}

func newFakeAccess() *fakeAccess {
	return &fakeAccess{sessions: map[importer.Secret]importer.Session{}, tokens: map[importer.Secret]importer.Token{}, tickets: map[importer.Secret]importer.Caller{}}
}

var errStranger = importer.Errorf(importer.Unauthorized, "These credentials are not known here.")

func (f *fakeAccess) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = err
}

func (f *fakeAccess) Password(context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hash, f.away
}

func (f *fakeAccess) SetPassword(_ context.Context, hash string, keep uuid.UUID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hash = hash
	for secret, s := range f.sessions {
		if s.ID != keep {
			delete(f.sessions, secret)
		}
	}
	return f.away
}

func (f *fakeAccess) StartSession(_ context.Context, s importer.Session, secret importer.Secret) (importer.Session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.ID, s.CreatedAt, s.SeenAt, s.ExpiresAt = uuid.New(), time.Now().UTC(), time.Now().UTC(), time.Now().UTC().Add(importer.SessionIdle)
	f.sessions[secret] = s
	return s, f.away
}

func (f *fakeAccess) UseSession(_ context.Context, secret importer.Secret) (importer.Session, error) {
	return use(f, f.sessions, secret)
}

func use[T any](f *fakeAccess, known map[importer.Secret]T, secret importer.Secret) (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, ok := known[secret]
	if f.away != nil {
		return v, f.away
	}
	if !ok {
		return v, errStranger
	}
	return v, nil
}

func (f *fakeAccess) Sessions(context.Context) (list []importer.Session, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sessions {
		list = append(list, s)
	}
	return list, f.away
}

func (f *fakeAccess) EndSession(_ context.Context, id uuid.UUID) error {
	return take(f, f.sessions, func(s importer.Session) bool { return s.ID == id })
}

func take[T any](f *fakeAccess, known map[importer.Secret]T, is func(T) bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for secret, v := range known {
		if is(v) {
			delete(known, secret)
			return nil
		}
	}
	return importer.Errorf(importer.NotFound, "There is no such thing.")
}

func (f *fakeAccess) CreateToken(_ context.Context, t importer.Token, secret importer.Secret) (importer.Token, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t.ID, t.CreatedAt = uuid.New(), time.Now().UTC()
	f.tokens[secret] = t
	return t, f.away
}

func (f *fakeAccess) UseToken(_ context.Context, secret importer.Secret) (importer.Token, error) {
	return use(f, f.tokens, secret)
}

func (f *fakeAccess) Tokens(context.Context) (list []importer.Token, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.tokens {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b importer.Token) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return list, f.away
}

func (f *fakeAccess) RevokeToken(_ context.Context, id uuid.UUID) error {
	return take(f, f.tokens, func(t importer.Token) bool { return t.ID == id })
}

func (f *fakeAccess) CreateTicket(_ context.Context, c importer.Caller, secret importer.Secret) (time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tickets[secret] = c
	return time.Now().UTC().Add(importer.TicketLife), f.away
}

func (f *fakeAccess) UseTicket(_ context.Context, secret importer.Secret) (importer.Caller, error) {
	c, err := use(f, f.tickets, secret)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.tickets, secret)
	return c, err
}

func (f *fakeAccess) Holds(_ context.Context, c importer.Caller) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sessions {
		if c.Kind == importer.CallerSession && s.ID == c.ID {
			return true, f.away
		}
	}
	for _, t := range f.tokens {
		if c.Kind == importer.CallerToken && t.ID == c.ID {
			return true, f.away
		}
	}
	return false, f.away
}
