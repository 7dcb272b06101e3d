package httpd

import "time"

// budget is a token bucket over the client's messages.
type budget struct {
	rate, most float64 // tokens a second, and at most
	left       float64
	at         time.Time
}

func (b *budget) take(now time.Time) bool {
	b.left = min(b.most, b.left+now.Sub(b.at).Seconds()*b.rate)
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
