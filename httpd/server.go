// Package httpd is the program's face on the network: the REST API, uploads,
// the WebSocket and the dashboard's files. cmd/importer makes one Server and
// hands it a listener. routes.go shows every route on one page.
//
// httpd turns requests into calls of the ports in the root package and errors
// into answers; it holds no rule of the domain, keeps no state but the open
// sockets and uploads, and never sees SQL or an actor.
package httpd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"importer"
)

// Options is what a Server is made of. Fields without a default are required,
// Web, Ready, Room and Observe excepted.
type Options struct {
	Imports  importer.ImportStore
	Products importer.ProductStore
	Webhooks importer.WebhookStore
	Events   importer.EventLog
	Status   importer.StatusStore
	Access   importer.AccessStore
	Importer importer.Importer
	Hub      importer.Hub

	WebhookSender importer.WebhookSender

	Spool     importer.Spool
	Node      uuid.UUID // owner of the uploads that arrive here
	MaxUpload int64     // bytes

	AdminToken     string // opens everything; empty: there is none
	ClientIPHeader string // in which a proxy says who asks, such as X-Forwarded-For; empty: there is no proxy

	Web     http.Handler                           // everything outside /api, /ws and health
	Ready   func(context.Context) []string         // what is missing to be ready, a sentence each; nil means nothing ever
	Room    func() (free, total uint64, err error) // of the disk with the data directory, in bytes; nil: nobody knows
	Observe Observer                               // nil: nobody
	Log     zerolog.Logger
	Now     func() time.Time // default time.Now
	Version string
	Commit  string // what it was built from; may be empty

	HeaderTime    time.Duration // for the header of a request to arrive; default 10 s
	AnswerTime    time.Duration // for the body of an ordinary request to arrive, and for its answer, or a part of a long one, to be taken; default a minute
	UploadIdle    time.Duration // how long an upload may send nothing; default a minute
	StorePatience time.Duration // how long a whole upload waits for a database that is away; default 30 s
	Socket        SocketOptions
}

// The limits of a connection that are not those of a route.
const (
	headerTime    = 10 * time.Second
	answerTime    = time.Minute
	idleTime      = 2 * time.Minute // between two requests
	uploadIdle    = time.Minute
	storePatience = 30 * time.Second
	maxHeader     = 1<<20 + 32<<10 // bytes
)

// Server answers requests until Shutdown.
type Server struct {
	Options
	http        *http.Server
	started     time.Time
	access      *access
	sockets     *sockets
	transfers   transfers
	idempotency idempotency
}

// New checks the options and builds the routes.
func New(o Options) (*Server, error) {
	var missing []error
	for name, there := range map[string]bool{
		"Imports": o.Imports != nil, "Products": o.Products != nil, "Events": o.Events != nil, "Status": o.Status != nil, "Access": o.Access != nil,
		"Importer": o.Importer != nil, "Hub": o.Hub != nil, "Webhooks": o.Webhooks != nil, "WebhookSender": o.WebhookSender != nil,
		"Spool": o.Spool != nil, "Node": o.Node != uuid.Nil, "MaxUpload": o.MaxUpload > 0,
	} {
		if !there {
			missing = append(missing, fmt.Errorf("httpd: Options.%s is missing", name))
		}
	}
	if err := errors.Join(missing...); err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.HeaderTime = cmp.Or(o.HeaderTime, headerTime)
	o.AnswerTime = cmp.Or(o.AnswerTime, answerTime)
	o.UploadIdle = cmp.Or(o.UploadIdle, uploadIdle)
	o.StorePatience = cmp.Or(o.StorePatience, storePatience)
	if o.Observe == nil {
		o.Observe = unobserved{}
	}
	who := newAccess(o.Access, o.AdminToken, o.Now)
	s := &Server{Options: o, started: o.Now(), access: who, sockets: newSockets(o.Socket.withDefaults(), o.Hub, who, o.Observe, o.Log)}
	routes, err := s.routes()
	if err != nil {
		return nil, err
	}
	s.http = &http.Server{
		Handler: s.middleware(routes),
		// No ReadTimeout and WriteTimeout: uploads and exports take as long as
		// they take. The middleware and they set deadlines of their own.
		ReadHeaderTimeout: o.HeaderTime,
		IdleTimeout:       idleTime,
		// net/http answers what is larger with a line of text. A megabyte of a
		// filter still gets the problem that says what is too long.
		MaxHeaderBytes: maxHeader,
		ErrorLog:       log.New(o.Log.With().Str("from", "net/http").Logger(), "", 0),
	}
	return s, nil
}

// Handler returns all routes with their middleware.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// Serve accepts connections until Shutdown, then returns nil. Requests have
// the values of ctx but do not end with it: ending them in order is what
// Shutdown is for.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.http.BaseContext = func(net.Listener) context.Context { return context.WithoutCancel(ctx) }
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Unready makes /readyz say no and /ws refuse whoever comes, while everything
// else goes on: the first step of a shutdown, so that a proxy looks elsewhere.
func (s *Server) Unready() { s.sockets.close() }

// Shutdown stops accepting, says bye to the sockets and waits for requests to
// end. What is left when ctx ends is dropped; an upload in parts goes on when
// the server is back.
func (s *Server) Shutdown(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.sockets.drain(ctx)
	}()
	err := s.http.Shutdown(ctx)
	<-done
	if err != nil {
		err = errors.Join(fmt.Errorf("wait for requests: %w", err), s.http.Close())
	}
	return err
}
