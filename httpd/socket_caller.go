package httpd

import (
	"context"

	"importer"
)

const expired = "the credentials have expired or were revoked"

// holds asks for as long as a heartbeat may take.
func (s *sockets) holds(c importer.Caller) bool {
	ctx, cancel := context.WithTimeout(context.Background(), s.options.Pong)
	defer cancel()
	return s.access.holds(ctx, c)
}

// may reports whether the client may follow what takes a scope.
func (c *conn) may(scope importer.Scope) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.caller.Scope.Includes(scope)
}

// authenticate takes other credentials for the connection, before those it has
// expire. What it follows that they do not reach to ends.
func (c *conn) authenticate(f clientFrame) {
	ctx, cancel := context.WithTimeout(context.Background(), c.server.options.Pong)
	defer cancel()
	caller, err := c.server.access.guess(c.address, func() (importer.Caller, error) { return c.server.access.bearer(ctx, f.Token) })
	switch importer.ErrorCode(err) {
	case "":
	case importer.Unauthorized:
		c.leaving = true
		c.bye(closeUnknown, "the credentials are not known here", 0)
		c.out.close(closeUnknown, "the credentials are not known here")
		return
	default:
		c.out.push("", errorFrame(f.ID, importer.ErrorCode(err), "The credentials cannot be checked at the moment."))
		return
	}
	c.mu.Lock()
	c.caller = caller
	var lost []string
	for topic := range c.subs {
		if !caller.Scope.Includes(importer.TopicScope(topic)) {
			lost = append(lost, topic)
		}
	}
	c.mu.Unlock()
	for _, topic := range lost {
		c.leave(topic)
		c.out.push("", answerFrame("unsubscribed", 0, topic))
	}
	c.out.push("", authedFrame(f.ID, caller.Expires))
}
