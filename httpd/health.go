package httpd

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/rs/zerolog"
)

// healthz says that the process is alive; a platform restarts it otherwise.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, health{"ok", s.Version})
}

// readyz says whether requests should come here, and if not, what is missing.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	missing := s.missing(r.Context())
	if len(missing) > 0 {
		zerolog.Ctx(r.Context()).Warn().Strs("missing", missing).Msg("not ready")
		w.Header().Set("Retry-After", "2")
		writeJSON(w, http.StatusServiceUnavailable, readiness{"not ready", missing})
		return
	}
	writeJSON(w, http.StatusOK, readiness{"ready", []string{}})
}

type health struct {
	Status  string `json:"status"`
	Version string `json:"version"`
}

type readiness struct {
	Status  string   `json:"status"`
	Missing []string `json:"missing"`
}

func (s *Server) missing(ctx context.Context) []string {
	if s.sockets.draining() {
		return []string{"the server is shutting down"}
	}
	if s.Ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return s.Ready(ctx)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nothing to tell it
}
