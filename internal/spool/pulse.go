package spool

import (
	"context"
	"io"
	"sync"

	"importer"
)

// pulse tells those who wait at a file's end that it has changed.
type pulse struct {
	mu      sync.Mutex
	grown   chan struct{} // closed and replaced at every change
	removed bool
}

func newPulse() *pulse { return &pulse{grown: make(chan struct{})} }

// signal wakes those who wait for the file to change.
func (p *pulse) signal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.grown)
	p.grown = make(chan struct{})
}

func (p *pulse) remove() {
	p.mu.Lock()
	p.removed = true
	p.mu.Unlock()
	p.signal()
}

// watch returns the signal of the next change, and whether the file is still
// there.
func (p *pulse) watch() (grown <-chan struct{}, removed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.grown, p.removed
}

// source reads for Append and remembers why it ended, apart from the errors
// of the storage.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) read(p []byte) int {
	if s.err = s.ctx.Err(); s.err != nil {
		return 0
	}
	var n int
	n, s.err = s.r.Read(p)
	return n
}

var (
	errBusy    = &importer.Error{Code: importer.Conflict, Message: "Another request is adding to this file at the moment."}
	errRemoved = &importer.Error{Code: importer.StorageLost, Message: "The uploaded file was removed; upload it again."}
)
