// Package guard makes the connections over which webhooks are sent: to public
// addresses only, whatever a name, a redirect or a proxy says. People who may
// add a webhook must not reach the network that this program runs in (server
// side request forgery: OWASP API7:2023). Only cmd/importer uses it.
//
// The address is checked when a socket is about to connect to it, after its
// name was resolved: there is no second look-up that a name server could
// answer in another way (DNS rebinding).
package guard

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"importer"
)

const (
	dialTimeout = 5 * time.Second
	// A request to a webhook has a time limit of its own; these keep a
	// connection that nobody needs.
	idleTimeout = 30 * time.Second
	idleAHost   = 8
	idleInAll   = 256

	maxHeader = 32 << 10 // bytes of an answer's headers; net/http would take 10 MiB
)

// Options say what else is allowed.
type Options struct {
	AllowPrivate bool          // any address, for development
	Resolver     *net.Resolver // nil: the system's
}

// Transport makes a transport for requests to addresses that others chose.
// One that is not public is importer.ErrBlocked.
func Transport(o Options) *http.Transport {
	dialer := &net.Dialer{
		Timeout:  dialTimeout,
		Resolver: o.Resolver,
		ControlContext: func(_ context.Context, network, address string, _ syscall.RawConn) error {
			if o.AllowPrivate {
				return nil
			}
			to, err := netip.ParseAddrPort(address)
			if err != nil || network != "tcp4" && network != "tcp6" || !Public(to.Addr()) {
				return importer.ErrBlocked
			}
			return nil
		},
	}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		Proxy:                  nil, // of the environment: only the proxy's address would be checked
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConns:           idleInAll,
		MaxIdleConnsPerHost:    idleAHost,
		IdleConnTimeout:        idleTimeout,
		// An answer is kept as it was sent, and cannot grow a thousandfold.
		DisableCompression: true,
		// HTTP/1.1 only: a connection that stalls holds up one request.
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		// There is no limit of connections a host: to wait for one would eat the
		// time of the request. Senders bound how many there are.
	}
}
