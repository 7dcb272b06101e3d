// Package client is the Go SDK: uploads, imports, products and the live stream
// over the public REST and WebSocket API. `importer import`, `importer watch`
// and the tests use it, and integrators may. It knows the domain types and
// nothing of the server.
package client
