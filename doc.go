// Package importer is the domain: products, imports, events and the rules
// that hold for them whatever carries them. It does no I/O.
//
// The adapters stand around it and never import one another:
//
//	httpd            HTTP and WebSocket      calls the ports below
//	actors           pipelines and hub       implements Importer and Hub
//	db               Postgres                implements the stores
//	internal/spool   uploaded files          implements Spool
//	internal/csvfile bytes to records        implements RowReader
//
// A port lives in this package when two adapters meet at it; cmd/importer
// wires them together.
package importer
