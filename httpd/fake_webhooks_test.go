package httpd_test

import (
	"context"
	"sync"

	"github.com/google/uuid"

	"importer"
)

// fakeSender sends nothing; it notes what it is asked.
type fakeSender struct {
	mu     sync.Mutex
	woken  int
	answer importer.Attempt
	err    error
}

func (f *fakeSender) TestWebhook(context.Context, uuid.UUID) (importer.Attempt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answer, f.err
}

func (f *fakeSender) WakeWebhooks() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.woken++
}

// wakes is how often it was woken since the last time.
func (f *fakeSender) wakes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.woken
	f.woken = 0
	return n
}

// noWebhooks is for tests that are about something else.
type noWebhooks struct{ importer.WebhookStore }
