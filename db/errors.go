package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"

	"importer"
)

// SQLSTATEs that mean something here.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
const (
	uniqueViolation      = "23505"
	undefinedTable       = "42P01"
	noPartition          = "23514" // check_violation: no partition takes the row
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03" // within lock_timeout
	tooManyConnections   = "53300"
	diskFull             = "53100"
	readOnlyTransaction  = "25006" // a standby, during a fail-over
	idleInTransaction    = "25P03"
)

// maxTries is how often a transaction is tried that deadlocked. Rows are
// locked in key order, so one retry is already rare.
const maxTries = 5

// domain turns an error of the driver into an importer.Error that says what
// was being done. Errors of the domain and of ctx pass unchanged.
func domain(doing string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*importer.Error](err); ok {
		return err
	}
	cause := fmt.Errorf("%s: %w", doing, err)
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	switch {
	// A deadline met while connecting is the pool's own: nobody answers.
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded) && !connecting:
		return cause
	case errors.Is(err, sql.ErrNoRows), errors.Is(err, pgx.ErrNoRows):
		return &importer.Error{Code: importer.NotFound, Message: "There is no such import.", Err: cause}
	case sqlState(err) == diskFull:
		return &importer.Error{Code: importer.StorageFull, Message: "The database has no disk space left. Make room, then try again.", Err: cause}
	case connecting, unreachable(err):
		return &importer.Error{Code: importer.Unavailable, Message: "The database cannot be reached right now. Try again in a moment.", Err: cause}
	}
	return &importer.Error{Code: importer.Internal, Message: "Something went wrong in the database. The log says what.", Err: cause}
}

// unreachable reports whether another try, later, may well succeed.
func unreachable(err error) bool {
	if state := sqlState(err); state != "" {
		switch state {
		case tooManyConnections, readOnlyTransaction, idleInTransaction:
			return true
		}
		// 08: the connection broke. 57P: the server stops, starts or was told
		// to end the session.
		return strings.HasPrefix(state, "08") || strings.HasPrefix(state, "57P")
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, sql.ErrConnDone) || pgconn.SafeToRetry(err)
}

// retry runs a transaction again that lost against another one.
func (d *DB) retry(ctx context.Context, transaction func() error) error {
	for try := 1; ; try++ {
		err := transaction()
		state := sqlState(err)
		if state != deadlockDetected && state != serializationFailure || try == maxTries {
			return err
		}
		d.logOf(ctx).Warn().Str("sqlstate", state).Int("try", try).Msg("transaction lost against another one, trying again")
		// Full jitter: the loser must not meet the same winner again.
		select {
		case <-time.After(rand.N(time.Duration(try) * 10 * time.Millisecond)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// logOf is the log of the request or the import that asks, when there is one.
func (d *DB) logOf(ctx context.Context) *zerolog.Logger {
	if log := zerolog.Ctx(ctx); log.GetLevel() != zerolog.Disabled {
		return log
	}
	return &d.log
}

func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}
