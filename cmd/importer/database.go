package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"

	"importer/db"
	"importer/internal/pgserver"
)

// database is the Postgres the program works on, its own or another's.
type database struct {
	*db.DB
	private *pgserver.Cluster // nil when DATABASE_URL names one
}

// openDatabase starts the private Postgres unless a URL is given, connects and
// migrates. say gets one line for people about what takes a moment.
func openDatabase(ctx context.Context, c *config, say io.Writer, log zerolog.Logger) (*database, error) {
	d, err := startDatabase(ctx, c, say, log)
	if err != nil {
		return nil, err
	}
	if err := d.Migrate(ctx); err != nil {
		d.close(log)
		return nil, err
	}
	return d, nil
}

func (c *config) privateRoot() string { return filepath.Join(c.dataDir, "postgres") }

// databaseExists reports false where a private one would have to be made.
func (c *config) databaseExists() bool {
	_, err := os.Stat(c.privateRoot())
	return c.databaseURL != "" || err == nil
}

// startDatabase does all of that but to migrate.
func startDatabase(ctx context.Context, c *config, say io.Writer, log zerolog.Logger) (_ *database, err error) {
	d := &database{}
	defer func() {
		if err != nil {
			d.close(log)
		}
	}()
	url := c.databaseURL
	if url == "" {
		fmt.Fprintf(say, "Starting the private Postgres in %s\n", c.dataDir)
		d.private, err = pgserver.Start(ctx, pgserver.Options{
			Root:      c.privateRoot(),
			BinDir:    c.pgBin,
			ToolsDirs: toolsDirs(),
			Log:       log,
		})
		if err != nil {
			return nil, err
		}
		url = d.private.DSN()
	}
	d.DB, err = db.Open(db.Options{URL: url, Direct: c.directURL, Log: log, Now: time.Now, AllowHTTP: c.webhookAllowPrivate})
	return d, err
}

// dead yields an error when the private Postgres could not be kept alive.
func (d *database) dead() <-chan error {
	if d.private == nil {
		return nil
	}
	return d.private.Dead()
}

func (d *database) close(log zerolog.Logger) {
	if d.DB != nil {
		d.DB.Close()
	}
	if d.private == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := d.private.Stop(ctx); err != nil {
		log.Error().Err(err).Msg("stop the private Postgres")
	}
}
