// Package migrations holds the schema of the database as numbered SQL files,
// oldest first. db applies them; nothing else reads them.
//
// They go forward only. Each has one concern and is safe while the previous
// release still runs. A file that has been released is never changed.
package migrations

import "embed"

// Files are the migrations, named NNNN_concern.sql.
//
//go:embed *.sql
var Files embed.FS
