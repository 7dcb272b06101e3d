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
	SeenAt    time.Time `json:"seen_at"` // its last sign of life
	Alive     bool      `json:"alive"`   // seen within MachineGone
	Imports   int64     `json:"imports"` // whose lease it holds
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
	Bytes     int64  // size of the database
	Version   string // of the database server
}

// StatusStore says how things stand. db implements it.
type StatusStore interface {
	Status(ctx context.Context) (StoreStatus, error)
}
