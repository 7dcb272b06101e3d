package actors

import (
	"context"
	"sync"
)

// slot is the right to have one delivery under way, from the beginning of its
// request until its result is saved. So what may be sent twice after a crash
// is never more than there are slots, and while the store is away sending
// stops by itself.
type slot struct {
	of chan struct{} // holds as many as are taken

	mu          sync.Mutex
	taken, over bool
}

// take waits for a free one. It reports false when ctx has ended or the slot
// was freed meanwhile.
func (s *slot) take(ctx context.Context) bool {
	select {
	case s.of <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		<-s.of
		return false
	}
	s.taken = true
	return true
}

// free gives it back; it may come before take, and again.
func (s *slot) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken {
		<-s.of
	}
	s.taken, s.over = false, true
}
