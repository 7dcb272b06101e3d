package importer

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Machine is one running process of the program on the database. A process
// that is restarted is a new machine.
type Machine struct {
	ID        uuid.UUID `json:"id"`
	Name      string    `json:"name"` // of its host
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
	SeenAt    time.Time `json:"seen_at"`  // its last sign of life
	Alive     bool      `json:"alive"`    // seen within MachineGone
	Imports   int64     `json:"imports"`  // whose lease it holds
	Leases    []Lease   `json:"leases"`   // some of them, at least; never nil
	Webhooks  int64     `json:"webhooks"` // that it sends to at the moment
}

// Lease is an import that a machine works on.
type Lease struct {
	ImportID uuid.UUID `json:"import_id"`
	Filename string    `json:"filename"`
	State    State     `json:"state"`
}

// Backlog is what webhooks have still to be sent.
type Backlog struct {
	Pending    int64         // deliveries; MaxBacklog stands for that many or more
	OverdueFor time.Duration // how long the one waits beyond its time that waits longest, where nothing fails; 0 for none
}

const (
	// MachineEvery is how often a machine gives a sign of life.
	MachineEvery = 10 * time.Second
	// MachineGone is how long after the last one it counts as gone. Nothing
	// hangs on it: the work of a machine is taken over by its leases.
	MachineGone = 3 * MachineEvery
)

// StoreStatus is what the store knows of how things stand.
type StoreStatus struct {
	Imports   map[State]int64 // every state has an entry
	QueuedFor time.Duration   // how long the import has waited that waits longest; 0 for none
	Machines  []Machine       // newest first, those that are gone for a while
	Indexing  Indexing
	Webhooks  Backlog
	Bytes     int64  // size of the database
	Version   string // of the database server
}

// MaxBacklog is how far Backlog.Pending counts.
const MaxBacklog = 100_000

// StatusStore says how things stand. db implements it.
type StatusStore interface {
	Status(ctx context.Context) (StoreStatus, error)
}
