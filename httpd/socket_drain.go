package httpd

import (
	"context"
	"time"
)

// close refuses further connections and returns those that are open.
func (s *sockets) close() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.checkEmpty()
	}
	open := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		open = append(open, c)
	}
	return open
}

func (s *sockets) checkEmpty() {
	if !s.closed || len(s.conns) > 0 {
		return
	}
	select {
	case <-s.empty:
	default:
		close(s.empty)
	}
}

// Byes go out in slices, so that neither this server nor the next has to do
// with everybody at once.
const (
	drainPause = 100 * time.Millisecond // between slices
	drainSlice = 50                     // connections, or more when time would not suffice
)

// drain sends everybody away with a time to come back within that the next
// server can bear. Saying so takes at most two thirds of the time there is;
// who has not hung up at its end is dropped.
func (s *sockets) drain(ctx context.Context) {
	open := s.close()
	ctx, cancel := context.WithTimeout(ctx, s.options.Drain)
	defer cancel()
	after := max(time.Second, time.Duration(len(open))*time.Second/comeBackRate)
	slices := max(1, int(s.options.Drain*2/3/drainPause))
	size := max(drainSlice, (len(open)+slices-1)/slices)
	tick := time.NewTicker(drainPause)
	defer tick.Stop()
	for i, c := range open {
		c.bye(closeRestart, "restart", after)
		c.out.close(closeRestart, "restart")
		if (i+1)%size == 0 && !wait(ctx, tick.C) {
			break
		}
	}
	select {
	case <-s.empty:
	case <-ctx.Done():
	}
	for _, c := range s.close() {
		_ = c.net.Close() // CloseNow would wait for a close that still waits for its answer
	}
	<-s.empty
}

func wait(ctx context.Context, c <-chan time.Time) bool {
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return false
	}
}
