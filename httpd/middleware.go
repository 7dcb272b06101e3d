package httpd

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"importer"
)

// middleware wraps all routes: who asks, what came of it, and what holds for
// every answer.
func (s *Server) middleware(sf *surface) http.Handler {
	// Browsers send requests that change something from any page they show;
	// only our own pages may.
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fail(w, r, importer.Errorf(importer.Forbidden, "Another site's page may not do this."))
	}))
	next := s.admit(sf, guard.Handler(sf.mux))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := s.Now()
		id := incomingID(r)
		log := s.Log.With().Str("request_id", id).Logger()
		v := &visit{id: id, address: addressOf(r, s.ClientIPHeader), secure: isTLS(r), browser: r.UserAgent()}
		r = r.WithContext(context.WithValue(log.WithContext(r.Context()), visitKey{}, v))
		answer := &recorder{ResponseWriter: w}
		answer.Header().Set("X-Request-Id", id)
		setHeaders(answer.Header(), r, v.secure)
		control := http.NewResponseController(w)
		if r.ContentLength != 0 {
			// Only then: a deadline that passes while a long answer is sent
			// would end the request.
			_ = control.SetReadDeadline(time.Now().Add(s.AnswerTime))
		}
		_ = control.SetWriteDeadline(time.Now().Add(s.AnswerTime))
		defer func() {
			if v := recover(); v != nil {
				recovered(answer, r, v)
			}
			s.logAccess(r, answer, began)
			s.Observe.Answered(routeOf(r), answer.status, s.Now().Sub(began))
		}()
		next.ServeHTTP(answer, r)
	})
}

// recovered answers for a handler that panicked. http.ErrAbortHandler is how
// a handler cuts an answer short on purpose; net/http deals with it.
func recovered(answer *recorder, r *http.Request, v any) {
	if v == http.ErrAbortHandler {
		panic(v)
	}
	zerolog.Ctx(r.Context()).Error().Bytes("stack", debug.Stack()).Msgf("handler panicked: %v", v)
	if answer.status != 0 {
		panic(http.ErrAbortHandler) // half an answer is out: let the client see that it broke off
	}
	fail(answer, r, fmt.Errorf("panic: %v", v))
}

func (s *Server) logAccess(r *http.Request, answer *recorder, began time.Time) {
	log := zerolog.Ctx(r.Context())
	event := log.Info()
	if isStatic(r) || isProbe(r) {
		event = log.Debug()
	}
	if id, err := uuid.Parse(r.PathValue("id")); err == nil && importRoute(r.Pattern) {
		event.Stringer("import_id", id)
	}
	event.Str("method", r.Method).Str("path", r.URL.Path).Int("status", answer.status).
		Int64("bytes", answer.bytes).Dur("took", s.Now().Sub(began)).Stringer("remote", visitOf(r.Context()).address).Msg("request")
}

// importRoute reports whether the {id} of a route is that of an import.
func importRoute(pattern string) bool {
	_, path, _ := strings.Cut(pattern, " ")
	return strings.HasPrefix(path, "/api/imports/") || strings.HasPrefix(path, "/api/uploads/")
}

func isStatic(r *http.Request) bool {
	return r.URL.Path != "/ws" && !strings.HasPrefix(r.URL.Path, "/api/") && !isProbe(r)
}

func isProbe(r *http.Request) bool { return r.URL.Path == "/healthz" || r.URL.Path == "/readyz" }

// incomingID keeps the id that a proxy gave the request, if it is one.
func incomingID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	plain := !strings.ContainsFunc(id, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' && c != '.'
	})
	if plain && len(id) >= 8 && len(id) <= 64 {
		return id
	}
	return uuid.NewString()
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int // 0 until the answer has begun
	bytes  int64
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController and the WebSocket reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
