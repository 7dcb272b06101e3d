package httpd

import (
	"context"
	"time"

	"github.com/google/uuid"

	"importer"
)

// Status is how things stand: with the machine that answers, and with the
// database that it shares with the others.
type Status struct {
	Version   string    `json:"version" doc:"Of the program on the machine that answers."`
	Commit    string    `json:"commit" doc:"What it was built from; empty when that is not known."`
	Machine   uuid.UUID `json:"machine" format:"uuid" doc:"The id of the machine that answers."`
	StartedAt time.Time `json:"started_at" doc:"When it was started."`
	Uptime    int64     `json:"uptime_s" doc:"Seconds since then."`

	Machines  []importer.Machine       `json:"machines" nullable:"false" doc:"Processes on this database, newest first. One that ended without a word is listed for an hour."`
	Imports   map[importer.State]int64 `json:"imports" doc:"Number of imports by state."`
	QueuedFor float64                  `json:"queued_for_s" doc:"How long the queued import has waited that waits longest, in seconds; 0 for none."`
	Indexing  importer.Indexing        `json:"indexing"`
	Webhooks  WebhookStatus            `json:"webhooks"`
	Database  DatabaseStatus           `json:"database"`
	Disk      DiskStatus               `json:"disk"`
	Sockets   SocketStatus             `json:"sockets"`
}

// WebhookStatus is what webhooks have still to be sent.
type WebhookStatus struct {
	Pending    int64   `json:"pending" doc:"Deliveries that wait for their first or next attempt; 100,000 stands for that many or more."`
	OverdueFor float64 `json:"overdue_for_s" doc:"How long the delivery is overdue that is so longest, in seconds, where the receiver does not fail; 0 for none."`
}

// DiskStatus is the room for uploads.
type DiskStatus struct {
	Free  uint64 `json:"free" doc:"Bytes left on the disk with the data directory of the machine that answers."`
	Total uint64 `json:"total" doc:"Bytes in all; 0 when that cannot be found out."`
}

// DatabaseStatus tells of the database.
type DatabaseStatus struct {
	Version string `json:"version" doc:"Of PostgreSQL."`
	Bytes   int64  `json:"bytes" doc:"Size on disk, indexes included."`
}

// SocketStatus is what there is of WebSockets on the machine that answers.
type SocketStatus struct {
	Open        int   `json:"open" doc:"Connections."`
	QueuedBytes int64 `json:"queued_bytes" doc:"Bytes of events that wait for their clients."`
}

func (s *Server) status(ctx context.Context, _ *struct{}) (*body[Status], error) {
	store, err := s.Options.Status.Status(ctx)
	if err != nil {
		return nil, err
	}
	if store.Machines == nil {
		store.Machines = []importer.Machine{}
	}
	return &body[Status]{Status{
		Version: s.Version, Commit: s.Commit, Machine: s.Node,
		StartedAt: s.started.UTC(), Uptime: int64(s.Now().Sub(s.started).Seconds()),
		Machines: store.Machines, Imports: store.Imports, QueuedFor: store.QueuedFor.Seconds(), Indexing: store.Indexing,
		Webhooks: WebhookStatus{store.Webhooks.Pending, store.Webhooks.OverdueFor.Seconds()},
		Database: DatabaseStatus{store.Version, store.Bytes}, Disk: s.disk(), Sockets: s.SocketStatus(),
	}}, nil
}

func (s *Server) disk() (d DiskStatus) {
	if s.Room == nil {
		return d
	}
	free, total, err := s.Room()
	if err != nil {
		return d
	}
	return DiskStatus{free, total}
}

// SocketStatus counts the connections.
func (s *Server) SocketStatus() SocketStatus { return s.sockets.status() }

func (s *sockets) status() SocketStatus {
	s.mu.Lock()
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	status := SocketStatus{Open: len(conns)}
	for _, c := range conns {
		status.QueuedBytes += int64(c.out.waiting())
	}
	return status
}
