package httpd

import (
	"context"
	"net/http"
	"net/netip"
	"strings"

	"importer"
)

// visit is what is known of a request besides what it asks for. middleware
// begins it, admit adds who asks.
type visit struct {
	id      string     // of the request
	address netip.Addr // it comes from
	secure  bool       // the browser speaks TLS
	browser string     // its User-Agent
	caller  importer.Caller
}

type visitKey struct{}

func visitOf(ctx context.Context) *visit {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		return v
	}
	return &visit{} // of a test that calls a handler by itself
}

// client is whose limits a request counts for: those of its session or token,
// else those of its network.
func (v *visit) client() string {
	switch v.caller.Kind {
	case importer.CallerSession, importer.CallerToken:
		return v.caller.ID.String()
	}
	return network(v.address).String()
}

// local reports whether this machine's own people ask, who have nobody to
// share with.
func (v *visit) local() bool {
	return v.caller.Kind == importer.CallerAnybody && v.address.IsLoopback()
}

// addressOf is where a request comes from. Behind a proxy that is what it says
// in the header it is known by; of a list, as in X-Forwarded-For, the last is
// its own finding and the others are hearsay. What has no address came through
// a socket of this machine.
func addressOf(r *http.Request, header string) netip.Addr {
	if header != "" {
		values := strings.Split(strings.Join(r.Header.Values(header), ","), ",")
		if addr, ok := parseAddr(strings.TrimSpace(values[len(values)-1])); ok {
			return addr
		}
	}
	if addr, ok := parseAddr(r.RemoteAddr); ok {
		return addr
	}
	return netip.IPv6Loopback()
}

func parseAddr(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		var port netip.AddrPort
		port, err = netip.ParseAddrPort(s)
		addr = port.Addr()
	}
	return addr.Unmap().WithZone(""), err == nil
}

// network is an address, or a network of IPv6, where a machine has as many
// addresses as it likes.
func network(addr netip.Addr) netip.Prefix {
	bits := 64
	if addr.Is4() || addr.IsLoopback() {
		bits = addr.BitLen()
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

// isTLS reports whether a browser speaks TLS to this server or to the proxy
// before it. No page can set that header.
func isTLS(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}
