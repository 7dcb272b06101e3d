package actors

import (
	"context"
	"sync"
	"time"
)

// slot is the right to have one delivery under way, from the beginning of its
// request until its result is saved. So what may be sent twice after a crash
// is never more than there are slots, and while the store is away sending
// stops by itself.
//
// A request that is not answered within lingerAfter gives its slot to others
// and goes on as one that lingers, of which there may be lingerers times as
// many: to wait costs next to nothing, and webhooks that hang must not keep
// those from their turn that answer.
type slot struct {
	of     chan struct{} // holds as many as are taken
	linger chan struct{} // the same of those that linger

	mu    sync.Mutex
	holds chan struct{} // of or linger; nil while none is taken
	timer *time.Timer
	over  bool
}

const (
	lingerAfter = time.Second
	lingerers   = 4
)

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
	s.holds = s.of
	s.timer = time.AfterFunc(lingerAfter, s.giveWay)
	return true
}

func (s *slot) giveWay() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holds != s.of {
		return
	}
	select {
	case s.linger <- struct{}{}:
		<-s.of
		s.holds = s.linger
	default: // too many do
	}
}

// keep is for a request that was answered: it waits for the store from now on,
// and gives no way.
func (s *slot) keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
}

// free gives it back; it may come before take, and again.
func (s *slot) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.timer != nil {
		s.timer.Stop()
	}
	if s.holds != nil {
		<-s.holds
		s.holds = nil
	}
}
