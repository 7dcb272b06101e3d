package spool

import (
	"context"
	"net"
)

// DialTo sends all requests to an address, whatever host they are for.
func (b *Bucket) DialTo(addr string) {
	b.objects.transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}
